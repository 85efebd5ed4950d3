import CTiff

/// Decodes the pages of a TIFF that passed `TIFFStructure`, one at a time, through libtiff.
///
/// The bytes stay in memory, no allocation of libtiff's exceeds 64 MB, nothing it says is printed. What it reads of a
/// page is compared with what `TIFFStructure` read, since the two must not differ about sizes. Blocking, some
/// milliseconds a page: call it from a thread of its own. Not Sendable: it belongs to the thread that made it.
public struct TIFFDecoder: ~Copyable {
  private let source: UnsafeMutablePointer<ctiff_source>
  private let storage: UnsafeMutablePointer<UInt8>
  private let tiff: OpaquePointer

  public struct Page: Sendable {
    public var image: PageImage
    /// Rows in which the coding was wrong; they are shown as far as they could be read.
    public var damagedRows: Int
    /// Set when the data ended early or could not be read on: the picture is what came before.
    public var fault: TIFFFault?
  }

  public init(_ bytes: [UInt8]) throws(TIFFFault) {
    storage = .allocate(capacity: max(1, bytes.count))
    storage.initialize(repeating: 0, count: max(1, bytes.count))
    storage.update(from: bytes, count: bytes.count)
    source = .allocate(capacity: 1)
    source.initialize(to: ctiff_source())
    source.pointee.bytes = UnsafePointer(storage)
    source.pointee.count = UInt64(bytes.count)
    guard let handle = ctiff_open(source, 64 << 20) else {
      let text = String(cString: ctiff_last(source))
      source.deallocate()
      storage.deallocate()
      throw TIFFFault(.undecodable, "libtiff: \(text)")
    }
    tiff = handle
  }

  deinit {
    TIFFClose(tiff)
    source.deallocate()
    storage.deallocate()
  }

  /// The picture of one page. Throws when nothing of it can be shown.
  public mutating func decode(_ header: TIFFPageHeader) throws(TIFFFault) -> Page {
    if let fault = header.fault { throw fault }
    source.pointee.complaints = 0
    source.pointee.last.0 = 0
    guard TIFFSetSubDirectory(tiff, header.directoryOffset) == 1 else { throw failure(header, "its directory") }
    guard ctiff_number(tiff, UInt32(TIFFTAG_IMAGEWIDTH)) == UInt32(header.width),
      ctiff_number(tiff, UInt32(TIFFTAG_IMAGELENGTH)) == UInt32(header.height)
    else {
      throw TIFFFault(.badTag, page: header.number, "page \(header.number): its size is given twice, differently")
    }
    source.pointee.complaints = 0
    return header.isPlain ? try decodeStrips(header) : try decodeColour(header)
  }

  private mutating func decodeStrips(_ header: TIFFPageHeader) throws(TIFFFault) -> Page {
    let stride = (header.width + 7) / 8
    guard TIFFScanlineSize(tiff) == stride, TIFFIsTiled(tiff) == 0 else {
      throw TIFFFault(.badTag, page: header.number, "page \(header.number): rows are not of one bit a pixel")
    }
    let declared = Int(ctiff_number(tiff, UInt32(TIFFTAG_ROWSPERSTRIP)))
    let rowsPerStrip = declared == 0 ? header.height : min(declared, header.height)
    var bits = [UInt8](repeating: 0, count: stride * header.height)
    var fault: TIFFFault?
    var shown = header.height
    var row = 0
    var strip: UInt32 = 0
    while row < header.height {
      let rows = min(rowsPerStrip, header.height - row)
      let got = bits.withUnsafeMutableBytes { buffer in
        TIFFReadEncodedStrip(tiff, strip, buffer.baseAddress! + row * stride, tmsize_t(rows * stride))
      }
      if got < 0 {
        fault = failure(header, "strip \(strip + 1)")
        shown = row + min(rows, lineOfLastComplaint() ?? 0)
        break
      }
      row += rows
      strip += 1
    }
    guard shown > 0 else { throw fault ?? failure(header, "its picture") }
    bits.removeLast((header.height - shown) * stride)
    if ctiff_short(tiff, UInt32(TIFFTAG_PHOTOMETRIC)) == UInt16(PHOTOMETRIC_MINISBLACK) {
      for index in bits.indices { bits[index] = ~bits[index] }
    }
    if header.width % 8 != 0 {
      let mask = UInt8(truncatingIfNeeded: 0xff00 >> (header.width % 8))
      for row in 0..<shown { bits[(row + 1) * stride - 1] &= mask }
    }
    let image = PageImage(
      width: header.width, height: shown, xResolution: header.xResolution, yResolution: header.yResolution, bits: bits)
    return Page(image: image, damagedRows: Int(source.pointee.complaints) - (fault == nil ? 0 : 1), fault: fault)
  }

  /// Grey and colour, as an ordered dither of their brightness.
  private mutating func decodeColour(_ header: TIFFPageHeader) throws(TIFFFault) -> Page {
    let (w, h) = (header.width, header.height)
    var raster = [UInt32](repeating: 0, count: w * h)
    let result = raster.withUnsafeMutableBufferPointer {
      TIFFReadRGBAImageOriented(tiff, UInt32(w), UInt32(h), $0.baseAddress!, Int32(ORIENTATION_TOPLEFT), 1)
    }
    guard result == 1 else { throw failure(header, "its picture") }
    let stride = (w + 7) / 8
    var bits = [UInt8](repeating: 0, count: stride * h)
    for y in 0..<h {
      for x in 0..<w {
        let pixel = raster[y * w + x]
        let (red, green, blue) = (Int(pixel & 0xff), Int(pixel >> 8 & 0xff), Int(pixel >> 16 & 0xff))
        let brightness = (red * 299 + green * 587 + blue * 114) / 1_000
        if brightness < bayer[y & 3][x & 3] { bits[y * stride + x >> 3] |= 0x80 >> UInt8(x & 7) }
      }
    }
    let image = PageImage(
      width: w, height: h, xResolution: header.xResolution, yResolution: header.yResolution, bits: bits)
    return Page(image: image, damagedRows: Int(source.pointee.complaints), fault: nil)
  }

  private func failure(_ header: TIFFPageHeader, _ what: String) -> TIFFFault {
    let text = String(cString: ctiff_last(source))
    return TIFFFault(
      .undecodable, page: header.number,
      "page \(header.number): \(what) cannot be decoded: \(text.isEmpty ? "no reason given" : text)")
  }

  /// libtiff says "… at line N of strip S (x X)" when coded data ends or breaks.
  private func lineOfLastComplaint() -> Int? {
    let words = String(cString: ctiff_last(source)).split(separator: " ")
    guard let index = words.firstIndex(of: "line"), index + 1 < words.count else { return nil }
    return Int(words[index + 1])
  }
}

/// Thresholds of a 4 × 4 ordered dither, 0…255.
private let bayer: [[Int]] = [[8, 136, 40, 168], [200, 72, 232, 104], [56, 184, 24, 152], [248, 120, 216, 88]]

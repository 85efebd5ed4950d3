/// What one page says about itself, and whether it can be decoded within the limits.
public struct TIFFPageHeader: Hashable, Sendable {
  public enum Coding: String, Hashable, Sendable, Codable {
    case uncompressed
    case modifiedHuffman = "mh"
    case group3OneDimensional = "g3-1d"
    case group3TwoDimensional = "g3-2d"
    case group4 = "g4"
    case lzw, jpeg, deflate, packbits
  }
  /// Counted from 1.
  public var number: Int
  /// In pixels; 0 when the tag is missing.
  public var width: Int
  public var height: Int
  /// Pixels an inch; the standard's 204 × 98 when the page does not say (RFC 3949 §3.2.1 has no default, receivers do).
  public var xResolution: Double
  public var yResolution: Double
  public var coding: Coding?
  /// 2 = the least significant bit comes first, as HylaFAX and fax modems write.
  public var fillOrder: Int
  public var bitsPerPixel: Int
  public var pictureBytes: Int
  public var imageDescription: String?
  public var dateTime: String?
  public var software: String?
  public var hostComputer: String?
  /// Tag 34908: negotiated session parameters, only in faxes received by HylaFAX.
  public var receiveParameters: UInt64?
  /// Tag 34910: seconds it took to receive.
  public var receiveSeconds: Int?
  /// Tag 34909: the T.30 subaddress that was sent.
  public var subaddress: String?
  /// Tag 326: lines that came damaged.
  public var badLines: Int?
  /// Nil when the page can be decoded.
  public var fault: TIFFFault?
  /// Something about the page is lost, though its picture can be decoded: descriptions that lie outside the file.
  public var defect: TIFFFault?

  let directoryOffset: UInt64
  let isPlain: Bool

  init(number: Int, directory: TIFFDirectory, reader: TIFFReader, limits: TIFFLimits) {
    func value(_ tag: UInt16) -> Int? {
      directory.number(tag, reader).map { Int(clamping: $0) }
    }
    self.number = number
    directoryOffset = directory.offset
    width = value(256) ?? 0
    height = value(257) ?? 0
    fillOrder = value(266) ?? 1
    let samples = value(277) ?? 1
    let bits = value(258) ?? 1
    bitsPerPixel = bits <= 64 && samples <= 64 ? bits * samples : 0
    let options = value(292) ?? 0
    coding = TIFFPageHeader.coding(value(259) ?? 1, group3Options: options)
    // ResolutionUnit 3 = per centimetre; 1 = none, where only the ratio counts.
    let scale = value(296) == 3 ? 2.54 : 1
    let x = (directory.rational(282, reader) ?? 0) * scale
    let y = (directory.rational(283, reader) ?? 0) * scale
    let sensible = 10.0...2_400.0
    xResolution = sensible.contains(x) ? x : 204
    yResolution = sensible.contains(y) ? y : sensible.contains(x) ? x : 98
    imageDescription = directory.text(270, reader)
    dateTime = directory.text(306, reader, atMost: 40)
    software = directory.text(305, reader, atMost: 120)
    hostComputer = directory.text(316, reader, atMost: 120)
    receiveParameters = directory.number(34_908, reader)
    receiveSeconds = value(34_910)
    subaddress = directory.text(34_909, reader, atMost: 40)
    badLines = value(326)
    let tiled = directory.entries[322] != nil
    isPlain = bits == 1 && samples == 1 && !tiled
    pictureBytes = 0
    fault = nil
    if !directory.outside.isEmpty {
      let tags = directory.outside.prefix(8).map { String($0) }.joined(separator: ", ")
      defect = TIFFFault(.truncated, page: number, "page \(number): the values of tags \(tags) lie outside the file")
    }
    do {
      pictureBytes = try check(directory, reader, limits, tiled: tiled)
    } catch let found as TIFFFault {
      fault = found
    } catch {
      fault = TIFFFault(.badTag, page: number, "\(error)")
    }
  }

  private static func coding(_ compression: Int, group3Options: Int) -> Coding? {
    switch compression {
    case 1: .uncompressed
    case 2: .modifiedHuffman
    case 3: group3Options & 1 == 1 ? .group3TwoDimensional : .group3OneDimensional
    case 4: .group4
    case 5: .lzw
    case 7: .jpeg
    case 8, 32_946: .deflate
    case 32_773: .packbits
    default: nil
    }
  }

  /// The bytes of picture data, or why the page cannot be decoded.
  private func check(
    _ directory: TIFFDirectory, _ reader: TIFFReader, _ limits: TIFFLimits, tiled: Bool
  ) throws -> Int {
    func fault(_ code: TIFFFault.Code, _ text: String) -> TIFFFault {
      TIFFFault(code, page: number, "page \(number): \(text)")
    }
    guard width > 0, height > 0 else { throw fault(.badTag, "width or length is missing or zero") }
    guard width <= limits.width, height <= limits.height else {
      throw fault(.dimensions, "\(width) × \(height) pixels, at most \(limits.width) × \(limits.height) are read")
    }
    guard coding != nil else {
      let compression = directory.number(259, reader) ?? 0
      throw fault(.unsupported, "compression \(compression) is not one faxes are stored with")
    }
    guard (1...64).contains(bitsPerPixel) else { throw fault(.badTag, "senseless bits per pixel") }
    if !isPlain, width * height > limits.colourPixels {
      throw fault(.dimensions, "\(width) × \(height) pixels in grey or colour are too many")
    }
    let offsetsTag: UInt16 = tiled ? 324 : 273
    let countsTag: UInt16 = tiled ? 325 : 279
    let most = limits.height + 1
    guard let offsets = directory.numbers(offsetsTag, reader, atMost: most),
      let counts = directory.numbers(countsTag, reader, atMost: most), !offsets.isEmpty
    else { throw fault(.badTag, "does not say where its picture data lies") }
    guard offsets.count == counts.count, offsets.count < most else {
      throw fault(.badTag, "\(offsets.count) strip offsets but \(counts.count) strip lengths")
    }
    if !tiled {
      let rows = max(1, min(Int(clamping: directory.number(278, reader) ?? UInt64(UInt32.max)), height))
      let needed = (height + rows - 1) / rows
      guard offsets.count >= needed else { throw fault(.badTag, "\(offsets.count) of \(needed) strips") }
    }
    var total: UInt64 = 0
    for (index, (offset, count)) in zip(offsets, counts).enumerated() {
      guard count > 0 else { throw fault(.badTag, "strip \(index + 1) is empty") }
      guard offset < UInt64(reader.bytes.count), count <= UInt64(reader.bytes.count) - offset else {
        throw fault(
          .stripOutsideFile,
          "strip \(index + 1) is said to be bytes \(offset) to \(offset &+ count) of \(reader.bytes.count)")
      }
      total += count
    }
    return Int(clamping: total)
  }
}

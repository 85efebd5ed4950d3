/// One PNG or JPEG as a PDF page of A4, the picture in it as it is: decoding is left to Ghostscript, apart from
/// Liaison.
///
/// A PDF may hold a JPEG unchanged (DCTDecode) and the compressed data of a PNG unchanged (FlateDecode with the PNG
/// predictors), so only the headers are read here. Not taken: PNGs with transparency or interlacing.
/// Source: PDF 1.4 §7.4.4.4, §7.4.8; PNG §11.2; JPEG (T.81) §B.2.2.
struct PicturePDF: Sendable {
  enum Failure: Error, Hashable, Sendable {
    case unknownKind, truncated, transparency, interlaced, dimensions, damaged
  }
  let bytes: [UInt8]

  init(_ picture: [UInt8]) throws(Failure) {
    if picture.starts(with: [0x89, 0x50, 0x4e, 0x47]) {
      self = try PicturePDF(png: picture)
    } else if picture.starts(with: [0xff, 0xd8, 0xff]) {
      self = try PicturePDF(jpeg: picture)
    } else {
      throw .unknownKind
    }
  }

  private init(png: [UInt8]) throws(Failure) {
    var at = 8
    var header: [UInt8] = []
    var palette: [UInt8] = []
    var data: [UInt8] = []
    var complete = false
    while at + 12 <= png.count, !complete {
      let length = PicturePDF.big(png, at, 4)
      guard length <= png.count - at - 12 else { throw .truncated }
      let body = png[at + 8..<at + 8 + length]
      switch String(decoding: png[at + 4..<at + 8], as: UTF8.self) {
      case "IHDR": header = Array(body)
      case "PLTE": palette = Array(body)
      case "tRNS": throw .transparency
      case "IDAT": data.append(contentsOf: body)
      case "IEND": complete = true
      default: break
      }
      at += 12 + length
    }
    guard complete, header.count == 13, !data.isEmpty else { throw .truncated }
    let (width, height) = (PicturePDF.big(header, 0, 4), PicturePDF.big(header, 4, 4))
    let depth = Int(header[8])
    guard header[12] == 0 else { throw .interlaced }
    let colours: Int
    let space: String
    switch header[9] {
    case 0: (colours, space) = (1, "/DeviceGray")
    case 2: (colours, space) = (3, "/DeviceRGB")
    case 3:
      guard !palette.isEmpty, palette.count % 3 == 0, palette.count <= 768 else { throw .damaged }
      (colours, space) = (1, "[/Indexed /DeviceRGB \(palette.count / 3 - 1) <\(hexadecimal(palette))>]")
    default: throw .transparency
    }
    guard [1, 2, 4, 8, 16].contains(depth) else { throw .damaged }
    self = try PicturePDF(
      width, height,
      "/ColorSpace \(space) /BitsPerComponent \(depth) /Filter /FlateDecode /DecodeParms "
        + "<< /Predictor 15 /Colors \(colours) /BitsPerComponent \(depth) /Columns \(width) >>", data)
  }

  private init(jpeg: [UInt8]) throws(Failure) {
    var at = 2
    while at + 9 < jpeg.count {
      guard jpeg[at] == 0xff else { throw .damaged }
      let marker = jpeg[at + 1]
      if marker == 0xff {
        at += 1
        continue
      }
      let length = PicturePDF.big(jpeg, at + 2, 2)
      guard length >= 2 else { throw .damaged }
      // SOF0 to SOF15 without DHT, JPG and DAC.
      if (0xc0...0xcf).contains(marker), ![0xc4, 0xc8, 0xcc].contains(marker) {
        let (height, width) = (PicturePDF.big(jpeg, at + 5, 2), PicturePDF.big(jpeg, at + 7, 2))
        let colours = Int(jpeg[at + 9])
        guard let space = [1: "/DeviceGray", 3: "/DeviceRGB", 4: "/DeviceCMYK"][colours] else { throw .damaged }
        self = try PicturePDF(
          width, height, "/ColorSpace \(space) /BitsPerComponent \(jpeg[at + 4]) /Filter /DCTDecode", jpeg)
        return
      }
      guard marker != 0xda else { break }
      at += 2 + length
    }
    throw .truncated
  }

  private init(_ width: Int, _ height: Int, _ dictionary: String, _ data: [UInt8]) throws(Failure) {
    guard (1...12_000).contains(width), (1...12_000).contains(height), width * height <= 60_000_000 else {
      throw .dimensions
    }
    // Within an A4 page with margins of 10 mm, never enlarged beyond 150 pixels an inch.
    let scale = min(538 / Double(width), 785 / Double(height), 72.0 / 150)
    var builder = PDFBuilder()
    builder.addPage(
      widthPoints: 595, heightPoints: 842, imageWidth: Double(width) * scale, imageHeight: Double(height) * scale,
      image: "/Width \(width) /Height \(height) \(dictionary)", data: data)
    bytes = builder.finished()
  }

  private static func big(_ bytes: [UInt8], _ at: Int, _ count: Int) -> Int {
    bytes[at..<at + count].reduce(0) { $0 << 8 | Int($1) }
  }
}

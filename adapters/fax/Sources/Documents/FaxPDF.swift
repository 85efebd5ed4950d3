/// A fax as PDF, for download: each page in its true size, black and white, compressed.
///
/// Written here rather than by a tool: a page is one image and nothing else. Source: PDF 1.4 (ISO 32000-1) §8.9.
public struct FaxPDF: Sendable {
  public let bytes: [UInt8]
  public let pages: Int

  /// Nil if no page can be shown. Blocking.
  public init?(_ tiff: [UInt8], limits: TIFFLimits = TIFFLimits()) {
    var builder = PDFBuilder()
    _ = FaxReading(tiff, limits: limits) { _, image in builder.addPage(image) }
    guard builder.pageCount > 0 else { return nil }
    pages = builder.pageCount
    bytes = builder.finished()
  }
}

/// Objects 1 (catalog) and 2 (pages) come last; each page takes three of its own.
struct PDFBuilder {
  private var out = Array("%PDF-1.4\n%\u{e2}\u{e3}\n".utf8)
  private var offsets: [Int: Int] = [:]
  private var next = 3
  private var pageObjects: [Int] = []
  var pageCount: Int { pageObjects.count }

  /// A page that is one black-and-white picture.
  mutating func addPage(_ image: PageImage) {
    let points = (
      Double(image.width) / image.xResolution * 72, Double(image.height) / image.yResolution * 72
    )
    addPage(
      widthPoints: points.0, heightPoints: points.1,
      image: "/Width \(image.width) /Height \(image.height) /ColorSpace /DeviceGray /BitsPerComponent 1 "
        + "/Decode [1 0] /Filter /FlateDecode", data: deflated(image.bits))
  }

  /// A page with one picture, at its upper edge and centred if it is smaller than the page.
  /// `image`: the picture's dictionary without Type and Length.
  mutating func addPage(
    widthPoints: Double, heightPoints: Double, imageWidth: Double? = nil, imageHeight: Double? = nil, image: String,
    data: [UInt8]
  ) {
    let (w, h) = (PDFBuilder.number(widthPoints), PDFBuilder.number(heightPoints))
    let picture = add(stream: data, "/Type /XObject /Subtype /Image \(image)")
    let (iw, ih) = (imageWidth ?? widthPoints, imageHeight ?? heightPoints)
    let x = PDFBuilder.number((widthPoints - iw) / 2)
    let y = PDFBuilder.number(imageHeight == nil ? 0 : heightPoints - ih - 28)
    let content = add(
      stream: Array("q \(PDFBuilder.number(iw)) 0 0 \(PDFBuilder.number(ih)) \(x) \(y) cm /Im Do Q".utf8), "")
    pageObjects.append(
      add(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 \(w) \(h)] /Contents \(content) 0 R "
          + "/Resources << /XObject << /Im \(picture) 0 R >> >> >>"))
  }

  /// A page of `content` operators that may use the fonts in `fonts` (`/F1 5 0 R …`).
  mutating func addPage(widthPoints: Double, heightPoints: Double, content: [UInt8], fonts: String) {
    let stream = add(stream: deflated(content), "/Filter /FlateDecode")
    pageObjects.append(
      add(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 \(PDFBuilder.number(widthPoints)) "
          + "\(PDFBuilder.number(heightPoints))] /Contents \(stream) 0 R /Resources << /Font << \(fonts) >> >> >>"))
  }

  mutating func add(_ body: String) -> Int {
    let number = next
    next += 1
    begin(number)
    out.append(contentsOf: Array("\(body)\nendobj\n".utf8))
    return number
  }

  mutating func finished() -> [UInt8] {
    begin(1)
    out.append(contentsOf: Array("<< /Type /Catalog /Pages 2 0 R >>\nendobj\n".utf8))
    begin(2)
    let kids = pageObjects.map { "\($0) 0 R" }.joined(separator: " ")
    out.append(contentsOf: Array("<< /Type /Pages /Count \(pageObjects.count) /Kids [\(kids)] >>\nendobj\n".utf8))
    let start = out.count
    out.append(contentsOf: Array("xref\n0 \(next)\n0000000000 65535 f \n".utf8))
    for number in 1..<next {
      let digits = String(offsets[number] ?? 0)
      out.append(
        contentsOf: Array((String(repeating: "0", count: max(0, 10 - digits.count)) + digits + " 00000 n \n").utf8))
    }
    out.append(contentsOf: Array("trailer\n<< /Size \(next) /Root 1 0 R >>\nstartxref\n\(start)\n%%EOF\n".utf8))
    return out
  }

  private mutating func add(stream: [UInt8], _ dictionary: String) -> Int {
    let number = next
    next += 1
    begin(number)
    out.append(contentsOf: Array("<< \(dictionary) /Length \(stream.count) >>\nstream\n".utf8))
    out.append(contentsOf: stream)
    out.append(contentsOf: Array("\nendstream\nendobj\n".utf8))
    return number
  }

  private mutating func begin(_ number: Int) {
    offsets[number] = out.count
    out.append(contentsOf: Array("\(number) 0 obj\n".utf8))
  }

  private static func number(_ value: Double) -> String {
    let hundredths = Int((max(0, value) * 100).rounded())
    let part = hundredths % 100
    return "\(hundredths / 100).\(part < 10 ? "0" : "")\(part)"
  }
}

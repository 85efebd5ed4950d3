import Channels

/// What leaves as a fax: one TIFF, every page decoded and counted before it is handed over.
///
/// A zero-page TIFF vanishes in HylaFAX without an error, and one whose second page is cut off goes out as one page and
/// is reported done (specs/fax.md traps 11 and 28): so nothing is sent that was not read whole here.
public struct OutboundDocument: Hashable, Sendable {
  public var tiff: [UInt8]
  public var pages: Int
  public var isFine: Bool

  public struct Settings: Hashable, Sendable {
    public var ghostscript = "gs"
    public var maximumPages = 100
    public var maximumAttachmentBytes = 20 << 20
    /// Of one conversion.
    public var timeLimit = Duration.seconds(60)
    /// Paper of pages we make: A4.
    public var paper = "a4"
    /// Printed on cover pages.
    public var senderName = ""
    public var senderNumber = ""
    public init() {}
  }

  /// Text becomes pages (Chinese too), attachments follow in their order. Throws a fault to be answered with
  /// `rejected`.
  ///
  /// One fax-ready TIFF without text is sent as it is. Everything else goes through Ghostscript to Group 4, 204 × 196
  /// or 98.
  /// Options: `fax.cover` = `true` puts the text on a cover page with addressee and subject; `fax.resolution` =
  /// `standard` for 98 lines an inch. Blocking: 0.1 to some seconds.
  public static func prepare(
    _ content: Dispatch.Content, to number: String, settings: Settings = Settings(), at now: Timestamp
  ) throws(Fault) -> OutboundDocument {
    let isFine = content.options["fax.resolution"] != "standard"
    for attachment in content.attachments where attachment.bytes.count > settings.maximumAttachmentBytes {
      throw Fault(
        .tooLarge, text: "an attachment has \(attachment.bytes.count) bytes, at most \(settings.maximumAttachmentBytes)"
      )
    }
    let hasText = !content.text.allSatisfy(\.isWhitespace)
    if !hasText, content.attachments.count == 1, let ready = try faxReady(content.attachments[0].bytes, settings) {
      return ready
    }
    var parts: [[UInt8]] = []
    let wantsCover = content.options["fax.cover"] == "true"
    if hasText || wantsCover {
      var page = TextPages()
      if wantsCover {
        page.cover(
          to: number, from: settings.senderName, fromNumber: settings.senderNumber, subject: content.subject,
          language: content.language, at: now)
      }
      page.add(content.text)
      parts.append(page.pdf())
    }
    for (index, attachment) in content.attachments.enumerated() {
      parts.append(try pdf(attachment.bytes, name: attachment.name ?? "attachment \(index + 1)"))
    }
    guard !parts.isEmpty else { throw Fault(.contentRefused, text: "there is nothing to fax") }
    return try imaged(parts, isFine: isFine, settings)
  }

  /// A TIFF that can go out unchanged; nil if it is something else; throws if it is a TIFF with a fault.
  private static func faxReady(_ bytes: [UInt8], _ settings: Settings) throws(Fault) -> OutboundDocument? {
    guard bytes.starts(with: [0x49, 0x49]) || bytes.starts(with: [0x4d, 0x4d]) else { return nil }
    let reading = try whole(bytes, settings)
    let widths: Set<Int> = [1_728, 2_048, 2_432]  // A4, B4, A3 at 204 an inch (T.4)
    let ready = reading.pages.allSatisfy { page in
      widths.contains(page.header.width) && page.header.bitsPerPixel == 1 && page.header.xResolution < 215
        && ["standard", "fine"].contains(page.header.resolutionName) && page.header.coding != .uncompressed
        && page.damagedRows == 0
    }
    guard ready else { return nil }
    return OutboundDocument(
      tiff: bytes, pages: reading.pages.count,
      isFine: reading.pages.contains { $0.header.resolutionName == "fine" })
  }

  private static func whole(_ bytes: [UInt8], _ settings: Settings) throws(Fault) -> FaxReading {
    let reading = FaxReading(bytes)
    if let fault = reading.faults.first {
      throw Fault(.contentRefused, peerCode: fault.code.rawValue, text: "the TIFF cannot be faxed: \(fault.text)")
    }
    guard !reading.pages.isEmpty else { throw Fault(.contentRefused, text: "the TIFF has no pages") }
    guard reading.pages.count <= settings.maximumPages else {
      throw Fault(.tooLarge, text: "\(reading.pages.count) pages, at most \(settings.maximumPages)")
    }
    return reading
  }

  /// Anything that is taken, as PDF.
  private static func pdf(_ bytes: [UInt8], name: String) throws(Fault) -> [UInt8] {
    if bytes.starts(with: Array("%PDF".utf8)) { return bytes }
    if bytes.starts(with: [0x49, 0x49]) || bytes.starts(with: [0x4d, 0x4d]) {
      let reading = FaxReading(bytes)
      guard reading.isWhole, let document = FaxPDF(bytes) else {
        let why = reading.faults.first?.text ?? "it has no pages"
        throw Fault(.contentRefused, peerCode: reading.faults.first?.code.rawValue, text: "\(name): \(why)")
      }
      return document.bytes
    }
    do throws(PicturePDF.Failure) {
      return try PicturePDF(bytes).bytes
    } catch {
      throw Fault(
        .contentRefused, peerCode: "\(error)",
        text: "\(name): \(TIFFReader.nature(of: bytes)) cannot be faxed; PDF, TIFF, PNG and JPEG can (\(error))")
    }
  }

  private static func imaged(_ parts: [[UInt8]], isFine: Bool, _ settings: Settings) throws(Fault) -> OutboundDocument {
    let folder = try ScratchFolder()
    var inputs: [String] = []
    for (index, part) in parts.enumerated() { inputs.append(try folder.write(part, as: "\(index).pdf")) }
    var process = ChildProcess(
      program: settings.ghostscript,
      arguments: [
        "-dSAFER", "-dBATCH", "-dNOPAUSE", "-q", "-dPDFSTOPONERROR", "-sDEVICE=tiffg4", "-r204x\(isFine ? 196 : 98)",
        "-sPAPERSIZE=\(settings.paper)", "-dFIXEDMEDIA", "-dPDFFitPage", "-dAutoRotatePages=/None",
        "-sOutputFile=\(folder.path)/out.tif",
      ] + inputs, environment: ["TMPDIR": folder.path])
    process.limits.wall = settings.timeLimit
    let result: ChildProcess.Result
    do throws(ChildProcess.Failure) {
      result = try process.run()
    } catch {
      switch error {
      case .timedOut:
        throw Fault(.contentRefused, text: "the document takes longer than \(settings.timeLimit) to convert")
      case .ended, .tooMuchOutput:
        throw Fault(.contentRefused, text: "the document exceeds what a conversion may use: \(error)")
      case .cannotStart: throw Fault(.internalError, text: "Ghostscript cannot be started: \(error)")
      }
    }
    if result.status == 127 {
      throw Fault(.internalError, text: "Ghostscript (\(settings.ghostscript)) is not installed")
    }
    guard result.status == 0, let tiff = folder.read("out.tif", limit: TIFFLimits().bytes) else {
      let said = result.errors + String(decoding: result.output.prefix(2_048), as: UTF8.self)
      let why = said.split(whereSeparator: \.isNewline).first { $0.contains("rror") } ?? "it gave no reason"
      throw Fault(
        .contentRefused, peerCode: "gs-\(result.status)",
        text: "the document cannot be converted: \(String(why).trimmed)")
    }
    let reading = try whole(tiff, settings)
    return OutboundDocument(tiff: tiff, pages: reading.pages.count, isFine: isFine)
  }
}

import Channels
import Foundation
import Testing

@testable import Fax

private let hasGhostscript = FileManager.default.isExecutableFile(atPath: "/usr/bin/gs")
private let hasTesseract = FileManager.default.isExecutableFile(atPath: "/usr/bin/tesseract")
private let noon = Timestamp(seconds: 1_795_500_000)

@Suite struct ChildProcessTests {
  @Test func `input goes in and output comes out`() throws {
    let bytes = [UInt8]((0..<300_000).map { UInt8(truncatingIfNeeded: $0) })
    let result = try ChildProcess(program: "/bin/cat", arguments: []).run(input: bytes)
    #expect(result.status == 0)
    #expect(result.output == bytes)
  }

  @Test func `a program that never ends is ended with its children`() throws {
    var process = ChildProcess(program: "/bin/sh", arguments: ["-c", "sleep 60 & sleep 60"])
    process.limits.wall = .milliseconds(200)
    let start = ContinuousClock.now
    #expect(throws: ChildProcess.Failure.timedOut) { try process.run() }
    #expect(ContinuousClock.now - start < .seconds(5))
  }

  @Test func `a child has nothing of ours open`() throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    let program = ChildProcess(program: "/bin/ls", arguments: ["-l", "/proc/self/fd"])
    let listed = String(decoding: try program.run().output, as: UTF8.self)
    // Its three, all of them sockets, and the folder it reads.
    #expect(listed.split(separator: "\n").count { $0.contains("socket:") } == 3, "\(listed)")
  }

  @Test func `too much output ends it`() throws {
    var process = ChildProcess(program: "/usr/bin/yes", arguments: [])
    process.limits.outputBytes = 100_000
    #expect(throws: ChildProcess.Failure.tooMuchOutput) { try process.run() }
  }

  @Test func `a missing program is told by its status, a reader that leaves is no error`() throws {
    #expect(try ChildProcess(program: "/nowhere/gs", arguments: []).run().status == 127)
    let result = try ChildProcess(program: "/bin/true", arguments: []).run(input: [UInt8](repeating: 1, count: 900_000))
    #expect(result.status == 0)
  }

  @Test func `memory is bounded`() throws {
    var process = ChildProcess(program: "/usr/bin/head", arguments: ["-c", "1500000000", "/dev/zero"])
    process.limits.outputBytes = 2 << 20
    #expect(throws: ChildProcess.Failure.tooMuchOutput) { try process.run() }
  }
}

@Suite(.enabled(if: hasGhostscript, "needs ghostscript, fonts-droid-fallback, poppler-data"))
struct OutboundDocumentTests {
  private func prepare(
    text: String = "", _ attachments: [[UInt8]] = [], options: [String: String] = [:],
    settings: OutboundDocument.Settings = .init()
  ) throws -> OutboundDocument {
    let content = Dispatch.Content(
      subject: "挂失确认", text: text,
      attachments: attachments.map { .init(name: "a", mediaType: "application/octet-stream", bytes: $0) },
      options: options)
    return try OutboundDocument.prepare(content, to: "+861055550199", settings: settings, at: noon)
  }

  @Test func `a fax-ready TIFF goes out as it is`() throws {
    let tiff = try Fixture.document("loss-report-zh-g3-std-2p.tif")
    let document = try prepare([tiff])
    #expect(document == OutboundDocument(tiff: tiff, pages: 2, isFine: false))
  }

  @Test func `text, PDF, PNG and TIFF become one fax in their order`() throws {
    var png: [UInt8] = []
    _ = FaxReading(try Fixture.document("loss-report-en-g4-fine.tif")) { png = $1.png() }
    let pdf = try #require(FaxPDF(try Fixture.document("loss-report-zh-g3-std-2p.tif")))
    #expect(pdf.pages == 2)
    let document = try prepare(
      text: "尊敬的客户：您的挂失已办理。", [pdf.bytes, png, try Fixture.document("address-change-zh-g4-fine.tif")])
    #expect(document.pages == 5)
    #expect(document.isFine)
    let reading = FaxReading(document.tiff)
    #expect(reading.pages.allSatisfy { $0.header.width == 1_728 && $0.header.coding == .group4 })
    #expect(reading.pages.allSatisfy { $0.blackness > 0.001 })
  }

  @Test func `a JPEG becomes a page`() throws {
    let pdf = try #require(FaxPDF(try Fixture.document("loss-report-en-g4-fine.tif")))
    let folder = try ScratchFolder()
    let file = try folder.write(pdf.bytes, as: "a.pdf")
    let made = try ChildProcess(
      program: "gs",
      arguments: [
        "-dSAFER", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=jpeg", "-r100",
        "-sOutputFile=\(folder.path)/a.jpg", file,
      ]
    ).run()
    #expect(made.status == 0)
    let document = try prepare(
      [try #require(folder.read("a.jpg", limit: 1 << 24))], options: ["fax.resolution": "standard"])
    #expect(document.pages == 1)
    #expect(!document.isFine)
  }

  @Test func `long text runs over pages`() throws {
    let document = try prepare(text: String(repeating: "第一行 line of text 内容很长。\n", count: 100))
    #expect(document.pages == 3)
  }

  @Test func `what cannot be faxed is refused with its reason`() throws {
    func refusal(_ attachments: [[UInt8]], settings: OutboundDocument.Settings = .init()) -> Fault? {
      do {
        _ = try prepare(attachments, settings: settings)
        return nil
      } catch { return error as? Fault }
    }
    #expect(refusal([])?.code == .contentRefused)
    #expect(refusal([[]])?.code == .contentRefused)
    #expect(refusal([Array("%PDF-1.4 nonsense".utf8)])?.code == .contentRefused)
    #expect(refusal([Array("PK\u{3}\u{4}".utf8)])?.text.contains("office file") == true)
    let cut = Array(try Fixture.document("loss-report-zh-g3-std-2p.tif").prefix(23_000))
    #expect(refusal([cut])?.peerCode == "truncated")
    var small = OutboundDocument.Settings()
    small.maximumPages = 1
    #expect(refusal([try Fixture.document("loss-report-zh-g3-std-2p.tif")], settings: small)?.code == .tooLarge)
    small.ghostscript = "/nowhere/gs"
    #expect(refusal([Array("%PDF-1.4".utf8)], settings: small)?.code == .internalError)
  }

  @Test func `a PDF may not read files of this machine`() throws {
    let script = "%!PS\n(/etc/hostname) (r) file 100 string readstring pop show showpage\n"
    #expect(throws: Fault.self) { try prepare([Array(script.utf8)]) }
  }

  @Test(.enabled(if: hasTesseract, "needs tesseract-ocr, tesseract-ocr-chi-sim"))
  func `a Chinese cover page can be read again`() throws {
    let document = try prepare(
      text: "尊敬的客户，您的银行卡挂失申请已经办理完毕。\nCustomer number C-20418837.", options: ["fax.cover": "true"])
    #expect(document.pages == 1)
    var text = ""
    _ = FaxReading(document.tiff) { _, image in
      do {
        text += try TextRecognition().read(image.squared()).text
      } catch { Issue.record("\(error)") }
    }
    #expect(text.contains("挂失申请已经办理"), "\(text)")
    #expect(text.contains("C-20418837"), "\(text)")
    #expect(text.contains("+861055550199"), "\(text)")
  }
}

@Suite(.enabled(if: hasTesseract, "needs tesseract-ocr, tesseract-ocr-chi-sim, tesseract-ocr-osd"))
struct TextRecognitionTests {
  private func text(_ name: String, _ turn: PageImage.Rotation = .none) throws -> TextRecognition.Page {
    var page: TextRecognition.Page?
    _ = FaxReading(try Fixture.document(name)) { number, image in
      guard number == 1 else { return }
      do {
        page = try TextRecognition().read(image.squared().rotated(turn))
      } catch { Issue.record("\(error)") }
    }
    return try #require(page)
  }

  @Test(arguments: [
    ("loss-report-en-g4-fine.tif", "20418837"), ("loss-report-zh-g3-std-2p.tif", "20418837"),
    ("address-change-zh-g4-fine.tif", "30077125"), ("address-change-en-g3-2d-std-dirty.tif", "30077125"),
  ])
  func `the digits of the customer number are found`(name: String, digits: String) throws {
    let page = try text(name)
    #expect(page.text.contains(digits), "\(page.text)")
    #expect(page.rotation == .none)
  }

  @Test func `an upside-down page is turned and read`() throws {
    let page = try text("loss-report-zh-g3-std-2p.tif", .half)
    #expect(page.rotation == .half)
    #expect(page.text.contains("20418837"), "\(page.text)")
  }

  @Test func `a missing program is said to be missing`() {
    var recognition = TextRecognition()
    recognition.tesseract = "/nowhere/tesseract"
    let blank = PageImage(width: 16, height: 2, xResolution: 204, yResolution: 204, bits: [0, 0, 0, 0])
    #expect(throws: TextRecognition.Failure.notInstalled) { try recognition.read(blank) }
  }
}

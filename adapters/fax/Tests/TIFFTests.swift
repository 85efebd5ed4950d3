import Testing

@testable import Fax

@Suite struct TIFFTests {
  @Test(arguments: [
    ("loss-report-en-g4-fine.tif", 1, 2_292, "fine", "g4"),
    ("loss-report-zh-g3-std-2p.tif", 2, 1_146, "standard", "g3-1d"),
    ("address-change-zh-g4-fine.tif", 1, 2_292, "fine", "g4"),
    ("address-change-en-g3-2d-std-dirty.tif", 1, 1_146, "standard", "g3-2d"),
  ])
  func `documents as customers send them are read whole`(
    name: String, pages: Int, height: Int, resolution: String, coding: String
  ) throws {
    let reading = FaxReading(try Fixture.document(name))
    #expect(reading.isWhole)
    #expect(reading.pages.count == pages)
    #expect(reading.readablePages == pages)
    for page in reading.pages {
      #expect(page.header.width == 1_728)
      #expect(page.header.height == height)
      #expect(page.header.resolutionName == resolution)
      #expect(page.header.coding?.rawValue == coding)
      #expect(page.damagedRows == 0)
      #expect((0.01...0.05).contains(page.blackness))
    }
  }

  @Test func `a received fax tells sender, caller and dialled number`() throws {
    let reading = FaxReading(try Fixture.bytes("recordings/protocol/receive-ok/004.D3.S.bin"))
    #expect(
      reading.origin
        == FaxOrigin(tsi: "+86 10 55550199", caller: "01055550199", callerName: "Li Wei", did: "55550100"))
    #expect(reading.pages.first?.header.receiveSeconds == 16)
    #expect(reading.isWhole)
  }

  @Test func `every coding gives the same picture`() throws {
    var pictures: [[PageImage]] = []
    for name in ["small-g4", "small-g3", "small-g3-2d", "small-none", "small-packbits", "small-big"] {
      var images: [PageImage] = []
      let reading = FaxReading(try Fixture.bytes("\(name).tif")) { images.append($1) }
      #expect(reading.isWhole, "\(name): \(reading.faults)")
      #expect(reading.isBig == (name == "small-big"))
      #expect(reading.origin?.tsi == "+86 10 55550199")
      pictures.append(images)
    }
    for images in pictures {
      #expect(images.map(\.height) == [60, 90])
      #expect(images == pictures[0])
    }
  }

  @Test func `rows damaged by line noise are counted and the page is still shown`() throws {
    let reading = FaxReading(try Fixture.bytes("recordings/broken/g3-damaged-rows.tif"))
    #expect(reading.pages.map(\.damagedRows) == [2, 0])
    #expect(reading.readablePages == 2)
    #expect(reading.isWhole)
  }

  @Test(arguments: [
    ("empty.tif", TIFFFault.Code.empty), ("not-a-tiff.tif", .notATIFF), ("truncated-ifd.tif", .truncated),
    ("magic-43-bigtiff.tif", .badDirectory),
  ])
  func `broken files yield a clear reason`(name: String, code: TIFFFault.Code) throws {
    let reading = FaxReading(try Fixture.bytes("recordings/broken/\(name)"))
    #expect(reading.faults.map(\.code) == [code])
    #expect(reading.readablePages == 0)
  }

  @Test func `a directory that refers back ends the walk after the pages before it`() {
    var writer = TIFFWriter()
    let first = writer.page()
    writer.page(next: first)
    let reading = FaxReading(writer.bytes)
    #expect(reading.pages.count == 2)
    #expect(reading.readablePages == 2)
    #expect(reading.faults.map(\.code) == [.directoryLoop])
    #expect(reading.faults.first?.page == 3)
  }

  @Test func `huge dimensions are refused without decoding`() {
    for (width, height) in [(4_294_967_280, 4_294_967_280), (1_728, 4_294_967_295), (60_000, 10), (0, 10)] {
      var writer = TIFFWriter()
      writer.page(width: width, height: height, data: [0, 0])
      let reading = FaxReading(writer.bytes)
      #expect(reading.readablePages == 0)
      #expect(reading.faults.map(\.code) == [width == 0 ? .badTag : .dimensions])
    }
  }

  @Test func `a last page cut off leaves the pages before it, marked`() throws {
    let whole = try Fixture.document("loss-report-zh-g3-std-2p.tif")
    let reading = FaxReading(Array(whole.prefix(23_000)))
    #expect(reading.pages.count == 1)
    #expect(reading.readablePages == 1)
    #expect(!reading.isWhole)
    #expect(reading.faults.map(\.code) == [.truncated])
    #expect(reading.faults.first?.page == 2)
  }

  @Test func `picture data outside the file is named with its strip`() {
    var writer = TIFFWriter()
    writer.page()
    writer.page { $0[273] = TIFFWriter.entry(273, 4, 1, 1_000_000) }
    writer.page { $0[279] = TIFFWriter.entry(279, 4, 1, -1) }
    writer.page { $0[279] = nil }
    let reading = FaxReading(writer.bytes)
    #expect(reading.pages.map { $0.shownRows } == [4, 0, 0, 0])
    #expect(reading.faults.map(\.code) == [.stripOutsideFile, .stripOutsideFile, .badTag])
    #expect(reading.faults.map(\.page) == [2, 3, 4])
  }

  @Test func `more pages than the limit are not walked`() {
    var writer = TIFFWriter()
    for _ in 0..<40 { writer.page() }
    var limits = TIFFLimits()
    limits.pages = 30
    let structure = TIFFStructure(writer.bytes, limits: limits)
    #expect(structure.pages.count == 30)
    #expect(structure.fault?.code == .tooManyPages)
  }

  @Test func `a directory with thousands of entries is refused`() {
    let bytes = Array("II*\0\u{8}\0\0\0".utf8) + TIFFWriter.number(9_999, 2) + [UInt8](repeating: 0, count: 200_000)
    #expect(TIFFStructure(bytes).fault?.code == .badDirectory)
  }

  @Test func `compressions that are none of fax are refused by name`() {
    var writer = TIFFWriter()
    writer.page { $0[259] = TIFFWriter.entry(259, 3, 1, 6) }
    writer.page { $0[259] = TIFFWriter.entry(259, 3, 1, 34_661) }
    #expect(FaxReading(writer.bytes).faults.map(\.code) == [.unsupported, .unsupported])
  }

  @Test func `the pixel budget bounds the work over all pages`() throws {
    var limits = TIFFLimits()
    limits.pixels = 3_000_000
    let reading = FaxReading(try Fixture.document("loss-report-zh-g3-std-2p.tif"), limits: limits)
    #expect(reading.pages.map { $0.shownRows } == [1_146, 0])
    #expect(reading.faults.map(\.code) == [.dimensions])
  }

  @Test func `every prefix of a fax is read without a crash and never called whole`() throws {
    for name in ["small-g4", "small-g3-2d", "small-none", "small-big"] {
      let whole = try Fixture.bytes("\(name).tif")
      for length in 0..<whole.count {
        let reading = FaxReading(Array(whole.prefix(length)))
        if reading.isWhole || reading.faults.isEmpty { Issue.record("\(name), \(length) of \(whole.count) bytes") }
      }
    }
    let real = try Fixture.bytes("recordings/protocol/receive-ok/004.D3.S.bin")
    for length in stride(from: 0, to: real.count, by: 7) {
      if FaxReading(Array(real.prefix(length))).isWhole { Issue.record("\(length) of \(real.count) bytes") }
    }
  }

  @Test func `ten thousand damaged faxes are read or refused with a reason`() throws {
    var random = Seeded(20_261_124)
    let names = ["small-g4", "small-g3", "small-g3-2d", "small-none", "small-packbits", "small-big"]
    let files = try names.map { try Fixture.bytes("\($0).tif") }
    var limits = TIFFLimits()
    limits.height = 2_000
    limits.width = 3_000
    limits.pixels = 6_000_000
    var whole = 0
    for round in 0..<10_000 {
      let reading = FaxReading(random.damaged(files[round % files.count]), limits: limits)
      if reading.isWhole { whole += 1 } else { #expect(!reading.faults.isEmpty) }
      #expect(reading.readablePages <= reading.pages.count)
    }
    // Most damage hits the picture, where fax codings go on: some must pass, some must not.
    #expect((1..<9_999).contains(whole))
  }
}

@Suite struct PageImageTests {
  private func picture() -> PageImage {
    // 10 × 3: a black bar in the first row, one pixel at the lower left.
    PageImage(
      width: 10, height: 3, xResolution: 204, yResolution: 98, bits: [0xff, 0xc0, 0x00, 0x00, 0x80, 0x00])
  }

  @Test func `a standard page is stretched to square pixels`() {
    let square = picture().squared()
    #expect(square.height == 6)
    #expect(square.yResolution == 204)
    #expect(square.isBlack(0, 5))
    #expect(square.isBlack(9, 1))
  }

  @Test func `turning four times by a quarter gives the page back`() {
    let page = picture()
    var turned = page
    for _ in 0..<4 { turned = turned.rotated(.quarter) }
    #expect(turned == page)
    #expect(page.rotated(.half).rotated(.half) == page)
    #expect(page.rotated(.quarter).rotated(.threeQuarters) == page)
    #expect(page.rotated(.quarter).width == 3)
    #expect(page.rotated(.quarter).isBlack(0, 0))
  }

  @Test func `the preview is a PNG with one bit a pixel`() throws {
    let png = picture().squared().png()
    #expect(png.starts(with: [0x89, 0x50, 0x4e, 0x47]))
    #expect(Array(png[16..<24]) == [0, 0, 0, 10, 0, 0, 0, 6])
    #expect(png[24] == 1)
  }

  @Test func `a preview of a written page is small`() throws {
    var sizes: [Int] = []
    _ = FaxReading(try Fixture.document("loss-report-zh-g3-std-2p.tif")) { sizes.append($1.squared().png().count) }
    #expect(sizes.allSatisfy { (5_000...60_000).contains($0) }, "\(sizes)")
  }

  @Test func `the same sheet sent again has the same fingerprint`() throws {
    let sent = FaxReading(try Fixture.document("address-change-zh-g4-fine.tif")).pages[0].fingerprint
    let other = FaxReading(try Fixture.document("loss-report-en-g4-fine.tif")).pages[0].fingerprint
    let noisy = FaxReading(try Fixture.bytes("recordings/broken/g3-damaged-rows.tif")).pages[0].fingerprint
    let clean = FaxReading(try Fixture.document("loss-report-zh-g3-std-2p.tif")).pages[0].fingerprint
    let first = try #require(sent)
    #expect(first.shows(first))
    #expect(!first.shows(try #require(other)))
    #expect(try #require(noisy).exact != clean?.exact)
    #expect(try #require(noisy).shows(try #require(clean)))
  }

  @Test func `blank pages prove nothing`() {
    let blank = PageImage(width: 16, height: 2, xResolution: 204, yResolution: 98, bits: [0, 0, 0, 0])
    let fingerprint = PageFingerprint(blank)
    #expect(fingerprint.isBlank)
    #expect(!fingerprint.shows(fingerprint))
  }

  @Test func `compressed data is read back within its limit only`() {
    let bytes = [UInt8]((0..<100_000).map { UInt8(truncatingIfNeeded: $0 / 7) })
    #expect(inflated(deflated(bytes), limit: 100_000) == bytes)
    #expect(inflated(deflated(bytes), limit: 99_999) == nil)
    #expect(inflated(Array(deflated(bytes).dropLast(9)), limit: 200_000) == nil)
    #expect(inflated([1, 2, 3], limit: 100) == nil)
  }
}

import Foundation
import Testing

@testable import SMS

@Suite struct TextTests {
  @Test func `the GSM table is the shared one`() throws {
    var rows = 0
    for line in try Fixtures.text("gsm0338.tsv").split(separator: "\n") where !line.hasPrefix("#") {
      let cells = line.split(separator: "\t")
      let septets = try #require([UInt8](hex: cells[0]))
      guard septets != [0x1b] else { continue }
      let scalar = try #require(UInt32(cells[1].dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init))
      #expect(GSMAlphabet.encode(String(scalar)) == septets)
      #expect(GSMAlphabet.decode(septets).text == String(scalar))
      rows += 1
    }
    #expect(rows == 137)
  }

  @Test func `@ is the octet 0, the euro two septets, a lone escape a blank`() {
    #expect(GSMAlphabet.encode("a@€") == [0x61, 0x00, 0x1b, 0x65])
    #expect(GSMAlphabet.decode([0x00, 0x1b, 0x65, 0x1b]).text == "@€ ")
    #expect(GSMAlphabet.decode([0x1b, 0x41]).text == "A")
    #expect(GSMAlphabet.decode([0x80]).defects == 1)
    #expect(GSMAlphabet.encode("中") == nil)
  }

  @Test(arguments: [
    ("feff4e2d", "中", 0), ("fffe2d4e", "中", 0), ("d83dde00", "😀", 0), ("d83d", "\u{fffd}", 1),
    ("de00d83d", "\u{fffd}\u{fffd}", 2), ("4e2d4e", "中\u{fffd}", 1), ("", "", 0),
  ])
  func `UCS-2 is read as UTF-16 with marks and halves`(hex: String, text: String, defects: Int) throws {
    let read = UTF16Text.decode(try #require([UInt8](hex: hex)))
    #expect(read.text == text)
    #expect(read.defects == defects)
  }

  @Test func `GB18030 is read strictly, also its four-octet characters`() {
    let octets = TextCoding.gb18030.encode("我要投诉😀€")
    #expect(octets != nil)
    let read = TextCoding.gb18030.decode(octets ?? [])
    #expect(read.text == "我要投诉😀€")
    #expect(read.defects == 0)
    let broken = TextCoding.gb18030.decode([0xce, 0xd2, 0xff, 0x41, 0xce])
    #expect(broken.text == "我\u{fffd}A\u{fffd}")
    #expect(broken.defects == 2)
  }

  @Test(arguments: TextCoding.allCases) func `no octets make a decoder stop`(coding: TextCoding) {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<300 {
      let octets = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
        UInt8.random(in: 0...255, using: &generator)
      }
      _ = coding.decode(octets)
    }
  }

  // MARK: Segmentation

  private func parts(_ text: String, _ method: Segmentation.Method = .udh8) throws -> Segmentation {
    try Segmentation(
      text: text, codings: [.gsm7, .ucs2], method: method, reference: 0x1234, maximumParts: 255)
  }

  @Test(arguments: [
    (160, "a", 1), (161, "a", 2), (306, "a", 2), (307, "a", 3), (70, "中", 1), (71, "中", 2), (134, "中", 2),
    (135, "中", 3),
    (80, "€", 1), (81, "€", 2), (35, "😀", 1), (36, "😀", 2),
  ])
  func `a text takes as many parts as the standard says`(count: Int, of character: String, expected: Int) throws {
    #expect(try parts(String(repeating: character, count: count)).parts.count == expected)
  }

  @Test func `an escape is not cut from its septet`() throws {
    let cut = try parts(String(repeating: "A", count: 152) + "€" + String(repeating: "B", count: 20))
    #expect(cut.parts.map(\.octets.count) == [152, 22])
    #expect(cut.parts[1].octets.prefix(2) == [0x1b, 0x65])
  }

  @Test func `a surrogate pair is not cut`() throws {
    let cut = try parts(String(repeating: "中", count: 66) + "😀" + String(repeating: "中", count: 10))
    #expect(cut.parts.map(\.octets.count) == [132, 24])
    for part in cut.parts { #expect(UTF16Text.decode(part.octets).defects == 0) }
  }

  @Test func `a GB18030 character is not cut`() throws {
    let cut = try Segmentation(
      text: "a" + String(repeating: "中", count: 100), codings: [.gb18030], method: .udh8, reference: 1, maximumParts: 9)
    #expect(cut.parts.map(\.octets.count) == [133, 68])
  }

  @Test func `a 16-bit reference leaves less room, and both are written as the standard says`() throws {
    #expect(try parts(String(repeating: "a", count: 161), .udh16).parts[0].octets.count == 152)
    #expect(try parts(String(repeating: "中", count: 71), .udh16).parts[0].octets.count == 132)
    let narrow = try parts(String(repeating: "a", count: 161))
    #expect(narrow.parts[0].concatenation?.header().encoded == [5, 0, 3, 0x34, 2, 1])
    let wide = try parts(String(repeating: "a", count: 161), .udh16)
    #expect(wide.parts[1].concatenation?.header().encoded == [6, 8, 4, 0x12, 0x34, 2, 2])
    #expect(try parts(String(repeating: "a", count: 500), .payload).parts.count == 1)
    #expect(try parts(String(repeating: "a", count: 500), .payload).chargedParts == 4)
  }

  @Test func `parts joined again are the text, whatever the characters`() throws {
    var generator = SeededGenerator(seed: 11)
    let alphabet = Array("abc@€{}é中国😀\n 【】")
    for method in [Segmentation.Method.udh8, .udh16, .sar] {
      for _ in 0..<60 {
        let text = String(
          (0..<Int.random(in: 0...700, using: &generator)).map { _ in alphabet.randomElement(using: &generator) ?? "a" }
        )
        let cut = try parts(text, method)
        var joined: [UInt8] = []
        for part in cut.parts {
          let header = method == .sar ? nil : part.concatenation?.header().encoded
          #expect(part.octets.count + (header?.count ?? 0) <= (cut.coding == .gsm7 ? 160 : 140))
          joined += part.octets
        }
        #expect(cut.coding.decode(joined).text == text)
      }
    }
  }

  @Test func `more parts than allowed is a failure that says how many`() {
    #expect(throws: Segmentation.Failure.tooManyParts(4)) {
      try Segmentation(
        text: String(repeating: "a", count: 500), codings: [.gsm7], method: .udh8, reference: 1, maximumParts: 3)
    }
    #expect(throws: Segmentation.Failure.notEncodable) {
      try Segmentation(text: "中", codings: [.gsm7], method: .udh8, reference: 1, maximumParts: 3)
    }
  }

  @Test func `a Latin-1 link takes only what GSM has too`() throws {
    let latin = try Segmentation(text: "é€", codings: [.latin1, .ucs2], method: .udh8, reference: 1, maximumParts: 1)
    #expect(latin.coding == .ucs2)
    let plain = try Segmentation(
      text: "café £", codings: [.latin1, .ucs2], method: .udh8, reference: 1, maximumParts: 1)
    #expect(plain.parts[0].octets == [0x63, 0x61, 0x66, 0xe9, 0x20, 0xa3])
  }

  // MARK: Signature and preview

  @Test func `the signature is written once, by us or by the gateway`() {
    let own = Signature(name: "建设银行", placement: .start)
    #expect(own.apply(to: "您好").sent == "【建设银行】您好")
    #expect(own.apply(to: "【建设银行】您好").sent == "【建设银行】您好")
    #expect(own.apply(to: "您好【建设银行】").sent == "您好【建设银行】")
    let gateway = Signature(name: "建设银行", placement: .gateway)
    #expect(gateway.apply(to: "您好").sent == "您好")
    #expect(gateway.apply(to: "您好").counted == "【建设银行】您好")
  }

  @Test func `one Chinese sign makes any text 70, and the preview says which characters do it`() throws {
    let text = String(repeating: "a", count: 66)
    let plain = try TextPreview(of: text, on: TextProfile())
    #expect(plain.parts == 1)
    #expect(plain.unitsPerPart == 160)
    let signed = try TextPreview(
      of: text, on: TextProfile(signature: Signature(name: "建行", placement: .gateway)))
    #expect(signed.coding == .ucs2)
    #expect(signed.units == 70)
    #expect(signed.parts == 1)
    #expect(signed.outsideGSM == ["【", "建", "行", "】"])
    let longer = try TextPreview(
      of: text + "a", on: TextProfile(signature: Signature(name: "建行", placement: .gateway)))
    #expect(longer.parts == 2)
    #expect(longer.unitsPerPart == 67)
  }

  // MARK: User data header

  @Test(arguments: [
    ("050003210201", 0x21, false, 2, 1),
    ("060804123403 02".replacingOccurrences(of: " ", with: ""), 0x1234, true, 3, 2),
    ("0b05040b8423f0000321 0302".replacingOccurrences(of: " ", with: ""), 0x21, false, 3, 2),
  ])
  func `a concatenation is found behind other elements`(
    hex: String, reference: Int, wide: Bool, total: Int, number: Int
  ) throws {
    let octets = try #require([UInt8](hex: hex))
    let (header, rest) = try #require(UserDataHeader.split(octets + [0x41]))
    #expect(rest == [0x41])
    let found = try #require(header.concatenation)
    #expect(found.reference == UInt16(reference))
    #expect(found.wide == wide)
    #expect(found.total == total)
    #expect(found.number == number)
    #expect(header.encoded == octets)
  }

  @Test(arguments: ["", "05", "050003", "0500", "ff0003210201", "0600052102"])
  func `a header that does not hold what it promises is none`(hex: String) throws {
    #expect(UserDataHeader.split(try #require([UInt8](hex: hex))) == nil)
  }

  @Test(arguments: ["050003210200", "050003210203", "050003210000"])
  func `a concatenation that contradicts itself is none`(hex: String) throws {
    let octets = try #require([UInt8](hex: hex))
    let (header, _) = try #require(UserDataHeader.split(octets))
    #expect(header.concatenation == nil)
  }
}

/// The same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

/// National language tables. Source: 3GPP TS 23.038 annex A.
@Suite struct NationalLanguageTests {
  @Test(arguments: [
    (NationalTables(single: .turkish), "İstanbul'da ağır şık ÇĞİŞçğış €{}"),
    (NationalTables(locking: .turkish), "Şubat ayı faturanız çıktı: 100 € ĞğŞşİıç"),
    (NationalTables(single: .turkish, locking: .turkish), "Ğğ [ü] ~"),
    (NationalTables(single: .spanish), "¿Qué día? Ñandú ÁÍÓÚáíóúç"),
    (NationalTables(single: .portuguese), "São João à ação: ÂÃÀÊÔÕâãêôõç Φ"),
    (NationalTables(locking: .portuguese), "Você não pôde ação | ^ \\ ∞ ªº ÚÍÓ €"),
    (NationalTables(single: .portuguese, locking: .portuguese), "ΦΓΩ não {x} ~"),
  ])
  func `a text survives its language's tables`(tables: NationalTables, text: String) throws {
    let octets = try #require(tables.encode(text))
    let read = tables.decode(octets)
    #expect(read.text == text)
    #expect(read.defects == 0)
    // The same tables by way of the header.
    let header = UserDataHeader(elements: tables.elements)
    #expect(UserDataHeader.split(header.encoded + octets)?.header.tables == tables)
  }

  @Test func `a Turkish text stays in septets where the link allows it, and its parts are shorter`() throws {
    let text = String(repeating: "ş", count: 160)
    func cut(_ text: String, _ languages: [NationalLanguage], _ method: Segmentation.Method = .udh8) throws
      -> Segmentation
    {
      try Segmentation(
        text: text, codings: [.gsm7, .ucs2], languages: languages, method: method, reference: 1, maximumParts: 10)
    }
    #expect(try cut(text, []).coding == .ucs2)
    #expect(try cut(text, []).chargedParts == 3)
    let turkish = try cut(text, [.spanish, .turkish])
    #expect(turkish.coding == .gsm7)
    #expect(turkish.tables == NationalTables(locking: .turkish))
    #expect(turkish.chargedParts == 2)
    #expect(turkish.parts.allSatisfy { $0.octets.count <= 149 })
    #expect(try cut(String(repeating: "ş", count: 155), [.turkish]).chargedParts == 1)
    #expect(try cut(String(repeating: "ş", count: 156), [.turkish]).chargedParts == 2)
    #expect(
      Segmentation.limits(of: .gsm7, method: .udh16, tables: NationalTables(single: .turkish, locking: .turkish)) == (
        152, 145
      ))
    // Plain text pays for no table, and what no table has is UCS-2.
    #expect(try cut("plain", [.turkish]).tables == .none)
    #expect(try cut("账单", [.turkish]).coding == .ucs2)
    #expect(try cut(text, [.turkish], .sar).coding == .ucs2)
  }

  @Test func `a message in shifted septets is read from the wire, and an unknown language as the default alphabet`()
    throws
  {
    func text(_ elements: [UserDataHeader.Element], _ octets: [UInt8]) -> String? {
      let pdu = SMPPPDU(
        .deliverSM, sequence: 1,
        body: .message(
          SMPPMessage(
            source: SMPPAddress("905321234567"), destination: SMPPAddress("95588"), esmClass: 0x40,
            octets: UserDataHeader(elements: elements).encoded + octets)))
      guard case .success(let short)? = pdu.shortMessage(on: TextProfile()) else { return nil }
      return short.text.text
    }
    #expect(text([.init(id: 0x25, octets: [1])], [0x1c, 0x07, 0x04]) == "Şı€")
    #expect(text([.init(id: 0x24, octets: [1])], [0x1b, 0x53, 0x1b, 0x65, 0x04]) == "Ş€è")
    #expect(text([.init(id: 0x24, octets: [99])], [0x1b, 0x65, 0x04]) == "€è")
    #expect(text([.init(id: 0x25, octets: [2])], [0x04]) == "è")
    #expect(text([.init(id: 0x24, octets: [])], [0x1b, 0x65]) == "€")
  }
}

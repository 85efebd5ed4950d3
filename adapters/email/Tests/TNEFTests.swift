import Testing

@testable import Email

/// `winmail.dat` built by hand after [MS-OXTNEF], attribute by attribute.
@Suite struct TNEFTests {
  private func uint16(_ value: Int) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8 & 255)] }
  private func uint32(_ value: Int) -> [UInt8] { uint16(value & 0xffff) + uint16(value >> 16) }
  private func attribute(_ level: UInt8, _ id: Int, _ data: [UInt8]) -> [UInt8] {
    let sum = data.reduce(0) { ($0 + Int($1)) & 0xffff }
    return [level] + uint32(id) + uint32(data.count) + data + uint16(sum)
  }
  private func padded(_ bytes: [UInt8]) -> [UInt8] { bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4) }
  /// One property of one value with a length: a text in UTF-16 or a byte string.
  private func property(_ id: Int, _ type: Int, _ value: [UInt8]) -> [UInt8] {
    uint16(type) + uint16(id) + uint32(1) + uint32(value.count) + padded(value)
  }
  private func utf16(_ text: String) -> [UInt8] { Array(text.utf16).flatMap { uint16(Int($0)) } + [0, 0] }

  /// A message of code page 936 with its text and two files, the second with its true name in the properties.
  private var winmail: [UInt8] {
    let properties =
      uint32(2) + property(0x3707, 0x1f, utf16("对账单.pdf")) + property(0x3712, 0x1f, utf16("part1@x"))
    return uint32(0x223e_9f78) + uint16(1)
      + attribute(1, 0x0006_9007, uint32(936) + uint32(0))
      + attribute(1, 0x0002_800c, [0xd5, 0xcb, 0xb5, 0xa5, 0])
      + attribute(2, 0x0006_9002, [UInt8](repeating: 0, count: 14))
      + attribute(2, 0x0001_8010, Array("note.txt".utf8) + [0])
      + attribute(2, 0x0006_800f, Array("hello".utf8))
      + attribute(2, 0x0006_9002, [UInt8](repeating: 0, count: 14))
      + attribute(2, 0x0001_8010, Array("DUIZHA~1.PDF".utf8) + [0])
      + attribute(2, 0x0006_800f, Array("%PDF-1.4 x".utf8))
      + attribute(2, 0x0006_9005, properties)
  }

  @Test func `text and files are unpacked with their true names`() throws {
    let tnef = try #require(TNEF(winmail, hints: .init()))
    #expect(tnef.text == "账单")
    #expect(tnef.files.map(\.name) == ["note.txt", "对账单.pdf"])
    #expect(tnef.files.map { String(decoding: $0.bytes, as: UTF8.self) } == ["hello", "%PDF-1.4 x"])
    #expect(tnef.files[1].contentID == "part1@x")
  }

  @Test func `a mail with a winmail.dat alone shows its text and what was inside`() async throws {
    let body = String(decoding: Base64.encode(winmail), as: UTF8.self)
    let mail = try await MailReader().read(
      Array(
        """
        From: a@b.cn
        Message-ID: <1@b.cn>
        Content-Type: application/ms-tnef; name="winmail.dat"
        Content-Transfer-Encoding: base64

        \(body)
        """.utf8))
    #expect(mail.text == "账单")
    #expect(mail.attachments.map(\.name) == ["winmail.dat"])
    #expect(mail.attachments[0].contained.map(\.name) == ["note.txt", "对账单.pdf"])
    #expect(mail.attachments[0].contained[1].mediaType == "application/pdf")
  }

  @Test func `every beginning of one, and lengths that lie, give what was whole and never fail`() {
    let whole = winmail
    for length in 0..<whole.count { _ = TNEF(Array(whole[..<length]), hints: .init()) }
    for at in 6..<whole.count {
      var wrong = whole
      wrong[at] = 0xff
      _ = TNEF(wrong, hints: .init())
    }
    #expect(TNEF(Array("PK not this".utf8), hints: .init()) == nil)
  }
}

import Telephony
import Testing

@Suite struct AMIDecoderTests {
  private func messages(_ bytes: [UInt8], piece: Int, limits: AMIDecoder.Limits = .init()) -> [[String]] {
    var out: [[String]] = []
    var decoder = AMIDecoder(limits: limits)
    var offset = 0
    while offset < bytes.count {
      let end = min(bytes.count, offset + piece)
      decoder.feed(bytes[offset..<end]) { message in out.append(message.headers.map { "\($0.key)=\($0.value)" }) }
      offset = end
    }
    return out
  }

  @Test func `pieces of any size give the same messages`() throws {
    let bytes = try Fixtures.bytes("recorded/11-protocol-shapes.ami")
    let whole = messages(bytes, piece: bytes.count)
    #expect(whole.count > 30)
    for piece in [1, 2, 3, 7, 64, 1_000] { #expect(messages(bytes, piece: piece) == whole) }
  }

  @Test func `the banner is no message and no header`() {
    var decoder = AMIDecoder()
    var names: [String] = []
    decoder.feed(Array("Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nActionID: 1\r\n\r\n".utf8)) {
      names.append("\($0.kind) \($0.responseActionID?.text ?? "-")")
    }
    #expect(decoder.banner == "Asterisk Call Manager/11.0.0")
    #expect(names == ["response 1"])
  }

  @Test func `one blank after the colon is the separator, further ones are the value's`() {
    let got = messages(
      Array("Event: X\r\nA:  two\r\nB:none\r\n: noKey\r\nC: a: b\r\nD:\r\nlonely\r\n\r\n".utf8), piece: 5)
    #expect(got == [["Event=X", "A= two", "B=none", "=noKey", "C=a: b", "D=", "lonely="]])
  }

  @Test func `what a dial plan writes into a user event is neither an event nor an answer`() {
    let text =
      "Event: UserEvent\r\nUniqueid: 1.1\r\nUserEvent: Mine\r\nEvent: Newchannel\r\nResponse: Success\r\n"
      + "ActionID: spoofed\r\nUniqueid: 9.9\r\n\r\n"
    var seen: [String] = []
    var decoder = AMIDecoder()
    decoder.feed(Array(text.utf8)) { message in
      seen.append("\(message.kind) \(message.name.text) \(message.first("Uniqueid")?.text ?? "-")")
      #expect(message.responseActionID == nil)
    }
    #expect(seen == ["event UserEvent 1.1"])
  }

  @Test func `a message that is too long is skipped whole, the next one is read`() {
    let long = "Event: Long\r\n" + String(repeating: "Key: value\r\n", count: 100) + "\r\n"
    let line = "Event: Line\r\nKey: " + String(repeating: "x", count: 2_000) + "\r\n\r\n"
    let bytes = Array((long + "Event: A\r\n\r\n" + line + "Event: B\r\n\r\n").utf8)
    for piece in [1, 2, 3, 4, 5, 7, 100, 5_000] {
      let got = messages(bytes, piece: piece, limits: .init(messageBytes: 200, headers: 16))
      #expect(got == [["Event=A"], ["Event=B"]], "in pieces of \(piece)")
    }
  }

  @Test func `what is held back is bounded whatever arrives`() {
    var decoder = AMIDecoder(limits: .init(messageBytes: 1_000, headers: 8))
    for _ in 0..<1_000 {
      decoder.feed([UInt8](repeating: 0x41, count: 777)) { _ in }
      #expect(decoder.pendingBytes <= 1_000)
    }
    #expect(decoder.oversize == 1)
  }

  @Test func `C escapes are resolved where Asterisk writes them`() {
    var decoder = AMIDecoder()
    var name: String?
    decoder.feed(Array("Event: X\r\nCallerIDName: O\\'Brien \\\"x\\\" \\\\ \\q\r\n\r\n".utf8)) {
      name = $0.first("CallerIDName")?.unescaped
    }
    #expect(name == "O'Brien \"x\" \\ \\q")
  }

  @Test func `bytes that are no UTF-8 become replacement characters`() {
    var decoder = AMIDecoder()
    var name: String?
    decoder.feed(Array("Event: X\r\nN: Z".utf8) + [0xfc] + Array("rich\r\n\r\n".utf8)) { name = $0.first("N")?.text }
    #expect(name == "Z\u{fffd}rich")
  }
}

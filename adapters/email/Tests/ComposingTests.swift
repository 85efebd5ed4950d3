import Channels
import Testing

@testable import Email

@Suite struct ComposingTests {
  private let signer = SignedAddress(keys: testKeys)
  private var composer: Composer {
    Composer(settings: .init(mailbox: "service@bank.example", displayName: "客服"), signer: signer)
  }
  private func dispatch(_ content: Dispatch.Content) -> Dispatch {
    let attempt = AttemptID(at: Timestamp(seconds: 1_714_987_860))
    return Dispatch(
      key: "k", attempt: attempt, wireIdentity: composer.messageID(of: attempt),
      to: Address(kind: .email, canonical: "kehu@example.cn", raw: "kehu@example.cn"), from: nil, content: content,
      expires: nil)
  }
  private func lines(_ mail: ComposedMail) -> [String] {
    String(decoding: mail.bytes, as: UTF8.self).components("\r\n")
  }

  @Test func `words are at most 45 octets and cut at characters`() {
    let text = String(repeating: "转账未到账👨‍👩‍👧‍👦é", count: 20)
    for word in HeaderWriter.words(text) {
      #expect(word.utf8.count <= 75)
      let inner = Base64.decode(Array(word.utf8.dropFirst(10).dropLast(2)))
      #expect(inner.count <= 45)
      #expect(String(validating: inner, as: UTF8.self) != nil)
    }
    let field = HeaderWriter.unstructured("Subject", text)
    #expect(EncodedWords.folded(Array(field.utf8.dropFirst(9)), hints: .init()) == text)
  }
  @Test func `no line is longer than RFC 5322 allows and all ends are CRLF`() async throws {
    var content = Dispatch.Content(
      subject: String(repeating: "long words ", count: 200), text: String(repeating: "文", count: 5_000),
      html: "<p>文</p>")
    content.attachments = [
      .init(
        name: String(repeating: "名", count: 120) + ".pdf", mediaType: "application/pdf",
        bytes: Array(repeating: 7, count: 10_000))
    ]
    let mail = composer.compose(dispatch(content), at: Timestamp(seconds: 1_714_987_860))
    for line in lines(mail) {
      #expect(line.utf8.count <= 998)
      #expect(!line.utf8.contains(0x0a) && !line.utf8.contains(0x0d))
    }
    let read = try await MailReader().read(mail.bytes)
    #expect(read.attachments.map(\.name) == [content.attachments[0].name])
    #expect(read.text == content.text)
    #expect(read.html == "<p>文</p>")
    #expect(read.date == "Mon, 6 May 2024 09:31:00 +0000")
  }
  @Test func `nobody writes headers of his own through a subject, a name or an address`() {
    var content = Dispatch.Content(
      subject: "a\r\nBcc: x@y", text: "t",
      options: ["from_name": "n\r\nBcc: x@y", "unsubscribe": "https://b/\r\nBcc: x@y"])
    content.references = ["a@b>\r\nBcc: x@y"]
    let mail = composer.compose(dispatch(content), at: Timestamp(seconds: 0))
    #expect(!lines(mail).contains { $0.hasPrefix("Bcc") })
  }
  @Test func `marketing carries one-click unsubscription and automatic mail no sender`() {
    let marketing = composer.compose(
      dispatch(.init(subject: "s", text: "t", options: ["unsubscribe": "https://bank.example/u/1"])),
      at: Timestamp(seconds: 0))
    #expect(lines(marketing).contains("List-Unsubscribe: <https://bank.example/u/1>"))
    #expect(lines(marketing).contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"))
    #expect(signer.token(.bounce, in: marketing.envelopeFrom) != nil)
    let automatic = composer.compose(
      dispatch(.init(subject: "s", text: "t", options: ["automatic": "yes"])), at: Timestamp(seconds: 0))
    #expect(lines(automatic).contains("Auto-Submitted: auto-generated"))
    #expect(lines(automatic).contains("X-Auto-Response-Suppress: All"))
    #expect(automatic.envelopeFrom == "")
  }
  @Test func `the same attempt gives the same bytes`() {
    let one = dispatch(.init(subject: "s", text: "t", html: "<p>t</p>"))
    #expect(
      composer.compose(one, at: Timestamp(seconds: 5)).bytes == composer.compose(one, at: Timestamp(seconds: 5)).bytes)
  }
  @Test func `a signed address comes back in any case and is not to be forged`() {
    let address = signer.address(.reply, token: "request_01h455vb4pex5vsknk084sn02q", mailbox: "service@bank.example")
    #expect(address.prefix { $0 != "@" }.utf8.count <= 64)
    #expect(signer.token(.reply, in: address) == "request_01h455vb4pex5vsknk084sn02q")
    #expect(signer.token(.reply, in: address.uppercased()) == "request_01h455vb4pex5vsknk084sn02q")
    #expect(signer.token(.bounce, in: address) == nil)
    #expect(signer.token(.reply, in: address.replacing("02q.", with: "02r.")) == nil)
    #expect(SignedAddress(keys: [[1]]).token(.reply, in: address) == nil)
    #expect(SignedAddress(keys: [[1]] + testKeys).token(.reply, in: address) != nil)
    for text in ["", "@", "service@bank.example", "service+@bank.example", "service+a@b", "service+.x@bank.example"] {
      #expect(signer.token(.reply, in: text) == nil)
    }
  }
}

extension String {
  func components(_ separator: String) -> [String] {
    var out: [String] = []
    var rest = self[...]
    while let range = rest.firstRange(of: separator) {
      out.append(String(rest[..<range.lowerBound]))
      rest = rest[range.upperBound...]
    }
    out.append(String(rest))
    return out
  }
}

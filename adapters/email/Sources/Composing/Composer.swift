import Channels
import Crypto

/// One outgoing mail, whole: bytes that are not altered any more, so that what is logged, sent and signed is one.
public struct ComposedMail: Sendable {
  /// CRLF throughout.
  public var bytes: [UInt8]
  /// Envelope sender (VERP); empty for automatic answers.
  public var envelopeFrom: String
  /// Without brackets.
  public var messageID: String
}

/// Builds mail that every client shows right: UTF-8, base 64 bodies, B words, both ways of naming files.
///
/// Pure: the same dispatch and date give the same bytes, boundaries included. Options read from
/// `Dispatch.Content.options`: `automatic` = `yes` (Auto-Submitted, no answers wanted, empty envelope sender),
/// `unsubscribe` = an https URL (RFC 8058), `case` = the token replies shall bear, `from_name`, `in_reply_to_subject`.
public struct Composer: Sendable {
  public struct Settings: Sendable {
    /// The mailbox customers know: `service@bank.example`.
    public var mailbox: String
    public var displayName: String?
    /// Right of the @ in Message-IDs.
    public var idHost: String
    /// Where reports about attempts come back: `bounce@bank.example`; must be delivered to this adapter too.
    public var bounceMailbox: String
    public init(mailbox: String, displayName: String? = nil, idHost: String? = nil, bounceMailbox: String? = nil) {
      let host = mailbox.split(separator: "@").last.map(String.init) ?? "localhost"
      self.mailbox = mailbox
      self.displayName = displayName
      self.idHost = idHost ?? host
      self.bounceMailbox = bounceMailbox ?? "bounce@" + host
    }
  }
  public let settings: Settings
  public let signer: SignedAddress

  public init(settings: Settings, signer: SignedAddress) {
    self.settings = settings
    self.signer = signer
  }

  /// The Message-ID of an attempt, without brackets; the same after a restart.
  public func messageID(of attempt: AttemptID) -> String { "\(attempt)@\(settings.idHost)" }

  /// What VERP calls an attempt: `bounce+attempt_….mac@`.
  public func bounceAddress(of attempt: AttemptID) -> String {
    signer.address(.bounce, token: attempt.description, mailbox: settings.bounceMailbox)
  }

  public func compose(_ dispatch: Dispatch, at date: Timestamp) -> ComposedMail {
    let content = dispatch.content
    let automatic = content.options["automatic"] == "yes"
    let messageID = dispatch.wireIdentity.isEmpty ? messageID(of: dispatch.attempt) : dispatch.wireIdentity
    var head = ""
    head += HeaderWriter.mailbox(
      "From", name: content.options["from_name"] ?? settings.displayName,
      address: dispatch.from?.canonical ?? settings.mailbox)
    head += HeaderWriter.mailbox(
      "To", name: nil, address: dispatch.to.raw.isEmpty ? dispatch.to.canonical : dispatch.to.raw)
    if let token = content.options["case"] {
      head += HeaderWriter.mailbox(
        "Reply-To", name: nil, address: signer.address(.reply, token: token, mailbox: settings.mailbox))
    }
    head += HeaderWriter.unstructured("Subject", content.subject ?? "")
    head += "Date: \(Self.rfc5322(date))\r\n"
    head += HeaderWriter.ids("Message-ID", [messageID])
    if let nearest = content.references.first {
      head += HeaderWriter.ids("In-Reply-To", [nearest])
      head += HeaderWriter.ids("References", content.references.prefix(20).reversed())
    }
    head += "X-Liaison-Attempt: \(dispatch.attempt)\r\n"
    if automatic {
      head += "Auto-Submitted: auto-generated\r\nX-Auto-Response-Suppress: All\r\n"
    }
    if let link = content.options["unsubscribe"], link.hasPrefix("https://") {
      head += "List-Unsubscribe: <\(HeaderWriter.withoutControls(link).filter { $0 != " " && $0 != ">" })>\r\n"
      head += "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    }
    if let language = content.language, language.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) {
      head += "Content-Language: \(language)\r\n"
    }
    head += "MIME-Version: 1.0\r\n"
    var boundaries = Boundaries(messageID)
    var bytes = Array(head.utf8)
    bytes += body(content, &boundaries)
    return ComposedMail(
      bytes: bytes, envelopeFrom: automatic ? "" : bounceAddress(of: dispatch.attempt), messageID: messageID)
  }

  private func body(_ content: Dispatch.Content, _ boundaries: inout Boundaries) -> [UInt8] {
    var text = Self.textPart("plain", content.text)
    if let html = content.html {
      text = Self.multipart("alternative", [text, Self.textPart("html", html)], boundaries.next())
    }
    guard !content.attachments.isEmpty else { return text }
    let inline = content.attachments.filter { $0.contentID != nil && content.html != nil }
    let others = content.attachments.filter { $0.contentID == nil || content.html == nil }
    if !inline.isEmpty { text = Self.multipart("related", [text] + inline.map(Self.attachment), boundaries.next()) }
    guard !others.isEmpty else { return text }
    return Self.multipart("mixed", [text] + others.map(Self.attachment), boundaries.next())
  }

  private static func textPart(_ subtype: String, _ text: String) -> [UInt8] {
    var crlf: [UInt8] = []
    crlf.reserveCapacity(text.utf8.count + 64)
    var previous: UInt8 = 0
    for byte in text.utf8 {
      if byte == 0x0a, previous != 0x0d { crlf.append(0x0d) }
      crlf.append(byte)
      previous = byte
    }
    return Array("Content-Type: text/\(subtype); charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n".utf8)
      + lines(Base64.encode(crlf))
  }

  private static func attachment(_ attachment: InboundMessage.Attachment) -> [UInt8] {
    let type =
      attachment.mediaType.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f } && attachment.mediaType.has("/")
      ? attachment.mediaType : "application/octet-stream"
    var head = "Content-Type: \(type)"
    if let name = attachment.name { head += HeaderWriter.fileName("name", name) }
    head += "\r\nContent-Transfer-Encoding: base64\r\n"
    if let id = attachment.contentID { head += HeaderWriter.ids("Content-ID", [id]) }
    head += "Content-Disposition: " + (attachment.contentID == nil ? "attachment" : "inline")
    if let name = attachment.name { head += HeaderWriter.fileName("filename", name) }
    return Array((head + "\r\n\r\n").utf8) + lines(Base64.encode(attachment.bytes))
  }

  private static func multipart(_ subtype: String, _ parts: [[UInt8]], _ boundary: String) -> [UInt8] {
    var out = Array("Content-Type: multipart/\(subtype); boundary=\"\(boundary)\"\r\n\r\n".utf8)
    for part in parts {
      out += Array("--\(boundary)\r\n".utf8)
      out += part
    }
    out += Array("--\(boundary)--\r\n".utf8)
    return out
  }

  /// Lines of 76 digits.
  private static func lines(_ encoded: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(encoded.count + encoded.count / 38 + 2)
    var index = 0
    while index < encoded.count {
      out += encoded[index..<min(index + 76, encoded.count)]
      out += [0x0d, 0x0a]
      index += 76
    }
    if encoded.isEmpty { out += [0x0d, 0x0a] }
    return out
  }

  /// A date as RFC 5322 §3.3 writes it.
  package static func date(_ time: Timestamp) -> String { rfc5322(time) }

  /// `Mon, 6 May 2024 09:31:00 +0000` (RFC 5322 §3.3).
  static func rfc5322(_ time: Timestamp) -> String {
    let text = time.description
    let part = { (range: Range<Int>) in Int(String(decoding: Array(text.utf8)[range], as: UTF8.self)) ?? 0 }
    let days = Int((time.seconds >= 0 ? time.seconds : time.seconds - 86_399) / 86_400)
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][((days % 7) + 7) % 7]
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let clock = String(decoding: Array(text.utf8)[11..<19], as: UTF8.self)
    return "\(weekday), \(part(8..<10)) \(months[max(0, part(5..<7) - 1)]) \(part(0..<4)) \(clock) +0000"
  }
}

/// Boundaries that depend on the message alone; `=_` cannot occur in base 64 nor in quoted-printable (RFC 2045 §6.7).
private struct Boundaries {
  private let seed: String
  private var count = 0
  init(_ messageID: String) {
    let digest = SHA256.hash(data: Array(messageID.utf8))
    let digits = Array("0123456789abcdef".utf8)
    seed = String(decoding: digest.prefix(8).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }
  mutating func next() -> String {
    count += 1
    return "=_liaison_\(seed)_\(count)"
  }
}

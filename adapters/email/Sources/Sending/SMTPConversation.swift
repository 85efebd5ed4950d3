import CCurl
import CCurlShims
import Channels

/// One session with a mail server over libcurl's connection, word by word: what libesmtp 1.1 cannot.
///
/// TLS from the first byte (port 465, RFC 8314), TLS 1.3, and addresses beyond ASCII (SMTPUTF8, RFC 6531). libcurl
/// connects, greets, secures and logs in; from there on every command and reply is ours, so that a trace is what was
/// said. Blocking, on a thread of the submitter. Source: RFC 5321 §4.1, RFC 3461 §4.
struct SMTPConversation {
  private let connection: CurlConnection
  private var pending: [UInt8] = []
  private var extensions: Set<String> = []
  private let settings: MailSubmissionSettings

  /// A reply of any honest server is shorter.
  private static let maximumReplyBytes = 1 << 20

  /// Whether a letter's addresses need a server that takes SMTPUTF8.
  static func needsUTF8(_ letter: ESMTPSession.Letter) -> Bool {
    (letter.to + letter.from).utf8.contains { $0 >= 0x80 }
  }

  /// Sends and returns a trace per letter, in order. Never throws: what went wrong is in the traces.
  static func send(
    _ letters: [ESMTPSession.Letter], settings: MailSubmissionSettings, now: @escaping () -> Timestamp
  ) -> [SendTrace] {
    var conversation: SMTPConversation
    do throws(MailboxFailure) {
      conversation = try SMTPConversation(settings)
    } catch {
      let text = error.code == .authentication ? "auth: \(error.text)" : error.text
      return letters.map { _ in SendTrace(sessionError: text, at: now()) }
    }
    var ended: String?
    let traces = letters.map { letter -> SendTrace in
      var trace = SendTrace(sessionError: ended ?? "", at: now())
      guard ended == nil else { return trace }
      do throws(MailboxFailure) {
        try conversation.carry(letter, &trace)
      } catch {
        ended = error.text
        trace.sessionError = error.text
      }
      if [trace.mail, trace.recipient, trace.transfer].contains(where: { $0.code == 421 }) {
        ended = "the server has closed the session"
      }
      trace.at = now()
      return trace
    }
    if ended == nil { conversation.quit() }
    return traces
  }

  private init(_ settings: MailSubmissionSettings) throws(MailboxFailure) {
    self.settings = settings
    let scheme = settings.tls == .implicit ? "smtps" : "smtp"
    // The path of the URL is the name libcurl gives in its EHLO.
    connection = try CurlConnection(
      .init(
        url: "\(scheme)://\(settings.host):\(settings.port)/\(settings.hostName)", user: settings.user,
        password: settings.password, demandsTLS: settings.tls == .starttls, caFile: settings.caFile,
        timeoutSeconds: settings.timeoutSeconds), wakeup: Wakeup())
    // Said again: what the server can do is known only to libcurl so far.
    let answer = try ask("EHLO \(settings.hostName)")
    guard answer.code / 100 == 2 else { return }
    for line in answer.lines.dropFirst() {
      if let word = line.split(separator: " ").first { extensions.insert(word.uppercased()) }
    }
  }

  private mutating func carry(_ letter: ESMTPSession.Letter, _ trace: inout SendTrace) throws(MailboxFailure) {
    guard Self.isPlain(letter.to), !letter.to.isEmpty, Self.isPlain(letter.from) else {
      trace.mail = .init(code: 553, enhanced: "5.1.3", text: "no address that can be written on an envelope")
      return
    }
    let needsUTF8 = Self.needsUTF8(letter)
    if needsUTF8, !extensions.contains("SMTPUTF8") {
      trace.mail = .init(code: 553, enhanced: "5.6.7", text: "the server takes no address beyond ASCII")
      return
    }
    var from = "MAIL FROM:<\(letter.from)>"
    if extensions.contains("SIZE") { from += " SIZE=\(letter.bytes.count)" }
    if extensions.contains("DSN") { from += " RET=HDRS ENVID=\(letter.envelopeID)" }
    if needsUTF8 { from += " SMTPUTF8" }
    trace.mail = try ask(from).reply
    guard trace.mail.code / 100 == 2 else { return try forget(trace.mail) }
    trace.recipient = try ask(
      "RCPT TO:<\(letter.to)>" + (extensions.contains("DSN") ? " NOTIFY=FAILURE,DELAY" : "")
    ).reply
    guard trace.recipient.code / 100 == 2 else { return try forget(trace.recipient) }
    let permission = try ask("DATA").reply
    guard permission.code == 354 else {
      trace.transfer = permission
      return try forget(permission)
    }
    let data = Self.stuffed(letter.bytes)
    // The last piece has the final dot: once it is being written, it may arrive.
    let last = data.count - min(data.count, 4_096)
    if last > 0 { try connection.send(Array(data[..<last])) }
    trace.wasHandedOver = true
    try connection.send(Array(data[last...]))
    trace.transfer = try answer(within: settings.transferTimeoutSeconds * 1_000).reply
  }

  /// After a refusal the next letter begins anew.
  private mutating func forget(_ refusal: SendTrace.Reply) throws(MailboxFailure) {
    if refusal.code != 421 { _ = try ask("RSET") }
  }

  private mutating func quit() {
    // The mail is answered for; how the server takes leave changes nothing.
    _ = try? ask("QUIT")
  }

  // MARK: Wire

  private struct Answer {
    var code: Int
    var lines: [String]
    var reply: SendTrace.Reply {
      var reply = SendTrace.Reply(code: code)
      var text = lines.joined(separator: " ")
      if let word = text.split(separator: " ").first,
        word.split(separator: ".").count == 3, word.allSatisfy({ $0.isNumber || $0 == "." })
      {
        reply.enhanced = String(word)
        text = String(text.dropFirst(word.count)).trimmedBlanks
      }
      reply.text = String(text.prefix(500))
      return reply
    }
  }

  private mutating func ask(_ command: String) throws(MailboxFailure) -> Answer {
    try connection.send(Array((command + "\r\n").utf8))
    return try answer(within: settings.timeoutSeconds * 1_000)
  }

  /// `250-first`, `250 last`. Source: RFC 5321 §4.2.1.
  private mutating func answer(within milliseconds: Int) throws(MailboxFailure) -> Answer {
    var lines: [String] = []
    var total = 0
    while true {
      guard let end = pending.firstIndex(of: 0x0a) else {
        let more = try connection.receive(milliseconds: milliseconds)
        pending += more
        total += more.count
        guard total <= Self.maximumReplyBytes else {
          throw MailboxFailure(code: .tooLarge, text: "a reply without end")
        }
        continue
      }
      let line = String(decoding: pending[..<end], as: UTF8.self).trimmedBlanks
      pending.removeSubrange(...end)
      guard let code = Int(line.prefix(3)), (200...599).contains(code) else {
        throw MailboxFailure(code: .protocolViolation, text: "no reply: \(line.prefix(100))")
      }
      lines.append(String(line.dropFirst(4)))
      if line.dropFirst(3).first != "-" { return Answer(code: code, lines: lines) }
    }
  }

  /// Dots at the beginning of lines doubled, and the end. Source: RFC 5321 §4.5.2.
  private static func stuffed(_ bytes: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count + 64)
    var isAtStart = true
    for byte in bytes {
      if isAtStart, byte == 0x2e { out.append(byte) }
      out.append(byte)
      isAtStart = byte == 0x0a
    }
    return out + Array((isAtStart ? ".\r\n" : "\r\n.\r\n").utf8)
  }

  private static func isPlain(_ address: String) -> Bool {
    address.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7f && $0 != 0x3c && $0 != 0x3e }
  }
}

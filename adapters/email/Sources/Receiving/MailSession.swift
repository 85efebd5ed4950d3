import Channels

/// One conversation with a mail server that hands mail to us: the protocol of SMTP and LMTP as a state machine.
///
/// Lines and message data in, actions out; no clock, no I/O. LMTP differs in three things: LHLO for EHLO, one reply
/// per recipient after the data, and DATA without a recipient is 503. Source: RFC 5321, 2033 (LMTP), 1870 (SIZE),
/// 6152 (8BITMIME), 6531 (SMTPUTF8), 2920 (PIPELINING), 3207 (STARTTLS), 3463 (codes).
package struct MailSession {
  enum Flavour: String, Sendable { case smtp, lmtp }

  struct Limits: Sendable, Hashable {
    var messageBytes = 30 << 20
    var recipients = 100
    /// Commands the peer may get wrong before we hang up.
    var errors = 20
  }

  package struct Envelope: Sendable, Hashable {
    package var helo: String
    /// Empty for `<>`.
    package var from: String
    package var recipients: [String]
    package var isUTF8: Bool
  }

  enum Action: Equatable {
    case reply(String)
    /// The reply was 220: everything after it is TLS; what was read ahead is thrown away (RFC 3207 §6).
    case startTLS
    /// The whole message has come; answer with `outcome(of:)` once each recipient's fate is known.
    case deliver(Envelope, message: [UInt8])
    /// Something was refused for good before it became an arrival: to be counted.
    case refused(Refusal.Code)
    case close
  }

  let flavour: Flavour
  let hostName: String
  let limits: Limits
  let offersTLS: Bool
  let requiresTLS: Bool
  /// Whether mail for an address is taken here; asked at RCPT.
  let serves: @Sendable (String) -> Bool

  private(set) var isSecure = false
  private var helo: String?
  private var sender: String?
  private var senderIsUTF8 = false
  private var recipients: [String] = []
  private var errors = 0
  private(set) var isReadingData = false
  private var data: [UInt8] = []
  private var isTooLarge = false

  init(
    flavour: Flavour, hostName: String, limits: Limits, offersTLS: Bool, requiresTLS: Bool,
    serves: @escaping @Sendable (String) -> Bool
  ) {
    self.flavour = flavour
    self.hostName = hostName
    self.limits = limits
    self.offersTLS = offersTLS
    self.requiresTLS = requiresTLS
    self.serves = serves
  }

  var greeting: String { "220 \(hostName) \(flavour == .lmtp ? "LMTP" : "ESMTP")\r\n" }

  /// TLS has begun: the conversation starts anew (RFC 3207 §4.2).
  mutating func secured() {
    isSecure = true
    helo = nil
    resetTransaction()
  }

  /// One command line without its line end.
  mutating func command(_ line: [UInt8]) -> [Action] {
    let text = String(decoding: line, as: UTF8.self)
    let (verb, argument) = Self.split(text)
    switch verb {
    case "EHLO" where flavour == .smtp, "LHLO" where flavour == .lmtp: return hello(argument)
    case "HELO" where flavour == .smtp:
      guard !argument.isEmpty else { return failed("501 5.5.4 Syntax: HELO host") }
      helo = argument
      resetTransaction()
      return [.reply("250 \(hostName)\r\n")]
    case "EHLO", "LHLO", "HELO": return failed("500 5.5.1 \(flavour == .lmtp ? "LHLO" : "EHLO") is spoken here")
    case "STARTTLS":
      guard offersTLS, !isSecure else { return failed("502 5.5.1 TLS is not available") }
      guard argument.isEmpty else { return failed("501 5.5.4 Syntax: STARTTLS") }
      return [.reply("220 2.0.0 Ready to start TLS\r\n"), .startTLS]
    case "MAIL": return mail(argument)
    case "RCPT": return rcpt(argument)
    case "DATA": return beginData(argument)
    case "RSET":
      resetTransaction()
      return [.reply("250 2.0.0 Ok\r\n")]
    case "NOOP": return [.reply("250 2.0.0 Ok\r\n")]
    case "VRFY": return [.reply("252 2.0.0 Send some mail, I'll try my best\r\n")]
    case "QUIT": return [.reply("221 2.0.0 Bye\r\n"), .close]
    default: return failed("500 5.5.2 Command not recognised")
    }
  }

  /// A line longer than a command may be.
  mutating func overlongCommand() -> [Action] { failed("500 5.5.2 Line too long") }

  /// One line of message data with its line end; the final dot ends it.
  mutating func data(_ line: some Collection<UInt8>, continuesLine: Bool = false) -> [Action] {
    if line.first == 0x2e, !continuesLine {
      let rest = line.dropFirst()
      if rest.elementsEqual([0x0d, 0x0a]) || rest.elementsEqual([0x0a]) { return endData() }
      append(rest)
    } else {
      append(line)
    }
    return []
  }

  /// What the peer is told of the message last delivered, one outcome per recipient in the order of RCPT.
  mutating func outcome(of outcomes: [Outcome]) -> [Action] {
    resetTransaction()
    if flavour == .lmtp { return outcomes.map { .reply($0.reply) } }
    // SMTP has one answer: if a single recipient is not served the peer must come again; whoever was stored already
    // is recognised by its wire key.
    if let busy = outcomes.first(where: { $0 == .busy }) { return [.reply(busy.reply)] }
    if let refused = outcomes.first(where: { if case .refused = $0 { true } else { false } }),
      !outcomes.contains(.stored)
    {
      return [.reply(refused.reply)]
    }
    return [.reply(Outcome.stored.reply)]
  }

  package enum Outcome: Equatable, Sendable {
    case stored, busy
    case refused(String)
    var reply: String {
      switch self {
      case .stored: "250 2.0.0 Ok: stored\r\n"
      case .busy: "451 4.3.0 Busy, try again later\r\n"
      case .refused(let text): "554 5.7.0 \(HeaderWriter.withoutControls(text).prefix(400))\r\n"
      }
    }
  }

  // MARK: Commands

  private mutating func hello(_ argument: String) -> [Action] {
    guard !argument.isEmpty else { return failed("501 5.5.4 Syntax: \(flavour == .lmtp ? "LHLO" : "EHLO") host") }
    helo = String(argument.prefix(255))
    resetTransaction()
    var lines = [
      hostName, "PIPELINING", "SIZE \(limits.messageBytes)", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES",
    ]
    if offersTLS, !isSecure { lines.append("STARTTLS") }
    let last = lines.removeLast()
    return [.reply(lines.map { "250-\($0)\r\n" }.joined() + "250 \(last)\r\n")]
  }

  private mutating func mail(_ argument: String) -> [Action] {
    guard helo != nil else { return failed("503 5.5.1 Say hello first") }
    guard !requiresTLS || isSecure else { return failed("530 5.7.0 Must issue a STARTTLS command first") }
    guard sender == nil else { return failed("503 5.5.1 Nested MAIL command") }
    guard let (address, parameters) = Self.path(argument, after: "FROM:") else {
      return failed("501 5.1.7 Syntax: MAIL FROM:<address>")
    }
    for parameter in parameters {
      let (key, value) = Self.split(parameter, at: "=")
      switch key {
      case "SIZE":
        guard let size = Int(value) else { return failed("501 5.5.4 Bad SIZE") }
        guard size <= limits.messageBytes else {
          return failed("552 5.3.4 Message size exceeds fixed limit") + [.refused(.tooLarge)]
        }
      case "BODY":
        guard ["7BIT", "8BITMIME"].contains(value.uppercased()) else { return failed("501 5.5.4 Bad BODY") }
      case "SMTPUTF8": senderIsUTF8 = true
      // Delivery reports are the business of the server before us.
      case "RET", "ENVID", "AUTH": break
      default: return failed("555 5.5.4 Unsupported option: \(HeaderWriter.withoutControls(key).prefix(40))")
      }
    }
    sender = address
    return [.reply("250 2.1.0 Ok\r\n")]
  }

  private mutating func rcpt(_ argument: String) -> [Action] {
    guard sender != nil else { return failed("503 5.5.1 Need MAIL command") }
    guard let (address, parameters) = Self.path(argument, after: "TO:"), !address.isEmpty else {
      return failed("501 5.1.3 Syntax: RCPT TO:<address>")
    }
    for parameter in parameters {
      let key = Self.split(parameter, at: "=").0
      guard ["NOTIFY", "ORCPT"].contains(key) else { return failed("555 5.5.4 Unsupported option") }
    }
    guard recipients.count < limits.recipients else { return [.reply("452 4.5.3 Too many recipients\r\n")] }
    guard serves(address) else {
      return failed("550 5.1.1 Recipient address unknown here") + [.refused(.unknownRecipient)]
    }
    recipients.append(address)
    return [.reply("250 2.1.5 Ok\r\n")]
  }

  private mutating func beginData(_ argument: String) -> [Action] {
    guard argument.isEmpty else { return failed("501 5.5.4 Syntax: DATA") }
    guard sender != nil else { return failed("503 5.5.1 Need MAIL command") }
    guard !recipients.isEmpty else {
      return failed(flavour == .lmtp ? "503 5.5.1 No valid recipients" : "554 5.5.1 No valid recipients")
    }
    isReadingData = true
    isTooLarge = false
    data = []
    return [.reply("354 End data with <CR><LF>.<CR><LF>\r\n")]
  }

  private mutating func append(_ bytes: some Collection<UInt8>) {
    if data.count + bytes.count > limits.messageBytes {
      isTooLarge = true
      data = []
    }
    if !isTooLarge { data += bytes }
  }

  private mutating func endData() -> [Action] {
    isReadingData = false
    let message = data
    data = []
    if isTooLarge {
      let count = flavour == .lmtp ? recipients.count : 1
      resetTransaction()
      return Array(repeating: .reply("552 5.3.4 Message size exceeds fixed limit\r\n"), count: count)
        + [.refused(.tooLarge)]
    }
    let envelope = Envelope(helo: helo ?? "", from: sender ?? "", recipients: recipients, isUTF8: senderIsUTF8)
    return [.deliver(envelope, message: message)]
  }

  private mutating func resetTransaction() {
    sender = nil
    senderIsUTF8 = false
    recipients = []
  }

  private mutating func failed(_ reply: String) -> [Action] {
    errors += 1
    if errors > limits.errors { return [.reply("421 4.7.0 Too many errors\r\n"), .close] }
    return [.reply(reply + "\r\n")]
  }

  // MARK: Grammar

  private static func split(_ text: String) -> (verb: String, argument: String) {
    let (verb, rest) = split(text.trimmedBlanks, at: " ")
    return (verb, rest.trimmedBlanks)
  }

  private static func split(_ text: String, at separator: Character) -> (String, String) {
    guard let at = text.firstIndex(of: separator) else { return (text.uppercased(), "") }
    return (text[..<at].uppercased(), String(text[text.index(after: at)...]))
  }

  /// `FROM:<a@b> SIZE=1 BODY=8BITMIME`: the address without brackets and source route, and the parameters.
  private static func path(_ argument: String, after keyword: String) -> (String, [String])? {
    guard argument.uppercased().hasPrefix(keyword) else { return nil }
    let rest = String(argument.dropFirst(keyword.count)).trimmedBlanks
    var address: String
    var parameters: Substring
    if rest.hasPrefix("<") {
      var quoted = false
      var end: String.Index?
      for index in rest.indices.dropFirst() {
        if rest[index] == "\"" { quoted.toggle() }
        if rest[index] == ">", !quoted {
          end = index
          break
        }
      }
      guard let end else { return nil }
      address = String(rest[rest.index(after: rest.startIndex)..<end])
      parameters = rest[rest.index(after: end)...]
    } else {
      let end = rest.firstIndex(of: " ") ?? rest.endIndex
      address = String(rest[..<end])
      parameters = rest[end...]
      if address.isEmpty { return nil }
    }
    if address.hasPrefix("@"), let colon = address.firstIndex(of: ":") {
      address = String(address[address.index(after: colon)...])
    }
    guard address.utf8.count <= 512, !address.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return nil }
    return (address, parameters.split(separator: " ").map(String.init))
  }
}

import Channels

/// The few commands of IMAP we need, one after the other, blocking. Source: RFC 9051; 2177 (IDLE); 6851 (MOVE).
/// `@unchecked Sendable` for the reason CurlConnection is.
final class IMAPClient: @unchecked Sendable {
  struct Selected: Sendable, Hashable {
    var uidValidity: UInt32
    var exists: UInt32
  }
  private let connection: CurlConnection
  private var decoder: IMAPDecoder
  private var tags = 0
  private(set) var capabilities: Set<String> = []

  init(_ settings: MailboxSettings, token: String?, wakeup: Wakeup, maximumBytes: Int) throws(MailboxFailure) {
    connection = try CurlConnection(settings, token: token, wakeup: wakeup)
    decoder = IMAPDecoder(maximumLiteral: maximumBytes + 65_536)
    for response in try command("CAPABILITY") where response.rest.hasPrefix("CAPABILITY ") {
      capabilities = Set(response.rest.split(separator: " ").dropFirst().map { $0.uppercased() })
    }
  }

  func select(_ folder: String) throws(MailboxFailure) -> Selected {
    var selected = Selected(uidValidity: 0, exists: 0)
    for response in try command("SELECT " + imapQuoted(folder)) {
      if let validity = response.number(after: "[UIDVALIDITY") { selected.uidValidity = validity }
      if response.rest.uppercased().hasSuffix(" EXISTS") {
        selected.exists = UInt32(response.rest.prefix { $0 != " " }) ?? 0
      }
    }
    return selected
  }

  /// UIDs above `uid`, ascending.
  func uids(above uid: UInt32) throws(MailboxFailure) -> [UInt32] {
    guard uid < UInt32.max else { return [] }
    var found: [UInt32] = []
    for response in try command("UID SEARCH UID \(uid + 1):*") where response.rest.uppercased().hasPrefix("SEARCH") {
      found += response.rest.split(separator: " ").dropFirst().compactMap { UInt32($0) }
    }
    // `n:*` gives the last message also when it is below n.
    return Set(found.filter { $0 > uid }).sorted()
  }

  /// Size in bytes and since when the server has it, if it says; nil if the message is gone.
  func facts(of uid: UInt32) throws(MailboxFailure) -> (size: Int, since: Timestamp?)? {
    for response in try command("UID FETCH \(uid) (UID RFC822.SIZE INTERNALDATE)") {
      if response.rest.uppercased().has(" FETCH "), response.number(after: "UID") == uid,
        let size = response.number(after: "RFC822.SIZE")
      {
        return (Int(size), internalDate(in: String(response.rest)))
      }
    }
    return nil
  }

  /// The whole message, or its header alone, without setting \Seen; nil if it is gone.
  func body(of uid: UInt32, headerOnly: Bool = false) throws(MailboxFailure) -> [UInt8]? {
    for response in try command("UID FETCH \(uid) (UID BODY.PEEK[\(headerOnly ? "HEADER" : "")])") {
      guard response.rest.uppercased().has(" FETCH "), response.number(after: "UID ") == uid else { continue }
      if let body = response.literals.first { return body }
      // An empty or short message may come as a quoted string.
      if let offset = response.line.firstOffset(of: "] \""), response.line.hasSuffix("\")") {
        return Array(response.line.utf8.dropFirst(offset + 3).dropLast(2))
      }
    }
    return nil
  }

  func markSeen(_ uid: UInt32) throws(MailboxFailure) { _ = try command("UID STORE \(uid) +FLAGS.SILENT (\\Seen)") }
  func flag(_ uid: UInt32) throws(MailboxFailure) { _ = try command("UID STORE \(uid) +FLAGS.SILENT (\\Flagged)") }

  func delete(_ uid: UInt32) throws(MailboxFailure) {
    _ = try command("UID STORE \(uid) +FLAGS.SILENT (\\Seen \\Deleted)")
    // Without UIDPLUS an EXPUNGE would take what others have marked; then the mark must do.
    if capabilities.contains("UIDPLUS") { _ = try command("UID EXPUNGE \(uid)") }
  }

  func move(_ uid: UInt32, to folder: String) throws(MailboxFailure) {
    _ = try command("UID STORE \(uid) +FLAGS.SILENT (\\Seen)")
    if capabilities.contains("MOVE") {
      _ = try command("UID MOVE \(uid) " + imapQuoted(folder))
    } else {
      _ = try command("UID COPY \(uid) " + imapQuoted(folder))
      try delete(uid)
    }
  }

  func noop() throws(MailboxFailure) { _ = try command("NOOP") }

  /// Waits for news: returns at the first EXISTS, after `seconds`, or when woken.
  func idle(seconds: Int) throws(MailboxFailure) {
    let tag = nextTag()
    try connection.send(Array("\(tag) IDLE\r\n".utf8))
    var isIdling = false
    var wakesUp = false
    while true {
      while let response = try nextBuffered() {
        if response.tag == tag {
          guard !isIdling || wakesUp else { return }
          if response.rest.uppercased().hasPrefix("OK") { return }
          throw MailboxFailure(code: .protocolViolation, text: String(response.line.prefix(200)))
        }
        if response.tag == "+" { isIdling = true }
        if response.rest.uppercased().hasSuffix(" EXISTS") || response.rest.uppercased().hasSuffix(" RECENT") {
          wakesUp = true
        }
        if response.rest.uppercased().hasPrefix("BYE") {
          throw MailboxFailure(code: .connection, text: "the server said BYE")
        }
      }
      if isIdling, wakesUp { break }
      do {
        decoder.append(try connection.receive(milliseconds: isIdling ? seconds * 1_000 : nil, wakes: isIdling))
      } catch {
        // Time to renew, or something else to do: both end IDLE in order.
        guard isIdling, error.code == .timeout || error.code == .woken else { throw error }
        break
      }
    }
    try connection.send(Array("DONE\r\n".utf8))
    while true {
      while let response = try nextBuffered() { if response.tag == tag { return } }
      decoder.append(try connection.receive())
    }
  }

  func logout() {
    // The connection is given up in any case.
    try? connection.send(Array("\(nextTag()) LOGOUT\r\n".utf8))
  }

  // MARK: One command

  private func nextTag() -> String {
    tags += 1
    return "L\(tags)"
  }

  /// The untagged responses; throws if the server says NO or BAD.
  private func command(_ text: String) throws(MailboxFailure) -> [IMAPResponse] {
    let tag = nextTag()
    try connection.send(Array("\(tag) \(text)\r\n".utf8))
    var responses: [IMAPResponse] = []
    while true {
      while let response = try nextBuffered() {
        if response.tag == tag {
          guard response.rest.uppercased().hasPrefix("OK") else {
            throw MailboxFailure(
              code: .protocolViolation, text: "\(text.prefix(40)): \(response.rest.prefix(200))")
          }
          return responses
        }
        guard responses.count < 100_000 else {
          throw MailboxFailure(code: .protocolViolation, text: "too many responses")
        }
        responses.append(response)
      }
      decoder.append(try connection.receive())
    }
  }

  private func nextBuffered() throws(MailboxFailure) -> IMAPResponse? {
    do { return try decoder.next() } catch {
      throw MailboxFailure(code: error == .literalTooLarge ? .tooLarge : .protocolViolation, text: "\(error)")
    }
  }
}

/// `INTERNALDATE "17-Jul-1996 02:44:25 -0700"`; nil where there is none that can be read. Source: RFC 9051 §9 date-time.
func internalDate(in text: String) -> Timestamp? {
  guard let offset = text.uppercased().firstOffset(of: "INTERNALDATE \"") else { return nil }
  let bytes = Array(text.utf8.dropFirst(offset + 14).prefix(26))
  guard bytes.count == 26 else { return nil }
  let part = { (range: Range<Int>) in String(decoding: bytes[range], as: UTF8.self) }
  let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
  guard let month = months.firstIndex(of: part(3..<6).lowercased()) else { return nil }
  let two = { (number: Int) in number < 10 ? "0\(number)" : "\(number)" }
  let day = part(0..<2).replacing(" ", with: "0")
  return Timestamp(
    "\(part(7..<11))-\(two(month + 1))-\(day)T\(part(12..<20))\(part(21..<24)):\(part(24..<26))")
}

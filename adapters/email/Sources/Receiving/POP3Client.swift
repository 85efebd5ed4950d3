/// POP3 for servers that have nothing better: list, get, delete. Blocking. Source: RFC 1939.
/// `@unchecked Sendable` for the reason CurlConnection is.
final class POP3Client: @unchecked Sendable {
  struct Entry: Sendable, Hashable {
    var number: Int
    var uid: String
    var size: Int
  }
  private let connection: CurlConnection
  private let maximumBytes: Int
  private var pending: [UInt8] = []

  init(_ settings: MailboxSettings, token: String?, wakeup: Wakeup, maximumBytes: Int) throws(MailboxFailure) {
    connection = try CurlConnection(settings, token: token, wakeup: wakeup)
    self.maximumBytes = maximumBytes
  }

  func list() throws(MailboxFailure) -> [Entry] {
    var sizes: [Int: Int] = [:]
    for line in try multiline("LIST") {
      let parts = line.split(separator: " ")
      if parts.count >= 2, let number = Int(parts[0]), let size = Int(parts[1]) { sizes[number] = size }
    }
    return try multiline("UIDL").compactMap { line in
      let parts = line.split(separator: " ")
      guard parts.count >= 2, let number = Int(parts[0]) else { return nil }
      return Entry(number: number, uid: String(parts[1]), size: sizes[number] ?? 0)
    }
  }

  func retrieve(_ number: Int) throws(MailboxFailure) -> [UInt8] { try data("RETR \(number)") }
  /// The header and nothing of the body.
  func header(_ number: Int) throws(MailboxFailure) -> [UInt8] { try data("TOP \(number) 0") }
  func delete(_ number: Int) throws(MailboxFailure) { try single("DELE \(number)") }
  /// Deletions take effect only now.
  func quit() throws(MailboxFailure) { try single("QUIT") }

  private func single(_ command: String) throws(MailboxFailure) {
    try connection.send(Array((command + "\r\n").utf8))
    try expectOK(command)
  }

  private func expectOK(_ command: String) throws(MailboxFailure) {
    let reply = String(decoding: try line(), as: UTF8.self)
    guard reply.uppercased().hasPrefix("+OK") else {
      throw MailboxFailure(code: .protocolViolation, text: "\(command): \(reply.prefix(200))")
    }
  }

  private func multiline(_ command: String) throws(MailboxFailure) -> [String] {
    try connection.send(Array((command + "\r\n").utf8))
    try expectOK(command)
    var lines: [String] = []
    while true {
      let next = try line()
      if next == [0x2e] { return lines }
      guard lines.count < 200_000 else { throw MailboxFailure(code: .protocolViolation, text: "too many messages") }
      lines.append(String(decoding: next, as: UTF8.self))
    }
  }

  private func data(_ command: String) throws(MailboxFailure) -> [UInt8] {
    try connection.send(Array((command + "\r\n").utf8))
    try expectOK(command)
    var out: [UInt8] = []
    while true {
      var next = try line(limit: maximumBytes)
      if next == [0x2e] { return out }
      if next.first == 0x2e { next.removeFirst() }
      out += next
      out += [0x0d, 0x0a]
      guard out.count <= maximumBytes + 65_536 else { throw MailboxFailure(code: .tooLarge, text: "message too large") }
    }
  }

  private func line(limit: Int = 65_536) throws(MailboxFailure) -> [UInt8] {
    var scanned = 0
    while true {
      if let end = pending[scanned...].firstIndex(of: 0x0a) {
        var line = Array(pending[..<end])
        if line.last == 0x0d { line.removeLast() }
        pending.removeFirst(end + 1)
        return line
      }
      scanned = pending.count
      guard pending.count <= limit else { throw MailboxFailure(code: .protocolViolation, text: "line too long") }
      pending += try connection.receive()
    }
  }
}

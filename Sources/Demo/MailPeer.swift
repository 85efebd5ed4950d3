import Glibc
import NIOPosix

/// The sending end of a mail server: one connection on which mail is handed on by LMTP or SMTP, pipelined.
///
/// For the demo, tests and benchmarks. Blocking; `deliver` is for callers that must not block.
/// `@unchecked Sendable`: used by one caller at a time.
public final class MailPeer: @unchecked Sendable {
  public enum Wire: String, Sendable { case lmtp, smtp }
  public struct Letter: Sendable {
    /// Empty for `<>`.
    public var from: String
    public var to: [String]
    /// CRLF throughout; dots are doubled here.
    public var bytes: [UInt8]
    public init(from: String, to: [String], bytes: [UInt8]) {
      self.from = from
      self.to = to
      self.bytes = bytes
    }
  }
  public struct Failure: Error, CustomStringConvertible {
    public var description: String
  }

  private let descriptor: Int32
  private let wire: Wire
  private var pending: [UInt8] = []
  private var start = 0

  /// Connects to the loopback and says hello. `patience` bounds every wait for a reply.
  public init(port: Int, wire: Wire = .lmtp, patience: Int = 60) throws {
    self.wire = wire
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var limit = timeval(tv_sec: patience, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, Int32(SO_RCVTIMEO), &limit, socklen_t(MemoryLayout<timeval>.size))
    var one: Int32 = 1
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw Failure(description: "cannot connect to port \(port)") }
    guard try reply().hasPrefix("220") else { throw Failure(description: "no greeting") }
    try say(wire == .lmtp ? "LHLO mx.example\r\n" : "EHLO mx.example\r\n")
    _ = try reply()
  }
  deinit { close(descriptor) }

  /// Hands one letter over; the last reply to each recipient: that to RCPT where it was refused, else that to the data.
  public func send(_ letter: Letter) throws -> [String] {
    var commands = "MAIL FROM:<\(letter.from)>\r\n"
    for recipient in letter.to { commands += "RCPT TO:<\(recipient)>\r\n" }
    try say(commands + "DATA\r\n")
    let mail = try reply()
    var replies: [String] = []
    for _ in letter.to { replies.append(try reply()) }
    let data = try reply()
    guard data.hasPrefix("354") else {
      try say("RSET\r\n")
      _ = try reply()
      return replies.map { $0.hasPrefix("250") ? (mail.hasPrefix("250") ? data : mail) : $0 }
    }
    var out: [UInt8] = []
    out.reserveCapacity(letter.bytes.count + 16)
    var atStart = true
    for byte in letter.bytes {
      if atStart, byte == 0x2e { out.append(byte) }
      out.append(byte)
      atStart = byte == 0x0a
    }
    if !atStart { out += [0x0d, 0x0a] }
    out += Array(".\r\n".utf8)
    try write(out)
    if wire == .smtp {
      let last = try reply()
      return replies.map { $0.hasPrefix("250") ? last : $0 }
    }
    for index in replies.indices where replies[index].hasPrefix("250") { replies[index] = try reply() }
    return replies
  }

  /// A connection for one letter, off the caller's thread.
  public static func deliver(_ letter: Letter, port: Int, wire: Wire = .lmtp) async throws -> [String] {
    try await NIOThreadPool.singleton.runIfActive { try MailPeer(port: port, wire: wire).send(letter) }
  }

  public func say(_ text: String) throws { try write(Array(text.utf8)) }

  private func write(_ bytes: [UInt8]) throws {
    var offset = 0
    while offset < bytes.count {
      let sent = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress! + offset, bytes.count - offset, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { throw Failure(description: "the connection is gone") }
      offset += sent
    }
  }

  /// The last line of the next reply.
  public func reply() throws -> String {
    while true {
      let line = try line()
      let bytes = Array(line.utf8.prefix(4))
      if bytes.count < 4 || bytes[3] != 0x2d { return line }
    }
  }

  private func line() throws -> String {
    while true {
      if let end = pending[start...].firstIndex(of: 0x0a) {
        let text = String(decoding: pending[start..<end].filter { $0 != 0x0d }, as: UTF8.self)
        start = end + 1
        if start == pending.count {
          pending = []
          start = 0
        }
        return text
      }
      var buffer = [UInt8](repeating: 0, count: 8_192)
      let count = recv(descriptor, &buffer, buffer.count, 0)
      guard count > 0 else { throw Failure(description: "no reply came") }
      pending += buffer[..<count]
    }
  }
}

/// One answer of hfaxd: a three-digit code and its lines.
public struct Reply: Hashable, Sendable {
  public var code: Int
  /// The text of each line without code and line end, at least one.
  public var lines: [String]

  public init(code: Int, lines: [String]) {
    self.code = code
    self.lines = lines
  }
  public var text: String { lines.joined(separator: "\n") }
  /// More will follow for the same command: 150 before a transfer.
  public var isPreliminary: Bool { code / 100 == 1 }
  public var isSuccess: Bool { code / 100 == 2 || code / 100 == 3 }
}

/// Splits what arrives on a control connection into replies.
///
/// `ddd text` is a reply, `ddd-text … ddd text` one of several lines. HylaFAX also writes lines that are neither: a
/// STATUS
/// with line feeds in it is followed by an empty line or by a converter's chatter outside any reply (specs/fax.md trap
/// 3).
/// Such lines are counted and skipped. Bare line feeds end a line as well. Bounded: an endless line is an error.
/// Source: RFC 959 §4.2, hfaxd/HylaFAXServer.c++.
public struct ReplyParser: Sendable {
  public enum Failure: Error, Hashable, Sendable {
    case lineTooLong, replyTooLong
  }
  public static let maximumLine = 8_192
  public static let maximumLines = 4_096

  private var line: [UInt8] = []
  private var open: Reply?
  /// Lines outside every reply so far.
  public private(set) var skipped = 0
  public private(set) var lastSkipped: String?

  public init() {}

  public mutating func feed(_ bytes: some Sequence<UInt8>) throws(Failure) -> [Reply] {
    var replies: [Reply] = []
    for byte in bytes {
      guard byte == 0x0a else {
        guard line.count < ReplyParser.maximumLine else { throw .lineTooLong }
        line.append(byte)
        continue
      }
      if line.last == 0x0d { line.removeLast() }
      if let reply = try take(line) { replies.append(reply) }
      line.removeAll(keepingCapacity: true)
    }
    return replies
  }

  private mutating func take(_ line: [UInt8]) throws(Failure) -> Reply? {
    let head = ReplyParser.head(line)
    if var reply = open {
      let closes = head?.code == reply.code && head?.continues == false
      let text = head?.code == reply.code ? Array(line.dropFirst(4)) : line
      reply.lines.append(String(decoding: text, as: UTF8.self))
      guard reply.lines.count <= ReplyParser.maximumLines else { throw .replyTooLong }
      open = closes ? nil : reply
      return closes ? reply : nil
    }
    guard let head else {
      skipped += 1
      lastSkipped = String(decoding: line.prefix(200), as: UTF8.self)
      return nil
    }
    let reply = Reply(code: head.code, lines: [String(decoding: line.dropFirst(4), as: UTF8.self)])
    guard head.continues else { return reply }
    open = reply
    return nil
  }

  /// The code of a line that begins `ddd `, `ddd-` or is `ddd` alone.
  private static func head(_ line: [UInt8]) -> (code: Int, continues: Bool)? {
    guard line.count >= 3, line.prefix(3).allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    let code = line.prefix(3).reduce(0) { $0 * 10 + Int($1 - 0x30) }
    guard (100...699).contains(code) else { return nil }
    if line.count == 3 || line[3] == 0x20 { return (code, false) }
    return line[3] == 0x2d ? (code, true) : nil
  }
}

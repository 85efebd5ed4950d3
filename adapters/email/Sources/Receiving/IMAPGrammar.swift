/// Responses of an IMAP server: a line, with the literals in it. Source: RFC 9051 §7, §4.3.
struct IMAPResponse: Sendable {
  /// The line without its end; each literal is replaced by `{}`.
  var line: String
  var literals: [[UInt8]]
  /// `*`, `+` or the tag.
  var tag: Substring { line.prefix { $0 != " " } }
  /// The line behind the tag.
  var rest: Substring { line.dropFirst(tag.count + 1) }

  /// The number after `key` (`UIDVALIDITY 17`), in upper case compared.
  func number(after key: StaticString) -> UInt32? {
    let upper = line.uppercased()
    guard let offset = upper.firstOffset(of: key) else { return nil }
    let digits = upper.utf8.dropFirst(offset + key.utf8CodeUnitCount).drop { $0 == 0x20 }
      .prefix { $0 >= 0x30 && $0 <= 0x39 }
    return UInt32(String(decoding: digits, as: UTF8.self))
  }
}

/// Bytes in, responses out. Bounds: a line 64 KB, the literals of one response `maximumLiteral` together.
struct IMAPDecoder {
  enum Failure: Error { case lineTooLong, literalTooLarge }
  let maximumLiteral: Int
  private var pending: [UInt8] = []
  private var start = 0
  private var line: [UInt8] = []
  private var literals: [[UInt8]] = []
  private var literalBytes = 0
  /// Bytes of the literal still to come.
  private var wanted: Int?

  init(maximumLiteral: Int) { self.maximumLiteral = maximumLiteral }

  mutating func append(_ bytes: some Collection<UInt8>) {
    if start > 0 {
      pending.removeFirst(start)
      start = 0
    }
    pending += bytes
  }

  mutating func next() throws(Failure) -> IMAPResponse? {
    while true {
      if let count = wanted {
        guard pending.count - start >= count else { return nil }
        literals.append(Array(pending[start..<(start + count)]))
        start += count
        wanted = nil
      }
      guard let end = pending[start...].firstIndex(of: 0x0a) else {
        if pending.count - start > 65_536 { throw .lineTooLong }
        return nil
      }
      var piece = pending[start..<end]
      if piece.last == 0x0d { piece.removeLast() }
      start = end + 1
      guard line.count + piece.count <= 65_536 else { throw .lineTooLong }
      if let (count, head) = Self.literal(at: piece) {
        literalBytes += count
        guard literalBytes <= maximumLiteral else { throw .literalTooLarge }
        line += head
        line += [0x7b, 0x7d]
        wanted = count
        continue
      }
      line += piece
      defer {
        line = []
        literals = []
        literalBytes = 0
      }
      return IMAPResponse(line: String(decoding: line, as: UTF8.self), literals: literals)
    }
  }

  /// `… {123}` at the end of a line: how many bytes follow, and the line before the brace.
  private static func literal(at piece: ArraySlice<UInt8>) -> (Int, ArraySlice<UInt8>)? {
    guard piece.last == 0x7d, let open = piece.lastIndex(of: 0x7b) else { return nil }
    let digits = piece[(open + 1)..<(piece.endIndex - 1)].filter { $0 != 0x2b }
    guard !digits.isEmpty, digits.count <= 10, digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
      let count = Int(String(decoding: digits, as: UTF8.self))
    else { return nil }
    return (count, piece[..<open])
  }
}

/// A string as IMAP wants it quoted; what cannot be quoted is left out.
func imapQuoted(_ text: String) -> String {
  let clean = text.filter { $0 != "\r" && $0 != "\n" && $0 != "\r\n" && $0 != "\0" }
  return "\"" + clean.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
}

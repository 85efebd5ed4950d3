/// A recorded session as text: `C <hex>` what the client sent, `S <hex>` what the server sent, one line a segment.
///
/// Lines that begin with `#` are comments; of them only the times and `C closes` / `S closes` are read. A line of
/// hexadecimal digits alone is taken for the server's. Anything else is an error of that line and no other.
public struct Recording: Sendable {
  public enum Side: String, Hashable, Sendable { case client = "C", server = "S" }

  public enum Event: Sendable {
    case segment(Side, [UInt8])
    case closes(Side)
    case unreadable(String)
  }

  public struct Entry: Sendable {
    /// From 1.
    public var line: Int
    /// Seconds since the start of the recording; nil if the comments do not tell.
    public var time: Double?
    public var event: Event
  }

  public private(set) var entries: [Entry] = []

  public init(_ text: String) {
    for (offset, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
      let line = raw.drop { $0 == " " || $0 == "\t" || $0 == "\u{feff}" }
      guard !line.isEmpty else { continue }
      if line.first == "#" {
        readComment(line.dropFirst(), line: offset + 1)
        continue
      }
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      let side: Side?
      let digits: String
      switch words[0] {
      case "C", "c", "C:", ">":
        side = .client
        digits = words.dropFirst().joined()
      case "S", "s", "S:", "<":
        side = .server
        digits = words.dropFirst().joined()
      default:
        side = nil
        digits = words.joined()
      }
      if let octets = [UInt8](hex: digits) {
        entries.append(Entry(line: offset + 1, time: nil, event: .segment(side ?? .server, octets)))
      } else {
        entries.append(
          Entry(
            line: offset + 1, time: nil, event: .unreadable("neither a comment nor hexadecimal: \(line.prefix(40))")))
      }
    }
  }

  /// `0.058 C submit_sm …` dates the segments before it that have no time yet; `0.4 C closes` also ends a stream.
  private mutating func readComment(_ comment: Substring, line: Int) {
    let words = comment.split(separator: " ", maxSplits: 3)
    guard words.count >= 2 else { return }
    let time = Double(words[0])
    let rest = time == nil ? words[...] : words.dropFirst()
    guard let first = rest.first, let side = Side(rawValue: String(first)) else { return }
    if let time {
      var index = entries.count - 1
      while index >= 0, entries[index].time == nil {
        entries[index].time = time
        index -= 1
      }
    }
    if rest.dropFirst().first?.hasPrefix("closes") == true {
      entries.append(Entry(line: line, time: time, event: .closes(side)))
    }
  }
}

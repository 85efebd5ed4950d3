/// One recorded control connection with its data connections, as in shared recordings: a `.rec` file.
///
/// A line is seconds since connect, then `C>` or `S>` and an escaped string, or `D1 …` for the first data connection:
/// `open active|passive`, `C> N bytes ["…"]`, `close by C|S`, `C total N bytes in FILE.bin`. Lines of another form are
/// counted and passed over: a damaged recording still tells what is left of it.
public struct Recording: Sendable {
  public enum Side: String, Hashable, Sendable, Codable { case client = "C", server = "S" }
  public enum Entry: Sendable {
    case line(Side, [UInt8])
    case dataOpened(Int, passive: Bool)
    /// `bytes` is nil when the recording holds only their number here.
    case data(Int, Side, count: Int, bytes: [UInt8]?)
    case dataStored(Int, Side, count: Int, file: String)
    case dataClosed(Int, Side)
    case closed(Side)
  }
  public struct Moment: Sendable {
    public var seconds: Double
    public var entry: Entry
  }
  public var moments: [Moment] = []
  public var unreadableLines = 0

  public init(_ text: [UInt8]) {
    for raw in text.split(separator: 0x0a) {
      let line = String(decoding: raw, as: UTF8.self)
      if line.allSatisfy({ $0.isWhitespace }) || line.hasPrefix("#") { continue }
      if let moment = Recording.moment(line) { moments.append(moment) } else { unreadableLines += 1 }
    }
  }

  private static func moment(_ line: String) -> Moment? {
    let parts = line.split(separator: " ", maxSplits: 2)
    guard parts.count == 3, let seconds = Double(parts[0]) else { return nil }
    let rest = parts[2]
    switch parts[1] {
    case "C>", "S>":
      guard let side = Side(rawValue: String(parts[1].prefix(1))), let bytes = unescaped(rest) else { return nil }
      return Moment(seconds: seconds, entry: .line(side, bytes))
    case "C", "S":
      guard let side = Side(rawValue: String(parts[1])), rest.hasPrefix("closes control") else { return nil }
      return Moment(seconds: seconds, entry: .closed(side))
    default:
      guard parts[1].hasPrefix("D"), let number = Int(parts[1].dropFirst()),
        let entry = dataEntry(number, String(rest))
      else { return nil }
      return Moment(seconds: seconds, entry: entry)
    }
  }

  private static func dataEntry(_ number: Int, _ rest: String) -> Entry? {
    let words = rest.split(separator: " ", maxSplits: 3)
    guard words.count >= 2 else { return nil }
    switch words[0] {
    case "open": return .dataOpened(number, passive: words[1] == "passive")
    case "close":
      guard words.count >= 3, let side = Side(rawValue: String(words[2])) else { return nil }
      return .dataClosed(number, side)
    case "C>", "S>":
      guard let side = Side(rawValue: String(words[0].prefix(1))), let count = Int(words[1]) else { return nil }
      let bytes = words.count > 3 ? unescaped(words[3]) : nil
      return .data(number, side, count: count, bytes: bytes)
    case "C", "S":
      guard words.count == 4, words[1] == "total", let side = Side(rawValue: String(words[0])),
        let count = Int(words[2]), let file = words[3].split(separator: " ").last
      else { return nil }
      return .dataStored(number, side, count: count, file: String(file))
    default: return nil
    }
  }

  /// `"…"` with `\r \n \t \" \\ \xNN`.
  static func unescaped(_ text: some StringProtocol) -> [UInt8]? {
    let bytes = Array(text.utf8)
    guard bytes.count >= 2, bytes.first == 0x22, bytes.last == 0x22 else { return nil }
    var out: [UInt8] = []
    var index = 1
    while index < bytes.count - 1 {
      let byte = bytes[index]
      index += 1
      guard byte == 0x5c else {
        out.append(byte)
        continue
      }
      guard index < bytes.count - 1 else { return nil }
      let escape = bytes[index]
      index += 1
      switch escape {
      case UInt8(ascii: "r"): out.append(0x0d)
      case UInt8(ascii: "n"): out.append(0x0a)
      case UInt8(ascii: "t"): out.append(0x09)
      case UInt8(ascii: "0"): out.append(0)
      case UInt8(ascii: "x"):
        guard index + 1 < bytes.count - 1,
          let value = UInt8(String(decoding: bytes[index...index + 1], as: UTF8.self), radix: 16)
        else { return nil }
        out.append(value)
        index += 2
      default: out.append(escape)
      }
    }
    return out
  }
}

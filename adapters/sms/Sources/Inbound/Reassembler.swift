/// Puts the parts of long messages together again, in whatever order they come, within a time limit.
///
/// Parts belong together if link, both addresses, reference and total agree. A part that comes twice is the same part
/// if its octets are the same; if not, the old message is given up (its references have come round again) and a new one
/// begins. A message whose parts do not all come within the limit is given out as it is, marked, with the missing
/// numbers: it surfaces, it does not vanish. What was completed is remembered (`remember`) for the same time, so that a repeated
/// part does not begin a message of its own. Bounded: at most `maximumMessages` are waited for, the oldest gives way.
///
/// `Token` is what the owner keeps with each part (how to answer it). Pure: time is an argument, any growing scale.
/// Source: specs/sms.md §5.9.
public struct Reassembler<Token> {
  public struct Key: Hashable, Sendable {
    public var link: String
    public var from: String
    public var to: String
    public var reference: UInt16
    public var wide: Bool
    public var total: Int
    public init(link: String, from: String, to: String, _ concatenation: Concatenation) {
      self.link = link
      self.from = from
      self.to = to
      reference = concatenation.reference
      wide = concatenation.wide
      total = concatenation.total
    }
  }

  public struct Part {
    public var number: Int
    public var octets: [UInt8]
    public var coding: TextCoding
    public var tables: NationalTables
    public var token: Token
    public init(
      number: Int, octets: [UInt8], coding: TextCoding, tables: NationalTables = .none, token: Token
    ) {
      self.number = number
      self.octets = octets
      self.coding = coding
      self.tables = tables
      self.token = token
    }
  }

  /// A message given out, whole or not.
  public struct Whole {
    public var key: Key
    /// In order of their numbers.
    public var parts: [Part]
    /// Empty if nothing is missing.
    public var missing: [Int]
    public var firstAt: Duration

    /// Leaves out the other parts, as if they had not come.
    public mutating func keepParts(where wanted: (Part) -> Bool) {
      parts.removeAll { !wanted($0) }
      missing = (1...key.total).filter { number in !parts.contains { $0.number == number } }
    }

    /// Neighbouring parts of one coding are joined before decoding: pairs and escapes may be cut between parts. A gap is
    /// shown as `…`.
    public var text: (text: String, defects: Int) {
      var text = ""
      var defects = 0
      var pending: [UInt8] = []
      var coding: TextCoding?
      var tables = NationalTables.none
      func flush() {
        if let coding {
          let decoded = coding == .gsm7 ? tables.decode(pending) : coding.decode(pending)
          text += decoded.text
          defects += decoded.defects
        }
        pending = []
      }
      var next = 1
      for part in parts {
        if part.number != next {
          flush()
          coding = nil
          text += "…"
        } else if let current = coding, current != part.coding || tables != part.tables {
          flush()
        }
        coding = part.coding
        tables = part.tables
        pending.append(contentsOf: part.coding == .ucs2 ? UTF16Text.withoutMark(part.octets) : part.octets)
        next = part.number + 1
      }
      flush()
      if next <= key.total { text += "…" }
      return (text, defects)
    }
  }

  public enum Outcome {
    /// Kept; more must come.
    case waiting
    case complete(Whole)
    /// The same part is already here (waiting, with the token of the first), or its message was complete before (nil).
    case duplicate(of: Token?)
  }

  fileprivate struct Waiting {
    var parts: [Int: Part]
    var firstAt: Duration
  }

  private let timeLimit: Duration
  private let maximumMessages: Int
  private var waiting: [Key: Waiting] = [:]
  /// Keys in order of `firstAt`; entries whose message is gone or newer are passed over.
  private var order = FIFO<(key: Key, firstAt: Duration)>()
  private var completed: [Key: (octets: [Int: [UInt8]], at: Duration)] = [:]
  private var completedOrder = FIFO<(key: Key, at: Duration)>()

  public init(timeLimit: Duration = .seconds(1_800), maximumMessages: Int = 10_000) {
    self.timeLimit = timeLimit
    self.maximumMessages = maximumMessages
  }

  public var waitingMessages: Int { waiting.count }

  /// `given up` are messages that this part showed to be over, or that had to make room.
  public mutating func add(_ part: Part, to key: Key, at now: Duration) -> (outcome: Outcome, givenUp: [Whole]) {
    var givenUp: [Whole] = []
    if let done = completed[key], done.octets[part.number] == part.octets, now - done.at < timeLimit {
      return (.duplicate(of: nil), [])
    }
    if let existing = waiting[key]?.parts[part.number] {
      if existing.octets == part.octets { return (.duplicate(of: existing.token), []) }
      if let old = remove(key) { givenUp.append(old) }
    }
    if waiting[key] == nil {
      if waiting.count >= maximumMessages, let old = removeOldest() { givenUp.append(old) }
      waiting[key] = Waiting(parts: [:], firstAt: now)
      order.append((key, now))
    }
    waiting[key]?.parts[part.number] = part
    guard waiting[key]?.parts.count == key.total, let whole = remove(key) else { return (.waiting, givenUp) }
    return (.complete(whole), givenUp)
  }

  /// `whole` is kept for good: its parts, should they be repeated, are duplicates from now on.
  public mutating func remember(_ whole: Whole, at now: Duration) {
    completed[whole.key] = (Dictionary(whole.parts.map { ($0.number, $0.octets) }) { first, _ in first }, now)
    completedOrder.append((whole.key, now))
    if completedOrder.count > maximumMessages { forgetOldestCompleted() }
  }

  /// Messages whose time is up, oldest first.
  public mutating func expire(at now: Duration) -> [Whole] {
    var out: [Whole] = []
    while let first = order.first, now - first.firstAt >= timeLimit {
      order.popFirst()
      if waiting[first.key]?.firstAt == first.firstAt, let old = remove(first.key) { out.append(old) }
    }
    while let first = completedOrder.first, now - first.at >= timeLimit { forgetOldestCompleted() }
    return out
  }

  /// All that is waited for, as at the end of a recording or of the daemon.
  public mutating func drain() -> [Whole] {
    var out: [Whole] = []
    while let entry = order.popFirst() {
      if waiting[entry.key]?.firstAt == entry.firstAt, let old = remove(entry.key) { out.append(old) }
    }
    return out
  }

  private mutating func remove(_ key: Key) -> Whole? {
    guard let entry = waiting.removeValue(forKey: key) else { return nil }
    let parts = entry.parts.values.sorted { $0.number < $1.number }
    let missing = (1...key.total).filter { entry.parts[$0] == nil }
    return Whole(key: key, parts: parts, missing: missing, firstAt: entry.firstAt)
  }

  private mutating func removeOldest() -> Whole? {
    while let first = order.popFirst() {
      if waiting[first.key]?.firstAt == first.firstAt { return remove(first.key) }
    }
    return nil
  }

  private mutating func forgetOldestCompleted() {
    guard let first = completedOrder.popFirst() else { return }
    if completed[first.key]?.at == first.at { completed[first.key] = nil }
  }
}

extension Reassembler: Sendable where Token: Sendable {}
extension Reassembler.Waiting: Sendable where Token: Sendable {}
extension Reassembler.Part: Sendable where Token: Sendable {}
extension Reassembler.Whole: Sendable where Token: Sendable {}

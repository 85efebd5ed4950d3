import Channels
import ContactModel
import Crypto

/// One act on, or one look at, what the bank keeps: who, what, whom, why, and what changed.
///
/// The rows form a chain: each one's `hash` is SHA-256 of the hash before it and of its own fields, so that a row that
/// is changed, taken out or put in later is found by walking the chain. Source: DESIGN promise 10, specs/api.md "access".
public struct AuditEntry: Sendable, Hashable {
  /// Zero until written.
  public var seq: Int64
  public var at: Timestamp
  public var actor: String
  public var role: String
  /// What was done: `read`, `take`, `assign`, `customer.upsert`; bounded words.
  public var act: String
  /// The TypeID or code of what it was done to.
  public var subject: String
  /// The customer who was seen or changed; nil where none is concerned.
  public var customerNo: CustomerNumber?
  /// Why it was looked at: `contact`, `search`, `customer`, `export`, …
  public var purpose: String?
  /// What a person gave as reason.
  public var reason: String?
  /// JSON of what stood before and after; nil for what does not change anything.
  public var before: String?
  public var after: String?
  public var previousHash: String
  public var hash: String

  public init(
    seq: Int64 = 0, at: Timestamp, actor: String, role: String, act: String, subject: String,
    customerNo: CustomerNumber? = nil, purpose: String? = nil, reason: String? = nil, before: String? = nil,
    after: String? = nil, previousHash: String = "", hash: String = ""
  ) {
    self.seq = seq
    self.at = at
    self.actor = actor
    self.role = role
    self.act = act
    self.subject = subject
    self.customerNo = customerNo
    self.purpose = purpose
    self.reason = reason
    self.before = before
    self.after = after
    self.previousHash = previousHash
    self.hash = hash
  }

  /// Of a chain that has no row yet.
  public static let genesis = String(repeating: "0", count: 64)

  /// SHA-256 over the previous hash and the fields, each as its length in bytes, a colon and its UTF-8 bytes (`-` for
  /// nil), so that no two rows have the same text.
  func hash(after previous: String) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(384 + (before?.utf8.count ?? 0) + (after?.utf8.count ?? 0))
    func add(_ field: String?) {
      if let field {
        bytes.append(contentsOf: String(field.utf8.count).utf8)
        bytes.append(UInt8(ascii: ":"))
        bytes.append(contentsOf: field.utf8)
      } else {
        bytes.append(UInt8(ascii: "-"))
      }
      bytes.append(UInt8(ascii: ","))
    }
    add(previous)
    add(String(seq))
    add(String(at.microseconds))
    add(actor)
    add(role)
    add(act)
    add(subject)
    add(customerNo?.description)
    add(purpose)
    add(reason)
    add(before)
    add(after)
    return hex(SHA256.hash(data: bytes))
  }

  /// The text both databases can hold (`SQLValue`), so that what is hashed is what is read again.
  fileprivate var storable: AuditEntry {
    var entry = self
    func clean(_ text: String) -> String { text.utf8.contains(0) ? text.replacing("\0", with: "\u{FFFD}") : text }
    entry.actor = clean(actor)
    entry.role = clean(role)
    entry.act = clean(act)
    entry.subject = clean(subject)
    entry.purpose = purpose.map(clean)
    entry.reason = reason.map(clean)
    entry.before = before.map(clean)
    entry.after = after.map(clean)
    return entry
  }
}

extension WriteTransaction {
  /// Appends to the audit, in the transaction of what it accounts for.
  @discardableResult
  public func audit(_ entry: AuditEntry) throws -> AuditEntry { try audit([entry])[0] }

  /// Appends several at once: the end of the chain is looked up once, and the rows go in by the dozen.
  @discardableResult
  public func audit(_ entries: [AuditEntry]) throws -> [AuditEntry] {
    guard !entries.isEmpty else { return [] }
    var (seq, previous) = try auditEnd ?? lastAudited()
    let chained = entries.map { entry in
      var entry = entry.storable
      seq += 1
      entry.seq = seq
      entry.previousHash = previous
      entry.hash = entry.hash(after: previous)
      previous = entry.hash
      return entry
    }
    var rest = chained[...]
    while !rest.isEmpty {
      let some = rest.prefix(rest.count >= AuditInsertion.several.rows ? AuditInsertion.several.rows : 1)
      try execute(
        (some.count == 1 ? AuditInsertion.one : AuditInsertion.several).sql, some.flatMap(AuditInsertion.values))
      rest = rest.dropFirst(some.count)
    }
    auditEnd = (seq, previous)
    return chained
  }

  private func lastAudited() throws -> (seq: Int64, hash: String) {
    guard let row = try first("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1") else {
      return (0, AuditEntry.genesis)
    }
    return (try row.int("seq"), try row.text("hash"))
  }
}

/// Rows of the audit as one statement.
private struct AuditInsertion {
  let rows: Int
  let sql: String
  static let one = AuditInsertion(rows: 1)
  static let several = AuditInsertion(rows: 12)
  private static let columns = [
    "seq", "at", "actor", "role", "act", "subject", "customer_no", "purpose", "reason", "before_body", "after_body",
    "prev_hash", "hash",
  ]

  private init(rows: Int) {
    self.rows = rows
    let width = Self.columns.count
    let values = (0..<rows).map { row in
      "(" + (1...width).map { "$\(row * width + $0)" }.joined(separator: ", ") + ")"
    }
    sql =
      "INSERT INTO audit(\(Self.columns.joined(separator: ", "))) VALUES " + values.joined(separator: ", ")
  }

  static func values(_ entry: AuditEntry) -> [SQLValue] {
    [
      .int(entry.seq), SQLValue(entry.at), .text(entry.actor), .text(entry.role), .text(entry.act),
      .text(entry.subject), .id(entry.customerNo), SQLValue(entry.purpose), SQLValue(entry.reason),
      SQLValue(entry.before), SQLValue(entry.after), .text(entry.previousHash), .text(entry.hash),
    ]
  }
}

/// What walking the chain found.
public struct AuditVerdict: Sendable, Hashable {
  public var rows: Int64
  /// The last sequence that is whole, and its hash: noted elsewhere, it proves later that nothing was cut off.
  public var lastSeq: Int64
  public var lastHash: String
  /// The first row that does not follow from the one before it; nil if all do.
  public var brokenAt: Int64?
  public var isWhole: Bool { brokenAt == nil }
  /// Before the first row.
  public static let beginning = AuditVerdict(rows: 0, lastSeq: 0, lastHash: AuditEntry.genesis)
}

extension Connection {
  /// Audit rows after `seq`, oldest first; of one customer, actor or span of time where given.
  public func auditEntries(
    after seq: Int64, customer: CustomerNumber? = nil, actor: String? = nil, act: String? = nil, from: Timestamp? = nil,
    until: Timestamp? = nil, scope: DepartmentScope? = nil, limit: Int
  ) throws -> [AuditEntry] {
    var conditions = Conditions()
    conditions.add("seq >", .int(seq))
    conditions.add("customer_no =", .some(customer))
    conditions.add("actor =", .some(actor))
    conditions.add("act =", .some(act))
    conditions.add("at >=", from.map { SQLValue($0) })
    conditions.add("at <", until.map { SQLValue($0) })
    conditions.add(scope, .audit)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query("SELECT * FROM audit \(conditions.sql) ORDER BY seq LIMIT \(bound)", conditions.parameters)
      .map(AuditEntry.init(row:))
  }

  /// Walks `limit` rows of the chain from `verdict` on; call it again with what it answers until nothing is added.
  public func verifyAudit(
    from verdict: AuditVerdict = .beginning, limit: Int
  ) throws -> AuditVerdict {
    var verdict = verdict
    guard verdict.isWhole else { return verdict }
    for entry in try auditEntries(after: verdict.lastSeq, limit: limit) {
      guard entry.seq == verdict.lastSeq + 1, entry.previousHash == verdict.lastHash,
        entry.hash == entry.hash(after: entry.previousHash)
      else {
        verdict.brokenAt = entry.seq
        return verdict
      }
      verdict.rows += 1
      verdict.lastSeq = entry.seq
      verdict.lastHash = entry.hash
    }
    return verdict
  }
}

extension AuditEntry {
  init(row: Row) throws {
    self.init(
      seq: try row.int("seq"), at: try row.time("at"), actor: try row.text("actor"), role: try row.text("role"),
      act: try row.text("act"), subject: try row.text("subject"), customerNo: try row.parsedOrNil("customer_no"),
      purpose: try row.textOrNil("purpose"), reason: try row.textOrNil("reason"),
      before: try row.textOrNil("before_body"), after: try row.textOrNil("after_body"),
      previousHash: try row.text("prev_hash"), hash: try row.text("hash"))
  }
}

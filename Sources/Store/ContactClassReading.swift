import Channels
import ContactModel

/// Reads the classes of several customers at once, each kind of fact by one query.
///
/// Of several addresses of one kind the same is chosen as at the hand-over: his own first, then the verified, then the
/// oldest; one in a bad state gives way to the next.
extension Connection {
  /// Each one's class as his facts are at `time`, and until when it holds; unknown customers are left out. Of those in
  /// `added` nothing can be recorded but addresses, and whether they are deleted.
  func contactClasses(
    of numbers: [CustomerNumber], added: [CustomerNumber: Bool] = [:], at time: Timestamp
  ) throws -> [CustomerNumber: (ContactClass, stableUntil: Timestamp?)] {
    var drafts: [String: Draft] = [:]
    for number in numbers {
      guard let deleted = added[number] else { continue }
      drafts[number.description] = Draft(deleted: deleted)
    }
    let known = numbers.filter { added[$0] == nil }
    if !known.isEmpty {
      let who = Choice(known)
      for row in try who.query(self, "SELECT customer_no, deleted FROM customer") {
        drafts[try row.text("customer_no")] = Draft(deleted: try row.bool("deleted"))
      }
      try readFlagsAndStops(of: who, into: &drafts, at: time)
      try readStatements(of: who, into: &drafts, at: time)
      for row in try who.query(self, "SELECT customer_no, channel, score FROM learned_channel") {
        try drafts[row.text("customer_no")]?.learn(row.text("channel"), row.count("score"))
      }
    }
    try readPoints(of: Choice(numbers), into: &drafts)
    var out: [CustomerNumber: (ContactClass, stableUntil: Timestamp?)] = [:]
    for number in numbers {
      guard let draft = drafts[number.description] else { continue }
      out[number] = (draft.body, draft.changes.min())
    }
    return out
  }

  private func readFlagsAndStops(of who: Choice, into drafts: inout [String: Draft], at time: Timestamp) throws {
    for row in try who.query(self, "SELECT * FROM customer_flag") {
      let flags = try CustomerFlags(row: row)
      try drafts[row.text("customer_no")]?.set(flags)
    }
    for row in try who.query(self, "SELECT customer_no, purpose, from_at, to_at FROM legal_stop") {
      let (from, to) = (try row.time("from_at"), try row.timeOrNil("to_at"))
      if let to, to <= time { continue }
      try drafts[row.text("customer_no")]?.stop(row.text("purpose"), from: from, to: to, at: time)
    }
  }

  private func readStatements(of who: Choice, into drafts: inout [String: Draft], at time: Timestamp) throws {
    var said: [String: [ChannelPreference]] = [:]
    for row in try who.query(self, "SELECT * FROM preference", order: "effective_at, preference_id") {
      said[try row.text("customer_no"), default: []].append(try ChannelPreference(row: row))
    }
    for (number, records) in said { drafts[number]?.say(records, at: time) }
    for row in try who.query(self, "SELECT * FROM do_not_disturb", and: "lifted_at IS NULL") {
      let quiet = try QuietRecord(row: row).quiet
      try drafts[row.text("customer_no")]?.rest(quiet, at: time)
    }
    for number in drafts.keys where drafts[number]?.body.quiets.count ?? 0 > 1 {
      drafts[number]?.body.quiets.sort { "\($0)" < "\($1)" }
    }
  }

  private func readPoints(of who: Choice, into drafts: inout [String: Draft]) throws {
    let rows = try who.query(
      self,
      """
      SELECT h.customer_no, h.kind, h.canonical, h.verified_at, h.zones, p.state,
        CASE WHEN EXISTS (SELECT 1 FROM register_entry r WHERE r.kind = h.kind AND r.canonical = h.canonical)
          THEN 1 ELSE 0 END AS on_register,
        CASE WHEN EXISTS (SELECT 1 FROM address_stop s WHERE s.kind = h.kind AND s.canonical = h.canonical
          AND s.lifted_at IS NULL) THEN 1 ELSE 0 END AS is_stopped
      FROM customer_contact_point h JOIN contact_point p ON p.kind = h.kind AND p.canonical = h.canonical
      """, column: "h.customer_no",
      order: """
        CASE h.role WHEN 'own' THEN 0 WHEN 'guardian' THEN 1 ELSE 2 END,
        CASE WHEN h.verified_at IS NULL THEN 1 ELSE 0 END, h.from_at, h.kind, h.canonical
        """)
    for row in rows { try drafts[row.text("customer_no")]?.offer(row, of: row.text("kind")) }
    for number in Array(drafts.keys) {
      for (kind, row) in drafts[number]?.points ?? [:] {
        var stops: [String: StopScope] = [:]
        if try row.bool("is_stopped") {
          for stop in try query(
            "SELECT channel, scope FROM address_stop WHERE kind = $1 AND canonical = $2 AND lifted_at IS NULL",
            [.text(kind), .text(try row.text("canonical"))])
          {
            let channel = try stop.text("channel")
            let scope: StopScope = try stop.word("scope")
            if stops[channel] != .all { stops[channel] = scope }
          }
        }
        drafts[number]?.body.points[kind] = ContactClass.Point(
          state: try row.word("state"), isVerified: try row.timeOrNil("verified_at") != nil,
          isOnRegister: try row.bool("on_register"),
          zones: try row.text("zones").split(separator: " ").map(String.init).sorted(), stops: stops)
      }
    }
  }
}

/// Whose facts are wanted: one customer by equality, several by a list.
private struct Choice {
  private let condition: String
  private let value: SQLValue
  init(_ numbers: [CustomerNumber]) {
    condition = numbers.count == 1 ? "= $1" : "IN {{list_text:$1}}"
    value = numbers.count == 1 ? .id(numbers[0]) : .list(numbers.map(\.description))
  }

  func query(
    _ connection: any Connection, _ select: String, column: String = "customer_no", and more: String? = nil,
    order: String? = nil
  ) throws -> [Row] {
    try connection.query(
      "\(select) WHERE \(column) \(condition)" + (more.map { " AND " + $0 } ?? "")
        + (order.map { " ORDER BY " + $0 } ?? ""), [value])
  }
}

/// A class while it is read.
private struct Draft {
  var body = ContactClass()
  /// When statements begin and end.
  var changes: [Timestamp] = []
  /// Of each kind of address the one that would be used.
  var points: [String: Row] = [:]

  init(deleted: Bool) { body.deleted = deleted }

  mutating func set(_ flags: CustomerFlags) {
    body.deceased = flags.deceased
    body.minor = flags.minor
    body.managerOnly = flags.managerOnly
    body.noProfiling = flags.noProfiling
  }

  mutating func stop(_ purpose: String, from: Timestamp, to: Timestamp?, at time: Timestamp) {
    if from > time {
      changes.append(from)
    } else if !body.legal.contains(purpose) {
      body.legal.append(purpose)
      body.legal.sort()
    }
    if let to { changes.append(to) }
  }

  mutating func say(_ records: [ChannelPreference], at time: Timestamp) {
    body.statements = ContactClass.statements(of: records, at: time)
    for record in records {
      if record.effectiveAt > time { changes.append(record.effectiveAt) }
      if let end = record.validUntil, end > time { changes.append(end) }
    }
  }

  mutating func rest(_ record: DoNotDisturb, at time: Timestamp) {
    var quiet = ContactClass.Quiet(channel: record.channel?.rawValue)
    switch record.time {
    case .daily(let window): (quiet.from, quiet.to, quiet.days) = (window.from, window.to, window.days)
    case .range(let from, let to):
      if to <= time { return }
      (quiet.fromAt, quiet.toAt) = (from, to)
      changes.append(to)
    }
    body.quiets.append(quiet)
  }

  /// Flags are read before.
  mutating func learn(_ channel: String, _ score: Int) {
    if !body.noProfiling { body.learned[channel] = score }
  }

  /// In the order in which they would be used.
  mutating func offer(_ row: Row, of kind: String) throws {
    guard let other = points[kind] else {
      points[kind] = row
      return
    }
    if try other.text("state") != "ok", try row.text("state") == "ok" { points[kind] = row }
  }
}

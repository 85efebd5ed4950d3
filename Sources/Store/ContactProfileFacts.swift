import Channels
import ContactModel
import Crypto

/// Which class a customer is of, as planning reads it.
public struct ContactProfile: Hashable, Sendable {
  /// His number in planning: rises with the customers, never changes.
  public var seq: Int64
  public var customerNo: CustomerNumber
  public var classID: Int64
  public var touchedAt: Timestamp?
  public var stableUntil: Timestamp?
}

extension WriteTransaction {
  /// Brings a customer's projection up to date before this transaction commits; called by every function that records a
  /// fact that bears on reaching him.
  public func reproject(_ customer: CustomerNumber, at time: Timestamp) {
    unprojected.insert(customer)
    projectionTime = max(projectionTime, time)
  }

  /// As `reproject`, for everybody who holds an address.
  func reproject(holdersOf address: Address, at time: Timestamp) throws {
    let rows = try query(
      "SELECT customer_no FROM customer_contact_point WHERE kind = $1 AND canonical = $2",
      [SQLValue(address.kind), .text(address.canonical)])
    for row in rows { reproject(try row.parsed("customer_no"), at: time) }
  }

  /// Writes what `reproject` asked for. Run once at the end of a transaction's body, within its savepoint.
  func projectPending() throws {
    guard !unprojected.isEmpty else { return }
    let customers = unprojected.sorted()
    unprojected = []
    for customer in customers { try project(customer, at: projectionTime) }
  }

  /// Writes the projection of one customer as it is at `time`.
  public func project(_ customer: CustomerNumber, at time: Timestamp) throws {
    guard let (profile, stableUntil) = try contactClass(of: customer, at: time) else { return }
    let body = try JSONText.encode(profile)
    let digest = hex(SHA256.hash(data: Array(body.utf8)))
    let known = try first("SELECT class_id FROM contact_class WHERE digest = $1", [.text(digest)])
    let id: Int64
    if let known {
      id = try known.int("class_id")
    } else {
      id = try one(
        """
        INSERT INTO contact_class(class_id, digest, body)
        SELECT coalesce(max(class_id), 0) + 1, CAST($1 AS TEXT), CAST($2 AS TEXT) FROM contact_class RETURNING class_id
        """, [.text(digest), .text(body)]
      ).int("class_id")
    }
    let changed = try execute(
      "UPDATE contact_profile SET class_id = $2, stable_until = $3 WHERE customer_no = $1",
      [.id(customer), .int(id), SQLValue(stableUntil)])
    guard changed == 0 else { return }
    try execute(
      """
      INSERT INTO contact_profile(seq, customer_no, class_id, stable_until, touched_at)
      SELECT coalesce(max(seq), 0) + 1, CAST($1 AS TEXT), CAST($2 AS {{int}}), CAST($3 AS {{int}}),
        (SELECT max(at) FROM cap_ledger WHERE customer_no = $1) FROM contact_profile
      """, [.id(customer), .int(id), SQLValue(stableUntil)])
  }

  /// Projects customers that have no projection yet, or whose statements have begun or ended since; answers how many.
  /// For databases of before there were projections, and for the passing of time. 0: all are up to date.
  public func projectMissing(limit: Int, at time: Timestamp) throws -> Int {
    let ended = try query(
      "SELECT customer_no FROM contact_profile WHERE stable_until <= $1 ORDER BY stable_until LIMIT $2",
      [SQLValue(time), SQLValue(limit)])
    for row in ended { try project(try row.parsed("customer_no"), at: time) }
    guard ended.count < limit, try control("profiles") != "complete" else { return ended.count }
    let after = try control("profiles") ?? ""
    let missing = try query(
      """
      SELECT c.customer_no, p.seq FROM customer c LEFT JOIN contact_profile p ON p.customer_no = c.customer_no
      WHERE c.customer_no > $1 ORDER BY c.customer_no LIMIT $2
      """, [.text(after), SQLValue(limit)])
    for row in missing where try row.intOrNil("seq") == nil { try project(try row.parsed("customer_no"), at: time) }
    let last = try missing.last?.text("customer_no") ?? "complete"
    // A customer added meanwhile projects himself.
    try setControl("profiles", to: missing.count < limit ? "complete" : last, by: "liaison", at: time)
    return ended.count + missing.count
  }
}

extension Connection {
  /// Whether every customer has a projection.
  public func profilesAreComplete() throws -> Bool { try control("profiles") == "complete" }

  public func contactProfile(of customer: CustomerNumber) throws -> ContactProfile? {
    try first("SELECT * FROM contact_profile WHERE customer_no = $1", [.id(customer)]).map { row in
      ContactProfile(
        seq: try row.int("seq"), customerNo: customer, classID: try row.int("class_id"),
        touchedAt: try row.timeOrNil("touched_at"), stableUntil: try row.timeOrNil("stable_until"))
    }
  }

  /// Classes with ids above `last`, in order, at most `limit`.
  public func contactClasses(after last: Int64, limit: Int) throws -> [(id: Int64, body: ContactClass)] {
    try query(
      "SELECT class_id, body FROM contact_class WHERE class_id > $1 ORDER BY class_id LIMIT $2",
      [.int(last), SQLValue(limit)]
    ).map { (try $0.int("class_id"), try JSONText.decode(ContactClass.self, from: $0.text("body"))) }
  }

  /// A customer's class as his facts are at `time`, and until when it holds; nil for an unknown customer.
  ///
  /// Of several addresses of one kind the same is chosen as at the hand-over: his own first, then the verified, then the
  /// oldest; one in a bad state gives way to the next.
  func contactClass(of number: CustomerNumber, at time: Timestamp) throws -> (ContactClass, stableUntil: Timestamp?)? {
    guard let customer = try first("SELECT deleted FROM customer WHERE customer_no = $1", [.id(number)]) else {
      return nil
    }
    var out = ContactClass()
    var changes: [Timestamp] = []
    out.deleted = try customer.bool("deleted")
    let flags = try flags(of: number)
    out.deceased = flags.deceased
    out.minor = flags.minor
    out.managerOnly = flags.managerOnly
    out.noProfiling = flags.noProfiling
    var legal: Set<String> = []
    for row in try query(
      "SELECT purpose, from_at, to_at FROM legal_stop WHERE customer_no = $1 AND (to_at IS NULL OR to_at > $2)",
      [.id(number), SQLValue(time)])
    {
      let from = try row.time("from_at")
      if from > time { changes.append(from) } else { legal.insert(try row.text("purpose")) }
      if let to = try row.timeOrNil("to_at") { changes.append(to) }
    }
    out.legal = legal.sorted()
    let records = try preferences(of: number)
    out.statements = ContactClass.statements(of: records, at: time)
    for record in records {
      if record.effectiveAt > time { changes.append(record.effectiveAt) }
      if let end = record.validUntil, end > time { changes.append(end) }
    }
    for record in try quiets(of: number) {
      var quiet = ContactClass.Quiet(channel: record.quiet.channel?.rawValue)
      switch record.quiet.time {
      case .daily(let window): (quiet.from, quiet.to, quiet.days) = (window.from, window.to, window.days)
      case .range(let from, let to):
        if to <= time { continue }
        (quiet.fromAt, quiet.toAt) = (from, to)
        changes.append(to)
      }
      out.quiets.append(quiet)
    }
    out.quiets.sort { "\($0)" < "\($1)" }
    out.points = try points(of: number)
    if !flags.noProfiling {
      for row in try query("SELECT channel, score FROM learned_channel WHERE customer_no = $1", [.id(number)]) {
        out.learned[try row.text("channel")] = try row.count("score")
      }
    }
    return (out, changes.min())
  }

  private func points(of number: CustomerNumber) throws -> [String: ContactClass.Point] {
    let rows = try query(
      """
      SELECT h.kind, h.canonical, h.verified_at, h.zones, p.state,
        CASE WHEN EXISTS (SELECT 1 FROM register_entry r WHERE r.kind = h.kind AND r.canonical = h.canonical)
          THEN 1 ELSE 0 END AS on_register
      FROM customer_contact_point h JOIN contact_point p ON p.kind = h.kind AND p.canonical = h.canonical
      WHERE h.customer_no = $1
      ORDER BY CASE h.role WHEN 'own' THEN 0 WHEN 'guardian' THEN 1 ELSE 2 END,
        CASE WHEN h.verified_at IS NULL THEN 1 ELSE 0 END, h.from_at, h.kind, h.canonical
      """, [.id(number)])
    var chosen: [String: Row] = [:]
    for row in rows {
      let kind = try row.text("kind")
      guard let other = chosen[kind] else {
        chosen[kind] = row
        continue
      }
      if try other.text("state") != "ok", try row.text("state") == "ok" { chosen[kind] = row }
    }
    return try chosen.mapValues { row in
      var stops: [String: StopScope] = [:]
      for stop in try query(
        "SELECT channel, scope FROM address_stop WHERE kind = $1 AND canonical = $2 AND lifted_at IS NULL",
        [.text(try row.text("kind")), .text(try row.text("canonical"))])
      {
        let channel = try stop.text("channel")
        let scope: StopScope = try stop.word("scope")
        if stops[channel] != .all { stops[channel] = scope }
      }
      return ContactClass.Point(
        state: try row.word("state"), isVerified: try row.timeOrNil("verified_at") != nil,
        isOnRegister: try row.bool("on_register"),
        zones: try row.text("zones").split(separator: " ").map(String.init).sorted(), stops: stops)
    }
  }
}

import Channels
import ContactModel

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
    added[customer] = nil
    reprojectAddresses(of: customer, at: time)
  }

  /// As `reproject`, where nothing was recorded but himself and the addresses he holds.
  func reprojectAddresses(of customer: CustomerNumber, at time: Timestamp) {
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

  /// Writes what `reproject` asked for. Done at the end of a transaction's body, within its savepoint; a long body does
  /// it between its parts, so that the end is short.
  public func projectPending() throws {
    guard !unprojected.isEmpty else { return }
    let customers = unprojected.sorted()
    let added = added
    (unprojected, self.added) = ([], [:])
    try project(customers, added: added, at: projectionTime)
  }

  /// Writes the projection of one customer as it is at `time`.
  public func project(_ customer: CustomerNumber, at time: Timestamp) throws {
    try project([customer], added: [:], at: time)
  }

  private func project(
    _ customers: [CustomerNumber], added: [CustomerNumber: Bool], at time: Timestamp
  ) throws {
    let classes = try contactClasses(of: customers, added: added, at: time)
    // Those without a row yet get what the triggers would have kept; the others need nothing of it.
    var touched: [String: Timestamp] = [:]
    for row in try query(
      "SELECT customer_no, max(at) AS at FROM cap_ledger WHERE customer_no IN {{list_text:$1}} GROUP BY customer_no",
      [.list(customers.map(\.description))])
    {
      touched[try row.text("customer_no")] = try row.time("at")
    }
    var ids: [ContactClass: Int64] = [:]
    var last: Int64?
    for customer in customers {
      guard let (body, stableUntil) = classes[customer] else { continue }
      let id = try ids[body] ?? classID(of: body)
      ids[body] = id
      let isNew = added[customer] != nil
      if !isNew {
        let changed = try execute(
          "UPDATE contact_profile SET class_id = $2, stable_until = $3 WHERE customer_no = $1",
          [.id(customer), .int(id), SQLValue(stableUntil)])
        if changed > 0 { continue }
      }
      let seq =
        try last ?? one("SELECT coalesce(max(seq), 0) AS n FROM contact_profile").int("n")
      last = seq + 1
      try execute(
        """
        INSERT INTO contact_profile(seq, customer_no, class_id, stable_until, touched_at) VALUES ($1, $2, $3, $4, $5)
        """, [.int(seq + 1), .id(customer), .int(id), SQLValue(stableUntil), SQLValue(touched[customer.description])])
    }
  }

  private func classID(of body: ContactClass) throws -> Int64 {
    let (digest, text) = try digests.digest(of: body)
    if let known = try first("SELECT class_id FROM contact_class WHERE digest = $1", [.text(digest)]) {
      return try known.int("class_id")
    }
    return try one(
      """
      INSERT INTO contact_class(class_id, digest, body)
      SELECT coalesce(max(class_id), 0) + 1, CAST($1 AS TEXT), CAST($2 AS TEXT) FROM contact_class RETURNING class_id
      """, [.text(digest), .text(text)]
    ).int("class_id")
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
}

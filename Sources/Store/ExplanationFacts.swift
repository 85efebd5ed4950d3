import Channels
import ContactModel

/// One decision as it was recorded, of whatever kind.
public struct DecisionRecord: Sendable, Hashable {
  public var id: DecisionID
  /// `tie`, `merge`, `outbound`, `routing`, `deadline`, `classification`.
  public var act: String
  public var subject: String
  public var customerNo: CustomerNumber?
  public var at: Timestamp
  public var ruleVersion: String
  public var verdict: String
  /// `rule` or `user`.
  public var decidedBy: String
  public var author: String?
  /// JSON object: inputs, candidates, reasons.
  public var body: String
}

extension WriteTransaction {
  /// Keeps where a call was sent and why. `subject` is the switch's name of the call.
  public func record(
    routing id: DecisionID, of subject: String, customer: CustomerNumber?, ruleVersion: String, verdict: String,
    body: String, at time: Timestamp
  ) throws {
    try execute(
      """
      INSERT INTO decision(decision_id, act, subject, customer_no, at, rule_version, verdict, decided_by, body)
      VALUES ($1, 'routing', $2, $3, $4, $5, $6, 'rule', $7)
      """,
      [
        .id(id), .text(subject), .id(customer), SQLValue(time), .text(ruleVersion), .text(verdict), .text(body),
      ])
  }
}

extension Connection {
  public func decision(_ id: DecisionID) throws -> DecisionRecord? {
    try first("SELECT * FROM decision WHERE decision_id = $1", [.id(id)]).map(DecisionRecord.init(row:))
  }

  /// Everything decided about these subjects, in order.
  public func decisions(about subjects: [String], limit: Int) throws -> [DecisionRecord] {
    try query(
      "SELECT * FROM decision WHERE subject IN {{list_text:$1}} ORDER BY at, decision_id LIMIT $2",
      [.list(subjects), SQLValue(limit)]
    ).map(DecisionRecord.init(row:))
  }

  /// What happened to these subjects, in order.
  public func events(about subjects: [String], limit: Int) throws -> [EventRecord] {
    try query(
      "SELECT * FROM event WHERE subject IN {{list_text:$1}} ORDER BY seq LIMIT $2", [.list(subjects), SQLValue(limit)]
    ).map(EventRecord.init(row:))
  }

  /// The first sequence still in the log; zero if nothing happened yet.
  public func firstEventSequence() throws -> Int64 {
    try one("SELECT coalesce(min(seq), 0) AS seq FROM event").int("seq")
  }

  /// The contact an arrival became, or is a copy of; nil while it is none.
  public func contact(of arrival: ArrivalID) throws -> ContactID? {
    try first(
      """
      SELECT contact_id FROM contact WHERE arrival_id = $1
      UNION ALL SELECT contact_id FROM contact_copy WHERE arrival_id = $1
      """, [.id(arrival)])?.parsed("contact_id")
  }

  /// The request under the reference its customer was told.
  public func serviceRequest(reference: String) throws -> ServiceRequest? {
    try first("SELECT * FROM service_request WHERE reference = $1", [.text(reference)]).map(ServiceRequest.init(row:))
  }

  /// Why an arrival was set aside, also if it was released since.
  public func quarantineItem(_ id: ArrivalID) throws -> (item: QuarantineItem, releasedAt: Timestamp?)? {
    try first(
      """
      SELECT q.*, a.channel, a.raw_size FROM quarantine q JOIN arrival a ON a.arrival_id = q.arrival_id
      WHERE q.arrival_id = $1
      """, [.id(id)]
    ).map { (try QuarantineItem(row: $0), try $0.timeOrNil("released_at")) }
  }

  /// How much there is of what an operator watches.
  public func workload() throws -> Workload {
    let row = try one(
      """
      SELECT
        (SELECT count(*) FROM service_request WHERE status IN ('open', 'in_progress', 'waiting_customer')
          AND owner IS NULL) AS waiting,
        (SELECT count(*) FROM service_request WHERE status IN ('open', 'in_progress', 'waiting_customer')
          AND owner IS NOT NULL) AS owned,
        (SELECT min(started_at) FROM service_request WHERE status IN ('open', 'in_progress', 'waiting_customer')
          AND owner IS NULL) AS oldest,
        (SELECT count(*) FROM quarantine WHERE released_at IS NULL) AS quarantined,
        (SELECT count(*) FROM arrival WHERE state <> 'routed' AND state = 'kept') AS in_work
      """)
    return Workload(
      waitingRequests: try row.count("waiting"), ownedRequests: try row.count("owned"),
      oldestWaiting: try row.timeOrNil("oldest"), quarantined: try row.count("quarantined"),
      arrivalsInWork: try row.count("in_work"))
  }
}

public struct Workload: Sendable, Hashable {
  public var waitingRequests: Int
  public var ownedRequests: Int
  public var oldestWaiting: Timestamp?
  public var quarantined: Int
  public var arrivalsInWork: Int
}

extension DecisionRecord {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("decision_id"), act: try row.text("act"), subject: try row.text("subject"),
      customerNo: try row.parsedOrNil("customer_no"), at: try row.time("at"),
      ruleVersion: try row.text("rule_version"), verdict: try row.text("verdict"),
      decidedBy: try row.text("decided_by"), author: try row.textOrNil("author"), body: try row.text("body"))
  }
}

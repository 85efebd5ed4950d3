import Channels
import ContactModel
import Store

/// An attempt as it is kept.
public struct AttemptRecord: Sendable, Hashable {
  public var id: AttemptID
  public var job: ProactiveJobID
  /// Nil where only the address is known.
  public var customerNo: CustomerNumber?
  public var outboundChannel: OutboundChannel
  public var channel: ContactChannel
  public var to: Address
  public var machine: Attempt
  public var decision: DecisionID
  public var fault: Fault?
  public var reservedAt: Timestamp
  public var handedAt: Timestamp?
  public var settledAt: Timestamp?
  public var inquireAt: Timestamp?
  public var finalAt: Timestamp?
  public var contact: ContactID?

  /// As a hand-over writes it.
  init(
    handing id: AttemptID, of job: ProactiveJob, by outboundChannel: OutboundChannel, on channel: ContactChannel,
    to: Address, wireIdentity: String, decision: DecisionID, at time: Timestamp
  ) {
    self.id = id
    self.job = job.id
    customerNo = CustomerNumber(job.party)
    self.outboundChannel = outboundChannel
    self.channel = channel
    self.to = to
    machine = Attempt(state: .handing, wireIdentity: wireIdentity)
    self.decision = decision
    reservedAt = time
    handedAt = time
  }

  init(row: Row) throws {
    id = try row.parsed("attempt_id")
    job = try row.parsed("job_id")
    customerNo = CustomerNumber(try row.text("customer_no"))
    outboundChannel = OutboundChannel(rawValue: try row.text("outbound_channel"))
    channel = try row.channel
    guard let to = try row.addressOrNil("to") else { throw DatabaseError(.misuse, "attempt without an address") }
    self.to = to
    machine = Attempt(
      state: try row.word("state"), wireIdentity: try row.textOrNil("wire_identity"),
      peerID: try row.textOrNil("peer_id"))
    decision = try row.parsed("decision_id")
    if try row.textOrNil("fault_code") != nil {
      fault = Fault(
        try row.word("fault_code"), peerCode: try row.textOrNil("fault_peer_code"),
        text: try row.textOrNil("fault_text") ?? "")
    }
    reservedAt = try row.time("reserved_at")
    handedAt = try row.timeOrNil("handed_at")
    settledAt = try row.timeOrNil("settled_at")
    inquireAt = try row.timeOrNil("inquire_at")
    finalAt = try row.timeOrNil("final_at")
    contact = try row.parsedOrNil("contact_id")
  }
}

/// One stored decision about a job, for `explain` and the API.
public struct OutboundDecision: Sendable, Hashable, Codable {
  public struct Body: Sendable, Hashable, Codable {
    public var reason: String
    public var channel: String?
    public var until: Timestamp?
    public var refused: [String: String]
    public var purpose: String
    public var candidates: [String]
    public var wordsZh: String
    public var wordsEn: String
  }
  public var decisionId: DecisionID
  public var at: Timestamp
  public var ruleVersion: String
  /// `send`, `defer`, `refuse`.
  public var verdict: String
  public var body: Body
}

extension Connection {
  public func attempt(_ id: AttemptID) throws -> AttemptRecord? {
    try first("SELECT * FROM attempt WHERE attempt_id = $1", [.id(id)]).map(AttemptRecord.init(row:))
  }

  public func attempts(of job: ProactiveJobID) throws -> [AttemptRecord] {
    try query("SELECT * FROM attempt WHERE job_id = $1 ORDER BY attempt_id", [.id(job)]).map(AttemptRecord.init(row:))
  }

  /// Attempts that a crash may have cut off, oldest first.
  func openAttempts(limit: Int) throws -> [AttemptRecord] {
    try query(
      """
      SELECT * FROM attempt WHERE state IN ('reserved', 'handing', 'in_doubt') AND state <> 'in_doubt'
      ORDER BY attempt_id LIMIT $1
      """, [SQLValue(limit)]
    ).map(AttemptRecord.init(row:))
  }

  /// Attempts in doubt on these channels whose peer is to be asked now, and when the next one is.
  func doubts(on channel: String, at time: Timestamp, limit: Int) throws -> (due: [AttemptRecord], next: Timestamp?) {
    let due = try query(
      """
      SELECT * FROM attempt WHERE state = 'in_doubt' AND channel = $1 AND inquire_at <= $2 ORDER BY inquire_at LIMIT $3
      """, [.text(channel), SQLValue(time), SQLValue(limit)]
    ).map(AttemptRecord.init(row:))
    let next = try one(
      "SELECT min(inquire_at) AS at FROM attempt WHERE state = 'in_doubt' AND channel = $1", [.text(channel)])
    return (due, try next.timeOrNil("at"))
  }

  /// Attempts in doubt that no peer will ever be able to speak about, whatever channel they went by.
  func doubtsBeyondMemory(at time: Timestamp, limit: Int) throws -> [AttemptRecord] {
    try query(
      "SELECT * FROM attempt WHERE state = 'in_doubt' AND final_at <= $1 ORDER BY final_at LIMIT $2",
      [SQLValue(time), SQLValue(limit)]
    ).map(AttemptRecord.init(row:))
  }

  /// Attempts in doubt over all channels, the oldest first, after the last of the page before.
  public func attemptsInDoubt(after last: AttemptID?, limit: Int) throws -> [AttemptRecord] {
    try query(
      "SELECT * FROM attempt WHERE state = 'in_doubt' AND attempt_id > $1 ORDER BY attempt_id LIMIT $2",
      [.text(last?.description ?? ""), SQLValue(limit)]
    ).map(AttemptRecord.init(row:))
  }

  /// What peers reported about an attempt, in the order in which it was taken in.
  public func evidence(about id: AttemptID) throws -> [(at: Timestamp, report: DeliveryReport)] {
    try query("SELECT at, body FROM attempt_evidence WHERE attempt_id = $1 ORDER BY at, event_key LIMIT 200", [.id(id)])
      .map { (try $0.time("at"), try JSONText.decode(DeliveryReport.self, from: $0.text("body"))) }
  }

  /// The attempt a report is about: by our name for it, else by the peer's.
  func attempt(named report: DeliveryReport, on channel: String) throws -> AttemptID? {
    if let name = report.wireIdentity {
      // Two rows at most: a name that is not unique over the channels proves nothing.
      let rows = try query(
        "SELECT attempt_id, channel FROM attempt WHERE wire_identity = $1 ORDER BY attempt_id DESC LIMIT 2",
        [.text(name)])
      if let row = try rows.first(where: { try $0.text("channel") == channel }) ?? (rows.count == 1 ? rows[0] : nil) {
        return try row.parsed("attempt_id")
      }
    }
    guard let peer = report.peerID else { return nil }
    return try first(
      """
      SELECT max(attempt_id) AS attempt_id FROM (
        SELECT attempt_id FROM attempt WHERE channel = $1 AND peer_id = $2
        UNION ALL SELECT attempt_id FROM attempt_part WHERE channel = $1 AND peer_id = $2) named
      """, [.text(channel), .text(peer)])?.parsedOrNil("attempt_id")
  }

  /// Everything ever decided about a job, oldest first: also why it was not sent.
  public func outboundDecisions(of job: ProactiveJobID) throws -> [OutboundDecision] {
    try query(
      "SELECT * FROM decision WHERE subject = $1 AND act = 'outbound' ORDER BY decision_id", [.id(job)]
    ).map { row in
      OutboundDecision(
        decisionId: try row.parsed("decision_id"), at: try row.time("at"), ruleVersion: try row.text("rule_version"),
        verdict: try row.text("verdict"), body: try JSONText.decode(OutboundDecision.Body.self, from: row.text("body")))
    }
  }
}

extension OutboundDecision {
  /// What is kept of a decision, as JSON.
  static func text(
    of decision: Decision, on job: ProactiveJob, candidates: [OutboundChannel]
  ) throws -> String {
    var channel: OutboundChannel?
    var until: Timestamp?
    switch decision.verdict {
    case .send(let on): channel = on
    case .defer(let on, let then): (channel, until) = (on, then)
    case .refuse: break
    }
    return try JSONText.encode(
      Body(
        reason: decision.reason.rawValue, channel: channel?.rawValue, until: until,
        refused: Dictionary(
          decision.refused.map { ($0.channel.rawValue, $0.reason.rawValue) }, uniquingKeysWith: { first, _ in first }),
        purpose: job.purpose.rawValue, candidates: candidates.map(\.rawValue).sorted(),
        wordsZh: decision.words(in: .zh), wordsEn: decision.words(in: .en)))
  }
}

extension WriteTransaction {
  /// Keeps a decision with what it was made from; append-only.
  func record(
    _ decision: Decision, on job: ProactiveJob, candidates: [OutboundChannel], ruleVersion: String, id: DecisionID,
    at time: Timestamp
  ) throws {
    let verdict =
      switch decision.verdict {
      case .send: "send"
      case .defer: "defer"
      case .refuse: "refuse"
      }
    let text = try OutboundDecision.text(of: decision, on: job, candidates: candidates)
    try execute(
      """
      INSERT INTO decision(decision_id, act, subject, customer_no, at, rule_version, verdict, decided_by, body)
      VALUES ($1, 'outbound', $2, $3, $4, $5, $6, 'rule', $7)
      """,
      [
        .id(id), .id(job.id), .id(job.customerNo), SQLValue(time), .text(ruleVersion), .text(verdict), .text(text),
      ])
    try append(
      EventRecord(
        at: time, type: .jobDecided, subject: job.id.description, customerNo: job.customerNo, actor: "liaison",
        body: text))
  }
}

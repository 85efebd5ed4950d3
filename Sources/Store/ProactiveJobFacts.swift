import Channels
import ContactModel

/// Announced after the commit that gave a way out something to do. `lane` as in `ProactiveJob.lane`.
public struct JobsWaiting: Sendable, Hashable {
  public var lane: String
  public init(lane: String) { self.lane = lane }
}

/// A job whose time has come.
public struct DueJob: Sendable {
  public var id: ProactiveJobID
  public var precedence: ProactiveJob.Precedence
  /// Nil if it cannot be read.
  public var job: ProactiveJob?
}

extension WriteTransaction {
  /// Plans a job. The same key again answers the job there is, and writes nothing.
  public func plan(_ job: ProactiveJob, actor: Actor, at time: Timestamp) throws -> (job: ProactiveJob, isNew: Bool) {
    let added = try execute(
      """
      INSERT INTO proactive_job(job_id, campaign_id, customer_no, job_key, purpose, contents, confidential, repeatable,
        due_at, not_before, not_after, requested_channel, requested_at, overrides, forced_channel, state, next_at,
        created_by, created_at, updated_at, lane, via, precedence, to_kind, to_canonical, to_raw, attachments, request_id,
        contact_id, reference, template)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'planned', $16, $17, $18, $18, $19, $20,
        $21, $22, $23, $24, $25, $26, $27, $28, $29)
      ON CONFLICT (job_key) DO NOTHING
      """,
      [
        .id(job.id), .id(job.campaign), .id(job.customerNo), .text(job.key), .text(job.purpose.rawValue),
        .text(try JSONText.encode(job.contents)), SQLValue(job.confidential), SQLValue(job.repeatable),
        SQLValue(job.due), SQLValue(job.notBefore), SQLValue(job.notAfter),
        SQLValue(job.requested?.channel.rawValue), SQLValue(job.requested?.at),
        .text(job.overrides.joined(separator: " ")), SQLValue(job.forcedChannel?.rawValue),
        SQLValue(job.nextAt ?? job.due), .text(job.createdBy), SQLValue(time), .text(job.onlyLane),
        SQLValue(job.via), SQLValue(job.precedence.rawValue),
      ] + Address.columns(job.to) + [
        .text(try JSONText.encode(job.attachments)), .id(job.request), .id(job.contact), SQLValue(job.reference),
        SQLValue(job.template),
      ])
    guard let kept = try proactiveJob(key: job.key) else { throw DatabaseError(.other, "a job just planned is gone") }
    guard added > 0 else { return (kept, false) }
    try append(
      EventRecord(
        at: time, type: .jobPlanned, subject: kept.id.description, request: kept.request, customerNo: kept.customerNo,
        actor: actor.label, trace: actor.trace, body: try JSONText.encode(["purpose": kept.purpose.rawValue])))
    afterCommit(JobsWaiting(lane: kept.lane))
    return (kept, true)
  }

  /// Moves a job on; `attempt` is the one it ends by, if it does. Nothing is written when it has changed since it was
  /// read: then false.
  @discardableResult
  public func update(_ job: ProactiveJob, endedBy attempt: AttemptID? = nil, at time: Timestamp) throws -> Bool {
    let changed = try execute(
      """
      UPDATE proactive_job SET state = $2, next_at = $3, reason = $4, failures = $5, spent = $6, updated_at = $7,
        lane = $9, version = version + 1
      WHERE job_id = $1 AND version = $8
      """,
      [
        .id(job.id), SQLValue(job.state), job.state == .planned ? SQLValue(job.nextAt ?? time) : .null,
        SQLValue(job.reason), SQLValue(job.failures),
        .text(job.spent.map(\.rawValue).joined(separator: " ")), SQLValue(time), SQLValue(job.version),
        .text(job.lane),
      ])
    guard changed > 0 else { return false }
    if job.state.isFinal {
      var body = ["state": job.state.rawValue, "reason": job.reason ?? ""]
      if let attempt { body["attempt"] = attempt.description }
      try append(
        EventRecord(
          at: time, type: .jobEnded, subject: job.id.description, request: job.request, customerNo: job.customerNo,
          actor: "liaison", body: try JSONText.encode(body)))
    }
    return true
  }

  /// Withdraws a job that is not under way; false if it is, or has ended.
  public func cancel(_ id: ProactiveJobID, actor: Actor, at time: Timestamp) throws -> Bool {
    guard var job = try proactiveJob(id), job.state == .planned else { return false }
    job.state = .cancelled
    job.reason = "cancelled by \(actor.label)"
    return try update(job, at: time)
  }

  /// Lets at most `limit` planned jobs of a lane be sorted anew, because nothing serves that lane; answers how many.
  public func unsort(lane: String, limit: Int) throws -> Int {
    let count = try execute(
      """
      UPDATE proactive_job SET lane = '' WHERE job_id IN
        (SELECT job_id FROM proactive_job WHERE state = 'planned' AND lane = $1 LIMIT $2)
      """, [.text(lane), SQLValue(limit)])
    if count > 0 { afterCommit(JobsWaiting(lane: "")) }
    return count
  }
}

extension Connection {
  public func proactiveJob(_ id: ProactiveJobID) throws -> ProactiveJob? {
    try first("SELECT * FROM proactive_job WHERE job_id = $1", [.id(id)]).map(ProactiveJob.init(row:))
  }

  public func proactiveJob(key: String) throws -> ProactiveJob? {
    try first("SELECT * FROM proactive_job WHERE job_key = $1", [.text(key)]).map(ProactiveJob.init(row:))
  }

  /// Planned jobs of these lanes whose time has come: urgent before single before bulk, the longest due first.
  public func dueJobs(in lanes: [String], at time: Timestamp, limit: Int) throws -> [DueJob] {
    var found: [DueJob] = []
    for precedence in ProactiveJob.Precedence.allCases {
      for lane in lanes where found.count < limit {
        let rows = try query(
          """
          SELECT * FROM proactive_job WHERE state = 'planned' AND lane = $1 AND precedence = $2 AND next_at <= $3
          ORDER BY next_at, job_id LIMIT $4
          """,
          [.text(lane), SQLValue(precedence.rawValue), SQLValue(time), SQLValue(limit - found.count)])
        for row in rows {
          // One that cannot be read is told by its id alone: whoever works on it puts it aside.
          found.append(
            DueJob(id: try row.parsed("job_id"), precedence: precedence, job: try? ProactiveJob(row: row)))
        }
      }
    }
    return found
  }

  /// When the next planned job of these lanes is due; nil if there is none.
  public func nextDue(in lanes: [String]) throws -> Timestamp? {
    var times: [Timestamp] = []
    for precedence in ProactiveJob.Precedence.allCases {
      for lane in lanes {
        let row = try one(
          "SELECT min(next_at) AS at FROM proactive_job WHERE state = 'planned' AND lane = $1 AND precedence = $2",
          [.text(lane), SQLValue(precedence.rawValue)])
        if let at = try row.timeOrNil("at") { times.append(at) }
      }
    }
    return times.min()
  }

  /// Every lane in which a job is planned; reads one row a lane.
  public func lanes() throws -> [String] {
    try query(
      """
      WITH RECURSIVE l(lane) AS (
        SELECT min(lane) FROM proactive_job WHERE state = 'planned'
        UNION ALL
        SELECT (SELECT min(j.lane) FROM proactive_job j WHERE j.state = 'planned' AND j.lane > l.lane) FROM l
        WHERE l.lane IS NOT NULL)
      SELECT lane FROM l WHERE lane IS NOT NULL
      """
    ).map { try $0.text("lane") }
  }
}

extension ProactiveJob {
  init(row: Row) throws {
    var requested: Request?
    if let channel = try row.textOrNil("requested_channel"), let at = try row.timeOrNil("requested_at") {
      requested = Request(channel: OutboundChannel(rawValue: channel), at: at)
    }
    func words(_ text: String?) -> [String] { (text ?? "").split(separator: " ").map(String.init) }
    self.init(
      id: try row.parsed("job_id"), campaign: try row.parsedOrNil("campaign_id"),
      customerNo: try row.parsedOrNil("customer_no"), key: try row.text("job_key"),
      purpose: Purpose(rawValue: try row.text("purpose")),
      contents: try JSONText.decode([String: Dispatch.Content].self, from: row.text("contents")),
      confidential: try row.bool("confidential"), repeatable: try row.bool("repeatable"), due: try row.time("due_at"),
      notBefore: try row.timeOrNil("not_before"), notAfter: try row.timeOrNil("not_after"), requested: requested,
      overrides: words(try row.textOrNil("overrides")),
      forcedChannel: try row.textOrNil("forced_channel").map(OutboundChannel.init(rawValue:)),
      state: try row.word("state"), nextAt: try row.timeOrNil("next_at"), reason: try row.textOrNil("reason"),
      failures: try row.count("failures"), spent: words(try row.text("spent")).map(OutboundChannel.init(rawValue:)),
      createdBy: try row.text("created_by"), createdAt: try row.time("created_at"), version: try row.count("version"))
    to = try row.addressOrNil("to")
    via = try row.textOrNil("via")
    lane = try row.text("lane")
    precedence = Precedence(rawValue: try row.count("precedence")) ?? .single
    let documents = try row.text("attachments")
    attachments = documents == "[]" ? [] : try JSONText.decode([Attachment].self, from: documents)
    request = try row.parsedOrNil("request_id")
    contact = try row.parsedOrNil("contact_id")
    reference = try row.textOrNil("reference")
    template = try row.textOrNil("template")
  }
}

import Channels
import ContactModel
import Store

/// One agent shown one customer, and the call that came of it.
public struct DialRecord: Hashable, Sendable, Codable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    /// The agent looks at it. He accepts or declines; time or a change of mind takes it away.
    case offered
    /// He declined it; the next agent is asked. Final.
    case declined
    /// He did nothing in time. Final.
    case lapsed
    /// The customer, the bank or the agent's own telephone came between. Final.
    case withdrawn
    /// The call is ordered: his telephone rings, then the customer's. The call moves it on.
    case dialled
    /// The customer answered.
    case talking
    /// The call is over; what the agent says came of it is waited for.
    case wrapUp = "wrap_up"
    /// Nobody knows whether the call was placed. What the exchange tells, a person's word or time moves it on.
    case inDoubt = "in_doubt"
    /// `outcome` says how. Final.
    case ended

    public var isOpen: Bool { [.offered, .dialled, .talking, .wrapUp, .inDoubt].contains(self) }
  }

  public var dialId: DialID
  public var jobId: ProactiveJobID
  public var campaignId: CampaignID?
  public var customerNo: CustomerNumber?
  /// The configured channel it goes by.
  public var channel: String
  public var agentId: AgentID
  public var device: String
  public var queue: Code?
  public var mode: CampaignPlan.Dial
  public var state: State
  /// Why it was declined or withdrawn.
  public var reason: String?
  public var offeredAt: Timestamp
  public var expiresAt: Timestamp
  public var attemptId: AttemptID?
  public var commandId: CallCommandID?
  public var server: String?
  public var callId: String?
  public var to: String?
  public var dialledAt: Timestamp?
  public var answeredAt: Timestamp?
  public var endedAt: Timestamp?
  public var outcome: DialOutcome?
  /// A code of the bank's own.
  public var result: Code?
  public var resultMeans: CallResult.Meaning?
  public var resultNote: String?
  public var resultBy: String?
  public var callBackAt: Timestamp?
  /// From then on the call speaks for itself.
  public var resultDue: Timestamp?
  public var version: Int

  init(row: Row) throws {
    dialId = try row.parsed("dial_id")
    jobId = try row.parsed("job_id")
    campaignId = try row.parsedOrNil("campaign_id")
    customerNo = try row.parsedOrNil("customer_no")
    channel = try row.text("channel")
    agentId = try row.parsed("agent_id")
    device = try row.text("device")
    queue = try row.parsedOrNil("queue")
    mode = try row.word("mode")
    state = try row.word("state")
    reason = try row.textOrNil("reason")
    offeredAt = try row.time("offered_at")
    expiresAt = try row.time("expires_at")
    attemptId = try row.parsedOrNil("attempt_id")
    commandId = try row.parsedOrNil("command_id")
    server = try row.textOrNil("server")
    callId = try row.textOrNil("call_id")
    to = try row.textOrNil("to_canonical")
    dialledAt = try row.timeOrNil("dialled_at")
    answeredAt = try row.timeOrNil("answered_at")
    endedAt = try row.timeOrNil("ended_at")
    outcome = try row.wordOrNil("outcome")
    result = try row.parsedOrNil("result")
    resultMeans = try row.wordOrNil("result_means")
    resultNote = try row.textOrNil("result_note")
    resultBy = try row.textOrNil("result_by")
    callBackAt = try row.timeOrNil("call_back_at")
    resultDue = try row.timeOrNil("result_due")
    version = try row.count("version")
  }
}

extension Connection {
  public func dial(_ id: DialID) throws -> DialRecord? {
    try first("SELECT * FROM dial WHERE dial_id = $1", [.id(id)]).map(DialRecord.init(row:))
  }

  /// Everything still open, oldest first.
  public func openDials(on channel: String? = nil, of agent: AgentID? = nil, limit: Int) throws -> [DialRecord] {
    try query(
      """
      SELECT * FROM dial WHERE state IN ('offered', 'dialled', 'talking', 'wrap_up', 'in_doubt')
        AND (CAST($1 AS TEXT) IS NULL OR channel = $1) AND (CAST($2 AS TEXT) IS NULL OR agent_id = $2)
      ORDER BY dial_id LIMIT $3
      """, [SQLValue(channel), .id(agent), SQLValue(limit)]
    ).map(DialRecord.init(row:))
  }

  /// The newest first, after the last of the page before; of one agent or job where given.
  public func dials(
    of agent: AgentID?, job: ProactiveJobID?, state: DialRecord.State?, after last: DialID?, limit: Int
  ) throws -> [DialRecord] {
    try query(
      """
      SELECT * FROM dial WHERE (CAST($1 AS TEXT) IS NULL OR agent_id = $1) AND (CAST($2 AS TEXT) IS NULL OR job_id = $2)
        AND (CAST($3 AS TEXT) IS NULL OR state = $3) AND (CAST($4 AS TEXT) IS NULL OR dial_id < $4)
      ORDER BY dial_id DESC LIMIT $5
      """, [.id(agent), .id(job), SQLValue(state), .id(last), SQLValue(limit)]
    ).map(DialRecord.init(row:))
  }

  /// Every showing of a job, oldest first.
  func dials(of job: ProactiveJobID) throws -> [DialRecord] {
    try query("SELECT * FROM dial WHERE job_id = $1 ORDER BY dial_id LIMIT 500", [.id(job)])
      .map(DialRecord.init(row:))
  }

  /// The agents who could be rung now, the longest idle first: ready, at a telephone, with nothing in hand, and not one
  /// whose telephone has just been left ringing. `busy` are telephones in a call.
  func agentsToCall(busy: Set<String>, at time: Timestamp) throws -> [Agent] {
    let taken = Set(
      try query(
        """
        SELECT agent_id FROM dial WHERE state IN ('offered', 'dialled', 'talking', 'wrap_up')
        UNION SELECT agent_id FROM dial WHERE outcome = 'agent_not_reached' AND ended_at > $1
        """, [SQLValue(time - .seconds(120))]
      ).map { try $0.text("agent_id") })
    return try agents().filter { agent in
      guard agent.state == .ready, let device = agent.device else { return false }
      return !busy.contains(device) && !taken.contains(agent.id.description)
    }
    .sorted { ($0.stateSince, $0.id) < ($1.stateSince, $1.id) }
  }

  /// Planned jobs of these lanes whose time has come and which nobody is shown, in the order they are to be called; of
  /// each campaign at most `limit`, so that one whose agents are away hides no other.
  func jobsToCall(in lanes: [String], at time: Timestamp, limit: Int) throws -> [ProactiveJobID] {
    let (one, other) = (lanes.first ?? "", lanes.last ?? "")
    let free = """
      state = 'planned' AND lane IN ($1, $2) AND next_at <= $3 AND NOT EXISTS (SELECT 1 FROM dial d
        WHERE d.job_id = j.job_id AND d.state IN ('offered', 'dialled', 'talking', 'wrap_up', 'in_doubt'))
      """
    var found = try query(
      """
      SELECT job_id FROM proactive_job j WHERE \(free) AND campaign_id IS NULL ORDER BY precedence, next_at, job_id
      LIMIT $4
      """, [.text(one), .text(other), SQLValue(time), SQLValue(limit)]
    ).map { try $0.text("job_id") }
    let campaigns = try query(
      """
      SELECT DISTINCT campaign_id FROM proactive_job j
      WHERE state = 'planned' AND lane IN ($1, $2) AND next_at <= $3 AND campaign_id IS NOT NULL
      """, [.text(one), .text(other), SQLValue(time)]
    ).map { try $0.text("campaign_id") }
    // One of each in turn, so that none waits for another to end.
    var turns = try campaigns.sorted().map { campaign in
      try query(
        "SELECT job_id FROM proactive_job j WHERE \(free) AND campaign_id = $4 ORDER BY next_at, job_id LIMIT $5",
        [.text(one), .text(other), SQLValue(time), .text(campaign), SQLValue(limit)]
      ).map { try $0.text("job_id") }[...]
    }
    while turns.contains(where: { !$0.isEmpty }) {
      for index in turns.indices { if let next = turns[index].popFirst() { found.append(next) } }
    }
    return found.compactMap { ProactiveJobID($0) }
  }
}

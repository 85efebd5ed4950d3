import Channels
import ContactModel
import Store

/// The transactions that write a plan and carry it out, each small enough for the bulk lane.
extension WriteTransaction {
  /// Begins, or takes up again, the plan of a campaign.
  func beginPlan(of id: CampaignID, _ survey: CampaignSurvey) throws -> CampaignPlanRecord {
    try execute(
      """
      INSERT INTO campaign_plan(campaign_no, campaign_id, decided_at, rule_version, max_seq, max_class)
      SELECT coalesce(max(campaign_no), 0) + 1, CAST($1 AS TEXT), CAST($2 AS {{int}}), CAST($3 AS TEXT),
        CAST($4 AS {{int}}), CAST($5 AS {{int}}) FROM campaign_plan WHERE 1 = 1
      ON CONFLICT (campaign_id) DO UPDATE SET max_class = excluded.max_class
      """,
      [
        .id(id), SQLValue(survey.decidedAt), .text(survey.ruleVersion), .int(survey.maxSeq), .int(survey.maxClass),
      ])
    guard let record = try campaignPlan(id) else { throw DatabaseError(.other, "a plan just begun is gone") }
    return record
  }

  func writeCells(_ cells: some Sequence<(key: Int64, value: CampaignSurvey.Outcome)>, of number: Int64) throws {
    for (cell, outcome) in cells {
      try execute(
        """
        INSERT INTO campaign_cell(campaign_no, cell, verdict, reason, channel, until_at, refused)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (campaign_no, cell) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason,
          channel = excluded.channel, until_at = excluded.until_at, refused = excluded.refused
        """,
        [
          .int(number), .int(cell), SQLValue(outcome.verdict), .text(outcome.reason.rawValue),
          SQLValue(outcome.channel?.rawValue), SQLValue(outcome.until),
          .text(outcome.refused.map { "\($0.channel.rawValue)=\($0.reason.rawValue)" }.joined(separator: " ")),
        ])
    }
  }

  /// The lowest cell in use: those decided one by one count down from it.
  func lowestCell(of number: Int64) throws -> Int64 {
    min(
      0,
      try one("SELECT coalesce(min(cell), 0) AS n FROM campaign_cell WHERE campaign_no = $1", [.int(number)]).int("n"))
  }

  /// Those decided one by one; who has a row already keeps it.
  func writeMembers(_ members: some Collection<(seq: Int64, cell: Int64)>, of number: Int64) throws {
    guard !members.isEmpty else { return }
    // Whole numbers of our own, so that one text carries a thousand rows.
    try execute(
      script: "INSERT INTO campaign_member(campaign_no, seq, cell) VALUES "
        + members.map { "(\(number),\($0.seq),\($0.cell))" }.joined(separator: ",")
        + " ON CONFLICT (campaign_no, seq) DO NOTHING")
  }

  /// Everybody of the audience whose number is in `range`, by class and arm, as far as there is time; answers the last
  /// number that is done.
  func writeMembers(
    in range: ClosedRange<Int64>, of number: Int64, draw: CampaignDraw, audience: Audience, at now: Timestamp
  ) throws -> Int64 {
    var next = range.lowerBound
    var count = 0
    repeat {
      let last = min(next + Self.membersAtOnce - 1, range.upperBound)
      var parameters = SQLParameters()
      let campaign = parameters.int(number)
      let arm = draw.sqlArm(&parameters)
      let (low, high) = (parameters.int(next), parameters.int(last))
      let condition = audience.condition(&parameters, at: now)
      count += try execute(
        """
        INSERT INTO campaign_member(campaign_no, seq, cell)
        SELECT \(campaign), p.seq, p.class_id * 16 + \(arm) FROM contact_profile p \(audience.join)
        WHERE p.seq >= \(low) AND p.seq <= \(high)\(condition)
        ON CONFLICT (campaign_no, seq) DO NOTHING
        """, parameters.values)
      next = last + 1
    } while next <= range.upperBound && !isTimeUp
    try execute(
      "UPDATE campaign_plan SET written_seq = $2, written = written + $3 WHERE campaign_no = $1",
      [.int(number), .int(next - 1), SQLValue(count)])
    return next - 1
  }

  /// About half a millisecond.
  private static var membersAtOnce: Int64 { 1_000 }

  func completePlan(_ number: Int64, individuals: Int, at time: Timestamp) throws {
    try execute(
      "UPDATE campaign_plan SET completed_at = $2, written = written + $3 WHERE campaign_no = $1",
      [.int(number), SQLValue(time), SQLValue(individuals)])
  }

  /// Makes jobs of some members, in order; nothing if another did so meanwhile, or the campaign does not run. `last` is
  /// how far the plan was looked through. Answers how many jobs were made.
  func feed(
    _ members: [CampaignMember], of campaign: Campaign, _ record: CampaignPlanRecord, through last: Int64,
    isLast: Bool, link: (CustomerNumber) -> String?, canUnsubscribe: Bool, at time: Timestamp
  ) throws -> Int {
    guard let now = try self.campaign(campaign.id), now.state == .running else { return 0 }
    let cost = try members.reduce(Int64(0)) {
      try $0 + make($1, of: campaign, record.number, link, canUnsubscribe, at: time)
    }
    let moved = try execute(
      """
      UPDATE campaign_plan SET fed_seq = $2, fed = fed + $3, fed_out = $4, fed_at = $5,
        committed_cents = committed_cents + $6
      WHERE campaign_no = $1 AND fed_seq = $7
      """,
      [
        .int(record.number), .int(last), SQLValue(members.count), SQLValue(isLast), SQLValue(time), .int(cost),
        .int(record.fedSeq),
      ])
    // Nothing is made twice: the jobs are one a customer. But the count must be right too.
    guard moved == 1 else { throw DatabaseError(.serialization, "the campaign was carried on elsewhere") }
    return members.count
  }

  /// One member's job; answers what it may cost.
  private func make(
    _ member: CampaignMember, of campaign: Campaign, _ number: Int64, _ link: (CustomerNumber) -> String?,
    _ canUnsubscribe: Bool, at time: Timestamp
  ) throws -> Int64 {
    let plan = campaign.plan
    let arm = CampaignDraw(plan, seed: campaign.seed).arm(of: member.seq)
    guard plan.arms.indices.contains(arm - 1), let customer = try customer(member.customerNo) else { return 0 }
    var contents = plan.arms[arm - 1].contents(
      for: customer, link: link(customer.customerNo), canUnsubscribe: canUnsubscribe)
    let all = contents
    if plan.oncePerAddress {
      for channel in contents.keys.sorted() where try !claimAddress(of: customer, on: channel, number) {
        contents[channel] = nil
      }
    }
    var job = ProactiveJob(
      id: ProactiveJobID(at: time), campaign: campaign.id, customerNo: customer.customerNo,
      key: "\(campaign.id)/\(customer.customerNo)", purpose: plan.purpose, contents: contents.isEmpty ? all : contents,
      confidential: plan.confidential, repeatable: plan.repeatable, due: max(time, plan.startAt ?? time),
      notBefore: plan.startAt, notAfter: plan.endAt, nextAt: max(time, member.until ?? time),
      createdBy: campaign.approvedBy ?? campaign.createdBy, createdAt: time)
    job.precedence = .bulk
    let (kept, isNew) = try self.plan(job, actor: .liaison, at: time)
    if contents.isEmpty, isNew {
      job = kept
      job.state = .refused
      job.reason = Reason.addressDuplicate.rawValue
      let decision = Decision(
        .refuse, .addressDuplicate,
        refused: all.keys.sorted().map { .init(channel: OutboundChannel(rawValue: $0), reason: .addressDuplicate) })
      try record(
        decision, on: job, candidates: all.keys.map(OutboundChannel.init(rawValue:)), ruleVersion: "campaign",
        id: DecisionID(at: time), at: time)
      try update(job, at: time)
      return 0
    }
    return contents.keys.reduce(Int64(0)) { max($0, Int64(plan.costCents[$1] ?? 0)) }
  }

  /// Takes the address a channel would use for this customer; false if another customer of the campaign has it.
  private func claimAddress(of customer: Customer, on channel: String, _ number: Int64) throws -> Bool {
    let kind = OutboundChannel(rawValue: channel).addressKind
    let points = try contactPointsWithZones(of: customer.customerNo).filter { $0.address.kind == kind }
    guard let point = points.first(where: { $0.state == .ok }) ?? points.first else { return true }
    let row = try one(
      """
      INSERT INTO campaign_address(campaign_no, kind, canonical, customer_no) VALUES ($1, $2, $3, $4)
      ON CONFLICT (campaign_no, kind, canonical) DO UPDATE SET customer_no = campaign_address.customer_no
      RETURNING customer_no
      """, [.int(number), SQLValue(kind), .text(point.address.canonical), .id(customer.customerNo)])
    return try row.text("customer_no") == customer.customerNo.description
  }
}

/// Somebody a job is to be made for.
struct CampaignMember: Sendable {
  var seq: Int64
  var customerNo: CustomerNumber
  var until: Timestamp?
}

extension Connection {
  /// The next of a plan who are to be reached, at most `limit`, looking at no more than `span` rows; how far that was,
  /// and whether it was the end.
  func membersToFeed(
    _ record: CampaignPlanRecord, limit: Int, span: Int64
  ) throws -> (members: [CampaignMember], through: Int64, isLast: Bool) {
    let end = record.fedSeq + span
    let rows = try query(
      """
      SELECT m.seq, p.customer_no, x.until_at FROM campaign_member m
        JOIN campaign_cell x ON x.campaign_no = m.campaign_no AND x.cell = m.cell AND x.verdict <> 'refuse'
        JOIN contact_profile p ON p.seq = m.seq
      WHERE m.campaign_no = $1 AND m.seq > $2 AND m.seq <= $3 ORDER BY m.seq LIMIT $4
      """, [.int(record.number), .int(record.fedSeq), .int(end), SQLValue(limit)])
    let members = try rows.map { row in
      CampaignMember(
        seq: try row.int("seq"), customerNo: try row.parsed("customer_no"), until: try row.timeOrNil("until_at"))
    }
    if members.count == limit, let last = members.last { return (members, last.seq, last.seq >= record.maxSeq) }
    return (members, min(end, record.maxSeq), end >= record.maxSeq)
  }

  /// How many jobs of a campaign are under way or due, counted no further than `limit`.
  func dueJobs(of campaign: CampaignID, at time: Timestamp, limit: Int) throws -> Int {
    try one(
      """
      SELECT count(*) AS n FROM (SELECT 1 FROM proactive_job WHERE campaign_id = $1
        AND (state = 'active' OR (state = 'planned' AND next_at <= $2)) LIMIT $3) AS due
      """, [.id(campaign), SQLValue(time), SQLValue(limit)]
    ).count("n")
  }

  func hasOpenJobs(_ campaign: CampaignID) throws -> Bool {
    try first(
      "SELECT 1 AS found FROM proactive_job WHERE campaign_id = $1 AND state IN ('planned', 'active') LIMIT 1",
      [.id(campaign)]) != nil
  }
}

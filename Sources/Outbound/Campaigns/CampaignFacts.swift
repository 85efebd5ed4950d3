import Channels
import ContactModel
import Store

extension Campaign {
  struct Body: Codable {
    var plan: CampaignPlan
    var editedBy: String
    var reason: String?
  }

  init(row: Row) throws {
    let body = try JSONText.decode(Body.self, from: row.text("body"))
    self.init(
      id: try row.parsed("campaign_id"), state: try row.word("state"), plan: body.plan, seed: try row.int("seed"),
      createdBy: try row.text("created_by"), editedBy: body.editedBy, approvedBy: try row.textOrNil("approved_by"),
      approvedAt: try row.timeOrNil("approved_at"), createdAt: try row.time("created_at"),
      updatedAt: try row.time("updated_at"), reason: body.reason, version: try row.count("version"))
  }
}

/// One step in the life of a campaign.
public struct CampaignStep: Hashable, Sendable {
  public var at: Timestamp
  public var actor: String
  public var act: String
  public var from: CampaignState?
  public var to: CampaignState
  public var reason: String?
}

/// How far a plan is written and carried out.
public struct CampaignPlanRecord: Hashable, Sendable {
  public var number: Int64
  public var decidedAt: Timestamp
  public var ruleVersion: String
  var maxSeq: Int64
  var maxClass: Int64
  var writtenSeq: Int64
  /// Customers in the plan so far.
  public var written: Int
  public var completedAt: Timestamp?
  var fedSeq: Int64
  /// Jobs made of it so far.
  public var fed: Int
  public var committedCents: Int64
  /// Nobody is left to make a job for.
  public var isFedOut: Bool
  /// Written to its end and carried out to its end, as far as jobs go.
  public var isComplete: Bool { completedAt != nil && isFedOut }

  init(row: Row) throws {
    number = try row.int("campaign_no")
    decidedAt = try row.time("decided_at")
    ruleVersion = try row.text("rule_version")
    maxSeq = try row.int("max_seq")
    maxClass = try row.int("max_class")
    writtenSeq = try row.int("written_seq")
    written = try row.count("written")
    completedAt = try row.timeOrNil("completed_at")
    fedSeq = try row.int("fed_seq")
    fed = try row.count("fed")
    committedCents = try row.int("committed_cents")
    isFedOut = try row.bool("fed_out")
  }
}

extension Connection {
  public func campaign(_ id: CampaignID) throws -> Campaign? {
    try first("SELECT * FROM campaign WHERE campaign_id = $1", [.id(id)]).map(Campaign.init(row:))
  }

  /// Newest first, after the last of the page before; of one state where given.
  public func campaigns(state: CampaignState?, after last: CampaignID?, limit: Int) throws -> [Campaign] {
    try query(
      """
      SELECT * FROM campaign WHERE (CAST($1 AS TEXT) IS NULL OR state = $1)
        AND (CAST($2 AS TEXT) IS NULL OR campaign_id < $2) ORDER BY campaign_id DESC LIMIT $3
      """, [SQLValue(state), .id(last), SQLValue(limit)]
    ).map(Campaign.init(row:))
  }

  public func campaignHistory(_ id: CampaignID) throws -> [CampaignStep] {
    try query("SELECT * FROM campaign_history WHERE campaign_id = $1 ORDER BY version", [.id(id)]).map { row in
      CampaignStep(
        at: try row.time("at"), actor: try row.text("actor"), act: try row.text("act"),
        from: try row.wordOrNil("from_state"), to: try row.word("to_state"), reason: try row.textOrNil("reason"))
    }
  }

  public func campaignPlan(_ id: CampaignID) throws -> CampaignPlanRecord? {
    try first("SELECT * FROM campaign_plan WHERE campaign_id = $1", [.id(id)]).map(CampaignPlanRecord.init(row:))
  }

  /// Whom a plan is for; throws `CriterionFault` for a group that is gone or cannot be read.
  func audience(of plan: CampaignPlan) throws -> Audience {
    guard let code = plan.group else { return .everybody }
    guard let group = try group(code) else {
      throw CriterionFault(.unknownGroup, at: 1, expected: code.description)
    }
    return try Audience(of: group)
  }
}

extension WriteTransaction {
  public func createCampaign(_ plan: CampaignPlan, actor: Actor, at time: Timestamp) throws -> Campaign {
    let id = CampaignID(at: time)
    // From the id, so that it is known to nobody before and the same for ever.
    let seed = id.description.utf8.reduce(Int64(7)) { ($0 &* 31 &+ Int64($1)) & 0x3fff_ffff_ffff }
    let campaign = Campaign(
      id: id, state: .draft, plan: plan, seed: seed % CampaignDraw.modulus, createdBy: actor.label,
      editedBy: actor.label, createdAt: time, updatedAt: time, version: 1)
    try execute(
      """
      INSERT INTO campaign(campaign_id, name, purpose, group_code, state, body, holdout_percent, seed, created_by,
        created_at, updated_at)
      VALUES ($1, $2, $3, $4, 'draft', $5, $6, $7, $8, $9, $9)
      """,
      [
        .id(id), .text(plan.name), .text(plan.purpose.rawValue), .id(plan.group), .text(try body(of: campaign)),
        SQLValue(plan.holdoutPercent), .int(campaign.seed), .text(actor.label), SQLValue(time),
      ])
    try note(campaign, .create, from: nil, actor: actor, at: time)
    return campaign
  }

  /// Changes what a campaign says; whatever was approved must be approved again.
  public func edit(
    _ id: CampaignID, to plan: CampaignPlan, expecting version: Int?, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<Campaign> {
    try move(id, .edit, expecting: version, reason: nil, actor: actor, at: time) { campaign in
      campaign.plan = plan
      campaign.editedBy = actor.label
      campaign.approvedBy = nil
      campaign.approvedAt = nil
    }
  }

  /// Does an act, with all that follows from it. Who wrote a campaign, or changed it last, cannot approve it.
  public func act(
    _ act: CampaignAct, on id: CampaignID, expecting version: Int? = nil, startAt: Timestamp? = nil,
    reason: String? = nil, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<Campaign> {
    if act == .approve, let campaign = try campaign(id),
      campaign.createdBy == actor.label || campaign.editedBy == actor.label
    {
      return .refused("a second person must approve it")
    }
    let outcome = try move(id, act, expecting: version, reason: reason, actor: actor, at: time) { campaign in
      switch act {
      case .approve: (campaign.approvedBy, campaign.approvedAt) = (actor.label, time)
      case .schedule: campaign.plan.startAt = startAt ?? campaign.plan.startAt
      case .create, .edit, .check, .start, .pause, .resume, .finish, .cancel: break
      }
      campaign.reason = reason
    }
    guard case .done = outcome else { return outcome }
    switch act {
    case .resume:
      // What was put off while it was paused goes on at once.
      try execute(
        """
        UPDATE proactive_job SET next_at = $2, updated_at = $2, version = version + 1
        WHERE campaign_id = $1 AND state = 'planned' AND reason = $3
        """, [.id(id), SQLValue(time), .text(Reason.deferPaused.rawValue)])
      if case .done(let campaign) = outcome {
        for lane in [""] + campaign.plan.channels.map(\.rawValue) { afterCommit(JobsWaiting(lane: lane)) }
      }
    case .cancel:
      try execute(
        """
        UPDATE proactive_job SET state = 'cancelled', next_at = NULL, reason = $3, updated_at = $2,
          version = version + 1
        WHERE campaign_id = $1 AND state = 'planned'
        """, [.id(id), SQLValue(time), .text(Reason.campaignEnded.rawValue)])
    case .create, .edit, .check, .approve, .schedule, .start, .pause, .finish: break
    }
    return outcome
  }

  private func move(
    _ id: CampaignID, _ act: CampaignAct, expecting version: Int?, reason: String?, actor: Actor, at time: Timestamp,
    _ change: (inout Campaign) -> Void
  ) throws -> ActOutcome<Campaign> {
    guard var campaign = try campaign(id) else { return .notFound }
    if let version, version != campaign.version { return .conflict(campaign) }
    guard let next = campaign.state.after(act) else {
      return .refused("a campaign that is \(campaign.state.rawValue) cannot be subject to: \(act.rawValue)")
    }
    let before = campaign.state
    change(&campaign)
    campaign.state = next
    campaign.updatedAt = time
    campaign.version += 1
    try execute(
      """
      UPDATE campaign SET name = $2, purpose = $3, group_code = $4, state = $5, body = $6, holdout_percent = $7,
        approved_by = $8, approved_at = $9, updated_at = $10, version = version + 1
      WHERE campaign_id = $1
      """,
      [
        .id(id), .text(campaign.plan.name), .text(campaign.plan.purpose.rawValue), .id(campaign.plan.group),
        SQLValue(next), .text(try body(of: campaign)), SQLValue(campaign.plan.holdoutPercent),
        SQLValue(campaign.approvedBy), SQLValue(campaign.approvedAt), SQLValue(time),
      ])
    try note(campaign, act, from: before, actor: actor, at: time)
    return .done(campaign)
  }

  private func body(of campaign: Campaign) throws -> String {
    try JSONText.encode(Campaign.Body(plan: campaign.plan, editedBy: campaign.editedBy, reason: campaign.reason))
  }

  private func note(
    _ campaign: Campaign, _ act: CampaignAct, from: CampaignState?, actor: Actor, at time: Timestamp
  ) throws {
    try execute(
      """
      INSERT INTO campaign_history(campaign_id, version, at, actor, act, from_state, to_state, reason)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
      """,
      [
        .id(campaign.id), SQLValue(campaign.version), SQLValue(time), .text(actor.label), SQLValue(act), SQLValue(from),
        SQLValue(campaign.state), SQLValue(campaign.reason),
      ])
    try append(
      EventRecord(
        at: time, type: .campaignChanged, subject: campaign.id.description, actor: actor.label, trace: actor.trace,
        body: try JSONText.encode(["act": act.rawValue, "state": campaign.state.rawValue])))
  }
}

import Channels
import ContactModel
import Store

/// What a campaign came to for one customer: its one row, with the job that was made of it.
public struct CampaignResult: Hashable, Sendable {
  public enum Outcome: String, Hashable, Sendable, Codable, CaseIterable {
    /// A channel took it over.
    case reached
    /// Nobody will know whether it reached him; it counts as sent.
    case unknown
    /// On its way, or waiting for its time.
    case underWay = "under_way"
    /// Not sent; the reason says why.
    case skipped
    /// In the control group.
    case heldOut = "held_out"
    /// No job has been made yet.
    case waiting
    case expired
    case cancelled
  }
  public var seq: Int64
  public var customerNo: CustomerNumber
  public var outcome: Outcome
  /// The arm's name; nil for the held out.
  public var arm: String?
  /// By which he was reached, or would have been.
  public var channel: OutboundChannel?
  /// Of the decision at planning, or the last word on the job.
  public var reason: String
  /// Why not, by channel, as it was decided at planning.
  public var refused: [String: String]
  public var job: ProactiveJobID?
  public var at: Timestamp?
}

extension Connection {
  /// A campaign's rows in the order of its plan, after `seq`, at most `limit`.
  public func campaignResults(of campaign: Campaign, after seq: Int64, limit: Int) throws -> [CampaignResult] {
    guard let record = try campaignPlan(campaign.id) else { return [] }
    return try results(of: campaign, record, "m.seq > $3", [.int(seq)], limit: limit)
  }

  /// One customer's row; nil if he is not in the plan.
  public func campaignResult(of campaign: Campaign, for customer: CustomerNumber) throws -> CampaignResult? {
    guard let record = try campaignPlan(campaign.id) else { return nil }
    return try results(
      of: campaign, record, "m.seq = (SELECT seq FROM contact_profile WHERE customer_no = $3)", [.id(customer)],
      limit: 1
    ).first
  }

  private func results(
    of campaign: Campaign, _ record: CampaignPlanRecord, _ condition: String, _ values: [SQLValue], limit: Int
  ) throws -> [CampaignResult] {
    let draw = CampaignDraw(campaign.plan, seed: campaign.seed)
    return try query(
      """
      SELECT m.seq, p.customer_no, x.verdict, x.reason, x.channel, x.refused, j.job_id, j.state, j.reason AS job_reason,
        j.updated_at, (SELECT a.outbound_channel FROM attempt a WHERE a.job_id = j.job_id
          AND a.state NOT IN ('released', 'rejected') ORDER BY a.attempt_id DESC LIMIT 1) AS attempted
      FROM campaign_member m JOIN campaign_cell x ON x.campaign_no = m.campaign_no AND x.cell = m.cell
        JOIN contact_profile p ON p.seq = m.seq
        LEFT JOIN proactive_job j ON j.campaign_id = $1 AND j.customer_no = p.customer_no
      WHERE m.campaign_no = $2 AND \(condition) ORDER BY m.seq LIMIT \(limit)
      """, [.id(campaign.id), .int(record.number)] + values
    ).map { row in
      let seq = try row.int("seq")
      let arm = draw.arm(of: seq)
      let planned = try row.text("reason")
      var refused: [String: String] = [:]
      for pair in try row.text("refused").split(separator: " ") {
        let parts = pair.split(separator: "=", maxSplits: 1)
        if parts.count == 2 { refused[String(parts[0])] = String(parts[1]) }
      }
      let outcome: CampaignResult.Outcome
      switch try row.wordOrNil("state", as: ProactiveJob.State.self) {
      case nil where planned == Reason.holdout.rawValue: outcome = .heldOut
      case nil where try row.text("verdict") == "refuse": outcome = .skipped
      case nil: outcome = campaign.state.isFinal ? .cancelled : .waiting
      case .planned, .active: outcome = .underWay
      case .done: outcome = .reached
      case .unknown: outcome = .unknown
      case .refused: outcome = .skipped
      case .expired: outcome = .expired
      case .cancelled: outcome = .cancelled
      }
      return CampaignResult(
        seq: seq, customerNo: try row.parsed("customer_no"), outcome: outcome,
        arm: campaign.plan.arms.indices.contains(arm - 1) ? campaign.plan.arms[arm - 1].name : nil,
        channel: (try row.textOrNil("attempted") ?? row.textOrNil("channel")).map(OutboundChannel.init(rawValue:)),
        reason: try row.textOrNil("job_reason") ?? planned, refused: refused, job: try row.parsedOrNil("job_id"),
        at: try row.timeOrNil("updated_at"))
    }
  }

  /// How a campaign stands: what was planned for whom, and what became of the jobs so far.
  public func campaignProgress(of campaign: Campaign) throws -> CampaignProgress {
    var progress = CampaignProgress()
    guard let record = try campaignPlan(campaign.id) else { return progress }
    progress.plan = record
    for row in try query(
      "SELECT state, count(*) AS n FROM proactive_job WHERE campaign_id = $1 GROUP BY state", [.id(campaign.id)])
    {
      progress.jobs[try row.text("state")] = try row.count("n")
    }
    for row in try query(
      """
      SELECT a.outbound_channel, count(*) AS n FROM proactive_job j JOIN attempt a ON a.job_id = j.job_id
      WHERE j.campaign_id = $1 AND a.state NOT IN ('planned', 'reserved', 'released', 'rejected')
      GROUP BY a.outbound_channel
      """, [.id(campaign.id)])
    {
      let channel = try row.text("outbound_channel")
      let count = try row.count("n")
      progress.attempts[channel] = count
      progress.spentCents += Int64(count) * Int64(campaign.plan.costCents[channel] ?? 0)
    }
    return progress
  }
}

public struct CampaignProgress: Hashable, Sendable {
  /// Nil before it has begun.
  public var plan: CampaignPlanRecord?
  /// By state.
  public var jobs: [String: Int] = [:]
  /// Attempts that were handed over, by channel.
  public var attempts: [String: Int] = [:]
  public var spentCents: Int64 = 0
}

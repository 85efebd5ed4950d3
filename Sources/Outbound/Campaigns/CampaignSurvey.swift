import Channels
import ContactModel
import Store

/// What a campaign would do, decided for everybody in its audience at one instant.
public struct CampaignSurvey: Sendable {
  /// What was decided for a number of customers.
  public struct Outcome: Hashable, Sendable {
    public enum Verdict: String, Hashable, Sendable, Codable, CaseIterable {
      case send
      case `defer`
      case refuse
    }
    public var verdict: Verdict
    public var reason: Reason
    public var channel: OutboundChannel?
    public var until: Timestamp?
    public var refused: [Decision.Refusal]

    public init(_ decision: Decision) {
      reason = decision.reason
      refused = decision.refused
      switch decision.verdict {
      case .send(let on): (verdict, channel) = (.send, on)
      case .defer(let on, let then): (verdict, channel, until) = (.defer, on, then)
      case .refuse: verdict = .refuse
      }
    }
  }

  public var decidedAt: Timestamp
  public var ruleVersion: String
  /// Customers by outcome. An outcome's `until` is left out of account.
  public internal(set) var counts: [Outcome: Int] = [:]
  /// By cell, as `campaign_cell` keeps it.
  var cells: [Int64: Outcome] = [:]
  /// Those decided one by one.
  var individuals: [(seq: Int64, cell: Int64)] = []
  var maxSeq: Int64 = 0
  var maxClass: Int64 = 0
  public internal(set) var customers = 0
  /// Of `customers` those whose caps or expiring statements had to be looked at one by one.
  public var decidedOneByOne: Int { individuals.count }

  public var sendable: Int { counts.reduce(0) { $1.key.verdict == .refuse ? $0 : $0 + $1.value } }
  public func sendable(on channel: OutboundChannel) -> Int {
    counts.reduce(0) { $1.key.verdict != .refuse && $1.key.channel == channel ? $0 + $1.value : $0 }
  }
  /// The histogram of reasons.
  public var reasons: [Reason: Int] { counts.reduce(into: [:]) { $0[$1.key.reason, default: 0] += $1.value } }
}

/// Decides a campaign for its whole audience: once per class of customers, and one by one only for those whose caps may
/// bind or whose statements begin or end while it lasts.
///
/// One snapshot of the store; reads indices of the projection and nothing of a customer who is like others.
/// Source: specs/outbound.md §4.
struct CampaignSurveyor {
  let plan: CampaignPlan
  let draw: CampaignDraw
  let audience: Audience
  let profile: PurposeProfile
  let zones: ZoneCatalog
  let catalog: ClassCatalog
  /// The channels there is a link for; nil: all.
  let links: Set<OutboundChannel>?
  let now: Timestamp

  /// When the decisions are made for: the start, if that is still to come.
  private var moment: Timestamp { max(now, plan.startAt ?? now) }

  func survey(_ connection: any Connection) throws -> CampaignSurvey {
    var out = CampaignSurvey(decidedAt: moment, ruleVersion: profile.version)
    out.maxSeq = try connection.one("SELECT coalesce(max(seq), 0) AS n FROM contact_profile").int("n")
    try catalog.update(from: connection)
    let classes = catalog.classes
    out.maxClass = classes.last?.id ?? 0
    let killSwitch = try connection.killSwitch()
    let arms = decisions(killSwitch)
    for one in classes {
      for arm in arms {
        var facts = Facts(of: one.body, candidates: arm.request.candidates, zones: zones)
        facts.killSwitch = killSwitch
        facts.isHeldOut = arm.number == 0
        out.cells[one.id * 16 + Int64(arm.number)] = CampaignSurvey.Outcome(decide(facts, arm))
      }
    }
    try count(connection, &out)
    try decideOneByOne(connection, killSwitch, arms, &out)
    return out
  }

  /// The verdicts of the classes above `last` alone.
  func cellsOnly(
    _ connection: any Connection, after last: Int64
  ) throws -> [(key: Int64, value: CampaignSurvey.Outcome)] {
    try catalog.update(from: connection)
    let killSwitch = try connection.killSwitch()
    let arms = decisions(killSwitch)
    return catalog.classes.filter { $0.id > last }.flatMap { one in
      arms.map { arm in
        var facts = Facts(of: one.body, candidates: arm.request.candidates, zones: zones)
        facts.killSwitch = killSwitch
        facts.isHeldOut = arm.number == 0
        return (one.id * 16 + Int64(arm.number), CampaignSurvey.Outcome(decide(facts, arm)))
      }
    }
  }

  // MARK: Requests

  struct ArmRequest {
    var number: Int
    var request: DecisionRequest
  }

  /// One request an arm; number 0 is the held out, who count with every channel.
  private func decisions(_ killSwitch: Bool) -> [ArmRequest] {
    func request(_ channels: [OutboundChannel]) -> DecisionRequest {
      var request = DecisionRequest(
        purpose: plan.purpose, candidates: channels.filter { links?.contains($0) ?? true })
      request.isConfidential = plan.confidential
      request.due = moment
      request.notBefore = plan.startAt
      request.notAfter = plan.endAt
      return request
    }
    var out = plan.arms.enumerated().map { ArmRequest(number: $0.offset + 1, request: request($0.element.channels)) }
    if plan.holdoutPercent > 0 { out.insert(ArmRequest(number: 0, request: request(plan.channels)), at: 0) }
    return out
  }

  private func decide(_ facts: Facts, _ arm: ArmRequest) -> Decision {
    if arm.request.candidates.isEmpty { return Decision(.refuse, .noChannel) }
    return Outbound.decide(arm.request, about: facts, under: profile, at: moment)
  }

  // MARK: Classes

  /// Who was reached before this instant has no cap left that could bind.
  private var quietBefore: Timestamp {
    let rules = profile.purposes[plan.purpose]
    var longest: Int64 = 3_600_000_000
    if let rules, !rules.isExemptFromHours {
      for cap in rules.caps {
        switch cap.span {
        case .rolling(let span): longest = max(longest, span.wholeMicroseconds)
        case .calendarDay: longest = max(longest, 2 * 86_400_000_000 + 14 * 3_600_000_000)
        }
      }
    }
    return Timestamp(microseconds: moment.microseconds - longest)
  }

  /// Whose statements hold until this instant may be decided by them.
  private var stableBeyond: Timestamp {
    let horizon = moment.microseconds + profile.horizon.wholeMicroseconds
    return Timestamp(microseconds: min(horizon, plan.endAt?.microseconds ?? horizon))
  }

  private func count(_ connection: any Connection, _ out: inout CampaignSurvey) throws {
    var parameters = SQLParameters()
    let quiet = parameters.int(quietBefore.microseconds)
    let stable = parameters.int(stableBeyond.microseconds)
    let isPlain = draw.isTrivial
    let drawn = isPlain ? "0" : draw.sqlDrawn(&parameters)
    let sums =
      isPlain
      ? ""
      : draw.bounds.dropLast().enumerated().map { ", sum(CASE WHEN d < \($1) THEN 1 ELSE 0 END) AS below\($0)" }
        .joined()
    let condition = audience.condition(&parameters, at: now, isLeading: true)
    let rows = try connection.query(
      """
      SELECT class_id, count(*) AS n\(sums) FROM (SELECT p.class_id, \(drawn) AS d FROM contact_profile p
        \(audience.join) WHERE (p.touched_at IS NULL OR p.touched_at <= \(quiet))
        AND (p.stable_until IS NULL OR p.stable_until > \(stable))\(condition)) AS quiet GROUP BY class_id
      """, parameters.values)
    for row in rows {
      let id = try row.int("class_id")
      let total = try row.count("n")
      out.customers += total
      if isPlain {
        if let outcome = out.cells[id * 16 + 1] { out.counts[outcome, default: 0] += total }
        continue
      }
      var before = 0
      for arm in draw.bounds.indices {
        let upTo = arm == draw.bounds.count - 1 ? total : try row.count("below\(arm)")
        if upTo > before, let outcome = out.cells[id * 16 + Int64(arm)] {
          out.counts[outcome, default: 0] += upTo - before
        }
        before = upTo
      }
    }
  }

  // MARK: One by one

  private static let page = 2_000

  private func decideOneByOne(
    _ connection: any Connection, _ killSwitch: Bool, _ arms: [ArmRequest], _ out: inout CampaignSurvey
  ) throws {
    var interned: [CampaignSurvey.Outcome: Int64] = [:]
    // The facts of a class and arm, made once; bounded, because some banks' customers have no two alike.
    var known: [Int64: Facts] = [:]
    for condition in Kind.allCases {
      var last: (key: Int64, seq: Int64) = (condition == .touched ? quietBefore.microseconds : .min, .max)
      while true {
        let rows = try page(connection, condition, after: last)
        guard let final = rows.last else { break }
        last = (try final.int("key"), try final.int("seq"))
        let numbers = try rows.map { try $0.text("customer_no") }
        let histories = try histories(of: numbers, connection)
        let unstable = try rows.compactMap { row in
          try (row.intOrNil("stable_until") ?? .max) <= stableBeyond.microseconds ? try row.text("customer_no") : nil
        }
        let statements = try statements(of: unstable, connection)
        for row in rows {
          let number = try row.text("customer_no")
          let seq = try row.int("seq")
          let arm = draw.arm(of: seq)
          let classID = try row.int("class_id")
          guard let request = arms.first(where: { $0.number == arm }) else { continue }
          var facts: Facts
          if let made = known[classID * 16 + Int64(arm)] {
            facts = made
          } else {
            guard let body = catalog.body(classID) else { continue }
            facts = Facts(of: body, candidates: request.request.candidates, zones: zones)
            facts.killSwitch = killSwitch
            facts.isHeldOut = arm == 0
            if known.count >= 10_000 { known = [:] }
            known[classID * 16 + Int64(arm)] = facts
          }
          facts.history = histories[number] ?? AttemptHistory([])
          if let said = statements[number] {
            facts.preferences = said.preferences
            facts.legalStop = said.legalStop
          }
          var outcome = CampaignSurvey.Outcome(decide(facts, request))
          // Ten minutes' precision, so that outcomes stay few; the hand-over decides to the microsecond.
          outcome.until = outcome.until.map {
            Timestamp(microseconds: ($0.microseconds + 599_999_999) / 600_000_000 * 600_000_000)
          }
          let cell = interned[outcome] ?? -Int64(interned.count + 1)
          interned[outcome] = cell
          out.cells[cell] = outcome
          out.individuals.append((seq, cell))
          out.counts[outcome, default: 0] += 1
          out.customers += 1
        }
      }
    }
  }

  /// Touched lately; or not, and unstable.
  private enum Kind: CaseIterable { case touched, unstable }

  private func page(
    _ connection: any Connection, _ kind: Kind, after last: (key: Int64, seq: Int64)
  ) throws -> [Row] {
    var parameters = SQLParameters()
    let key = kind == .touched ? "touched_at" : "stable_until"
    // Said twice: the single comparison is what lets the partial index be used.
    let (after, seq) = (parameters.int(last.key), parameters.int(last.seq))
    var condition = ""
    if kind == .unstable {
      condition = """
         AND p.stable_until <= \(parameters.int(stableBeyond.microseconds))
         AND (p.touched_at IS NULL OR p.touched_at <= \(parameters.int(quietBefore.microseconds)))
        """
    }
    condition += audience.condition(&parameters, at: now)
    let limit = parameters.add(SQLValue(Self.page))
    return try connection.query(
      """
      SELECT p.\(key) AS key, p.seq, p.customer_no, p.class_id, p.stable_until FROM contact_profile p \(audience.join)
      WHERE p.\(key) >= \(after) AND (p.\(key), p.seq) > (\(after), \(seq))\(condition) ORDER BY p.\(key), p.seq LIMIT \(limit)
      """, parameters.values)
  }

  private func histories(of numbers: [String], _ connection: any Connection) throws -> [String: AttemptHistory] {
    var entries: [String: [AttemptHistory.Entry]] = [:]
    for row in try connection.query(
      """
      SELECT customer_no, purpose, channel, at, answered FROM cap_ledger
      WHERE customer_no IN {{list_text:$1}} AND at > $2 AND state <> 'released'
      """, [.list(numbers), SQLValue(moment - .seconds(366 * 86_400))])
    {
      entries[try row.text("customer_no"), default: []].append(
        .init(
          purpose: Purpose(rawValue: try row.text("purpose")),
          channel: OutboundChannel(rawValue: try row.text("channel")),
          at: try row.time("at"), wasAnswered: try row.bool("answered")))
    }
    return entries.mapValues { AttemptHistory($0) }
  }

  private func statements(
    of numbers: [String], _ connection: any Connection
  ) throws -> [String: (preferences: [ChannelPreference], legalStop: Facts.LegalStop)] {
    var out: [String: (preferences: [ChannelPreference], legalStop: Facts.LegalStop)] = [:]
    for text in numbers {
      guard let number = CustomerNumber(text) else { continue }
      let stops = try connection.legalStops(of: number, at: moment)
      out[text] = (
        try connection.preferences(of: number),
        stops.contains(nil) ? .everything : stops.isEmpty ? .none : .purposes(stops.compactMap(\.self))
      )
    }
    return out
  }
}

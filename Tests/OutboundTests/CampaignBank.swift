import Channels
import ContactModel
import Foundation
import Logging
import Store

@testable import Outbound

/// A store with customers of every sort, made from a seed through the functions the daemon uses.
struct CampaignBank {
  let database: Database
  let clock = Bank.Clock()
  let profile: PurposeProfile

  init(_ engine: Engine) async throws {
    database = try Database.open(engine.freshURL(), migrations: migrations, now: Bank.start)
    profile = try Shipped.profile()
  }

  static func number(_ index: Int) -> CustomerNumber { CustomerNumber("C\(100_000 + index)")! }

  /// `count` plain customers with phone and e-mail who consented to marketing.
  func addPlain(_ count: Int, from first: Int = 0) async throws {
    for start in stride(from: first, to: first + count, by: 50) {
      try await database.write(.bulk) { transaction in
        for index in start..<min(start + 50, first + count) {
          try Self.add(index, to: transaction)
          try Self.say(.init(channel: nil, purpose: .marketing, verdict: .allow), index, transaction)
        }
      }
    }
  }

  static func add(_ index: Int, to transaction: WriteTransaction, points: [ContactPoint]? = nil) throws {
    let number = number(index)
    let own = [
      ContactPoint(
        address: Address(kind: .phone, canonical: "+86138\(10_000_000 + index)", raw: "138\(10_000_000 + index)"),
        verifiedAt: Bank.start),
      ContactPoint(
        address: Address(kind: .email, canonical: "c\(index)@example.com", raw: "c\(index)@example.com"),
        verifiedAt: Bank.start),
    ]
    try transaction.upsert(
      CustomerRecord(
        customer: Customer(customerNo: number, type: Code("retail")!, name: "客户\(index)"), contactPoints: points ?? own),
      nameFolded: "客户\(index)", source: "test", at: Bank.start)
  }

  struct Saying {
    var channel: OutboundChannel?
    var purpose: Purpose?
    var verdict: ChannelPreference.Verdict
    var rank = 1
    var at = Bank.start - .seconds(86_400)
    var until: Timestamp?
    var source = ChannelPreference.Source.customer
  }

  static func evidence() -> ConsentEvidence {
    ConsentEvidence(
      id: EvidenceID(at: Bank.start), kind: .paper, reference: "form", capturedAt: Bank.start, capturedBy: "test")
  }

  static func say(_ saying: Saying, _ index: Int, _ transaction: WriteTransaction) throws {
    try transaction.record(
      ChannelPreference(
        channel: saying.channel, purpose: saying.purpose, verdict: saying.verdict, rank: saying.rank,
        effectiveAt: saying.at, validUntil: saying.until, source: saying.source),
      id: PreferenceID(at: Bank.start), of: number(index), evidence: evidence(), policyVersion: "1", actor: .liaison,
      at: Bank.start)
  }

  /// One customer with everything that makes decisions hard, at random.
  static func addHard(
    _ index: Int, to transaction: WriteTransaction, using generator: inout SeededGenerator
  ) throws {
    func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &generator) < percent }
    func time(_ hours: ClosedRange<Int>) -> Timestamp {
      Bank.start + .seconds(Int.random(in: hours, using: &generator) * 3_600)
    }
    let channels: [OutboundChannel] = [.phone, .sms, .email, .fax]
    func channel() -> OutboundChannel { channels.randomElement(using: &generator)! }
    func purpose() -> Purpose { RandomCase.purposes.randomElement(using: &generator)! }
    var points: [ContactPoint] = []
    for kind in [Address.Kind.phone, .email, .fax] where chance(80) {
      for copy in 0..<(chance(25) ? 2 : 1) {
        points.append(
          ContactPoint(
            address: Address(
              kind: kind, canonical: "\(kind.rawValue)-\(chance(10) ? 0 : index)-\(copy)", raw: "\(index)"),
            role: chance(80) ? .own : .office, verifiedAt: chance(80) ? Bank.start : nil))
      }
    }
    try add(index, to: transaction, points: points)
    for point in points {
      if chance(8) {
        try transaction.setState(
          ContactPoint.State.allCases.randomElement(using: &generator)!, of: point.address, source: "t", at: Bank.start)
      }
      if chance(8) {
        try transaction.stop(
          point.address, id: StopID(at: Bank.start), channel: chance(50) ? nil : channel(),
          scope: chance(50) ? .promo : .all, evidence: evidence(), at: Bank.start)
      }
    }
    for _ in 0..<Int.random(in: 0...5, using: &generator) {
      try say(
        Saying(
          channel: chance(30) ? nil : channel(), purpose: chance(40) ? nil : chance(50) ? .marketing : purpose(),
          verdict: chance(55) ? .allow : chance(60) ? .deny : .prefer, rank: Int.random(in: 1...3, using: &generator),
          at: time(-400...30), until: chance(20) ? time(-20...400) : nil,
          source: ChannelPreference.Source.allCases.randomElement(using: &generator)!), index, transaction)
    }
    if chance(20) {
      let from = time(-50...20)
      let quiet: DoNotDisturb.Time =
        chance(50)
        ? .range(from: from, to: from + .seconds(Int.random(in: 1...60, using: &generator) * 3_600))
        : .daily(DailyWindow(from: Int.random(in: 0..<96, using: &generator) * 15, to: 800)!)
      try transaction.record(
        QuietRecord(
          id: QuietID(at: Bank.start), quiet: DoNotDisturb(channel: chance(50) ? nil : channel(), time: quiet)),
        of: number(index), evidence: evidence(), at: Bank.start)
    }
    if chance(10) {
      var flags = CustomerFlags()
      flags.deceased = chance(20)
      flags.minor = chance(20)
      flags.managerOnly = chance(30)
      flags.noProfiling = chance(30)
      try transaction.set(flags, of: number(index), actor: .liaison, at: Bank.start)
    }
    if chance(5) {
      try transaction.stopLegally(
        number(index), id: StopID(at: Bank.start), purpose: chance(50) ? nil : purpose(),
        until: chance(50) ? time(1...100) : nil, reason: "court", actor: .liaison, at: Bank.start)
    }
  }

  /// Attempts that count, as the dispatcher leaves them.
  static func addAttempts(
    _ index: Int, count: Int, to transaction: WriteTransaction, using generator: inout SeededGenerator
  ) throws {
    for number in 0..<count {
      let purpose = RandomCase.purposes.randomElement(using: &generator)!
      let channel = [OutboundChannel.phone, .sms, .email].randomElement(using: &generator)!
      let at = Bank.start - .seconds(Int.random(in: 0...(20 * 24), using: &generator) * 3_600)
      let job = ProactiveJob(
        id: ProactiveJobID(at: at), customerNo: Self.number(index), key: "past/\(index)/\(number)", purpose: purpose,
        contents: ["sms": Dispatch.Content(text: "x")], due: at, createdBy: "t", createdAt: at)
      var planned = try transaction.plan(job, actor: .liaison, at: at).job
      planned.state = .done
      try transaction.update(planned, at: at)
      let id = AttemptID(at: at)
      try transaction.execute(
        """
        INSERT INTO attempt(attempt_id, job_id, customer_no, outbound_channel, channel_kind, channel, to_kind,
          to_canonical, to_raw, state, decision_id, wire_identity, reserved_at)
        VALUES ($1, $2, $3, $4, 'sms', 'sms', 'phone', 'x', 'x', 'accepted', 'd', $1, $5)
        """, [.id(id), .id(planned.id), .id(Self.number(index)), .text(channel.rawValue), SQLValue(at)])
      try transaction.execute(
        """
        INSERT INTO cap_ledger(attempt_id, customer_no, purpose, channel, at, state, answered)
        VALUES ($1, $2, $3, $4, $5, 'counted', $6)
        """,
        [
          .id(id), .id(Self.number(index)), .text(purpose.rawValue), .text(channel.rawValue), SQLValue(at),
          SQLValue(Bool.random(using: &generator)),
        ])
    }
  }

  func runner(_ set: (inout CampaignRunner.Options) -> Void = { _ in }) -> CampaignRunner {
    var options = CampaignRunner.Options()
    set(&options)
    let profile = profile
    let clock = clock
    return CampaignRunner(
      database: database, zones: Shipped.zones, profile: { profile }, links: nil, clock: { clock.now },
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }), options: options)
  }

  func dispatcher(_ adapters: [OutboundChannel: ScriptedAdapter]) -> Dispatcher {
    let profile = profile
    let clock = clock
    return Dispatcher(
      database: database, links: adapters.map { OutboundLink(channel: $0.key, adapter: $0.value) },
      zones: Shipped.zones, profile: { profile }, clock: { clock.now },
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
  }

  static func plan(
    _ purpose: Purpose = .marketing, channels: [OutboundChannel] = [.email, .phone], group: Code? = nil
  ) -> CampaignPlan {
    let contents = Dictionary(
      uniqueKeysWithValues: channels.map {
        ($0.rawValue, ["zh": CampaignPlan.Words(subject: "通知", text: "{{name}}，您好")])
      })
    return CampaignPlan(
      name: "spring", purpose: purpose, group: group, arms: [CampaignPlan.Arm(name: "a", contents: contents)])
  }

  static let author = Actor(label: "author", agent: nil, role: "marketing")
  static let second = Actor(label: "second", agent: nil, role: "supervisor")

  /// A campaign that has been checked, approved and scheduled.
  func scheduled(_ plan: CampaignPlan) async throws -> CampaignID {
    let time = clock.now
    return try await database.write { transaction in
      let campaign = try transaction.createCampaign(plan, actor: Self.author, at: time)
      for (act, actor) in [(CampaignAct.check, Self.author), (.approve, Self.second), (.schedule, Self.author)] {
        guard case .done = try transaction.act(act, on: campaign.id, actor: actor, at: time) else {
          throw DatabaseError(.other, "\(act) was refused")
        }
      }
      return campaign.id
    }
  }

  func campaign(_ id: CampaignID) async throws -> Campaign {
    guard let campaign = try await database.read(.live, { try $0.campaign(id) }) else {
      throw DatabaseError(.other, "no campaign")
    }
    return campaign
  }

  func jobs(_ id: CampaignID) async throws -> [ProactiveJob] {
    try await database.read { connection in
      try connection.query("SELECT job_id FROM proactive_job WHERE campaign_id = $1 ORDER BY customer_no", [.id(id)])
        .compactMap { try connection.proactiveJob($0.parsed("job_id")) }
    }
  }

  /// Rounds of campaigns and dispatcher until neither has anything to do now.
  func settle(_ runner: CampaignRunner, _ dispatcher: Dispatcher) async throws {
    for _ in 0..<400 {
      let fed = try await runner.tick()
      let sent = try await dispatcher.round()
      if fed == 0, sent == 0 { return }
    }
  }
}

extension CampaignBank {
  func campaignNow(_ id: CampaignID, _ connection: any Connection) throws -> Campaign {
    guard let campaign = try connection.campaign(id) else { throw DatabaseError(.other, "no campaign") }
    return campaign
  }
}

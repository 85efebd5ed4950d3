import ArgumentParser
import Channels
import ContactModel
import Foundation
import Logging
import Outbound
import PostgresForTests
import Store

/// A campaign over a whole bank: dry run, plan and write, memory, and what a live look-up and write wait meanwhile.
///
/// 10,000 customers are made through the functions the daemon uses, with consents, refusals, stops, quiet hours and
/// attempts; the others are copies of their projections, so that there are as many classes as such a bank has. The
/// histogram of reasons is compared with full decisions for the 10,000.
struct CampaignBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "campaign", abstract: "Dry run and plan of a campaign over 10 M customers, and live work beside it.")

  @Option(help: "Customers.") var customers = 10_000_000
  @Option(help: "Folder for the SQLite file; the figures are those of its disk.") var directory = NSTemporaryDirectory()
  @Option(help: "An earlier file to use again; made there if it is not.") var file: String?
  @Flag(help: "Make the file and measure nothing.") var fillOnly = false
  @Flag(help: "PostgreSQL instead of SQLite.") var postgres = false
  @Option(help: "Percent of the audience held out.") var holdout = 0

  private static let sample = 10_000

  func run() async throws {
    let path = file ?? "\(directory)/liaison-bench-\(UUID().uuidString).db"
    let url = try postgres ? StoreURL(LocalPostgres.running().freshURL()) : StoreURL(path)
    var options = Database.Options()
    options.statementTimeout = nil
    let database = try Database.open(url, migrations: migrations, options: options, now: now())
    if try await database.read(.live, { try $0.first("SELECT 1 AS one FROM contact_profile LIMIT 1") == nil }) {
      let start = ContinuousClock.now
      try await fill(database)
      print("filled in \((ContinuousClock.now - start).components.seconds) s")
    }
    if fillOnly { return await database.close() }
    let counts = try await database.read { connection in
      (
        try connection.one("SELECT count(*) AS n FROM contact_profile").count("n"),
        try connection.one("SELECT count(*) AS n FROM contact_class").count("n")
      )
    }
    print(
      "\(counts.0) customers in \(counts.1) classes; "
        + (postgres ? "PostgreSQL 15, fsync=on" : "SQLite, WAL, synchronous=FULL: \(path)"))
    let zones = ZoneCatalog()
    let profile = try PurposeProfileText.shipped().profile(version: "shipped", zones: zones)
    let time = Self.start
    let runner = CampaignRunner(
      database: database, zones: zones, profile: { profile }, links: nil, clock: { time },
      logger: Logger(label: "bench"))

    try await prove(runner, database)
    resetPeak()
    print("live, idle:          " + (try await live(database, while: { try await Task.sleep(for: .seconds(3)) })))
    for turn in 1...2 {
      let began = ContinuousClock.now
      let survey = try await runner.survey(Self.plan(holdout: holdout), seed: 11)
      let took = ContinuousClock.now - began
      print(
        "dry run \(turn):           \(took.wholeMilliseconds) ms, \(survey.customers) customers, \(survey.sendable) to be "
          + "reached, \(survey.decidedOneByOne) decided one by one")
      if turn == 2 {
        for (reason, count) in survey.reasons.sorted(by: { $0.value > $1.value }) {
          print("  \(column(reason.rawValue, 26))\(count)")
        }
      }
    }
    let campaign = try await scheduled(database)
    let began = ContinuousClock.now
    try await runner.writePlan(of: campaign)
    print("plan and write:      \((ContinuousClock.now - began).wholeMilliseconds) ms")
    print("memory:              \(peak())")
    let beside = try await scheduled(database)
    print("live, while planning: " + (try await live(database, while: { try await runner.writePlan(of: beside) })))
    let rows = try await database.read { connection in
      try connection.one("SELECT count(*) AS n FROM campaign_member WHERE campaign_no = 1").count("n")
    }
    print("rows of the plan:    \(rows)")
    await database.close()
    if file == nil, !postgres {
      for suffix in ["", "-wal", "-shm", ".lock"] {
        do { try FileManager.default.removeItem(atPath: path + suffix) } catch CocoaError.fileNoSuchFile {}
      }
    }
  }

  /// A Tuesday, 10:00 in Shanghai.
  private static let start = Timestamp("2026-03-10T10:00:00+08:00")!
  private static func number(_ index: Int) -> CustomerNumber { CustomerNumber("S\(1_000_000 + index)")! }

  private static func plan(holdout: Int = 0, group: Code? = nil) -> CampaignPlan {
    let words = ["zh": CampaignPlan.Words(subject: "通知", text: "{{name}}，您好")]
    return CampaignPlan(
      name: "bench", purpose: .marketing, group: group,
      arms: [.init(name: "a", contents: ["sms": words, "email": words, "phone": words])], holdoutPercent: holdout)
  }

  /// The survey of the 10,000 by class beside full decisions for each.
  private func prove(_ runner: CampaignRunner, _ database: Database) async throws {
    let group = Code("sample")!
    let survey = try await runner.survey(Self.plan(group: group))
    let began = ContinuousClock.now
    let full = try await runner.reasonsInFull(
      of: Self.plan(), for: (0..<Self.sample).map(Self.number), at: Self.start)
    let took = ContinuousClock.now - began
    print(
      "histogram of \(Self.sample): \(survey.reasons == full ? "equal to" : "DIFFERS from") full decisions "
        + "(those took \(took.wholeMilliseconds) ms)")
  }

  private func scheduled(_ database: Database) async throws -> Campaign {
    let (plan, time) = (Self.plan(holdout: holdout), Self.start)
    return try await database.write { transaction in
      let author = Actor(label: "a", agent: nil, role: "marketing")
      let second = Actor(label: "b", agent: nil, role: "supervisor")
      let campaign = try transaction.createCampaign(plan, actor: author, at: time)
      for (act, actor) in [(CampaignAct.check, author), (.approve, second), (.schedule, author), (.start, author)] {
        _ = try transaction.act(act, on: campaign.id, actor: actor, at: time)
      }
      guard let kept = try transaction.campaign(campaign.id) else { throw DatabaseError(.other, "no campaign") }
      return kept
    }
  }

  /// A look-up by number and one small durable write, every five milliseconds, while `body` runs.
  private func live(
    _ database: Database, while body: @escaping @Sendable () async throws -> Void
  ) async throws -> String {
    try await withThrowingTaskGroup(of: Latencies?.self) { group in
      group.addTask {
        try await body()
        return nil
      }
      group.addTask {
        var latencies = Latencies()
        var index = 0
        while !Task.isCancelled {
          index += 1
          let address = Address(kind: .phone, canonical: "+86138\(10_000_000 + index % Self.sample)", raw: "")
          let began = ContinuousClock.now
          let found = try await database.read { try $0.holders(of: address, limit: 3) }
          try await database.write { transaction in
            try transaction.setControl("bench", to: "\(found.count)", by: "bench", at: Self.start)
          }
          latencies.add(ContinuousClock.now - began)
          // Cancelled: the loop ends.
          try? await Task.sleep(for: .milliseconds(5))
        }
        return latencies
      }
      var summary = ""
      for try await result in group {
        if let result { summary = result.summary } else { group.cancelAll() }
      }
      return summary
    }
  }

  // MARK: Filling

  private func fill(_ database: Database) async throws {
    let time = Self.start
    try await database.write { transaction in
      try transaction.upsert(
        CustomerGroup(code: Code("sample")!, kind: .entity, nameZh: "样本", nameEn: "Sample"), at: time)
    }
    for first in stride(from: 0, to: Self.sample, by: 100) {
      try await database.write(.bulk) { transaction in
        var random = Mixer(state: UInt64(first))
        for index in first..<(first + 100) { try Self.add(index, transaction, &random) }
      }
    }
    // Copies of the sample's projections, and a bare customer behind each.
    let step = 250_000
    for first in stride(from: Self.sample, to: customers, by: step) {
      let last = min(first + step, customers)
      try await database.write(.bulk) { transaction in
        let range: [SQLValue] = [.int(Int64(first)), .int(Int64(last))]
        let numbers = """
          WITH RECURSIVE n(i) AS (SELECT CAST($1 AS {{int}}) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < CAST($2 AS {{int}}))
          """
        try transaction.execute(
          """
          INSERT INTO customer(customer_no, customer_type, status, level, name, name_folded, created_at, updated_at)
          \(numbers) SELECT 'T' || (1000000000 + i), 'retail', 'active', 5, '客户', 'x', 0, 0 FROM n
          """, range)
        try transaction.execute(
          """
          INSERT INTO contact_profile(seq, customer_no, class_id, touched_at, stable_until)
          \(numbers) SELECT i + 1, 'T' || (1000000000 + i), p.class_id, p.touched_at, p.stable_until
          FROM n JOIN contact_profile p ON p.seq = i % \(Self.sample) + 1 ORDER BY i
          """, range)
      }
    }
    try await database.write { try $0.setControl("profiles", to: "complete", by: "bench", at: time) }
  }

  private static func add(_ index: Int, _ transaction: WriteTransaction, _ random: inout Mixer) throws {
    let number = number(index)
    func chance(_ percent: Double) -> Bool { Double.random(in: 0..<100, using: &random) < percent }
    let phone = Address(kind: .phone, canonical: "+86138\(10_000_000 + index)", raw: "138\(10_000_000 + index)")
    let mail = Address(kind: .email, canonical: "c\(index)@example.com", raw: "c\(index)@example.com")
    var points: [ContactPoint] = []
    if chance(92) { points.append(ContactPoint(address: phone, verifiedAt: chance(80) ? start : nil)) }
    if chance(60) { points.append(ContactPoint(address: mail, verifiedAt: chance(50) ? start : nil)) }
    try transaction.upsert(
      CustomerRecord(
        customer: Customer(customerNo: number, type: Code("retail")!, name: "客户\(index)"), contactPoints: points),
      nameFolded: "客户\(index)", source: "bench", at: start)
    _ = try transaction.addMember(number, to: Code("sample")!, department: nil)
    let evidence = ConsentEvidence(
      id: EvidenceID(at: start), kind: .paper, reference: "form", capturedAt: start, capturedBy: "bench")
    func say(
      _ channel: OutboundChannel?, _ purpose: Purpose?, _ verdict: ChannelPreference.Verdict, days: Int,
      validFor: Int? = nil
    ) throws {
      let at = start - .seconds(days * 86_400)
      try transaction.record(
        ChannelPreference(
          channel: channel, purpose: purpose, verdict: verdict, effectiveAt: at,
          validUntil: validFor.map { at + .seconds($0 * 86_400) }, source: .customer), id: PreferenceID(at: start),
        of: number, evidence: evidence, policyVersion: "1", actor: .liaison, at: start)
    }
    let channels: [OutboundChannel] = [.phone, .sms, .email]
    if chance(55) { try say(nil, .marketing, .allow, days: .random(in: 1...700, using: &random)) }
    if chance(10) {
      try say(channels.randomElement(using: &random), .marketing, .allow, days: 40, validFor: 730)
    }
    // Runs out within the weeks to come.
    if chance(1) { try say(.sms, .marketing, .allow, days: 720, validFor: 730) }
    if chance(12) {
      try say(channels.randomElement(using: &random), nil, .deny, days: .random(in: 1...700, using: &random))
    }
    if chance(15) { try say(channels.randomElement(using: &random), nil, .prefer, days: 10) }
    if chance(2) { try transaction.setState(.invalid, of: phone, source: "bench", at: start) }
    if chance(2) {
      try transaction.stop(
        phone, id: StopID(at: start), channel: .sms, scope: .promo, evidence: evidence, at: start)
    }
    if chance(3) {
      let from = Int.random(in: 40...44, using: &random) * 30
      try transaction.record(
        QuietRecord(
          id: QuietID(at: start), quiet: DoNotDisturb(time: .daily(DailyWindow(from: from, to: 480)!))), of: number,
        evidence: evidence, at: start)
    }
    if chance(2) {
      var flags = CustomerFlags()
      flags.minor = chance(40)
      flags.deceased = chance(20)
      flags.managerOnly = chance(40)
      try transaction.set(flags, of: number, actor: .liaison, at: start)
    }
    if chance(0.2) {
      try transaction.stopLegally(
        number, id: StopID(at: start), purpose: nil, until: nil, reason: "court", actor: .liaison, at: start)
    }
    // Reached within the last week.
    if chance(2) { try addAttempt(number, index, transaction, &random) }
  }

  private static func addAttempt(
    _ number: CustomerNumber, _ index: Int, _ transaction: WriteTransaction, _ random: inout Mixer
  ) throws {
    let at = start - .seconds(.random(in: 1...150, using: &random) * 3_600)
    let channel: OutboundChannel = Bool.random(using: &random) ? .sms : .phone
    var job = try transaction.plan(
      ProactiveJob(
        id: ProactiveJobID(at: at), customerNo: number, key: "past/\(index)", purpose: .marketing,
        contents: ["sms": Dispatch.Content(text: "x")], due: at, createdBy: "bench", createdAt: at), actor: .liaison,
      at: at
    ).job
    job.state = .done
    try transaction.update(job, at: at)
    let id = AttemptID(at: at)
    try transaction.execute(
      """
      INSERT INTO attempt(attempt_id, job_id, customer_no, outbound_channel, channel_kind, channel, to_kind,
        to_canonical, to_raw, state, decision_id, wire_identity, reserved_at)
      VALUES ($1, $2, $3, $4, 'sms', 'sms', 'phone', 'x', 'x', 'accepted', 'd', $1, $5)
      """, [.id(id), .id(job.id), .id(number), .text(channel.rawValue), SQLValue(at)])
    try transaction.execute(
      """
      INSERT INTO cap_ledger(attempt_id, customer_no, purpose, channel, at, state)
      VALUES ($1, $2, 'marketing', $3, $4, 'counted')
      """, [.id(id), .id(number), .text(channel.rawValue), SQLValue(at)])
  }

  /// SplitMix64, so that every run has the same bank.
  private struct Mixer: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state &+= 0x9e37_79b9_7f4a_7c15
      var z = state
      z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
      z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
      return z ^ z >> 31
    }
  }

  private func resetPeak() {
    // Not allowed everywhere; then the peak is that since the start.
    try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
  }
  private func peak() -> String {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""  // Linux only
    return status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }.map(String.init) ?? "unknown"
  }
}

import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// Carries campaigns out: starts them at their time, writes their plans, makes jobs of them at their rate, ends them.
///
/// One a store. Everything it does is a small transaction of the bulk lane that can be taken up again after a crash:
/// rows of the plan are written once a customer, jobs are one a campaign and customer. Jobs are made only a little ahead
/// of the dispatcher, so that a pause, a stop or a change of mind meets few of them. Source: specs/outbound.md §4.
public final class CampaignRunner: Sendable {
  public struct Options: Sendable {
    /// Customers one transaction of the plan, or one search for jobs to be made, goes through at most.
    public var chunk: Int64 = 8_000
    /// Jobs made in one transaction.
    public var batch = 50
    /// Jobs of one campaign that may wait for the dispatcher.
    public var ahead = 500
    public var idle: Duration = .seconds(1)
    public init() {}
  }

  let database: Database
  private let zones: ZoneCatalog
  private let profile: @Sendable () -> PurposeProfile
  private let links: Set<OutboundChannel>?
  private let link: @Sendable (CustomerNumber) -> String?
  private let clock: @Sendable () -> Timestamp
  private let logger: Logger
  private let options: Options
  private let catalog = ClassCatalog()
  /// Jobs each campaign may make now, and since when that is counted.
  private let allowances = Mutex<[CampaignID: (jobs: Double, at: Timestamp)]>([:])

  /// `links` are the channels there is a way out by, nil all; `link` makes a customer's own preference page.
  public init(
    database: Database, zones: ZoneCatalog, profile: @escaping @Sendable () -> PurposeProfile,
    links: Set<OutboundChannel>?, link: @escaping @Sendable (CustomerNumber) -> String? = { _ in nil },
    clock: @escaping @Sendable () -> Timestamp, logger: Logger, options: Options = Options()
  ) {
    self.database = database
    self.zones = zones
    self.profile = profile
    self.links = links
    self.link = link
    self.clock = clock
    self.logger = logger
    self.options = options
  }

  var profileInForce: PurposeProfile { profile() }
  /// The channels in the order the profile in force names them.
  public var channelOrder: [OutboundChannel] { profile().channels }
  var zoneCatalog: ZoneCatalog { zones }

  /// Runs until cancelled.
  public func run() async {
    while !Task.isCancelled {
      do {
        if try await tick() > 0 { continue }
        try await rest()
      } catch is CancellationError {
        return
      } catch {
        logger.error("a round of the campaigns failed", metadata: ["error": "\(error)"])
        // Every step can be taken again. Cancelled: the loop ends.
        try? await Task.sleep(for: options.idle)
      }
    }
  }

  private func rest() async throws {
    let wake = database.subscribe(to: EventRecord.self)
    defer { wake.cancel() }
    let pause = options.idle
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await element in wake {
          switch element {
          case .missed: return
          case .value(let event): if event.type == .campaignChanged { return }
          }
        }
      }
      // Cancelled when the other is first.
      group.addTask { try? await Task.sleep(for: pause) }
      await group.next()
      group.cancelAll()
    }
    try Task.checkCancellation()
  }

  /// One round over everything there is to do; answers how much was done.
  @discardableResult
  public func tick() async throws -> Int {
    var done = try await projectMissing()
    done += try await database.write(.bulk) { [self] in try $0.learnNext(limit: 20, at: clock()) }
    done += try await recordDays()
    for state in [CampaignState.scheduled, .running] {
      for campaign in try await database.read(.bulk, { try $0.campaigns(state: state, after: nil, limit: 1_000) }) {
        done += state == .scheduled ? try await start(campaign) : try await carryOn(campaign)
      }
    }
    return done
  }

  /// A hundred customers in pieces of ten: a live write waits for at most one of them.
  private func projectMissing() async throws -> Int {
    try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<10 {
        group.addTask { [self] in
          try await database.write(.bulk) { [self] in try $0.projectMissing(limit: 10, at: clock()) }
        }
      }
      return try await group.reduce(0, +)
    }
  }

  // MARK: Dry run

  /// What a campaign would do if it were begun now. Writes nothing.
  public func survey(_ plan: CampaignPlan, seed: Int64 = 1) async throws -> CampaignSurvey {
    try await database.read(.bulk) { [self] connection in
      try surveyor(plan, seed: seed, audience: connection.audience(of: plan)).survey(connection)
    }
  }

  private func surveyor(_ plan: CampaignPlan, seed: Int64, audience: Audience) -> CampaignSurveyor {
    CampaignSurveyor(
      plan: plan, draw: CampaignDraw(plan, seed: seed), audience: audience, profile: profile(), zones: zones,
      catalog: catalog, links: links, now: clock())
  }

  /// Everything that is wrong with a plan, also what only the store can tell.
  public func faults(of plan: CampaignPlan) async throws -> [CampaignFault] {
    var faults = plan.faults(under: profile(), at: clock())
    do {
      _ = try await database.read(.live) { try $0.audience(of: plan) }
    } catch let fault as CriterionFault {
      faults.append(CampaignFault("#/group", zh: fault.words(in: .zh), en: fault.words(in: .en)))
    }
    if let queue = plan.queue, try await database.read(.live, { try $0.department(ofQueue: queue) }) == nil {
      faults.append(CampaignFault("#/queue", zh: "没有队列 \(queue)", en: "there is no queue \(queue)"))
    }
    return faults
  }

  /// When the last of a survey will have been sent for, at the plan's rate and within the hours of the profile.
  public func finish(of plan: CampaignPlan, _ survey: CampaignSurvey) -> Timestamp {
    finishEstimate(of: plan, survey, under: profile())
  }

  // MARK: Steps

  private func start(_ campaign: Campaign) async throws -> Int {
    let time = clock()
    guard (campaign.plan.startAt ?? time) <= time else { return 0 }
    // Nothing may be planned while customers are missing from the projection.
    guard try await database.read(.bulk, { try $0.profilesAreComplete() }) else { return 0 }
    _ = try await database.write(.bulk) {
      try $0.act(.start, on: campaign.id, expecting: campaign.version, actor: .liaison, at: time)
    }
    return 1
  }

  private func carryOn(_ campaign: Campaign) async throws -> Int {
    // A switch that is on for an hour must not settle for ever who is reached: nothing is planned or made meanwhile.
    if profile().purposes[campaign.plan.purpose]?.isCritical != true,
      try await database.read(.bulk, { try $0.killSwitch() })
    {
      return 0
    }
    let record = try await database.read(.bulk) { try $0.campaignPlan(campaign.id) }
    guard let record, record.completedAt != nil else {
      try await writePlan(of: campaign)
      return 1
    }
    if !record.isFedOut { return try await feed(campaign, record) }
    guard try await !database.read(.bulk, { try $0.hasOpenJobs(campaign.id) }) else { return 0 }
    _ = try await database.write(.bulk) { [self] in
      try $0.act(.finish, on: campaign.id, expecting: campaign.version, actor: .liaison, at: clock())
    }
    allowances.withLock { $0[campaign.id] = nil }
    return 1
  }

  /// Decides for everybody and writes one row each; may be taken up again at any point.
  public func writePlan(of campaign: Campaign) async throws {
    let audience = try await database.read(.bulk) { try $0.audience(of: campaign.plan) }
    let survey = try await survey(campaign.plan, seed: campaign.seed)
    let record = try await database.write(.bulk) { try $0.beginPlan(of: campaign.id, survey) }
    let number = record.number
    let base = try await database.write(.bulk) { try $0.lowestCell(of: number) }
    func own(_ cell: Int64) -> Int64 { cell < 0 ? cell + base : cell }
    let cells = survey.cells.map { (key: own($0.key), value: $0.value) }
    for part in cells.chunks(of: 200) { try await database.write(.bulk) { try $0.writeCells(part, of: number) } }
    let individuals = survey.individuals.map { (seq: $0.seq, cell: own($0.cell)) }
    for part in individuals.chunks(of: 500) {
      try await database.write(.bulk) { try $0.writeMembers(part, of: number) }
    }
    let draw = CampaignDraw(campaign.plan, seed: campaign.seed)
    let time = clock()
    var next = record.writtenSeq + 1
    while next <= record.maxSeq {
      try Task.checkCancellation()
      let range = next...min(next + options.chunk - 1, record.maxSeq)
      let last = try await database.write(.bulk) {
        try $0.writeMembers(in: range, of: number, draw: draw, audience: audience, at: time)
      }
      next = last + 1
    }
    try await decideNewClasses(of: campaign, number, after: survey.maxClass)
    try await database.write(.bulk) { [self] in
      try $0.completePlan(number, individuals: individuals.count, at: clock())
    }
    try await tellProgress(of: campaign.id)
  }

  /// Classes that came to be while the plan was written.
  private func decideNewClasses(of campaign: Campaign, _ number: Int64, after last: Int64) async throws {
    let survey = try await database.read(.bulk) { [self] connection in
      try surveyor(campaign.plan, seed: campaign.seed, audience: .everybody).cellsOnly(connection, after: last)
    }
    for part in survey.chunks(of: 200) { try await database.write(.bulk) { try $0.writeCells(part, of: number) } }
  }

  private func feed(_ campaign: Campaign, _ record: CampaignPlanRecord) async throws -> Int {
    let time = clock()
    let waiting = try await database.read(.bulk) { [options] in
      try $0.dueJobs(of: campaign.id, at: time, limit: options.ahead)
    }
    let room = min(options.batch, options.ahead - waiting, allowance(of: campaign, at: time))
    guard room > 0 else { return 0 }
    if let budget = campaign.plan.budgetCents {
      let dearest = campaign.plan.channels.map { Int64(campaign.plan.costCents[$0.rawValue] ?? 0) }.max() ?? 0
      guard record.committedCents + dearest <= budget else { return try await pause(campaign, "budget") }
    }
    let span = options.chunk
    let (members, last, isLast) = try await database.read(.bulk) {
      try $0.membersToFeed(record, limit: room, span: span)
    }
    let within = affordable(members, campaign, record)
    let through = within.count < members.count ? within.last?.seq ?? record.fedSeq : last
    let canUnsubscribe = profile().promotional.contains(campaign.plan.purpose)
    let made = try await database.write(.bulk) { [self] in
      try $0.feed(
        within, of: campaign, record, through: through, isLast: isLast && within.count == members.count, link: link,
        canUnsubscribe: canUnsubscribe, at: clock())
    }
    allowances.withLock { $0[campaign.id]?.jobs -= Double(made) }
    try await tellProgress(of: campaign.id)
    return 1
  }

  /// As many as the budget covers at the dearest channel's price.
  private func affordable(
    _ members: [CampaignMember], _ campaign: Campaign, _ record: CampaignPlanRecord
  ) -> [CampaignMember] {
    guard let budget = campaign.plan.budgetCents else { return members }
    let dearest = campaign.plan.channels.map { Int64(campaign.plan.costCents[$0.rawValue] ?? 0) }.max() ?? 0
    guard dearest > 0 else { return members }
    return Array(members.prefix(Int(max(0, (budget - record.committedCents) / dearest))))
  }

  private func pause(_ campaign: Campaign, _ reason: String) async throws -> Int {
    _ = try await database.write(.bulk) { [self] in
      try $0.act(
        .pause, on: campaign.id, expecting: campaign.version, reason: reason, actor: .liaison, at: clock())
    }
    return 1
  }

  /// How many jobs a campaign may make now; at most what ten seconds bring at once.
  private func allowance(of campaign: Campaign, at time: Timestamp) -> Int {
    guard let rate = campaign.plan.ratePerMinute else { return options.batch }
    return allowances.withLock { allowances in
      var entry = allowances[campaign.id] ?? (jobs: 1, at: time)
      let passed = Double(max(0, (time - entry.at).wholeMicroseconds)) / 60_000_000
      entry.jobs = min(entry.jobs + passed * Double(rate), max(1, Double(rate) / 6))
      entry.at = time
      allowances[campaign.id] = entry
      return Int(entry.jobs)
    }
  }

  private func tellProgress(of id: CampaignID) async throws {
    try await database.write(.bulk) { [self] transaction in
      guard let record = try transaction.campaignPlan(id) else { return }
      try transaction.append(
        EventRecord(
          at: clock(), type: .campaignProgress, subject: id.description, actor: "liaison",
          body: try JSONText.encode(["customers": record.written, "jobs": record.fed])))
    }
  }

  // MARK: Time groups

  /// Once a day for each time group: who is in it today.
  private func recordDays() async throws -> Int {
    let time = clock()
    let today = String(time.description.prefix(10))
    let groups = try await database.read(.bulk) { connection in
      try connection.groups().filter { group in
        try group.kind == .time && connection.control("group_day/\(group.code)") != today
      }
    }
    for group in groups {
      try await database.write(.bulk) { transaction in
        _ = try transaction.recordDay(of: group, at: time)
        try transaction.setControl("group_day/\(group.code)", to: today, by: "liaison", at: time)
      }
    }
    return groups.count
  }
}

extension Array {
  /// In pieces of at most `count`.
  fileprivate func chunks(of count: Int) -> [ArraySlice<Element>] {
    stride(from: 0, to: self.count, by: count).map { self[$0..<Swift.min($0 + count, self.count)] }
  }
}

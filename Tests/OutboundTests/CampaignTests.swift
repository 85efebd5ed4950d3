import Channels
import ContactModel
import Foundation
import Logging
import Store
import Synchronization
import Testing

@testable import Outbound

@Suite struct CampaignTests {
  @Test func `each state allows its acts and no others`() {
    #expect(CampaignState.draft.acts == [.edit, .check, .cancel])
    #expect(CampaignState.checked.acts == [.edit, .check, .approve, .cancel])
    #expect(CampaignState.approved.acts == [.edit, .schedule, .cancel])
    #expect(CampaignState.scheduled.acts == [.schedule, .start, .cancel])
    #expect(CampaignState.running.acts == [.pause, .finish, .cancel])
    #expect(CampaignState.paused.acts == [.resume, .cancel])
    #expect(CampaignState.finished.acts.isEmpty && CampaignState.cancelled.acts.isEmpty)
    // Nothing is sent that nobody approved: every way to running passes `approved`.
    var reached: Set<CampaignState> = [.draft]
    for _ in 0..<8 {
      for state in reached where state != .approved {
        for act in CampaignAct.allCases { if let next = state.after(act) { reached.insert(next) } }
      }
    }
    #expect(!reached.contains(.running) && !reached.contains(.scheduled))
  }

  @Test(arguments: Engine.here) func `a second person approves, and an edit takes the approval back`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    let plan = CampaignBank.plan()
    try await bank.database.write { transaction in
      let id = try transaction.createCampaign(plan, actor: CampaignBank.author, at: Bank.start).id
      func refused(_ act: CampaignAct, _ actor: Actor) throws -> Bool {
        if case .refused = try transaction.act(act, on: id, actor: actor, at: Bank.start) { return true }
        return false
      }
      #expect(try refused(.approve, CampaignBank.second))
      _ = try transaction.act(.check, on: id, actor: CampaignBank.author, at: Bank.start)
      #expect(try refused(.approve, CampaignBank.author))
      #expect(try !refused(.approve, CampaignBank.second))
      _ = try transaction.edit(id, to: plan, expecting: nil, actor: CampaignBank.second, at: Bank.start)
      #expect(try transaction.campaign(id)?.state == .draft)
      #expect(try transaction.campaign(id)?.approvedBy == nil)
      _ = try transaction.act(.check, on: id, actor: CampaignBank.author, at: Bank.start)
      // Now both have written it.
      #expect(try refused(.approve, CampaignBank.second))
      #expect(try transaction.campaignHistory(id).map(\.act) == ["create", "check", "approve", "edit", "check"])
    }
    await bank.database.close()
  }

  @Test(arguments: Engine.here)
  func `the customer who dislikes e-mail is called, everybody else is reached as he prefers, and each knows why`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(4)
    try await bank.database.write { transaction in
      try CampaignBank.say(.init(channel: .email, verdict: .deny), 1, transaction)
      try CampaignBank.say(.init(channel: .phone, verdict: .prefer), 2, transaction)
      try CampaignBank.say(.init(verdict: .deny, at: Bank.start), 3, transaction)
    }
    let (phone, email) = (ScriptedAdapter(.telephony), ScriptedAdapter(.email))
    let runner = bank.runner()
    let dispatcher = bank.dispatcher([.phone: phone, .email: email])
    let id = try await bank.scheduled(CampaignBank.plan())
    try await bank.settle(runner, dispatcher)
    #expect(Set(email.dispatches.map(\.to.canonical)) == ["c0@example.com"])
    #expect(Set(phone.dispatches.map(\.to.canonical)) == ["+8613810000001", "+8613810000002"])
    #expect(email.dispatches.first?.content.text == "客户0，您好")
    let campaign = try await bank.campaign(id)
    #expect(campaign.state == .finished)
    let results = try await bank.database.read { try $0.campaignResults(of: campaign, after: 0, limit: 10) }
    #expect(results.map(\.outcome) == [.reached, .reached, .reached, .skipped])
    #expect(results.map(\.channel) == [.email, .phone, .phone, nil])
    #expect(results[1].refused == ["email": "PREF_DENY"])
    #expect(results[3].reason == "NO_CHANNEL" && results[3].refused == ["email": "PREF_DENY", "phone": "PREF_DENY"])
    let decisions = try await bank.database.read { try $0.outboundDecisions(of: #require(results[1].job)) }
    #expect(decisions.last?.body.refused == ["email": "PREF_DENY"])
    #expect(decisions.last?.body.wordsEn.contains("phone") == true)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `paused and resumed a thousand times nobody is skipped and nobody reached twice`(
    engine: Engine
  ) async throws {
    let count = 60
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(count)
    let email = ScriptedAdapter(.email)
    let runner = bank.runner { options in
      options.batch = 3
      options.ahead = 7
    }
    let dispatcher = bank.dispatcher([.email: email])
    let id = try await bank.scheduled(CampaignBank.plan(channels: [.email]))
    try await runner.tick()
    try await runner.tick()
    for turn in 0..<1_000 {
      let act: CampaignAct = turn % 2 == 0 ? .pause : .resume
      let time = bank.clock.now
      try await bank.database.write { _ = try $0.act(act, on: id, actor: CampaignBank.author, at: time) }
      if turn % 16 < 3 { try await runner.tick() }
      if turn % 16 == 2 || turn % 23 == 5 { try await dispatcher.round() }
    }
    // A thousand turns end resumed.
    bank.clock.advance(by: .seconds(60))
    try await bank.settle(runner, dispatcher)
    let reached = email.dispatches.map(\.to.canonical)
    #expect(reached.count == count)
    #expect(Set(reached).count == count)
    #expect(try await bank.campaign(id).state == .finished)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `eight campaigns at once never exceed a customer's caps`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(3)
    let (phone, email) = (ScriptedAdapter(.telephony), ScriptedAdapter(.email))
    let runner = bank.runner()
    let dispatcher = bank.dispatcher([.phone: phone, .email: email])
    for _ in 0..<8 { _ = try await bank.scheduled(CampaignBank.plan()) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { for _ in 0..<40 { try await runner.tick() } }
      for _ in 0..<3 { group.addTask { for _ in 0..<20 { try await dispatcher.round() } } }
      try await group.waitForAll()
    }
    try await bank.settle(runner, dispatcher)
    for index in 0..<3 {
      let calls = phone.dispatches.count { $0.to.canonical == "+86138\(10_000_000 + index)" }
      let mails = email.dispatches.count { $0.to.canonical == "c\(index)@example.com" }
      // The shipped profile: 2 marketing e-mails and 1 call in seven days, 3 in all.
      #expect(calls <= 1 && mails <= 2 && calls + mails == 3, "customer \(index): \(calls) calls, \(mails) mails")
    }
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a stop after planning and before the hand-over wins`(engine: Engine) async throws
  {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(20)
    let email = ScriptedAdapter(.email)
    let runner = bank.runner()
    let id = try await bank.scheduled(CampaignBank.plan(channels: [.email]))
    for _ in 0..<4 { try await runner.tick() }
    #expect(try await bank.jobs(id).count == 20)
    // Half of them say no while the jobs are claimed.
    let dispatcher = bank.dispatcher([.email: email])
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await bank.settle(runner, dispatcher) }
      for index in 0..<10 {
        group.addTask {
          let before = email.dispatches.count
          try await bank.database.write { transaction in
            try CampaignBank.say(.init(channel: .email, verdict: .deny, at: Bank.start), index, transaction)
          }
          // Whatever had not been handed over when his word was durable is not.
          let after = email.dispatches.dropFirst(before).filter { $0.to.canonical == "c\(index)@example.com" }
          #expect(after.count <= 1)
        }
      }
      try await group.waitForAll()
    }
    let denied = try await bank.jobs(id).filter { $0.state == .refused }
    #expect(email.dispatches.count + denied.count == 20)
    #expect(denied.allSatisfy { $0.reason == Reason.noChannel.rawValue })
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `who leaves the group, and who shares an address, is not reached`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(3)
    let shared = ContactPoint(
      address: Address(kind: .email, canonical: "c0@example.com", raw: "c0@example.com"), verifiedAt: Bank.start)
    let old = Code("old")!
    try await bank.database.write { transaction in
      try CampaignBank.add(3, to: transaction, points: [shared])
      try CampaignBank.say(.init(purpose: .marketing, verdict: .allow), 3, transaction)
      try transaction.upsert(
        CustomerGroup(code: old, kind: .concept, nameZh: "长者", nameEn: "Elders", criterion: "level <= 5"),
        at: Bank.start)
    }
    let email = ScriptedAdapter(.email)
    let runner = bank.runner()
    let dispatcher = bank.dispatcher([.email: email])
    let id = try await bank.scheduled(CampaignBank.plan(channels: [.email], group: old))
    for _ in 0..<4 { try await runner.tick() }
    // Customer 1 no longer meets the criterion when his turn comes.
    try await bank.database.write { transaction in
      try transaction.upsert(
        CustomerRecord(
          customer: Customer(customerNo: CampaignBank.number(1), type: Code("retail")!, level: 9, name: "客户1")),
        nameFolded: "客户1", source: "t", at: Bank.start)
    }
    try await bank.settle(runner, dispatcher)
    #expect(email.dispatches.map(\.to.canonical).sorted() == ["c0@example.com", "c2@example.com"])
    let jobs = try await bank.jobs(id)
    #expect(jobs[1].reason == Reason.notInGroup.rawValue)
    #expect(jobs[3].reason == Reason.addressDuplicate.rawValue)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `the control group is drawn alike by database and program, and left alone`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(200)
    var plan = CampaignBank.plan(channels: [.email])
    plan.holdoutPercent = 30
    plan.arms.append(plan.arms[0])
    plan.arms[1].name = "b"
    let email = ScriptedAdapter(.email)
    let runner = bank.runner()
    let id = try await bank.scheduled(plan)
    let campaign = try await bank.campaign(id)
    let survey = try await runner.survey(plan, seed: campaign.seed)
    try await bank.settle(runner, bank.dispatcher([.email: email]))
    let results = try await bank.database.read { try $0.campaignResults(of: campaign, after: 0, limit: 1_000) }
    let held = results.filter { $0.outcome == .heldOut }.count
    #expect(results.count == 200 && held == survey.reasons[.holdout])
    #expect((30...90).contains(held))
    #expect(email.dispatches.count == 200 - held)
    let arms = Dictionary(grouping: results.compactMap(\.arm), by: \.self).mapValues(\.count)
    #expect(arms["a"] ?? 0 > 30 && arms["b"] ?? 0 > 30)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a plan cut off at any chunk is taken up again and has one row a customer`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(130)
    let runner = bank.runner { $0.chunk = 20 }
    let id = try await bank.scheduled(CampaignBank.plan(channels: [.email]))
    try await bank.database.write { _ = try $0.act(.start, on: id, actor: .liaison, at: Bank.start) }
    let campaign = try await bank.campaign(id)
    // Cancelled somewhere in the middle, twice.
    for _ in 0..<2 {
      let task = Task { try await runner.writePlan(of: campaign) }
      let waiting = bank.database.subscribe(to: EventRecord.self)
      waiting.cancel()
      task.cancel()
      _ = await task.result
    }
    try await runner.writePlan(of: campaign)
    let (rows, record) = try await bank.database.read { connection in
      (
        try connection.one("SELECT count(*) AS n, count(DISTINCT seq) AS d FROM campaign_member"),
        try connection.campaignPlan(id)
      )
    }
    #expect(try rows.int("n") == 130 && rows.int("d") == 130)
    #expect(record?.completedAt != nil)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `while the kill switch is on nothing is planned, and nobody is lost to it`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(5)
    let email = ScriptedAdapter(.email)
    let runner = bank.runner()
    let dispatcher = bank.dispatcher([.email: email])
    try await bank.database.write { try $0.setKillSwitch(true, actor: CampaignBank.author, at: Bank.start) }
    let id = try await bank.scheduled(CampaignBank.plan(channels: [.email]))
    try await bank.settle(runner, dispatcher)
    #expect(email.dispatches.isEmpty)
    try await bank.database.write { try $0.setKillSwitch(false, actor: CampaignBank.second, at: Bank.start) }
    try await bank.settle(runner, dispatcher)
    #expect(email.dispatches.count == 5)
    #expect(try await bank.campaign(id).state == .finished)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `rate and budget hold, cancelling withdraws what waits`(engine: Engine)
    async throws
  {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(40)
    var plan = CampaignBank.plan(channels: [.email])
    plan.ratePerMinute = 60
    plan.budgetCents = 25
    plan.costCents = ["email": 1]
    let email = ScriptedAdapter(.email)
    let runner = bank.runner()
    let dispatcher = bank.dispatcher([.email: email])
    let id = try await bank.scheduled(plan)
    try await bank.settle(runner, dispatcher)
    #expect(email.dispatches.count == 1)
    bank.clock.advance(by: .seconds(5))
    try await bank.settle(runner, dispatcher)
    #expect(email.dispatches.count == 6)
    for _ in 0..<6 {
      bank.clock.advance(by: .seconds(10))
      try await bank.settle(runner, dispatcher)
    }
    #expect(email.dispatches.count == 25)
    let paused = try await bank.campaign(id)
    #expect(paused.state == .paused && paused.reason == "budget")
    let time = bank.clock.now
    try await bank.database.write {
      _ = try $0.act(.cancel, on: id, reason: "enough", actor: CampaignBank.author, at: time)
    }
    try await bank.settle(runner, dispatcher)
    #expect(email.dispatches.count == 25)
    let results = try await bank.database.read {
      try $0.campaignResults(of: bank.campaignNow(id, $0), after: 0, limit: 99)
    }
    #expect(results.count { $0.outcome == .reached } == 25 && results.count { $0.outcome == .cancelled } == 15)
    await bank.database.close()
  }
}

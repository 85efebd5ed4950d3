import Channels
import ContactModel
import Foundation
import Logging
import Store
import Synchronization
import Testing

@testable import Outbound

/// Between the decision and the peer: nothing passes that must not, alone or many at once.
@Suite struct HandOverTests {
  @Test(arguments: Engine.here) func `a STOP between claim and hand-over wins`(engine: Engine) async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1")
    let link = OutboundLink(channel: .sms, adapter: sms)
    let around = Surroundings(
      profile: try Shipped.profile(), zones: Shipped.zones, links: [.sms], lanes: ["sms"], down: [:])
    let evidence = bank.evidence()
    let claimed = try await bank.database.write { try $0.claim(id, through: link, around, at: Bank.start) }
    let attempt = try #require(claimed)
    try await bank.database.write { transaction in
      _ = try transaction.stop(
        Bank.phone, id: StopID(at: Bank.start), channel: .sms, scope: .all, evidence: evidence, at: Bank.start)
    }
    let dispatch = try await bank.database.write {
      try $0.beginHandOver(attempt, through: link, with: [], around, at: Bank.start)
    }
    #expect(dispatch == nil)
    #expect(try await bank.job(id).state == .refused)
    #expect(try await bank.attempts(id).map(\.machine.state) == [.released])
    let decisions = try await bank.database.read { try $0.outboundDecisions(of: id) }
    // Of one instant, so in any order.
    #expect(decisions.contains { $0.body.refused == ["sms": "ADDR_STOP"] })
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `no hand-over follows a STOP, however many jobs are on their way`(
    engine: Engine
  ) async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(engine, sms: sms, window: 4)
    for index in 0..<18 { try await bank.plan("k\(index)") }
    let evidence = bank.evidence()
    // Ends below.
    let run = Task { try await bank.dispatcher.run() }
    let changes = bank.database.subscribe(to: EventRecord.self)
    for index in 18..<60 { try await bank.plan("k\(index)") }
    for await element in changes {
      if case .value(let event) = element, event.type == .attemptChanged { break }
      if case .missed = element { break }
    }
    try await bank.database.write { transaction in
      _ = try transaction.stop(
        Bank.phone, id: StopID(at: Bank.start), channel: nil, scope: .all, evidence: evidence, at: Bank.start)
    }
    bank.dispatcher.beginDrain()
    try await run.value
    try await bank.settle()
    let events = try await bank.database.read { try $0.events(after: 0, for: .everything, limit: 10_000) }
    let stopped = try #require(events.first { $0.type == .addressStopped }?.seq)
    let handed = try events.filter { event in
      guard event.type == .attemptChanged else { return false }
      return try JSONText.decode([String: String].self, from: event.body)["to"] == "handing"
    }
    #expect(!handed.isEmpty)
    #expect(handed.allSatisfy { $0.seq < stopped })
    #expect(sms.dispatches.count == handed.count)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `caps hold however many jobs race for one customer`(engine: Engine) async throws {
    let sms = ScriptedAdapter(.sms)
    let email = ScriptedAdapter(.email)
    let bank = try await Bank(engine, sms: sms, email: email)
    let evidence = bank.evidence()
    try await bank.database.write { transaction in
      for channel in [OutboundChannel.sms, .email] {
        try transaction.record(
          ChannelPreference(
            channel: channel, purpose: .marketing, verdict: .allow, effectiveAt: Bank.start, source: .customer),
          id: PreferenceID(at: Bank.start), of: Bank.customer, evidence: evidence, policyVersion: "1",
          actor: .liaison, at: Bank.start)
      }
    }
    for index in 0..<8 { try await bank.plan("k\(index)", purpose: .marketing, channels: [.sms, .email]) }
    await withTaskGroup(of: Void.self) { group in
      // A round that loses a race throws nothing of interest: the counts below are the test.
      for _ in 0..<4 { group.addTask { _ = try? await bank.dispatcher.round() } }
    }
    try await bank.settle()
    // Three promotional contacts in seven days, at most two of them by SMS.
    #expect(sms.dispatches.count + email.dispatches.count == 3)
    #expect(sms.dispatches.count <= 2)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a peer that does not answer holds up no other`(engine: Engine) async throws {
    let held = Mutex<[CheckedContinuation<Void, Never>]>([])
    let sms = ScriptedAdapter(.sms) { _ in
      await withCheckedContinuation { continuation in held.withLock { $0.append(continuation) } }
      return .accepted(Receipt(peerID: nil, at: Bank.start))
    }
    let email = ScriptedAdapter(.email)
    let bank = try await Bank(engine, sms: sms, email: email, window: 2)
    // Ends below.
    let run = Task { try await bank.dispatcher.run() }
    let ended = bank.database.subscribe(to: EventRecord.self)
    // More than the window of the silent peer, and before the others in time.
    for index in 0..<5 { try await bank.plan("s\(index)") }
    for index in 0..<6 { try await bank.plan("e\(index)", channels: [.email]) }
    var count = 0
    for await element in ended {
      if case .value(let event) = element, event.type == .jobEnded { count += 1 }
      if count == 6 { break }
    }
    #expect(email.dispatches.count == 6)
    // What the silent peer has no room for is not even reserved.
    let load = try await bank.database.read { try $0.outboundLoad() }
    #expect(load.underWay == 2)
    while held.withLock({ $0.count }) < 2 { await Task.yield() }
    bank.dispatcher.beginDrain()
    for continuation in held.withLock({ $0 }) { continuation.resume() }
    try await run.value
    #expect(sms.dispatches.count == 2)
    let after = try await bank.database.read { try $0.outboundLoad() }
    #expect(after.underWay == 0 && after.inDoubt == 0)
    await bank.database.close()
  }

  @Test func `the running dispatcher sends a new job at once and ends when cancelled`() async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(.sqlite, sms: sms)
    let ended = bank.database.subscribe(to: EventRecord.self)
    // Cancelled below.
    let run = Task { try await bank.dispatcher.run() }
    let id = try await bank.plan("k1")
    for await element in ended {
      if case .value(let event) = element, event.type == .jobEnded { break }
    }
    run.cancel()
    try await run.value
    #expect(try await bank.job(id).state == .done)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a batch is decided from the facts each job would be decided from alone`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.database.write(.bulk) { transaction in
      var generator = SeededGenerator(seed: 11)
      for index in 0..<60 {
        try CampaignBank.addHard(index, to: transaction, using: &generator)
        try CampaignBank.addAttempts(index, count: index % 4, to: transaction, using: &generator)
      }
    }
    let around = Surroundings(
      profile: bank.profile, zones: Shipped.zones, links: [.phone, .sms, .email, .fax], lanes: [], down: [:])
    try await bank.database.read { connection in
      var jobs: [ProactiveJob] = []
      for index in 0..<60 {
        var job = ProactiveJob(
          id: ProactiveJobID(at: Bank.start), customerNo: CampaignBank.number(index), key: "k\(index)",
          purpose: .marketing, contents: ["sms": .init(text: "a"), "email": .init(text: "b")], due: Bank.start,
          createdBy: "t", createdAt: Bank.start)
        // To his own address, to one nobody holds, and by a sender nobody knows.
        if index % 5 == 0 { job.to = Address(kind: .phone, canonical: "+8613800009999", raw: "") }
        if index % 7 == 0 { job.customerNo = nil }
        if job.customerNo == nil { job.to = job.to ?? Bank.phone }
        jobs.append(job)
      }
      let sheet = try FactsSheet(of: jobs, from: connection, around, at: Bank.start)
      for job in jobs {
        let alone = try connection.reading(of: job, own: nil, around, at: Bank.start)
        let together = sheet.reading(of: job)
        #expect(together.facts == alone.facts)
        #expect(together.addresses == alone.addresses)
        #expect(Set(together.request.candidates) == Set(alone.request.candidates))
      }
    }
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a batch is settled each by its own answer, and one that cannot be read waits`(
    engine: Engine
  ) async throws {
    let fault = Fault(.contentRefused, text: "no")
    let sms = ScriptedAdapter(.sms) { dispatch in
      switch dispatch.content.text.last {
      case "0":
        .accepted(Receipt(peerID: "p-\(dispatch.key)", at: Bank.start, parts: 2, partIDs: ["a-\(dispatch.key)"]))
      case "1": .rejected(fault)
      case "2": .inDoubt(fault)
      case "3": .deferred(fault, retryAfter: .seconds(60))
      default: .accepted(Receipt(peerID: nil, at: Bank.start))
      }
    }
    let bank = try await Bank(engine, sms: sms, window: 100)
    var jobs: [ProactiveJobID] = []
    for number in 0..<90 {
      var job = ProactiveJob(
        id: ProactiveJobID(at: Bank.start), customerNo: nil, key: "k\(number)", purpose: .service,
        contents: ["sms": .init(text: "n\(number)")], due: Bank.start, createdBy: "t", createdAt: Bank.start)
      let digits = "+86138\(10_000_000 + number)"
      job.to = Address(kind: .phone, canonical: digits, raw: digits)
      let planned = job
      jobs.append(try await bank.database.write { try $0.plan(planned, actor: .liaison, at: Bank.start).job.id })
    }
    let broken = jobs[44]
    try await bank.database.write {
      _ = try $0.execute("UPDATE proactive_job SET contents = '[]' WHERE job_id = $1", [.id(broken)])
    }
    try await bank.settle()
    #expect(sms.dispatches.count == 89)
    for (number, id) in jobs.enumerated() where id != broken {
      let state = try #require(try await bank.attempts(id).first).machine.state
      let expected: Attempt.State =
        switch number % 10 {
        case 1, 3: .rejected
        case 2: .inDoubt
        default: .accepted
        }
      #expect(state == expected, "job \(number)")
    }
    let ended = try await bank.database.read { try $0.events(after: 0, type: .jobEnded, limit: 1_000) }
    // Accepted, or refused for want of another channel; each told once, and by which attempt.
    #expect(ended.count == 71)
    #expect(Set(ended.map(\.subject)).count == 71)
    #expect(ended.count { $0.body.contains("attempt_") } == 62)
    let held = try await bank.database.read {
      try $0.one("SELECT reason FROM proactive_job WHERE job_id = $1", [.id(broken)]).text("reason")
    }
    #expect(held == "held: unreadable")
    await bank.database.close()
  }
}

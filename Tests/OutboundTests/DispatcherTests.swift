import Channels
import ContactModel
import Foundation
import Logging
import Store
import Synchronization
import Testing

@testable import Outbound

@Suite struct DispatcherTests {
  private let broken = Fault(.connection, text: "refused")

  @Test(arguments: Engine.here) func `a job is decided, sent once and kept as a contact`(engine: Engine) async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1")
    #expect(try await bank.plan("k1") == id)
    try await bank.settle()
    let job = try await bank.job(id)
    #expect(job.state == .done && job.reason == "accepted")
    let attempt = try #require(try await bank.attempts(id).first)
    #expect(attempt.machine.state == .accepted)
    #expect(sms.dispatches.map(\.wireIdentity) == ["<\(attempt.id)@test>"])
    #expect(sms.dispatches.first?.to == Bank.phone)
    let contacts = try await bank.database.read { try $0.lastContacts(of: Bank.customer, limit: 5) }
    #expect(contacts.map(\.direction) == [.outbound])
    let decisions = try await bank.database.read { try $0.outboundDecisions(of: id) }
    #expect(decisions.map(\.body.reason) == ["SEND_DEFAULT"])
    #expect(decisions.first?.ruleVersion == "shipped")
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a refusal is kept with its words`(engine: Engine) async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1", purpose: .marketing)
    try await bank.settle()
    let job = try await bank.job(id)
    #expect(job.state == .refused && job.reason == "NO_CHANNEL")
    let decision = try #require(try await bank.database.read { try $0.outboundDecisions(of: id) }.first)
    #expect(decision.body.refused == ["sms": "NO_CONSENT"])
    #expect(decision.body.wordsEn.contains("not consented"))
    #expect(sms.dispatches.isEmpty)
    await bank.database.close()
  }

  @Test(arguments: Engine.here)
  func `a customer who refuses e-mail is reached by SMS, and fall-back never goes against him`(
    engine: Engine
  ) async throws {
    let sms = ScriptedAdapter(.sms) { _ in .rejected(Fault(.contentRefused, text: "no")) }
    let email = ScriptedAdapter(.email)
    let bank = try await Bank(engine, sms: sms, email: email)
    let evidence = bank.evidence()
    try await bank.database.write { transaction in
      try transaction.record(
        ChannelPreference(
          channel: .email, purpose: nil, verdict: .deny, effectiveAt: Bank.start, source: .customer),
        id: PreferenceID(at: Bank.start), of: Bank.customer, evidence: evidence, policyVersion: "1", actor: .liaison,
        at: Bank.start)
    }
    let id = try await bank.plan("k1", channels: [.email, .sms])
    try await bank.settle()
    let job = try await bank.job(id)
    #expect(job.state == .refused && job.reason == "NO_CHANNEL" && job.spent == [.sms])
    #expect(sms.dispatches.count == 1)
    #expect(email.dispatches.isEmpty)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `rejected goes to the next channel, deferred is tried again later`(
    engine: Engine
  ) async throws {
    let refused = broken
    let sms = ScriptedAdapter(.sms) { _ in .rejected(Fault(.contentRefused, text: "no")) }
    let email = ScriptedAdapter(.email) { _ in .deferred(refused, retryAfter: .seconds(120)) }
    let bank = try await Bank(engine, sms: sms, email: email)
    let id = try await bank.plan("k1", channels: [.sms, .email])
    try await bank.settle()
    var job = try await bank.job(id)
    #expect(job.state == .planned && job.failures == 1)
    #expect(job.nextAt == Bank.start + .seconds(120))
    #expect(sms.dispatches.count == 1 && email.dispatches.count == 1)
    bank.clock.advance(by: .seconds(119))
    try await bank.settle()
    #expect(email.dispatches.count == 1)
    bank.clock.advance(by: .seconds(1))
    try await bank.settle()
    #expect(email.dispatches.count == 2)
    job = try await bank.job(id)
    #expect(job.failures == 2)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `doubt is inquired about and never sent again`(engine: Engine) async throws {
    let doubt = broken
    let answers = Mutex<[Submission]>([.inDoubt(doubt), .accepted(Receipt(peerID: "p7", at: Bank.start))])
    let sms = ScriptedAdapter(.sms, answersInquiry: true) { _ in
      .inDoubt(doubt)
    } inquire: { _ in
      answers.withLock { $0.isEmpty ? .inDoubt(doubt) : $0.removeFirst() }
    }
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1")
    try await bank.settle()
    #expect(try await bank.attempts(id).map(\.machine.state) == [.inDoubt])
    bank.clock.advance(by: .seconds(60))
    try await bank.settle()
    #expect(try await bank.attempts(id).map(\.machine.state) == [.inDoubt])
    bank.clock.advance(by: .seconds(60))
    try await bank.settle()
    let attempt = try #require(try await bank.attempts(id).first)
    #expect(attempt.machine.state == .accepted && attempt.machine.peerID == "p7")
    #expect(sms.dispatches.count == 1)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `doubt beyond the peer's memory ends, or goes once to another channel`(
    engine: Engine
  ) async throws {
    let doubt = broken
    let sms = ScriptedAdapter(.sms) { _ in .inDoubt(doubt) }
    let email = ScriptedAdapter(.email)
    let bank = try await Bank(engine, sms: sms, email: email)
    let once = try await bank.plan("once", channels: [.sms, .email])
    let twice = try await bank.plan("twice", channels: [.sms, .email], repeatable: true)
    try await bank.settle()
    #expect(email.dispatches.isEmpty)
    bank.clock.advance(by: .seconds(3_600))
    try await bank.settle()
    #expect(try await bank.job(once).state == .unknown)
    #expect(try await bank.job(twice).state == .done)
    #expect(sms.dispatches.count == 2 && email.dispatches.count == 1)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a receipt settles the attempt it names, once`(engine: Engine) async throws {
    let sms = ScriptedAdapter(.sms) { _ in .accepted(Receipt(peerID: "p1", at: Bank.start)) }
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1")
    try await bank.settle()
    let report = DeliveryReport(
      wireIdentity: nil, peerID: "p1", recipient: nil, state: .undelivered,
      fault: Fault(.unknownRecipient, text: "unknown subscriber"), condemnsAddress: true)
    for _ in 0..<2 {
      try await bank.database.write { transaction in
        try transaction.append(
          EventRecord(
            at: Bank.start, type: .reportArrived, subject: "arrival_1", channel: "test-sms",
            body: try JSONText.encode(report)))
      }
    }
    try await bank.settle()
    #expect(try await bank.attempts(id).map(\.machine.state) == [.undelivered])
    #expect(try await bank.job(id).reason == "undelivered")
    // The address is condemned for whatever comes next.
    let next = try await bank.plan("k2")
    try await bank.settle()
    #expect(try await bank.job(next).state == .refused)
    #expect(sms.dispatches.count == 1)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `what the peer took and reached nobody with is tried again, as one contact`(
    engine: Engine
  ) async throws {
    let sms = ScriptedAdapter(.sms) { .accepted(Receipt(peerID: "p-\($0.attempt)", at: Bank.start)) }
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1")
    try await bank.settle()
    func report(_ state: DeliveryReport.State, _ fault: Fault? = nil, _ remedy: DeliveryReport.Remedy? = nil)
      async throws
    {
      let name = try #require(sms.dispatches.last).wireIdentity
      let report = DeliveryReport(
        wireIdentity: name, peerID: nil, recipient: nil, state: state, fault: fault, remedy: remedy)
      try await bank.database.write { transaction in
        try transaction.append(
          EventRecord(
            at: Bank.start, type: .reportArrived, subject: "arrival_1", channel: "test-sms",
            body: try JSONText.encode(report)))
      }
      try await bank.settle()
    }
    try await report(
      .undelivered, Fault(.recipientBusy, text: "busy"), .init(sameChannel: true, afterSeconds: 180))
    let freed = try await bank.job(id)
    #expect(freed.state == .planned && freed.failures == 1)
    #expect((freed.nextAt ?? Bank.start) >= Bank.start + .seconds(180))
    #expect(sms.dispatches.count == 1)
    bank.clock.advance(by: .seconds(3_600))
    try await bank.settle()
    #expect(sms.dispatches.count == 2)
    try await report(.delivered)
    #expect(try await bank.attempts(id).map(\.machine.state) == [.rejected, .delivered])
    #expect(try await bank.job(id).state == .done)
    let contacts = try await bank.database.read { try $0.lastContacts(of: Bank.customer, limit: 5) }
    #expect(contacts.map(\.disposition) == ["delivered"])
    await bank.database.close()
  }

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

  @Test(arguments: Engine.here) func `what a crash cut off is in doubt, what was only reserved is sent once`(
    engine: Engine
  ) async throws {
    let url = try engine.freshURL()
    let reached = Mutex<CheckedContinuation<Void, Never>?>(nil)
    let hung = ScriptedAdapter(.sms) { _ in
      // The peer never answers: only the end of the dispatcher ends it.
      await withCheckedContinuation { continuation in reached.withLock { $0 = continuation } }
      return .inDoubt(Fault(.cancelled, text: ""))
    }
    let before = try await Bank(engine, at: url, sms: hung, window: 1)
    let first = try await before.plan("k1")
    before.clock.advance(by: .milliseconds(5))
    // Ended below, by letting the peer answer after the store is closed.
    let round = Task { try? await before.dispatcher.round() }
    while hung.dispatches.isEmpty { await Task.yield() }
    // Reserved by a dispatcher that got no further.
    let second = try await before.plan("k2")
    let link = OutboundLink(channel: .sms, adapter: hung)
    let around = Surroundings(
      profile: try Shipped.profile(), zones: Shipped.zones, links: [.sms], lanes: ["sms"], down: [:])
    _ = try await before.database.write { try $0.claim(second, through: link, around, at: before.clock.now) }
    await before.database.close()
    reached.withLock { $0 }?.resume()
    _ = await round.value

    let sms = ScriptedAdapter(.sms)
    let after = try await Bank(engine, at: url, sms: sms, window: 1)
    after.clock.advance(by: .seconds(1))
    try await after.dispatcher.recover()
    let states = try await after.attempts(first).map(\.machine.state) + after.attempts(second).map(\.machine.state)
    #expect(Set(states) == [.inDoubt, .released])
    try await after.settle()
    // Only the one that never left goes out.
    #expect(sms.dispatches.count == 1)
    let doubtful = try #require(hung.dispatches.first)
    #expect(sms.dispatches.first?.attempt != doubtful.attempt && sms.dispatches.first?.key != doubtful.key)
    await after.database.close()
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

  @Test(arguments: Engine.here) func `the kill switch stops what is planned and lets it go on afterwards`(
    engine: Engine
  ) async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(engine, sms: sms)
    try await bank.database.write { try $0.setKillSwitch(true, actor: .liaison, at: Bank.start) }
    let service = try await bank.plan("k1")
    let security = try await bank.plan("k2", purpose: .security)
    try await bank.settle()
    #expect(try await bank.job(service).reason == "KILL_SWITCH")
    #expect(try await bank.job(security).state == .done)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a job past its time says so`(engine: Engine) async throws {
    let refused = broken
    let sms = ScriptedAdapter(.sms) { _ in .deferred(refused, retryAfter: .seconds(600)) }
    let bank = try await Bank(engine, sms: sms)
    let id = try await bank.plan("k1", notAfter: Bank.start + .seconds(300))
    try await bank.settle()
    let job = try await bank.job(id)
    #expect(job.state == .expired && job.reason == "expired after connection")
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

  @Test(arguments: Engine.here) func `a receipt that is quicker than our own commit is not lost`(
    engine: Engine
  ) async throws {
    let holder = Mutex<Bank?>(nil)
    let sms = ScriptedAdapter(.sms) { _ in
      let report = DeliveryReport(wireIdentity: nil, peerID: "p-2", recipient: nil, state: .delivered)
      guard let bank = holder.withLock({ $0 }) else { return .inDoubt(Fault(.internalError, text: "")) }
      do {
        try await bank.database.write { transaction in
          try transaction.append(
            EventRecord(
              at: Bank.start, type: .reportArrived, subject: "arrival_1", channel: "test-sms",
              body: try JSONText.encode(report)))
        }
        // Looked at before the answer is written down.
        let parked = bank.dispatcher
        _ = try await parked.settleReports()
      } catch { return .inDoubt(Fault(.internalError, text: "\(error)")) }
      return .accepted(Receipt(peerID: "p-1", at: Bank.start, parts: 2, partIDs: ["p-1", "p-2"]))
    }
    let bank = try await Bank(engine, sms: sms)
    holder.withLock { $0 = bank }
    let id = try await bank.plan("k1")
    try await bank.settle()
    holder.withLock { $0 = nil }
    #expect(try await bank.attempts(id).map(\.machine.state) == [.delivered])
    #expect(try await bank.database.read { try $0.outboundLoad() }.parkedReports == 0)
    let attempt = try #require(try await bank.attempts(id).first)
    #expect(try await bank.database.read { try $0.evidence(about: attempt.id) }.map(\.report.state) == [.delivered])
    await bank.database.close()
  }

  @Test func `a peer is given no more a second than it takes`() {
    var pace = Pace(perSecond: 5)
    var now = Bank.start
    #expect(pace.room(for: 10, at: now) == 1)
    pace.take(1, at: now)
    #expect(pace.room(for: 10, at: now) == 0)
    #expect(pace.wait(at: now) > .milliseconds(199) && pace.wait(at: now) < .milliseconds(202))
    now = now + .seconds(60)
    #expect(pace.room(for: 10, at: now) == 5)
    pace.take(5, at: now)
    #expect(pace.room(for: 10, at: now - .seconds(5)) == 0)
    var free = Pace(perSecond: nil)
    #expect(free.room(for: 10, at: now) == 10 && free.wait(at: now) == .zero)
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
}

import Channels
import ContactModel
import Foundation
import Logging
import Store
import Synchronization
import Testing

@testable import Outbound

/// Which way a job goes, and when again.
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

  @Test(arguments: Engine.here) func `a peer that is back is found by one trial, and everything goes again`(
    engine: Engine
  ) async throws {
    let refused = broken
    let isBack = Mutex(false)
    let sms = ScriptedAdapter(.sms) { _ in
      isBack.withLock { $0 } ? .accepted(Receipt(peerID: nil, at: Bank.start)) : .deferred(refused, retryAfter: nil)
    }
    let bank = try await Bank(engine, sms: sms)
    var jobs: [ProactiveJobID] = []
    for number in 0..<8 { jobs.append(try await bank.plan("k\(number)", purpose: .security)) }
    try await bank.settle()
    // Five failures in a row: the rest waits.
    let tried = sms.dispatches.count
    #expect((5...8).contains(tried))
    isBack.withLock { $0 = true }
    for _ in 0..<20 {
      bank.clock.advance(by: .seconds(60))
      try await bank.settle()
    }
    for job in jobs { #expect(try await bank.job(job).state == .done) }
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
}

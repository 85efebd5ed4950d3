import Channels
import ContactModel
import Foundation
import Logging
import Store
import Synchronization
import Testing

@testable import Outbound

/// What was handed over and whose fate is open: inquiries, reports, restarts.
@Suite struct DoubtTests {
  private let broken = Fault(.connection, text: "refused")

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
}

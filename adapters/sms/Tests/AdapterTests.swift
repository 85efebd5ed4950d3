import Channels
import Demo
import Foundation
import Logging
import NIOCore
import Synchronization
import Testing

@testable import SMS

/// Keeps what an adapter offers and decides as it is told: the part of Intake in these tests.
final class Intake: Sendable {
  private struct State {
    var arrivals: [Arrival] = []
    var busy = 0
    var watchers: [(predicate: @Sendable ([Arrival]) -> Bool, continuation: CheckedContinuation<Void, Never>)] = []
  }
  private let state = Mutex(State())

  var arrivals: [Arrival] { state.withLock { $0.arrivals } }
  func beBusy(_ times: Int) { state.withLock { $0.busy = times } }

  func accept(_ arrival: Arrival) -> Acceptance {
    let (acceptance, ready) = state.withLock { state -> (Acceptance, [CheckedContinuation<Void, Never>]) in
      if state.busy > 0 {
        state.busy -= 1
        return (.busy(retryAfter: .milliseconds(10)), [])
      }
      state.arrivals.append(arrival)
      let ready = state.watchers.filter { $0.predicate(state.arrivals) }.map(\.continuation)
      let all = state.arrivals
      state.watchers.removeAll { $0.predicate(all) }
      return (.stored(ArrivalID(at: arrival.receivedAt)), ready)
    }
    for continuation in ready { continuation.resume() }
    return acceptance
  }

  func wait(until predicate: @escaping @Sendable ([Arrival]) -> Bool) async {
    await withCheckedContinuation { continuation in
      let isThere = state.withLock { state in
        if predicate(state.arrivals) { return true }
        state.watchers.append((predicate, continuation))
        return false
      }
      if isThere { continuation.resume() }
    }
  }

  var texts: [String] {
    arrivals.compactMap { if case .message(let message) = $0.payload { message.text } else { nil } }
  }
  var reports: [DeliveryReport] {
    arrivals.compactMap { if case .report(let report) = $0.payload { report } else { nil } }
  }
}

/// Runs an adapter around a test, drains it at the end and waits for that.
func withAdapter(
  _ links: [SMSConfiguration.Link], partHold: Duration = .seconds(3), partTimeLimit: Duration = .seconds(1_800),
  secret: String = "", sources: [String] = [],
  _ body: @escaping @Sendable (SMSAdapter, Intake) async throws -> Void
) async throws {
  let intake = Intake()
  let adapter = SMSAdapter(
    channel: ContactChannel(kind: .sms, name: "sms"),
    configuration: SMSConfiguration(
      links: links, partTimeLimit: partTimeLimit, partHold: partHold, callbackSecret: secret, callbackSources: sources),
    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, wallClock: { TestClock.now })
  try await withThrowingTaskGroup(of: Void.self) { group in
    group.addTask { try await adapter.run { intake.accept($0) } }
    do {
      try await body(adapter, intake)
    } catch {
      adapter.beginDrain()
      throw error
    }
    adapter.beginDrain()
    try await group.waitForAll()
  }
}

enum TestClock {
  static var now: Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
  }
}

extension SMSAdapter {
  /// Asks until it is so, at most for ten seconds; an adapter tells no one when a link comes up.
  func waitUntil(_ state: Health.State) async throws {
    let deadline = ContinuousClock.now + .seconds(10)
    while true {
      let now = await health
      if now.state == state { return }
      try #require(ContinuousClock.now < deadline, "the adapter is not \(state) but \(now)")
      try await Task.sleep(for: .milliseconds(10))
    }
  }
}

func makeDispatch(
  _ text: String, to: String = "+8613800138000", from: String? = nil, options: [String: String] = [:],
  expires: Timestamp? = nil
) -> Dispatch {
  let attempt = AttemptID(at: TestClock.now)
  return Dispatch(
    key: "job", attempt: attempt, wireIdentity: attempt.description,
    to: Address(kind: .phone, canonical: to, raw: to),
    from: from.map { Address(kind: .shortCode, canonical: $0, raw: $0) },
    content: .init(text: text, options: options), expires: expires)
}

func smppLink(
  _ name: String = "one", port: Int, weight: Int = 1, window: Int = 50, password: String = "p",
  binds: [SMPPSettings.Bind] = [.transceiver], profile: TextProfile = TextProfile(),
  ids: MessageIDRule = MessageIDRule(), settings: LinkSettings? = nil
) -> SMSConfiguration.Link {
  SMSConfiguration.Link(
    name: name, weight: weight,
    kind: .smpp(
      SMPPSettings(systemID: "liaison", password: password), LinkEndpoint(host: "127.0.0.1", port: port), binds: binds),
    profile: profile,
    settings: settings ?? LinkSettings(window: window, reconnectDelay: .milliseconds(50), drainTimeout: .seconds(2)),
    messageIDs: ids, defaultSender: "95588")
}

@Suite(.timeLimit(.minutes(1))) struct AdapterTests {
  private func withSMSC(
    _ behaviour: StandInSMSC.Behaviour = .init(), _ body: (StandInSMSC, Int) async throws -> Void
  ) async throws {
    let smsc = StandInSMSC(behaviour)
    let port = try await smsc.start()
    do { try await body(smsc, port) } catch {
      await smsc.stop()
      throw error
    }
    await smsc.stop()
  }

  @Test func `a text is submitted, and its receipt comes back to the attempt`() async throws {
    try await withSMSC(.init(reportsAfter: .milliseconds(20), mixesBases: true)) { smsc, port in
      let link = smppLink(port: port, ids: MessageIDRule(responses: .hexadecimal, receipts: .decimal))
      try await withAdapter([link]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let dispatch = makeDispatch("您的验证码为123456")
        guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "accepted")
        }
        #expect(receipt.peerID == "one/2621374627")
        #expect(receipt.parts == 1)
        #expect(receipt.partIDs.isEmpty)
        await intake.wait { !$0.isEmpty }
        let report = try #require(intake.reports.first)
        #expect(report.state == .delivered)
        #expect(report.wireIdentity == dispatch.wireIdentity)
        #expect(report.peerID == receipt.peerID)
        #expect(report.recipient?.canonical == "+8613800138000")
        #expect(intake.arrivals.first?.wireKey?.hasPrefix("one/receipt/2621374627/") == true)
        let sent = try #require(smsc.submitted.first)
        #expect(sent.message.source.digits == "95588")
        #expect(TextCoding.ucs2.decode(sent.message.octets).text == "您的验证码为123456")
      }
    }
  }

  @Test func `a long text has one state, delivered when all its parts are`() async throws {
    try await withSMSC(.init(reportsAfter: .milliseconds(20))) { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let dispatch = makeDispatch(String(repeating: "a", count: 400))
        guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "accepted")
        }
        #expect(receipt.parts == 3)
        #expect(receipt.partIDs.count == 3)
        #expect(receipt.peerID == receipt.partIDs.first)
        await intake.wait { $0.count == 3 }
        #expect(Set(intake.reports.map(\.peerID)) == [receipt.peerID])
        #expect(intake.reports.map(\.state).sorted { $0.rawValue < $1.rawValue } == [.delivered, .pending, .pending])
        #expect(smsc.submitted.allSatisfy { $0.message.esmClass == 0x40 })
      }
    }
  }

  @Test func `a link cut with 50 unanswered submits leaves 50 in doubt and sends nothing twice`() async throws {
    try await withSMSC(.init(answers: false, reportsAfter: nil)) { smsc, port in
      try await withAdapter([smppLink(port: port, window: 100), smppLink("two", port: port, weight: 0)]) {
        adapter, intake in
        try await adapter.waitUntil(.up)
        let outcomes = await withTaskGroup(of: Submission.self) { group in
          for index in 0..<50 {
            group.addTask { await adapter.submit(makeDispatch("m\(index)", options: ["sms.link": "one"])) }
          }
          await smsc.waitForSubmits(50)
          smsc.cut()
          var out: [Submission] = []
          for await outcome in group { out.append(outcome) }
          return out
        }
        let inDoubt = outcomes.filter { if case .inDoubt(let fault) = $0 { fault.code == .connection } else { false } }
        #expect(inDoubt.count == 50)
        try await adapter.waitUntil(.up)
        #expect(smsc.count == 50)
        guard case .inDoubt = await adapter.inquire(about: makeDispatch("never sent")) else {
          return #expect(Bool(false), "in doubt")
        }
      }
    }
  }

  @Test func `an answer that comes after its time settles the doubt`() async throws {
    try await withSMSC(.init(answersAfter: .milliseconds(600), reportsAfter: nil)) { smsc, port in
      let settings = LinkSettings(window: 5, responseTimeout: .milliseconds(200), drainTimeout: .seconds(1))
      try await withAdapter([smppLink(port: port, settings: settings)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let dispatch = makeDispatch("late")
        guard case .inDoubt(let fault) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "in doubt")
        }
        #expect(fault.code == .timeout)
        let deadline = ContinuousClock.now + .seconds(5)
        var found = await adapter.inquire(about: dispatch)
        while case .inDoubt = found, ContinuousClock.now < deadline {
          try await Task.sleep(for: .milliseconds(20))
          found = await adapter.inquire(about: dispatch)
        }
        guard case .accepted(let receipt) = found else { return #expect(Bool(false), "accepted") }
        #expect(receipt.peerID == "one/2621374627")
        #expect(smsc.count == 1)
      }
    }
  }

  @Test func `a rejected dispatch goes to the next link, one in doubt does not`() async throws {
    try await withSMSC(.init(refusesWith: .submitFailed)) { refusing, first in
      try await withSMSC(.init(reportsAfter: nil)) { taking, second in
        try await withAdapter([smppLink("one", port: first, weight: 10), smppLink("two", port: second, weight: 1)]) {
          adapter, _ in
          try await adapter.waitUntil(.up)
          guard case .accepted(let receipt) = await adapter.submit(makeDispatch("x")) else {
            return #expect(Bool(false), "accepted")
          }
          #expect(receipt.peerID?.hasPrefix("two/") == true)
          refusing.behave(.init(refusesWith: .invalidDestination))
          var rejected = 0
          for _ in 0..<10 {
            if case .rejected(let fault) = await adapter.submit(makeDispatch("x")) {
              #expect(fault.code == .badAddress)
              rejected += 1
            }
          }
          #expect(rejected >= 8, "a bad number is not tried elsewhere")
        }
      }
    }
  }

  @Test func `traffic is shared by weight, and goes to the other link when one is down`() async throws {
    try await withSMSC(.init(reportsAfter: nil)) { first, firstPort in
      try await withSMSC(.init(reportsAfter: nil)) { second, secondPort in
        try await withAdapter([
          smppLink("one", port: firstPort, weight: 3), smppLink("two", port: secondPort, weight: 1),
        ]) { adapter, _ in
          try await adapter.waitUntil(.up)
          for index in 0..<40 { _ = await adapter.submit(makeDispatch("\(index)")) }
          #expect(first.count == 30)
          #expect(second.count == 10)
          await first.stop()
          try await adapter.waitUntil(.degraded)
          for index in 0..<5 {
            guard case .accepted = await adapter.submit(makeDispatch("\(index)")) else {
              return #expect(Bool(false), "accepted")
            }
          }
          #expect(second.count == 15)
        }
      }
    }
  }

  @Test func `a throttling SMSC costs time and nothing else`() async throws {
    try await withSMSC(.init(submitsPerSecond: 10, reportsAfter: nil)) { smsc, port in
      let settings = LinkSettings(window: 20, throttlePause: .milliseconds(200), throttlePauseMaximum: .seconds(1))
      try await withAdapter([smppLink(port: port, settings: settings)]) { adapter, _ in
        try await adapter.waitUntil(.up)
        let accepted = await withTaskGroup(of: Bool.self) { group in
          for index in 0..<25 {
            group.addTask { if case .accepted = await adapter.submit(makeDispatch("\(index)")) { true } else { false } }
          }
          return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(accepted == 25)
        #expect(smsc.count == 25)
      }
    }
  }

  @Test func `transmitter and receiver binds make one link`() async throws {
    try await withSMSC(.init(reportsAfter: nil)) { smsc, port in
      try await withAdapter([smppLink(port: port, binds: [.transmitter, .receiver])]) { adapter, intake in
        try await adapter.waitUntil(.up)
        guard case .accepted = await adapter.submit(makeDispatch("x")) else { return #expect(Bool(false), "accepted") }
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "YE") == .ok)
        #expect(intake.texts == ["YE"])
      }
    }
  }

  @Test func `a refused login is told and not repeated in a storm`() async throws {
    try await withSMSC(.init(password: "other")) { _, port in
      try await withAdapter([smppLink(port: port)]) { adapter, _ in
        try await adapter.waitUntil(.down)
        let deadline = ContinuousClock.now + .seconds(5)
        while await adapter.health.text?.contains("ESME_RINVPASWD") != true, ContinuousClock.now < deadline {
          try await Task.sleep(for: .milliseconds(10))
        }
        #expect(await adapter.health.text?.contains("ESME_RINVPASWD") == true)
        guard case .deferred(let fault, _) = await adapter.submit(makeDispatch("x")) else {
          return #expect(Bool(false), "deferred")
        }
        #expect(fault.code == .connection)
      }
    }
  }

  @Test func `what cannot be sent is rejected before it leaves`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, _ in
        try await adapter.waitUntil(.up)
        for (dispatch, code) in [
          (makeDispatch("x", to: "abc"), Fault.Code.badAddress), (makeDispatch("x", to: "+"), .badAddress),
          (makeDispatch(String(repeating: "a", count: 2_000)), .tooLarge),
          (makeDispatch("x", expires: Timestamp(seconds: 1)), .expired),
        ] {
          guard case .rejected(let fault) = await adapter.submit(dispatch) else {
            return #expect(Bool(false), "rejected")
          }
          #expect(fault.code == code)
        }
        #expect(smsc.count == 0)
      }
    }
  }

  // MARK: In

  @Test func `the SMSC is answered only after the message is kept, and told to come again when it is not`() async throws
  {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        intake.beBusy(1)
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "one") == .messageQueueFull)
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "请问额度😀") == .ok)
        #expect(intake.texts == ["请问额度😀"])
        let arrival = try #require(intake.arrivals.first)
        #expect(arrival.from?.canonical == "+8613912345678")
        #expect(arrival.to == Address(kind: .shortCode, canonical: "95588", raw: "95588"))
        #expect(arrival.wireKey == nil)
        #expect(SMPPPDU(frame: arrival.raw).command == .deliverSM)
      }
    }
  }

  @Test func `a stop word is marked as one`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        _ = await smsc.deliver(from: "8613912345678", to: "10690955880102", text: " td\r\n")
        guard case .message(let message)? = intake.arrivals.first?.payload else {
          return #expect(Bool(false), "message")
        }
        #expect(message.properties.contains(.init("address.stop", "promo")))
        #expect(message.properties.contains(.init("address.stop_word", "TD")))
      }
    }
  }

  private func part(_ number: UInt8, of total: UInt8, _ reference: UInt16 = 9) -> Concatenation? {
    Concatenation(reference: reference, wide: false, total: total, number: number)
  }

  @Test func `parts are answered when their message is kept, in whatever order they come`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        async let second = smsc.deliver(from: "8613912345678", to: "95588", text: "后半", concatenation: part(2, of: 2))
        async let first = smsc.deliver(from: "8613912345678", to: "95588", text: "前半", concatenation: part(1, of: 2))
        let answers = await [second, first]
        #expect(answers == [.ok, .ok])
        #expect(intake.texts == ["前半后半"])
        #expect(intake.arrivals.count == 1)
        // The answer was lost, say: the same part again is known.
        #expect(
          await smsc.deliver(from: "8613912345678", to: "95588", text: "后半", concatenation: part(2, of: 2)) == .ok)
        #expect(intake.arrivals.count == 1)
      }
    }
  }

  @Test func `an SMSC that sends one part at a time is not held for ever`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)], partHold: .milliseconds(100)) { adapter, intake in
        try await adapter.waitUntil(.up)
        #expect(
          await smsc.deliver(from: "8613912345678", to: "95588", text: "one ", concatenation: part(1, of: 2)) == .ok)
        guard case .unreadable(let reason)? = intake.arrivals.first?.payload else {
          return #expect(Bool(false), "kept")
        }
        #expect(reason.code == "part-waiting")
        #expect(
          await smsc.deliver(from: "8613912345678", to: "95588", text: "two", concatenation: part(2, of: 2)) == .ok)
        #expect(intake.texts == ["one two"])
      }
    }
  }

  @Test func `a missing part surfaces, marked`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)], partHold: .milliseconds(50), partTimeLimit: .milliseconds(500)) {
        adapter, intake in
        try await adapter.waitUntil(.up)
        _ = await smsc.deliver(from: "8613912345678", to: "95588", text: "two", concatenation: part(2, of: 3))
        await intake.wait { arrivals in arrivals.contains { if case .message = $0.payload { true } else { false } } }
        #expect(intake.texts == ["…two…"])
        guard case .message(let message)? = intake.arrivals.last?.payload else {
          return #expect(Bool(false), "message")
        }
        #expect(message.properties.contains(.init("sms.missing_parts", "1,3")))
      }
    }
  }

  @Test func `a PDU that does not read is kept as it is and does not stop the next`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let broken = SMPPMessage(
          source: SMPPAddress("8613912345678"), destination: SMPPAddress("95588"), esmClass: 0x40, octets: [200, 1, 2])
        #expect(await smsc.deliver(broken) == .ok)
        guard case .unreadable(let reason)? = intake.arrivals.first?.payload else {
          return #expect(Bool(false), "unreadable")
        }
        #expect(reason.code == "bad-udh")
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "next") == .ok)
        #expect(intake.texts == ["next"])
      }
    }
  }

  @Test func `a thousand messages at once are all kept and answered`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let answers = await withTaskGroup(of: SMPPStatus?.self) { group in
          for index in 0..<1_000 {
            group.addTask { await smsc.deliver(from: "8613912345678", to: "95588", text: "m\(index)") }
          }
          return await group.reduce(into: [SMPPStatus?]()) { $0.append($1) }
        }
        let kept = answers.filter { $0 == .ok }.count
        #expect(kept == intake.arrivals.count)
        #expect(answers.allSatisfy { $0 == .ok || $0 == .messageQueueFull })
        #expect(kept > 0)
      }
    }
  }
}

import Channels
import Demo
import Foundation
import Synchronization
import Telephony
import Testing

/// The adapter against a stand-in switch over real TCP.
@Suite(.timeLimit(.minutes(2))) struct AdapterTests {
  /// Keeps what is offered and lets a test wait for something in it.
  final class Inbox: Sendable {
    private struct State {
      var arrivals: [Arrival] = []
      var waiting: [(@Sendable ([Arrival]) -> Bool, CheckedContinuation<Void, Never>)] = []
    }
    private let state = Mutex(State())

    var arrivals: [Arrival] { state.withLock { $0.arrivals } }
    var events: [CallEvent] {
      arrivals.compactMap { if case .call(let event) = $0.payload { event } else { nil } }
    }
    /// The last known state of each call.
    var calls: [String: CallState] {
      events.reduce(into: [:]) { $0[$1.call.callID] = $1.call }
    }

    func accept(_ arrival: Arrival) -> Acceptance {
      let ready = state.withLock { state in
        state.arrivals.append(arrival)
        let arrivals = state.arrivals
        let ready = state.waiting.filter { $0.0(arrivals) }
        state.waiting.removeAll { $0.0(arrivals) }
        return ready.map(\.1)
      }
      for continuation in ready { continuation.resume() }
      return .stored(ArrivalID(at: Timestamp(seconds: 1)))
    }

    /// Returns when it is there, or when the test's time is over.
    func wait(_ isThere: @escaping @Sendable ([Arrival]) -> Bool) async {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let isReady = state.withLock { state in
            if Task.isCancelled || isThere(state.arrivals) { return true }
            state.waiting.append((isThere, continuation))
            return false
          }
          if isReady { continuation.resume() }
        }
      } onCancel: {
        let waiting = state.withLock { state in
          defer { state.waiting = [] }
          return state.waiting
        }
        for (_, continuation) in waiting { continuation.resume() }
      }
    }

    func waitForEnds(_ count: Int) async {
      await wait { arrivals in
        var ended: Set<String> = []
        for arrival in arrivals {
          if case .call(let event) = arrival.payload, event.call.ended != nil { ended.insert(event.call.callID) }
        }
        return ended.count >= count
      }
    }
  }

  private func with(
    _ standIn: AsteriskStandIn, secret: String = "demo", usesChallenge: Bool = true,
    _ body: @Sendable (TelephonyAdapter, Inbox) async throws -> Void
  ) async throws {
    let (ports, port) = AsyncStream<Int>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await standIn.run { port.yield($0) } }
      guard let number = await ports.first(where: { _ in true }) else { return }
      let adapter = TelephonyAdapter(
        configuration: TelephonyConfiguration(
          servers: [
            .init(
              name: "main", host: "127.0.0.1", port: number,
              credentials: .init(username: "liaison", secret: secret, usesChallenge: usesChallenge))
          ],
          reconnectDelay: .milliseconds(20)))
      let inbox = Inbox()
      group.addTask { try await adapter.run { inbox.accept($0) } }
      try await body(adapter, inbox)
      adapter.beginDrain()
      try await group.next()
      group.cancelAll()
    }
  }

  @Test(arguments: [nil, 7], [true, false])
  func `a recording over TCP gives what is asserted of it`(piece: Int?, usesChallenge: Bool) async throws {
    let bytes = try Fixtures.bytes("recorded/05-blind-transfer-refer.ami")
    let standIn = AsteriskStandIn(programme: .recordings([bytes]), piece: piece)
    try await with(standIn, usesChallenge: usesChallenge) { adapter, inbox in
      await inbox.waitForEnds(1)
      let call = try #require(inbox.calls["1795382301.177"])
      #expect(call.server == "main")
      #expect(call.caller?.canonical == "+41791234567")
      #expect(call.customerNo == "7000042")
      #expect(call.transfers.map { "\($0.type) \($0.by) \($0.to)" } == ["blind PJSIP/1001 1003"])
      #expect(call.disposition == "answered" && call.endedBy == "caller")
      let changes = inbox.events.map(\.change)
      #expect(
        changes.first.map { [.began, .identified, .queued, .offered].contains($0) } == true && changes.last == .ended)
      #expect(changes.contains(.offered) && changes.contains(.answered) && changes.contains(.transferred))
      let raw = inbox.arrivals.first?.raw ?? []
      #expect(String(decoding: raw, as: UTF8.self).hasPrefix("Event: Newchannel"))
      #expect(await adapter.health.state == .up)
    }
  }

  @Test func `a connection cut in the middle of an event is made again and leaves no call open`() async throws {
    let bytes = try Fixtures.bytes("laboratory/attended_refer.ami")
    let standIn = AsteriskStandIn(programme: .recordings([bytes]), cut: bytes.count / 2 + 13)
    try await with(standIn) { adapter, inbox in
      await inbox.waitForEnds(1)
      #expect(standIn.connections >= 2)
      #expect(inbox.events.last?.change == .reconciled)
      #expect(inbox.calls.values.allSatisfy { $0.ended != nil && $0.endedBy == nil })
    }
  }

  @Test func `after a gap the list says which calls live, began and ended`() async throws {
    let standIn = AsteriskStandIn(
      programme: .recordings([try Fixtures.bytes("laboratory/re-1.ami"), try Fixtures.bytes("laboratory/re-2.ami")]),
      answersStatus: false)
    try await with(standIn) { adapter, inbox in
      // The first recording has no list; the stand-in waits for none and the client would, so it is cut off.
      await inbox.wait { $0.count >= 12 }
      standIn.hangUpOnEverybody()
      await inbox.waitForEnds(5)
      let calls = inbox.calls
      #expect(calls.values.allSatisfy { $0.ended != nil })
      #expect(calls["1795536779.26"]?.endedBy == nil)
      #expect(calls["1795536783.32"]?.isFromSnapshot == true)
      #expect(inbox.events.contains { $0.change == .reconciled && $0.call.callID == "1795536777.22" })
    }
  }

  @Test func `made-up calls pop, and agents' presence is told`() async throws {
    let standIn = AsteriskStandIn()
    let calls = StandInCalls(
      switchboard: standIn,
      customers: [.init(number: "+41791112233", name: "O'Brien", customerNo: "7001234")],
      agents: [.init(device: "PJSIP/1001", name: "One"), .init(device: "PJSIP/1002", name: "Two")], haste: 200)
    try await with(standIn) { adapter, inbox in
      while !Task.isCancelled, await adapter.health.state != .up { await Task.yield() }
      await withDiscardingTaskGroup { group in
        group.addTask { await calls.run(every: .milliseconds(2_000)) }
        await inbox.waitForEnds(12)
        group.cancelAll()
      }
      let answered = inbox.calls.values.filter { $0.disposition == "answered" }
      #expect(!answered.isEmpty)
      #expect(answered.allSatisfy { $0.customerNo == "7001234" && $0.callerName == "O'Brien" })
      let isTold = inbox.arrivals.contains {
        if case .presence(let p) = $0.payload { p.device == "PJSIP/1001" } else { false }
      }
      #expect(isTold)
    }
  }

  @Test func `a refused login is told by health`() async throws {
    let standIn = AsteriskStandIn(secret: "right")
    try await with(standIn, secret: "wrong", usesChallenge: false) { adapter, _ in
      while !Task.isCancelled, await adapter.health.text?.contains("login refused") != true { await Task.yield() }
      #expect(await adapter.health.state == .down)
    }
  }

  @Test func `commands become actions, a repeated one is not sent again`() async throws {
    let standIn = AsteriskStandIn(programme: .recordings([session([incoming("1.1")])]))
    try await with(standIn) { adapter, inbox in
      await inbox.wait { !$0.isEmpty }
      let order = CallCommand(
        id: "c1", server: "main",
        action: .originate(device: "PJSIP/1001", to: "+41791110001", showing: nil, customerNo: "7001111"))
      #expect(await adapter.perform(order) == .accepted(callID: "liaison-c1"))
      #expect(await adapter.perform(order) == .accepted(callID: "liaison-c1"))
      #expect(standIn.actions.filter { $0 == "Originate" }.count == 1)
      let park = CallCommand(id: "c2", server: "main", action: .park(callID: "1.1"))
      #expect(await adapter.perform(park) == .accepted(callID: nil))
      let unknown = CallCommand(id: "c3", server: "main", action: .park(callID: "9.9"))
      guard case .rejected(let fault) = await adapter.perform(unknown) else {
        Issue.record("an unknown call was parked")
        return
      }
      #expect(fault.code == .unknownRecipient)
      #expect(standIn.actions.contains("Park"))
    }
  }

  @Test func `without a connection a command is surely not done`() async {
    let adapter = TelephonyAdapter(
      configuration: TelephonyConfiguration(
        servers: [.init(name: "main", host: "127.0.0.1", port: 1, credentials: .init(username: "u", secret: "s"))]))
    let pause = CallCommand(
      id: "p1", server: "main", action: .setPaused(device: "PJSIP/1001", queue: nil, true, reason: "Lunch"))
    guard case .rejected(let fault) = await adapter.perform(pause) else {
      Issue.record("accepted without a connection")
      return
    }
    #expect(fault.code == .connection)
  }
}

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

/// A stand-in SMSC around a test.
func withSMSC(
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

import ChannelConformance
import Channels
import Demo
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import Telephony

/// The promises of a channel, held on the manager interface of a stand-in switch.
@Suite struct ConformanceTests {
  @Test(arguments: ConformanceCheck.allCases)
  func `telephony keeps the promises of a channel`(_ check: ConformanceCheck) async throws {
    try await check.verify { try await SwitchHarness() }
  }
}

/// A failed order to originate is one whole call, told by one event, as often as the switch says it.
private struct SwitchHarness: ChannelHarness {
  let adapter: TelephonyAdapter
  private let standIn = AsteriskStandIn()
  private let serving: Task<Void, any Error>

  init() async throws {
    let (ports, port) = AsyncStream<Int>.makeStream()
    // Cancelled by `close`.
    serving = Task { [standIn] in try await standIn.run { port.yield($0) } }
    let number = await ports.first { _ in true }
    adapter = TelephonyAdapter(
      configuration: TelephonyConfiguration(
        servers: [
          .init(
            name: "main", host: "127.0.0.1", port: number ?? 0,
            credentials: .init(username: "liaison", secret: "demo"))
        ], reconnectDelay: .milliseconds(10), limits: .init(messageBytes: 16_384)),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Events have no identity on the wire and are answered by nobody.
  var wireNamesArrivals: Bool { false }

  func deliver(_ number: Int) async throws -> PeerAnswer {
    let before = adapter.offered.load(ordering: .relaxed)
    standIn.tell(
      "OriginateResponse",
      [("ActionID", "job-\(number)"), ("Response", "Failure"), ("Reason", "0"), ("Uniqueid", "<unknown>")])
    // The wire says nothing; what is seen is that the adapter has offered it and is done.
    while adapter.offered.load(ordering: .relaxed) == before || adapter.backlog.load(ordering: .relaxed) > 0 {
      try Task.checkCancellation()
      try await Task.sleep(for: .milliseconds(1))
    }
    return .none
  }

  func deliverUnreadable() async throws -> PeerAnswer? {
    standIn.tell("\u{0}\u{fffd}: no event\r\n: no key\r\nno colon", [("", "")])
    return PeerAnswer.none
  }

  func deliverOversize() async throws -> PeerAnswer? {
    standIn.tell(
      "OriginateResponse",
      [("ActionID", "long"), ("Response", "Failure"), ("Filler", String(repeating: "x", count: 20_000))])
    return PeerAnswer.none
  }

  func close() async {
    serving.cancel()
    standIn.hangUpOnEverybody()
  }
}

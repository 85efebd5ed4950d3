import Channels
import ContactModel
import Demo
import Foundation
import Store

/// The telephone exchange of the crash test: a stand-in switch on the loopback that goes on making calls while the
/// daemon is dead, and lists what lives whenever it is connected to again.
final class Exchange: Sendable {
  private let standIn = AsteriskStandIn()
  private let calls: StandInCalls
  private let serving: Task<Void, any Error>
  private let hungUp = AsyncStream<Void>.makeStream()
  private let port: Int

  init(seed: UInt64) async throws {
    let (ports, port) = AsyncStream<Int>.makeStream()
    // Cancelled when the program ends: the daemon asks until then.
    serving = Task { [standIn] in try await standIn.run { port.yield($0) } }
    self.port = await ports.first { _ in true } ?? 0
    calls = StandInCalls(
      switchboard: standIn,
      customers: (1...50).map { .init(number: "1381000\(1000 + $0)", name: "Caller \($0)", customerNo: nil) },
      agents: (1...20).map { .init(device: "PJSIP/\(1000 + $0)", name: "Agent \($0)") }, queue: "general", haste: 20,
      seed: seed)
  }

  /// The daemon's wiring for it.
  var wiring: String {
    // The secret is that of every stand-in; a file would be one more thing to lose.
    """
      - kind: telephony
        name: calls
        reconnect_delay: 20ms
        longest_reconnect_delay: 50ms
        servers:
          - {name: pbx, host: 127.0.0.1, port: \(port), username: liaison, secret: {env: CRASH_TEST_SWITCH}}
    """
  }

  /// Agents at the exchange's telephones, before the first start.
  func seatAgents(in file: String) async throws {
    let time = Timestamp(seconds: 1_790_000_000)
    let database = try Database.open(StoreURL("sqlite://\(file)"), migrations: migrations, now: time)
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      for number in 1_001...1_020 {
        try transaction.upsert(
          Agent(
            id: AgentID("\(number)")!, name: "Agent \(number)", device: "PJSIP/\(number)", queues: [Code("general")!],
            state: .ready, stateSince: time), at: time)
      }
    }
    await database.close()
  }

  static let environment = ["CRASH_TEST_SWITCH": "demo"]

  var callsMade: Int { calls.callsMade }

  /// Makes calls until `finish`; then whoever still talks is cut off, as when a switch is started anew.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { [calls] in await calls.run(every: .milliseconds(1_000)) }
      group.addTask { [hungUp] in for await _ in hungUp.stream {} }
      _ = await group.next()
      group.cancelAll()
    }
    standIn.forget()
    standIn.hangUpOnEverybody()
  }

  func finish() { hungUp.continuation.finish() }
}

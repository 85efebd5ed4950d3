import ContactModel
import Demo
import Foundation
import Logging

/// The demo's telephone exchange: a stand-in for an Asterisk that speaks its manager interface on the loopback, and
/// customers who call: known ones who key their number, known ones who do not, and a stranger.
struct DemoExchange: DemoPeer {
  private static let secret = "demo"
  static let queue = Code("general")!

  private let port: Int
  private let standIn: AsteriskStandIn

  /// The exchange listens as long as the process lives: the daemon says goodbye to it first.
  static func start() async throws -> DemoExchange {
    let standIn = AsteriskStandIn(secret: secret)
    // Who is dialled is connected, and hangs up after a while; the callers below live their own lives.
    _ = StandInSwitchboard(standIn, talk: .seconds(8))
    let (ports, bound) = AsyncStream<Int>.makeStream()
    Task {
      defer { bound.finish() }
      try await standIn.run { bound.yield($0) }
    }
    guard let port = await ports.first(where: { _ in true }) else {
      throw DaemonError.unavailable("the demo's exchange cannot listen")
    }
    return DemoExchange(port: port, standIn: standIn)
  }

  var environment: [String: String] { ["LIAISON_DEMO_SWITCH_SECRET": Self.secret] }

  var channel: String {
    """
      - kind: telephony
        name: calls
        reconnect_delay: 100ms
        servers:
          - name: pbx
            host: 127.0.0.1
            port: \(port)
            username: liaison
            secret: {env: LIAISON_DEMO_SWITCH_SECRET}
        dialling: {showing: "+861095559", result_within: 5s}
    """
  }

  var hint: (name: String, text: String) { ("Telephone", "customers call through a switch on 127.0.0.1:\(port)") }

  func run(people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
    guard interval > 0 else { return }
    let callers =
      people.prefix(40).enumerated().map { index, person in
        StandInCalls.Customer(
          number: person.phone, name: person.customer.name,
          customerNo: index % 2 == 0 ? person.customer.customerNo.description : nil)
      } + [StandInCalls.Customer(number: "+8610099990001", name: "", customerNo: nil)]
    let calls = StandInCalls(
      switchboard: standIn, customers: callers,
      agents: DemoBank.agents.map { .init(device: $0.device, name: $0.name) }, queue: Self.queue.description,
      dialled: "+861095559", seed: UInt64(Date().timeIntervalSince1970))
    await calls.run(every: .seconds(interval))
  }
}

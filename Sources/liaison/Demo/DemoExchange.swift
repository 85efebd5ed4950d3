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

  static func start() throws -> DemoExchange { DemoExchange(port: try freePort()) }

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
    """
  }

  var hint: (name: String, text: String) { ("Telephone", "customers call through a switch on 127.0.0.1:\(port)") }

  func run(people: [DemoBank.Person], every interval: Int, _ logger: Logger) async {
    let standIn = AsteriskStandIn(secret: Self.secret)
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
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        do {
          try await standIn.run(port: port) { _ in }
        } catch {
          logger.error("The demo's exchange could not listen.", metadata: ["fault.text": "\(error)"])
        }
      }
      if interval > 0 { group.addTask { await calls.run(every: .seconds(interval)) } }
    }
  }

  /// A port of the loopback nobody listens on now.
  private static func freePort() throws -> Int {
    let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let found = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, length) == 0 && getsockname(socket, $0, &length) == 0
      }
    }
    guard found else { throw DaemonError.unavailable("no free port for the demo's exchange") }
    return Int(UInt16(bigEndian: address.sin_port))
  }
}

import ContactModel
import Demo

/// The demo's telephone exchange: a stand-in for an Asterisk that speaks its manager interface on the loopback, and
/// customers who call: known ones who key their number, known ones who do not, and a stranger.
struct DemoExchange: Sendable {
  static let secret = "demo"
  static let queue = Code("general")!

  /// Of the loopback.
  let port: Int
  private let standIn: AsteriskStandIn

  /// An exchange that listens for the time of `body`.
  static func open(_ body: (DemoExchange) async throws -> Void) async throws {
    let standIn = AsteriskStandIn(secret: secret)
    let (ports, port) = AsyncStream<Int>.makeStream()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        defer { port.finish() }
        try await standIn.run { port.yield($0) }
      }
      guard let number = await ports.first(where: { _ in true }) else {
        try await group.waitForAll()
        return
      }
      try await body(DemoExchange(port: number, standIn: standIn))
      group.cancelAll()
    }
  }

  /// Makes calls until cancelled, one every `pause` on average.
  func makeCalls(of people: [DemoBank.Person], every pause: Duration) async {
    let callers =
      people.prefix(40).enumerated().map { index, person in
        StandInCalls.Customer(
          number: person.phone, name: person.customer.name,
          customerNo: index % 2 == 0 ? person.customer.customerNo.description : nil)
      } + [StandInCalls.Customer(number: "+8610099990001", name: "", customerNo: nil)]
    let calls = StandInCalls(
      switchboard: standIn, customers: callers,
      agents: DemoBank.agents.map { .init(device: $0.device, name: $0.name) }, queue: Self.queue.description,
      dialled: "+861095559", seed: 20_261_124)
    await calls.run(every: pause)
  }
}

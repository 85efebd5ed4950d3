import Channels
import Testing

@testable import Telephony

@Suite struct ArrivalLaneTests {
  private func arrival(
    _ call: String, _ change: CallEvent.Change, device: String? = nil, raw: String = "x"
  ) -> Arrival {
    let at = Timestamp(seconds: 1)
    var state = CallState(server: "main", callID: call, direction: .inbound, created: at)
    if let device { state.legs = [.init(device: device, state: .ringing, from: at)] }
    return Arrival(
      channel: ContactChannel(kind: .telephony, name: "calls"), wireKey: nil, from: nil, to: nil, receivedAt: at,
      payload: .call(CallEvent(change: change, device: device, at: at, call: state)), raw: Array(raw.utf8))
  }

  /// What a lane gives after it was finished, as `call change count bytes`.
  private func given(_ arrivals: [Arrival]) async -> [String] {
    let lane = ArrivalLane()
    lane.append(arrivals)
    lane.finish()
    var out: [String] = []
    while let item = await lane.next() {
      guard case .call(let event) = item.arrival.payload else { continue }
      out.append(
        "\(event.call.callID) \(event.change) \(item.count) \(String(decoding: item.arrival.raw, as: UTF8.self))")
    }
    return out
  }

  @Test func `changes before anybody is rung are told with the next one of their call, bytes and all`() async {
    let told = await given([
      arrival("1", .began, raw: "a"), arrival("2", .began, raw: "b"), arrival("1", .identified, raw: "c"),
      arrival("1", .queued, raw: "d"), arrival("1", .offered, device: "PJSIP/1001", raw: "e"),
    ])
    #expect(told == ["2 began 1 b", "1 offered 4 acde"])
  }

  @Test func `a ring, an answer and an end are told each by itself`() async {
    let told = await given([
      arrival("1", .offered, device: "PJSIP/1001"), arrival("1", .answered, device: "PJSIP/1001"),
      arrival("1", .held, device: "PJSIP/1001"), arrival("1", .ended),
    ])
    #expect(told.map { $0.split(separator: " ")[1] } == ["offered", "answered", "held", "ended"])
  }

  @Test func `bytes kept together are bounded`() async {
    let long = String(repeating: "y", count: 40_000)
    let told = await given([arrival("1", .began, raw: long), arrival("1", .queued, raw: long)])
    #expect(told.count == 2)
  }

  @Test func `a reader that waits gets what comes, and nothing once its task is cancelled`() async {
    let lane = ArrivalLane()
    async let first = lane.next()
    lane.append([arrival("1", .began)])
    #expect(await first?.count == 1)
    let waiting = Task { await lane.next() }
    waiting.cancel()
    #expect(await waiting.value?.count == nil)
  }
}

import Channels
import ContactModel
import Outbound
import Testing

@Suite struct RecycleRulesTests {
  private let rules = RecycleRules()
  private let zone: Zone

  init() throws { zone = try #require(Shipped.zones.zone(named: "Asia/Shanghai")) }

  private func time(_ text: String) throws -> Timestamp { try #require(Timestamp("2026-03-\(text):00+08:00")) }

  private func calls(_ list: [(String, RecycleRules.Outcome)]) throws -> [RecycleRules.Call] {
    try list.map { .init(at: try time($0.0), outcome: $0.1) }
  }

  private func next(_ list: [(String, RecycleRules.Outcome)]) throws -> RecycleRules.Verdict {
    let calls = try calls(list)
    return rules.next(after: calls, in: zone, at: try #require(calls.last).at)
  }

  private func again(_ text: String) throws -> RecycleRules.Verdict {
    .again(at: try time(text), agent: nil, agentUntil: nil)
  }

  @Test func `busy: twice after five minutes, then after an hour`() throws {
    #expect(try next([("10T09:00", .busy)]) == again("10T09:05"))
    #expect(try next([("10T09:00", .busy), ("10T09:05", .busy)]) == again("10T09:10"))
    // Three a day: the hour is over long before tomorrow begins.
    #expect(try next([("10T09:00", .busy), ("10T09:05", .busy), ("10T09:10", .busy)]) == again("11T00:00"))
    #expect(try next([("09T09:00", .busy), ("10T09:05", .busy), ("10T09:10", .busy)]) == again("10T10:10"))
  }

  @Test func `no answer: after an hour, then at another part of the day`() throws {
    #expect(try next([("10T09:00", .noAnswer)]) == again("10T10:00"))
    #expect(try next([("10T09:00", .noAnswer), ("10T10:00", .noAnswer)]) == again("10T12:00"))
    #expect(try next([("10T19:00", .noAnswer), ("10T20:00", .noAnswer)]) == again("11T00:00"))
  }

  @Test func `six calls are enough for one job`() throws {
    let five = (5...9).map { ("0\($0)T09:00", RecycleRules.Outcome.noAnswer) }
    #expect(try next(five + [("10T09:00", .busy)]) == .exhausted(.perJob))
  }

  @Test func `seven in seven days, whoever made them`() throws {
    let calls = try calls([("10T09:00", .busy)])
    let others = try ["04T09:30", "05T09:00", "06T09:00", "07T09:00", "08T09:00", "09T09:00"].map(time)
    let verdict = rules.next(after: calls, otherCalls: others, in: zone, at: try time("10T09:00"))
    #expect(try verdict == again("11T09:30"))
  }

  @Test func `trunk errors are tried five times and count as no calls`() throws {
    let errors = (0..<5).map { ("10T09:0\($0)", RecycleRules.Outcome.trunkError) }
    #expect(try next(errors) == again("10T09:06"))
    #expect(try next(errors + [("10T09:06", .trunkError)]) == .exhausted(.trunk))
    #expect(try next(errors + [("10T09:06", .busy)]) == again("10T09:11"))
  }

  @Test func `an unallocated number is an invalid address`() throws {
    #expect(try next([("10T09:00", .unallocatedNumber)]) == .addressInvalid)
  }

  @Test func `whom we dropped we leave alone for three days`() throws {
    #expect(try next([("10T09:00", .droppedByUs)]) == again("13T09:00"))
  }

  @Test func `a call-back comes exactly when he asked, from the same agent for a quarter of an hour`() throws {
    let at = try time("10T16:00")
    #expect(
      try next([("10T09:00", .callBack(at: at, by: "a1"))])
        == .again(at: at, agent: "a1", agentUntil: at + .seconds(900)))
  }

  @Test func `who was reached is done`() throws { #expect(try next([("10T09:00", .answered)]) == .done) }
}

import Channels
import Foundation
import Telephony
import Testing

/// The traps of specs/telephony.md §5, by number.
@Suite struct TrapTests {
  private func call(_ name: String) throws -> [String: Any] {
    let calls = try Fixtures.laboratory(name)
    #expect(calls.count == 1)
    return try #require(calls.first)
  }
  private func recorded(_ name: String) throws -> [[String: Any]] {
    Fixtures.inspect([try Fixtures.bytes("recorded/\(name).ami")])
  }
  private func events(_ path: String) throws -> [CallEvent] {
    var inspection = TelephonyInspection()
    inspection.add(try Fixtures.bytes(path))
    return inspection.events
  }

  @Test(arguments: ["attended_refer", "attended_atxfer", "pickup_direct", "park_unpark"])
  func `1: a leg whose Linkedid changes stays in the customer's call`(name: String) throws {
    let call = try call(name)
    #expect(call[text: "disposition"] == "answered")
    #expect(call[list: "agents"].last == (name == "pickup_direct" ? "PJSIP/1002" : "PJSIP/1003"))
  }

  @Test func `2: the one consulted is told of the original caller when his telephone rings`() throws {
    let told = try events("laboratory/attended_refer.ami").first { $0.change == .consulting }
    #expect(told?.device == "PJSIP/1003")
    #expect(told?.call.caller?.raw == "+41793330001")
    #expect(told?.call.legs.contains { $0.device == "PJSIP/1001" } == true)
  }

  @Test func `3: a member behind a Local channel is one offer to the device`() throws {
    let call = try #require(try recorded("10-local-channel-members").first)
    #expect(call.offers == ["PJSIP/2001 ring-no-answer", "PJSIP/2002 answered"])
    let transfer = try self.call("attended_atxfer_local")[objects: "transfers"].first
    #expect(transfer?[text: "by"] == "PJSIP/2001")
    #expect(transfer?[text: "to"] == "1003")
  }

  @Test func `4: the caller is the caller's own number, whatever a leg shows`() throws {
    for event in try events("recorded/10-local-channel-members.ami") {
      #expect(event.call.caller?.raw == "+41791239876")
      #expect(event.call.callerName == "Roth Max")
    }
  }

  @Test func `5: a caller put out of the queue has not given up`() throws {
    #expect(try call("queue_timeout")[text: "disposition"] == "no-answer")
    #expect(try call("leave_empty")[text: "disposition"] == "no-answer")
    #expect(try call("abandon_queue")[text: "disposition"] == "abandoned")
    #expect(try call("queue_overflow")[text: "disposition"] == "answered")
  }

  @Test func `6: holds end with the bridge, a resume without a hold is nothing`() throws {
    let blind = try #require(try recorded("05-blind-transfer-refer").first)
    #expect(blind[objects: "holds"].isEmpty)
    let attended = try call("attended_atxfer")[objects: "holds"]
    #expect(attended.count == 1 && attended[0]["s"] is NSNumber)
  }

  @Test func `7: only the first end of an offer counts`() throws {
    let call = try #require(try recorded("02-ring-no-answer-next-agent").first)
    #expect(call.offers == ["PJSIP/1001 ring-no-answer", "PJSIP/1002 answered"])
    let declined = try #require(try recorded("03-agents-busy-and-decline").first)
    #expect(declined.offers == ["PJSIP/1001 busy", "PJSIP/1002 declined", "PJSIP/1003 answered"])
  }

  @Test(arguments: ["blind_to_queue", "queue_overflow"])
  func `8: two visits to queues are one call`(name: String) throws {
    let call = try call(name)
    #expect(call[text: "disposition"] == "answered")
    #expect(call[text: "queue"] == "retail-zh")
  }

  @Test func `9: AgentComplete says nothing, early, late or half empty`() {
    var inspection = TelephonyInspection()
    inspection.add(
      session([
        incoming("1.1"), ("AgentComplete", channel("PJSIP/trunk-00000001", "1.1", in: "1.1") + [("TalkTime", "99")]),
        ("Hangup", channel("PJSIP/trunk-00000001", "1.1", in: "1.1") + [("Cause", "16")]),
        ("AgentComplete", channel("PJSIP/trunk-00000001", "1.1", in: "1.1") + [("Queue", "q")]),
      ]))
    #expect(inspection.states.count == 1)
    #expect(inspection.states.first?.connected == nil)
  }

  @Test func `10: why an order to originate failed is read from the hang-up`() throws {
    let calls = try recorded("08-outbound-results")
    let words = calls.map { "\($0[text: "job"] ?? "?") \($0[text: "disposition"] ?? "?")" }
    #expect(
      words == [
        "job-20 busy", "job-21 no-answer", "job-22 congestion", "job-23 unallocated", "job-24 declined",
        "job-25 unavailable", "job-29 failed", "job-30 busy",
      ])
  }

  @Test func `11: call detail records change nothing`() {
    let call = session([incoming("1.1")])
    let record = session([("Cdr", [("UniqueID", "1.1"), ("Disposition", "NO ANSWER"), ("Channel", "PJSIP/trunk-1")])])
    var inspection = TelephonyInspection()
    inspection.add(call)
    let before = inspection.events.count
    inspection.add(record)
    #expect(inspection.events.count == before)
  }

  @Test func `12: of repeated headers the first counts`() throws {
    var inspection = TelephonyInspection()
    inspection.add(
      session([
        incoming("1.1"), incoming("2.2", serial: "00000002"),
        (
          "UserEvent",
          channel("PJSIP/trunk-00000001", "1.1", in: "1.1") + [
            ("UserEvent", "CustomerIdentified"), ("Uniqueid", "2.2"), ("CustomerNo", "7001234"),
            ("Event", "Hangup"), ("CustomerNo", "6660666"),
          ]
        ),
      ]))
    let numbers = inspection.states.map { "\($0.callID) \($0.customerNo ?? "-")" }
    #expect(numbers == ["1.1 7001234", "2.2 -"])
  }

  @Test func `13: names are unescaped, none is none, anonymous is no number`() throws {
    var inspection = TelephonyInspection()
    inspection.add(
      session([
        incoming("1.1", number: "anonymous", name: "Anonymous"),
        incoming("1.2", number: "<unknown>", name: "<unknown>"),
        incoming("1.3", name: "O\\'Brien \\\"x\\\" \\\\"),
        (
          "VarSet",
          channel("PJSIP/trunk-00000001", "1.3", in: "1.3") + [("Variable", "CUSTOMER_NO"), ("Value", "A\\'1")]
        ),
      ]))
    let states = inspection.states
    #expect(states.map { $0.caller?.raw } == [nil, nil, "+41791112233"])
    #expect(states.map(\.callerName) == ["Anonymous", nil, "O'Brien \"x\" \\"])
    #expect(states.last?.customerNo == "A'1")
  }

  @Test func `14: an action that the switch would cut or misread is not made`() {
    #expect(throws: AMIAction.Problem.lineTooLong("Exten")) {
      try AMIAction("Redirect", [("Exten", String(repeating: "1", count: 1_020))])
    }
    #expect(throws: AMIAction.Problem.lineBreak("Reason")) {
      try AMIAction("QueuePause", [("Reason", "Lunch\r\nAction: Originate")])
    }
  }

  @Test func `15: events without a time, or with an earlier one, are taken in the order of arrival`() throws {
    let text = String(decoding: try Fixtures.bytes("laboratory/attended_refer.ami"), as: UTF8.self)
    let bare = text.split(separator: "\r\n", omittingEmptySubsequences: false)
      .filter { !$0.hasPrefix("Timestamp: ") }.joined(separator: "\r\n")
    let call = try #require(Fixtures.inspect([Array(bare.utf8)]).first)
    #expect(call["times_ms"] == nil)
    #expect(call[list: "agents"] == ["PJSIP/1001", "PJSIP/1003"])
    #expect(call[text: "ended_by"] == "caller")
  }

  @Test func `16 and 17: a server that died and came back has none of its old calls`() throws {
    let calls = Fixtures.inspect([
      try Fixtures.bytes("laboratory/boot-1.ami"), try Fixtures.bytes("laboratory/boot-2.ami"),
    ])
    #expect(calls.map { $0[text: "caller"] } == ["+41793340011", "+41793340012"])
    #expect(calls.first?["ended_by"] is NSNull)
    #expect(calls.last?[text: "ended_by"] == "caller")
  }

  @Test func `18: the same number twice at once is two calls, of three who answer one has it`() throws {
    var inspection = TelephonyInspection()
    inspection.add(session([incoming("1.1"), incoming("1.2", serial: "00000002")]))
    #expect(inspection.states.map(\.callID) == ["1.1", "1.2"])
    let race = try call("requeue_three_race")
    #expect(race[list: "agents"].count == 1)
    #expect(race.offers.filter { $0.hasSuffix("lost-race") }.count == 2)
  }

  @Test(arguments: ["spy", "whisper_barge", "conference"])
  func `19: supervisors and conference legs are no calls of their own`(name: String) throws {
    let call = try call(name)
    #expect(call[text: "caller"]?.hasPrefix("+4179333") == true)
    #expect(call[list: "agents"] == (name == "conference" ? ["PJSIP/1001", "PJSIP/1002"] : ["PJSIP/1001"]))
  }

  @Test func `20: a call the agent's telephone is rung for first is outbound`() throws {
    let call = try #require(try recorded("07-click-to-dial-agent-first").first)
    #expect(call[text: "direction"] == "outbound")
    #expect(call[text: "customer"] == "+41791110001")
  }

  @Test func `21: talk is measured, not taken from whole seconds`() throws {
    let call = try #require(try recorded("01-inbound-queue-answered").first)
    let times = try #require(call["times_ms"] as? [String: Int])
    let wait = (times["connected"] ?? 0) - (times["queued"] ?? 0)
    #expect((1_690...1_720).contains(wait))
  }

  @Test func `22: FullyBooted after a new login to the same server closes nothing`() {
    func boot(_ uptime: Int) -> (String, [(String, String)]) { ("FullyBooted", [("Uptime", "\(uptime)")]) }
    var inspection = TelephonyInspection()
    inspection.add(session([boot(100), incoming("1.1")]))
    inspection.add(session([boot(160)]))
    #expect(inspection.states.first?.ended == nil)
    inspection.add(session([boot(3)]))
    #expect(inspection.states.first?.ended != nil)
  }
}

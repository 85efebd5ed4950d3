import Channels
import Telephony
import Testing

@Suite struct HoldTests {
  private let caller = channel("PJSIP/trunk-00000001", "1.1", in: "1.1", number: "+41791112233")
  private let agent = channel("PJSIP/1001-00000002", "1.2", in: "1.1")

  /// Customer and agent talk; gives the interpreter and what it makes of further events.
  private func talking() -> AsteriskInterpreter {
    var interpreter = AsteriskInterpreter(server: "main")
    _ = changes(
      &interpreter,
      [
        incoming("1.1"), ("Newchannel", channel("PJSIP/1001-00000002", "1.2", in: "1.1", state: 0)),
        ("DialBegin", caller + channel("PJSIP/1001-00000002", "1.2", in: "1.1", prefix: "Dest")),
        ("BridgeEnter", agent + [("BridgeUniqueid", "b1")]), ("BridgeEnter", caller + [("BridgeUniqueid", "b1")]),
      ])
    return interpreter
  }

  private func changes(
    _ interpreter: inout AsteriskInterpreter, _ events: [(String, [(String, String)])]
  ) -> [CallEvent] {
    var decoder = AMIDecoder()
    var out: [CallEvent] = []
    decoder.feed(session(events)) { message in
      for case .call(let event) in interpreter.interpret(message) { out.append(event) }
    }
    return out
  }

  private func leave(_ bridge: String) -> [(String, [(String, String)])] {
    [
      ("BridgeLeave", caller + [("BridgeUniqueid", bridge)]), ("BridgeLeave", agent + [("BridgeUniqueid", bridge)]),
      ("BridgeDestroy", [("BridgeUniqueid", bridge)]),
    ]
  }

  @Test func `a hold by command is a hold, and ends when both are bridged again`() {
    var interpreter = talking()
    interpreter.expectHold(of: "PJSIP/1001", in: "1.1")
    let held = changes(&interpreter, leave("b1"))
    #expect(held.map(\.change) == [.held])
    #expect(held.last?.device == "PJSIP/1001")
    #expect(held.last?.call.legs.last?.state == .held && held.last?.call.legs.last?.to == nil)
    let resumed = changes(
      &interpreter,
      [("BridgeEnter", caller + [("BridgeUniqueid", "b2")]), ("BridgeEnter", agent + [("BridgeUniqueid", "b2")])])
    #expect(resumed.map(\.change) == [.resumed])
    #expect(resumed.last?.call.holds.map(\.by) == ["agent"] && resumed.last?.call.holds.last?.to != nil)
    #expect(resumed.last?.call.legs.last?.state == .talking)
    // From now on leaving the bridge is what it was.
    #expect(changes(&interpreter, leave("b2")).map(\.change) == [.partyChanged])
  }

  @Test func `a customer on hold by command who hangs up ends the call and the hold`() {
    var interpreter = talking()
    interpreter.expectHold(of: "PJSIP/1001", in: "1.1")
    _ = changes(&interpreter, leave("b1"))
    let end = changes(&interpreter, [("HangupRequest", caller), ("Hangup", caller + [("Cause", "16")])])
    #expect(end.last?.change == .ended && end.last?.call.endedBy == "caller")
    #expect(end.last?.call.holds.allSatisfy { $0.to != nil } == true)
    #expect(end.last?.call.legs.allSatisfy { $0.to != nil } == true)
  }

  @Test func `a hold that was refused leaves the end of the talk what it is`() {
    var interpreter = talking()
    interpreter.expectHold(of: "PJSIP/1001", in: "1.1")
    interpreter.expectHold(of: "PJSIP/1001", in: "1.1", false)
    #expect(changes(&interpreter, leave("b1")).map(\.change) == [.partyChanged])
    let end = changes(&interpreter, [("Hangup", agent + [("Cause", "16")])])
    #expect(end.allSatisfy { $0.change != .held })
  }

  @Test func `an agent's telephone that goes while it holds by command ends the hold`() {
    var interpreter = talking()
    interpreter.expectHold(of: "PJSIP/1001", in: "1.1")
    _ = changes(&interpreter, leave("b1"))
    let gone = changes(&interpreter, [("Hangup", agent + [("Cause", "16")])])
    #expect(gone.last?.call.legs.allSatisfy { $0.to != nil } == true)
    #expect(gone.last?.call.holds.last?.to != nil && gone.last?.call.ended == nil)
  }
}

import Channels
import Foundation
import Telephony
import Testing

/// What a real Asterisk 22 told after commands of Liaison's: captured, replayed.
@Suite struct CommandedTests {
  private func events(_ name: String) throws -> [CallEvent] {
    var inspection = TelephonyInspection()
    inspection.add(try Fixtures.bytes("laboratory/\(name).ami"))
    return inspection.events
  }

  @Test(arguments: ["command_cancel", "command_cancel_ringing"])
  func `a consultation that is cancelled is told as over, after the customer is back`(name: String) throws {
    let events = try events(name)
    let began = try #require(events.firstIndex { $0.change == .consulting })
    let resumed = try #require(
      events[began...].firstIndex { event in
        event.device == "PJSIP/1001" && event.call.legs.contains { $0.to == nil && $0.state == .talking }
      })
    let over = try #require(events[resumed...].first { $0.device == "PJSIP/1003" })
    #expect(over.change == .partyChanged && over.call.ended == nil)
    #expect(over.call.consultations.allSatisfy { $0.ended != nil })
    #expect(over.call.legs.last { $0.device == "PJSIP/1003" }?.to != nil)
    #expect(over.call.legs.contains { $0.device == "PJSIP/1001" && $0.to == nil && $0.state == .talking })
  }

  @Test func `an agent who hangs up in a conference is told to have left, and who ends it is another`() throws {
    let events = try events("command_conference")
    let joined = try #require(events.firstIndex { $0.change == .conferenced && $0.device == "PJSIP/1003" })
    let left = try #require(events[joined...].first { $0.device == "PJSIP/1001" })
    #expect(left.change == .partyChanged && left.call.ended == nil)
    #expect(left.call.legs.filter { $0.to == nil }.map(\.device) == ["PJSIP/1003"])
    let end = try #require(events.last)
    #expect(end.change == .ended && end.call.endedBy == "caller")
  }

  @Test(arguments: ["command_conference_busy", "command_monitor_declined", "command_monitor_declined_early"])
  func `a telephone rung for a call that is there and refusing is no customer's call, and is told to whoever asked`(
    name: String
  ) throws {
    let events = try events(name)
    let refused = try #require(events.last { $0.call.job != nil })
    #expect(refused.change == .ended && refused.call.direction == .internal && refused.call.connected == nil)
    #expect(["busy", "declined"].contains(refused.call.disposition))
    let others = events.filter { $0.call.callID != refused.call.callID }
    #expect(Set(others.map(\.call.callID)).count == 1)
    #expect(others.allSatisfy { $0.call.job == nil && $0.call.direction == .inbound })
    #expect(others.last?.call.endedBy == "caller")
  }
}

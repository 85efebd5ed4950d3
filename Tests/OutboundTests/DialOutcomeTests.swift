import Channels
import Testing

@testable import Outbound

@Suite struct DialOutcomeTests {
  private static func call(
    offer: String? = "answered", disposition: String?, connected: Bool = false, fromSnapshot: Bool = false
  ) -> CallState {
    var call = CallState(
      server: "main", callID: "liaison-1", direction: .outbound, isFromSnapshot: fromSnapshot, created: Bank.start)
    if let offer {
      call.offers = [.init(device: "PJSIP/1", at: Bank.start, ended: Bank.start, outcome: offer)]
    }
    call.connected = connected ? Bank.start : nil
    call.disposition = disposition
    call.ended = Bank.start
    return call
  }

  @Test(arguments: [
    ("busy", DialOutcome.busy), ("no-answer", .noAnswer), ("cancelled", .noAnswer), ("declined", .declined),
    ("unavailable", .unavailable), ("unallocated", .unallocated), ("congestion", .trunkError), ("failed", .trunkError),
    ("machine", .machine), ("abandoned", .droppedByUs), ("unknown", .unknown),
  ])
  func `a call that nobody answered says why`(disposition: String, outcome: DialOutcome) {
    #expect(DialOutcome(of: Self.call(disposition: disposition)) == outcome)
  }

  @Test func `who was connected was reached, however it ended`() {
    #expect(DialOutcome(of: Self.call(disposition: "answered", connected: true)) == .answered)
    #expect(DialOutcome(of: Self.call(disposition: "unknown", connected: true)) == .answered)
    #expect(DialOutcome(of: Self.call(disposition: "machine", connected: true)) == .machine)
  }

  @Test(arguments: ["ring-no-answer", "busy", "declined", "unavailable"])
  func `while the agent's telephone was not answered, nobody was called`(offer: String) {
    #expect(DialOutcome(of: Self.call(offer: offer, disposition: "no-answer")) == .agentNotReached)
    #expect(DialOutcome(of: Self.call(offer: nil, disposition: "failed")) == .agentNotReached)
    // Of a call first seen in a list the beginning is not known.
    #expect(
      DialOutcome(of: Self.call(offer: nil, disposition: "no-answer", fromSnapshot: true)) == .noAnswer)
  }
}

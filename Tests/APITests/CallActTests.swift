import Channels
import Demo
import Foundation
import Telephony
import Testing

@testable import API

extension CallTests {
  /// A caller connected with 1001.
  private func connected(_ exchange: Exchange) async throws -> String {
    let call = exchange.switchboard.incoming(
      from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001", customerNo: "C100")
    try await exchange.live(call) { $0.state.connected != nil }
    return call
  }

  private func act(
    _ exchange: Exchange, _ call: String, _ act: String, _ body: JSONValue = [:], as who: String = "agent-1001"
  ) async throws -> Answer {
    let conformance = try await Conformance(exchange.served)
    let answer = try await exchange.order(who, "/v1/calls/main/\(call)/\(act)", body)
    #expect(answer.status == 202, "\(act): \(answer.text)")
    #expect(conformance.faults("POST", template: "/v1/calls/{server}/{call_id}/\(act)", answer) == [])
    return answer
  }

  @Test func `an attended transfer is accepted while the colleague is asked, and done when the agent hangs up`()
    async throws
  {
    try await open { exchange in
      let call = try await connected(exchange)
      let transfer = try await act(exchange, call, "attended-transfer", ["to": "1002"])
      try await exchange.live(call) { $0.state.consultations.last?.device == "PJSIP/1002" }
      let asking = try await exchange.command(transfer, until: ["accepted"])
      #expect(asking["state"] == "accepted")
      #expect(exchange.standIn.orders.last { $0["Action"] == "Atxfer" }?["Exten"] == "1002")
      exchange.switchboard.hangUpAtTelephone("PJSIP/1001", in: call)
      let command = try await exchange.command(transfer, until: ["done", "failed", "in_doubt"])
      #expect(command["state"] == "done" && command["outcome"] == "transferred", "\(command)")
      try await exchange.live(call) {
        $0.devices == ["PJSIP/1002"] && $0.state.transfers.map(\.type) == ["attended"]
          && $0.state.consultations.allSatisfy { $0.ended != nil }
      }
    }
  }

  @Test func `a consultation that is cancelled gives the customer back, and the transfer has failed`() async throws {
    try await open { exchange in
      let call = try await connected(exchange)
      let path = "/v1/calls/main/\(call)"
      let early = try await exchange.order("agent-1001", "\(path)/cancel-transfer", [:])
      let refused = try await exchange.command(early, until: ["done", "failed", "in_doubt"])
      #expect(refused["state"] == "failed" && refused["fault_code"] == "peer_failure", "\(refused)")
      let transfer = try await act(exchange, call, "attended-transfer", ["to": "1002"])
      try await exchange.live(call) { $0.state.consultations.last?.device == "PJSIP/1002" }
      _ = try await exchange.command(transfer, until: ["accepted"])
      let cancel = try await act(exchange, call, "cancel-transfer")
      let command = try await exchange.command(cancel, until: ["done", "failed", "in_doubt"])
      #expect(command["state"] == "done" && command["outcome"] == "resumed", "\(command)")
      let failed = try await exchange.command(transfer, until: ["done", "failed", "in_doubt"])
      #expect(failed["state"] == "failed" && failed["outcome"] == "cancelled", "\(failed)")
      try await exchange.live(call) { $0.devices == ["PJSIP/1001"] && $0.state.transfers.isEmpty }
    }
  }

  @Test func `in a conference all three are in the call, and it goes on when the agent leaves it`() async throws {
    try await open { exchange in
      let call = try await connected(exchange)
      for with in ["Local/1@x", "PJSIP/1999", "1002"] {
        let answer = try await exchange.order(
          "agent-1001", "/v1/calls/main/\(call)/conference", ["with": .string(with)])
        #expect(answer.status == 422, "\(with): \(answer.text)")
      }
      let conference = try await act(exchange, call, "conference", ["with": "PJSIP/1002"])
      let command = try await exchange.command(conference, until: ["done", "failed", "in_doubt"])
      #expect(command["state"] == "done" && command["outcome"] == "conferenced", "\(command)")
      try await exchange.live(call) { Set($0.devices) == ["PJSIP/1001", "PJSIP/1002"] }
      let order = exchange.standIn.orders.last { $0["Action"] == "Originate" }
      #expect(order?["Channel"] == "PJSIP/1002" && order?["Context"] == "liaison-conference")
      let leaving = try await act(exchange, call, "hang-up")
      let left = try await exchange.command(leaving, until: ["done", "failed", "in_doubt"])
      #expect(left["state"] == "done" && left["outcome"] == "ended", "\(left)")
      try await exchange.live(call) { $0.devices == ["PJSIP/1002"] && $0.state.ended == nil }
      #expect(try await exchange.order("agent-1001", "/v1/calls/main/\(call)/hold", [:]).status == 403)
    }
  }

  @Test func `a telephone that rings is told to answer`() async throws {
    try await open { exchange in
      let call = exchange.switchboard.ringing(
        from: "+8613812345678", to: "+861055501200", queue: "general", at: "PJSIP/1001")
      try await exchange.live(call) { $0.devices == ["PJSIP/1001"] }
      let answer = try await act(exchange, call, "answer")
      let command = try await exchange.command(answer, until: ["done", "failed", "in_doubt"])
      #expect(command["state"] == "done" && command["outcome"] == "answered", "\(command)")
      try await exchange.live(call) { $0.state.connected != nil }
      let order = exchange.standIn.orders.last { $0["Action"] == "PJSIPNotify" }
      #expect(order?["Variable"] == "Event=talk")
    }
  }

  @Test func `a part of a recording is muted, as the call shows`() async throws {
    try await open { exchange in
      let call = try await connected(exchange)
      let start = try await act(exchange, call, "start-recording")
      _ = try await exchange.command(start, until: ["done"])
      for (muted, outcome) in [(true, "muted"), (false, "unmuted")] {
        let answer = try await act(exchange, call, "mute-recording", ["muted": .bool(muted)])
        let command = try await exchange.command(answer, until: ["done", "failed", "in_doubt"])
        #expect(command["state"] == "done" && command["outcome"]?.string == outcome, "\(command)")
        #expect(exchange.adapter.liveCall(call, on: "main")?.state.recordings.last?.muted == muted)
      }
    }
  }

  @Test func `a supervisor may listen at the telephone of an agent who has gone home`() async throws {
    try await open { exchange in
      let call = try await connected(exchange)
      let body: JSONValue = ["mode": "listen", "by": "PJSIP/1002", "device": "PJSIP/1001", "reason": "coaching"]
      #expect(try await exchange.order("chief", "/v1/calls/main/\(call)/monitor", body).status == 409)
      let home = try await exchange.order("agent-1002", "/v1/agents/1002/logout", [:])
      #expect(home.status == 200, "\(home.text)")
      let answer = try await exchange.order("chief", "/v1/calls/main/\(call)/monitor", body)
      #expect(answer.status == 202, "\(answer.text)")
    }
  }
}

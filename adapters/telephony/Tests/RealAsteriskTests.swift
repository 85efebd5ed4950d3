import Channels
import Foundation
import Telephony
import Testing

/// Call control on a real Asterisk: `ASTERISK_AMI=host:port` with the dial plan of README.md, telephones 1001 to 1003
/// that answer by themselves, and a trunk that does. Not run without it.
@Suite(
  .enabled(if: ProcessInfo.processInfo.environment["ASTERISK_AMI"] != nil), .timeLimit(.minutes(1)), .serialized)
struct RealAsteriskTests {
  @Test func `an agent is connected with a customer, the call is recorded, held, listened to, joined and ended`()
    async throws
  {
    let place = (ProcessInfo.processInfo.environment["ASTERISK_AMI"] ?? "").split(separator: ":").map(String.init)
    let adapter = TelephonyAdapter(
      configuration: TelephonyConfiguration(
        servers: [
          .init(
            name: "main", host: place.first ?? "", port: Int(place.last ?? "") ?? 5_038,
            credentials: .init(username: "liaison", secret: "test-only-secret"))
        ], reconnectDelay: .milliseconds(100)))
    let inbox = AdapterTests.Inbox()
    let stamp = "\(UInt32.random(in: 0...UInt32.max))"
    func order(_ name: String, _ action: CallCommand.Action) async -> CallCommandResult {
      await adapter.perform(CallCommand(id: "\(name)-\(stamp)", server: "main", action: action))
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await adapter.run { inbox.accept($0) } }
      while !Task.isCancelled, await adapter.health.state != .up { await Task.yield() }
      let call = "liaison-dial-\(stamp)"
      func told(_ change: CallEvent.Change, by device: String? = nil, ended: Bool = false) async {
        await inbox.wait { arrivals in
          arrivals.contains { arrival in
            guard case .call(let event) = arrival.payload, event.call.callID == call else { return false }
            return event.change == change && (device == nil || event.device == device)
          }
        }
      }
      #expect(
        await order("pause", .setPaused(device: "PJSIP/1003", queue: "retail-zh", true, reason: "Lunch"))
          == .accepted(callID: nil))
      await inbox.wait { arrivals in
        arrivals.contains {
          if case .presence(let p) = $0.payload { p.isPaused && p.pauseReason == "Lunch" } else { false }
        }
      }
      _ = await order("unpause", .setPaused(device: "PJSIP/1003", queue: "retail-zh", false, reason: nil))
      let dial = await order(
        "dial", .originate(device: "PJSIP/1001", to: "+41791110001", showing: nil, customerNo: "7001111"))
      #expect(dial == .accepted(callID: call))
      await told(.answered, by: "PJSIP/1001")
      #expect(inbox.calls[call]?.caller?.raw == "+41791110001")
      #expect(inbox.calls[call]?.customerNo == "7001111")
      let steps: [(String, CallCommand.Action, CallEvent.Change?, String?)] = [
        ("record", .startRecording(callID: call, reference: "test-\(stamp).wav"), .recordingChanged, nil),
        ("mute", .muteRecording(callID: call, true), nil, nil),
        ("stop", .stopRecording(callID: call), nil, nil),
        ("listen", .monitor(callID: call, device: "PJSIP/1001", by: "PJSIP/1002", .listen), nil, nil),
        ("hold", .hold(callID: call, device: "PJSIP/1001"), .held, "PJSIP/1001"),
        ("resume", .resume(callID: call, device: "PJSIP/1001"), .resumed, "PJSIP/1001"),
      ]
      for (name, action, change, device) in steps {
        let result = await order(name, action)
        #expect(result == .accepted(callID: nil), "\(name)")
        if let change { await told(change, by: device) }
      }
      #expect(inbox.calls[call]?.holds.map(\.by) == ["agent"])
      #expect(
        await order("conf", .conference(callID: call, device: "PJSIP/1001", with: "PJSIP/1003"))
          == .accepted(callID: nil))
      await told(.conferenced)
      await inbox.wait { arrivals in
        arrivals.contains {
          if case .call(let event) = $0.payload {
            event.call.callID == call && event.device == "PJSIP/1003"
          } else {
            false
          }
        }
      }
      #expect(await order("end", .hangUp(callID: call, device: nil)) == .accepted(callID: nil))
      await told(.ended)
      let ended = try #require(inbox.calls[call])
      #expect(ended.disposition == "answered")
      #expect(ended.recordings.count == 1)
      adapter.beginDrain()
      try await group.next()
    }
  }
}

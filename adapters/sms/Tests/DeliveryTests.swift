import Channels
import Demo
import Testing

@testable import SMS

/// Short messages in, through the whole adapter.
@Suite(.timeLimit(.minutes(1))) struct DeliveryTests {
  @Test func `the SMSC is answered only after the message is kept, and told to come again when it is not`() async throws
  {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        intake.beBusy(1)
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "one") == .messageQueueFull)
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "请问额度😀") == .ok)
        #expect(intake.texts == ["请问额度😀"])
        let arrival = try #require(intake.arrivals.first)
        #expect(arrival.from?.canonical == "+8613912345678")
        #expect(arrival.to == Address(kind: .shortCode, canonical: "95588", raw: "95588"))
        #expect(arrival.wireKey == nil)
        #expect(SMPPPDU(frame: arrival.raw).command == .deliverSM)
      }
    }
  }

  @Test func `a stop word is marked as one`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        _ = await smsc.deliver(from: "8613912345678", to: "10690955880102", text: " td\r\n")
        guard case .message(let message)? = intake.arrivals.first?.payload else {
          return #expect(Bool(false), "message")
        }
        #expect(message.properties.contains(.init("address.stop", "promo")))
        #expect(message.properties.contains(.init("address.stop_word", "TD")))
      }
    }
  }

  private func part(_ number: UInt8, of total: UInt8, _ reference: UInt16 = 9) -> Concatenation? {
    Concatenation(reference: reference, wide: false, total: total, number: number)
  }

  @Test func `parts are answered when their message is kept, in whatever order they come`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        async let second = smsc.deliver(from: "8613912345678", to: "95588", text: "后半", concatenation: part(2, of: 2))
        async let first = smsc.deliver(from: "8613912345678", to: "95588", text: "前半", concatenation: part(1, of: 2))
        let answers = await [second, first]
        #expect(answers == [.ok, .ok])
        #expect(intake.texts == ["前半后半"])
        #expect(intake.arrivals.count == 1)
        // The answer was lost, say: the same part again is known.
        #expect(
          await smsc.deliver(from: "8613912345678", to: "95588", text: "后半", concatenation: part(2, of: 2)) == .ok)
        #expect(intake.arrivals.count == 1)
      }
    }
  }

  @Test func `an SMSC that sends one part at a time is not held for ever`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)], partHold: .milliseconds(100)) { adapter, intake in
        try await adapter.waitUntil(.up)
        #expect(
          await smsc.deliver(from: "8613912345678", to: "95588", text: "one ", concatenation: part(1, of: 2)) == .ok)
        guard case .unreadable(let reason)? = intake.arrivals.first?.payload else {
          return #expect(Bool(false), "kept")
        }
        #expect(reason.code == "part-waiting")
        #expect(
          await smsc.deliver(from: "8613912345678", to: "95588", text: "two", concatenation: part(2, of: 2)) == .ok)
        #expect(intake.texts == ["one two"])
      }
    }
  }

  @Test func `a missing part surfaces, marked`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)], partHold: .milliseconds(50), partTimeLimit: .milliseconds(500)) {
        adapter, intake in
        try await adapter.waitUntil(.up)
        _ = await smsc.deliver(from: "8613912345678", to: "95588", text: "two", concatenation: part(2, of: 3))
        await intake.wait { arrivals in arrivals.contains { if case .message = $0.payload { true } else { false } } }
        #expect(intake.texts == ["…two…"])
        guard case .message(let message)? = intake.arrivals.last?.payload else {
          return #expect(Bool(false), "message")
        }
        #expect(message.properties.contains(.init("sms.missing_parts", "1,3")))
      }
    }
  }

  @Test func `a PDU that does not read is kept as it is and does not stop the next`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let broken = SMPPMessage(
          source: SMPPAddress("8613912345678"), destination: SMPPAddress("95588"), esmClass: 0x40, octets: [200, 1, 2])
        #expect(await smsc.deliver(broken) == .ok)
        guard case .unreadable(let reason)? = intake.arrivals.first?.payload else {
          return #expect(Bool(false), "unreadable")
        }
        #expect(reason.code == "bad-udh")
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "next") == .ok)
        #expect(intake.texts == ["next"])
      }
    }
  }

  @Test func `a thousand messages at once are all kept and answered`() async throws {
    try await withSMSC { smsc, port in
      try await withAdapter([smppLink(port: port)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        let answers = await withTaskGroup(of: SMPPStatus?.self) { group in
          for index in 0..<1_000 {
            group.addTask { await smsc.deliver(from: "8613912345678", to: "95588", text: "m\(index)") }
          }
          return await group.reduce(into: [SMPPStatus?]()) { $0.append($1) }
        }
        let kept = answers.filter { $0 == .ok }.count
        #expect(kept == intake.arrivals.count)
        #expect(answers.allSatisfy { $0 == .ok || $0 == .messageQueueFull })
        #expect(kept > 0)
      }
    }
  }

  @Test func `what comes soon after a login may be a repeat, and the same is told by its fingerprint`() async throws {
    try await withSMSC(.init(reportsAfter: nil)) { smsc, port in
      let settings = LinkSettings(
        reconnectDelay: .milliseconds(50), drainTimeout: .seconds(2), repeatWindow: .seconds(600))
      try await withAdapter([smppLink(port: port, settings: settings)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        for text in ["YE", "YE", "余额"] {
          #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: text) == .ok)
        }
        let prints = intake.arrivals.map { property("message.fingerprint", of: $0) }
        #expect(prints[0] != nil && prints[0] == prints[1] && prints[0] != prints[2])
        #expect(intake.arrivals.allSatisfy { property("message.may_repeat", of: $0) == "true" })
      }
      let late = LinkSettings(reconnectDelay: .milliseconds(50), drainTimeout: .seconds(2), repeatWindow: .zero)
      try await withAdapter([smppLink(port: port, settings: late)]) { adapter, intake in
        try await adapter.waitUntil(.up)
        _ = await smsc.deliver(from: "8613912345678", to: "95588", text: "YE")
        #expect(property("message.may_repeat", of: intake.arrivals[0]) == nil)
        #expect(property("message.fingerprint", of: intake.arrivals[0]) != nil)
      }
    }
  }

  private func property(_ key: String, of arrival: Arrival) -> String? {
    guard case .message(let message) = arrival.payload else { return nil }
    return message.properties.first { $0.key == key }?.value
  }
}

import Channels
import ContactModel
import Store
import Testing

/// What the seam gives is kept as JSON in snake case and must come back whole, identifiers too.
@Suite struct SeamTextTests {
  private let at = Timestamp(seconds: 1_773_000_000)

  private func survives<Value: Codable & Equatable>(_ value: Value) throws -> Bool {
    try JSONText.decode(Value.self, from: JSONText.encode(value)) == value
  }

  @Test func `a delivery report keeps the peer's name for it`() throws {
    #expect(
      try survives(
        DeliveryReport(wireIdentity: "w", peerID: "p", recipient: nil, state: .delivered, happenedAt: at)))
  }

  @Test func `a receipt keeps the ids of its parts`() throws {
    #expect(try survives(Receipt(peerID: "p", at: at, parts: 2, partIDs: ["p", "q"])))
  }

  @Test func `a call event keeps the call's id`() throws {
    let call = CallState(server: "s", callID: "1.1", direction: .inbound, created: at)
    #expect(try survives(CallEvent(change: .began, device: nil, at: at, call: call)))
  }

  @Test func `a message keeps its own id and those of its parts`() throws {
    let part = InboundMessage.Attachment(name: "a", mediaType: "image/png", bytes: [1], contentID: "cid")
    #expect(
      try survives(InboundMessage(text: "t", attachments: [part], thread: .init(references: ["r"], ownID: "own"))))
  }
}

import Channels
import ContactModel
import Foundation
import Intake
import Store
import Testing

/// A message the network may have brought twice is never lost, and never two pieces of work.
@Suite struct PossibleRepeatTests {
  private static let channel = ContactChannel(kind: .sms, name: "sms")
  private static let phone = Address(kind: .phone, canonical: "+8613912345678", raw: "13912345678")

  private func message(_ text: String, print: String, mayRepeat: Bool) -> Arrival {
    var message = InboundMessage(text: text, properties: [.init("message.fingerprint", print)])
    if mayRepeat { message.properties.append(.init("message.may_repeat", "true")) }
    return Arrival(
      channel: Self.channel, wireKey: nil, from: Self.phone, to: nil, receivedAt: House.start,
      payload: .message(message), raw: Array(text.utf8))
  }

  @Test func `the same again after a login is shown, marked and of one request; anything else is a request of its own`()
    async throws
  {
    let house = try await House()
    let intake = house.intake()
    // Cancelled below.
    let run = Task { await intake.run() }
    var ids: [ArrivalID] = []
    for (text, print, mayRepeat) in [
      ("余额", "a", false), ("余额", "a", true), ("余额", "b", true), ("余额", "a", false),
    ] {
      guard case .stored(let id) = await intake.accept(message(text, print: print, mayRepeat: mayRepeat)) else {
        throw Late(what: "a message kept")
      }
      ids.append(id)
      try await house.routed(ids.count)
    }
    let found = try await ids.asyncMap { try await house.contact(of: $0) }
    let (first, again) = (try #require(found[0]), try #require(found[1]))
    #expect(again.request.id == first.request.id)
    #expect(again.contact.chain.related == first.contact.id)
    let details = try await house.database.read { connection in
      try found.compactMap { $0?.contact.id }.map {
        try connection.one("SELECT detail FROM contact WHERE contact_id = $1", [.id($0)]).text("detail")
      }
    }
    #expect(details.map { $0.contains("possibly_repeats") } == [false, true, false, false])
    #expect(details[1].contains(first.contact.id.description))
    // Other octets, and the same words long after the login: nothing says that they are not meant.
    #expect(Set(found.compactMap { $0?.request.id }).count == 3)
    #expect(try await house.ledger()?.stored == 4)
    run.cancel()
    await run.value
    await house.close()
  }
}

extension Array where Element: Sendable {
  fileprivate func asyncMap<Value>(_ map: (Element) async throws -> Value) async throws -> [Value] {
    var out: [Value] = []
    for element in self { out.append(try await map(element)) }
    return out
  }
}

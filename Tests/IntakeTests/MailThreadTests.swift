import Channels
import ContactModel
import Foundation
import Intake
import Store
import Testing

/// What mail brings into intake: copies of one mail, machines that write without end, tokens of known senders.
@Suite struct MailThreadTests {
  private func mail(
    _ house: House, _ text: String, subject: String = "利率", from: String? = "+8610017001001", key: String,
    identity: String? = nil, thread: InboundMessage.Thread = .init(), automatic: Bool = false
  ) -> Arrival {
    var arrival = house.arrival(text, key: key, from: from, subject: subject, thread: thread, automatic: automatic)
    if case .message(var message) = arrival.payload, let identity {
      message.properties.append(.init("content.identity", identity))
      arrival.payload = .message(message)
    }
    return arrival
  }

  @Test func `one mail in two mailboxes is two arrivals and one contact, another under its id is a contact of its own`()
    async throws
  {
    let house = try await House()
    let intake = house.intake()
    try await house.running(intake) {
      let thread = InboundMessage.Thread(ownID: "<1@x>")
      let first = try #require(await intake.accept(mail(house, "一", key: "a", identity: "d1", thread: thread)).stored)
      let copy = try #require(await intake.accept(mail(house, "一", key: "b", identity: "d1", thread: thread)).stored)
      let reused = try #require(await intake.accept(mail(house, "二", key: "c", identity: "d2", thread: thread)).stored)
      try await house.routed(3)
      let contacts = try await house.database.read { connection in
        try [first, copy, reused].map { try connection.contact(of: $0) }
      }
      #expect(contacts[0] != nil && contacts[0] == contacts[1])
      #expect(contacts[2] != nil && contacts[2] != contacts[0])
      let count = try await house.database.read { try $0.one("SELECT count(*) AS n FROM service_request", []).int("n") }
      #expect(count == 2)
    }
    await house.close()
  }

  @Test func `machines open no request, and beyond the hour's number they are set aside, visible and releasable`()
    async throws
  {
    let house = try await House()
    let intake = house.intake { $0.automaticPerHour = 3 }
    try await house.running(intake) {
      var ids: [ArrivalID] = []
      for number in 0..<5 {
        ids.append(
          try #require(await intake.accept(mail(house, "自动回复", key: "k\(number)", automatic: true)).stored))
      }
      try await house.until("two set aside") {
        try $0.one("SELECT count(*) AS n FROM quarantine WHERE code = 'automatic-flood'", []).int("n") == 2
      }
      let (requests, contacts) = try await house.database.read { connection in
        (
          try connection.one("SELECT count(*) AS n FROM service_request", []).int("n"),
          try connection.one("SELECT count(*) AS n FROM contact WHERE disposition = 'automatic'", []).int("n")
        )
      }
      #expect(requests == 0 && contacts == 3)
      // Somebody else's machine is not concerned.
      _ = await intake.accept(mail(house, "自动回复", from: "+8610017001009", key: "other", automatic: true))
      try await house.routed(4)
      // What a person lets through goes through.
      #expect(try await intake.reprocess(ids[4], mended: nil, by: .liaison))
      try await house.routed(5)
    }
    await house.close()
  }

  @Test func `many machines answering one request are stopped as one is`() async throws {
    let house = try await House()
    let intake = house.intake { $0.automaticPerHour = 2 }
    try await house.running(intake) {
      _ = await intake.accept(mail(house, "利率？", key: "q", thread: .init(ownID: "<1@bank>")))
      try await house.routed(1)
      for number in 0..<4 {
        _ = await intake.accept(
          mail(
            house, "自动回复", from: "+861001700200\(number)", key: "k\(number)",
            thread: .init(references: ["<1@bank>"]), automatic: true))
      }
      try await house.until("two set aside") {
        try $0.one("SELECT count(*) AS n FROM quarantine WHERE code = 'automatic-flood'", []).int("n") == 2
      }
    }
    await house.close()
  }

  @Test func `a quoted token binds a sender who is known to the request and nobody else`() async throws {
    let house = try await House()
    let intake = house.intake()
    try await house.running(intake) {
      let first = try #require(await intake.accept(mail(house, "利率？", key: "1")).stored)
      try await house.routed(1)
      let opened = try #require(try await house.contact(of: first))
      let token = try #require(opened.request.reference)
      let known = try #require(
        await intake.accept(mail(house, "还有", key: "2", thread: .init(claimedToken: token))).stored)
      let stranger = try #require(
        await intake.accept(mail(house, "还有", from: "+8610099", key: "3", thread: .init(claimedToken: token))).stored)
      try await house.routed(3)
      #expect(try await house.contact(of: known)?.request.id == opened.request.id)
      let other = try #require(try await house.contact(of: stranger))
      #expect(other.request.id != opened.request.id)
      #expect(other.contact.chain.related != nil)
    }
    await house.close()
  }

  @Test func `an old thread taken up under another subject is kept and flagged`() async throws {
    let house = try await House()
    let intake = house.intake()
    try await house.running(intake) {
      _ = await intake.accept(mail(house, "利率？", key: "1", thread: .init(ownID: "<1@x>")))
      try await house.routed(1)
      for (number, subject) in ["Re: 回复： 利率", "我的卡丢了"].enumerated() {
        let id = try #require(
          await intake.accept(
            mail(house, "x", subject: subject, key: "r\(number)", thread: .init(references: ["<1@x>"]))
          ).stored)
        try await house.routed(2 + number)
        let contact = try #require(try await house.contact(of: id)).contact.id
        let detail = try await house.database.read {
          try $0.one("SELECT detail FROM contact WHERE contact_id = $1", [.id(contact)]).text("detail")
        }
        #expect(detail.contains("subject_changed") == (number == 1), "\(detail)")
      }
    }
    await house.close()
  }
}

import Channels
import ContactModel
import Foundation
import Intake
import Store
import Synchronization
import Testing

extension Acceptance {
  var stored: ArrivalID? { if case .stored(let id) = self { id } else { nil } }
}

@Suite struct IntakeTests {
  @Test func `an arrival is durable with its raw bytes and counted before it is answered`() async throws {
    let house = try await House()
    let intake = house.intake()
    let id = try #require(await intake.accept(house.arrival("请问利率", key: "a")).stored)
    let (kept, state) = try #require(try await house.database.read { try $0.arrival(id) })
    #expect(state == "kept")
    #expect(kept.raw == .inline(Array("请问利率".utf8)))
    #expect(kept.reference?.hasPrefix("R-") == true)
    let line = try #require(try await house.ledger())
    #expect((line.received, line.stored, line.inWork) == (1, 1, 1))
    #expect(line.balances)
    await house.close()
  }

  @Test func `the same wire key again is the first arrival, also from many at once`() async throws {
    let house = try await House()
    let intake = house.intake()
    let answers = await withTaskGroup(of: Acceptance.self) { group in
      for _ in 0..<20 { group.addTask { await intake.accept(house.arrival("投诉", key: "same")) } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    let stored = answers.compactMap(\.stored)
    let first = try #require(stored.first)
    #expect(stored.count == 1)
    #expect(answers.filter { $0 == .duplicate(of: first) }.count == 19)
    let line = try #require(try await house.ledger())
    #expect((line.received, line.stored, line.duplicate) == (20, 1, 19))
    // Without a key nothing is taken for a repeat.
    for _ in 0..<2 { #expect(await intake.accept(house.arrival("投诉")).stored != nil) }
    await house.close()
  }

  @Test func `a store that cannot write now answers busy and has kept nothing`() async throws {
    let house = try await House()
    let intake = house.intake()
    await house.database.close()
    guard case .busy = await intake.accept(house.arrival("x")) else {
      Issue.record("expected busy")
      return
    }
    await house.close()
  }

  @Test func `a large original and attachments lie in body files before the row names them`() async throws {
    let house = try await House()
    let intake = house.intake { $0.inlineRawBytes = 16 }
    var arrival = house.arrival(
      "见附件", attachments: [.init(name: "护照.png", mediaType: "image/png", bytes: Array(repeating: 7, count: 5_000))])
    arrival.raw = Array(repeating: 65, count: 40_000)
    let id = try #require(await intake.accept(arrival).stored)
    let (kept, _) = try #require(try await house.database.read { try $0.arrival(id) })
    guard case .file(let digest, 40_000) = kept.raw else {
      Issue.record("not in a file: \(kept.raw)")
      return
    }
    #expect(try await house.bodies.read(BodyDigest(digest)!) == arrival.raw)
    #expect(kept.attachments.map(\.size) == [5_000])
    #expect(try await house.bodies.read(BodyDigest(kept.attachments[0].sha256)!).count == 5_000)
    if case .message(let message) = kept.payload { #expect(message.attachments[0].bytes.isEmpty) }
    await house.close()
  }

  @Test func `an arrival becomes one contact of one request with its reference, deadline and presumed customer`()
    async throws
  {
    let house = try await House()
    let intake = house.intake()
    let id = try await house.running(intake) {
      let id = try #require(
        await intake.accept(
          house.arrival(
            "我要投诉，柜员态度差", key: "k", from: "+8610017001001",
            claims: [Claim(.phone, "+8610017001001", source: .field)])
        ).stored)
      try await house.routed(1)
      return id
    }
    let (contact, request) = try #require(try await house.contact(of: id))
    #expect(contact.customerNo?.description == "7001")
    #expect(contact.identity.zone == .fuzzy)
    #expect(request.category.description == "complaint")
    #expect(request.queue?.description == "general" && request.owner == nil && request.status == .open)
    #expect(request.reference?.hasPrefix("R-") == true)
    #expect(request.nextDeadline != nil)
    let decisions = try await house.database.read {
      try $0.query("SELECT act FROM decision ORDER BY act", []).map { try $0.text("act") }
    }
    #expect(decisions == ["classification", "tie"])
    await house.close()
  }

  @Test
  func `a reply joins the request it refers to, a machine's stands beside it, and one to a closed one opens anew`()
    async throws
  {
    let house = try await House()
    let intake = house.intake()
    try await house.running(intake) {
      let first = try #require(
        await intake.accept(house.arrival("利率？", thread: .init(ownID: "<1@bank>"))).stored)
      try await house.routed(1)
      let request = try #require(try await house.contact(of: first)).request
      let reply = try #require(
        await intake.accept(house.arrival("还有一个问题", thread: .init(references: ["<0@x>", "<1@bank>"], ownID: "<2@x>")))
          .stored)
      try await house.routed(2)
      #expect(try await house.contact(of: reply)?.request.id == request.id)
      let now = try #require(try await house.contact(of: reply)).request
      let automatic = try #require(
        await intake.accept(house.arrival("我在休假", thread: .init(references: ["<1@bank>"]), automatic: true)).stored)
      try await house.routed(3)
      let beside = try #require(try await house.contact(of: automatic))
      #expect(beside.request.id == request.id && beside.request.version == now.version)
      #expect(beside.contact.state == .closed && beside.contact.disposition == "automatic")
      let forged = try #require(
        await intake.accept(house.arrival("x", thread: .init(claimedToken: request.id.description))).stored)
      try await house.routed(4)
      #expect(try await house.contact(of: forged)?.request.id != request.id)
      let signed = try #require(
        await intake.accept(house.arrival("x", thread: .init(signedToken: request.id.description))).stored)
      try await house.routed(5)
      #expect(try await house.contact(of: signed)?.request.id == request.id)
      let time = house.now
      _ = try await house.database.write {
        try $0.setStatus(
          .closed, of: request.id, resolution: "done", ifVersion: nil, deadline: nil, actor: .liaison, at: time)
      }
      let late = try #require(
        await intake.accept(house.arrival("再问", thread: .init(references: ["<2@x>"]))).stored)
      try await house.routed(6)
      #expect(try await house.contact(of: late)?.request.id != request.id)
    }
    await house.close()
  }

  @Test func `a resolved request is reopened by its customer's next word`() async throws {
    let house = try await House()
    let intake = house.intake()
    try await house.running(intake) {
      let first = try #require(await intake.accept(house.arrival("利率？", thread: .init(ownID: "<1@bank>"))).stored)
      try await house.routed(1)
      let request = try #require(try await house.contact(of: first)).request
      let time = house.now
      _ = try await house.database.write {
        try $0.setStatus(
          .resolved, of: request.id, resolution: "told", ifVersion: nil, deadline: nil, actor: .liaison, at: time)
      }
      let reply = try #require(
        await intake.accept(house.arrival("不对", thread: .init(references: ["<1@bank>"]))).stored)
      try await house.routed(2)
      let now = try #require(try await house.contact(of: reply)).request
      #expect(now.id == request.id && now.status == .open && now.nextDeadline != nil)
    }
    await house.close()
  }

  @Test func `what cannot be read is set aside with its reason, delays nobody, and is worked on when mended`()
    async throws
  {
    let house = try await House()
    let intake = house.intake()
    try await house.running(intake) {
      var broken = house.arrival("x", key: "broken")
      broken.payload = .unreadable(.init(code: "bad-mime", text: "no boundary in line 7"))
      let id = try #require(await intake.accept(broken).stored)
      _ = await intake.accept(house.arrival("利率"))
      try await house.routed(1)
      try await house.until("one in quarantine") { try $0.quarantine(limit: 10).count == 1 }
      let item = try await house.database.read { try $0.quarantine(limit: 10)[0] }
      #expect((item.arrivalId, item.code, item.reason) == (id, "bad-mime", "no boundary in line 7"))
      var line = try #require(try await house.ledger())
      #expect((line.stored, line.routed, line.quarantined, line.inWork) == (2, 1, 1, 0))
      #expect(try await intake.reprocess(id, mended: Array("我的卡被盗刷".utf8), by: .liaison))
      #expect(try await !intake.reprocess(id, mended: nil, by: .liaison))
      try await house.routed(2)
      #expect(try await house.contact(of: id)?.request.category.description == "declaration")
      line = try #require(try await house.ledger())
      #expect(line.balances && line.quarantined == 0)
    }
    await house.close()
  }

  @Test func `what was kept and not routed is routed by the next start, once`() async throws {
    let house = try await House()
    let before = house.intake()
    for number in 0..<30 { _ = await before.accept(house.arrival("利率 \(number)", key: "\(number)")) }
    let after = house.intake()
    try await house.running(after) { try await house.routed(30) }
    let again = house.intake()
    try await house.running(again) { try await house.routed(30) }
    let counts = try await house.database.read {
      (
        try $0.one("SELECT count(*) AS n FROM contact", []).int("n"),
        try $0.one("SELECT count(*) AS n FROM service_request", []).int("n")
      )
    }
    #expect(counts == (30, 30))
    await house.close()
  }

  @Test func `one sender's arrivals are routed in their order, through a full lane and after a restart`() async throws {
    let house = try await House()
    let senders = (0..<4).map { "+86100200000\($0)" }
    let left = house.intake()
    for number in 0..<10 {
      for sender in senders { _ = await left.accept(house.arrival("\(number)", from: sender)) }
    }
    // Two lanes of one place each: most find no place and come back from the store.
    let intake = house.intake {
      $0.lanes = 2
      $0.laneDepth = 1
    }
    try await house.running(intake) {
      for number in 10..<40 {
        for sender in senders { _ = await intake.accept(house.arrival("\(number)", from: sender)) }
      }
      try await house.routed(160)
    }
    let routed = try await house.database.read { connection in
      try connection.query(
        """
        SELECT c.from_canonical AS sender, c.content FROM event e JOIN contact c ON c.contact_id = e.contact_id
        WHERE e.event_type = 'contact.opened' ORDER BY e.seq
        """, []
      ).map { (try $0.text("sender"), Int(try $0.text("content")) ?? -1) }
    }
    #expect(routed.count == 160)
    for sender in senders {
      #expect(routed.filter { $0.0 == sender }.map(\.1) == Array(0..<40), "\(sender)")
    }
    await house.close()
  }

  @Test func `what lay at the peer for long is marked late and counted`() async throws {
    let house = try await House()
    let intake = house.intake { $0.lateAfter = .seconds(300) }
    let id = try #require(await intake.accept(house.arrival("x", waitingSince: house.now - .seconds(3_600))).stored)
    let soon = try #require(await intake.accept(house.arrival("x", waitingSince: house.now - .seconds(30))).stored)
    let kept = try await house.database.read { (try $0.arrival(id)?.arrival.late, try $0.arrival(soon)?.arrival.late) }
    #expect(kept == (true, false))
    #expect(try await house.ledger()?.late == 1)
    await house.close()
  }

  @Test func `refusals are counted and the ledger still balances`() async throws {
    let house = try await House()
    let intake = house.intake()
    await intake.countRefusal(Refusal(code: .malformed, text: "x"), on: House.channel)
    let line = try #require(try await house.ledger())
    #expect((line.received, line.refused, line.balances) == (1, 1, true))
    await house.close()
  }

  struct Text: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var wire: String?
    var category: String
    var by: String
  }
  @Test(arguments: [
    Text(testDescription: "请问三年期利率", category: "consultation", by: "keyword"),
    Text(testDescription: "我要投诉", category: "complaint", by: "keyword"),
    Text(testDescription: "My card was STOLEN", category: "declaration", by: "keyword"),
    Text(testDescription: "this is a complaint about a question: a complaint", category: "complaint", by: "keyword"),
    Text(testDescription: "ｃｏｍｐｌａｉｎｔ in full width", category: "complaint", by: "keyword"),
    Text(testDescription: "你好", category: "consultation", by: "default"),
    Text(testDescription: "我要投诉", wire: "declaration", category: "declaration", by: "channel"),
    Text(testDescription: "我要投诉", wire: "no-such-category", category: "complaint", by: "keyword"),
    Text(testDescription: "", category: "consultation", by: "default"),
  ])
  func `the channel's category stands, else keywords in any form, the graver on a tie, else the default`(_ text: Text) {
    let found = House.parameters.classify(InboundMessage(text: text.testDescription, categoryCode: text.wire))
    #expect((found.category.description, found.by) == (text.category, text.by))
    #expect(found.parameterVersion == 3)
  }
}

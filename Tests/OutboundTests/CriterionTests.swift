import Channels
import ContactModel
import Store
import Testing

@testable import Outbound

@Suite struct CriterionTests {
  private static let faults: [(text: String, code: CriterionFault.Code, position: Int)] = [
    ("", .empty, 1), ("   ", .empty, 1), ("colour = red", .unknownField, 1), ("level = 12", .badValue, 9),
    ("level <= ", .unexpected, 10), ("type = retail and", .unexpected, 18), ("(type = retail", .unexpected, 15),
    ("type = retail)", .unexpected, 14), ("type = \"retail", .openQuote, 8), ("type > retail", .badValue, 6),
    ("status in (active, gone)", .badValue, 20), ("has telex", .badValue, 5), ("contacts >= 1", .unexpected, 14),
    ("type = retail; DROP TABLE customer", .unexpected, 14), ("since > 2026-13-01", .badValue, 9),
    ("age >= old", .badValue, 8),
  ]

  @Test func `a fault says what is wrong and where`() {
    for (text, code, position) in Self.faults {
      do {
        let found = try Criterion(text)
        Issue.record("\(text) was read as \(found)")
      } catch {
        #expect(error.code == code && error.position == position, "\(text): \(error)")
        #expect(!error.words(in: .zh).isEmpty && error.words(in: .en).contains("character \(position)"))
      }
    }
    let deep = String(repeating: "(", count: 200) + "level = 1" + String(repeating: ")", count: 200)
    #expect(throws: CriterionFault.self) { try Criterion(deep) }
    #expect(throws: CriterionFault.self) { try Criterion(String(repeating: "a", count: 5_000)) }
  }

  @Test func `every prefix of a criterion is read or refused, and nothing traps`() {
    let text = "（类型 = retail 且 年龄 ≥ 60) or not (accounts(core) >= 2 and contacts(phone inbound) > 0 within 90 days)"
    for length in 0...text.count { _ = try? Criterion(String(text.prefix(length))) }  // Either is right.
    #expect(throws: Never.self) { try Criterion(text) }
  }

  @Test func `a criterion is explained in both languages`() throws {
    let criterion = try Criterion(
      "type in (retail, corporate) and (age >= 60 or has verified email) and not group(vip)")
    #expect(
      criterion.words(in: .en)
        == "customer type is one of retail, corporate and (age is at least 60 or has a verified mailbox) and not: "
        + "is in the group vip")
    #expect(criterion.words(in: .zh) == "客户类型是 retail、corporate 之一，并且（年龄不小于 60 岁，或者有已验证的电子邮箱），并且不满足：属于客户群 vip")
  }

  @Test(arguments: Engine.here) func `a criterion finds just those who meet it`(engine: Engine) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.database.write { transaction in
      for index in 0..<6 {
        try CampaignBank.add(index, to: transaction, points: index == 5 ? [] : nil)
        try transaction.upsert(
          CustomerRecord(
            customer: Customer(
              customerNo: CampaignBank.number(index), type: Code(index == 0 ? "corporate" : "retail")!,
              level: index + 1, name: "客户\(index)", language: index == 1 ? "en" : nil),
            birthDate: ["1950-03-10", "1966-03-10", "1966-03-11", "2000-01-01", nil, "1990-05-05"][index],
            accounts: index < 2 ? ["622\(index)"] : []), nameFolded: "x", source: "core", at: Bank.start)
      }
      try transaction.upsert(
        CustomerGroup(code: Code("vip")!, kind: .entity, nameZh: "贵宾", nameEn: "VIP"), at: Bank.start)
      _ = try transaction.addMember(CampaignBank.number(3), to: Code("vip")!, department: nil)
      try transaction.upsert(
        CustomerRelation(
          customerNo: CampaignBank.number(4), other: CampaignBank.number(0), relation: Code("parent")!, from: Bank.start
        ))
    }
    let cases: [(String, [Int])] = [
      ("type = corporate", [0]), ("type != corporate", [1, 2, 3, 4, 5]), ("level <= 2", [0, 1]),
      ("level > 2 and level < 5", [2, 3]), ("age >= 60", [0, 1]), ("age < 60", [2, 3, 5]), ("age = 59", [2]),
      ("language != en", [0, 2, 3, 4, 5]), ("not language = en", [0, 2, 3, 4, 5]), ("has email", [0, 1, 2, 3, 4]),
      ("not has phone", [5]), ("accounts >= 1", [0, 1]), ("accounts(other) >= 1", []), ("relation(parent)", [0, 4]),
      ("group(vip)", [3]), ("group(vip) or type = corporate", [0, 3]), ("contacts >= 1 within 30 days", []),
      ("contacts(phone) = 0 within 30 days", [0, 1, 2, 3, 4, 5]), ("since <= 2026-03-10", [0, 1, 2, 3, 4, 5]),
      ("since > 2026-03-11", []), ("language = \"' OR 1=1 --\"", []),
      ("status in (active, dormant)", [0, 1, 2, 3, 4, 5]),
    ]
    for (text, expected) in cases {
      let criterion = try Criterion(text)
      let found = try await bank.database.read { try $0.sample(criterion, limit: 100, at: Bank.start) }
      #expect(found.map(\.customerNo) == expected.map(CampaignBank.number), "\(text)")
      let count = try await bank.database.read { try $0.count(criterion, at: Bank.start) }
      #expect(count == expected.count, "\(text)")
    }
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a time group keeps who was in it each day`(engine: Engine) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(2)
    let code = Code("today")!
    try await bank.database.write {
      try $0.upsert(
        CustomerGroup(code: code, kind: .time, nameZh: "今日", nameEn: "Today", criterion: "level = 5"), at: Bank.start)
    }
    let runner = bank.runner()
    try await runner.tick()
    try await runner.tick()
    func members(_ day: String) async throws -> [CustomerNumber] {
      try await bank.database.read { try $0.members(of: code, on: day, after: nil, limit: 10) }
    }
    #expect(try await members("2026-03-10").count == 2)
    try await bank.database.write { transaction in
      try transaction.upsert(
        CustomerRecord(
          customer: Customer(customerNo: CampaignBank.number(0), type: Code("retail")!, level: 9, name: "客户0")),
        nameFolded: "x", source: "t", at: Bank.start)
    }
    bank.clock.advance(by: .seconds(86_400))
    for _ in 0..<3 { try await runner.tick() }
    #expect(try await members("2026-03-10").count == 2)
    #expect(try await members("2026-03-11") == [CampaignBank.number(1)])
    let time = bank.clock.now
    #expect(try await bank.database.read { try !$0.isMember(CampaignBank.number(0), of: code, at: time) })
    await bank.database.close()
  }
}

import Channels
import ContactModel
import Foundation
import Logging
import Store
import Testing

@testable import Outbound

/// Planning by class must come to what the hand-over would decide for each customer.
@Suite struct ProjectionTests {
  private static let count = 400

  /// What the full facts of one customer come to.
  private func full(
    _ connection: any Connection, _ index: Int, _ plan: CampaignPlan, _ bank: CampaignBank
  ) throws -> Decision {
    var job = ProactiveJob(
      id: ProactiveJobID(at: Bank.start), customerNo: CampaignBank.number(index), key: "k", purpose: plan.purpose,
      contents: plan.arms[0].contents.mapValues { _ in Dispatch.Content(text: "x") }, due: Bank.start,
      createdBy: "t", createdAt: Bank.start)
    job.notBefore = plan.startAt
    job.notAfter = plan.endAt
    job.confidential = plan.confidential
    let around = Surroundings(
      profile: bank.profile, zones: Shipped.zones, links: [.phone, .sms, .email, .fax], lanes: [], down: [:])
    let reading = try connection.reading(of: job, own: nil, around, at: Bank.start)
    return decide(reading.request, about: reading.facts, under: bank.profile, at: Bank.start)
  }

  @Test(arguments: Engine.here)
  func `planning by class decides as the full facts do, for every customer and purpose`(engine: Engine) async throws {
    let bank = try await CampaignBank(engine)
    for start in stride(from: 0, to: Self.count, by: 50) {
      try await bank.database.write(.bulk) { transaction in
        var generator = SeededGenerator(seed: UInt64(start) &+ 7)
        for index in start..<(start + 50) {
          try CampaignBank.addHard(index, to: transaction, using: &generator)
          let attempts = Int.random(in: 0...99, using: &generator) < 40 ? Int.random(in: 1...5, using: &generator) : 0
          try CampaignBank.addAttempts(index, count: attempts, to: transaction, using: &generator)
        }
      }
    }
    let runner = bank.runner()
    var alone = 0
    for purpose in RandomCase.purposes {
      for confidential in [false, true] {
        var plan = CampaignBank.plan(purpose, channels: [.phone, .sms, .email, .fax])
        plan.confidential = confidential
        if confidential { plan.endAt = Bank.start + .seconds(7 * 86_400) }
        let survey = try await runner.survey(plan)
        #expect(survey.customers == Self.count)
        alone += survey.decidedOneByOne
        let expected = try await bank.database.read { [plan] connection in
          try (0..<Self.count).reduce(into: [String: Int]()) { counts, index in
            let decision = CampaignSurvey.Outcome(try full(connection, index, plan, bank))
            counts[Self.label(decision), default: 0] += 1
          }
        }
        let found = survey.counts.reduce(into: [String: Int]()) { $0[Self.label($1.key), default: 0] += $1.value }
        #expect(found == expected, "\(purpose)")
      }
    }
    #expect(alone > 0)
    await bank.database.close()
  }

  private static func label(_ outcome: CampaignSurvey.Outcome) -> String {
    let refused = outcome.refused.map { "\($0.channel)=\($0.reason.rawValue)" }.joined(separator: ",")
    return "\(outcome.verdict) \(outcome.reason.rawValue) \(outcome.channel?.rawValue ?? "-") \(refused)"
  }

  @Test(arguments: Engine.here) func `customers projected together have the classes they have alone`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    // New customers with facts of every sort, and new ones at addresses that are stopped already, in one transaction.
    try await bank.database.write { transaction in
      var generator = SeededGenerator(seed: 11)
      for index in 0..<60 { try CampaignBank.addHard(index, to: transaction, using: &generator) }
      let stopped = Address(kind: .phone, canonical: "+8613810000070", raw: "13810000070")
      try transaction.stop(
        stopped, id: StopID(at: Bank.start), channel: nil, scope: .all, evidence: CampaignBank.evidence(),
        at: Bank.start)
      for index in 60..<80 { try CampaignBank.add(index, to: transaction) }
      struct Taken: Error {}
      #expect(throws: Taken.self) {
        try transaction.savepoint {
          try CampaignBank.add(80, to: transaction)
          throw Taken()
        }
      }
    }
    func classes() async throws -> [Int64?] {
      try await bank.database.read { connection in
        try (0...80).map { try connection.contactProfile(of: CampaignBank.number($0))?.classID }
      }
    }
    let together = try await classes()
    #expect(together[..<80].allSatisfy { $0 != nil })
    #expect(together[80] == nil)
    #expect(together[70] != together[71])
    for index in 0..<80 {
      try await bank.database.write { try $0.project(CampaignBank.number(index), at: Bank.start) }
    }
    #expect(try await classes() == together)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a fact changes the projection in the transaction that records it`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(2)
    func classID(_ index: Int) async throws -> Int64? {
      try await bank.database.read { try $0.contactProfile(of: CampaignBank.number(index))?.classID }
    }
    let before = try await classID(0)
    #expect(before != nil)
    #expect(try await classID(1) == before)
    try await bank.database.write { transaction in
      try CampaignBank.say(.init(channel: .email, purpose: nil, verdict: .deny), 0, transaction)
    }
    #expect(try await classID(0) != before)
    #expect(try await classID(1) == before)
    // What a failed transaction wrote is not projected.
    await #expect(throws: DatabaseError.self) {
      try await bank.database.write { transaction in
        try CampaignBank.say(.init(channel: .phone, purpose: nil, verdict: .deny), 1, transaction)
        throw DatabaseError(.other, "no")
      }
    }
    #expect(try await classID(1) == before)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `customers of before there was a projection are projected`(
    engine: Engine
  ) async throws {
    let bank = try await CampaignBank(engine)
    try await bank.addPlain(120)
    try await bank.database.write { try $0.execute("DELETE FROM contact_profile") }
    #expect(try await bank.runner().survey(CampaignBank.plan()).customers == 0)
    let runner = bank.runner()
    for _ in 0..<5 { try await runner.tick() }
    #expect(try await bank.database.read { try $0.profilesAreComplete() })
    #expect(try await runner.survey(CampaignBank.plan()).customers == 120)
    await bank.database.close()
  }
}

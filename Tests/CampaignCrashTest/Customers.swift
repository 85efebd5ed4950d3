import Channels
import ContactModel
import Foundation
import LiaisonForTests
import Outbound
import Store

/// The customers of the campaign, each with a channel of his own liking, and the agents who call.
enum Customers {
  struct One: Sendable {
    var index: Int
    /// The last eleven digits of his number; none ends in 17 or 19, which do not answer.
    var digits: String { "138\(String(10_000_000 + index * 10))" }
    var phone: String { "+86\(digits)" }
    var mail: String { "c\(index)@mail.example" }
    var number: CustomerNumber { CustomerNumber("C\(index)")! }
    var likes: OutboundChannel { [.email, .sms, .email, .sms, .phone][index % 5] }
  }

  static func fill(_ bank: TestBank, _ count: Int, perMinute: Int) async throws -> CampaignID {
    let time = Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6))
    let database = try Database.open(StoreURL("sqlite://\(bank.database)"), migrations: migrations, now: time)
    for start in stride(from: 0, to: count, by: 50) {
      try await database.write(.bulk) { transaction in
        for index in start..<min(start + 50, count) { try add(One(index: index), to: transaction, at: time) }
      }
    }
    let words = ["zh": CampaignPlan.Words(subject: "存款利率", text: "{{name}}，您好：利率有变化。")]
    var plan = CampaignPlan(
      name: "rates", purpose: .service,
      arms: [.init(name: "a", contents: ["email": words, "sms": words, "phone": words])], ratePerMinute: perMinute,
      dial: .progressive)
    plan.queue = Code("general")
    let written = plan
    let id = try await database.write { transaction in
      for number in 1_001...1_008 {
        try transaction.upsert(
          Agent(
            id: AgentID("\(number)")!, name: "Agent \(number)", device: "PJSIP/\(number)", queues: [Code("general")!],
            state: .ready, stateSince: time), at: time)
      }
      let author = Actor(label: "author", agent: nil, role: "marketing")
      let second = Actor(label: "second", agent: nil, role: "supervisor")
      let id = try transaction.createCampaign(written, actor: author, at: time).id
      for (act, actor) in [(CampaignAct.check, author), (.approve, second), (.schedule, author)] {
        _ = try transaction.act(act, on: id, actor: actor, at: time)
      }
      return id
    }
    await database.close()
    return id
  }

  private static func add(_ one: One, to transaction: WriteTransaction, at time: Timestamp) throws {
    let points = [
      ContactPoint(address: Address(kind: .phone, canonical: one.phone, raw: one.digits), verifiedAt: time),
      ContactPoint(address: Address(kind: .email, canonical: one.mail, raw: one.mail), verifiedAt: time),
    ]
    try transaction.upsert(
      CustomerRecord(
        customer: Customer(customerNo: one.number, type: Code("retail")!, name: "客户\(one.index)"), contactPoints: points
      ),
      nameFolded: "客户\(one.index)", source: "test", at: time)
    let evidence = ConsentEvidence(
      id: EvidenceID(at: time), kind: .webForm, reference: "page", capturedAt: time, capturedBy: "customer")
    try transaction.record(
      ChannelPreference(channel: one.likes, purpose: nil, verdict: .prefer, effectiveAt: time, source: .customer),
      id: PreferenceID(at: time), of: one.number, evidence: evidence, policyVersion: "1", actor: .liaison, at: time)
  }
}

import Channels
import ContactModel
import Demo
import Outbound
import Store

/// The demo's campaign: forty customers are told of new rates, by e-mail, SMS or telephone as each likes; two agents call.
enum DemoCampaign {
  private static let group = Code("demo-rates")!
  /// They sit at the exchange's telephones and take whatever is dialled for them.
  static let callers = DemoBank.agents.dropFirst().map(\.id)

  static func begin(_ people: [DemoBank.Person], in transaction: WriteTransaction, at time: Timestamp) throws {
    try transaction.upsert(
      CustomerGroup(code: group, kind: .entity, nameZh: "利率通知", nameEn: "New rates", criterion: nil), at: time)
    for (index, person) in people.prefix(40).enumerated() {
      let number = person.customer.customerNo
      _ = try transaction.addMember(number, to: group, department: nil)
      // Every fourth dislikes e-mail and texts but does not mind an occasional call.
      guard index % 4 == 0 else { continue }
      for channel in [OutboundChannel.email, .sms] {
        try transaction.record(
          ChannelPreference(channel: channel, purpose: nil, verdict: .deny, effectiveAt: time, source: .customer),
          id: PreferenceID(at: time), of: number,
          evidence: ConsentEvidence(
            id: EvidenceID(at: time), kind: .paper, reference: "demo", capturedAt: time, capturedBy: "demo"),
          policyVersion: "demo", actor: .liaison, at: time)
      }
    }
    func words(_ zh: String, _ en: String) -> [String: CampaignPlan.Words] {
      [
        "zh": .init(subject: "存款利率有变化", text: zh), "en": .init(subject: "New deposit rates", text: en),
      ]
    }
    let plan = CampaignPlan(
      name: "New rates", purpose: .service, group: group,
      arms: [
        .init(
          name: "a",
          contents: [
            "email": words("{{name}}，您好：存款利率有变化。", "Dear {{name}}, our deposit rates have changed."),
            "sms": words("【示范银行】{{name}}，您好：存款利率有变化。", "Demo Bank: our deposit rates have changed."),
            "phone": words("请说明新的存款利率，并询问客户是否需要帮助。", "Explain the new deposit rates and ask whether help is wanted."),
          ])
      ], ratePerMinute: 20, dial: .progressive)
    let author = Actor(label: "demo-author", agent: nil, role: "marketing")
    let second = Actor(label: "demo-second", agent: nil, role: "supervisor")
    let id = try transaction.createCampaign(plan, actor: author, at: time).id
    for (act, actor) in [(CampaignAct.check, author), (.approve, second), (.schedule, author)] {
      _ = try transaction.act(act, on: id, actor: actor, at: time)
    }
  }
}

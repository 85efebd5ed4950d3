import Channels
import ContactModel
import Store

/// What an agent sees of a customer to be called: who, why he and why by telephone, what to say, and what was before.
public struct DialScreen: Hashable, Sendable, Codable {
  public struct CustomerView: Hashable, Sendable, Codable {
    public var customerNo: CustomerNumber
    public var name: String
    public var level: Int
    public var language: String?
    public var manager: AgentID?
  }
  /// An earlier call about the same.
  public struct Earlier: Hashable, Sendable, Codable {
    public var at: Timestamp
    public var agentId: AgentID
    public var outcome: DialOutcome?
    public var result: Code?
    public var note: String?
  }
  public struct ContactView: Hashable, Sendable, Codable {
    public var contactId: ContactID
    public var channelKind: ChannelKind
    public var direction: Contact.Direction
    public var at: Timestamp
    public var summary: String
  }

  public var dial: DialRecord
  public var campaign: String?
  public var purpose: String
  /// Why he is called, in words.
  public var whyZh: String
  public var whyEn: String
  public var customer: CustomerView?
  /// The number that will be called.
  public var number: String
  public var subject: String?
  /// What to say.
  public var script: String
  public var language: String?
  /// The customer asked to be called then.
  public var requestedAt: Timestamp?
  /// The last ten, oldest first.
  public var earlier: [Earlier]
  /// Over all channels, the last five, newest first.
  public var lastContacts: [ContactView]
}

extension Connection {
  /// The screen of a showing as it stands now; nil if its job is gone.
  public func dialScreen(of dial: DialRecord) throws -> DialScreen? {
    guard let job = try proactiveJob(dial.jobId) else { return nil }
    let decision = try outboundDecisions(of: job.id).last?.body
    return try dialScreen(
      of: dial, job, why: (decision?.wordsZh ?? "", decision?.wordsEn ?? ""), number: dial.to ?? job.to?.canonical)
  }

  func dialScreen(
    of dial: DialRecord, _ job: ProactiveJob, why: (zh: String, en: String), number: String?
  ) throws -> DialScreen {
    let content = job.contents[OutboundChannel.phone.rawValue]
    let customer = try job.customerNo.flatMap { try self.customer($0) }
    let campaign = try job.campaign.flatMap {
      try first("SELECT name FROM campaign WHERE campaign_id = $1", [.id($0)])?.text("name")
    }
    let earlier = try dials(of: job.id).filter { $0.dialId != dial.dialId && $0.dialledAt != nil }.suffix(10)
    let contacts = try job.customerNo.map { try lastContacts(of: $0, limit: 5) } ?? []
    return DialScreen(
      dial: dial, campaign: campaign, purpose: job.purpose.rawValue, whyZh: why.zh, whyEn: why.en,
      customer: customer.map {
        .init(customerNo: $0.customerNo, name: $0.name, level: $0.level, language: $0.language, manager: $0.manager)
      }, number: number ?? "", subject: content?.subject, script: String((content?.text ?? "").prefix(8_000)),
      language: content?.language, requestedAt: job.requested?.at,
      earlier: earlier.map {
        .init(
          at: $0.dialledAt ?? $0.offeredAt, agentId: $0.agentId, outcome: $0.outcome, result: $0.result,
          note: $0.resultNote)
      },
      lastContacts: contacts.map {
        .init(
          contactId: $0.id, channelKind: $0.channel.kind, direction: $0.direction, at: $0.times.received,
          summary: String($0.summary.prefix(120)))
      })
  }
}

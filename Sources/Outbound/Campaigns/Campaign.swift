import Channels
import ContactModel
import Store

/// A campaign of proactive service: one thing said to many customers, each by the channel that is right for him.
public struct Campaign: Hashable, Sendable {
  public var id: CampaignID
  public var state: CampaignState
  public var plan: CampaignPlan
  /// Draws hold-out and arms, the same for ever.
  public var seed: Int64
  public var createdBy: String
  /// The last who changed what is said or to whom; he cannot approve it.
  public var editedBy: String
  public var approvedBy: String?
  public var approvedAt: Timestamp?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
  /// Why it is paused or was cancelled.
  public var reason: String?
  public var version: Int
}

/// What a campaign says, to whom, when, and what it may cost.
public struct CampaignPlan: Hashable, Sendable, Codable {
  /// The words of one language.
  public struct Words: Hashable, Sendable, Codable {
    public var subject: String?
    public var text: String
    public init(subject: String? = nil, text: String) {
      self.subject = subject
      self.text = text
    }
  }

  /// One way to say it; each customer is drawn into one arm.
  public struct Arm: Hashable, Sendable, Codable {
    public var name: String
    /// Its share of those who are not held out, in proportion to the others'.
    public var weight: Int
    /// By channel, then by language (`zh`, `en`). A customer's language that is not there falls back on the first that is.
    public var contents: [String: [String: Words]]
    public init(name: String, weight: Int = 1, contents: [String: [String: Words]]) {
      self.name = name
      self.weight = weight
      self.contents = contents
    }
    /// The channels it may use.
    public var channels: [OutboundChannel] { contents.keys.sorted().map(OutboundChannel.init(rawValue:)) }
  }

  /// How telephone calls come to an agent.
  public enum Dial: String, Hashable, Sendable, Codable, CaseIterable {
    /// An agent looks at the customer first and starts the call.
    case preview
    /// The call is placed for each agent who is free.
    case progressive
  }

  public var name: String
  public var purpose: Purpose
  /// Nil: every customer.
  public var group: Code?
  public var arms: [Arm]
  /// Not before; nil: as soon as it is scheduled.
  public var startAt: Timestamp?
  /// Nobody is reached at or after it.
  public var endAt: Timestamp?
  /// Jobs made a minute at most; nil: as fast as the links take them.
  public var ratePerMinute: Int?
  public var budgetCents: Int64?
  /// What one attempt costs, by channel.
  public var costCents: [String: Int]
  /// Percent of the audience that is left alone, to compare with.
  public var holdoutPercent: Int
  public var confidential: Bool
  /// Hearing it twice does no harm.
  public var repeatable: Bool
  /// The second customer behind one address is not written to again.
  public var oncePerAddress: Bool
  public var dial: Dial
  /// Whose agents make the calls; nil: any agent with a telephone.
  public var queue: Code?

  public init(
    name: String, purpose: Purpose, group: Code? = nil, arms: [Arm], startAt: Timestamp? = nil, endAt: Timestamp? = nil,
    ratePerMinute: Int? = nil, budgetCents: Int64? = nil, costCents: [String: Int] = [:], holdoutPercent: Int = 0,
    confidential: Bool = false, repeatable: Bool = false, oncePerAddress: Bool = true, dial: Dial = .preview,
    queue: Code? = nil
  ) {
    self.name = name
    self.purpose = purpose
    self.group = group
    self.arms = arms
    self.startAt = startAt
    self.endAt = endAt
    self.ratePerMinute = ratePerMinute
    self.budgetCents = budgetCents
    self.costCents = costCents
    self.holdoutPercent = holdoutPercent
    self.confidential = confidential
    self.repeatable = repeatable
    self.oncePerAddress = oncePerAddress
    self.dial = dial
    self.queue = queue
  }

  /// Every channel of any arm.
  public var channels: [OutboundChannel] { Set(arms.flatMap(\.channels)).sorted() }
}

/// Something about a plan that must be mended before it can be approved.
public struct CampaignFault: Hashable, Sendable {
  /// A JSON pointer into the plan.
  public var pointer: String
  public var zh: String
  public var en: String
  public init(_ pointer: String, zh: String, en: String) {
    self.pointer = pointer
    self.zh = zh
    self.en = en
  }
}

extension CampaignPlan {
  public static let maximumArms = 8
  /// What may stand between double braces in its words.
  public static let placeholders = ["name", "customer_no", "preference_link"]

  /// Everything that is wrong with it, by itself and under the profile in force. Pure.
  public func faults(under profile: PurposeProfile, at now: Timestamp) -> [CampaignFault] {
    var faults: [CampaignFault] = []
    func fail(_ pointer: String, _ zh: String, _ en: String) {
      faults.append(CampaignFault(pointer, zh: zh, en: en))
    }
    let rules = profile.purposes[purpose]
    if rules == nil { fail("#/purpose", "用途不在现行规则中", "is no purpose of the profile in force") }
    if arms.isEmpty || arms.count > Self.maximumArms {
      fail("#/arms", "须有 1 至 \(Self.maximumArms) 个方案", "must be 1 to \(Self.maximumArms)")
    }
    for (index, arm) in arms.enumerated() {
      if arm.contents.isEmpty { fail("#/arms/\(index)/contents", "没有任何渠道的内容", "says nothing on any channel") }
      if !(1...10_000).contains(arm.weight) { fail("#/arms/\(index)/weight", "须为 1 至 10000", "must be 1 to 10,000") }
      for (channel, languages) in arm.contents.sorted(by: { $0.key < $1.key }) {
        let pointer = "#/arms/\(index)/contents/\(channel)"
        if let rules, !rules.order.contains(OutboundChannel(rawValue: channel)) {
          fail(pointer, "该用途不允许使用此渠道", "this purpose may not use this channel")
        }
        if languages.isEmpty { fail(pointer, "没有任何语言的内容", "has no language") }
        for (language, words) in languages.sorted(by: { $0.key < $1.key }) {
          if words.text.isEmpty { fail("\(pointer)/\(language)/text", "内容为空", "is empty") }
          for name in TemplateText.placeholders(in: (words.subject ?? "") + words.text)
          where !Self.placeholders.contains(name) {
            fail("\(pointer)/\(language)/text", "没有变量 \(name)", "there is no {{\(name)}}")
          }
        }
      }
    }
    if Set(arms.map(\.name)).count != arms.count { fail("#/arms", "方案名称重复", "two arms have one name") }
    if !(0...90).contains(holdoutPercent) { fail("#/holdout_percent", "须为 0 至 90", "must be 0 to 90") }
    if holdoutPercent > 0, let rules, !rules.respectsHoldout {
      fail("#/holdout_percent", "该用途不留对照组", "this purpose has no hold-out")
    }
    if let startAt, let endAt, endAt <= startAt { fail("#/end_at", "结束须晚于开始", "must be after the start") }
    if let endAt, endAt <= now { fail("#/end_at", "结束时间已过", "has passed") }
    if let ratePerMinute, !(1...1_000_000).contains(ratePerMinute) {
      fail("#/rate_per_minute", "须为 1 至 1000000", "must be 1 to 1,000,000")
    }
    if budgetCents != nil {
      for channel in channels where costCents[channel.rawValue] == nil {
        fail("#/cost_cents", "有预算时须给出渠道 \(channel) 的单价", "a budget needs what an attempt by \(channel) costs")
      }
    }
    return faults
  }
}

/// Who is held out and who is in which arm: drawn once by the customer's number and the campaign's seed.
///
/// Computed alike here and by the database (`sql`), in whole numbers below 2⁶².
public struct CampaignDraw: Hashable, Sendable {
  static let modulus: Int64 = 2_147_483_647
  public let seed: Int64
  /// Below the first is held out; below the next is arm 1, and so on. In ten-thousandths; the last is 10,000.
  public let bounds: [Int64]

  public init(_ plan: CampaignPlan, seed: Int64) {
    self.seed = seed % Self.modulus
    let held = Int64(plan.holdoutPercent) * 100
    let total = max(1, plan.arms.reduce(0) { $0 + Int64($1.weight) })
    var sum: Int64 = 0
    bounds =
      [held]
      + plan.arms.map { arm in
        sum += Int64(arm.weight)
        return held + (10_000 - held) * sum / total
      }
  }

  /// Nothing is drawn: one arm and nobody held out.
  var isTrivial: Bool { bounds == [0, 10_000] }

  /// 0 is held out, 1 the first arm.
  public func arm(of seq: Int64) -> Int {
    if isTrivial { return 1 }
    let first = (seq % Self.modulus * 1_103_515_245 + seed) % Self.modulus
    let drawn = first * 48_271 % Self.modulus % 10_000
    return bounds.firstIndex { drawn < $0 } ?? bounds.count - 1
  }

  /// The number drawn for `p.seq`, 0 ..< 10,000.
  func sqlDrawn(_ parameters: inout SQLParameters) -> String {
    let seed = parameters.int(self.seed)
    return """
      ((p.seq % \(Self.modulus) * 1103515245 + \(seed)) % \(Self.modulus) * 48271 % \(Self.modulus) % 10000)
      """
  }

  /// The arm of `p.seq`.
  func sqlArm(_ parameters: inout SQLParameters) -> String {
    if isTrivial { return "1" }
    let drawn = sqlDrawn(&parameters)
    return "CASE" + bounds.dropLast().enumerated().map { " WHEN \(drawn) < \($1) THEN \($0)" }.joined()
      + " ELSE \(bounds.count - 1) END"
  }
}

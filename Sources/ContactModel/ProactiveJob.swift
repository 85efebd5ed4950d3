import Channels

/// 主动服务: one thing the bank wants to tell one customer, by whichever channel is right, once.
public struct ProactiveJob: Hashable, Sendable, Codable {
  public enum State: String, Hashable, Sendable, Codable, CaseIterable {
    /// Waits for `nextAt`. The dispatcher moves it on.
    case planned
    /// An attempt is under way. Its settlement moves it on.
    case active
    /// Taken over by a channel; `reason` says how far it came. Final.
    case done
    /// Nobody will ever know whether it reached him; counts as sent. Final.
    case unknown
    /// Not to be sent; `reason` says why. Final.
    case refused
    /// Its time passed. Final.
    case expired
    /// Withdrawn by its author. Final.
    case cancelled

    public var isFinal: Bool { self != .planned && self != .active }
  }

  /// A contact the customer asked for himself.
  public struct Request: Hashable, Sendable, Codable {
    public var channel: OutboundChannel
    public var at: Timestamp
    public init(channel: OutboundChannel, at: Timestamp) {
      self.channel = channel
      self.at = at
    }
  }

  /// Which job goes first where a way out has not room for all.
  public enum Precedence: Int, Hashable, Sendable, Codable, CaseIterable {
    /// Somebody waits for it: a one-time password, an agent's answer.
    case urgent = 0
    case single = 1
    /// One of many: a campaign's.
    case bulk = 2
  }

  /// A document kept in the body store, sent along on every channel that can carry it.
  public struct Attachment: Hashable, Sendable, Codable {
    public var name: String?
    public var mediaType: String
    /// 64 digits of lower-case hexadecimal.
    public var sha256: String
    public var size: Int
    public init(name: String?, mediaType: String, sha256: String, size: Int) {
      self.name = name
      self.mediaType = mediaType
      self.sha256 = sha256
      self.size = size
    }
  }

  public var id: ProactiveJobID
  public var campaign: CampaignID?
  /// Nil where nobody knows whose the address `to` is: then only the address's own state and stops speak.
  public var customerNo: CustomerNumber?
  /// The caller's name for it: the same key again is the same job, for ever.
  public var key: String
  public var purpose: Purpose
  /// What is said, by the name of the channel it is said on; only these channels are candidates.
  public var contents: [String: Dispatch.Content]
  public var confidential: Bool
  /// Hearing it twice does no harm.
  public var repeatable: Bool
  public var due: Timestamp
  public var notBefore: Timestamp?
  public var notAfter: Timestamp?
  public var requested: Request?
  public var overrides: [String]
  public var forcedChannel: OutboundChannel?
  public var state: State
  public var nextAt: Timestamp?
  /// The last word on it: a reason of the decision, or the state its attempt came to.
  public var reason: String?
  /// Tries in vain on the present channel.
  public var failures: Int
  /// Channels not tried again.
  public var spent: [OutboundChannel]
  public var createdBy: String
  public var createdAt: Timestamp
  public var version: Int
  /// Where it goes instead of the customer's own address of that kind; then channels of another kind are no candidates.
  public var to: Address?
  /// The configured channel it must leave by, for example the mailbox that was written to; nil: any of its kind.
  public var via: String?
  public var precedence = Precedence.single
  /// Which way out it waits at: a channel's name, `channel/link` where `via` names one, empty while undecided.
  public var lane: String
  public var attachments: [Attachment] = []
  /// The service request it answers, and the contact in which the answer is shown.
  public var request: ServiceRequestID?
  public var contact: ContactID?
  /// The caller's own name for the matter, shown and searched.
  public var reference: String?
  /// `code@version` of the template its words were made from.
  public var template: String?

  public init(
    id: ProactiveJobID, campaign: CampaignID? = nil, customerNo: CustomerNumber?, key: String, purpose: Purpose,
    contents: [String: Dispatch.Content], confidential: Bool = false, repeatable: Bool = false, due: Timestamp,
    notBefore: Timestamp? = nil, notAfter: Timestamp? = nil, requested: Request? = nil, overrides: [String] = [],
    forcedChannel: OutboundChannel? = nil, state: State = .planned, nextAt: Timestamp? = nil, reason: String? = nil,
    failures: Int = 0, spent: [OutboundChannel] = [], createdBy: String, createdAt: Timestamp, version: Int = 1
  ) {
    self.id = id
    self.campaign = campaign
    self.customerNo = customerNo
    self.key = key
    self.purpose = purpose
    self.contents = contents
    self.confidential = confidential
    self.repeatable = repeatable
    self.due = due
    self.notBefore = notBefore
    self.notAfter = notAfter
    self.requested = requested
    self.overrides = overrides
    self.forcedChannel = forcedChannel
    self.state = state
    self.nextAt = nextAt
    self.reason = reason
    self.failures = failures
    self.spent = spent
    self.createdBy = createdBy
    self.createdAt = createdAt
    self.version = version
    lane = ""
    lane = onlyLane
  }

  /// The lane of the one channel left; empty while there is a choice, or none.
  public var onlyLane: String {
    let left = contents.keys.filter { !spent.contains(OutboundChannel(rawValue: $0)) }
    return left.count == 1 ? lane(of: OutboundChannel(rawValue: left[0])) : ""
  }

  public func lane(of channel: OutboundChannel) -> String { via.map { "\(channel)/\($0)" } ?? channel.rawValue }

  /// Whose caps it counts against: the customer's, else those of the address alone.
  public var party: String {
    customerNo?.description ?? to.map { "\($0.kind.rawValue):\($0.canonical)" } ?? ""
  }
}

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

  public var id: ProactiveJobID
  public var campaign: CampaignID?
  public var customerNo: CustomerNumber
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

  public init(
    id: ProactiveJobID, campaign: CampaignID? = nil, customerNo: CustomerNumber, key: String, purpose: Purpose,
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
  }
}

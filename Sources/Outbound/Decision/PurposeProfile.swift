import Channels
import ContactModel

/// What the bank and its law allow per purpose: order of channels, windows, caps, consent. Versioned, never edited.
///
/// Every number that stems from a law stands here and not in code. `PurposeProfileText` is the form people write; this
/// one is gathered per purpose, so that a decision looks little up. Source: specs/outbound.md §1 `purpose_profile`.
public struct PurposeProfile: Hashable, Sendable {
  /// A limit on attempts within a time.
  public struct Cap: Hashable, Sendable {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
      /// The bank's own; a supervisor may waive it.
      case bank
      /// The law's.
      case statutory
    }
    public enum Span: Hashable, Sendable {
      case rolling(Duration)
      /// The calendar day of every zone the customer may be in.
      case calendarDay
    }
    public var id: String
    public var kind: Kind
    /// Purposes it limits, and those whose attempts count towards it.
    public var applies: [Purpose]
    public var counts: [Purpose]
    /// Nil: limits and counts every channel.
    public var channel: OutboundChannel?
    /// Only attempts somebody answered count.
    public var onlyAnswered: Bool
    public var limit: Int
    public var span: Span

    func covers(_ entry: AttemptHistory.Entry) -> Bool {
      counts.contains(entry.purpose) && (channel == nil || channel == entry.channel)
        && (!onlyAnswered || entry.wasAnswered)
    }
  }

  public struct Windows: Hashable, Sendable {
    /// Nil: the law sets none.
    public var statutory: DailyWindow?
    public var bank: DailyWindow?
  }

  /// All that one purpose may do, gathered from the whole profile.
  public struct Rules: Hashable, Sendable {
    /// The channels it may use, the bank's favourite first.
    public var order: [OutboundChannel]
    public var needsConsent: Bool
    /// How long after `due` a better channel may be waited for.
    public var waitBudget: Duration
    public var windows: [OutboundChannel: Windows]
    public var caps: [Cap]
    /// Passes kill switch and pause; a denied channel is its last resort instead of refused.
    public var isCritical: Bool
    /// Skips windows, do-not-disturb and caps.
    public var isExemptFromHours: Bool
    public var isForbiddenForMinors: Bool
    public var respectsHoldout: Bool
    public var oncePerHousehold: Bool
    public var passesRelationshipManager: Bool
    public var stoppedByPromo: Bool
    public var stoppedByAll: Bool
    public var respectsRegister: Bool
    /// What may follow an attempt whose fate stays unknown.
    public var afterUnknown: AfterUnknown
    /// A channel may be tried just to learn whether he likes it.
    public var mayExplore: Bool
  }

  /// How it is cited in decision records.
  public var version: String
  public var channels: [OutboundChannel]
  public var purposes: [Purpose: Rules]
  /// Counts for a customer whose zone is not known; all must be open.
  public var unknownZones: [Zone]
  public var pauseRecheck: Duration
  /// How far around the instant he named a requested contact keeps its privileges.
  public var requestedSlack: Duration
  public var floodPerHour: Int
  /// A time later than this is no time.
  public var horizon: Duration

  public init(
    version: String, channels: [OutboundChannel], purposes: [Purpose: Rules], unknownZones: [Zone],
    pauseRecheck: Duration, requestedSlack: Duration, floodPerHour: Int, horizon: Duration
  ) {
    self.version = version
    self.channels = channels
    self.purposes = purposes
    self.unknownZones = unknownZones
    self.pauseRecheck = pauseRecheck
    self.requestedSlack = requestedSlack
    self.floodPerHour = floodPerHour
    self.horizon = horizon
  }
}

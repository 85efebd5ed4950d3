import Channels
import ContactModel

/// Everything known about customer, addresses and job that bears on one decision, as read in one transaction.
public struct Facts: Hashable, Sendable {
  /// Purposes a court, a regulator or the bank's lawyers have stopped for this customer.
  public enum LegalStop: Hashable, Sendable {
    case none
    case purposes([Purpose])
    case everything

    func covers(_ purpose: Purpose) -> Bool {
      switch self {
      case .none: false
      case .purposes(let purposes): purposes.contains(purpose)
      case .everything: true
      }
    }
  }

  /// An earlier attempt under the same key that has not been proved unsent.
  public enum Duplicate: String, Hashable, Sendable, Codable, CaseIterable {
    case sent
    case inFlight = "in_flight"
    case inDoubt = "in_doubt"
  }

  /// Where one channel would reach him. The state belongs to the address, whoever else holds it.
  public struct AddressFact: Hashable, Sendable {
    public var channel: OutboundChannel
    public var state: ContactPoint.State
    public var stop: StopScope?
    public var isVerified: Bool
    /// It stands on a public do-not-call register.
    public var isOnRegister: Bool
    /// The adapter's circuit is open until then.
    public var downUntil: Timestamp?

    public init(
      channel: OutboundChannel, state: ContactPoint.State = .ok, stop: StopScope? = nil, isVerified: Bool = false,
      isOnRegister: Bool = false, downUntil: Timestamp? = nil
    ) {
      self.channel = channel
      self.state = state
      self.stop = stop
      self.isVerified = isVerified
      self.isOnRegister = isOnRegister
      self.downUntil = downUntil
    }
  }

  /// What his behaviour says about a channel, 0 to 1. Only ever breaks a tie.
  public struct LearnedScore: Hashable, Sendable {
    public var channel: OutboundChannel
    public var score: Double
    public init(channel: OutboundChannel, score: Double) {
      self.channel = channel
      self.score = score
    }
  }

  // The customer.
  public var isKnown = true
  public var isDeceased = false
  public var legalStop = LegalStop.none
  public var isMinor = false
  public var isRelationshipManagerOnly = false
  public var forbidsProfiling = false
  /// Every zone he may be in.
  public var zones: [Zone] = []
  /// Some zone he may be in is not known; then, and when `zones` is empty, the bank's own zones count too.
  public var hasUnknownZone = false
  public var addresses: [AddressFact] = []
  public var preferences: [ChannelPreference] = []
  public var doNotDisturb: [DoNotDisturb] = []
  public var history = AttemptHistory([])
  public var learned: [LearnedScore] = []

  // The job.
  /// The bank has stopped all that is not critical.
  public var killSwitch = false
  public var duplicate: Duplicate?
  public var hasLeftGroup = false
  public var isHeldOut = false
  public var householdAlreadyReached = false
  public var isPaused = false
  /// Its campaign was cancelled.
  public var campaignHasEnded = false

  public init() {}
}

import Channels
import ContactModel

/// What somebody wants to tell a customer: the half of a decision's input that comes with the job.
public struct DecisionRequest: Hashable, Sendable {
  /// A contact the customer himself asked for, for example a call-back.
  public struct RequestedContact: Hashable, Sendable {
    public var channel: OutboundChannel
    public var at: Timestamp
    public init(channel: OutboundChannel, at: Timestamp) {
      self.channel = channel
      self.at = at
    }
  }

  /// Rules of the bank a supervisor waived by name, with a reason and a second person; each waives exactly one.
  public struct Overrides: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// BANK_WINDOW: the bank's own hours, not those of the law.
    public static let bankWindow = Overrides(rawValue: 1)
    /// BANK_CAP: the bank's own caps, not those of the law.
    public static let bankCap = Overrides(rawValue: 2)
    /// CHANNEL: puts `forcedChannel` first among the eligible ones.
    public static let channel = Overrides(rawValue: 4)
  }

  public var purpose: Purpose
  /// The channels there is content for, in any order; order and repetition mean nothing.
  public var candidates: [OutboundChannel]
  /// Only a verified address may receive it.
  public var isConfidential: Bool
  /// When it should have gone out: the anchor of the wait budget. Nil: the later of now, `notBefore`, `requested.at`.
  public var due: Timestamp?
  public var notBefore: Timestamp?
  /// Nobody wants it at or after this instant.
  public var notAfter: Timestamp?
  public var requested: RequestedContact?
  public var overrides: Overrides
  /// Counts only with the override `channel`.
  public var forcedChannel: OutboundChannel?

  public init(
    purpose: Purpose, candidates: [OutboundChannel], isConfidential: Bool = false, due: Timestamp? = nil,
    notBefore: Timestamp? = nil, notAfter: Timestamp? = nil, requested: RequestedContact? = nil,
    overrides: Overrides = [], forcedChannel: OutboundChannel? = nil
  ) {
    self.purpose = purpose
    self.candidates = candidates
    self.isConfidential = isConfidential
    self.due = due
    self.notBefore = notBefore
    self.notAfter = notAfter
    self.requested = requested
    self.overrides = overrides
    self.forcedChannel = forcedChannel
  }
}

import Channels

/// 渠道偏好: one statement about what a customer wants, never changed, only superseded by a later one.
public struct ChannelPreference: Hashable, Sendable {
  public enum Verdict: String, Hashable, Sendable, Codable, CaseIterable {
    case deny, allow
    /// Only orders the channels; neither allows nor consents.
    case prefer
  }
  /// Who says so; a stronger word is not undone by a weaker.
  public enum Source: Int, Hashable, Comparable, Sendable, CaseIterable {
    case `import` = 1
    case agent = 2
    case customer = 3
    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }
  /// Nil: every channel.
  public var channel: OutboundChannel?
  /// Nil: every purpose.
  public var purpose: Purpose?
  public var verdict: Verdict
  /// Of a `prefer`: 1 is liked best.
  public var rank: Int
  public var effectiveAt: Timestamp
  /// Not in force from this instant on; nil: for good.
  public var validUntil: Timestamp?
  public var source: Source

  public init(
    channel: OutboundChannel?, purpose: Purpose?, verdict: Verdict, rank: Int = 1, effectiveAt: Timestamp,
    validUntil: Timestamp? = nil, source: Source
  ) {
    self.channel = channel
    self.purpose = purpose
    self.verdict = verdict
    self.rank = rank
    self.effectiveAt = effectiveAt
    self.validUntil = validUntil
    self.source = source
  }
}

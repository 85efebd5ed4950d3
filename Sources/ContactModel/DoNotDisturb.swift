import Channels

/// A time in which the customer wants to be left alone.
public struct DoNotDisturb: Hashable, Sendable {
  public enum Time: Hashable, Sendable {
    /// Recurring, on the wall clock of every zone he may be in.
    case daily(DailyWindow)
    /// Once, half-open.
    case range(from: Timestamp, to: Timestamp)
  }
  /// Nil: every channel.
  public var channel: OutboundChannel?
  public var time: Time
  public init(channel: OutboundChannel? = nil, time: Time) {
    self.channel = channel
    self.time = time
  }
}

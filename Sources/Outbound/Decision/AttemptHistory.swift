import Channels
import ContactModel

/// The attempts that count against caps, newest first.
///
/// An attempt in doubt counts, because it may have reached the customer; one proved unsent does not and is left out.
public struct AttemptHistory: Hashable, Sendable {
  public struct Entry: Hashable, Sendable {
    public var purpose: Purpose
    public var channel: OutboundChannel
    public var at: Timestamp
    /// Somebody took the call.
    public var wasAnswered: Bool
    public init(purpose: Purpose, channel: OutboundChannel, at: Timestamp, wasAnswered: Bool = false) {
      self.purpose = purpose
      self.channel = channel
      self.at = at
      self.wasAnswered = wasAnswered
    }
  }

  public let entries: [Entry]

  public init(_ entries: [Entry]) {
    self.entries = entries.count < 2 ? entries : entries.sorted { $0.at > $1.at }
  }
}

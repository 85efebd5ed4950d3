import Channels
import ContactModel

extension ChannelPreference {
  /// Naming the channel counts 2, naming the purpose 1.
  var specificity: Int { (channel == nil ? 0 : 2) + (purpose == nil ? 0 : 1) }

  func bears(on channel: OutboundChannel, for purpose: Purpose) -> Bool {
    (self.channel == nil || self.channel == channel) && (self.purpose == nil || self.purpose == purpose)
  }

  func isInForce(at time: Timestamp) -> Bool {
    guard effectiveAt <= time else { return false }
    guard let validUntil else { return true }
    return time < validUntil
  }

  /// Whether this allow takes `deny` back: later, at least as specific, from a source at least as strong.
  func undoes(_ deny: ChannelPreference) -> Bool {
    effectiveAt > deny.effectiveAt && specificity >= deny.specificity && source >= deny.source
  }

  /// Newer first; then the more specific, then the stronger source, then the better rank.
  func outranks(_ other: ChannelPreference) -> Bool {
    (effectiveAt.microseconds, specificity, source.rawValue, -rank)
      > (other.effectiveAt.microseconds, other.specificity, other.source.rawValue, -other.rank)
  }
}

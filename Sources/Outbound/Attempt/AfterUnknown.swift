/// What may follow an attempt of which nobody will ever know whether it reached the customer.
///
/// It counts as sent. To bother somebody twice is worse than to miss him when the bank wants something, and the other way
/// round when his money is in danger. Source: specs/outbound.md §3.
public enum AfterUnknown: String, Hashable, Sendable, Codable, CaseIterable {
  /// Never again.
  case never
  /// Once more on another channel, if the template says that hearing it twice does no harm.
  case otherChannelOnce = "other_channel_once"
  /// New content at once, for example a new one-time password.
  case renew
}

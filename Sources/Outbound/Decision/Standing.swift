import Channels
import ContactModel

/// What a customer's statements in force at one instant come to for one channel and purpose.
///
/// The newest allow must undo *every* deny in force, not only the newest: otherwise a later, weaker deny would soften
/// an earlier, stronger one. So a deny is accepted from anyone, an un-deny only from somebody as strong, and a general
/// "yes" takes no particular "no" back. Consent is narrower than an allow: it names the purpose.
/// Source: specs/outbound.md §2 B8, B9.
struct Standing {
  enum Consent { case given, expired, none }

  var isDenied = false
  /// 1 is liked best; nil if he never ranked the channel.
  var rank: Int?
  /// Whether he consented to this purpose by name.
  var consent = Consent.none

  init(of records: [ChannelPreference], on channel: OutboundChannel, for purpose: Purpose, at time: Timestamp) {
    guard !records.isEmpty else { return }
    var allow: ChannelPreference?
    var preferred: ChannelPreference?
    var hasDeny = false
    var hasNamedAllow = false
    for record in records where record.bears(on: channel, for: purpose) {
      guard record.isInForce(at: time) else {
        if record.verdict == .allow, record.purpose != nil, let end = record.validUntil, end <= time {
          consent = .expired
        }
        continue
      }
      switch record.verdict {
      case .deny: hasDeny = true
      case .allow:
        if record.purpose != nil { hasNamedAllow = true }
        if allow.map(record.outranks) ?? true { allow = record }
      case .prefer:
        if preferred.map(record.outranks) ?? true { preferred = record }
      }
    }
    rank = preferred?.rank

    func survives(_ allow: ChannelPreference) -> Bool {
      records.allSatisfy { record in
        record.verdict != .deny || !record.bears(on: channel, for: purpose) || !record.isInForce(at: time)
          || allow.undoes(record)
      }
    }
    if hasDeny { isDenied = !(allow.map(survives) ?? false) }
    guard hasNamedAllow else { return }
    let isGiven =
      !hasDeny
      || records.contains { record in
        record.verdict == .allow && record.purpose != nil && record.bears(on: channel, for: purpose)
          && record.isInForce(at: time) && survives(record)
      }
    if isGiven { consent = .given }
  }
}

import Channels
import ContactModel

/// What everything a customer said comes to for one channel and purpose: for people, and for his own page.
public struct Permission: Hashable, Sendable {
  public enum Consent: String, Hashable, Sendable, Codable, CaseIterable {
    case given, expired, none
    /// The purpose needs none.
    case notNeeded = "not_needed"
  }
  public var purpose: Purpose
  public var channel: OutboundChannel
  /// He said no, and nobody who may has taken it back.
  public var isDenied: Bool
  public var consent: Consent
  /// 1 is liked best; nil if he never ranked the channel.
  public var rank: Int?
  /// The purpose is never refused by him, only put last.
  public var isCritical: Bool

  /// Whether what he said, or did not say, lets this purpose use this channel.
  public var isAllowed: Bool { (!isDenied || isCritical) && consent != .none && consent != .expired }
}

extension PurposeProfile {
  /// By purpose and channel, in the order of the profile's channels.
  public func permissions(of records: [ChannelPreference], at time: Timestamp) -> [Permission] {
    purposes.sorted { $0.key.rawValue < $1.key.rawValue }.flatMap { purpose, rules in
      channels.filter(rules.order.contains).map { channel in
        let standing = Standing(of: records, on: channel, for: purpose, at: time)
        let consent: Permission.Consent =
          switch standing.consent {
          case .given: .given
          case .expired: rules.needsConsent ? .expired : .notNeeded
          case .none: rules.needsConsent ? .none : .notNeeded
          }
        return Permission(
          purpose: purpose, channel: channel, isDenied: standing.isDenied, consent: consent, rank: standing.rank,
          isCritical: rules.isCritical)
      }
    }
  }

  /// The purposes a promotional STOP covers.
  public var promotional: [Purpose] {
    purposes.filter(\.value.stoppedByPromo).map(\.key).sorted { $0.rawValue < $1.rawValue }
  }
}

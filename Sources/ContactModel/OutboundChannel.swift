import Channels

/// A way to reach a customer as he names it when he says what he likes: phone, SMS, e-mail, fax.
///
/// Coarser than `ContactChannel`, which is one configured link: a customer allows *calls*, not the second trunk. Open,
/// as channels are; which ones a bank uses stands in its profile.
public struct OutboundChannel: RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
  public init(from decoder: any Decoder) throws { rawValue = try decoder.singleValueContainer().decode(String.self) }
  // Inlined into the decision, which compares names more often than it does anything else.
  @inlinable public static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }
  @inlinable public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
  public var description: String { rawValue }
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }

  public static let phone = OutboundChannel(rawValue: "phone")
  public static let sms = OutboundChannel(rawValue: "sms")
  public static let email = OutboundChannel(rawValue: "email")
  public static let fax = OutboundChannel(rawValue: "fax")

  /// The kind of address it needs: a text message goes to a telephone number.
  public var addressKind: Address.Kind {
    switch self {
    case .phone, .sms: .phone
    case .email: .email
    case .fax: .fax
    default: .other
    }
  }

  /// The kind of the adapters that serve it.
  public var kind: ChannelKind { self == .phone ? .telephony : ChannelKind(rawValue: rawValue) }
}

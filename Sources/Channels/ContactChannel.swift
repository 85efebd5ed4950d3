/// The kind of a channel. Open: a sixth channel adds a value here of its own, nothing else changes.
public struct ChannelKind: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
  public var description: String { rawValue }

  public static let telephony = ChannelKind(rawValue: "telephony")
  public static let fax = ChannelKind(rawValue: "fax")
  public static let email = ChannelKind(rawValue: "email")
  public static let sms = ChannelKind(rawValue: "sms")
  public static let webform = ChannelKind(rawValue: "webform")
}

/// 渠道: one configured way between customers and the bank, for example the mailbox `service@` or one SMS link.
public struct ContactChannel: Hashable, Sendable, Codable, CustomStringConvertible {
  public let kind: ChannelKind
  /// Unique among the configured channels, `[a-z0-9-]{1,40}`; the scope of wire keys and of the ledger.
  public let name: String

  public init(kind: ChannelKind, name: String) {
    self.kind = kind
    self.name = name
  }
  public var description: String { "\(kind)/\(name)" }
}

import Channels

/// 客户群: customers taken together, as audiences of proactive service.
public struct CustomerGroup: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
    /// Fixed members.
    case entity
    /// Whoever meets the criterion at the moment is in.
    case concept
    /// Membership recorded per day.
    case time
  }
  public var code: Code
  public var kind: Kind
  public var nameZh: String
  public var nameEn: String
  /// Set unless the group is an entity group.
  public var criterion: String?

  public init(code: Code, kind: Kind, nameZh: String, nameEn: String, criterion: String? = nil) {
    self.code = code
    self.kind = kind
    self.nameZh = nameZh
    self.nameEn = nameEn
    self.criterion = criterion
  }
}

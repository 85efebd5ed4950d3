/// Why the bank reaches out. It sits on the approved template, never on the single request.
///
/// Open: a bank may name further purposes in its profile. What a purpose is allowed stands in `PurposeProfile`; no rule
/// in code asks for a purpose by name. Source: specs/outbound.md §1.
public struct Purpose: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
  public init(from decoder: any Decoder) throws { rawValue = try decoder.singleValueContainer().decode(String.self) }
  // Inlined into the decision, which compares names more often than it does anything else.
  @inlinable public static func == (a: Self, b: Self) -> Bool { a.rawValue == b.rawValue }
  @inlinable public func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
  public var description: String { rawValue }

  public static let security = Purpose(rawValue: "security")
  public static let regulatory = Purpose(rawValue: "regulatory")
  public static let transaction = Purpose(rawValue: "transaction")
  public static let service = Purpose(rawValue: "service")
  public static let care = Purpose(rawValue: "care")
  public static let survey = Purpose(rawValue: "survey")
  public static let marketing = Purpose(rawValue: "marketing")
  public static let collections = Purpose(rawValue: "collections")
}

/// The strong validator of a resource: its row version. What guards two people against undoing each other.
/// Source: RFC 9110 §8.8.3, §13.
public struct EntityTag: Hashable, Sendable, CustomStringConvertible {
  public var version: Int64
  public init(version: Int64) { self.version = version }

  public var description: String { "\"v\(version)\"" }

  /// What an If-Match field asks for.
  public enum Condition: Hashable, Sendable {
    /// `*`: whatever version, provided there is one.
    case anyVersion
    case versions(Set<Int64>)

    public func holds(for version: Int64) -> Bool {
      switch self {
      case .anyVersion: true
      case .versions(let versions): versions.contains(version)
      }
    }
    /// Throws 412 unless the resource is (still) at the version the client saw.
    public func require(_ version: Int64) throws(Problem) {
      guard holds(for: version) else {
        throw Problem(
          .preconditionFailed,
          headers: [HeaderField("ETag", EntityTag(version: version).description)])
      }
    }
  }

  /// Reads If-Match. A weak or foreign tag matches nothing (RFC 9110 §13.1.1 demands strong comparison); no field
  /// is nil.
  public static func condition(_ field: String?) -> Condition? {
    guard let field else { return nil }
    var versions = Set<Int64>()
    for part in field.split(separator: ",").prefix(20) {
      let tag = part.drop { $0 == " " || $0 == "\t" }.reversed().drop { $0 == " " || $0 == "\t" }.reversed()
      let text = String(tag)
      if text == "*" { return .anyVersion }
      guard text.hasPrefix("\"v"), text.hasSuffix("\""), text.utf8.count >= 4,
        let version = Int64(text.dropFirst(2).dropLast())
      else { continue }
      versions.insert(version)
    }
    return .versions(versions)
  }

  /// Whether If-None-Match names this tag, so that 304 is the answer (weak comparison, RFC 9110 §13.1.2).
  public func isNamed(in field: String?) -> Bool {
    guard let field else { return false }
    return field.split(separator: ",").prefix(20).contains { part in
      let text = part.filter { $0 != " " && $0 != "\t" }
      return text == "*" || text == description || text == "W/" + description
    }
  }
}

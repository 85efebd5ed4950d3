import Channels

/// All forms the bank has, with every version that may still be on somebody's screen. A value: to change what is
/// served, hand the adapter another one.
///
/// Keep a superseded version in it for as long as a submission token lives; a post against a version that is gone is
/// asked to be checked and sent again on the current one, with what was typed kept.
public struct FormCatalogue: Sendable {
  private let versions: [String: [FormDefinition]]

  /// Of two definitions with the same id and version the later one counts.
  public init(_ definitions: [FormDefinition]) {
    var byID: [String: [Int: FormDefinition]] = [:]
    for definition in definitions { byID[definition.id, default: [:]][definition.version] = definition }
    versions = byID.mapValues { $0.values.sorted { $0.version > $1.version } }
  }

  /// The highest version whose time has come; nil if there is none.
  public func inForce(_ id: String, at now: Timestamp) -> FormDefinition? {
    versions[id]?.first { $0.effective <= now }
  }

  /// Exactly that version, also one that is no more or not yet in force.
  public func version(_ version: Int, of id: String) -> FormDefinition? {
    versions[id]?.first { $0.version == version }
  }

  /// Every form in force, by id.
  public func allInForce(at now: Timestamp) -> [FormDefinition] {
    versions.keys.sorted().compactMap { inForce($0, at: now) }
  }
}

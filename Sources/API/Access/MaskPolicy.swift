/// Which role does not see what. With several roles a principal sees what any of them may see.
public struct MaskPolicy: Hashable, Sendable {
  public var hidden: [Role: Set<FieldMask.Kind>]

  public init(hidden: [Role: Set<FieldMask.Kind>]) { self.hidden = hidden }

  /// Cards nobody; identity and account numbers those who settle them; phones, mailboxes and files all but marketing and
  /// audit.
  public static let shipped = MaskPolicy(hidden: [
    .agent: [.identity, .account, .card],
    .supervisor: [.card],
    .marketing: [.phone, .email, .identity, .account, .card, .file],
    .integration: [.card],
    .auditor: [.phone, .email, .identity, .account, .card, .file],
    .admin: [.card],
  ])

  /// The mask of a principal; somebody without a role sees nothing plain.
  public func mask(for principal: Principal?) -> FieldMask {
    guard let roles = principal?.roles, let first = roles.first else {
      return FieldMask(hiding: Set(FieldMask.Kind.allCases))
    }
    let all = Set(FieldMask.Kind.allCases)
    return FieldMask(
      hiding: roles.dropFirst().reduce(hidden[first] ?? all) { $0.intersection(hidden[$1] ?? all) })
  }
}

/// What somebody may do. One principal may hold several roles; then he may do what any of them may.
public enum Role: String, Hashable, Sendable, CaseIterable {
  /// Works on contacts: his own stream, the requests of his queues.
  case agent
  /// Sees and steers queues, agents and requests of the department.
  case supervisor
  /// Plans proactive service; sees customers masked.
  case marketing
  /// The rest of the CRM: reads and writes customers, receives events.
  case integration
  /// Reads everything and the audit; changes nothing.
  case auditor
  case admin
}

/// Who makes a request, as proved by token, certificate or the permissions of the admin socket.
public struct Principal: Hashable, Sendable {
  /// Stable name that the audit records: a token's id, a subject, `admin-socket`.
  public var id: String
  public var roles: Set<Role>
  /// Sees these departments and those below them; nil sees all.
  public var departments: Set<String>?
  /// The agent whose stream and work this is; nil for programs and supervisors.
  public var agent: String?

  public init(id: String, roles: Set<Role>, departments: Set<String>?, agent: String? = nil) {
    self.id = id
    self.roles = roles
    self.departments = departments
    self.agent = agent
  }
  public init(id: String, roles: Set<Role>, department: String? = nil, agent: String? = nil) {
    self.init(id: id, roles: roles, departments: department.map { [$0] }, agent: agent)
  }

  /// Who comes through the admin socket: its file permission is the authentication.
  public static let adminSocket = Principal(id: "admin-socket", roles: [.admin])
}

/// Who may call an operation.
public enum Access: Hashable, Sendable {
  /// Nothing is asked, nothing of a customer is told: liveness, metrics, the description.
  case open
  case roles(Set<Role>)
  public static func roles(_ roles: Role...) -> Access { .roles(Set(roles).union([.admin])) }
  public static let anyRole = Access.roles(Set(Role.allCases))

  func permits(_ principal: Principal) -> Bool {
    switch self {
    case .open: true
    case .roles(let roles): !roles.isDisjoint(with: principal.roles)
    }
  }
}

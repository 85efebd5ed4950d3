import Channels
import ContactModel
import Store
import Synchronization

/// Static tokens out of the store, remembered for a second.
///
/// A token is asked for with every request; a second of memory makes that a look at a table. `forget` is called where
/// this daemon revokes one; another daemon's revocation holds after a second at most.
public final class TokenLookup: Sendable {
  private struct Known {
    var record: TokenRecord?
    var until: Timestamp
  }
  private static let memory = Duration.seconds(1)
  private static let maximumTokens = 10_000
  private let database: Database
  private let now: @Sendable () -> Timestamp
  private let known = Mutex<[TokenDigest: Known]>([:])

  public init(database: Database, now: @escaping @Sendable () -> Timestamp) {
    self.database = database
    self.now = now
  }

  /// For `Authentication.bearer(lookup:)`.
  @Sendable public func record(_ digest: TokenDigest) async throws -> TokenRecord? {
    let time = now()
    if let found = known.withLock({ $0[digest] }), time < found.until { return found.record }
    let grant = try await database.read { try $0.grant(tokenHash: digest.description, at: time) }
    let record = grant.map { TokenRecord(principal: Principal($0), expiresAt: $0.expiresAt) }
    // Guesses are not remembered: they would push the real ones out.
    guard record != nil else { return nil }
    known.withLock { table in
      if table.count >= Self.maximumTokens { table = table.filter { time < $0.value.until } }
      if table.count < Self.maximumTokens { table[digest] = Known(record: record, until: time + Self.memory) }
    }
    return record
  }

  public func forget() { known.withLock { $0 = [:] } }
}

extension Principal {
  init(_ grant: AccessGrant) {
    let role: Role =
      switch grant.role {
      case .agent: .agent
      case .supervisor: .supervisor
      case .marketing: .marketing
      case .integration: .integration
      case .auditor: .auditor
      case .admin: .admin
      }
    self.init(
      id: grant.label, roles: [role], department: grant.department?.description, agent: grant.agentId?.description)
  }
}

import Channels
import ContactModel

/// What a static token entitles to. Stored under the SHA-256 of the token; the token itself is shown once.
public struct AccessGrant: Sendable, Hashable, Codable {
  public enum Role: String, Sendable, Hashable, Codable, CaseIterable {
    case agent, supervisor, marketing, integration, auditor, admin
  }
  public var label: String
  public var role: Role
  /// Set for role `agent`.
  public var agentId: AgentID?
  public var department: Code?
  /// Nil: until revoked.
  public var expiresAt: Timestamp?
  public init(label: String, role: Role, agentId: AgentID?, department: Code? = nil, expiresAt: Timestamp? = nil) {
    self.label = label
    self.role = role
    self.agentId = agentId
    self.department = department
    self.expiresAt = expiresAt
  }
}

extension WriteTransaction {
  public func add(_ grant: AccessGrant, tokenHash: String, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO access_token(token_hash, label, role, agent_id, department, created_at, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (token_hash) DO UPDATE SET label = excluded.label, role = excluded.role, agent_id = excluded.agent_id,
        department = excluded.department, expires_at = excluded.expires_at, revoked_at = NULL
      """,
      [
        .text(tokenHash), .text(grant.label), SQLValue(grant.role), .id(grant.agentId), .id(grant.department),
        SQLValue(time), SQLValue(grant.expiresAt),
      ])
  }

  /// True if there was one to revoke.
  public func revokeToken(hash: String, at time: Timestamp) throws -> Bool {
    try execute(
      "UPDATE access_token SET revoked_at = $2 WHERE token_hash = $1 AND revoked_at IS NULL",
      [.text(hash), SQLValue(time)]) == 1
  }
}

extension Connection {
  /// The grant of a token that is neither revoked nor expired at `time`; else nil.
  public func grant(tokenHash: String, at time: Timestamp) throws -> AccessGrant? {
    guard
      let row = try first(
        """
        SELECT * FROM access_token
        WHERE token_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
        """, [.text(tokenHash), SQLValue(time)])
    else { return nil }
    return try AccessGrant(row: row)
  }

  /// Every token ever made, newest first, revoked and expired ones too.
  public func grants() throws -> [(tokenHash: String, grant: AccessGrant, createdAt: Timestamp, revokedAt: Timestamp?)]
  {
    try query("SELECT * FROM access_token ORDER BY created_at DESC, token_hash").map {
      (try $0.text("token_hash"), try AccessGrant(row: $0), try $0.time("created_at"), try $0.timeOrNil("revoked_at"))
    }
  }
}

extension AccessGrant {
  init(row: Row) throws {
    self.init(
      label: try row.text("label"), role: try row.word("role"), agentId: try row.parsedOrNil("agent_id"),
      department: try row.parsedOrNil("department"), expiresAt: try row.timeOrNil("expires_at"))
  }
}

import Channels

/// One version of one business parameter: a form, a category, a template, …
public struct ParameterVersion: Sendable, Hashable, Codable {
  /// `form`, `category`, `queue`, …
  public var kind: String
  public var code: String
  public var version: Int
  public var effectiveAt: Timestamp
  public var appliedAt: Timestamp
  public var author: String
  /// SHA-256 of `body` in hexadecimal.
  public var digest: String
  /// As its kind writes it; forms YAML, the others JSON.
  public var body: String
  public var retired: Bool

  public init(
    kind: String, code: String, version: Int, effectiveAt: Timestamp, appliedAt: Timestamp, author: String,
    digest: String, body: String, retired: Bool = false
  ) {
    self.kind = kind
    self.code = code
    self.version = version
    self.effectiveAt = effectiveAt
    self.appliedAt = appliedAt
    self.author = author
    self.digest = digest
    self.body = body
    self.retired = retired
  }
}

extension WriteTransaction {
  /// Adds a version of a parameter; nil, and nothing written, if the newest says the same already. `version` is for
  /// kinds that number themselves and must be above the newest; nil takes the next.
  public func applyParameter(
    kind: String, code: String, version: Int? = nil, body: String, digest: String, retired: Bool,
    effectiveAt: Timestamp, actor: Actor,
    at time: Timestamp
  ) throws -> ParameterVersion? {
    let newest = try first(
      "SELECT version, digest, retired FROM parameter WHERE kind = $1 AND code = $2 ORDER BY version DESC LIMIT 1",
      [.text(kind), .text(code)])
    if let newest, try newest.text("digest") == digest, try newest.bool("retired") == retired { return nil }
    let version = try ParameterVersion(
      kind: kind, code: code, version: version ?? (newest?.count("version") ?? 0) + 1, effectiveAt: effectiveAt,
      appliedAt: time,
      author: actor.label, digest: digest, body: body, retired: retired)
    try execute(
      """
      INSERT INTO parameter(kind, code, version, effective_at, applied_at, author, digest, body, retired)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(kind), .text(code), SQLValue(version.version), SQLValue(effectiveAt), SQLValue(time),
        .text(actor.label), .text(digest), .text(body), SQLValue(retired),
      ])
    try append(
      EventRecord(
        at: time, type: .parameterApplied, subject: "\(kind)/\(code)", actor: actor.label, trace: actor.trace,
        body: try JSONText.encode(["kind": kind, "code": code, "version": String(version.version)])))
    return version
  }
}

extension Connection {
  /// The version of each parameter of a kind that holds at `time`: the newest effective by then, unless it retires it.
  public func parameters(_ kind: String, inForceAt time: Timestamp) throws -> [ParameterVersion] {
    try query(
      """
      SELECT p.* FROM parameter p WHERE p.kind = $1 AND p.effective_at <= $2 AND p.retired = 0
        AND NOT EXISTS (SELECT 1 FROM parameter q WHERE q.kind = p.kind AND q.code = p.code
          AND q.version > p.version AND q.effective_at <= $2)
      ORDER BY p.code
      """, [.text(kind), SQLValue(time)]
    ).map(ParameterVersion.init(row:))
  }

  /// Every version ever applied, oldest first; of one kind or one parameter where given.
  public func parameterHistory(kind: String?, code: String?) throws -> [ParameterVersion] {
    try query(
      """
      SELECT * FROM parameter WHERE (CAST($1 AS TEXT) IS NULL OR kind = $1) AND (CAST($2 AS TEXT) IS NULL OR code = $2)
      ORDER BY kind, code, version
      """, [SQLValue(kind), SQLValue(code)]
    ).map(ParameterVersion.init(row:))
  }

  /// When the next version that is not yet effective begins to hold; nil if none waits.
  public func nextParameterChange(after time: Timestamp) throws -> Timestamp? {
    try one("SELECT min(effective_at) AS at FROM parameter WHERE effective_at > $1", [SQLValue(time)]).timeOrNil("at")
  }
}

extension ParameterVersion {
  init(row: Row) throws {
    self.init(
      kind: try row.text("kind"), code: try row.text("code"), version: try row.count("version"),
      effectiveAt: try row.time("effective_at"), appliedAt: try row.time("applied_at"), author: try row.text("author"),
      digest: try row.text("digest"), body: try row.text("body"), retired: try row.bool("retired"))
  }
}

import Channels

/// The first answer to a request under an Idempotency-Key: given again to the same request, and to no other.
/// Source: draft-ietf-httpapi-idempotency-key-header-06 §2.
public struct RememberedAnswer: Sendable, Hashable {
  /// The operation that was called.
  public var route: String
  /// Of method, path and body, in hexadecimal.
  public var digest: String
  public var status: Int
  /// JSON object of the fields to give again.
  public var headers: String
  public var body: [UInt8]
  public init(route: String, digest: String, status: Int, headers: String, body: [UInt8]) {
    self.route = route
    self.digest = digest
    self.status = status
    self.headers = headers
    self.body = body
  }
}

extension WriteTransaction {
  /// What was answered under this key; looked up in the transaction that would act, so that of two at once one acts.
  public func rememberedAnswer(client: String, key: String) throws -> RememberedAnswer? {
    try first(
      "SELECT * FROM idempotency WHERE client = $1 AND idempotency_key = $2", [.text(client), .text(key)]
    ).map { row in
      RememberedAnswer(
        route: try row.text("route"), digest: try row.text("request_digest"), status: try row.count("status"),
        headers: try row.text("headers"), body: try row.blob("body"))
    }
  }

  /// Keeps the answer in the transaction of its effect, and forgets those older than `retention`.
  public func remember(
    _ answer: RememberedAnswer, client: String, key: String, at time: Timestamp,
    retention: Duration = .seconds(7 * 86_400)
  ) throws {
    try execute(
      """
      INSERT INTO idempotency(client, idempotency_key, route, request_digest, status, headers, body, at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
      """,
      [
        .text(client), .text(key), .text(answer.route), .text(answer.digest), SQLValue(answer.status),
        .text(answer.headers), .blob(answer.body), SQLValue(time),
      ])
    try execute("DELETE FROM idempotency WHERE at < $1", [SQLValue(time - retention)])
  }
}

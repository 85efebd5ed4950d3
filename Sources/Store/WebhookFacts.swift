import Channels
import ContactModel

public enum WebhookKind: IdentifierKind { public static let prefix = "webhook" }
public typealias WebhookID = Identifier<WebhookKind>

/// Somebody outside who is told of events by HTTP.
public struct Webhook: Sendable, Hashable {
  public enum State: String, Sendable, Hashable, CaseIterable {
    case active
    /// By a person; what happens meanwhile waits.
    case paused
    /// By the receiver's 410, or because his address is not permitted.
    case disabled
  }
  public var id: WebhookID
  public var url: String
  public var label: String
  /// Empty: all.
  public var types: [String]
  /// `whsec_…`, newest first; while it has several, each delivery is signed with all of them.
  public var secrets: [String]
  /// Of who subscribed: what is masked for him is masked here.
  public var role: String
  /// Of who subscribed: he is told of what these and those below them may see. Nil: of the whole bank.
  public var departments: [Code]?
  public var allowsInternal: Bool
  public var state: State
  public var stateReason: String?
  /// Up to which event its outbox is filled.
  public var cursor: Int64
  public var createdAt: Timestamp
  public var version: Int
  public init(
    id: WebhookID, url: String, label: String, types: [String], secrets: [String], role: String,
    departments: [Code]? = nil, allowsInternal: Bool,
    state: State = .active, stateReason: String? = nil, cursor: Int64, createdAt: Timestamp, version: Int = 1
  ) {
    self.id = id
    self.url = url
    self.label = label
    self.types = types
    self.secrets = secrets
    self.role = role
    self.departments = departments
    self.allowsInternal = allowsInternal
    self.state = state
    self.stateReason = stateReason
    self.cursor = cursor
    self.createdAt = createdAt
    self.version = version
  }
}

/// One event on its way to one receiver.
public struct WebhookDelivery: Sendable, Hashable {
  public enum State: String, Sendable, Hashable, CaseIterable { case pending, delivered, exhausted }
  public var webhook: WebhookID
  public var seq: Int64
  public var subject: String
  public var type: String
  public var state: State
  public var attempts: Int
  public var nextAt: Timestamp
  public var lastAt: Timestamp?
  public var lastStatus: Int?
  public var lastFault: String?
  public var deliveredAt: Timestamp?
}

extension WriteTransaction {
  public func insert(_ webhook: Webhook) throws {
    try execute(
      """
      INSERT INTO webhook(webhook_id, url, label, event_types, secrets, role, allows_internal, state, state_reason,
        cursor_seq, created_at, updated_at, departments)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12)
      """,
      [
        .id(webhook.id), .text(webhook.url), .text(webhook.label), .list(webhook.types), .list(webhook.secrets),
        .text(webhook.role), SQLValue(webhook.allowsInternal), SQLValue(webhook.state), SQLValue(webhook.stateReason),
        .int(webhook.cursor), SQLValue(webhook.createdAt),
        webhook.departments.map { .list($0.map(\.description)) } ?? .null,
      ])
  }

  /// Replaces address, types, secrets and state; the outbox stays.
  public func update(_ webhook: Webhook, at time: Timestamp) throws {
    try execute(
      """
      UPDATE webhook SET url = $2, label = $3, event_types = $4, secrets = $5, allows_internal = $6, state = $7,
        state_reason = CAST($8 AS TEXT), updated_at = $9, version = version + 1
      WHERE webhook_id = $1
      """,
      [
        .id(webhook.id), .text(webhook.url), .text(webhook.label), .list(webhook.types), .list(webhook.secrets),
        SQLValue(webhook.allowsInternal), SQLValue(webhook.state), SQLValue(webhook.stateReason), SQLValue(time),
      ])
  }

  /// With its outbox and log.
  public func deleteWebhook(_ id: WebhookID) throws -> Bool {
    try execute("DELETE FROM webhook_delivery WHERE webhook_id = $1", [.id(id)])
    return try execute("DELETE FROM webhook WHERE webhook_id = $1", [.id(id)]) == 1
  }

  /// Moves the cursor of an active subscription over at most `limit` events and puts those wanted into its outbox, in
  /// one transaction. How many events it passed.
  public func fillOutbox(of id: WebhookID, limit: Int, at time: Timestamp) throws -> Int {
    guard let webhook = try webhook(id), webhook.state != .disabled else { return 0 }
    let events = try events(after: webhook.cursor, for: .everything, limit: limit)
    guard let last = events.last else { return 0 }
    let types = Set(webhook.types)
    var audible: Set<Int64>?
    if let departments = webhook.departments {
      let scope = DepartmentScope(departments: try self.departments(under: Set(departments)))
      audible = Set(try self.events(after: webhook.cursor, for: .within(scope), limit: limit).map(\.seq))
    }
    for event in events
    where (types.isEmpty || types.contains(event.type.rawValue)) && audible?.contains(event.seq) ?? true {
      try execute(
        """
        INSERT INTO webhook_delivery(webhook_id, seq, subject, event_type, state, next_at)
        VALUES ($1, $2, $3, $4, 'pending', coalesce((SELECT max(next_at) FROM webhook_delivery
          WHERE webhook_id = $1 AND subject = $3 AND state = 'pending'), CAST($5 AS {{int}})))
        ON CONFLICT (webhook_id, seq) DO NOTHING
        """, [.id(id), .int(event.seq), .text(event.subject), .text(event.type.rawValue), SQLValue(time)])
    }
    try execute("UPDATE webhook SET cursor_seq = $2 WHERE webhook_id = $1", [.id(id), .int(last.seq)])
    return events.count
  }

  /// What an attempt came to. After a success everything else that waits for this receiver is due at once: he is back.
  public func settleDelivery(
    of seq: Int64, to id: WebhookID, status: Int?, fault: String?, nextAt: Timestamp?, at time: Timestamp
  ) throws {
    let isDelivered = fault == nil
    let state: WebhookDelivery.State = isDelivered ? .delivered : nextAt == nil ? .exhausted : .pending
    try execute(
      """
      UPDATE webhook_delivery SET state = CAST($3 AS TEXT), attempts = attempts + 1,
        next_at = coalesce(CAST($4 AS {{int}}), next_at), last_at = CAST($5 AS {{int}}),
        last_status = CAST($6 AS {{int}}), last_fault = CAST($7 AS TEXT),
        delivered_at = CASE WHEN CAST($3 AS TEXT) = 'delivered' THEN CAST($5 AS {{int}}) END
      WHERE webhook_id = $1 AND seq = $2
      """,
      [
        .id(id), .int(seq), SQLValue(state), SQLValue(nextAt), SQLValue(time), SQLValue(status), SQLValue(fault),
      ])
    if let nextAt {
      // Those behind it wait as long, so that the index of due ones holds what can be sent.
      try execute(
        """
        UPDATE webhook_delivery SET next_at = $3 WHERE webhook_id = $1 AND state = 'pending' AND next_at < $3
          AND subject = (SELECT subject FROM webhook_delivery WHERE webhook_id = $1 AND seq = $2)
        """, [.id(id), .int(seq), SQLValue(nextAt)])
    }
    if isDelivered {
      try execute(
        "UPDATE webhook_delivery SET next_at = $2 WHERE webhook_id = $1 AND state = 'pending' AND next_at > $2",
        [.id(id), SQLValue(time)])
    }
  }

  /// Puts deliveries back into the outbox; of one event, or of everything since an instant. How many.
  public func resend(to id: WebhookID, seq: Int64?, since: Timestamp?, at time: Timestamp) throws -> Int {
    if let seq {
      return try execute(
        "UPDATE webhook_delivery SET state = 'pending', attempts = 0, next_at = $3 WHERE webhook_id = $1 AND seq = $2",
        [.id(id), .int(seq), SQLValue(time)])
    }
    return try execute(
      """
      UPDATE webhook_delivery SET state = 'pending', attempts = 0, next_at = $3
      WHERE webhook_id = $1 AND state = 'exhausted' AND last_at >= $2
      """, [.id(id), SQLValue(since ?? Timestamp(microseconds: 0)), SQLValue(time)])
  }

  /// Forgets deliveries that were made before `time`.
  public func forgetDeliveries(before time: Timestamp) throws {
    try execute("DELETE FROM webhook_delivery WHERE state = 'delivered' AND delivered_at < $1", [SQLValue(time)])
  }
}

extension Connection {
  public func webhook(_ id: WebhookID) throws -> Webhook? {
    try first("SELECT * FROM webhook WHERE webhook_id = $1", [.id(id)]).map(Webhook.init(row:))
  }
  public func webhooks() throws -> [Webhook] {
    try query("SELECT * FROM webhook ORDER BY webhook_id").map(Webhook.init(row:))
  }

  /// What is due for a receiver now, in order of events: of each subject only the first that waits.
  public func dueDeliveries(of id: WebhookID, at time: Timestamp, limit: Int) throws -> [WebhookDelivery] {
    try query(
      """
      SELECT d.* FROM webhook_delivery d WHERE d.webhook_id = $1 AND d.state = 'pending' AND d.next_at <= $2
        AND NOT EXISTS (SELECT 1 FROM webhook_delivery e WHERE e.webhook_id = d.webhook_id AND e.subject = d.subject
          AND e.seq < d.seq AND e.state = 'pending')
      ORDER BY d.seq LIMIT $3
      """, [.id(id), SQLValue(time), SQLValue(limit)]
    ).map(WebhookDelivery.init(row:))
  }

  /// When the next delivery to a receiver is due; nil if none waits.
  public func nextDelivery(of id: WebhookID) throws -> Timestamp? {
    try one(
      "SELECT min(next_at) AS at FROM webhook_delivery WHERE webhook_id = $1 AND state = 'pending'", [.id(id)]
    ).timeOrNil("at")
  }

  /// The delivery log, newest first, before `seq`.
  public func deliveries(
    of id: WebhookID, state: WebhookDelivery.State?, before seq: Int64?, limit: Int
  ) throws -> [WebhookDelivery] {
    var conditions = Conditions()
    conditions.add("webhook_id =", .id(id))
    conditions.add("state =", state.map { SQLValue($0) })
    conditions.add("seq <", seq.map { .int($0) })
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM webhook_delivery \(conditions.sql) ORDER BY seq DESC LIMIT \(bound)", conditions.parameters
    ).map(WebhookDelivery.init(row:))
  }

  public func event(_ seq: Int64) throws -> EventRecord? {
    try first("SELECT * FROM event WHERE seq = $1", [.int(seq)]).map(EventRecord.init(row:))
  }
}

extension Webhook {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("webhook_id"), url: try row.text("url"), label: try row.text("label"),
      types: try JSONText.decode([String].self, from: try row.text("event_types")),
      secrets: try JSONText.decode([String].self, from: try row.text("secrets")), role: try row.text("role"),
      departments: try row.textOrNil("departments").map { try JSONText.decode([Code].self, from: $0) },
      allowsInternal: try row.bool("allows_internal"), state: try row.word("state"),
      stateReason: try row.textOrNil("state_reason"), cursor: try row.int("cursor_seq"),
      createdAt: try row.time("created_at"), version: try row.count("version"))
  }
}

extension WebhookDelivery {
  init(row: Row) throws {
    self.init(
      webhook: try row.parsed("webhook_id"), seq: try row.int("seq"), subject: try row.text("subject"),
      type: try row.text("event_type"), state: try row.word("state"), attempts: try row.count("attempts"),
      nextAt: try row.time("next_at"), lastAt: try row.timeOrNil("last_at"),
      lastStatus: try row.intOrNil("last_status").map(Int.init), lastFault: try row.textOrNil("last_fault"),
      deliveredAt: try row.timeOrNil("delivered_at"))
  }
}

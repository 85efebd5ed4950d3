import AsyncHTTPClient
import Channels
import ContactModel
import Store

/// Subscriptions to events by HTTP, their delivery log, and sending again.
public struct WebhookResources: Sendable {
  let database: Database
  let dispatcher: WebhookDispatcher
  /// True where the bank lets webhooks reach addresses of its own network.
  let mayAllowInternal: Bool

  public init(database: Database, dispatcher: WebhookDispatcher, mayAllowInternal: Bool) {
    self.database = database
    self.dispatcher = dispatcher
    self.mayAllowInternal = mayAllowInternal
  }

  public var routes: [Route] { [list, get, make, put, delete, rotate, deliveries, resend] }

  private static let access = Access.roles(.integration)
  private static let id = Route.Parameter.path("id", .id("webhook"))
  private static let schema = Schema.named(
    "Webhook",
    .output(
      .required("id", .id("webhook")), .required("url", .string()), .required("label", .string()),
      .required("types", .array(.string()), "Empty: all"),
      .required("departments", .nullable(.array(.string())), "What they and those below them may see; null: all"),
      .required("webhook_state", .word(Webhook.State.allCases.map(\.rawValue))),
      .required("state_reason", .nullable(.string())), .required("allows_internal", .boolean),
      .required("cursor_seq", .integer(), "Up to which event its outbox is filled"), .required("created_at", .time),
      .required("version", .integer(minimum: 1))))

  private static func members(_ webhook: Webhook) -> JSONObject {
    JSONObject([
      .init(name: "id", value: .text(webhook.id)), .init(name: "url", value: .string(webhook.url)),
      .init(name: "label", value: .string(webhook.label)),
      .init(name: "types", value: .array(webhook.types.map(JSONValue.string))),
      .init(name: "departments", value: webhook.departments.map { .array($0.map { .text($0) }) } ?? .null),
      .init(name: "webhook_state", value: .string(webhook.state.rawValue)),
      .init(name: "state_reason", value: .optional(webhook.stateReason)),
      .init(name: "allows_internal", value: .bool(webhook.allowsInternal)),
      .init(name: "cursor_seq", value: .integer(webhook.cursor)),
      .init(name: "created_at", value: .time(webhook.createdAt)),
      .init(name: "version", value: .count(webhook.version)),
    ])
  }
  private static func json(_ webhook: Webhook) -> JSONValue { .object(members(webhook)) }

  private static let input = Schema.input(
    .required("url", .string(minimum: 8, maximum: 2_000, format: .uri), "https, or http where it is inside"),
    .optional("label", .string(maximum: 100)),
    .optional("types", .array(.word(EventType.allCases.map(\.rawValue)), maximum: 200), "All if empty or not given"),
    .optional("webhook_state", .word(["active", "paused"])),
    .optional("allows_internal", .boolean, "It may lie inside the bank; only where the configuration permits it"))

  /// What a body says, or what is wrong with it.
  private func apply(_ body: JSONValue, to webhook: inout Webhook) throws {
    webhook.url = body["url"]?.string ?? webhook.url
    guard let target = HTTPClientRequest.parse(webhook.url) else {
      throw Problem(
        .invalidInput, violations: [Violation(.body(pointer: "#/url"), .format, expected: "https://host/…")])
    }
    webhook.allowsInternal = body["allows_internal"]?.bool ?? webhook.allowsInternal
    if webhook.allowsInternal, !mayAllowInternal {
      throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/allows_internal"), .notAllowed)])
    }
    guard target.isSecure || webhook.allowsInternal else {
      throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/url"), .notAllowed, expected: "https")])
    }
    let isNumber = target.host.hasPrefix("[") || target.host.allSatisfy { $0.isNumber || $0 == "." }
    let bare = target.host.hasPrefix("[") ? String(target.host.dropFirst().dropLast()) : target.host
    let isInside = bare == "localhost" || bare.hasSuffix(".localhost") || (isNumber && InternalAddress.isInternal(bare))
    if isInside, !webhook.allowsInternal {
      throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/url"), .notAllowed)])
    }
    webhook.label = body["label"]?.string ?? webhook.label
    webhook.types = body["types"]?.array?.compactMap(\.string) ?? webhook.types
    if let state = body["webhook_state"]?.string.flatMap(Webhook.State.init) {
      webhook.state = state
      webhook.stateReason = nil
    }
  }

  /// The subscription, if the principal may see it.
  private func known(_ call: Call, _ id: WebhookID, _ connection: any Connection) throws -> Webhook {
    guard let webhook = try connection.webhook(id), try Scope(call, connection).includes(webhook) else {
      throw Problem(.notFound)
    }
    return webhook
  }

  private var list: Route {
    Route(
      "listWebhooks", .get, "/v1/webhooks", summary: "Who is told of events", tag: "webhooks",
      access: .roles(.integration, .auditor), answers: [.json(.output(.required("items", .array(Self.schema))), "All")]
    ) { call in
      let webhooks = try await database.look { connection in
        let scope = try Scope(call, connection)
        return try connection.webhooks().filter(scope.includes)
      }
      return .json(["items": .array(webhooks.map(Self.json))])
    }
  }

  private var get: Route {
    Route(
      "getWebhook", .get, "/v1/webhooks/{id}", summary: "One subscription", tag: "webhooks",
      access: .roles(.integration, .auditor), parameters: [Self.id], answers: [.json(Self.schema, "The subscription")]
    ) { call in
      let id: WebhookID = try call.path("id")
      let webhook = try await database.look { try known(call, id, $0) }
      return .json(Self.json(webhook), version: Int64(webhook.version))
    }
  }

  private static let withSecret = Schema.output(
    .required("webhook", schema), .required("secret", .string(), "whsec_…; this answer alone shows it"))

  private var make: Route {
    Route(
      "makeWebhook", .post, "/v1/webhooks", summary: "Be told of events from now on", tag: "webhooks",
      access: Self.access, body: .init(Self.input),
      answers: [.json(Self.withSecret, "The subscription and its secret", status: 201)]
    ) { call in
      let secret = WebhookSecret()
      let role = try call.caller().roles.map(\.rawValue).sorted().first ?? ""
      var webhook = Webhook(
        id: WebhookID(at: call.now), url: "", label: try call.caller().id, types: [], secrets: [secret.text],
        role: role, departments: try call.caller().departments.map { $0.sorted().compactMap(Code.init) },
        allowsInternal: false, cursor: 0, createdAt: call.now)
      try apply(call.body, to: &webhook)
      let wanted = webhook
      let actor = try Actor(call)
      // Not through `act`: a remembered answer would keep the secret a second time.
      let made = try await translatingErrors {
        try await database.write { transaction in
          var webhook = wanted
          webhook.cursor = try transaction.lastEventSequence()
          try transaction.insert(webhook)
          try transaction.audit("webhook.make", webhook.id, after: Self.json(webhook), by: actor, at: call.now)
          return webhook
        }
      }
      dispatcher.reload()
      return .json(["webhook": Self.json(made), "secret": .string(secret.text)], status: 201, version: 1)
    }
  }

  private var put: Route {
    Route(
      "putWebhook", .put, "/v1/webhooks/{id}", summary: "Change, pause or enable a subscription; its outbox is kept",
      tag: "webhooks", access: Self.access, parameters: [Self.id], body: .init(Self.input),
      answers: [.json(Self.schema, "As it is now")], needsCondition: true
    ) { call in
      let id: WebhookID = try call.path("id")
      let reply = try await database.act(call) { transaction, actor in
        let before = try known(call, id, transaction)
        try call.condition.require(before.version)
        var webhook = before
        try apply(call.body, to: &webhook)
        try transaction.update(webhook, at: call.now)
        webhook.version += 1
        try transaction.audit(
          "webhook.put", id, before: Self.json(before), after: Self.json(webhook), by: actor, at: call.now)
        return .json(Self.json(webhook), version: Int64(webhook.version))
      }
      dispatcher.reload()
      return reply
    }
  }

  private var delete: Route {
    Route(
      "deleteWebhook", .delete, "/v1/webhooks/{id}", summary: "Be told no more; what waits is dropped",
      tag: "webhooks", access: Self.access, parameters: [Self.id], answers: [.empty("It is gone")]
    ) { call in
      let id: WebhookID = try call.path("id")
      let reply = try await database.act(call) { transaction, actor in
        _ = try known(call, id, transaction)
        _ = try transaction.deleteWebhook(id)
        try transaction.audit("webhook.delete", id, by: actor, at: call.now)
        return Reply.empty()
      }
      dispatcher.reload()
      return reply
    }
  }

  private var rotate: Route {
    Route(
      "rotateWebhookSecret", .post, "/v1/webhooks/{id}/rotate",
      summary: "A new secret; deliveries are signed with the one before too, until the next rotation", tag: "webhooks",
      access: Self.access, parameters: [Self.id],
      answers: [.json(Self.withSecret, "The subscription and its new secret")]
    ) { call in
      let id: WebhookID = try call.path("id")
      let secret = WebhookSecret()
      let actor = try Actor(call)
      let webhook = try await translatingErrors {
        try await database.write { transaction in
          var webhook = try known(call, id, transaction)
          webhook.secrets = [secret.text] + webhook.secrets.prefix(1)
          try transaction.update(webhook, at: call.now)
          webhook.version += 1
          try transaction.audit("webhook.rotate", id, by: actor, at: call.now)
          return webhook
        }
      }
      return .json(
        ["webhook": Self.json(webhook), "secret": .string(secret.text)], version: Int64(webhook.version))
    }
  }

  private var deliveries: Route {
    Route(
      "listDeliveries", .get, "/v1/webhooks/{id}/deliveries", summary: "The delivery log, newest first",
      tag: "webhooks", access: .roles(.integration, .auditor),
      parameters: [
        Self.id, .query("delivery_state", .word(WebhookDelivery.State.allCases.map(\.rawValue))),
        .query("before", .integer(minimum: 1), "The last seq of the page before"),
        .query("page_size", .integer(minimum: 1, maximum: 1_000)),
      ],
      answers: [
        .json(
          .output(
            .required(
              "items",
              .array(
                .output(
                  .required("seq", .integer()), .required("subject", .string()), .required("type", .string()),
                  .required("delivery_state", .string()), .required("attempts", .integer()),
                  .required("next_at", .time), .required("last_at", .nullable(.time)),
                  .required("last_status", .nullable(.integer())), .required("last_fault", .nullable(.string())),
                  .required("delivered_at", .nullable(.time)))))), "At most page_size")
      ]
    ) { call in
      let id: WebhookID = try call.path("id")
      let state = call.text("delivery_state").flatMap(WebhookDelivery.State.init)
      let limit = call.pageSize
      let rows = try await database.look { connection in
        _ = try known(call, id, connection)
        return try connection.deliveries(of: id, state: state, before: call.integer("before"), limit: limit)
      }
      return .json([
        "items": .array(
          rows.map {
            [
              "seq": .integer($0.seq), "subject": .string($0.subject), "type": .string($0.type),
              "delivery_state": .string($0.state.rawValue), "attempts": .count($0.attempts),
              "next_at": .time($0.nextAt), "last_at": .optional($0.lastAt),
              "last_status": .optional($0.lastStatus.map { Int64($0) }), "last_fault": .optional($0.lastFault),
              "delivered_at": .optional($0.deliveredAt),
            ]
          })
      ])
    }
  }

  private var resend: Route {
    Route(
      "resendWebhook", .post, "/v1/webhooks/{id}/resend",
      summary: "Send again: one event, or everything given up since an instant", tag: "webhooks", access: Self.access,
      parameters: [Self.id],
      body: .init(.input(.optional("seq", .integer(minimum: 1)), .optional("since", .time))),
      answers: [.json(.output(.required("queued", .integer())), "How many will be sent", status: 202)]
    ) { call in
      let id: WebhookID = try call.path("id")
      let reply = try await database.act(call) { transaction, actor in
        _ = try known(call, id, transaction)
        let count = try transaction.resend(
          to: id, seq: call.body["seq"]?.integer, since: call.body["since"]?.string.flatMap { Timestamp($0) },
          at: call.now)
        try transaction.audit("webhook.resend", id, after: ["queued": .count(count)], by: actor, at: call.now)
        return .json(["queued": .count(count)], status: 202)
      }
      dispatcher.reload()
      return reply
    }
  }
}

import Channels
import ContactModel
import Store

/// Static tokens: made, listed, revoked. A token is shown once, when it is made, and stored only as its hash.
extension OperatorResources {
  var tokenRoutes: [Route] { [listTokens, makeToken, revokeToken] }

  private static let grantMembers: [Schema.Member] = [
    .required("token_hash", .string(), "SHA-256 of the token"), .required("label", .string()),
    .required("role", .word(Role.allCases.map(\.rawValue))), .required("agent_id", .nullable(.string())),
    .required("department", .nullable(.string())), .required("created_at", .time),
    .required("expires_at", .nullable(.time)), .required("revoked_at", .nullable(.time)),
  ]
  private static let grantSchema = Schema.named(
    "AccessGrant", .object(.init(members: grantMembers, closed: false)))

  private static func json(
    _ hash: String, _ grant: AccessGrant, _ createdAt: Timestamp, _ revokedAt: Timestamp?
  ) -> JSONObject {
    JSONObject([
      .init(name: "token_hash", value: .string(hash)), .init(name: "label", value: .string(grant.label)),
      .init(name: "role", value: .string(grant.role.rawValue)),
      .init(name: "agent_id", value: .optional(grant.agentId)),
      .init(name: "department", value: .optional(grant.department)), .init(name: "created_at", value: .time(createdAt)),
      .init(name: "expires_at", value: .optional(grant.expiresAt)),
      .init(name: "revoked_at", value: .optional(revokedAt)),
    ])
  }

  private var listTokens: Route {
    Route(
      "listTokens", .get, "/v1/tokens", summary: "Every token ever made, without the tokens", tag: "tokens",
      access: .roles(.auditor), answers: [.json(.output(.required("items", .array(Self.grantSchema))), "Newest first")]
    ) { _ in
      let grants = try await database.look { try $0.grants() }
      return .json([
        "items": .array(grants.map { .object(Self.json($0.tokenHash, $0.grant, $0.createdAt, $0.revokedAt)) })
      ])
    }
  }

  private var makeToken: Route {
    Route(
      "makeToken", .post, "/v1/tokens", summary: "Make a token; this answer alone shows it", tag: "tokens",
      access: .roles(),
      body: .init(
        .input(
          .required("label", .string(minimum: 1, maximum: 100), "What the audit will call its bearer"),
          .required("role", .word(Role.allCases.map(\.rawValue))),
          .optional("agent_id", .nullable(.string(minimum: 1, maximum: 64)), "For role agent"),
          .optional("department", .nullable(.string(minimum: 1, maximum: 64)), "Sees this and those below it"),
          .optional("expires_at", .nullable(.time), "Never if not given"))),
      answers: [
        .json(
          .object(.init(members: [.required("token", .string(), "Keep it")] + Self.grantMembers, closed: false)),
          "The token", status: 201)
      ]
    ) { call in
      guard let role = call.body["role"]?.string.flatMap(AccessGrant.Role.init) else { throw Problem(.invalidInput) }
      let agent: AgentID? = try call.member("agent_id")
      if role == .agent, agent == nil {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/agent_id"), .required)])
      }
      let department: Code? = try call.member("department")
      let grant = AccessGrant(
        label: call.body["label"]?.string ?? "", role: role, agentId: agent, department: department,
        expiresAt: call.body["expires_at"]?.string.flatMap { Timestamp($0) })
      let token = AccessToken()
      let hash = token.digest.description
      // Not through `act`: a remembered answer would keep the token itself.
      let actor = try Actor(call)
      try await translatingErrors {
        try await database.write { transaction in
          let scope = try Scope(call, transaction)
          guard scope.limits == nil || department.map(scope.includes(department:)) == true else {
            throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/department"), .notAllowed)])
          }
          if let department, try !transaction.hasDepartment(department) { throw Problem.unknown("#/department") }
          if let agent, try transaction.agent(agent) == nil { throw Problem.unknown("#/agent_id") }
          try transaction.add(grant, tokenHash: hash, at: call.now)
          try transaction.audit(
            "token.make", hash, after: .object(Self.json(hash, grant, call.now, nil)), by: actor, at: call.now)
        }
      }
      var shown = JSONObject([.init(name: "token", value: .string(token.text))])
      shown.members += Self.json(hash, grant, call.now, nil).members
      return .json(.object(shown), status: 201)
    }
  }

  private var revokeToken: Route {
    Route(
      "revokeToken", .delete, "/v1/tokens/{token_hash}", summary: "Revoke a token at once", tag: "tokens",
      access: .roles(), parameters: [.path("token_hash", .string(minimum: 64, maximum: 64))],
      answers: [.empty("Revoked")]
    ) { call in
      let hash = call.text("token_hash") ?? ""
      let reply = try await database.act(call) { transaction, actor in
        guard try transaction.revokeToken(hash: hash, at: call.now) else { throw Problem(.notFound) }
        try transaction.audit("token.revoke", hash, by: actor, at: call.now)
        return Reply.empty()
      }
      tokens.forget()
      return reply
    }
  }
}

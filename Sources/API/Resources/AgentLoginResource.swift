import Channels
import ContactModel
import Desk
import Store

/// Agents sit down at a telephone, and get up again.
extension CallResources {
  var loginRoutes: [Route] { [login, logout] }

  private var login: Route {
    Route(
      "loginAgent", .post, "/v1/agents/{agent}/login",
      summary: "Sit down at a telephone and take calls in some or all of one's queues", tag: "desk",
      access: .roles(.agent, .supervisor), parameters: [DeskResources.agent],
      body: .init(
        .input(
          .optional("device", .string(minimum: 1, maximum: 80), "PJSIP/1001; the one he has if not given"),
          .optional("queues", .array(.string(minimum: 1, maximum: 64), maximum: 100), "All of his if not given"),
          .optional("server", .string(minimum: 1, maximum: 40), "The telephone's switch, if there is more than one"),
          .optional(
            "state", .word([Agent.State.ready.rawValue, Agent.State.notReady.rawValue]), "`ready` if not given"),
          .optional("reason", .nullable(.string(maximum: 200))))),
      answers: [.json(Agent.schema, "The agent; what the switch says of it follows as `call_command.changed`")],
      needsIdempotencyKey: true
    ) { call in
      let id: AgentID = try call.path("agent")
      let named = call.body["device"]?.string
      if let named, !isDevice(named) { throw Problem.unknown("#/device", "PJSIP/1001") }
      let state = call.body["state"]?.string.flatMap(Agent.State.init) ?? .ready
      let wanted = call.body["queues"]?.array.map { $0.compactMap { $0.string.flatMap(Code.init) } }
      let servers = commander.servers
      let server = call.body["server"]?.string ?? servers.first
      guard server.map(servers.contains) ?? true, call.body["server"] != nil || servers.count < 2 else {
        throw Problem.unknown("#/server", servers.joined(separator: ", "))
      }
      return try await database.act(call) { transaction, actor in
        try Scope(call, transaction).requireAccess(to: id)
        guard let before = try transaction.agent(id) else { throw Problem(.notFound) }
        guard let device = named ?? before.device else {
          throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/device"), .required)])
        }
        let queues = wanted ?? before.queues
        guard queues.count == (call.body["queues"]?.array?.count ?? queues.count),
          queues.allSatisfy(before.queues.contains)
        else { throw Problem.unknown("#/queues", before.queues.map(\.description).joined(separator: ", ")) }
        let after = try transaction.login(
          id, at: device, queues: queues, of: server, state: state, reason: call.body["reason"]?.string, actor: actor,
          at: call.now
        ).settled(version: \.version)
        try transaction.audit(
          "agent.login", id, reason: call.body["reason"]?.string, before: before.json, after: after.json, by: actor,
          at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }

  private var logout: Route {
    Route(
      "logoutAgent", .post, "/v1/agents/{agent}/logout", summary: "Get up: offline, and out of the queues", tag: "desk",
      access: .roles(.agent, .supervisor), parameters: [DeskResources.agent],
      body: .init(.input(.optional("reason", .nullable(.string(maximum: 200))))),
      answers: [.json(Agent.schema, "The agent")], needsIdempotencyKey: true
    ) { call in
      let id: AgentID = try call.path("agent")
      return try await database.act(call) { transaction, actor in
        try Scope(call, transaction).requireAccess(to: id)
        guard let before = try transaction.agent(id) else { throw Problem(.notFound) }
        let after = try transaction.logout(id, reason: call.body["reason"]?.string, actor: actor, at: call.now)
          .settled(version: \.version)
        try transaction.audit(
          "agent.logout", id, reason: call.body["reason"]?.string, before: before.json, after: after.json, by: actor,
          at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }
}

import Channels
import ContactModel
import Desk
import Store

/// What agents use: their stream, their snapshot, their state, and the acts on requests and contacts.
public struct DeskResources: Sendable {
  let database: Database
  let hub: StreamHub
  let now: @Sendable () -> Timestamp
  let journal: ReadJournal

  public init(database: Database, hub: StreamHub, now: @escaping @Sendable () -> Timestamp) {
    self.database = database
    journal = database.bulkJournal()
    self.hub = hub
    self.now = now
  }

  public var routes: [Route] {
    [stream, snapshot, setState] + requestActs + [identify]
  }

  static let agent = Route.Parameter.path("agent", .string(minimum: 1, maximum: 64), "The agent's id")

  private var stream: Route {
    Route(
      "streamAgentEvents", .get, "/v1/agents/{agent}/events",
      summary: "Screen pops addressed to an agent or his queues, as they happen", tag: "desk",
      access: .roles(.agent, .supervisor),
      parameters: [Self.agent, .header("Last-Event-ID", .string(maximum: 40), "Where the client was")],
      answers: [.other("text/event-stream", "Events named by type, their data an Event")]
    ) { call in
      let id: AgentID = try call.path("agent")
      let agent = try await database.look { connection in
        try Scope(call, connection).requireAccess(to: id)
        guard let agent = try connection.agent(id) else { throw Problem(.notFound) }
        return agent
      }
      try await database.record(
        [Sight(customer: nil, subject: id.description)], by: try Actor(call), purpose: "stream", at: call.now)
      let topics = Set(agent.queues.map(EventBridge.topic)).union([EventBridge.topic(id)])
      return .events(
        EventFeed(
          database, hub: hub, journal: journal, topics: topics, audience: .agent(id, queues: Set(agent.queues)),
          popsOnly: true, by: try Actor(call), call: call))
    }
  }

  private var snapshot: Route {
    let item = Schema.output(
      .required("request", ServiceRequest.schema),
      .required("pop", .nullable(ScreenPop.schema), "Of its newest contact"))
    return Route(
      "getAgentSnapshot", .get, "/v1/agents/{agent}/snapshot",
      summary: "What an agent's screen shows now: for the start, and after a reset", tag: "desk",
      access: .roles(.agent, .supervisor), parameters: [Self.agent],
      answers: [
        .json(
          .output(
            .required("agent", Agent.schema),
            .required("sequence", .integer(minimum: 0), "Open the stream with this as Last-Event-ID"),
            .required("calls", .array(ScreenPop.schema), "Calls that ring, that he talks in or is consulted on"),
            .required("owned", .array(item), "His live requests, most pressing first, at most 100"),
            .required("waiting", .array(item), "Those that wait in his queues, at most 100")),
          "The snapshot")
      ]
    ) { call in
      let id: AgentID = try call.path("agent")
      return try await database.look(call, purpose: "contact") { connection in
        try Scope(call, connection).requireAccess(to: id)
        guard let agent = try connection.agent(id) else { throw Problem(.notFound) }
        var seen: [Sight] = []
        func item(_ request: ServiceRequest) throws -> JSONValue {
          let pop = try connection.contacts(of: request.id).last.flatMap { try connection.screenPop(of: $0.id) }
          if let pop { seen += pop.seen }
          return ["request": request.json, "pop": try pop.map(JSONValue.encoding) ?? .null]
        }
        let owned = try connection.liveRequests(ownedBy: id, limit: 100)
        let waiting = try connection.liveRequests(in: agent.queues, limit: 200).filter { $0.owner == nil }.prefix(100)
        let calls = try connection.callsNow(of: id, limit: 20).compactMap {
          try connection.screenPop(of: $0, to: agent)
        }
        seen += calls.flatMap(\.seen)
        let value: JSONValue = [
          "agent": agent.json, "calls": .array(try calls.map(JSONValue.encoding)),
          "sequence": .integer(try connection.lastEventSequence()),
          "owned": .array(try owned.map(item)), "waiting": .array(try waiting.map(item)),
        ]
        return (Reply.json(value), seen: seen)
      }
    }
  }

  private var setState: Route {
    // Reserved and busy follow from offers and calls; nobody sets them.
    let words = [Agent.State.offline, .ready, .notReady, .wrapUp].map(\.rawValue)
    return Route(
      "setAgentState", .put, "/v1/agents/{agent}/state",
      summary:
        "An agent's state, with its reason; his telephone's switch is told. While he is busy it holds afterwards",
      tag: "desk",
      access: .roles(.agent, .supervisor), parameters: [Self.agent],
      body: .init(
        .input(
          .required("state", .word(words)), .optional("reason", .nullable(.string(maximum: 200))),
          .optional("at_once", .boolean, "Although he is busy"))),
      answers: [.json(Agent.schema, "The agent as he is now")]
    ) { call in
      let id: AgentID = try call.path("agent")
      guard let state = call.body["state"]?.string.flatMap(Agent.State.init) else { throw Problem(.invalidInput) }
      let reason = call.body["reason"]?.string
      return try await database.act(call) { transaction, actor in
        try Scope(call, transaction).requireAccess(to: id)
        guard let before = try transaction.agent(id) else { throw Problem(.notFound) }
        try call.condition.require(before.version)
        let after = try transaction.say(
          state, of: id, reason: reason, atOnce: call.body["at_once"]?.bool == true, actor: actor, at: call.now
        ).settled(version: \.version)
        try transaction.audit(
          "agent.set_state", id, reason: reason, before: before.json, after: after.json, by: actor, at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }
}

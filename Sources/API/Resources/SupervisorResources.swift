import Channels
import ContactModel
import Store

/// What a supervisor watches and steers: everything at a glance, as a resource and as a stream, and the channels.
extension OperatorResources {
  var supervisorRoutes: [Route] { [overview, overviewStream, listChannels, pause, resume] }

  private static let overviewSchema: Schema = {
    let load = Schema.output(
      .required("queue", .nullable(.string())), .required("category", .string()), .required("waiting", .integer()),
      .required("owned", .integer()), .required("overdue", .integer()),
      .required("oldest_waiting_at", .nullable(.time)),
      .required("oldest_waiting_id", .nullable(.id("request")), "The request that waits longest"))
    return Schema.named(
      "Overview",
      .output(
        .required("at", .time), .required("sequence", .integer(), "Open the event stream with this as Last-Event-ID"),
        .required("channels", .array(channelSchema)), .required("requests", .array(load)),
        .required("agents", .array(Agent.schema)),
        .required(
          "agent_states", .map(.integer()), "How many agents are in each state"),
        .required("quarantined", .integer()), .required("arrivals_in_work", .integer()),
        .required("attempts_in_doubt", .integer(), "Sent or not: nobody knows yet"),
        .required("oldest_doubt_at", .nullable(.time)), .required("attempts_under_way", .integer()),
        .required("reports_parked", .integer(), "Delivery reports about nothing known, of the last week"),
        .required("ledger_today", .array(.any)), .required("ledger_balances", .boolean)))
  }()

  private func overviewValue(_ call: Call) async throws -> JSONValue {
    let channels = await actions.channels()
    return try await database.look { connection in
      let scope = try Scope(call, connection)
      let loads = try connection.queueLoads(at: call.now).filter { try scope.includes(queue: $0.queue) }
      let agents = try connection.agents().filter { scope.includes(department: $0.department) }
      let work = try connection.workload()
      let outbound = try connection.outboundLoad()
      let lines = try connection.ledger(since: String(call.now.description.prefix(10)))
      var states = JSONObject()
      for state in Agent.State.allCases {
        states[state.rawValue] = .count(agents.count { $0.state == state })
      }
      return [
        "at": .time(call.now), "sequence": .integer(try connection.lastEventSequence()),
        "channels": .array(channels.map { Self.json($0.channel, $0.health) }),
        "requests": .array(
          loads.map {
            [
              "queue": .optional($0.queue), "category": .text($0.category), "waiting": .count($0.waiting),
              "owned": .count($0.owned), "overdue": .count($0.overdue), "oldest_waiting_at": .optional($0.oldestStart),
              "oldest_waiting_id": .optional($0.oldest),
            ]
          }),
        "agents": .array(agents.map(\.json)), "agent_states": .object(states),
        "quarantined": .count(work.quarantined), "arrivals_in_work": .count(work.arrivalsInWork),
        "attempts_in_doubt": .count(outbound.inDoubt), "oldest_doubt_at": .optional(outbound.oldestDoubt),
        "attempts_under_way": .count(outbound.underWay), "reports_parked": .count(outbound.parkedReports),
        "ledger_today": .array(try lines.map(JSONValue.encoding)),
        "ledger_balances": .bool(lines.allSatisfy(\.balances)),
      ]
    }
  }

  private var overview: Route {
    Route(
      "getOverview", .get, "/v1/overview", summary: "Channels, ledger, quarantine, queues and agents at a glance",
      tag: "supervisor", access: .roles(.supervisor, .auditor),
      answers: [.json(Self.overviewSchema, "As it is now")]
    ) { call in .json(try await overviewValue(call)) }
  }

  /// Every event of queues, agents, channels and quarantine; the client asks for the overview first and keeps it by
  /// these.
  private var overviewStream: Route {
    Route(
      "streamOverview", .get, "/v1/overview/events", summary: "What changes the overview, as it happens",
      tag: "supervisor", access: .roles(.supervisor, .auditor),
      parameters: [.header("Last-Event-ID", .string(maximum: 40), "`sequence` of the overview")],
      answers: [.other("text/event-stream", "Events named by type, their data an Event")]
    ) { call in
      try await everything(call, under: "overview")
    }
  }

  private var listChannels: Route {
    Route(
      "listChannels", .get, "/v1/channels", summary: "The channels and how they are", tag: "channels",
      access: .roles(.supervisor, .integration, .auditor),
      answers: [.json(.output(.required("items", .array(Self.channelSchema))), "By configuration")]
    ) { _ in
      .json(["items": .array(await actions.channels().map { Self.json($0.channel, $0.health) })])
    }
  }

  private var pause: Route { channelAct("pauseChannel", "pause", "Let a channel take nothing new until it is resumed") }
  private var resume: Route { channelAct("resumeChannel", "resume", "Let a channel work again") }

  private func channelAct(_ operationID: String, _ word: String, _ summary: String) -> Route {
    Route(
      operationID, .post, "/v1/channels/{channel}/\(word)", summary: summary, tag: "channels",
      access: .roles(.supervisor), parameters: [.path("channel", .string(minimum: 1, maximum: 40))],
      body: .init(.input(.required("reason", .string(minimum: 1, maximum: 500)))),
      answers: [.json(Self.channelSchema, "The channel now")]
    ) { call in
      let name = call.text("channel") ?? ""
      guard let channel = await actions.channels().first(where: { $0.channel.name == name })?.channel else {
        throw Problem(.notFound)
      }
      let actor = try Actor(call)
      let reason = call.body["reason"]?.string ?? ""
      guard try await actions.steer(channel, word == "pause") else {
        throw Problem(
          .conflict, LocalizedText(zh: "该渠道现在不能这样操作", en: "the channel cannot do this now"))
      }
      try await translatingErrors {
        try await database.write { transaction in
          try transaction.audit("channel.\(word)", name, reason: reason, by: actor, at: call.now)
        }
      }
      guard let now = await actions.channels().first(where: { $0.channel.name == name }) else {
        throw Problem(.notFound)
      }
      return .json(Self.json(now.channel, now.health))
    }
  }
}

import Channels
import ContactModel
import Store

/// What operators and auditors ask: ledger, quarantine, status, events, parameters, tokens. The command line uses the
/// same operations over the admin socket.
public struct OperatorResources: Sendable {
  let database: Database
  let hub: StreamHub
  let bodies: BodyStore
  let tokens: TokenLookup
  let actions: Actions
  let startedAt: Timestamp
  let version: String
  let journal: ReadJournal

  /// What only the composition root can do.
  public struct Actions: Sendable {
    /// The channels that run, as last observed.
    public var channels: @Sendable () async -> [(channel: ContactChannel, health: Health)]
    /// Puts a quarantined arrival back to work, with these bytes if they were mended. False if it is not in quarantine.
    public var reprocess: @Sendable (ArrivalID, _ mended: [UInt8]?, _ actor: Actor) async throws -> Bool
    /// Validates business parameters and, unless it is a rehearsal, brings them in force. Throws a `Problem` that says
    /// what is wrong with them.
    public var apply:
      @Sendable ([ParameterDocument], _ rehearsal: Bool, _ actor: Actor) async throws -> [ParameterChange]
    /// Pauses (true) or resumes (false) a channel; false if it cannot be done now.
    public var steer: @Sendable (ContactChannel, _ pause: Bool) async throws -> Bool
    public init(
      channels: @escaping @Sendable () async -> [(channel: ContactChannel, health: Health)],
      reprocess: @escaping @Sendable (ArrivalID, _ mended: [UInt8]?, _ actor: Actor) async throws -> Bool,
      apply:
        @escaping @Sendable ([ParameterDocument], _ rehearsal: Bool, _ actor: Actor) async throws -> [ParameterChange],
      steer: @escaping @Sendable (ContactChannel, _ pause: Bool) async throws -> Bool = { _, _ in false }
    ) {
      self.steer = steer
      self.channels = channels
      self.reprocess = reprocess
      self.apply = apply
    }
  }

  public init(
    database: Database, hub: StreamHub, bodies: BodyStore, tokens: TokenLookup, actions: Actions, startedAt: Timestamp,
    version: String
  ) {
    self.database = database
    journal = database.bulkJournal()
    self.hub = hub
    self.bodies = bodies
    self.tokens = tokens
    self.actions = actions
    self.startedAt = startedAt
    self.version = version
  }

  public var routes: [Route] {
    [ledger] + quarantineRoutes + [explain, events, eventStream, status] + parameterRoutes + tokenRoutes
      + supervisorRoutes + auditRoutes
  }

  private var ledger: Route {
    let line = Schema.named(
      "LedgerLine",
      .output(
        .required("channel", .string()), .required("day", .string(), "UTC"), .required("received", .integer()),
        .required("stored", .integer()), .required("duplicate", .integer()), .required("refused", .integer()),
        .required("late", .integer()), .required("routed", .integer()), .required("quarantined", .integer()),
        .required("in_work", .integer()),
        .required("balances", .boolean, "received = stored + duplicate + refused, and the stored are all accounted for")
      ))
    return Route(
      "getLedger", .get, "/v1/ledger", summary: "What reached each channel on each day, and what became of it",
      tag: "operations", access: .roles(.supervisor, .auditor),
      parameters: [.query("since", .string(minimum: 10, maximum: 10), "A UTC day, 2026-11-24; all if not given")],
      answers: [
        .json(
          .output(.required("items", .array(line)), .required("balances", .boolean, "All of them do")), "The ledger")
      ]
    ) { call in
      let since = call.text("since")
      if let since, Timestamp("\(since)T00:00:00Z") == nil {
        throw Problem(.invalidInput, violations: [Violation(.parameter("since"), .format, expected: "2026-11-24")])
      }
      let lines = try await database.look(.bulk) { try $0.ledger(since: since) }
      let items = try lines.map { line -> JSONValue in
        var object = try JSONValue.encoding(line).object ?? JSONObject()
        object["balances"] = .bool(line.balances)
        return .object(object)
      }
      return .json(["items": .array(items), "balances": .bool(lines.allSatisfy(\.balances))])
    }
  }

  private var status: Route {
    Route(
      "getStatus", .get, "/v1/status", summary: "How the daemon is: channels, store, what waits", tag: "operations",
      access: .roles(.supervisor, .auditor),
      answers: [
        .json(
          .output(
            .required("version", .string()), .required("started_at", .time), .required("at", .time),
            .required("channels", .array(Self.channelSchema)),
            .required(
              "store",
              .output(
                .required("engine", .string()), .required("waiting_live", .integer()),
                .required("waiting_bulk", .integer()), .required("commits", .integer()),
                .required("writes", .integer()), .required("largest_batch", .integer()),
                .required("mean_commit_us", .integer()), .required("last_event", .integer()))),
            .required(
              "work",
              .output(
                .required("waiting_requests", .integer()), .required("owned_requests", .integer()),
                .required("oldest_waiting_at", .nullable(.time)), .required("quarantined", .integer()),
                .required("arrivals_in_work", .integer()))),
            .required("open_streams", .integer())),
          "The status")
      ]
    ) { call in
      let channels = await actions.channels()
      let (work, last) = try await database.look { (try $0.workload(), try $0.lastEventSequence()) }
      let statistics = database.statistics
      let waiting = database.waitingWrites
      let perCommit =
        statistics.commits == 0 ? 0 : statistics.timeInCommit.wholeMicroseconds / Int64(statistics.commits)
      return .json([
        "version": .string(version), "started_at": .time(startedAt), "at": .time(call.now),
        "channels": .array(channels.map { Self.json($0.channel, $0.health) }),
        "store": [
          "engine": .string(database.dialect.rawValue), "waiting_live": .count(waiting.live),
          "waiting_bulk": .count(waiting.bulk), "commits": .count(statistics.commits),
          "writes": .count(statistics.items), "largest_batch": .count(statistics.largestBatch),
          "mean_commit_us": .integer(perCommit), "last_event": .integer(last),
        ],
        "work": [
          "waiting_requests": .count(work.waitingRequests), "owned_requests": .count(work.ownedRequests),
          "oldest_waiting_at": .optional(work.oldestWaiting), "quarantined": .count(work.quarantined),
          "arrivals_in_work": .count(work.arrivalsInWork),
        ],
        "open_streams": .count(hub.openStreams),
      ])
    }
  }

  static let channelSchema = Schema.named(
    "Channel",
    .output(
      .required("name", .string()), .required("channel_kind", .string()),
      .required("state", .word(Health.State.allCases.map(\.rawValue))), .required("since", .time),
      .required("text", .nullable(.string()), "What an operator should know"),
      .required("last_arrival_at", .nullable(.time))))

  static func json(_ channel: ContactChannel, _ health: Health) -> JSONValue {
    [
      "name": .string(channel.name), "channel_kind": .string(channel.kind.rawValue),
      "state": .string(health.state.rawValue), "since": .time(health.since), "text": .optional(health.text),
      "last_arrival_at": .optional(health.lastArrivalAt),
    ]
  }
}

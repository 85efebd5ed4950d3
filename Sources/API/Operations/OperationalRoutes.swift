/// Whether the daemon can do its work, as its parts say.
public struct Readiness: Sendable, Hashable {
  public struct Check: Sendable, Hashable {
    public var name: String
    public var ok: Bool
    /// True: a failure makes the daemon unready. False: it is only degraded (one channel is down).
    public var isVital: Bool
    /// What an operator should know, without customer data.
    public var detail: String?
    public init(name: String, ok: Bool, isVital: Bool, detail: String? = nil) {
      self.name = name
      self.ok = ok
      self.isVital = isVital
      self.detail = detail
    }
  }
  public var checks: [Check]
  public init(checks: [Check]) { self.checks = checks }

  public var isReady: Bool { checks.allSatisfy { $0.ok || !$0.isVital } }
  var word: String { !isReady ? "unready" : checks.allSatisfy(\.ok) ? "ready" : "degraded" }

  var json: JSONValue {
    [
      "status": .string(word),
      "checks": .array(
        checks.map {
          ["name": .string($0.name), "ok": .bool($0.ok), "vital": .bool($0.isVital), "detail": .optional($0.detail)]
        }),
    ]
  }
  static let schema = Schema.named(
    "Readiness",
    .output(
      .required("status", .word(["ready", "degraded", "unready"])),
      .required(
        "checks",
        .array(
          .output(
            .required("name", .string()), .required("ok", .boolean), .required("vital", .boolean),
            .required("detail", .nullable(.string())))))))
}

/// Liveness, readiness, metrics and the list of problems: open, with nothing of a customer in them.
///
/// `/livez` answers as long as the process can answer at all; a supervisor restarts what does not. `/readyz` says
/// whether to send work here: the store takes writes, its migrations are done. A channel that is down is degraded,
/// not unready: taking the daemon out for it would take the others with it.
public func operationalRoutes(
  metrics registry: OpenMetricsRegistry, readiness: @escaping @Sendable () async -> Readiness
) -> [Route] {
  [
    Route(
      "getLiveness", .get, "/livez", summary: "Is the process alive", tag: "operations", access: .open,
      answers: [.json(.output(.required("status", .word(["alive"]))), "It is")]
    ) { _ in .json(["status": "alive"]) },
    Route(
      "getReadiness", .get, "/readyz", summary: "Can the daemon take work", tag: "operations", access: .open,
      answers: [.json(Readiness.schema, "Ready or degraded"), .json(Readiness.schema, "Not ready", status: 503)]
    ) { _ in
      let now = await readiness()
      return .json(now.json, status: now.isReady ? 200 : 503)
    },
    Route(
      "getMetrics", .get, "/metrics", summary: "Metrics as OpenMetrics text", tag: "operations", access: .open,
      answers: [.other("application/openmetrics-text", "The exposition")]
    ) { _ in .bytes(Array(registry.exposition().utf8), mediaType: OpenMetricsRegistry.mediaType) },
    Route(
      "listProblems", .get, "/problems", summary: "Every type of problem the API answers", tag: "operations",
      access: .open,
      answers: [
        .json(
          .output(
            .required(
              "items",
              .array(
                .output(
                  .required("type", .string(format: .uri)), .required("status", .integer(minimum: 400, maximum: 599)),
                  .required("title", .string()))))), "The list")
      ]
    ) { call in
      .json([
        "items": .array(
          ProblemType.allCases.map {
            [
              "type": .string($0.uri), "status": .integer(Int64($0.status)),
              "title": .string($0.title[call.language]),
            ]
          })
      ])
    },
  ]
}

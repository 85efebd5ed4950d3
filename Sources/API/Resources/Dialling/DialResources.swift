import Channels
import ContactModel
import Outbound
import Store

/// Calls of proactive service at the agent's desk: what he is shown, and what he does with it.
///
/// Showings arrive on his stream as `dial.offered` and change as `dial.changed`; what is open is read here after a reset.
public struct DialResources: Sendable {
  let database: Database
  let cursors: CursorSigner
  let diallers: [Dialler]
  let results: @Sendable () -> [CallResult]

  public init(
    database: Database, cursors: CursorSigner, diallers: [Dialler], results: @escaping @Sendable () -> [CallResult]
  ) {
    self.database = database
    self.cursors = cursors
    self.diallers = diallers
    self.results = results
  }

  public var routes: [Route] { [list, get, accept, decline, result, codes] }

  private static let tag = "dialling"
  private static let id = Route.Parameter.path("dial", .id("dial"))

  private var list: Route {
    Route(
      "listDials", .get, "/v1/dials", summary: "Showings of customers to be called, newest first", tag: Self.tag,
      access: .roles(.agent, .supervisor),
      parameters: Route.Parameter.page + [
        .query("agent", .string(minimum: 1, maximum: 64), "His alone; an agent sees no others"),
        .query("job", .id("job"), "About one job"),
        .query("state", .word(DialRecord.State.allCases.map(\.rawValue))),
      ],
      answers: [.json(.page(of: DialRecord.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: DialID? = try page.last()
      let principal = try call.caller()
      let isSupervisor = !principal.roles.isDisjoint(with: [.supervisor, .admin])
      let named: AgentID? = try call.filter("agent")
      let own = principal.agent.flatMap(AgentID.init)
      let job: ProactiveJobID? = try call.filter("job")
      let state = call.text("state").flatMap(DialRecord.State.init)
      return try await database.look(call, purpose: "contact") { connection in
        let agent = named ?? (isSupervisor ? nil : own)
        if let agent {
          try Scope(call, connection).requireAccess(to: agent)
        } else if !isSupervisor {
          throw Problem(.forbidden)
        }
        let scope = try Scope(call, connection)
        var shown: [DialRecord] = []
        var after = last
        // A supervisor's page is filled with those of his departments, however many lie between.
        for _ in 0..<100 where shown.count < page.limit {
          let rows = try connection.dials(of: agent, job: job, state: state, after: after, limit: page.limit)
          shown += try rows.filter { row in
            try agent != nil || scope.includes(department: connection.agent(row.agentId)?.department)
          }
          guard rows.count == page.limit else { break }
          after = rows.last?.dialId
        }
        shown = Array(shown.prefix(page.limit))
        let reply = page.reply(shown, keys: { [.text($0.dialId)] }, json: \.json)
        return (
          reply, seen: shown.compactMap { row in row.customerNo.map { Sight(customer: $0, subject: "\(row.dialId)") } }
        )
      }
    }
  }

  private var get: Route {
    Route(
      "getDial", .get, "/v1/dials/{dial}", summary: "A showing: the customer, why he is called, what to say",
      tag: Self.tag,
      access: .roles(.agent, .supervisor), parameters: [Self.id],
      answers: [.json(DialScreen.schema, "As it stands now")]
    ) { call in
      let id: DialID = try call.path("dial")
      return try await database.look(call, purpose: "contact") { connection in
        guard let dial = try connection.dial(id), let screen = try connection.dialScreen(of: dial) else {
          throw Problem(.notFound)
        }
        try Scope(call, connection).requireAccess(to: dial.agentId)
        return (
          Reply.json(try JSONValue.encoding(screen), version: Int64(dial.version)),
          seen: dial.customerNo.map { [Sight(customer: $0, subject: "\(id)")] } ?? []
        )
      }
    }
  }

  private var accept: Route {
    act(
      "acceptDial", "accept", "The agent calls: his telephone rings first, then the customer's",
      .input(), "Ordered (`dialled`), or `withdrawn` with its reason if something came between"
    ) { dialler, id, call, transaction, actor in
      try dialler.accept(id, actor: actor, in: transaction, at: call.now)
    }
  }

  private var decline: Route {
    act(
      "declineDial", "decline", "The agent does not call; the next one is asked",
      .input(.required("reason", .string(minimum: 1, maximum: 500))), "It has left his screen"
    ) { dialler, id, call, transaction, actor in
      try dialler.decline(
        id, because: call.body["reason"]?.string ?? "", actor: actor, in: transaction, at: call.now)
    }
  }

  private var result: Route {
    act(
      "setDialResult", "result", "What came of the call, as the agent says; it settles the job",
      .input(
        .required("result", .string(minimum: 1, maximum: 64), "A code of `GET /v1/call-results`"),
        .optional("note", .nullable(.string(maximum: 2_000))),
        .optional("call_back_at", .nullable(.time), "When the customer wants to be called, where the result means that")
      ),
      "Noted; while the call lasts it takes effect at its end"
    ) { dialler, id, call, transaction, actor in
      guard let result = results().first(where: { $0.code.description == call.body["result"]?.string }) else {
        throw Problem.unknown("#/result", results().map(\.code.description).joined(separator: ", "))
      }
      let at = call.body["call_back_at"]?.string.flatMap { Timestamp($0) }
      guard (result.means == .callBack) == (at != nil) else {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/call_back_at"), result.means == .callBack ? .required : .notAllowed)]
        )
      }
      if let at, at <= call.now || at > call.now + .seconds(90 * 86_400) {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/call_back_at"), .outOfRange, expected: "within 90 days")])
      }
      return try dialler.settle(
        id, as: result, note: call.body["note"]?.string, callBackAt: at, actor: actor, in: transaction, at: call.now)
    }
  }

  private var codes: Route {
    let item = Schema.output(
      .required("code", .string()), .required("name_zh", .string()), .required("name_en", .string()),
      .required("means", .word(CallResult.Meaning.allCases.map(\.rawValue)), "What follows from it"))
    return Route(
      "listCallResults", .get, "/v1/call-results", summary: "What an agent may say came of a call", tag: Self.tag,
      access: .anyRole, answers: [.json(.output(.required("items", .array(item))), "In the bank's order")]
    ) { _ in
      .json([
        "items": .array(
          results().map {
            [
              "code": .text($0.code), "name_zh": .string($0.nameZh), "name_en": .string($0.nameEn),
              "means": .string($0.means.rawValue),
            ]
          })
      ])
    }
  }

  private func act(
    _ operationID: String, _ path: String, _ summary: String, _ input: Schema, _ answer: String,
    _ body:
      @escaping @Sendable (Dialler, DialID, Call, WriteTransaction, Actor) throws -> ActOutcome<DialRecord>
  ) -> Route {
    Route(
      operationID, .post, "/v1/dials/{dial}/\(path)", summary: summary, tag: Self.tag,
      access: .roles(.agent, .supervisor), parameters: [Self.id], body: .init(input),
      answers: [.json(DialRecord.schema, answer)], needsIdempotencyKey: true
    ) { call in
      let id: DialID = try call.path("dial")
      return try await database.act(call) { transaction, actor in
        guard let before = try transaction.dial(id) else { throw Problem(.notFound) }
        try Scope(call, transaction).requireAccess(to: before.agentId)
        try call.condition.require(before.version)
        guard let dialler = diallers.first(where: { $0.line.link.adapter.channel.name == before.channel }) else {
          throw Problem(
            .unavailable, LocalizedText(zh: "外呼渠道未配置", en: "the channel of this call is not configured"))
        }
        let after = try body(dialler, id, call, transaction, actor).settled(version: \.version)
        try transaction.audit(
          "dial.\(path)", id, customer: after.customerNo, reason: call.body["reason"]?.string, before: before.json,
          after: after.json, by: actor, at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }
}

import Channels
import ContactModel
import Outbound
import Store

/// Proactive service from outside: single jobs, what became of them and why, and what is in doubt.
///
/// Nothing is sent by a request itself: it plans a job in the transaction of its Idempotency-Key, and the dispatcher takes
/// it from there under the rules in force.
public struct OutboundResources: Sendable {
  let database: Database
  let bodies: BodyStore
  let cursors: CursorSigner
  /// The ways out there are, by configuration.
  let links: [OutboundLink]
  /// In force now.
  let profile: @Sendable () -> PurposeProfile
  let templates: @Sendable () -> [Code: TemplateInForce]

  public init(
    database: Database, bodies: BodyStore, cursors: CursorSigner, links: [OutboundLink],
    profile: @escaping @Sendable () -> PurposeProfile,
    templates: @escaping @Sendable () -> [Code: TemplateInForce]
  ) {
    self.database = database
    self.bodies = bodies
    self.cursors = cursors
    self.links = links
    self.profile = profile
    self.templates = templates
  }

  public var routes: [Route] {
    [plan, getJob, listJobs, cancelJob, listDoubts, settleDoubt, reply] + templateRoutes
  }

  static let readers = Access.roles(.agent, .supervisor, .marketing, .integration, .auditor)
  static let planners = Access.roles(.supervisor, .marketing, .integration)

  private var getJob: Route {
    Route(
      "getProactiveJob", .get, "/v1/proactive-jobs/{id}",
      summary: "A job with its attempts, what peers reported, and every decision in words", tag: "proactive-service",
      access: Self.readers, parameters: [.path("id", .id("job"))],
      answers: [
        .json(
          .output(
            .required("job", ProactiveJob.schema), .required("attempts", .array(AttemptRecord.schema), "In order"),
            .required("decisions", .array(OutboundDecision.schema), "In order; also why it was not sent")), "The job")
      ]
    ) { call in
      let id: ProactiveJobID = try call.path("id")
      return try await database.look(call, purpose: "proactive_job") { connection in
        guard let job = try connection.proactiveJob(id), try Scope(call, connection).includes(job) else {
          throw Problem(.notFound)
        }
        let reply = Reply.json(try job.withHistory(connection), version: Int64(job.version))
        return (reply, seen: sights([(job.customerNo, id.description)]))
      }
    }
  }

  private var listJobs: Route {
    Route(
      "listProactiveJobs", .get, "/v1/proactive-jobs", summary: "Jobs, newest first", tag: "proactive-service",
      access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("customer_no", .string(maximum: 32)),
        .query("state", .array(.word(ProactiveJob.State.allCases.map(\.rawValue)), maximum: 7)),
        .query("purpose", .string(maximum: 64)), .query("campaign_id", .id("campaign")),
        .query("request_id", .id("request"), "Answers to this service request"),
        .query("reference", .string(maximum: 200), "The caller's own name for the matter"),
      ],
      answers: [.json(.page(of: ProactiveJob.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: ProactiveJobID? = try page.last()
      var filter = JobFilter()
      filter.customerNo = try call.filter("customer_no")
      filter.states = call.parameters["state"]?.array.map {
        $0.compactMap { $0.string.flatMap(ProactiveJob.State.init) }
      }
      filter.purpose = call.text("purpose")
      filter.campaign = try call.filter("campaign_id")
      filter.request = try call.filter("request_id")
      filter.reference = call.text("reference")
      let wanted = filter
      return try await database.look(call, purpose: "list") { connection in
        var wanted = wanted
        wanted.scope = try Scope(call, connection).limits
        let jobs = try connection.proactiveJobs(matching: wanted, after: last, limit: page.limit)
        let reply = page.reply(jobs, keys: { [.text($0.id)] }, json: \.json)
        return (reply, seen: sights(jobs.prefix(page.size).map { ($0.customerNo, $0.id.description) }))
      }
    }
  }

  private var cancelJob: Route {
    Route(
      "cancelProactiveJob", .post, "/v1/proactive-jobs/{id}/cancel",
      summary: "Withdraw a job that is not yet under way; one withdrawn before is answered again",
      tag: "proactive-service", access: Self.planners, parameters: [.path("id", .id("job"))],
      body: .init(.input(.required("reason", .string(minimum: 1, maximum: 500)))),
      answers: [.json(ProactiveJob.schema, "The job as it is now")]
    ) { call in
      let id: ProactiveJobID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        guard let before = try transaction.proactiveJob(id), try Scope(call, transaction).includes(before) else {
          throw Problem(.notFound)
        }
        if before.state != .cancelled {
          guard try transaction.withdraw(id, actor: actor, at: call.now) else {
            throw Problem(
              .conflict,
              LocalizedText(
                zh: "任务状态为 \(before.state.rawValue)，不能撤回",
                en: "the job is \(before.state.rawValue) and cannot be withdrawn"))
          }
        }
        guard let after = try transaction.proactiveJob(id) else { throw Problem(.notFound) }
        if after != before {
          try transaction.audit(
            "proactive_job.cancel", id, customer: after.customerNo, reason: call.body["reason"]?.string,
            before: before.json, after: after.json, by: actor, at: call.now)
        }
        return .json(after.json, version: Int64(after.version))
      }
    }
  }

  private var listDoubts: Route {
    Route(
      "listDoubts", .get, "/v1/attempts/in-doubt",
      summary: "Attempts of which nobody knows whether they reached the customer, oldest first",
      tag: "proactive-service", access: .roles(.supervisor, .integration, .auditor),
      parameters: Route.Parameter.page, answers: [.json(.page(of: AttemptRecord.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: AttemptID? = try page.last()
      return try await database.look(call, purpose: "list") { connection in
        let scope = try Scope(call, connection)
        let doubts = try scope.some(page.limit) { row in
          try connection.attemptsInDoubt(after: row?.id ?? last, limit: page.limit)
        } includes: {
          try scope.includes(customer: $0.customerNo)
        }
        let reply = try page.reply(doubts, keys: { [.text($0.id)] }, json: { try $0.json(connection) })
        return (reply, seen: sights(doubts.prefix(page.size).map { ($0.customerNo, $0.id.description) }))
      }
    }
  }

  private var settleDoubt: Route {
    Route(
      "settleDoubt", .post, "/v1/attempts/{id}/settlement",
      summary: "Say what became of an attempt in doubt, where no peer can", tag: "proactive-service",
      access: .roles(.supervisor), parameters: [.path("id", .id("attempt"))],
      body: .init(
        .input(
          .required(
            "outcome", .word(PersonsWord.allCases.map(\.rawValue)),
            "`not_sent` frees the job, so say it only when it is proved"),
          .required("reason", .string(minimum: 1, maximum: 2_000), "How it was found out"))),
      answers: [.json(AttemptRecord.schema, "The attempt as it is now")], needsIdempotencyKey: true
    ) { call in
      let id: AttemptID = try call.path("id")
      guard let word = call.body["outcome"]?.string.flatMap(PersonsWord.init) else { throw Problem(.invalidInput) }
      let profile = profile()
      return try await database.act(call) { transaction, actor in
        let doubt = try transaction.attempt(id)
        guard try Scope(call, transaction).includes(customer: doubt?.customerNo) else { throw Problem(.notFound) }
        let before = try doubt?.json(transaction)
        switch try transaction.settle(id, as: word, by: actor.label, under: profile, at: call.now) {
        case .notFound: throw Problem(.notFound)
        case .notInDoubt(let state):
          throw Problem(
            .conflict,
            LocalizedText(zh: "该次发送的状态为 \(state.rawValue)", en: "the attempt is \(state.rawValue), not in doubt"))
        case .settled(let attempt):
          let after = try attempt.json(transaction)
          try transaction.audit(
            "attempt.settle", id, customer: attempt.customerNo, reason: call.body["reason"]?.string, before: before,
            after: after, by: actor, at: call.now)
          return .json(after)
        }
      }
    }
  }
}

import Channels
import ContactModel
import Store

/// Activities with their reminders, and opportunities: what staff make of contacts.
extension RecordResources {
  var workRoutes: [Route] {
    [listActivities, getActivity, makeActivity, putActivity]
      + [listOpportunities, getOpportunity, makeOpportunity, putOpportunity]
  }

  private static let activityInput = Schema.input(
    .optional("customer_no", .nullable(.string(minimum: 1, maximum: 32))), .optional("started_at", .nullable(.time)),
    .optional("ended_at", .nullable(.time)), .optional("due_at", .nullable(.time), "A reminder's instant"),
    .required("description", .string(minimum: 1, maximum: 2_000)),
    .optional("remark", .nullable(.string(maximum: 10_000))),
    .required("category", .string(minimum: 1, maximum: 64)),
    .optional("activity_status", .word(Activity.Status.allCases.map(\.rawValue)), "planned if not given"),
    .optional("priority", .integer(minimum: 1, maximum: 4), "1 is highest; 3 if not given"),
    .optional("cost_cents", .nullable(.integer(minimum: 0))),
    .optional("owner", .nullable(.string(minimum: 1, maximum: 64)), "The agent who does it"))

  private func activity(_ id: ActivityID, _ call: Call, version: Int) throws -> Activity {
    guard let category: Code = try call.member("category") else { throw Problem(.invalidInput) }
    func time(_ name: String) -> Timestamp? { call.body[name]?.string.flatMap { Timestamp($0) } }
    return Activity(
      id: id, customerNo: try call.member("customer_no"), start: time("started_at"), end: time("ended_at"),
      due: time("due_at"), description: call.body["description"]?.string ?? "", remark: call.body["remark"]?.string,
      category: category, status: call.body["activity_status"]?.string.flatMap(Activity.Status.init) ?? .planned,
      priority: Int(call.body["priority"]?.integer ?? 3), costCents: call.body["cost_cents"]?.integer,
      owner: try call.member("owner"), version: version)
  }

  /// 422 unless customer and agent are there to be seen.
  private func check(
    _ call: Call, _ customer: CustomerNumber?, _ owner: AgentID?, _ connection: any Connection
  ) throws {
    try Scope(call, connection).require(customer, at: "#/customer_no")
    if let owner, try connection.agent(owner) == nil { throw Problem.unknown("#/owner") }
  }

  private var listActivities: Route {
    Route(
      "listActivities", .get, "/v1/activities", summary: "Activities, newest first", tag: "activities",
      access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("customer_no", .string(maximum: 32)), .query("owner", .string(maximum: 64)),
        .query("activity_status", .array(.word(Activity.Status.allCases.map(\.rawValue)), maximum: 4)),
        .query("category", .string(maximum: 64)), .query("due_before", .time, "Reminders due by then"),
      ],
      answers: [.json(.page(of: Activity.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: ActivityID? = try page.last()
      var filter = ActivityFilter()
      filter.customerNo = try call.filter("customer_no")
      filter.owner = try call.filter("owner")
      filter.statuses = call.parameters["activity_status"]?.array.map {
        $0.compactMap { $0.string.flatMap(Activity.Status.init) }
      }
      filter.category = try call.filter("category")
      filter.dueBefore = call.time("due_before")
      let wanted = filter
      return try await database.look(call, purpose: "list") { connection in
        var wanted = wanted
        wanted.scope = try Scope(call, connection).limits
        let rows = try connection.activities(matching: wanted, after: last, limit: page.limit)
        return (
          page.reply(rows, keys: { [.text($0.id)] }, json: \.json),
          seen: sights(rows.prefix(page.size).map { ($0.customerNo, $0.id.description) })
        )
      }
    }
  }

  private var getActivity: Route {
    Route(
      "getActivity", .get, "/v1/activities/{id}", summary: "One activity", tag: "activities", access: Self.readers,
      parameters: [.path("id", .id("activity"))], answers: [.json(Activity.schema, "The activity")]
    ) { call in
      let id: ActivityID = try call.path("id")
      return try await database.look(call, purpose: "customer") { connection in
        guard let activity = try connection.activity(id), try Scope(call, connection).includes(activity) else {
          throw Problem(.notFound)
        }
        return (
          Reply.json(activity.json, version: Int64(activity.version)),
          seen: sights([(activity.customerNo, id.description)])
        )
      }
    }
  }

  private var makeActivity: Route {
    Route(
      "makeActivity", .post, "/v1/activities", summary: "Plan or record an activity", tag: "activities",
      access: Self.writers, body: .init(Self.activityInput),
      answers: [.json(Activity.schema, "The activity", status: 201)], needsIdempotencyKey: true
    ) { call in
      let activity = try activity(ActivityID(at: call.now), call, version: 1)
      return try await database.act(call) { transaction, actor in
        try check(call, activity.customerNo, activity.owner, transaction)
        try transaction.insert(activity, at: call.now)
        try transaction.audit(
          "activity.make", activity.id, customer: activity.customerNo, after: activity.json, by: actor, at: call.now)
        return .json(activity.json, status: 201, version: 1)
      }
    }
  }

  private var putActivity: Route {
    Route(
      "putActivity", .put, "/v1/activities/{id}", summary: "Change an activity", tag: "activities",
      access: Self.writers, parameters: [.path("id", .id("activity"))], body: .init(Self.activityInput),
      answers: [.json(Activity.schema, "As it is now")], needsCondition: true
    ) { call in
      let id: ActivityID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        guard let before = try transaction.activity(id), try Scope(call, transaction).includes(before) else {
          throw Problem(.notFound)
        }
        try call.condition.require(before.version)
        let wanted = try activity(id, call, version: before.version)
        try check(call, wanted.customerNo, wanted.owner, transaction)
        let after = try transaction.update(wanted, at: call.now).settled(version: \.version)
        try transaction.audit(
          "activity.put", id, customer: after.customerNo, before: before.json, after: after.json, by: actor,
          at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }

  private static let opportunityInput = Schema.input(
    .optional("customer_no", .nullable(.string(minimum: 1, maximum: 32))),
    .optional("success_percent", .nullable(.integer(minimum: 0, maximum: 100))), .optional("started_at", .time),
    .optional("ended_at", .nullable(.time)), .optional("sales_method", .nullable(.string(maximum: 200))),
    .required("sales_stage", .string(minimum: 1, maximum: 64)), .required("summary", .string(minimum: 1, maximum: 500)),
    .optional("content", .string(maximum: 20_000)), .optional("expected_cents", .nullable(.integer(minimum: 0))),
    .optional("owner", .nullable(.string(minimum: 1, maximum: 64))))

  private func opportunity(_ id: OpportunityID, _ call: Call, start: Timestamp, version: Int) throws -> Opportunity {
    func time(_ name: String) -> Timestamp? { call.body[name]?.string.flatMap { Timestamp($0) } }
    return Opportunity(
      id: id, customerNo: try call.member("customer_no"),
      successPercent: call.body["success_percent"]?.integer.map(Int.init), start: time("started_at") ?? start,
      end: time("ended_at"), salesMethod: call.body["sales_method"]?.string,
      salesStage: call.body["sales_stage"]?.string ?? "", summary: call.body["summary"]?.string ?? "",
      content: call.body["content"]?.string ?? "", expectedCents: call.body["expected_cents"]?.integer,
      owner: try call.member("owner"), version: version)
  }

  private var listOpportunities: Route {
    Route(
      "listOpportunities", .get, "/v1/opportunities", summary: "Opportunities, newest first", tag: "opportunities",
      access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("customer_no", .string(maximum: 32)), .query("owner", .string(maximum: 64)),
      ],
      answers: [.json(.page(of: Opportunity.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: OpportunityID? = try page.last()
      let customer: CustomerNumber? = try call.filter("customer_no")
      let owner: AgentID? = try call.filter("owner")
      return try await database.look(call, purpose: "list") { connection in
        let scope = try Scope(call, connection).limits
        let rows = try connection.opportunities(
          customer: customer, owner: owner, scope: scope, after: last, limit: page.limit)
        return (
          page.reply(rows, keys: { [.text($0.id)] }, json: \.json),
          seen: sights(rows.prefix(page.size).map { ($0.customerNo, $0.id.description) })
        )
      }
    }
  }

  private var getOpportunity: Route {
    Route(
      "getOpportunity", .get, "/v1/opportunities/{id}", summary: "One opportunity", tag: "opportunities",
      access: Self.readers, parameters: [.path("id", .id("opportunity"))],
      answers: [.json(Opportunity.schema, "The opportunity")]
    ) { call in
      let id: OpportunityID = try call.path("id")
      return try await database.look(call, purpose: "customer") { connection in
        guard let found = try connection.opportunity(id), try Scope(call, connection).includes(found) else {
          throw Problem(.notFound)
        }
        return (
          Reply.json(found.json, version: Int64(found.version)), seen: sights([(found.customerNo, id.description)])
        )
      }
    }
  }

  private var makeOpportunity: Route {
    Route(
      "makeOpportunity", .post, "/v1/opportunities", summary: "Record an opportunity", tag: "opportunities",
      access: Self.writers, body: .init(Self.opportunityInput),
      answers: [.json(Opportunity.schema, "The opportunity", status: 201)], needsIdempotencyKey: true
    ) { call in
      let made = try opportunity(OpportunityID(at: call.now), call, start: call.now, version: 1)
      return try await database.act(call) { transaction, actor in
        try check(call, made.customerNo, made.owner, transaction)
        try transaction.insert(made, at: call.now)
        try transaction.audit(
          "opportunity.make", made.id, customer: made.customerNo, after: made.json, by: actor, at: call.now)
        return .json(made.json, status: 201, version: 1)
      }
    }
  }

  private var putOpportunity: Route {
    Route(
      "putOpportunity", .put, "/v1/opportunities/{id}", summary: "Change an opportunity", tag: "opportunities",
      access: Self.writers, parameters: [.path("id", .id("opportunity"))], body: .init(Self.opportunityInput),
      answers: [.json(Opportunity.schema, "As it is now")], needsCondition: true
    ) { call in
      let id: OpportunityID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        guard let before = try transaction.opportunity(id), try Scope(call, transaction).includes(before) else {
          throw Problem(.notFound)
        }
        try call.condition.require(before.version)
        let wanted = try opportunity(id, call, start: before.start, version: before.version)
        try check(call, wanted.customerNo, wanted.owner, transaction)
        let after = try transaction.update(wanted, at: call.now).settled(version: \.version)
        try transaction.audit(
          "opportunity.put", id, customer: after.customerNo, before: before.json, after: after.json, by: actor,
          at: call.now)
        return .json(after.json, version: Int64(after.version))
      }
    }
  }
}

extension Activity {
  var json: JSONValue {
    [
      "id": .text(id), "customer_no": .optional(customerNo), "started_at": .optional(start), "ended_at": .optional(end),
      "due_at": .optional(due), "description": .string(description), "remark": .optional(remark),
      "category": .text(category), "activity_status": .string(status.rawValue), "priority": .count(priority),
      "done": .bool(status == .done), "cost_cents": .optional(costCents), "owner": .optional(owner),
      "version": .count(version),
    ]
  }
  static let schema = Schema.named(
    "Activity",
    .output(
      .required("id", .id("activity")), .required("customer_no", .nullable(.string())),
      .required("started_at", .nullable(.time)), .required("ended_at", .nullable(.time)),
      .required("due_at", .nullable(.time)), .required("description", .string()),
      .required("remark", .nullable(.string())), .required("category", .string()),
      .required("activity_status", .word(Status.allCases.map(\.rawValue))), .required("priority", .integer()),
      .required("done", .boolean), .required("cost_cents", .nullable(.integer())),
      .required("owner", .nullable(.string())), .required("version", .integer(minimum: 1))))
}

extension Opportunity {
  var json: JSONValue {
    [
      "id": .text(id), "customer_no": .optional(customerNo),
      "success_percent": .optional(successPercent.map { Int64($0) }), "started_at": .time(start),
      "ended_at": .optional(end), "sales_method": .optional(salesMethod), "sales_stage": .string(salesStage),
      "summary": .string(summary), "content": .string(content), "expected_cents": .optional(expectedCents),
      "owner": .optional(owner), "version": .count(version),
    ]
  }
  static let schema = Schema.named(
    "Opportunity",
    .output(
      .required("id", .id("opportunity")), .required("customer_no", .nullable(.string())),
      .required("success_percent", .nullable(.integer())), .required("started_at", .time),
      .required("ended_at", .nullable(.time)), .required("sales_method", .nullable(.string())),
      .required("sales_stage", .string()), .required("summary", .string()), .required("content", .string()),
      .required("expected_cents", .nullable(.integer())), .required("owner", .nullable(.string())),
      .required("version", .integer(minimum: 1))))
}

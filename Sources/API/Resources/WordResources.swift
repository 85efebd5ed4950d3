import Channels
import ContactModel
import Store

/// The bank's own words: categories, queues, departments, customer types, and who works there.
extension RecordResources {
  var wordRoutes: [Route] {
    [
      words("listQueues", "queues", "Where requests wait") { try $0.queues() },
      words("listDepartments", "departments", "The bank's departments, a tree") { try $0.departments() },
      words("listCustomerTypes", "customer-types", "Types of customers, a tree") { try $0.customerTypes() },
      categories, agents, agent, putDepartment, putQueue, putAgent,
    ]
  }

  private func words(
    _ operationID: String, _ path: String, _ summary: String,
    _ read: @escaping @Sendable (any Connection) throws -> [NamedCode]
  ) -> Route {
    let item = Schema.named(
      "NamedCode",
      .output(
        .required("code", .string()),
        .required("parent", .nullable(.string()), "The one above; of a queue, its department"),
        .required("name_zh", .string()), .required("name_en", .string())))
    return Route(
      operationID, .get, "/v1/\(path)", summary: summary, tag: "words", access: .anyRole,
      answers: [.json(.output(.required("items", .array(item))), "By code")]
    ) { _ in
      let items = try await database.look(.live, read)
      return .json([
        "items": .array(
          items.map {
            [
              "code": .text($0.code), "parent": .optional($0.parent), "name_zh": .string($0.nameZh),
              "name_en": .string($0.nameEn),
            ]
          })
      ])
    }
  }

  private var putDepartment: Route {
    Route(
      "putDepartment", .put, "/v1/departments/{code}", summary: "Add a department or rename it", tag: "words",
      access: .roles(.integration), parameters: [.path("code", .string(minimum: 1, maximum: 64))],
      body: .init(
        .input(
          .optional("parent", .nullable(.string(maximum: 64))), .required("name_zh", .string(minimum: 1, maximum: 200)),
          .required("name_en", .string(minimum: 1, maximum: 200)))),
      answers: [.empty("It is there")]
    ) { call in
      let code: Code = try call.path("code")
      let parent: Code? = try call.member("parent")
      return try await database.act(call) { transaction, actor in
        let scope = try Scope(call, transaction)
        if try transaction.hasDepartment(code), !scope.includes(department: code) { throw Problem(.notFound) }
        // Whoever sees a part of the bank adds to that part.
        if scope.limits != nil, parent.map(scope.includes(department:)) != true { throw Problem.unknown("#/parent") }
        if let parent {
          guard try transaction.hasDepartment(parent) else { throw Problem.unknown("#/parent") }
          if try transaction.departments(under: code).contains(parent) { throw Problem.unknown("#/parent") }
        }
        try transaction.upsertDepartment(
          code, parent: parent, nameZh: call.body["name_zh"]?.string ?? "", nameEn: call.body["name_en"]?.string ?? "")
        try transaction.audit("department.put", code, after: call.body, by: actor, at: call.now)
        return .empty()
      }
    }
  }

  private var categories: Route {
    Route(
      "listCategories", .get, "/v1/categories", summary: "Categories of service requests in force now", tag: "words",
      access: .anyRole,
      answers: [
        .json(
          .output(
            .required(
              "items",
              .array(
                .named(
                  "Category",
                  .output(
                    .required("code", .string()), .required("name_zh", .string()), .required("name_en", .string()),
                    .required("queue", .string()), .required("severity", .integer()), .required("urgency", .integer()),
                    .required("respond_within_minutes", .integer())))))), "By code")
      ]
    ) { call in
      let versions = try await database.look { try $0.parameters("category", inForceAt: call.now) }
      let items = try versions.map { version -> JSONValue in
        try JSONReader.read(Array(version.body.utf8))
      }
      return .json(["items": .array(items)])
    }
  }

  private var agents: Route {
    Route(
      "listAgents", .get, "/v1/agents", summary: "Agents with their state and queues", tag: "desk",
      access: .roles(.agent, .supervisor, .integration, .auditor),
      answers: [.json(.output(.required("items", .array(Agent.schema))), "By id")]
    ) { call in
      let items = try await database.look { connection in
        let scope = try Scope(call, connection)
        return try connection.agents().filter { scope.includes(department: $0.department) }
      }
      return .json(["items": .array(items.map(\.json))])
    }
  }

  private var agent: Route {
    Route(
      "getAgent", .get, "/v1/agents/{agent}", summary: "One agent", tag: "desk",
      access: .roles(.agent, .supervisor, .integration, .auditor), parameters: [DeskResources.agent],
      answers: [.json(Agent.schema, "The agent")]
    ) { call in
      let id: AgentID = try call.path("agent")
      let found = try await database.look { connection in
        let scope = try Scope(call, connection)
        return try connection.agent(id).flatMap { scope.includes(department: $0.department) ? $0 : nil }
      }
      guard let agent = found else { throw Problem(.notFound) }
      return .json(agent.json, version: Int64(agent.version))
    }
  }
}

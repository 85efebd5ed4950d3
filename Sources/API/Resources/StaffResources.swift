import Channels
import ContactModel
import Store

/// Who works at the bank and where: agents and the queues they serve, brought in by the bank's directory or a supervisor.
extension RecordResources {
  private static let managers = Access.roles(.supervisor, .integration)

  var putQueue: Route {
    Route(
      "putQueue", .put, "/v1/queues/{code}", summary: "Add a queue, rename it or give it to a department", tag: "words",
      access: Self.managers, parameters: [.path("code", .string(minimum: 1, maximum: 64))],
      body: .init(
        .input(
          .optional("department", .nullable(.string(maximum: 64)), "The whole bank's without one"),
          .required("name_zh", .string(minimum: 1, maximum: 200)),
          .required("name_en", .string(minimum: 1, maximum: 200)))),
      answers: [.empty("It is there")]
    ) { call in
      let code: Code = try call.path("code")
      let department: Code? = try call.member("department")
      return try await database.act(call) { transaction, actor in
        let scope = try Scope(call, transaction)
        let before = try transaction.queues().first { $0.code == code }
        guard try scope.includes(queue: code) else { throw Problem(.notFound) }
        try Self.require(department, scope, transaction)
        try transaction.upsertQueue(
          code, nameZh: call.body["name_zh"]?.string ?? "", nameEn: call.body["name_en"]?.string ?? "",
          department: department)
        let old: JSONValue? = before.map {
          ["department": .optional($0.parent), "name_zh": .string($0.nameZh), "name_en": .string($0.nameEn)]
        }
        try transaction.audit("queue.put", code, before: old, after: call.body, by: actor, at: call.now)
        return .empty()
      }
    }
  }

  var putAgent: Route {
    Route(
      "putAgent", .put, "/v1/agents/{agent}",
      summary: "Add an agent, or change name, department, telephone and queues; the state is his own",
      tag: "desk", access: Self.managers, parameters: [DeskResources.agent],
      body: .init(
        .input(
          .required("name", .string(minimum: 1, maximum: 200)),
          .optional("department", .nullable(.string(maximum: 64)), "The whole bank's without one"),
          .optional("device", .nullable(.string(minimum: 1, maximum: 80)), "Telephone, for example PJSIP/1001"),
          .required("queues", .array(.string(minimum: 1, maximum: 64), maximum: 100), "All that he serves"))),
      answers: [.json(Agent.schema, "As he is now"), .json(Agent.schema, "He is new", status: 201)]
    ) { call in
      let id: AgentID = try call.path("agent")
      let department: Code? = try call.member("department")
      let queues = try Self.queues(call)
      return try await database.act(call) { transaction, actor in
        let scope = try Scope(call, transaction)
        let before = try transaction.agent(id)
        guard before.map({ scope.includes(department: $0.department) }) ?? true else { throw Problem(.notFound) }
        try call.condition.require(before?.version ?? 0)
        try Self.require(department, scope, transaction)
        let known = Set(try transaction.queues().map(\.code))
        for (index, queue) in queues.enumerated() {
          guard known.contains(queue), try scope.includes(queue: queue) else {
            throw Problem.unknown("#/queues/\(index)")
          }
        }
        let device = call.body["device"]?.string
        if let device, let holder = try transaction.agent(at: device), holder != id {
          throw Problem.unknown("#/device", "a telephone nobody else has")
        }
        try transaction.upsert(
          Agent(
            id: id, name: call.body["name"]?.string ?? "", department: department, device: device, queues: queues,
            state: .offline, stateSince: call.now), at: call.now)
        guard let after = try transaction.agent(id) else { throw Problem(.notFound) }
        try transaction.audit("agent.put", id, before: before?.json, after: after.json, by: actor, at: call.now)
        return .json(after.json, status: before == nil ? 201 : 200, version: Int64(after.version))
      }
    }
  }

  private static func queues(_ call: Call) throws -> [Code] {
    var seen = Set<Code>()
    for (index, value) in (call.body["queues"]?.array ?? []).enumerated() {
      guard let code = value.string.flatMap({ Code($0) }) else {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/queues/\(index)"), .format)])
      }
      seen.insert(code)
    }
    return seen.sorted()
  }

  /// 422 unless the department is there and the caller's to give; who sees a part of the bank adds to that part.
  private static func require(_ department: Code?, _ scope: Scope, _ connection: any Connection) throws {
    guard let department else {
      if scope.limits != nil { throw Problem.unknown("#/department") }
      return
    }
    guard try connection.hasDepartment(department), scope.includes(department: department) else {
      throw Problem.unknown("#/department")
    }
  }
}

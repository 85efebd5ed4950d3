import Channels
import ContactModel
import Store

/// What people do with a service request, each act one transaction with its events and its audit.
///
/// Acts that rest on what somebody saw demand If-Match; of two agents who take one request the second gets 412.
extension DeskResources {
  var requestActs: [Route] { [take, note, setStatus, assign, requeue, prioritise, reopen, close] }

  private static let reason = Schema.Member.optional("reason", .string(maximum: 500), "For the record")

  private func requestAct(
    _ operationID: String, _ word: String, summary: String, body: Schema?, needsCondition: Bool = true,
    access: Access = .roles(.agent, .supervisor, .integration),
    _ act: @escaping @Sendable (Call, WriteTransaction, Actor, ServiceRequest) throws -> ServiceRequest
  ) -> Route {
    Route(
      operationID, .post, "/v1/service-requests/{id}/\(word)", summary: summary, tag: "service-requests",
      access: access, parameters: [.path("id", .id("request"))], body: body.map { .init($0) },
      answers: [.json(ServiceRequest.schema, "The request as it is now")], needsCondition: needsCondition
    ) { call in
      let id: ServiceRequestID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        guard let before = try transaction.serviceRequest(id) else { throw Problem(.notFound) }
        try Scope(call, transaction).requireWork(on: before)
        let after = try act(call, transaction, actor, before)
        if after != before {
          try transaction.audit(
            "service_request.\(word)", id, customer: after.customerNo, reason: call.body["reason"]?.string,
            before: before.json, after: after.json, by: actor, at: call.now)
        }
        return .json(after.json, version: Int64(after.version))
      }
    }
  }

  private var take: Route {
    requestAct(
      "takeServiceRequest", "take", summary: "Take a request out of its queue; taking one's own again changes nothing",
      body: nil, access: .roles(.agent, .supervisor)
    ) { call, transaction, actor, before in
      guard let agent = actor.agent else {
        throw Problem(.forbidden, LocalizedText(zh: "只有坐席可以领取", en: "only agents take requests"))
      }
      if before.owner == agent, before.status == .inProgress { return before }
      try call.condition.require(before.version)
      return try transaction.take(before.id, by: agent, ifVersion: nil, actor: actor, at: call.now)
        .settled(version: \.version)
    }
  }

  private var note: Route {
    Route(
      "noteServiceRequest", .post, "/v1/service-requests/{id}/note", summary: "Write a note on a request",
      tag: "service-requests", access: .roles(.agent, .supervisor, .integration),
      parameters: [.path("id", .id("request"))],
      body: .init(
        .input(
          .required("text", .string(minimum: 1, maximum: 10_000)),
          .optional("contact_id", .id("contact"), "The contact it was made in"))),
      answers: [.json(NoteRecord.schema, "The note", status: 201)], needsIdempotencyKey: true
    ) { call in
      let id: ServiceRequestID = try call.path("id")
      let text = call.body["text"]?.string ?? ""
      let contact: ContactID? = try call.member("contact_id")
      return try await database.act(call) { transaction, actor in
        guard let request = try transaction.serviceRequest(id) else { throw Problem(.notFound) }
        try Scope(call, transaction).requireWork(on: request)
        if let contact, try !transaction.requests(of: contact).contains(where: { $0.id == id }) {
          throw Problem.unknown("#/contact_id")
        }
        let note = try transaction.note(text, on: id, contact: contact, actor: actor, at: call.now)
          .settled(version: { _ in 0 })
        let record = NoteRecord(noteId: note, author: actor.label, at: call.now, text: text)
        try transaction.audit(
          "service_request.note", id, customer: request.customerNo, after: record.json, by: actor, at: call.now)
        return .json(record.json, status: 201)
      }
    }
  }

  private var setStatus: Route {
    let words = ServiceRequest.Status.allCases.filter { $0 != .closed }.map(\.rawValue)
    return requestAct(
      "setServiceRequestStatus", "status", summary: "Move a request to another status",
      body: .input(
        .required("status", .word(words)),
        .optional("resolution", .string(maximum: 10_000), "What was done for the customer"),
        .optional("next_deadline", .time), Self.reason)
    ) { call, transaction, actor, before in
      try call.condition.require(before.version)
      guard let status = call.body["status"]?.string.flatMap(ServiceRequest.Status.init) else {
        throw Problem(.invalidInput)
      }
      let deadline = call.body["next_deadline"]?.string.flatMap { Timestamp($0) }
      return try transaction.setStatus(
        status, of: before.id, resolution: call.body["resolution"]?.string, ifVersion: nil, deadline: deadline,
        actor: actor, at: call.now
      ).settled(version: \.version)
    }
  }

  private var assign: Route {
    requestAct(
      "assignServiceRequest", "assign", summary: "Give a request to an agent; its age is kept",
      body: .input(.required("owner", .string(minimum: 1, maximum: 64), "Agent"), Self.reason)
    ) { call, transaction, actor, before in
      try call.condition.require(before.version)
      guard let owner: AgentID = try call.member("owner"), try transaction.agent(owner) != nil else {
        throw Problem.unknown("#/owner")
      }
      return try transaction.assign(
        before.id, to: owner, queue: nil, ifVersion: nil, reason: call.body["reason"]?.string ?? "", actor: actor,
        at: call.now
      ).settled(version: \.version)
    }
  }

  private var requeue: Route {
    requestAct(
      "requeueServiceRequest", "requeue", summary: "Put a request back into a queue; its age is kept",
      body: .input(.optional("queue", .string(minimum: 1, maximum: 64), "Its own if not given"), Self.reason)
    ) { call, transaction, actor, before in
      try call.condition.require(before.version)
      let queue: Code? = try call.member("queue")
      if let queue, try transaction.department(ofQueue: queue) == nil { throw Problem.unknown("#/queue") }
      return try transaction.assign(
        before.id, to: nil, queue: queue, ifVersion: nil, reason: call.body["reason"]?.string ?? "", actor: actor,
        at: call.now
      ).settled(version: \.version)
    }
  }

  private var prioritise: Route {
    requestAct(
      "prioritiseServiceRequest", "priority", summary: "How grave and how urgent a request is",
      body: .input(
        .optional("severity", .integer(minimum: 1, maximum: 4)),
        .optional("urgency", .integer(minimum: 1, maximum: 4)), Self.reason)
    ) { call, transaction, actor, before in
      try call.condition.require(before.version)
      return try transaction.setPriority(
        severity: call.body["severity"]?.integer.map(Int.init) ?? before.severity,
        urgency: call.body["urgency"]?.integer.map(Int.init) ?? before.urgency, of: before.id,
        reason: call.body["reason"]?.string ?? "", actor: actor, at: call.now
      ).settled(version: \.version)
    }
  }

  private var reopen: Route {
    requestAct(
      "reopenServiceRequest", "reopen", summary: "Bring a resolved request back to work",
      body: .input(Self.reason)
    ) { call, transaction, actor, before in
      try call.condition.require(before.version)
      guard before.status == .resolved else {
        throw Problem(
          .conflict,
          LocalizedText(zh: "只有已解决的请求可以重新打开", en: "only a resolved request can be reopened"))
      }
      let deadline = try transaction.deadline(forCategory: before.category, from: call.now)
      return try transaction.setStatus(
        before.owner == nil ? .open : .inProgress, of: before.id, resolution: nil, ifVersion: nil, deadline: deadline,
        actor: actor, at: call.now
      ).settled(version: \.version)
    }
  }

  private var close: Route {
    requestAct(
      "closeServiceRequest", "close", summary: "Close a request for good; a new contact opens a new one",
      body: .input(.optional("resolution", .string(maximum: 10_000)), Self.reason)
    ) { call, transaction, actor, before in
      try call.condition.require(before.version)
      return try transaction.setStatus(
        .closed, of: before.id, resolution: call.body["resolution"]?.string, ifVersion: nil, deadline: nil,
        actor: actor, at: call.now
      ).settled(version: \.version)
    }
  }
}

extension Connection {
  /// When a request of this category must be looked at, counted from `time`; nil if the category is not in force.
  func deadline(forCategory code: Code, from time: Timestamp) throws -> Timestamp? {
    let version = try parameters("category", inForceAt: time).first { $0.code == code.description }
    guard let version else { return nil }
    let category = try JSONText.decode(ContactModel.Category.self, from: version.body)
    return time + .seconds(category.respondWithinMinutes * 60)
  }
}

import Channels
import ContactModel
import Store

/// Contacts and service requests as lists and single things, search, decisions, and the bank's own words.
public struct RecordResources: Sendable {
  let database: Database
  let cursors: CursorSigner

  public init(database: Database, cursors: CursorSigner) {
    self.database = database
    self.cursors = cursors
  }

  public var routes: [Route] {
    [listContacts, getContact, listRequests, getRequest, search, listDecisions, getDecision] + wordRoutes
      + workRoutes + linkRoutes + groupRoutes
  }

  static let readers = Access.roles(.agent, .supervisor, .integration, .auditor)
  static let writers = Access.roles(.agent, .supervisor, .integration)

  private var listContacts: Route {
    Route(
      "listContacts", .get, "/v1/contacts", summary: "Contacts over all channels, newest first", tag: "contacts",
      access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("customer_no", .string(maximum: 32)), .query("channel", .string(maximum: 40)),
        .query("channel_kind", .string(maximum: 40)),
        .query("direction", .word(Contact.Direction.allCases.map(\.rawValue))),
        .query("state", .word(Contact.State.allCases.map(\.rawValue))), .query("queue", .string(maximum: 64)),
        .query("agent", .string(maximum: 64)), .query("from", .time, "Received at or after"),
        .query("until", .time, "Received before"),
      ],
      answers: [.json(.page(of: Contact.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      var filter = ContactFilter()
      filter.customerNo = try call.filter("customer_no")
      filter.channel = call.text("channel")
      filter.channelKind = call.text("channel_kind")
      filter.direction = call.text("direction").flatMap(Contact.Direction.init)
      filter.state = call.text("state").flatMap(Contact.State.init)
      filter.queue = try call.filter("queue")
      filter.agent = try call.filter("agent")
      filter.from = call.time("from")
      filter.until = call.time("until")
      var last: (received: Timestamp, id: ContactID)?
      if page.after.count == 2, let time = page.after[0].integer,
        let id = page.after[1].string.flatMap({ ContactID($0) })
      {
        last = (Timestamp(microseconds: time), id)
      }
      let (wanted, after) = (filter, last)
      return try await database.look(call, purpose: "list") { connection in
        var wanted = wanted
        wanted.scope = try Scope(call, connection).limits
        let contacts = try connection.contacts(matching: wanted, after: after, limit: page.limit)
        let reply = page.reply(
          contacts, keys: { [.integer($0.times.received.microseconds), .text($0.id)] }, json: \.json)
        return (reply, seen: sights(contacts.prefix(page.size).map { ($0.customerNo, $0.id.description) }))
      }
    }
  }

  private var getContact: Route {
    let leg = Schema.output(
      .required("position", .integer()), .required("device", .string()), .required("agent", .nullable(.string())),
      .required("state", .string()), .required("from_at", .time), .required("to_at", .nullable(.time)),
      .required("outcome", .nullable(.string())))
    let attachment = Schema.output(
      .required("position", .integer(minimum: 0), "Names it in its address"), .required("name", .nullable(.string())),
      .required("media_type", .string()), .required("size", .integer()),
      .required("sha256", .string()))
    return Route(
      "getContact", .get, "/v1/contacts/{id}", summary: "A contact with its legs, attachments and requests",
      tag: "contacts", access: Self.readers, parameters: [.path("id", .id("contact"))],
      answers: [
        .json(
          .output(
            .required("contact", Contact.schema), .required("legs", .array(leg)),
            .required("attachments", .array(attachment)), .required("request_ids", .array(.id("request"))),
            .required("call", .nullable(.any), "Of a call: its course in the switch's own terms"),
            .required(
              "properties", .map(.string()),
              "Of a message: what its channel said beside the content (fax.pages, fax.tsi, fax.complete, header.date, …)"
            )),
          "The contact")
      ]
    ) { call in
      let id: ContactID = try call.path("id")
      return try await database.look(call, purpose: "contact") { connection in
        guard let contact = try connection.contact(id) else { throw Problem(.notFound) }
        guard try Scope(call, connection).includes(contact) else { throw Problem(.notFound) }
        let legs = try connection.legs(of: id).map { leg -> JSONValue in
          [
            "position": .count(leg.position), "device": .string(leg.device), "agent": .optional(leg.agent),
            "state": .string(leg.state), "from_at": .time(leg.from), "to_at": .optional(leg.to),
            "outcome": .optional(leg.outcome),
          ]
        }
        let parts = try connection.attachments(of: id).map { part -> JSONValue in
          [
            "position": .count(part.position), "name": .optional(part.name), "media_type": .string(part.mediaType),
            "size": .count(part.size),
            "sha256": .string(part.sha256),
          ]
        }
        let requests = try connection.requestIDs(of: [id])[id] ?? []
        let call = try connection.call(of: id).map { CallRecord(try $0.state(), answerQueue: $0.answerQueue) }
        let value: JSONValue = [
          "contact": contact.json, "legs": .array(legs), "attachments": .array(parts),
          "request_ids": .array(requests.map { .text($0) }),
          "call": try call.map(JSONValue.encoding) ?? .null,
          "properties": .object(
            JSONObject(
              try connection.properties(of: id).sorted { $0.key < $1.key }.map {
                .init(name: $0.key, value: .string($0.value))
              })),
        ]
        return (
          Reply.json(value, version: Int64(contact.version)), seen: sights([(contact.customerNo, id.description)])
        )
      }
    }
  }

  private var listRequests: Route {
    Route(
      "listServiceRequests", .get, "/v1/service-requests", summary: "Service requests, newest first",
      tag: "service-requests", access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("status", .array(.word(ServiceRequest.Status.allCases.map(\.rawValue)), maximum: 5)),
        .query("queue", .string(maximum: 64)), .query("owner", .string(maximum: 64)),
        .query("waiting", .boolean, "true: nobody owns it"), .query("customer_no", .string(maximum: 32)),
        .query("category", .string(maximum: 64)), .query("channel_kind", .string(maximum: 40)),
        .query("due_before", .time), .query("from", .time, "Begun at or after"), .query("until", .time, "Begun before"),
      ],
      answers: [.json(.page(of: ServiceRequest.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: ServiceRequestID? = try page.last()
      var filter = RequestFilter()
      filter.statuses = call.parameters["status"]?.array.map {
        $0.compactMap { $0.string.flatMap(ServiceRequest.Status.init) }
      }
      filter.queue = try call.filter("queue")
      filter.owner = try call.filter("owner")
      filter.isWaiting = call.parameters["waiting"]?.bool
      filter.customerNo = try call.filter("customer_no")
      filter.category = try call.filter("category")
      filter.channelKind = call.text("channel_kind")
      filter.dueBefore = call.time("due_before")
      filter.from = call.time("from")
      filter.until = call.time("until")
      let wanted = filter
      return try await database.look(call, purpose: "list") { connection in
        var wanted = wanted
        wanted.scope = try Scope(call, connection).limits
        let requests = try connection.serviceRequests(matching: wanted, after: last, limit: page.limit)
        let reply = page.reply(requests, keys: { [.text($0.id)] }, json: \.json)
        return (reply, seen: sights(requests.prefix(page.size).map { ($0.customerNo, $0.id.description) }))
      }
    }
  }

  private var getRequest: Route {
    Route(
      "getServiceRequest", .get, "/v1/service-requests/{id}", summary: "A request with its contacts and notes",
      tag: "service-requests", access: Self.readers, parameters: [.path("id", .id("request"))],
      answers: [
        .json(
          .output(
            .required("request", ServiceRequest.schema), .required("contacts", .array(Contact.schema)),
            .required("notes", .array(NoteRecord.schema))), "The request")
      ]
    ) { call in
      let id: ServiceRequestID = try call.path("id")
      return try await database.look(call, purpose: "contact") { connection in
        guard let request = try connection.serviceRequest(id) else { throw Problem(.notFound) }
        let scope = try Scope(call, connection)
        guard try scope.includes(request) else { throw Problem(.notFound) }
        let contacts = try connection.contacts(of: id).suffix(200).filter(scope.includes)
        let value: JSONValue = [
          "request": request.json, "contacts": .array(contacts.map(\.json)),
          "notes": .array(try connection.notes(on: id).suffix(500).map(\.json)),
        ]
        return (
          Reply.json(value, version: Int64(request.version)), seen: sights([(request.customerNo, id.description)])
        )
      }
    }
  }

  private var search: Route {
    Route(
      "search", .get, "/v1/search",
      summary: "Contacts and requests by the words in them, Chinese words of two characters and more included",
      tag: "search", access: Self.readers,
      parameters: [
        .query("q", .string(minimum: 1, maximum: 200), "Every word must occur"),
        .query("in", .word(["contacts", "service_requests"]), "Both if not given"),
        .query("page_size", .integer(minimum: 1, maximum: 200), "Of each; 50 if not given"),
      ],
      answers: [
        .json(
          .output(
            .required("contacts", .array(Contact.schema), "Newest first"),
            .required("service_requests", .array(ServiceRequest.schema), "Newest first")), "What was found")
      ]
    ) { call in
      guard let text = call.text("q") else {
        throw Problem(.invalidInput, violations: [Violation(.parameter("q"), .required)])
      }
      let place = call.text("in")
      let limit = Int(call.integer("page_size") ?? 50)
      return try await database.look(call, purpose: "search") { connection in
        let scope = try Scope(call, connection)
        var contacts: [Contact] = []
        var requests: [ServiceRequest] = []
        if place != "service_requests" {
          contacts = try found(text, limit, connection, connection.contacts, \.id, scope.includes)
        }
        if place != "contacts" {
          requests = try found(text, limit, connection, connection.serviceRequests, \.id, scope.includes)
        }
        let value: JSONValue = [
          "contacts": .array(contacts.map(\.json)), "service_requests": .array(requests.map(\.json)),
        ]
        let seen =
          contacts.map { ($0.customerNo, $0.id.description) } + requests.map { ($0.customerNo, $0.id.description) }
        return (Reply.json(value), seen: sights(seen))
      }
    }
  }

  /// What matches and may be seen, newest first. Hits of other departments are passed over, at most 50 pages of them.
  private func found<Kind, Value>(
    _ text: String, _ limit: Int, _ connection: any Connection, _ read: ([Identifier<Kind>]) throws -> [Value],
    _ id: (Value) -> Identifier<Kind>, _ includes: (Value) throws -> Bool
  ) throws -> [Value] {
    var out: [Value] = []
    var last: Identifier<Kind>?
    for _ in 0..<50 {
      let ids = try connection.search(text, for: Kind.self, before: last, limit: limit)
      out += try read(ids).filter(includes)
      guard out.count < limit, ids.count == limit else { break }
      last = ids.last
    }
    return Array(out.sorted { id($0) > id($1) }.prefix(limit))
  }

  private var listDecisions: Route {
    Route(
      "listDecisions", .get, "/v1/decisions", summary: "What was decided about a subject, in order", tag: "decisions",
      access: Self.readers,
      parameters: [.query("subject", .string(minimum: 1, maximum: 90), "The id of a contact, request or job")],
      answers: [.json(.output(.required("items", .array(DecisionRecord.schema))), "At most 500")]
    ) { call in
      guard let subject = call.text("subject") else {
        throw Problem(.invalidInput, violations: [Violation(.parameter("subject"), .required)])
      }
      return try await database.look(call, purpose: "explain") { connection in
        let scope = try Scope(call, connection)
        let isSeen = try scope.includes(subject: subject)
        let decisions = try connection.decisions(about: isSeen ? [subject] : [], limit: 500).filter {
          try ContactID(subject) != nil || ServiceRequestID(subject) != nil || scope.includes(customer: $0.customerNo)
        }
        return (
          Reply.json(["items": .array(decisions.map(\.json))]), seen: sights(decisions.map { ($0.customerNo, subject) })
        )
      }
    }
  }

  private var getDecision: Route {
    Route(
      "getDecision", .get, "/v1/decisions/{id}", summary: "One decision with its inputs and reasons", tag: "decisions",
      access: Self.readers, parameters: [.path("id", .id("decision"))],
      answers: [.json(DecisionRecord.schema, "The decision")]
    ) { call in
      let id: DecisionID = try call.path("id")
      return try await database.look(call, purpose: "explain") { connection in
        guard let decision = try connection.decision(id) else { throw Problem(.notFound) }
        let scope = try Scope(call, connection)
        guard try scope.includes(subject: decision.subject),
          try ContactID(decision.subject) != nil || ServiceRequestID(decision.subject) != nil
            || scope.includes(customer: decision.customerNo)
        else { throw Problem(.notFound) }
        return (Reply.json(decision.json), seen: sights([(decision.customerNo, id.description)]))
      }
    }
  }
}

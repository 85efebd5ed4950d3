import Channels
import ContactModel
import Store

/// The log of everything that happened, as a list and as a stream, for supervisors and programs.
extension OperatorResources {
  var events: Route {
    Route(
      "listEvents", .get, "/v1/events", summary: "The event log in order", tag: "events",
      access: .roles(.supervisor, .integration, .auditor),
      parameters: [
        .query("after", .integer(minimum: 0), "The last seq seen; from the beginning if not given"),
        .query("type", .word(EventType.allCases.map(\.rawValue)), "Of this type alone"),
        .query("subject", .string(minimum: 1, maximum: 90), "About this alone"),
        .query("page_size", .integer(minimum: 1, maximum: 1_000), "100 if not given"),
      ],
      answers: [
        .json(
          .output(
            .required("items", .array(EventRecord.schema)),
            .required("last_seq", .integer(minimum: 0), "Ask for what comes after this")), "Some events")
      ]
    ) { call in
      let after = call.integer("after") ?? 0
      let type = call.text("type").flatMap(EventType.init)
      let subject = call.text("subject")
      let limit = call.pageSize
      return try await database.look(call, purpose: "events") { connection in
        let events = try connection.events(
          after: after, for: try Scope(call, connection).audience, type: type, about: subject, limit: limit)
        return (
          Reply.json([
            "items": .array(events.map(\.json)), "last_seq": .integer(events.last?.seq ?? after),
          ]), seen: sights(events.flatMap(\.seen).map { ($0.customer, $0.subject) })
        )
      }
    }
  }

  /// The stream of everything the caller may hear of.
  func everything(_ call: Call, under subject: String) async throws -> Reply {
    let actor = try Actor(call)
    try await database.record([Sight(customer: nil, subject: subject)], by: actor, purpose: "stream", at: call.now)
    let audience = try await database.look { try Scope(call, $0).audience }
    return .events(
      EventFeed(
        database, hub: hub, journal: journal, topics: [EventBridge.all], audience: audience, popsOnly: false,
        by: actor, call: call))
  }

  var eventStream: Route {
    Route(
      "streamEvents", .get, "/v1/events/stream", summary: "Everything that happens, as it happens", tag: "events",
      access: .roles(.supervisor, .integration, .auditor),
      parameters: [.header("Last-Event-ID", .string(maximum: 40), "Where the client was")],
      answers: [.other("text/event-stream", "Events named by type, their data an Event")]
    ) { call in
      try await everything(call, under: "events")
    }
  }
}

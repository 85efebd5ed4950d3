import Channels
import ContactModel
import Store

extension EventRecord {
  /// The event as streams, lists and webhooks give it: what it is about beside its body.
  var json: JSONValue {
    [
      "seq": .integer(seq), "type": .string(type.rawValue), "at": .time(at), "subject": .string(subject),
      "contact_id": .optional(contact), "request_id": .optional(request), "customer_no": .optional(customerNo),
      "channel": .optional(channel), "agent": .optional(agent), "queue": .optional(queue), "actor": .optional(actor),
      "body": storedBody,
    ]
  }

  /// The store writes JSON objects alone; should one not be readable, the event is shown without it.
  private var storedBody: JSONValue { (try? JSONReader.read(Array(body.utf8))) ?? .null }

  var streamEvent: StreamEvent {
    let value = json
    return StreamEvent(sequence: seq, type: type.rawValue, data: value, seen: seen(in: value))
  }

  /// Every customer the event shows, a pop's candidates too.
  var seen: [Sight] { seen(in: json) }
  private func seen(in value: JSONValue) -> [Sight] {
    let subject = contact?.description ?? self.subject
    return value.customers.sorted().map { Sight(customer: $0, subject: subject) }
  }

  static let schema = Schema.named(
    "Event",
    .output(
      .required("seq", .integer(minimum: 0), "Rises in the order of commits; the id of streams"),
      .required("type", .string(), "One of a list that grows"), .required("at", .time),
      .required("subject", .string(), "The id of what it is about"), .required("contact_id", .nullable(.id("contact"))),
      .required("request_id", .nullable(.id("request"))), .required("customer_no", .nullable(.string())),
      .required("channel", .nullable(.string())), .required("agent", .nullable(.string())),
      .required("queue", .nullable(.string())), .required("actor", .nullable(.string())), .required("body", .any)))
}

/// Brings committed events to the open streams. The composition root attaches it: `database.observe(bridge.publish)`.
///
/// Called on the writer's thread before the writers resume, so a stream has an event no later than its cause is
/// acknowledged; an event nobody is listening for costs a look at a table.
public struct EventBridge: Sendable {
  static let all = "all"
  static func topic(_ agent: AgentID) -> String { "agent:\(agent)" }
  static func topic(_ queue: Code) -> String { "queue:\(queue)" }

  private let hub: StreamHub
  public init(hub: StreamHub) { self.hub = hub }

  public func publish(_ values: [any Sendable]) {
    for case let event as EventRecord in values { publish(event) }
  }

  private func publish(_ event: EventRecord) {
    var topics: Set<String> = [Self.all]
    if event.type.isForScreens {
      if let agent = event.agent {
        topics.insert(Self.topic(agent))
      } else if let queue = event.queue {
        topics.insert(Self.topic(queue))
      }
    }
    guard topics.contains(where: { hub.streams(of: $0) > 0 }) else { return }
    hub.publish(event.streamEvent, to: topics)
  }
}

extension EventFeed {
  /// A stream out of the store's log. An id more than 100,000 events back is answered by a reset: reading the snapshot
  /// costs less than replaying a day.
  init(
    _ database: Database, hub: StreamHub, journal: ReadJournal, topics: Set<String>, audience: EventAudience,
    popsOnly: Bool, by actor: Actor, call: Call
  ) {
    // The hub tells everybody of everything; who is limited is asked for each event.
    var admits: (@Sendable (Int64) async throws -> Bool)?
    if case .within = audience {
      admits = { seq in try await database.read { try $0.event(seq, for: audience) != nil } }
    }
    self.init(
      hub: hub, topics: topics, mask: call.mask, lastEventID: call.lastEventID,
      newest: { try await database.read { try $0.lastEventSequence() } },
      replay: { after in
        try await database.read { connection in
          let newest = try connection.lastEventSequence()
          guard after <= newest, newest - after <= 100_000, after >= (try connection.firstEventSequence()) - 1 else {
            return .unknown(newest: newest)
          }
          var last = after
          while true {
            let events = try connection.events(after: last, for: audience, limit: 500)
            guard let end = events.last else { return .events([], isComplete: true) }
            last = end.seq
            let wanted = popsOnly ? events.filter(\.type.isForScreens) : events
            let isComplete = events.count < 500
            if !wanted.isEmpty || isComplete {
              return .events(wanted.map(\.streamEvent), isComplete: isComplete)
            }
          }
        }
      },
      admits: admits,
      record: { seen, time in
        try await journal.record(seen.map { AuditEntry($0, by: actor, purpose: "stream", at: time) })
      })
  }
}

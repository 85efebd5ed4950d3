import Channels
import ContactModel
import Desk
import Store

/// How the things of the desk look from outside: the JSON of each beside its schema.
extension ServiceRequest {
  var json: JSONValue {
    [
      "id": .text(id), "reference": .optional(reference), "customer_no": .optional(customerNo),
      "started_at": .time(start), "ended_at": .optional(end), "summary": .string(summary), "content": .string(content),
      "status": .string(status.rawValue), "sub_status": .optional(subStatus), "severity": .count(severity),
      "urgency": .count(urgency), "category": .text(category), "queue": .optional(queue), "owner": .optional(owner),
      "next_deadline": .optional(nextDeadline), "channel_kind": .string(channel.kind.rawValue),
      "channel": .string(channel.name), "version": .count(version),
    ]
  }
  static let schema = Schema.named(
    "ServiceRequest",
    .output(
      .required("id", .id("request")),
      .required("reference", .nullable(.string()), "What the customer was told to quote"),
      .required("customer_no", .nullable(.string()), "Null while nobody knows who it is"),
      .required("started_at", .time), .required("ended_at", .nullable(.time)), .required("summary", .string()),
      .required("content", .string()), .required("status", .word(Status.allCases.map(\.rawValue))),
      .required("sub_status", .nullable(.string())),
      .required("severity", .integer(minimum: 1, maximum: 4), "1 is gravest"),
      .required("urgency", .integer(minimum: 1, maximum: 4), "1 is most urgent"), .required("category", .string()),
      .required("queue", .nullable(.string())), .required("owner", .nullable(.string())),
      .required("next_deadline", .nullable(.time), "By when somebody must have acted"),
      .required("channel_kind", .string()), .required("channel", .string()),
      .required("version", .integer(minimum: 1), "The ETag is \"v\" and this number")))
}

extension Agent {
  var json: JSONValue {
    [
      "agent_id": .text(id), "name": .string(name), "department": .optional(department), "device": .optional(device),
      "queues": .array(queues.map { .text($0) }), "state": .string(state.rawValue),
      "state_reason": .optional(stateReason), "state_since": .time(stateSince),
      "next_state": .optional(nextState?.rawValue), "next_reason": .optional(nextReason),
      "wrap_up_until": .optional(wrapUpUntil), "logged_in_at": .optional(loggedInAt),
      "login_queues": .array(loginQueues.map { .text($0) }), "version": .count(version),
    ]
  }
  static let schema = Schema.named(
    "Agent",
    .output(
      .required("agent_id", .string()), .required("name", .string()), .required("department", .nullable(.string())),
      .required("device", .nullable(.string()), "Telephone, for example PJSIP/1001"),
      .required("queues", .array(.string())), .required("state", .word(State.allCases.map(\.rawValue))),
      .required("state_reason", .nullable(.string())), .required("state_since", .time),
      .required("next_state", .nullable(.string()), "What he asked for while busy; holds after the call"),
      .required("next_reason", .nullable(.string())),
      .required("wrap_up_until", .nullable(.time), "The end of his work after a call"),
      .required("logged_in_at", .nullable(.time)),
      .required("login_queues", .array(.string()), "Those of his queues in which he takes calls"),
      .required("version", .integer(minimum: 1))))
}

extension Address {
  var json: JSONValue {
    ["kind": .string(kind.rawValue), "canonical": .string(canonical), "raw": .string(raw)]
  }
  static let schema = Schema.named(
    "Address",
    .output(
      .required("kind", .word(Kind.allCases.map(\.rawValue))),
      .required("canonical", .string(), "E.164 or lower case; equal to raw when there is no normal form"),
      .required("raw", .string(), "As the wire gave it")))
}

extension Contact {
  var json: JSONValue {
    [
      "id": .text(id), "customer_no": .optional(customerNo), "channel_kind": .string(channel.kind.rawValue),
      "channel": .string(channel.name), "direction": .string(direction.rawValue),
      "initiation": .string(initiation.rawValue), "state": .string(state.rawValue), "from": from?.json ?? .null,
      "to": to?.json ?? .null, "language": .optional(language), "summary": .string(summary),
      "content": .string(content), "category": .optional(category), "queue": .optional(queue),
      "agent": .optional(agent), "answered": .bool(answered), "disposition": .optional(disposition),
      "ended_by": .optional(endedBy), "wrap_up_code": .optional(wrapUpCode),
      "identity": [
        "zone": .string(identity.zone.rawValue), "decision_id": .text(identity.decision),
        "confirmed_by": .optional(identity.confirmedBy),
      ],
      "chain": [
        "initial_id": .optional(chain.initial), "previous_id": .optional(chain.previous),
        "next_id": .optional(chain.next), "related_id": .optional(chain.related),
      ],
      "provider_id": .optional(providerID), "arrival_id": .optional(arrival), "late": .bool(late),
      "received_at": .time(times.received), "stored_at": .time(times.stored),
      "identified_at": .optional(times.identified), "enqueued_at": .optional(times.enqueued),
      "offered_at": .optional(times.offered), "accepted_at": .optional(times.accepted),
      "connected_at": .optional(times.connected), "ended_at": .optional(times.ended),
      "closed_at": .optional(times.closed), "version": .count(version),
    ]
  }
  static let schema = Schema.named(
    "Contact",
    .output(
      .required("id", .id("contact")), .required("customer_no", .nullable(.string())),
      .required("channel_kind", .string()), .required("channel", .string()),
      .required("direction", .word(Direction.allCases.map(\.rawValue))),
      .required("initiation", .word(Initiation.allCases.map(\.rawValue))),
      .required("state", .word(State.allCases.map(\.rawValue))), .required("from", .nullable(Address.schema)),
      .required("to", .nullable(Address.schema)), .required("language", .nullable(.string())),
      .required("summary", .string()), .required("content", .string()), .required("category", .nullable(.string())),
      .required("queue", .nullable(.string())), .required("agent", .nullable(.string())),
      .required("answered", .boolean, "The customer has been spoken to or answered"),
      .required("disposition", .nullable(.string())), .required("ended_by", .nullable(.string())),
      .required("wrap_up_code", .nullable(.string())),
      .required(
        "identity",
        .output(
          .required("zone", .word(IdentityZone.allCases.map(\.rawValue))), .required("decision_id", .id("decision")),
          .required("confirmed_by", .nullable(.string())))),
      .required(
        "chain",
        .output(
          .required("initial_id", .nullable(.id("contact"))), .required("previous_id", .nullable(.id("contact"))),
          .required("next_id", .nullable(.id("contact"))), .required("related_id", .nullable(.id("contact"))))),
      .required("provider_id", .nullable(.string())), .required("arrival_id", .nullable(.id("arrival"))),
      .required("late", .boolean, "Taken in long after it was received"), .required("received_at", .time),
      .required("stored_at", .time), .required("identified_at", .nullable(.time)),
      .required("enqueued_at", .nullable(.time)), .required("offered_at", .nullable(.time)),
      .required("accepted_at", .nullable(.time)), .required("connected_at", .nullable(.time)),
      .required("ended_at", .nullable(.time)), .required("closed_at", .nullable(.time)),
      .required("version", .integer(minimum: 1))))
}

extension NoteRecord {
  var json: JSONValue {
    ["id": .text(noteId), "author": .string(author), "at": .time(at), "text": .string(text)]
  }
  static let schema = Schema.named(
    "Note",
    .output(
      .required("id", .id("note")), .required("author", .string()), .required("at", .time),
      .required("text", .string())))
}

extension ScreenPop {
  /// Everyone whom this pop shows.
  var seen: [Sight] {
    let numbers = [customer?.customerNo].compactMap(\.self) + candidates.map(\.customerNo)
    return numbers.map { Sight(customer: $0, subject: contact.contactId.description) }
  }
  static let schema = Schema.named(
    "ScreenPop",
    .output(
      .required("contact", .output(.required("contact_id", .id("contact")), .required("summary", .string()))),
      .required("tie_zone", .word(IdentityZone.allCases.map(\.rawValue)), "How sure it is who this is"),
      .optional("request", .output(.required("request_id", .id("request")), .required("version", .integer()))),
      .optional("call", .any, "Of a call: how it came here, and what the agent's device does in it now"),
      .required("candidates", .array(.any)), .required("open_requests", .array(.any)),
      .required("last_contacts", .array(.any)), .required("notes", .array(.any)),
      .required("allowed_actions", .array(.string()))))
}

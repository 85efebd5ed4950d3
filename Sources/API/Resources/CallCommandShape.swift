import Channels
import ContactModel
import Store

extension CallCommandRecord {
  /// The command as answers give it; its events have the same members.
  var json: JSONValue {
    [
      "command_id": .text(commandId), "server": .string(server), "action": .string(action),
      "call_id": .optional(callId), "device": .optional(device), "agent": .optional(agent),
      "customer_no": .optional(customerNo),
      "detail": .object(
        JSONObject(detail.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .string($0.value)) })),
      "state": .string(state.rawValue), "outcome": .optional(outcome),
      "fault_code": .optional(faultCode?.rawValue), "fault_text": .optional(faultText), "actor": .string(actor),
      "created_at": .time(createdAt), "sent_at": .optional(sentAt), "settled_at": .optional(settledAt),
      "version": .count(version),
    ]
  }

  static let schema = Schema.named(
    "CallCommand",
    .output(
      .required("command_id", .id("command")), .required("server", .string(), "The switch"),
      .required("action", .word(CallCommand.Action.words)), .required("call_id", .nullable(.string())),
      .required("device", .nullable(.string()), "The telephone concerned"),
      .required("agent", .nullable(.string()), "Who is told on his stream"),
      .required("customer_no", .nullable(.string())),
      .required("detail", .map(.string()), "What was ordered: to, with, reference, mode, …"),
      .required(
        "state", .word(State.allCases.map(\.rawValue)),
        "given and sending pass; accepted: the switch has taken it; done: seen to happen; failed: surely not done; "
          + "in_doubt: nobody knows, it is not sent again, and what is seen later still settles it"),
      .required("outcome", .nullable(.string()), "answered, held, transferred, consulting, busy, …"),
      .required("fault_code", .nullable(.word(Fault.Code.allCases.map(\.rawValue)))),
      .required("fault_text", .nullable(.string())), .required("actor", .string()), .required("created_at", .time),
      .required("sent_at", .nullable(.time)),
      .required("settled_at", .nullable(.time), "Null while something may still be told"),
      .required("version", .integer(minimum: 1))))
}

extension LiveCall {
  func json() throws -> JSONValue {
    var object = try JSONValue.encoding(state).object ?? JSONObject()
    object["devices"] = .array(devices.sorted().map(JSONValue.string))
    return .object(object)
  }

  static let schema = Schema.named(
    "LiveCall",
    .output(
      .required("server", .string()), .required("call_id", .string()),
      .required("direction", .word(CallState.Direction.allCases.map(\.rawValue))),
      .required("devices", .array(.string()), "Telephones of ours with a part in it now"),
      .optional("caller", Address.schema), .optional("caller_name", .string()), .optional("dialled", Address.schema),
      .optional("customer_no", .string(), "As keyed in; a claim"), .optional("queue", .string()),
      .required("created", .time), .optional("queued", .time), .optional("connected", .time),
      .required("legs", .array(.any)), .required("offers", .array(.any)), .required("transfers", .array(.any)),
      .required("holds", .array(.any)), .required("recordings", .array(.any)),
      .required("consultations", .array(.any))))
}

import Channels
import ContactModel
import Desk
import Store

/// The dial plan's question, for those that speak HTTP.
extension CallResources {
  var routing: Route {
    Route(
      "getCallRouting", .get, "/v1/call-routing",
      summary: "Who should get this call: asked by the dial plan before it queues the caller", tag: "calls",
      access: .roles(.integration, .supervisor),
      parameters: [
        .query("from", .string(maximum: 80), "The caller's number as the switch has it; empty if withheld"),
        .query("did", .string(maximum: 80), "The number of ours that was dialled"),
        .query("customer_no", .string(maximum: 32), "As keyed in by the caller"),
        .query("call_id", .string(maximum: 200), "The switch's name of the call; the decision is filed under it"),
      ],
      answers: [.json(CallRoute.schema, "Always an answer: by the number alone if nobody could be looked up in time")]
    ) { call in
      func given(_ name: String) -> String? { call.text(name).flatMap { $0.isEmpty ? nil : $0 } }
      let question = CallRoutingQuestion(
        from: given("from"), did: given("did"), customerNo: given("customer_no"), callID: given("call_id"))
      return .json(await router.route(question, for: try Actor(call)).json)
    }
  }
}

extension CallRoute {
  var json: JSONValue {
    [
      "queue": .text(queue), "priority": .count(priority), "language": .string(language),
      "basis": .string(basis.rawValue), "customer_no": .optional(customerNo),
      "level": level.map(JSONValue.count) ?? .null,
      "manager": manager.map {
        [
          "agent_id": .text($0.agentId), "device": .optional($0.device), "state": .string($0.state.rawValue),
          "first": .bool($0.first),
        ]
      } ?? .null,
      "candidates": .count(candidates), "is_fallback": .bool(isFallback), "rule_version": .count(ruleVersion),
      "reasons": .array(reasons.map(JSONValue.string)),
    ]
  }

  static let schema = Schema.named(
    "CallRoute",
    .output(
      .required("queue", .string()), .required("priority", .integer(), "Higher goes first"),
      .required("language", .string()), .required("basis", .word(Basis.allCases.map(\.rawValue))),
      .required("customer_no", .nullable(.string()), "Presumed; opens the screen and is no authentication"),
      .required("level", .nullable(.integer()), "1 is the most important"),
      .required(
        "manager",
        .nullable(
          .output(
            .required("agent_id", .string()), .required("device", .nullable(.string())),
            .required("state", .word(Agent.State.allCases.map(\.rawValue))),
            .required("first", .boolean, "Ring him before the queue")))),
      .required("candidates", .integer(minimum: 0), "How many customers the calling number would fit"),
      .required("is_fallback", .boolean, "No customer could be looked up, or put on record, in time"),
      .required("rule_version", .integer(minimum: 0)), .required("reasons", .array(.string()))))
}

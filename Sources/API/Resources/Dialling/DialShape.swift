import Channels
import ContactModel
import Outbound
import Store

extension DialRecord {
  /// As answers and events give it.
  var json: JSONValue {
    [
      "dial_id": .text(dialId), "job_id": .text(jobId), "campaign_id": .optional(campaignId),
      "customer_no": .optional(customerNo), "channel": .string(channel), "agent_id": .text(agentId),
      "device": .string(device), "queue": .optional(queue), "mode": .string(mode.rawValue),
      "state": .string(state.rawValue), "reason": .optional(reason), "offered_at": .time(offeredAt),
      "expires_at": .time(expiresAt), "attempt_id": .optional(attemptId), "command_id": .optional(commandId),
      "server": .optional(server), "call_id": .optional(callId), "to": .optional(to),
      "dialled_at": .optional(dialledAt),
      "answered_at": .optional(answeredAt), "ended_at": .optional(endedAt), "outcome": .optional(outcome?.rawValue),
      "result": .optional(result), "result_means": .optional(resultMeans?.rawValue),
      "result_note": .optional(resultNote), "result_by": .optional(resultBy), "call_back_at": .optional(callBackAt),
      "result_due": .optional(resultDue), "version": .count(version),
    ]
  }

  static let schema = Schema.named(
    "Dial",
    .output(
      .required("dial_id", .id("dial")), .required("job_id", .id("job")),
      .required("campaign_id", .nullable(.id("campaign"))), .required("customer_no", .nullable(.string())),
      .required("channel", .string()), .required("agent_id", .string()), .required("device", .string()),
      .required("queue", .nullable(.string())), .required("mode", .word(CampaignPlan.Dial.allCases.map(\.rawValue))),
      .required(
        "state", .word(State.allCases.map(\.rawValue)),
        "offered, dialled, talking, wrap_up and in_doubt pass; declined, lapsed, withdrawn and ended are final"),
      .required("reason", .nullable(.string()), "Why it was declined or withdrawn"), .required("offered_at", .time),
      .required("expires_at", .time, "Then the next agent is asked"),
      .required("attempt_id", .nullable(.id("attempt"))), .required("command_id", .nullable(.id("command"))),
      .required("server", .nullable(.string())), .required("call_id", .nullable(.string())),
      .required("to", .nullable(.string())), .required("dialled_at", .nullable(.time)),
      .required("answered_at", .nullable(.time)), .required("ended_at", .nullable(.time)),
      .required("outcome", .nullable(.word(DialOutcome.allCases.map(\.rawValue))), "What the call itself says"),
      .required("result", .nullable(.string()), "What the agent says"),
      .required("result_means", .nullable(.word(CallResult.Meaning.allCases.map(\.rawValue)))),
      .required("result_note", .nullable(.string())), .required("result_by", .nullable(.string())),
      .required("call_back_at", .nullable(.time)),
      .required("result_due", .nullable(.time), "From then on the call speaks for itself"),
      .required("version", .integer(minimum: 1))))
}

extension DialScreen {
  static let schema = Schema.named(
    "DialScreen",
    .output(
      .required("dial", .any, "A Dial; members that are not set are left out"), .optional("campaign", .string()),
      .required("purpose", .string()), .required("why_zh", .string()), .required("why_en", .string()),
      .optional(
        "customer",
        .output(
          .required("customer_no", .string()), .required("name", .string()), .required("level", .integer()),
          .optional("language", .string()), .optional("manager", .string()))),
      .required("number", .string()), .optional("subject", .string()), .required("script", .string(), "What to say"),
      .optional("language", .string()), .optional("requested_at", .time, "The customer asked to be called then"),
      .required(
        "earlier",
        .array(
          .output(
            .required("at", .time), .required("agent_id", .string()), .optional("outcome", .string()),
            .optional("result", .string()), .optional("note", .string()))), "Calls about the same, oldest first"),
      .required(
        "last_contacts",
        .array(
          .output(
            .required("contact_id", .id("contact")), .required("channel_kind", .string()),
            .required("direction", .string()), .required("at", .time), .required("summary", .string()))),
        "Over all channels, newest first")))
}

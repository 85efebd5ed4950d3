import Channels
import ContactModel
import Outbound
import Store

/// How campaigns look from outside: the JSON of each beside its schema.
extension Campaign {
  var json: JSONValue {
    var object = JSONObject([
      .init(name: "id", value: .text(id)), .init(name: "campaign_state", value: .string(state.rawValue)),
      .init(name: "acts", value: .array(state.acts.map { .string($0.rawValue) })),
    ])
    for member in plan.members { object[member.name] = member.value }
    object["created_by"] = .string(createdBy)
    object["edited_by"] = .string(editedBy)
    object["approved_by"] = .optional(approvedBy)
    object["approved_at"] = .optional(approvedAt)
    object["state_reason"] = .optional(reason)
    object["created_at"] = .time(createdAt)
    object["updated_at"] = .time(updatedAt)
    object["version"] = .count(version)
    return .object(object)
  }

  static let schema = Schema.named(
    "Campaign",
    .object(
      .init(
        members: [
          .required("id", .id("campaign")),
          .required("campaign_state", .word(CampaignState.allCases.map(\.rawValue))),
          .required("acts", .array(.word(CampaignAct.allCases.map(\.rawValue))), "What may be done with it now"),
        ] + CampaignPlan.schemaMembers + [
          .required("created_by", .string()), .required("edited_by", .string(), "He cannot approve it"),
          .required("approved_by", .nullable(.string())), .required("approved_at", .nullable(.time)),
          .required("state_reason", .nullable(.string()), "Why it is paused or was cancelled"),
          .required("created_at", .time), .required("updated_at", .time), .required("version", .integer(minimum: 1)),
        ], closed: false)))
}

extension CampaignPlan {
  fileprivate var members: [JSONObject.Member] {
    func map(_ pairs: [(String, JSONValue)]) -> JSONValue {
      .object(JSONObject(pairs.sorted { $0.0 < $1.0 }.map { .init(name: $0.0, value: $0.1) }))
    }
    let arms = arms.map { arm -> JSONValue in
      [
        "name": .string(arm.name), "weight": .count(arm.weight),
        "contents": map(
          arm.contents.map { channel, languages in
            (
              channel,
              map(languages.map { ($0.key, ["subject": .optional($0.value.subject), "text": .string($0.value.text)]) })
            )
          }),
      ]
    }
    return [
      .init(name: "name", value: .string(name)), .init(name: "purpose", value: .string(purpose.rawValue)),
      .init(name: "group", value: .optional(group)), .init(name: "arms", value: .array(arms)),
      .init(name: "start_at", value: .optional(startAt)), .init(name: "end_at", value: .optional(endAt)),
      .init(name: "rate_per_minute", value: .optional(ratePerMinute.map(Int64.init))),
      .init(name: "budget_cents", value: .optional(budgetCents)),
      .init(name: "cost_cents", value: map(costCents.map { ($0.key, .count($0.value)) })),
      .init(name: "holdout_percent", value: .count(holdoutPercent)),
      .init(name: "confidential", value: .bool(confidential)), .init(name: "repeatable", value: .bool(repeatable)),
      .init(name: "once_per_address", value: .bool(oncePerAddress)), .init(name: "dial", value: .string(dial.rawValue)),
      .init(name: "queue", value: .optional(queue)),
    ]
  }

  private static let words = Schema.input(
    .optional("subject", .nullable(.string(maximum: 300))), .required("text", .string(minimum: 1, maximum: 20_000)))
  private static let arm = Schema.input(
    .required("name", .string(minimum: 1, maximum: 64)),
    .optional("weight", .integer(minimum: 1, maximum: 10_000), "Its share; 1 if not given"),
    .required("contents", .map(.map(words)), "By channel (phone, sms, email, fax), then by language (zh, en)"))

  static let inputMembers: [Schema.Member] = [
    .required("name", .string(minimum: 1, maximum: 200)), .required("purpose", .string(minimum: 1, maximum: 64)),
    .optional("group", .nullable(.string(maximum: 64)), "A customer group; null: every customer"),
    .required("arms", .array(arm, maximum: maximumArms)),
    .optional("start_at", .nullable(.time)), .optional("end_at", .nullable(.time)),
    .optional("rate_per_minute", .nullable(.integer(minimum: 1, maximum: 1_000_000))),
    .optional("budget_cents", .nullable(.integer(minimum: 0))),
    .optional("cost_cents", .map(.integer(minimum: 0, maximum: 1_000_000)), "What one attempt costs, by channel"),
    .optional("holdout_percent", .integer(minimum: 0, maximum: 90)), .optional("confidential", .boolean),
    .optional("repeatable", .boolean, "Hearing it twice does no harm"),
    .optional("once_per_address", .boolean, "True if not given"),
    .optional(
      "dial", .word(Dial.allCases.map(\.rawValue)),
      "Telephone calls: an agent looks first and starts the call, or it is placed for each agent who is free"),
    .optional("queue", .nullable(.string(maximum: 64)), "Whose agents call; null: any agent with a telephone"),
  ]
  static let input = Schema.object(.init(members: inputMembers, closed: true))
  fileprivate static let schemaMembers: [Schema.Member] = inputMembers.map { member in
    var member = member
    member.required = true
    return member
  }

  /// From a body that is what `input` says; throws what else is wrong with it.
  init(body: JSONValue) throws(Problem) {
    var group: Code?
    if let text = body["group"]?.string {
      guard let code = Code(text) else {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/group"), .format)])
      }
      group = code
    }
    var queue: Code?
    if let text = body["queue"]?.string {
      guard let code = Code(text) else {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/queue"), .format)])
      }
      queue = code
    }
    self.init(
      name: body["name"]?.string ?? "", purpose: Purpose(rawValue: body["purpose"]?.string ?? ""), group: group,
      arms: (body["arms"]?.array ?? []).map { arm in
        var contents: [String: [String: Words]] = [:]
        for channel in arm["contents"]?.object?.members ?? [] {
          for language in channel.value.object?.members ?? [] {
            contents[channel.name, default: [:]][language.name] = Words(
              subject: language.value["subject"]?.string, text: language.value["text"]?.string ?? "")
          }
        }
        return Arm(name: arm["name"]?.string ?? "", weight: Int(arm["weight"]?.integer ?? 1), contents: contents)
      },
      startAt: body["start_at"]?.string.flatMap { Timestamp($0) },
      endAt: body["end_at"]?.string.flatMap { Timestamp($0) },
      ratePerMinute: body["rate_per_minute"]?.integer.map { Int($0) }, budgetCents: body["budget_cents"]?.integer,
      costCents: (body["cost_cents"]?.object?.members ?? []).reduce(into: [:]) {
        $0[$1.name] = Int($1.value.integer ?? 0)
      },
      holdoutPercent: Int(body["holdout_percent"]?.integer ?? 0), confidential: body["confidential"]?.bool ?? false,
      repeatable: body["repeatable"]?.bool ?? false, oncePerAddress: body["once_per_address"]?.bool ?? true,
      dial: body["dial"]?.string.flatMap(Dial.init(rawValue:)) ?? .preview, queue: queue)
  }
}

extension CampaignSurvey {
  static let schema = Schema.named(
    "CampaignDryRun",
    .output(
      .required("decided_at", .time), .required("rule_version", .string()),
      .required("customers", .integer(), "In the audience"), .required("sendable", .integer(), "Sent at once or later"),
      .required("decided_one_by_one", .integer(), "Because of their caps, or of statements that begin or end"),
      .required(
        "counts",
        .array(
          .output(
            .required("verdict", .word(Outcome.Verdict.allCases.map(\.rawValue))), .required("reason", .string()),
            .required("reason_zh", .string()), .required("reason_en", .string()),
            .required("channel", .nullable(.string())), .required("refused", .map(.string()), "Why not, by channel"),
            .required("count", .integer()))), "The most frequent first"),
      .required("cost_cents", .integer(), "If every attempt succeeds at once"),
      .required("finish_at", .time, "An estimate")))

  func json(of plan: CampaignPlan, finish: Timestamp) -> JSONValue {
    struct Line: Hashable {
      var verdict: Outcome.Verdict
      var reason: Reason
      var channel: String?
      var refused: [String]
    }
    var lines: [Line: Int] = [:]
    var cost: Int64 = 0
    for (outcome, count) in counts {
      let line = Line(
        verdict: outcome.verdict, reason: outcome.reason, channel: outcome.channel?.rawValue,
        refused: outcome.refused.map { "\($0.channel)=\($0.reason.rawValue)" })
      lines[line, default: 0] += count
      if outcome.verdict != .refuse, let channel = outcome.channel {
        cost += Int64(count) * Int64(plan.costCents[channel.rawValue] ?? 0)
      }
    }
    let sorted = lines.sorted { ($0.value, "\($1.key)") > ($1.value, "\($0.key)") }
    return [
      "decided_at": .time(decidedAt), "rule_version": .string(ruleVersion), "customers": .count(customers),
      "sendable": .count(sendable), "decided_one_by_one": .count(decidedOneByOne),
      "counts": .array(
        sorted.map { line, count in
          [
            "verdict": .string(line.verdict.rawValue), "reason": .string(line.reason.rawValue),
            "reason_zh": .string(line.reason.words(in: .zh)), "reason_en": .string(line.reason.words(in: .en)),
            "channel": .optional(line.channel),
            "refused": .object(
              JSONObject(
                line.refused.map { pair in
                  let parts = pair.split(separator: "=", maxSplits: 1)
                  return .init(name: String(parts[0]), value: .string(String(parts.last ?? "")))
                })), "count": .count(count),
          ]
        }), "cost_cents": .integer(cost), "finish_at": .time(finish),
    ]
  }
}

extension CampaignResult {
  static let schema = Schema.named(
    "CampaignResult",
    .output(
      .required("customer_no", .string()), .required("outcome", .word(Outcome.allCases.map(\.rawValue))),
      .required("arm", .nullable(.string())), .required("channel", .nullable(.string())),
      .required("reason", .string()), .required("reason_zh", .string()), .required("reason_en", .string()),
      .required("refused", .map(.string()), "Why not, by channel, as decided at planning"),
      .required("job_id", .nullable(.id("job"))), .required("at", .nullable(.time))))

  private var words: (zh: String, en: String) {
    guard let known = Reason(rawValue: reason) else { return (reason, reason) }
    return (known.words(in: .zh), known.words(in: .en))
  }

  var json: JSONValue {
    [
      "customer_no": .text(customerNo), "outcome": .string(outcome.rawValue), "arm": .optional(arm),
      "channel": .optional(channel?.rawValue), "reason": .string(reason), "reason_zh": .string(words.zh),
      "reason_en": .string(words.en),
      "refused": .object(
        JSONObject(refused.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .string($0.value)) })),
      "job_id": .optional(job), "at": .optional(at),
    ]
  }

  static let csvHeader = "customer_no,outcome,arm,channel,reason,reason_zh,reason_en,refused,job_id,at\r\n"

  /// One record as RFC 4180 wants it; what a spreadsheet would take for a formula is quoted away.
  var csv: String {
    let refused = refused.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    let fields = [
      customerNo.description, outcome.rawValue, arm ?? "", channel?.rawValue ?? "", reason, words.zh, words.en, refused,
      job?.description ?? "", at?.description ?? "",
    ]
    return fields.map { field in
      let plain = ["=", "+", "-", "@", "\t"].contains { field.hasPrefix($0) } ? "'" + field : field
      return plain.contains { ",\"\r\n".contains($0) } ? "\"\(plain.replacing("\"", with: "\"\""))\"" : plain
    }.joined(separator: ",") + "\r\n"
  }
}

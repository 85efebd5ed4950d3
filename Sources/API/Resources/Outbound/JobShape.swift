import Channels
import ContactModel
import Outbound
import Store

/// How jobs, attempts and their decisions look from outside: the JSON of each beside its schema.
extension ProactiveJob {
  var json: JSONValue {
    let sentence = reasonInWords
    var object = JSONObject([
      .init(name: "id", value: .text(id)), .init(name: "state", value: .string(state.rawValue)),
      .init(name: "reason", value: .optional(reason)),
      .init(name: "reason_zh", value: .optional(sentence?.chinese)),
      .init(name: "reason_en", value: .optional(sentence?.english)),
    ])
    object["purpose"] = .string(purpose.rawValue)
    object["customer_no"] = .optional(customerNo)
    object["to"] = to?.json ?? .null
    object["channels"] = .array(contents.keys.sorted().map { .string($0) })
    object["contents"] = .object(
      JSONObject(contents.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: $0.value.json) }))
    object["attachments"] = .array(
      attachments.map {
        [
          "name": .optional($0.name), "media_type": .string($0.mediaType), "sha256": .string($0.sha256),
          "size": .count($0.size),
        ]
      })
    object["confidential"] = .bool(confidential)
    object["repeatable"] = .bool(repeatable)
    object["due_at"] = .time(due)
    object["not_before"] = .optional(notBefore)
    object["not_after"] = .optional(notAfter)
    object["next_at"] = state == .planned ? .optional(nextAt) : .null
    object["failures"] = .count(failures)
    object["spent"] = .array(spent.map { .string($0.rawValue) })
    object["precedence"] = .string("\(precedence)")
    object["campaign_id"] = .optional(campaign)
    object["request_id"] = .optional(request)
    object["contact_id"] = .optional(contact)
    object["reference"] = .optional(reference)
    object["template"] = .optional(template)
    object["created_by"] = .string(createdBy)
    object["created_at"] = .time(createdAt)
    object["version"] = .count(version)
    return .object(object)
  }

  static let schema = Schema.named(
    "ProactiveJob",
    .output(
      .required("id", .id("job")), .required("state", .word(State.allCases.map(\.rawValue))),
      .required("reason", .nullable(.string()), "A reason of the decision, or the state its attempt came to"),
      .required("reason_zh", .nullable(.string())), .required("reason_en", .nullable(.string())),
      .required("purpose", .string()), .required("customer_no", .nullable(.string())),
      .required("to", .nullable(Address.schema), "Null: the customer's own address"),
      .required("channels", .array(.string()), "On which something is to be said; only these are candidates"),
      .required("contents", .map(Dispatch.Content.schema)),
      .required(
        "attachments",
        .array(
          .output(
            .required("name", .nullable(.string())), .required("media_type", .string()),
            .required("sha256", .string()), .required("size", .integer())))),
      .required("confidential", .boolean), .required("repeatable", .boolean), .required("due_at", .time),
      .required("not_before", .nullable(.time)), .required("not_after", .nullable(.time)),
      .required("next_at", .nullable(.time), "When it is looked at again"), .required("failures", .integer()),
      .required("spent", .array(.string()), "Channels not tried again"),
      .required("precedence", .word(Precedence.allCases.map { "\($0)" })),
      .required("campaign_id", .nullable(.id("campaign"))), .required("request_id", .nullable(.id("request"))),
      .required("contact_id", .nullable(.id("contact"))), .required("reference", .nullable(.string())),
      .required("template", .nullable(.string())), .required("created_by", .string()),
      .required("created_at", .time), .required("version", .integer(minimum: 1))))

  /// The job with everything that was tried and decided.
  func withHistory(_ connection: any Connection) throws -> JSONValue {
    [
      "job": json, "attempts": .array(try connection.attempts(of: id).map { try $0.json(connection) }),
      "decisions": .array(try connection.outboundDecisions(of: id).map(\.json)),
    ]
  }

  private var reasonInWords: LocalizedText? {
    guard let reason else { return nil }
    if let known = Reason(rawValue: reason) {
      return LocalizedText(zh: known.words(in: .zh), en: known.words(in: .en))
    }
    if let known = Attempt.State(rawValue: reason) { return known.words }
    return LocalizedText(zh: reason, en: reason)
  }
}

extension Dispatch.Content {
  var json: JSONValue {
    ["subject": .optional(subject), "text": .string(text), "html": .optional(html), "language": .optional(language)]
  }
  static let schema = Schema.named(
    "MessageContent",
    .output(
      .required("subject", .nullable(.string())), .required("text", .string()),
      .required("html", .nullable(.string())), .required("language", .nullable(.string()))))
}

extension AttemptRecord {
  func json(_ connection: any Connection) throws -> JSONValue {
    let words = machine.state.words
    return [
      "id": .text(id), "job_id": .text(job), "customer_no": .optional(customerNo),
      "outbound_channel": .string(outboundChannel.rawValue), "channel": .string(channel.name), "to": to.json,
      "state": .string(machine.state.rawValue), "state_zh": .string(words.chinese),
      "state_en": .string(words.english), "wire_identity": .optional(machine.wireIdentity),
      "peer_id": .optional(machine.peerID), "decision_id": .text(decision), "contact_id": .optional(contact),
      "fault": fault.map {
        ["code": .string($0.code.rawValue), "peer_code": .optional($0.peerCode), "text": .string($0.text)]
      } ?? .null,
      "reserved_at": .time(reservedAt), "handed_at": .optional(handedAt), "settled_at": .optional(settledAt),
      "inquire_at": .optional(inquireAt), "final_at": .optional(finalAt),
      "evidence": .array(
        try connection.evidence(about: id).map { evidence in
          [
            "at": .time(evidence.at), "state": .string(evidence.report.state.rawValue),
            "happened_at": .optional(evidence.report.happenedAt),
            "fault_code": .optional(evidence.report.fault?.code.rawValue),
            "text": .optional(evidence.report.fault?.text),
          ]
        }),
    ]
  }

  static let schema = Schema.named(
    "Attempt",
    .output(
      .required("id", .id("attempt")), .required("job_id", .id("job")), .required("customer_no", .nullable(.string())),
      .required("outbound_channel", .string()), .required("channel", .string()), .required("to", Address.schema),
      .required("state", .word(Attempt.State.allCases.map(\.rawValue))), .required("state_zh", .string()),
      .required("state_en", .string()),
      .required("wire_identity", .nullable(.string()), "Our name for it on the wire"),
      .required("peer_id", .nullable(.string()), "The peer's name for it"),
      .required("decision_id", .id("decision")), .required("contact_id", .nullable(.id("contact"))),
      .required(
        "fault",
        .nullable(
          .output(
            .required("code", .string()), .required("peer_code", .nullable(.string())), .required("text", .string())))),
      .required("reserved_at", .time), .required("handed_at", .nullable(.time)),
      .required("settled_at", .nullable(.time)), .required("inquire_at", .nullable(.time)),
      .required("final_at", .nullable(.time), "While in doubt: from when on nobody will know"),
      .required(
        "evidence",
        .array(
          .output(
            .required("at", .time), .required("state", .string()), .required("happened_at", .nullable(.time)),
            .required("fault_code", .nullable(.string())), .required("text", .nullable(.string())))),
        "What peers reported, in order")))
}

extension Attempt.State {
  var words: LocalizedText {
    switch self {
    case .planned: LocalizedText(zh: "已计划", en: "planned")
    case .reserved: LocalizedText(zh: "已预留，即将发送", en: "reserved, about to go")
    case .released: LocalizedText(zh: "未发送，已放回", en: "not sent, put back")
    case .handing: LocalizedText(zh: "正在交给渠道", en: "being handed over")
    case .accepted: LocalizedText(zh: "渠道已接收", en: "taken over by the channel")
    case .rejected: LocalizedText(zh: "渠道未接收，确定未发送", en: "not taken by the channel, surely not sent")
    case .inDoubt: LocalizedText(zh: "是否发出不明，正在核实", en: "in doubt whether it was sent; being asked about")
    case .delivered: LocalizedText(zh: "已送达", en: "delivered")
    case .undelivered: LocalizedText(zh: "未送达", en: "not delivered")
    case .expired: LocalizedText(zh: "过期未送达", en: "expired before it was delivered")
    case .unknownFinal: LocalizedText(zh: "是否送达无法查明，按已发送处理", en: "will never be known; counts as sent")
    }
  }
}

extension OutboundDecision {
  var json: JSONValue {
    [
      "id": .text(decisionId), "at": .time(at), "rule_version": .string(ruleVersion), "verdict": .string(verdict),
      "reason": .string(body.reason), "outbound_channel": .optional(body.channel), "until": .optional(body.until),
      "refused": .object(
        JSONObject(body.refused.sorted { $0.key < $1.key }.map { .init(name: $0.key, value: .string($0.value)) })),
      "candidates": .array(body.candidates.map { .string($0) }), "sentence_zh": .string(body.wordsZh),
      "sentence_en": .string(body.wordsEn),
    ]
  }
  static let schema = Schema.named(
    "OutboundDecision",
    .output(
      .required("id", .id("decision")), .required("at", .time),
      .required("rule_version", .string(), "Of the purpose profile"),
      .required("verdict", .word(["send", "defer", "refuse"])), .required("reason", .string()),
      .required("outbound_channel", .nullable(.string())), .required("until", .nullable(.time)),
      .required("refused", .map(.string()), "Channel → why not"), .required("candidates", .array(.string())),
      .required("sentence_zh", .string()), .required("sentence_en", .string())))
}

// For files in which our own and the store's words would be mistaken for each other.
let attemptSchema = AttemptRecord.schema

extension Connection {
  func job(of attempt: AttemptID) throws -> ProactiveJobID? { try self.attempt(attempt)?.job }
}

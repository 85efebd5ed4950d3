import Channels
import ContactModel
import Customers
import Outbound
import Store

/// What customers said about channels, when they want to be left alone, what the law stopped, and flags: each a fact with
/// its proof, superseded and never changed.
public struct PreferenceResources: Sendable {
  let database: Database
  let profile: @Sendable () -> PurposeProfile
  let link: PreferenceLink
  /// The public listener as customers reach it; nil: no links can be given.
  let pageBase: String?

  public init(
    database: Database, profile: @escaping @Sendable () -> PurposeProfile, link: PreferenceLink, pageBase: String?
  ) {
    self.database = database
    self.profile = profile
    self.link = link
    self.pageBase = pageBase
  }

  public var routes: [Route] {
    [
      get, put, getLink, listQuiet, addQuiet, liftQuiet, listLegal, addLegal, liftLegal, getFlags, putFlags, household,
      stopAddress, liftAddress, putRegister, getSwitch, putSwitch,
    ]
  }

  static let readers = Access.roles(.agent, .supervisor, .marketing, .integration, .auditor)
  static let writers = Access.roles(.agent, .supervisor, .integration)
  static let keepers = Access.roles(.supervisor, .integration)
  static let tag = "preferences"
  static let base = "/v1/customers/{customer_no}"
  static let number = CustomerResources.number

  static let evidence = Schema.input(
    .required("kind", .word(ConsentEvidence.Kind.allCases.map(\.rawValue))),
    .required("reference", .string(minimum: 1, maximum: 500), "Where it is found: a recording, a document number"),
    .optional("hash", .nullable(.string(minimum: 64, maximum: 64)), "SHA-256 in hexadecimal"),
    .optional("captured_at", .nullable(.time), "Now if not given"))

  static func evidence(_ call: Call, _ actor: Actor) -> ConsentEvidence {
    let given = call.body["evidence"]
    return ConsentEvidence(
      id: EvidenceID(at: call.now), kind: given?["kind"]?.string.flatMap(ConsentEvidence.Kind.init) ?? .api,
      reference: given?["reference"]?.string ?? call.requestID, hash: given?["hash"]?.string,
      capturedAt: given?["captured_at"]?.string.flatMap { Timestamp($0) } ?? call.now, capturedBy: actor.label,
      ip: call.remoteAddress)
  }

  /// The customer, if the principal may see it.
  func known(_ call: Call, _ connection: any Connection) throws -> CustomerNumber {
    guard let customer = try connection.customer(call.path("customer_no")) else { throw Problem(.notFound) }
    guard try Scope(call, connection).includes(customer) else { throw Problem(.notFound) }
    return customer.customerNo
  }

  // MARK: Preferences

  private static let statement = Schema.output(
    .required("id", .id("preference")), .required("channel", .nullable(.string()), "Null: every channel"),
    .required("purpose", .nullable(.string()), "Null: every purpose"),
    .required("verdict", .word(ChannelPreference.Verdict.allCases.map(\.rawValue))), .required("rank", .integer()),
    .required("effective_at", .time), .required("valid_until", .nullable(.time)), .required("in_force", .boolean),
    .required("source", .word(["customer", "agent", "import"])), .required("policy_version", .string()),
    .required(
      "evidence",
      .output(
        .required("kind", .string()), .required("reference", .string()), .required("hash", .nullable(.string())),
        .required("captured_at", .time), .required("captured_by", .string()))),
    .required("recorded_at", .time), .required("recorded_by", .string()))
  private static let schema = Schema.named(
    "Preferences",
    .output(
      .required("customer_no", .string()),
      .required("statements", .array(statement), "Everything he said, oldest first"),
      .required(
        "standing",
        .array(
          .output(
            .required("purpose", .string()), .required("channel", .string()), .required("allowed", .boolean),
            .required("denied", .boolean), .required("consent", .word(Permission.Consent.allCases.map(\.rawValue))),
            .required("rank", .nullable(.integer())))), "What it comes to now"),
      .required("learned_zh", .nullable(.string()), "What his own acts say; only ever breaks a tie"),
      .required("learned_en", .nullable(.string()))))

  private func json(_ number: CustomerNumber, _ connection: any Connection, at now: Timestamp) throws
    -> (value: JSONValue, version: Int)
  {
    let records = try connection.preferenceRecords(of: number)
    let permissions = profile().permissions(of: records.map(\.preference), at: now)
    let value: JSONValue = [
      "customer_no": .text(number),
      "statements": .array(
        records.map { record in
          let said = record.preference
          return [
            "id": .text(record.id), "channel": .optional(said.channel?.rawValue),
            "purpose": .optional(said.purpose?.rawValue), "verdict": .string(said.verdict.rawValue),
            "rank": .count(said.rank), "effective_at": .time(said.effectiveAt),
            "valid_until": .optional(said.validUntil),
            "in_force": .bool(said.effectiveAt <= now && (said.validUntil.map { now < $0 } ?? true)),
            "source": .string(said.source.word), "policy_version": .string(record.policyVersion),
            "evidence": [
              "kind": .string(record.evidence.kind.rawValue), "reference": .string(record.evidence.reference),
              "hash": .optional(record.evidence.hash), "captured_at": .time(record.evidence.capturedAt),
              "captured_by": .string(record.evidence.capturedBy),
            ], "recorded_at": .time(record.recordedAt), "recorded_by": .string(record.recordedBy),
          ]
        }),
      "standing": .array(
        permissions.map {
          [
            "purpose": .string($0.purpose.rawValue), "channel": .string($0.channel.rawValue),
            "allowed": .bool($0.isAllowed), "denied": .bool($0.isDenied), "consent": .string($0.consent.rawValue),
            "rank": .optional($0.rank.map(Int64.init)),
          ]
        }), "learned_zh": .optional(try connection.learnedWords(of: number, in: .zh)),
      "learned_en": .optional(try connection.learnedWords(of: number, in: .en)),
    ]
    return (value, records.count + 1)
  }

  private var get: Route {
    Route(
      "getPreferences", .get, "\(Self.base)/preferences",
      summary: "What a customer said about channels, with proof, and what it comes to", tag: Self.tag,
      access: Self.readers, parameters: [Self.number], answers: [.json(Self.schema, "His preferences")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        let (value, version) = try json(number, connection, at: call.now)
        return (
          Reply.json(value, version: Int64(version)), seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  private var put: Route {
    let said = Schema.input(
      .optional("channel", .nullable(.string(minimum: 1, maximum: 32)), "Null: every channel"),
      .optional("purpose", .nullable(.string(minimum: 1, maximum: 64)), "Null: every purpose"),
      .required("verdict", .word(ChannelPreference.Verdict.allCases.map(\.rawValue))),
      .optional("rank", .integer(minimum: 1, maximum: 9), "Of a prefer; 1 is liked best"),
      .optional("valid_until", .nullable(.time)))
    return Route(
      "putPreferences", .put, "\(Self.base)/preferences",
      summary: "Add what a customer said; what he said before is superseded by the rules of precedence, not removed",
      tag: Self.tag, access: Self.writers, parameters: [Self.number],
      body: .init(
        .input(
          .required("statements", .array(said, maximum: 100)), .required("evidence", Self.evidence),
          .optional(
            "source", .word(["customer", "import"]),
            "For programs: the customer said it himself in an application of the bank. An agent speaks as agent"),
          .optional("policy_version", .string(minimum: 1, maximum: 64), "Of the notice he was shown"))),
      answers: [.json(Self.schema, "His preferences now")], needsCondition: true
    ) { call in
      let profile = profile()
      var statements: [ChannelPreference] = []
      let isProgram = try call.caller().roles.contains(.integration)
      if call.body["source"] != nil, !isProgram {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/source"), .notAllowed)])
      }
      let source: ChannelPreference.Source =
        isProgram ? (call.body["source"]?.string == "customer" ? .customer : .import) : .agent
      for (index, item) in (call.body["statements"]?.array ?? []).enumerated() {
        let channel = item["channel"]?.string.map(OutboundChannel.init(rawValue:))
        let purpose = item["purpose"]?.string.map(Purpose.init(rawValue:))
        if let channel, !profile.channels.contains(channel) { throw Problem.unknown("#/statements/\(index)/channel") }
        if let purpose, profile.purposes[purpose] == nil { throw Problem.unknown("#/statements/\(index)/purpose") }
        let end = item["valid_until"]?.string.flatMap { Timestamp($0) }
        if let end, end <= call.now { throw Problem.unknown("#/statements/\(index)/valid_until", "> now") }
        statements.append(
          ChannelPreference(
            channel: channel, purpose: purpose,
            verdict: item["verdict"]?.string.flatMap(ChannelPreference.Verdict.init) ?? .deny,
            rank: Int(item["rank"]?.integer ?? 1), effectiveAt: call.now, validUntil: end, source: source))
      }
      let said = statements
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        let before = try json(number, transaction, at: call.now)
        try call.condition.require(before.version)
        let evidence = Self.evidence(call, actor)
        for statement in said {
          try transaction.record(
            statement, id: PreferenceID(at: call.now), of: number, evidence: evidence,
            policyVersion: call.body["policy_version"]?.string ?? profile.version, actor: actor, at: call.now)
        }
        let after = try json(number, transaction, at: call.now)
        try transaction.audit(
          "preferences.put", number, customer: number, before: before.value["standing"], after: call.body, by: actor,
          at: call.now)
        return .json(after.value, version: Int64(after.version))
      }
    }
  }

  private var getLink: Route {
    Route(
      "getPreferenceLink", .get, "\(Self.base)/preference-link",
      summary: "The address of the customer's own page, to be given to him alone", tag: Self.tag, access: Self.writers,
      parameters: [Self.number], answers: [.json(.output(.required("url", .string())), "It holds for a while")]
    ) { call in
      guard let pageBase else {
        throw Problem(
          .notFound,
          LocalizedText(zh: "未配置 preferences.page_base", en: "preferences.page_base is not configured"))
      }
      return try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(["url": .string("\(pageBase)/preferences/\(link.token(for: number, at: call.now))")]),
          seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }
}

extension ChannelPreference.Source {
  var word: String {
    switch self {
    case .customer: "customer"
    case .agent: "agent"
    case .import: "import"
    }
  }
}

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

  private static let readers = Access.roles(.agent, .supervisor, .marketing, .integration, .auditor)
  private static let writers = Access.roles(.agent, .supervisor, .integration)
  private static let keepers = Access.roles(.supervisor, .integration)
  private static let tag = "preferences"
  private static let base = "/v1/customers/{customer_no}"
  private static let number = CustomerResources.number

  static let evidence = Schema.input(
    .required("kind", .word(ConsentEvidence.Kind.allCases.map(\.rawValue))),
    .required("reference", .string(minimum: 1, maximum: 500), "Where it is found: a recording, a document number"),
    .optional("hash", .nullable(.string(minimum: 64, maximum: 64)), "SHA-256 in hexadecimal"),
    .optional("captured_at", .nullable(.time), "Now if not given"))

  private static func evidence(_ call: Call, _ actor: Actor) -> ConsentEvidence {
    let given = call.body["evidence"]
    return ConsentEvidence(
      id: EvidenceID(at: call.now), kind: given?["kind"]?.string.flatMap(ConsentEvidence.Kind.init) ?? .api,
      reference: given?["reference"]?.string ?? call.requestID, hash: given?["hash"]?.string,
      capturedAt: given?["captured_at"]?.string.flatMap { Timestamp($0) } ?? call.now, capturedBy: actor.label,
      ip: call.remoteAddress)
  }

  /// The customer, if the principal may see it.
  private func known(_ call: Call, _ connection: any Connection) throws -> CustomerNumber {
    guard let customer = try connection.customer(call.path("customer_no")) else { throw Problem(.notFound) }
    guard try Scope(call, connection).includes(customer) else { throw Problem(.forbidden) }
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
          .conflict,
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

  // MARK: Do not disturb

  private static let quiet = Schema.output(
    .required("id", .id("quiet")), .required("channel", .nullable(.string())), .required("from", .nullable(.string())),
    .required("to", .nullable(.string())), .required("days", .nullable(.array(.integer()))),
    .required("from_at", .nullable(.time)), .required("to_at", .nullable(.time)))

  private func json(_ record: QuietRecord) -> JSONValue {
    func clock(_ minutes: Int) -> JSONValue {
      func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
      return .string("\(two(minutes / 60)):\(two(minutes % 60))")
    }
    var object = JSONObject([
      .init(name: "id", value: .text(record.id)),
      .init(name: "channel", value: .optional(record.quiet.channel?.rawValue)),
    ])
    switch record.quiet.time {
    case .daily(let window):
      object["from"] = clock(window.from)
      object["to"] = clock(window.to)
      object["days"] = .array(window.days.map { .count($0) })
      object["from_at"] = .null
      object["to_at"] = .null
    case .range(let from, let to):
      for name in ["from", "to", "days"] { object[name] = .null }
      object["from_at"] = .time(from)
      object["to_at"] = .time(to)
    }
    return .object(object)
  }

  private func quietsJSON(_ number: CustomerNumber, _ connection: any Connection) throws -> JSONValue {
    ["items": .array(try connection.quiets(of: number).map(json))]
  }

  private var listQuiet: Route {
    Route(
      "listDoNotDisturb", .get, "\(Self.base)/do-not-disturb", summary: "When a customer wants to be left alone",
      tag: Self.tag, access: Self.readers, parameters: [Self.number],
      answers: [.json(.output(.required("items", .array(Self.quiet))), "In force")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(try quietsJSON(number, connection)), seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  private var addQuiet: Route {
    Route(
      "addDoNotDisturb", .post, "\(Self.base)/do-not-disturb",
      summary:
        "Hours of the day on his own wall clock (`from`, `to`, `days`), or a stretch of time (`from_at`, `to_at`)",
      tag: Self.tag, access: Self.writers, parameters: [Self.number],
      body: .init(
        .input(
          .optional("channel", .nullable(.string(minimum: 1, maximum: 32)), "Null: every channel"),
          .optional("from", .string(minimum: 5, maximum: 5), "22:00"),
          .optional("to", .string(minimum: 5, maximum: 5), "07:30"),
          .optional("days", .array(.integer(minimum: 1, maximum: 7), maximum: 7), "1 is Monday; all if not given"),
          .optional("from_at", .time), .optional("to_at", .time), .required("evidence", Self.evidence))),
      answers: [.json(.output(.required("items", .array(Self.quiet))), "In force now", status: 201)],
      needsIdempotencyKey: true
    ) { call in
      func minutes(_ name: String) -> Int? {
        let parts = (call.body[name]?.string ?? "").split(separator: ":").map { Int($0) }
        guard parts.count == 2, let hour = parts[0], let minute = parts[1], (0..<60).contains(minute),
          (0...24).contains(hour)
        else { return nil }
        return hour * 60 + minute
      }
      let time: DoNotDisturb.Time
      if let from = minutes("from"), let to = minutes("to"), call.body["from_at"] == nil,
        let window = DailyWindow(
          from: from, to: to, days: call.body["days"]?.array?.compactMap { $0.integer.map { Int($0) } } ?? Array(1...7))
      {
        time = .daily(window)
      } else if call.body["from"] == nil, let from = call.body["from_at"]?.string.flatMap({ Timestamp($0) }),
        let to = call.body["to_at"]?.string.flatMap({ Timestamp($0) }), from < to
      {
        time = .range(from: from, to: to)
      } else {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/from"), .format, expected: "from, to | from_at < to_at")])
      }
      let channel = call.body["channel"]?.string.map(OutboundChannel.init(rawValue:))
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        let record = QuietRecord(id: QuietID(at: call.now), quiet: DoNotDisturb(channel: channel, time: time))
        try transaction.record(record, of: number, evidence: Self.evidence(call, actor), at: call.now)
        try transaction.audit(
          "do_not_disturb.add", record.id, customer: number, after: json(record), by: actor, at: call.now)
        return .json(try quietsJSON(number, transaction), status: 201)
      }
    }
  }

  private var liftQuiet: Route {
    Route(
      "liftDoNotDisturb", .delete, "\(Self.base)/do-not-disturb/{id}", summary: "A quiet time ends", tag: Self.tag,
      access: Self.writers, parameters: [Self.number, .path("id", .id("quiet"))], answers: [.empty("It has ended")]
    ) { call in
      let id: QuietID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        guard try transaction.quiets(of: number).contains(where: { $0.id == id }),
          try transaction.liftQuiet(id, at: call.now)
        else { throw Problem(.notFound) }
        try transaction.audit("do_not_disturb.lift", id, customer: number, by: actor, at: call.now)
        return .empty()
      }
    }
  }

  // MARK: Legal stops

  private static let legal = Schema.output(
    .required("id", .id("stop")), .required("purpose", .nullable(.string()), "Null: every purpose"),
    .required("from_at", .time), .required("to_at", .nullable(.time)), .required("reason", .string()),
    .required("recorded_by", .string()), .required("lifted_by", .nullable(.string())))

  private func legalJSON(_ number: CustomerNumber, _ connection: any Connection) throws -> JSONValue {
    [
      "items": .array(
        try connection.legalStopRecords(of: number).map {
          [
            "id": .text($0.id), "purpose": .optional($0.purpose?.rawValue), "from_at": .time($0.from),
            "to_at": .optional($0.to), "reason": .string($0.reason), "recorded_by": .string($0.recordedBy),
            "lifted_by": .optional($0.liftedBy),
          ]
        })
    ]
  }

  private var listLegal: Route {
    Route(
      "listLegalStops", .get, "\(Self.base)/legal-stops",
      summary: "What a court, a regulator or the bank's lawyers stopped, past stops too", tag: Self.tag,
      access: Self.readers, parameters: [Self.number],
      answers: [.json(.output(.required("items", .array(Self.legal))), "In order")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(try legalJSON(number, connection)), seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  private var addLegal: Route {
    Route(
      "addLegalStop", .post, "\(Self.base)/legal-stops", summary: "Stop proactive service to a customer by law",
      tag: Self.tag, access: Self.keepers, parameters: [Self.number],
      body: .init(
        .input(
          .optional("purpose", .nullable(.string(minimum: 1, maximum: 64)), "Null: every purpose"),
          .optional("to_at", .nullable(.time)), .required("reason", .string(minimum: 1, maximum: 500)))),
      answers: [.json(.output(.required("items", .array(Self.legal))), "All of them", status: 201)],
      needsIdempotencyKey: true
    ) { call in
      let purpose = call.body["purpose"]?.string.map(Purpose.init(rawValue:))
      if let purpose, profile().purposes[purpose] == nil { throw Problem.unknown("#/purpose") }
      let end = call.body["to_at"]?.string.flatMap { Timestamp($0) }
      if let end, end <= call.now { throw Problem.unknown("#/to_at", "> now") }
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        let id = StopID(at: call.now)
        try transaction.stopLegally(
          number, id: id, purpose: purpose, until: end, reason: call.body["reason"]?.string ?? "", actor: actor,
          at: call.now)
        try transaction.audit(
          "legal_stop.add", id, customer: number, reason: call.body["reason"]?.string, after: call.body, by: actor,
          at: call.now)
        return .json(try legalJSON(number, transaction), status: 201)
      }
    }
  }

  private var liftLegal: Route {
    Route(
      "liftLegalStop", .delete, "\(Self.base)/legal-stops/{id}", summary: "A legal stop ends", tag: Self.tag,
      access: Self.keepers, parameters: [Self.number, .path("id", .id("stop"))], answers: [.empty("It has ended")]
    ) { call in
      let id: StopID = try call.path("id")
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        guard try transaction.liftLegalStop(id, of: number, actor: actor, at: call.now) else {
          throw Problem(.notFound)
        }
        try transaction.audit("legal_stop.lift", id, customer: number, by: actor, at: call.now)
        return .empty()
      }
    }
  }

  // MARK: Flags and households

  private static let flags: [Schema.Member] = [
    .required("deceased", .boolean), .required("minor", .boolean),
    .required("guardian", .nullable(.string(maximum: 32)), "A customer number"),
    .required("manager_only", .boolean, "Only his customer manager may contact him"),
    .required("no_profiling", .boolean, "Nothing is learned of his behaviour"),
    .required("household", .nullable(.string(maximum: 64)), "One campaign reaches one of a household"),
  ]
  private static let flagsSchema = Schema.named("CustomerFlags", .object(.init(members: flags, closed: false)))

  private func json(_ flags: CustomerFlags) -> JSONValue {
    [
      "deceased": .bool(flags.deceased), "minor": .bool(flags.minor), "guardian": .optional(flags.guardian),
      "manager_only": .bool(flags.managerOnly), "no_profiling": .bool(flags.noProfiling),
      "household": .optional(flags.household),
    ]
  }

  private var getFlags: Route {
    Route(
      "getCustomerFlags", .get, "\(Self.base)/flags", summary: "Flags that bear on every contact with a customer",
      tag: Self.tag, access: Self.readers, parameters: [Self.number], answers: [.json(Self.flagsSchema, "The flags")]
    ) { call in
      try await database.look(call, purpose: "preferences") { connection in
        let number = try known(call, connection)
        return (
          Reply.json(json(try connection.flags(of: number))),
          seen: [Sight(customer: number, subject: number.description)]
        )
      }
    }
  }

  private var putFlags: Route {
    Route(
      "putCustomerFlags", .put, "\(Self.base)/flags", summary: "Set a customer's flags", tag: Self.tag,
      access: Self.keepers, parameters: [Self.number], body: .init(.object(.init(members: Self.flags, closed: true))),
      answers: [.json(Self.flagsSchema, "As they are now")]
    ) { call in
      var flags = CustomerFlags()
      flags.deceased = call.body["deceased"]?.bool ?? false
      flags.minor = call.body["minor"]?.bool ?? false
      flags.guardian = try call.member("guardian")
      flags.managerOnly = call.body["manager_only"]?.bool ?? false
      flags.noProfiling = call.body["no_profiling"]?.bool ?? false
      flags.household = call.body["household"]?.string
      let wanted = flags
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction)
        if let guardian = wanted.guardian, try guardian == number || transaction.customer(guardian) == nil {
          throw Problem.unknown("#/guardian")
        }
        let before = try transaction.flags(of: number)
        try transaction.set(wanted, of: number, actor: actor, at: call.now)
        try transaction.audit(
          "customer_flags.put", number, customer: number, before: json(before), after: json(wanted), by: actor,
          at: call.now)
        return .json(json(wanted))
      }
    }
  }

  private var household: Route {
    Route(
      "listHousehold", .get, "/v1/households/{household}/customers", summary: "Who lives in a household",
      tag: Self.tag, access: Self.readers, parameters: [.path("household", .string(minimum: 1, maximum: 64))],
      answers: [
        .json(.output(.required("items", .array(.output(.required("customer_no", .string()))))), "At most 1,000")
      ]
    ) { call in
      let name = call.text("household") ?? ""
      return try await database.look(call, purpose: "preferences") { connection in
        let scope = try Scope(call, connection)
        let numbers = try connection.household(name, limit: 1_000).filter { number in
          try connection.customer(number).map(scope.includes) ?? false
        }
        return (
          Reply.json(["items": .array(numbers.map { ["customer_no": .text($0)] })]),
          seen: numbers.map { Sight(customer: $0, subject: "household") }
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

import Channels
import ContactModel
import Customers
import Outbound
import Store

/// `POST /v1/proactive-jobs`: one message to one customer, by whichever channel the rules choose.
extension OutboundResources {
  static let contentInput = Schema.input(
    .optional("subject", .string(maximum: 998)), .required("text", .string(minimum: 1, maximum: 100_000)),
    .optional("html", .string(maximum: 500_000)), .optional("language", .string(maximum: 35), "BCP 47"),
    .optional("options", .map(.string(maximum: 1_000)), "Of the channel; see its adapter's README"))

  var plan: Route {
    Route(
      "planProactiveJob", .post, "/v1/proactive-jobs",
      summary: "Tell a customer something once, by the channel that his word and the bank's rules allow",
      tag: "proactive-service", access: Self.planners,
      body: .init(
        .input(
          .optional(
            "purpose", .string(minimum: 1, maximum: 64), "One of the purpose profile; a template brings its own"),
          .optional("customer_no", .string(minimum: 1, maximum: 32)),
          .optional(
            "address",
            .input(
              .required("kind", .word(["phone", "email", "fax"])),
              .required("value", .string(minimum: 3, maximum: 320)),
              .optional(
                "confirm", .string(minimum: 3, maximum: 320),
                "A fax number on no record of the customer, typed a second time")),
            "Instead of the customer's own; alone, its one holder is the customer"),
          .optional("contents", .map(Self.contentInput), "By channel: sms, email, fax, …; only these are candidates"),
          .optional("template", .string(minimum: 1, maximum: 64), "An approved text, instead of contents"),
          .optional("variables", .map(.string(maximum: 10_000)), "Of the template"),
          .optional("language", .string(maximum: 35), "Of the template; the customer's own if not given"),
          .optional("channel", .string(maximum: 40), "Of several contents only this"),
          .optional("confidential", .boolean, "Only a verified address may have it"),
          .optional("repeatable", .boolean, "Hearing it twice does no harm"),
          .optional("not_before", .time), .optional("expires", .time, "Nobody wants it from then on"),
          .optional(
            "requested", .input(.required("channel", .string(maximum: 40)), .required("at", .time)),
            "A contact the customer asked for"),
          .optional(
            "reference", .string(minimum: 1, maximum: 200),
            "The caller's own name for the matter: the same again is the same job, for ever")),
        maximumBytes: 2_000_000),
      answers: [
        .json(ProactiveJob.schema, "Planned", status: 201),
        .json(ProactiveJob.schema, "Planned before under this reference"),
      ], needsIdempotencyKey: true
    ) { call in
      let wish = try JobWish(call, under: profile(), templates())
      return try await database.act(call) { transaction, actor in
        let job = try wish.job(transaction, actor, key: call.idempotency?.key ?? "", at: call.now)
        try Scope(call, transaction).require(job.customerNo, at: "#/customer_no")
        let (kept, isNew) = try transaction.plan(job, actor: actor, at: call.now)
        guard isNew else {
          guard kept.isSameMatter(as: job) else {
            throw Problem(
              .conflict,
              LocalizedText(
                zh: "该 reference 已用于另一任务 \(kept.id)", en: "the reference names another job, \(kept.id)"))
          }
          return .json(kept.json, version: Int64(kept.version))
        }
        try transaction.audit(
          "proactive_job.plan", kept.id, customer: kept.customerNo, after: kept.json, by: actor, at: call.now)
        return .json(kept.json, status: 201, version: Int64(kept.version))
      }
    }
  }
}

/// What the body of a request asks for, checked as far as that needs no store.
struct JobWish: Sendable {
  var purpose: Purpose
  var isCritical: Bool
  var customerNo: CustomerNumber?
  var address: Address?
  /// It was typed twice.
  var isConfirmed = false
  var contents: [String: Dispatch.Content]
  var template: TemplateInForce?
  var variables: [String: String]
  var language: String?
  var onlyChannel: String?
  var confidential: Bool
  var repeatable: Bool
  var notBefore: Timestamp?
  var notAfter: Timestamp?
  var requested: ProactiveJob.Request?
  var reference: String?

  init(_ call: Call, under profile: PurposeProfile, _ templates: [Code: TemplateInForce]) throws {
    let body = call.body
    var violations: [Violation] = []
    func wrong(_ pointer: String, _ code: Violation.Code, _ expected: String? = nil) {
      violations.append(Violation(.body(pointer: pointer), code, expected: expected))
    }
    variables = call.variables
    language = body["language"]?.string
    if let code = body["template"]?.string {
      template = Code(code).flatMap { templates[$0] }
      if template == nil { wrong("#/template", .notAllowed, "a template in force") }
    }
    purpose = Purpose(rawValue: body["purpose"]?.string ?? template?.template.purpose.rawValue ?? "")
    if let own = template?.template.purpose, own != purpose { wrong("#/purpose", .conflict, own.rawValue) }
    let rules = profile.purposes[purpose]
    isCritical = rules?.isCritical ?? false
    if rules == nil {
      let known = profile.purposes.keys.map(\.rawValue).sorted().joined(separator: ", ")
      wrong("#/purpose", body["purpose"] == nil ? .required : .notAllowed, known)
    }
    customerNo = try call.member("customer_no")
    if let given = body["address"], let kind = given["kind"]?.string.flatMap(Address.Kind.init) {
      address = AddressForm.address(kind, given["value"]?.string ?? "")
      if address == nil {
        wrong("#/address/value", .format, kind == .email ? "a mailbox" : "a number with country code")
      }
    }
    if let kind = address?.kind, let again = body["address"]?["confirm"]?.string {
      isConfirmed = AddressForm.address(kind, again)?.canonical == address?.canonical
      if !isConfirmed { wrong("#/address/confirm", .conflict, "the same as value") }
    }
    if customerNo == nil, body["address"] == nil { wrong("#/customer_no", .required, "customer_no or address") }
    contents = [:]
    for member in body["contents"]?.object?.members ?? [] {
      guard profile.channels.contains(OutboundChannel(rawValue: member.name)) else {
        wrong("#/contents/\(member.name)", .notAllowed, profile.channels.map(\.rawValue).joined(separator: ", "))
        continue
      }
      contents[member.name] = Dispatch.Content(member.value)
    }
    if body["contents"]?.object?.members.isEmpty ?? true, body["template"] == nil { wrong("#/contents", .required) }
    if let template {
      if body["contents"] != nil { wrong("#/contents", .conflict, "contents or a template") }
      try template.template.require(variables, at: "#/variables")
      contents = template.template.contents(with: variables, language: language)
    }
    onlyChannel = body["channel"]?.string
    if let channel = body["channel"]?.string {
      if contents[channel] == nil { wrong("#/channel", .notAllowed, contents.keys.sorted().joined(separator: ", ")) }
      contents = contents.filter { $0.key == channel }
    }
    if let address, !contents.isEmpty,
      !contents.keys.contains(where: { OutboundChannel(rawValue: $0).addressKind == address.kind })
    {
      wrong("#/address/kind", .conflict, "no content is for a channel that goes to such an address")
    }
    confidential = template?.template.confidential == true || body["confidential"]?.bool == true
    repeatable = body["repeatable"]?.bool ?? template?.template.repeatable ?? false
    notBefore = body["not_before"]?.string.flatMap { Timestamp($0) }
    notAfter = body["expires"]?.string.flatMap { Timestamp($0) }
    if let end = notAfter, end <= call.now || end <= notBefore ?? call.now {
      wrong("#/expires", .outOfRange, "later than now and not_before")
    }
    if let given = body["requested"], let at = given["at"]?.string.flatMap({ Timestamp($0) }) {
      let channel = OutboundChannel(rawValue: given["channel"]?.string ?? "")
      requested = ProactiveJob.Request(channel: channel, at: at)
      if contents[channel.rawValue] == nil { wrong("#/requested/channel", .conflict, "a channel there is content for") }
    }
    reference = body["reference"]?.string
    guard violations.isEmpty else { throw Problem(.invalidInput, violations: violations) }
  }

  /// The job, with its customer found. An address held by several names nobody: the caller must say whom he means.
  func job(_ transaction: WriteTransaction, _ actor: Actor, key: String, at time: Timestamp) throws -> ProactiveJob {
    var customer = customerNo
    if let customer {
      guard let known = try transaction.customer(customer), !known.deleted else {
        throw Problem.unknown("#/customer_no", "no such customer")
      }
    } else if let address {
      let holders = try transaction.holders(of: address, limit: 2)
      guard holders.count < 2 else { throw Problem.unknown("#/address", "several customers hold it: name one") }
      customer = holders.first
    }
    var contents = contents
    if let template, language == nil, let own = try customer.flatMap({ try transaction.customer($0) })?.language {
      contents = template.template.contents(with: variables, language: own)
        .filter { onlyChannel == nil || $0.key == onlyChannel }
    }
    // Papers faxed to a number one digit off have cost banks dear: it is on his record, or was typed twice.
    if let address, address.kind == .fax, !isConfirmed {
      let isOnRecord = try customer.map { try transaction.holders(of: address, limit: 50).contains($0) } ?? false
      guard isOnRecord else {
        throw Problem.unknown("#/address/confirm", "needed: the customer's record does not have this fax number")
      }
    }
    var job = ProactiveJob(
      id: ProactiveJobID(at: time), customerNo: customer,
      key: reference.map { "\(actor.label)/\($0)" } ?? "\(actor.label)#\(key)", purpose: purpose, contents: contents,
      confidential: confidential, repeatable: repeatable, due: max(time, notBefore ?? time, requested?.at ?? time),
      notBefore: notBefore, notAfter: notAfter, requested: requested, createdBy: actor.label, createdAt: time)
    job.to = address
    job.precedence = isCritical ? .urgent : .single
    job.reference = reference
    job.template = template?.citation
    return job
  }
}

extension ProactiveJob {
  /// Whether a repeated reference means the same thing.
  func isSameMatter(as other: ProactiveJob) -> Bool {
    purpose == other.purpose && customerNo == other.customerNo && to?.canonical == other.to?.canonical
      && contents == other.contents
  }
}

extension Dispatch.Content {
  init(_ value: JSONValue) {
    self.init(
      subject: value["subject"]?.string, text: value["text"]?.string ?? "", html: value["html"]?.string,
      language: value["language"]?.string,
      options: Call.texts(value["options"]))
  }
}

import Channels
import ContactModel
import Outbound
import Store

/// Why something is as it is: the arrival, contact and request an id belongs to, everything decided about them, in
/// order and in words, and what happened.
///
/// An id is that of an arrival, contact, request, job, attempt or decision, or the reference a customer was told.
extension OperatorResources {
  var explain: Route {
    Route(
      "explain", .get, "/v1/explain/{id}",
      summary: "Everything decided about an arrival, contact, request, job or decision",
      tag: "decisions", access: .roles(.agent, .supervisor, .integration, .auditor),
      parameters: [.path("id", .string(minimum: 1, maximum: 90), "Also the reference a customer was told")],
      answers: [.json(Self.explanationSchema, "The explanation")]
    ) { call in
      let id = call.text("id") ?? ""
      return try await database.look(call, purpose: "explain") { connection in
        guard let found = try Found(id, connection) else { throw Problem(.notFound) }
        let scope = try Scope(call, connection)
        for contact in found.contacts where try !scope.includes(contact) { throw Problem(.notFound) }
        for request in found.requests where try !scope.includes(request) { throw Problem(.notFound) }
        if try call.caller().roles == [.agent] {
          for request in found.requests { try scope.requireWork(on: request) }
        }
        return (Reply.json(try found.json(connection)), seen: found.seen)
      }
    }
  }

  private static let explanationSchema = Schema.named(
    "Explanation",
    .output(
      .required("id", .string()),
      .required(
        "arrival",
        .nullable(
          .output(
            .required("id", .id("arrival")), .required("channel", .string()), .required("state", .string()),
            .required("received_at", .time), .required("stored_at", .time), .required("late", .boolean),
            .required("reference", .nullable(.string())), .required("quarantine", .nullable(.any))))),
      .required("contacts", .array(Contact.schema)), .required("requests", .array(ServiceRequest.schema)),
      .required("jobs", .array(ProactiveJob.schema), "The job asked about, and the answers to the request"),
      .required("attempts", .array(attemptSchema), "Of those jobs, in order"),
      .required("decisions", .array(DecisionRecord.schema), "In the order in which they were made"),
      .required("events", .array(EventRecord.schema), "In order, at most 1,000")))
}

/// What an id leads to.
private struct Found {
  var id: String
  var arrival: (arrival: KeptArrival, state: String)?
  var contacts: [Contact] = []
  var requests: [ServiceRequest] = []
  var jobs: [ProactiveJob] = []

  init?(_ id: String, _ connection: any Connection) throws {
    self.id = id
    var arrivalID: ArrivalID?
    var contactID: ContactID?
    var requestID: ServiceRequestID?
    if let decision = DecisionID(id) {
      guard let record = try connection.decision(decision) else { return nil }
      contactID = ContactID(record.subject)
      requestID = ServiceRequestID(record.subject)
      jobs = try ProactiveJobID(record.subject).flatMap { try connection.proactiveJob($0) }.map { [$0] } ?? []
    } else if let job = try ProactiveJobID(id) ?? AttemptID(id).flatMap({ try connection.job(of: $0) }) {
      jobs = try connection.proactiveJob(job).map { [$0] } ?? []
      contactID = jobs.first?.contact
      requestID = jobs.first?.request
    } else if let arrival = ArrivalID(id) {
      arrivalID = arrival
    } else if let contact = ContactID(id) {
      contactID = contact
    } else if let request = ServiceRequestID(id) {
      requestID = request
    } else {
      arrivalID = try connection.arrival(reference: id)
      requestID = try connection.serviceRequest(reference: id)?.id
    }
    if let arrivalID {
      arrival = try connection.arrival(arrivalID)
      contactID = try contactID ?? connection.contact(of: arrivalID)
    }
    if let contactID, let contact = try connection.contact(contactID) {
      contacts = [contact]
      requests = try connection.requests(of: contactID)
      if arrival == nil { arrival = try contact.arrival.flatMap { try connection.arrival($0) } }
    }
    if let requestID, requests.isEmpty {
      requests = try connection.serviceRequest(requestID).map { [$0] } ?? []
      contacts = try connection.contacts(of: requestID).suffix(50).map(\.self)
      if arrival == nil, contacts.count == 1 {
        arrival = try contacts[0].arrival.flatMap { try connection.arrival($0) }
      }
    }
    if let requestID, jobs.isEmpty {
      var filter = JobFilter()
      filter.request = requestID
      jobs = try connection.proactiveJobs(matching: filter, after: nil, limit: 50).reversed()
    }
    guard arrival != nil || !contacts.isEmpty || !requests.isEmpty || !jobs.isEmpty else { return nil }
  }

  private var subjects: [String] {
    [arrival?.arrival.id.description].compactMap(\.self) + contacts.map(\.id.description)
      + requests.map(\.id.description) + jobs.map(\.id.description)
  }

  var seen: [Sight] {
    let customers = Set(
      contacts.compactMap(\.customerNo) + requests.compactMap(\.customerNo) + jobs.compactMap(\.customerNo))
    return customers.isEmpty
      ? [Sight(customer: nil, subject: id)] : customers.sorted().map { Sight(customer: $0, subject: id) }
  }

  func json(_ connection: any Connection) throws -> JSONValue {
    let decisions = try connection.decisions(about: subjects, limit: 500)
    let attempts = try jobs.flatMap { try connection.attempts(of: $0.id) }
    let events = try connection.events(about: subjects + attempts.map(\.id.description), limit: 1_000)
    var shown: JSONValue = .null
    if let (arrival, state) = arrival {
      shown = [
        "id": .text(arrival.id), "channel": .string(arrival.channel.name), "state": .string(state),
        "received_at": .time(arrival.receivedAt), "stored_at": .time(arrival.storedAt), "late": .bool(arrival.late),
        "reference": .optional(arrival.reference),
        "quarantine": try connection.quarantineItem(arrival.id).map { try .encoding($0.item) } ?? .null,
      ]
    }
    return [
      "id": .string(id), "arrival": shown, "contacts": .array(contacts.map(\.json)),
      "requests": .array(requests.map(\.json)), "jobs": .array(jobs.map(\.json)),
      "attempts": .array(try attempts.map { try $0.json(connection) }), "decisions": .array(decisions.map(\.json)),
      "events": .array(events.map(\.json)),
    ]
  }
}

extension DecisionRecord {
  var json: JSONValue {
    // The store writes JSON objects alone; an unreadable one is shown without its inputs.
    let content = (try? JSONReader.read(Array(body.utf8))) ?? .null
    let sentence = sentence(content)
    return [
      "id": .text(id), "act": .string(act), "subject": .string(subject), "customer_no": .optional(customerNo),
      "at": .time(at), "rule_version": .string(ruleVersion), "verdict": .string(verdict),
      "decided_by": .string(decidedBy), "author": .optional(author), "sentence_zh": .string(sentence.chinese),
      "sentence_en": .string(sentence.english), "body": content,
    ]
  }

  static let schema = Schema.named(
    "Decision",
    .output(
      .required("id", .id("decision")), .required("act", .string()), .required("subject", .string()),
      .required("customer_no", .nullable(.string())), .required("at", .time), .required("rule_version", .string()),
      .required("verdict", .string()), .required("decided_by", .word(["rule", "user"])),
      .required("author", .nullable(.string())), .required("sentence_zh", .string()),
      .required("sentence_en", .string()), .required("body", .any, "Inputs, candidates and reasons")))

  /// The decision in one sentence.
  private func sentence(_ content: JSONValue) -> LocalizedText {
    let reason = content["reason"]?.string.map { $0.isEmpty ? "" : "（\($0)）" } ?? ""
    let reasonEn = content["reason"]?.string.map { $0.isEmpty ? "" : " (\($0))" } ?? ""
    let who = customerNo?.description ?? ""
    let author = author ?? "?"
    if act == "outbound", let chinese = content["words_zh"]?.string, let english = content["words_en"]?.string {
      return LocalizedText(zh: chinese, en: english)
    }
    switch (act, decidedBy, verdict) {
    case ("tie", "user", "unsatisfied"):
      return LocalizedText(zh: "\(author) 撤回了客户归属\(reason)", en: "\(author) took the tie to a customer back\(reasonEn)")
    case ("tie", "user", _):
      return LocalizedText(
        zh: "\(author) 认定联系人为客户 \(who)\(reason)", en: "\(author) says this is customer \(who)\(reasonEn)")
    case ("tie", _, "satisfied"):
      return LocalizedText(
        zh: "满足区：按规则认定为客户 \(who)，\(bits(content)) 比特\(reason)",
        en: "Satisfied zone: by rule this is customer \(who), \(bits(content)) bits\(reasonEn)")
    case ("tie", _, "fuzzy"):
      let count = content["candidates"]?.array?.count ?? 0
      return LocalizedText(
        zh: "模糊区：\(count) 个候选客户，需人工确认，\(bits(content)) 比特\(reason)",
        en: "Fuzzy zone: \(count) candidates, a person confirms, \(bits(content)) bits\(reasonEn)")
    case ("tie", _, _):
      return LocalizedText(zh: "不满足区：没有已知客户\(reason)", en: "Unsatisfied zone: no known customer\(reasonEn)")
    case ("classification", _, _):
      let by = content["by"]?.string ?? "default"
      let words = content["candidates"]?[verdict]?.string.map { " \($0)" } ?? ""
      let zh = ["channel": "渠道指定", "keyword": "关键词\(words)", "default": "默认"][by] ?? by
      let en =
        ["channel": "given by the channel", "keyword": "by the words\(words)", "default": "by default"][by] ?? by
      return LocalizedText(zh: "类别 \(verdict)：\(zh)", en: "Category \(verdict): \(en)")
    default:
      return LocalizedText(zh: "\(act)：\(verdict)\(reason)", en: "\(act): \(verdict)\(reasonEn)")
    }
  }

  private func bits(_ content: JSONValue) -> String {
    func number(_ name: String) -> Double? {
      switch content[name] {
      case .integer(let value): Double(value)
      case .number(let value): value
      default: nil
      }
    }
    func shown(_ value: Double) -> String { String((value * 10).rounded() / 10) }
    guard let score = number("score_bits") else { return "?" }
    guard let hi = number("hi"), let lo = number("lo") else { return shown(score) }
    return "\(shown(score)) (\(shown(lo))–\(shown(hi)))"
  }
}

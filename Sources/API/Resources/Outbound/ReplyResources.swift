import Channels
import ContactModel
import Customers
import Foundation
import Outbound
import Store

/// An agent answers a request by e-mail, text message or fax: a job like any other, under the same rules.
///
/// The customer asked for it by writing, so that his hours and caps do not hold it up; a STOP of the address and its
/// state do. The answer is a contact of the request at once, refers to what it answers, and leaves by the mailbox or
/// number that was written to, so that what he answers finds the request again.
extension OutboundResources {
  private static let attachmentInput = Schema.input(
    .optional("sha256", .string(minimum: 64, maximum: 64), "A document of this request"),
    .optional("content", .string(maximum: 28_000_000), "Or its bytes in base 64"),
    .optional("name", .string(minimum: 1, maximum: 200)),
    .optional("media_type", .string(minimum: 3, maximum: 100), "Required with content"))

  var reply: Route {
    Route(
      "replyToServiceRequest", .post, "/v1/service-requests/{id}/replies",
      summary: "Answer a request by a message; its state stands in the contact and in the job", tag: "service-requests",
      access: .roles(.agent, .supervisor, .integration), parameters: [.path("id", .id("request"))],
      body: .init(
        .input(
          .optional("channel", .string(maximum: 40), "email, sms or fax; by which he wrote if not given"),
          .optional(
            "to",
            .input(
              .required("kind", .word(["phone", "email", "fax"])),
              .required("value", .string(minimum: 3, maximum: 320)),
              .optional(
                "confirm", .string(minimum: 3, maximum: 320),
                "The same again: needed for a fax number that neither his record nor the request has")),
            "Whence he wrote if not given"),
          .optional("subject", .string(minimum: 1, maximum: 500), "Of an e-mail; the request's if not given"),
          .required("text", .string(minimum: 1, maximum: 100_000)), .optional("html", .string(maximum: 500_000)),
          .optional("language", .string(maximum: 35), "BCP 47"),
          .optional("attachments", .array(Self.attachmentInput, maximum: 20))), maximumBytes: 30_000_000),
      answers: [.json(ProactiveJob.schema, "The job that sends it", status: 201)], needsIdempotencyKey: true
    ) { call in
      let id: ServiceRequestID = try call.path("id")
      let parts = try await keep(call.body["attachments"]?.array ?? [])
      let links = links
      return try await database.act(call) { transaction, actor in
        guard let request = try transaction.serviceRequest(id) else { throw Problem(.notFound) }
        try Scope(call, transaction).requireWork(on: request)
        guard request.status != .closed else {
          throw Problem(
            .conflict, LocalizedText(zh: "请求已结案，请先重新打开", en: "the request is closed"))
        }
        let contacts = try transaction.contacts(of: id)
        let answer = try Answer(call, to: request, contacts, over: links, transaction)
        let documents = try parts.isEmpty ? [:] : transaction.documents(of: id)
        var attachments: [ProactiveJob.Attachment] = []
        for (index, part) in parts.enumerated() {
          guard let known = part.kept ?? documents[part.digest] else {
            throw Problem.unknown("#/attachments/\(index)/sha256", "a document of this request")
          }
          attachments.append(known)
        }
        let job = try answer.plan(attachments, call, transaction, actor)
        try transaction.audit(
          "service_request.reply", id, customer: request.customerNo, after: job.json, by: actor, at: call.now)
        return .json(job.json, status: 201, version: Int64(job.version))
      }
    }
  }

  /// Keeps the documents that were sent along with the request; what is only referred to is looked up later.
  private func keep(_ parts: [JSONValue]) async throws -> [(digest: String, kept: ProactiveJob.Attachment?)] {
    var found: [(String, ProactiveJob.Attachment?)] = []
    for (index, part) in parts.enumerated() {
      if let digest = part["sha256"]?.string, part["content"] == nil {
        found.append((digest, nil))
        continue
      }
      guard let text = part["content"]?.string, let data = Data(base64Encoded: text), !data.isEmpty else {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/attachments/\(index)/content"), .format, expected: "base 64")])
      }
      guard let type = part["media_type"]?.string else {
        throw Problem(
          .invalidInput, violations: [Violation(.body(pointer: "#/attachments/\(index)/media_type"), .required)])
      }
      let digest = try await bodies.keep(Array(data)).description
      found.append(
        (digest, .init(name: part["name"]?.string, mediaType: type.lowercased(), sha256: digest, size: data.count)))
    }
    return found
  }
}

/// Where an answer goes, by which way, and what it refers to.
private struct Answer {
  let request: ServiceRequest
  let link: OutboundLink
  let to: Address?
  let answered: Contact?
  let first: Contact?
  let content: Dispatch.Content
  /// As people see it; the mail's own has the request's token too.
  let title: String?

  init(
    _ call: Call, to request: ServiceRequest, _ contacts: [Contact], over links: [OutboundLink],
    _ transaction: WriteTransaction
  ) throws {
    self.request = request
    let inbound = contacts.last { $0.direction == .inbound }
    answered = inbound
    first = contacts.first
    let channel = Self.channel(call.body["channel"]?.string, inbound)
    // By the same mailbox or number where it can be, so that the answer to the answer comes back there.
    let ways = links.filter { $0.channel == channel }
    guard let link = ways.first(where: { $0.adapter.channel == inbound?.channel }) ?? ways.first else {
      let known = Set(links.map(\.channel.rawValue)).sorted().joined(separator: ", ")
      throw Problem(
        .invalidInput, violations: [Violation(.body(pointer: "#/channel"), .notAllowed, expected: known)])
    }
    self.link = link
    to = try Self.address(call, for: channel, request, contacts, transaction)
    var content = Dispatch.Content(
      text: call.body["text"]?.string ?? "", html: call.body["html"]?.string,
      language: call.body["language"]?.string ?? inbound?.language)
    if channel == .email {
      content.subject = call.body["subject"]?.string ?? Self.subject(answering: first?.summary ?? request.summary)
      title = content.subject
      content.subject = Self.tokened(content.subject ?? "", request, language: content.language)
      content.references = try transaction.messageIDs(of: request.id, limit: 20)
      content.options["case"] = request.id.description
    } else {
      content.subject = call.body["subject"]?.string
      title = content.subject
    }
    self.content = content
  }

  private static func channel(_ wanted: String?, _ inbound: Contact?) -> OutboundChannel {
    if let wanted { return OutboundChannel(rawValue: wanted) }
    switch (inbound?.channel.kind, inbound?.from?.kind) {
    case (.sms?, _): return .sms
    case (.fax?, _): return .fax
    case (_, .phone?): return .sms
    default: return .email
    }
  }

  /// What was given, else whence he last wrote; nil: the customer's own. 422 where there is none.
  private static func address(
    _ call: Call, for channel: OutboundChannel, _ request: ServiceRequest, _ contacts: [Contact],
    _ transaction: WriteTransaction
  ) throws -> Address? {
    if let given = call.body["to"], let kind = given["kind"]?.string.flatMap(Address.Kind.init) {
      guard kind == channel.addressKind, let address = AddressForm.address(kind, given["value"]?.string ?? "") else {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/to"), .format, expected: channel.addressKind.rawValue)])
      }
      if kind == .fax { try check(address, given["confirm"]?.string, request, contacts, transaction) }
      return address
    }
    let written = contacts.last { $0.direction == .inbound && $0.from?.kind == channel.addressKind }?.from
    if let written { return written }
    if let customer = request.customerNo,
      try transaction.contactPoints(of: customer).contains(where: { $0.address.kind == channel.addressKind })
    {
      return nil
    }
    throw Problem(
      .invalidInput,
      violations: [Violation(.body(pointer: "#/to"), .required, expected: "no such address of the sender is known")])
  }

  /// Papers faxed to a number one digit off have cost banks dear: it is on his record, he faxed from it, or it was typed
  /// twice.
  private static func check(
    _ address: Address, _ again: String?, _ request: ServiceRequest, _ contacts: [Contact],
    _ transaction: WriteTransaction
  ) throws {
    if let again {
      guard AddressForm.address(.fax, again)?.canonical == address.canonical else {
        throw Problem(
          .invalidInput,
          violations: [Violation(.body(pointer: "#/to/confirm"), .conflict, expected: "the same as value")])
      }
      return
    }
    if contacts.contains(where: { $0.direction == .inbound && $0.from?.canonical == address.canonical }) { return }
    if let customer = request.customerNo, try transaction.holders(of: address, limit: 50).contains(customer) { return }
    throw Problem.unknown("#/to/confirm", "needed: neither his record nor this request has the fax number")
  }

  /// `Re: [案件 7K3M-Q9XW-2PD] 账单`: binds the answer of a client that keeps the subject and nothing else.
  private static func tokened(_ subject: String, _ request: ServiceRequest, language: String?) -> String {
    guard let reference = request.reference, !subject.contains(reference) else { return subject }
    let token = "[\(language?.hasPrefix("en") == true ? "Case" : "案件") \(reference)]"
    return subject.hasPrefix("Re: ") ? "Re: \(token) \(subject.dropFirst(4))" : "\(token) \(subject)"
  }

  /// `Re: ` once, whatever it already begins with.
  private static func subject(answering text: String) -> String {
    let marks = ["re:", "re：", "回复:", "回复：", "答复:", "答复："]
    let line = text.split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
    if marks.contains(where: { line.lowercased().hasPrefix($0) }) { return line }
    return "Re: \(line.prefix(200))"
  }

  /// Plans the job and shows the answer in its request.
  func plan(
    _ attachments: [ProactiveJob.Attachment], _ call: Call, _ transaction: WriteTransaction, _ actor: Actor
  ) throws -> ProactiveJob {
    let contact = Contact(
      id: ContactID(at: call.now), customerNo: request.customerNo, channel: link.adapter.channel, direction: .outbound,
      initiation: .outbound, from: link.from, to: to, language: content.language,
      summary: title ?? String(content.text.prefix(120)), content: content.text, category: request.category,
      agent: actor.agent,
      identity: IdentityTie(
        zone: request.customerNo == nil ? .unsatisfied : answered?.identity.zone ?? .satisfied,
        decision: answered?.identity.decision ?? DecisionID(at: call.now)),
      chain: .init(initial: first?.id, previous: answered?.id),
      times: .init(received: call.now, stored: call.now))
    try transaction.open(contact, answering: request.id, actor: actor, at: call.now)
    var job = ProactiveJob(
      id: ProactiveJobID(at: call.now), customerNo: request.customerNo,
      key: "reply/\(actor.label)#\(call.idempotency?.key ?? "")", purpose: .service,
      contents: [link.channel.rawValue: content], due: call.now,
      requested: .init(channel: link.channel, at: call.now), createdBy: actor.label, createdAt: call.now)
    job.to = to
    job.via = link.adapter.channel.name
    job.precedence = .urgent
    job.attachments = attachments
    job.request = request.id
    job.contact = contact.id
    job.reference = request.reference
    return try transaction.plan(job, actor: actor, at: call.now).job
  }
}

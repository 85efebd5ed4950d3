import Channels
import ContactModel
import Customers
import Logging
import Store

/// What an adapter calls the digest by which a copy of a message is recognised in another mailbox.
enum ContentIdentity {
  static let property = "content.identity"
}

extension Intake {
  /// Turns one kept arrival into a contact of a request, or sets it aside with the reason. False if the store could
  /// do neither now: it stays in work and must be tried again.
  func route(_ kept: KeptArrival) async -> Bool {
    do {
      switch kept.payload {
      case .message(let message):
        try await route(message, of: kept)
        try await replaceParts(by: message, of: kept)
      case .unreadable(let unreadable):
        try await setAside(kept, code: unreadable.code, reason: unreadable.text)
      case .report(let report): try await pass(report, of: kept)
      case .call, .presence:
        let following = try following(kept)
        try await database.write { transaction in
          guard try transaction.settleArrival(kept.id, at: following.time) else { return }
          try following.apply(to: transaction)
        }
      }
    } catch is CancellationError {
      return false
    } catch let error as DatabaseError where error.isPassing {
      logger.warning(
        "An arrival could not be routed now and stays in work.",
        metadata: ["arrival.id": "\(kept.id)", "fault.code": "\(error.kind.rawValue)"])
      return false
    } catch {
      logger.error(
        "An arrival could not be routed and was set aside.",
        metadata: ["arrival.id": "\(kept.id)", "fault.text": "\(error)"])
      do {
        try await setAside(kept, code: "routing-failed", reason: "\(error)")
      } catch {
        logger.error(
          "It could not be set aside either.", metadata: ["arrival.id": "\(kept.id)", "fault.text": "\(error)"])
        return false
      }
    }
    return true
  }

  private func setAside(_ kept: KeptArrival, code: String, reason: String) async throws {
    let time = now()
    try await database.write { try $0.quarantine(kept.id, code: code, reason: reason, at: time) }
  }

  /// A report is kept and marked as done; Outbound settles it from the store.
  private func pass(_ report: DeliveryReport, of kept: KeptArrival) async throws {
    let time = now()
    let body = try JSONText.encode(report)
    try await writes.write { try $0.passReport(kept, body: body, at: time) }
  }

  private func route(_ message: InboundMessage, of kept: KeptArrival) async throws {
    let time = now()
    let parameters = parameters()
    let contactID = ContactID(at: kept.receivedAt)
    let evidence = TieEvidence(from: kept.from, claims: message.claims)
    let read = try await database.read { connection in
      (
        facts: try connection.tieFacts(for: evidence),
        thread: try connection.thread(of: message, from: kept.from),
        repeated: try connection.possibleRepeat(message, of: kept)
      )
    }
    let decision = tie(evidence, of: contactID, given: read.facts, decision: DecisionID(at: time), at: time)
    let customerNo = decision.customerNo
    let classification = parameters.classify(message)
    guard let category = parameters.categories[classification.category] else {
      throw IntakeFault.noCategories
    }

    let summary = message.subject.flatMap { $0.isEmpty ? nil : $0 } ?? String(message.text.prefix(120))
    let deadline = time + .seconds(category.respondWithinMinutes * 60)
    let wish = AddressWish(message, from: kept.from, on: kept.channel)
    let request: Routing.RoutedRequest
    var chain = Contact.Chain()
    switch read.thread {
    case .belongs(let id, let why, _) where message.isAutomatic: request = .accompanies(id, why: why)
    case .belongs(let id, let why, _): request = .joins(id, why: why, deadline: deadline)
    case .follows, .none:
      if case .follows(let earlier, _) = read.thread { chain.related = earlier }
      if message.isAutomatic || wish != nil {
        request = .none
      } else if let first = read.repeated?.request {
        request = .joins(first, why: "possibly repeated", deadline: deadline)
      } else {
        request = .opens(
          ServiceRequest(
            id: ServiceRequestID(at: time), reference: kept.reference, customerNo: customerNo, start: kept.receivedAt,
            summary: summary, content: message.text, status: .open, severity: category.severity,
            urgency: category.urgency, category: category.code, queue: category.queue, nextDeadline: deadline,
            channel: kept.channel))
      }
    }
    if let first = read.repeated { chain.related = chain.related ?? first.of }
    var contact = Contact(
      id: contactID, customerNo: customerNo, channel: kept.channel, direction: .inbound, initiation: .inbound,
      from: kept.from ?? claimedAddress(message), to: kept.to, language: message.language, summary: summary,
      content: message.fullText ?? message.text, category: category.code, queue: category.queue,
      identity: IdentityTie(zone: decision.zone, decision: decision.decisionId), chain: chain,
      providerID: message.thread.ownID ?? kept.wireKey, arrival: kept.id, late: kept.late,
      times: .init(received: kept.receivedAt, stored: kept.storedAt, identified: time, enqueued: time))
    if message.isAutomatic {
      // Nobody is asked to work on it.
      contact.state = .closed
      contact.disposition = "automatic"
      contact.times.closed = time
    } else if let wish, case .none = request {
      contact.state = .closed
      contact.disposition = wish.disposition
      contact.times.closed = time
    }
    var detail = Dictionary(message.properties.map { ($0.key, $0.value) }, uniquingKeysWith: { a, _ in a })
    for (key, value) in read.thread.detail { detail[key] = value }
    if let first = read.repeated { detail[PossibleRepeat.mark] = first.of.description }
    let contentKey = detail[ContentIdentity.property]
    var routing = Routing(
      arrival: kept.id, contact: contact, request: request, identity: decision, classification: classification,
      consents: message.consents, messageIDs: message.thread.ownID.map { [$0] } ?? [],
      detail: try JSONText.encode(detail), contentKey: contentKey)
    try routing.writeTexts()
    let (ready, routedAt, limit) = (routing, now(), options.automaticPerHour)
    try await writes.write { transaction in
      if let contentKey, try transaction.addCopy(of: contentKey, kept, at: routedAt) != nil { return }
      if message.isAutomatic {
        let count = try transaction.countAutomatic(
          ready.automaticSubjects(sender: kept.from?.canonical), on: kept.channel, at: routedAt)
        if count > limit, try !transaction.wasReleased(kept.id) {
          return try transaction.quarantine(
            kept.id, code: "automatic-flood",
            reason:
              "message \(count) of a machine within an hour from one sender or to one request; \(limit) are taken",
            at: routedAt)
        }
      }
      guard try transaction.route(ready, at: routedAt) else { return }
      if let complaint = try AddressWish(complaintIn: message, on: kept.channel, transaction) {
        try transaction.obey(
          complaint, evidence: complaint.evidence(kept, at: routedAt), confirmation: nil, at: routedAt)
        try transaction.setState(.complaint, of: complaint.address, source: kept.id.description, at: routedAt)
      }
      guard let wish else { return }
      try transaction.obey(
        wish, evidence: wish.evidence(kept, at: routedAt),
        confirmation: wish.confirmation(parameters, language: message.language), at: routedAt)
    }
  }

  /// A form has no wire address; the first claimed one stands for it.
  private func claimedAddress(_ message: InboundMessage) -> Address? {
    addresses(of: TieEvidence(from: nil, claims: message.claims)).first?.0
  }

}

enum IntakeFault: Error, CustomStringConvertible {
  case noCategories
  /// Asked to follow what is no event of a switch.
  case noCall
  var description: String {
    switch self {
    case .noCall: return "this is no call"
    case .noCategories: return "no category of service request is in force; apply one with liaison params apply"
    }
  }
}

extension Routing {
  /// Under what a machine's message is counted: some answer under a new address each time, but to the same request.
  fileprivate func automaticSubjects(sender: String?) -> [String] {
    var subjects = [sender ?? ""]
    if case .accompanies(let id, _) = request { subjects.append(id.description) }
    return subjects
  }
}

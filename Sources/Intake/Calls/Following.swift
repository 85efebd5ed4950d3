import Channels
import ContactModel
import Customers
import Store

/// One event of a switch, ready to be applied: what can be computed outside the transaction has been.
///
/// A call is one contact from its first ring to its end, however many devices it passes; calls among the bank's own
/// devices are kept, but are nobody's contact until a customer has part in them. Each event brings the whole call, so
/// applying one twice, or one that comes late, changes nothing.
struct Following: Sendable {
  let kept: KeptArrival
  let matter: Matter
  let time: Timestamp
  let parameters: IntakeParameters
  let memory: CallMemory
  let show: @Sendable (CallChange, WriteTransaction) throws -> Void

  enum Matter: Sendable {
    /// With the call as JSON.
    case call(CallEvent, text: String)
    case presence(AgentPresence)
  }

  /// What the arrival is kept with, around the call as it is written already: a call is encoded once, and not while
  /// others wait for the writer.
  func payload() throws -> String {
    switch matter {
    case .call(let event, let text):
      var out = #"{"at":\#(try JSONText.encode(event.at)),"call":\#(text),"change":"\#(event.change.rawValue)""#
      if let device = event.device { out += #","device":\#(try JSONText.encode(device))"# }
      return out + "}"
    case .presence(let presence): return try JSONText.encode(presence)
    }
  }

  func apply(to transaction: WriteTransaction) throws {
    switch matter {
    case .call(let event, let text): try follow(event, text, in: transaction)
    case .presence(let presence): try transaction.passPresence(presence, at: time)
    }
  }

  private func follow(_ event: CallEvent, _ text: String, in transaction: WriteTransaction) throws {
    let call = event.call
    let known = try transaction.keptCall(call.callID, on: call.server)
    let standing = CallStanding(of: event)
    if let known, standing.isBehind(known.standing) { return }
    let before = try known.map { known in
      try memory.state(call.callID, on: call.server, version: known.version) ?? known.state()
    }
    if before == call { return }
    if let known, !known.isOpen { return try complete(known, before, by: call, text, standing, in: transaction) }

    var contact = try known?.contact.flatMap { try transaction.contact($0) }
    let answerQueue = known?.answerQueue ?? (call.connected == nil ? nil : call.queue)
    let isNew = contact == nil && call.direction != .internal
    var decision: IdentityDecision?
    if isNew {
      let id = ContactID(at: kept.receivedAt)
      let tie = try identify(call, as: id, instead: nil, in: transaction)
      let course = try course(of: call, answerQueue: answerQueue, agents: [:], in: transaction)
      contact = course.begin(id, kept: kept, tie: tie, at: time)
      decision = tie
    } else if let known = contact, known.identity.confirmedBy == nil, before?.isFromSame(as: call) == false {
      decision = try identify(call, as: known.id, instead: known.customerNo, in: transaction)
      contact?.customerNo = decision?.customerNo
      if let decision { contact?.identity = IdentityTie(zone: decision.zone, decision: decision.decisionId) }
    }
    guard var contact else {
      return try keep(call, text, standing, nil, answerQueue, in: transaction)
    }

    let agents = try transaction.agents(at: Set(call.legs.map(\.device)))
    let course = try course(of: call, answerQueue: answerQueue, agents: agents, in: transaction)
    contact = course.carry(contact, at: time)
    if call.mergedInto != nil {
      contact.chain.related = try call.mergedInto.flatMap { try transaction.keptCall($0, on: call.server)?.contact }
    }
    let detail = call.ended == nil ? nil : try JSONText.encode(CallRecord(call, answerQueue: answerQueue))
    if isNew {
      try transaction.insert(contact, detail: "{}")
      if let decision { try transaction.record(decision) }
    } else if let decision {
      try transaction.retie(contact, by: decision)
    }
    try transaction.updateCourse(contact, call, detail: detail)
    try transaction.keepLegs(of: contact.id, call, before: before, agents: agents)
    try keep(call, text, standing, contact.id, answerQueue, in: transaction)

    let request = try request(of: contact, call, before: before, agents: agents, in: transaction)
    try record(call, before: before, contact, isNew: isNew, in: transaction)
    let change = CallChange(
      contact: contact, request: request, before: before, after: call, isIdentified: decision != nil && !isNew, at: time
    )
    try show(change, transaction)
  }

  private func keep(
    _ call: CallState, _ text: String, _ standing: CallStanding, _ contact: ContactID?, _ answerQueue: String?,
    in transaction: WriteTransaction
  ) throws {
    let version = try transaction.keep(
      call, text: text, standing: standing, contact: contact, answerQueue: answerQueue, channel: kept.channel.name,
      at: time)
    memory.remember(call, version: version)
  }

  /// A contact that is closed stays as it is; only the result of the order that began the call may come after its end.
  private func complete(
    _ known: KeptCall, _ before: CallState?, by call: CallState, _ text: String, _ standing: CallStanding,
    in transaction: WriteTransaction
  ) throws {
    guard call.job != nil, before?.job == nil else { return }
    try keep(call, text, standing, known.contact, known.answerQueue, in: transaction)
    guard let id = known.contact else { return }
    let detail = try JSONText.encode(CallRecord(call, answerQueue: known.answerQueue))
    try transaction.execute(
      "UPDATE contact SET detail = CAST($2 AS {{json}}), version = version + 1 WHERE contact_id = $1",
      [.id(id), .text(detail)])
    try transaction.append(
      EventRecord(
        at: time, type: .contactUpdated, subject: id.description, contact: id, channel: kept.channel.name,
        actor: "liaison", body: try JSONText.encode(["change": "job", "job": call.job ?? ""])))
  }

  /// Keyed customer number and the customer's own telephone number, weighed like any other evidence.
  private func identify(
    _ call: CallState, as contact: ContactID, instead before: CustomerNumber?, in transaction: WriteTransaction
  ) throws -> IdentityDecision {
    let claims = call.customerNo.flatMap { $0.isEmpty ? nil : Claim(.customerNo, $0, source: .keyed) }
    let evidence = TieEvidence(from: call.caller.map(CallCourse.bounded), claims: claims.map { [$0] } ?? [])
    let facts = try transaction.tieFacts(for: evidence)
    var decision = tie(evidence, of: contact, given: facts, decision: DecisionID(at: time), at: time)
    decision.inverse = before
    return decision
  }

  private func course(
    of call: CallState, answerQueue: String?, agents: [String: AgentID], in transaction: WriteTransaction
  ) throws -> CallCourse {
    let named = (answerQueue ?? call.queue).flatMap { Code($0) }
    let queue = try named.flatMap { try transaction.hasQueue($0) ? $0 : nil }
    return CallCourse(call: call, queue: queue, agents: agents)
  }

  /// What others follow: webhooks, metrics, lists.
  private func record(
    _ call: CallState, before: CallState?, _ contact: Contact, isNew: Bool, in transaction: WriteTransaction
  ) throws {
    func event(_ type: EventType, _ body: String) -> EventRecord {
      EventRecord(
        at: time, type: type, subject: contact.id.description, contact: contact.id, customerNo: contact.customerNo,
        channel: contact.channel.name, actor: "liaison", body: body)
    }
    if isNew { try transaction.append(event(.contactOpened, try JSONText.encode(contact))) }
    if call.ended != nil {
      try transaction.indexWords(of: contact.summary, under: contact.id.description)
      try transaction.append(event(.contactClosed, try JSONText.encode(contact)))
      return
    }
    var news: [String] = []
    if before?.connected == nil, call.connected != nil { news.append("answered") }
    if call.transfers.count > before?.transfers.count ?? 0 { news.append("transferred") }
    if call.queue != before?.queue { news.append("queued") }
    for word in news { try transaction.append(event(.contactUpdated, try JSONText.encode(["change": word]))) }
  }
}

extension Intake {
  func following(_ kept: KeptArrival) throws -> Following {
    let matter: Following.Matter
    switch kept.payload {
    case .call(let event): matter = .call(event, text: try JSONText.encode(event.call))
    case .presence(let presence): matter = .presence(presence)
    case .message, .report, .unreadable: throw IntakeFault.noCall
    }
    return Following(kept: kept, matter: matter, time: now(), parameters: parameters(), memory: calls, show: show)
  }
}

extension CallState {
  /// What speaks for who the customer is has not changed.
  fileprivate func isFromSame(as other: CallState) -> Bool {
    customerNo == other.customerNo && caller?.canonical == other.caller?.canonical
  }
}

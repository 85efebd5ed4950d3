import Channels
import ContactModel

/// Who acts, for the record: an agent, a client of the API, or `liaison` itself.
public struct Actor: Sendable, Hashable {
  public var label: String
  public var agent: AgentID?
  public var role: String
  /// W3C traceparent of the request that caused the act.
  public var trace: String?
  public init(label: String, agent: AgentID?, role: String, trace: String? = nil) {
    self.label = label
    self.agent = agent
    self.role = role
    self.trace = trace
  }
  public static let liaison = Actor(label: "liaison", agent: nil, role: "system")
}

/// What became of an act that rests on a state somebody may have changed meanwhile.
public enum ActOutcome<Value: Sendable>: Sendable {
  case done(Value)
  /// Somebody else was faster; what stands now.
  case conflict(Value)
  case notFound
  /// The state does not allow it; a sentence for people.
  case refused(String)
}

extension WriteTransaction {
  /// An agent takes a request out of its queue: owner, contact and screens in one. Of two agents one wins; the other
  /// gets `.conflict`. Taking what one already owns is `.done`.
  public func take(
    _ id: ServiceRequestID, by agent: AgentID, ifVersion version: Int?, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<ServiceRequest> {
    guard let before = try serviceRequest(id) else { return .notFound }
    if before.owner == agent, before.status == .inProgress { return .done(before) }
    guard before.status.isLive else { return .refused("the request is \(before.status.rawValue)") }
    guard before.owner == nil, version == nil || version == before.version else { return .conflict(before) }
    let changed = try execute(
      """
      UPDATE service_request SET owner = $2, status = 'in_progress', updated_at = $3, version = version + 1
      WHERE request_id = $1 AND owner IS NULL AND version = $4
      """, [.id(id), .id(agent), SQLValue(time), SQLValue(before.version)])
    guard let after = try serviceRequest(id) else { return .notFound }
    guard changed == 1 else { return .conflict(after) }
    let contacts = try query(
      """
      UPDATE contact SET agent_id = $2, accepted_at = coalesce(accepted_at, $3), version = version + 1
      WHERE state = 'open' AND contact_id IN (SELECT contact_id FROM contact_service_request WHERE request_id = $1)
      RETURNING contact_id
      """, [.id(id), .id(agent), SQLValue(time)])
    let contact: ContactID? = try contacts.last?.parsed("contact_id")
    try append(event(.requestTaken, after, contact, actor, time))
    let body = try JSONText.encode(["request": id.description, "taken_by": agent.description])
    if let queue = after.queue {
      try append(
        EventRecord(
          at: time, type: .popWithdrawn, subject: contact?.description ?? id.description, contact: contact, request: id,
          customerNo: after.customerNo, channel: after.channel.name, queue: queue, actor: actor.label,
          trace: actor.trace, body: body))
    }
    try append(
      EventRecord(
        at: time, type: .popAccepted, subject: contact?.description ?? id.description, contact: contact, request: id,
        customerNo: after.customerNo, channel: after.channel.name, agent: agent, actor: actor.label,
        trace: actor.trace, body: body))
    return .done(after)
  }

  /// Writes a note on a request, and on the contact it was made in if given.
  public func note(
    _ text: String, on id: ServiceRequestID, contact: ContactID?, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<NoteID> {
    guard let request = try serviceRequest(id) else { return .notFound }
    let note = NoteID(at: time)
    try execute(
      "INSERT INTO note(note_id, contact_id, request_id, author, at, text) VALUES ($1, $2, $3, $4, $5, $6)",
      [.id(note), .id(contact), .id(id), .text(actor.label), SQLValue(time), .text(text)])
    try indexWords(of: text, under: id.description)
    try append(
      event(.requestNoted, request, contact, actor, time, body: try JSONText.encode(["note": note.description])))
    return .done(note)
  }

  /// Moves a request to another status by the rules of `ServiceRequest.Status`. Resolving and closing end its open
  /// contacts; going back to `open` without an owner needs its queue.
  public func setStatus(
    _ status: ServiceRequest.Status, of id: ServiceRequestID, resolution: String?, ifVersion version: Int?,
    deadline: Timestamp?, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<ServiceRequest> {
    guard let before = try serviceRequest(id) else { return .notFound }
    guard version == nil || version == before.version else { return .conflict(before) }
    if before.status == .closed { return .refused("a closed request stays closed; a new contact opens a new one") }
    if status == .inProgress, before.owner == nil { return .refused("somebody must take it first") }
    if status == .open, before.queue == nil { return .refused("it has no queue to return to") }
    let ends = !status.isLive
    let changed = try execute(
      """
      UPDATE service_request SET status = $2, updated_at = $3, version = version + 1,
        ended_at = CASE WHEN $4 = 1 THEN coalesce(ended_at, $3) END,
        owner = CASE WHEN $2 = 'open' THEN NULL ELSE owner END,
        next_deadline = CASE WHEN $4 = 1 THEN NULL ELSE coalesce(CAST($5 AS {{int}}), next_deadline, $3) END,
        resolution = coalesce(CAST($6 AS TEXT), resolution)
      WHERE request_id = $1 AND version = $7
      """,
      [
        .id(id), SQLValue(status), SQLValue(time), SQLValue(ends), SQLValue(deadline), SQLValue(resolution),
        SQLValue(before.version),
      ])
    guard let after = try serviceRequest(id) else { return .notFound }
    guard changed == 1 else { return .conflict(after) }
    if ends { try closeContacts(of: id, actor: actor, at: time) }
    let contact = status == .open ? try offerAgain(contactsOf: id, to: nil) : nil
    let type: EventType =
      switch status {
      case .resolved: .requestResolved
      case .closed: .requestClosed
      case .open, .inProgress, .waitingCustomer: before.status.isLive ? .requestUpdated : .requestReopened
      }
    try append(event(type, after, contact, actor, time))
    if ends, let owner = after.owner {
      try append(
        EventRecord(
          at: time, type: .popEnded, subject: id.description, request: id, customerNo: after.customerNo,
          channel: after.channel.name, agent: owner, actor: actor.label, trace: actor.trace,
          body: try JSONText.encode(["request": id.description, "status": status.rawValue])))
    }
    return .done(after)
  }

  /// Gives a request to another owner or queue; its age, kept in `started_at` and `enqueued_at`, stays.
  public func assign(
    _ id: ServiceRequestID, to owner: AgentID?, queue: Code?, ifVersion version: Int?, reason: String, actor: Actor,
    at time: Timestamp
  ) throws -> ActOutcome<ServiceRequest> {
    guard let before = try serviceRequest(id) else { return .notFound }
    guard version == nil || version == before.version else { return .conflict(before) }
    guard before.status.isLive else { return .refused("the request is \(before.status.rawValue)") }
    guard owner != nil || queue != nil || before.queue != nil else { return .refused("it needs an owner or a queue") }
    let changed = try execute(
      """
      UPDATE service_request SET owner = CAST($2 AS TEXT), queue = coalesce(CAST($3 AS TEXT), queue),
        status = CASE WHEN CAST($2 AS TEXT) IS NULL THEN 'open' ELSE 'in_progress' END, updated_at = $4,
        version = version + 1
      WHERE request_id = $1 AND version = $5
      """, [.id(id), .id(owner), .id(queue), SQLValue(time), SQLValue(before.version)])
    guard let after = try serviceRequest(id) else { return .notFound }
    guard changed == 1 else { return .conflict(after) }
    let contact = try offerAgain(contactsOf: id, to: owner)
    if let loser = before.owner, loser != owner {
      try append(
        EventRecord(
          at: time, type: .popWithdrawn, subject: id.description, request: id, customerNo: after.customerNo,
          channel: after.channel.name, agent: loser, actor: actor.label, trace: actor.trace,
          body: try JSONText.encode(["reason": reason])))
    }
    try append(event(.requestUpdated, after, contact, actor, time, body: try JSONText.encode(["reason": reason])))
    return .done(after)
  }

  /// The open contacts of a request are shown again, to its new owner or to its queue. The last of them.
  private func offerAgain(contactsOf id: ServiceRequestID, to owner: AgentID?) throws -> ContactID? {
    try query(
      """
      UPDATE contact SET agent_id = CAST($2 AS TEXT), offered_at = NULL
      WHERE state = 'open' AND contact_id IN (SELECT contact_id FROM contact_service_request WHERE request_id = $1)
      RETURNING contact_id
      """, [.id(id), .id(owner)]
    ).map { try $0.parsed("contact_id") }.max()
  }

  /// Sets how grave and how urgent a request is.
  public func setPriority(
    severity: Int, urgency: Int, of id: ServiceRequestID, reason: String, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<ServiceRequest> {
    guard let before = try serviceRequest(id) else { return .notFound }
    guard before.status.isLive else { return .refused("the request is \(before.status.rawValue)") }
    try execute(
      """
      UPDATE service_request SET severity = $2, urgency = $3, updated_at = $4, version = version + 1
      WHERE request_id = $1
      """, [.id(id), SQLValue(severity), SQLValue(urgency), SQLValue(time)])
    guard let after = try serviceRequest(id) else { return .notFound }
    try append(event(.requestUpdated, after, nil, actor, time, body: try JSONText.encode(["reason": reason])))
    return .done(after)
  }

  /// Stands by, corrects or takes back who a contact is from. The decision is appended, the contact and its requests
  /// follow it. `decision.inverse` must be what the contact says now.
  public func confirm(
    _ decision: IdentityDecision, of id: ContactID, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<Contact> {
    guard let before = try contact(id) else { return .notFound }
    guard before.customerNo == decision.inverse else { return .conflict(before) }
    if let number = decision.customerNo, try customer(number) == nil { return .refused("no customer \(number)") }
    try record(decision)
    try execute(
      """
      UPDATE contact SET customer_no = CAST($2 AS TEXT), identity_zone = $3, identity_decision = $4, confirmed_by = $5,
        identified_at = coalesce(identified_at, $6), version = version + 1
      WHERE contact_id = $1
      """,
      [
        .id(id), .id(decision.customerNo), SQLValue(decision.zone), .id(decision.decisionId), .id(decision.user),
        SQLValue(time),
      ])
    // A request follows its contact unless somebody tied it to another customer on purpose.
    try execute(
      """
      UPDATE service_request SET customer_no = CAST($2 AS TEXT), updated_at = $3, version = version + 1
      WHERE request_id IN (SELECT request_id FROM contact_service_request WHERE contact_id = $1)
        AND (customer_no IS NULL OR customer_no = CAST($4 AS TEXT))
      """, [.id(id), .id(decision.customerNo), SQLValue(time), .id(decision.inverse)])
    guard let after = try contact(id) else { return .notFound }
    try append(
      EventRecord(
        at: time, type: .contactIdentified, subject: id.description, contact: id, customerNo: after.customerNo,
        channel: after.channel.name, actor: actor.label, trace: actor.trace, body: try JSONText.encode(decision)))
    return .done(after)
  }

  private func closeContacts(of id: ServiceRequestID, actor: Actor, at time: Timestamp) throws {
    let rows = try query(
      """
      UPDATE contact SET state = 'closed', closed_at = $2, ended_at = coalesce(ended_at, $2), answered = 1,
        version = version + 1
      WHERE state = 'open' AND channel_kind <> 'telephony'
        AND contact_id IN (SELECT contact_id FROM contact_service_request WHERE request_id = $1)
      RETURNING *
      """, [.id(id), SQLValue(time)])
    for row in rows {
      let contact = try Contact(row: row)
      try append(
        EventRecord(
          at: time, type: .contactClosed, subject: contact.id.description, contact: contact.id, request: id,
          customerNo: contact.customerNo, channel: contact.channel.name, actor: actor.label, trace: actor.trace,
          body: try JSONText.encode(contact)))
    }
  }

  private func event(
    _ type: EventType, _ request: ServiceRequest, _ contact: ContactID?, _ actor: Actor, _ time: Timestamp,
    body: String? = nil
  ) throws -> EventRecord {
    EventRecord(
      at: time, type: type, subject: request.id.description, contact: contact, request: request.id,
      customerNo: request.customerNo, channel: request.channel.name, agent: nil, queue: request.queue,
      actor: actor.label, trace: actor.trace, body: try body ?? JSONText.encode(request))
  }
}

/// What somebody wrote beside a request or contact.
public struct NoteRecord: Sendable, Hashable, Codable {
  public var noteId: NoteID
  public var author: String
  public var at: Timestamp
  public var text: String
  public init(noteId: NoteID, author: String, at: Timestamp, text: String) {
    self.noteId = noteId
    self.author = author
    self.at = at
    self.text = text
  }
}

extension Connection {
  /// The notes of a request, oldest first.
  public func notes(on request: ServiceRequestID) throws -> [NoteRecord] {
    try query("SELECT * FROM note WHERE request_id = $1 ORDER BY at, note_id", [.id(request)]).map {
      NoteRecord(
        noteId: try $0.parsed("note_id"), author: try $0.text("author"), at: try $0.time("at"),
        text: try $0.text("text"))
    }
  }

  /// The requests a contact belongs to, newest first.
  public func requests(of contact: ContactID) throws -> [ServiceRequest] {
    try query(
      """
      SELECT r.* FROM service_request r JOIN contact_service_request l ON l.request_id = r.request_id
      WHERE l.contact_id = $1 ORDER BY r.started_at DESC
      """, [.id(contact)]
    ).map(ServiceRequest.init(row:))
  }

  /// The live requests of some queues, most pressing first.
  public func liveRequests(in queues: some Sequence<Code>, limit: Int) throws -> [ServiceRequest] {
    try query(
      """
      SELECT * FROM service_request WHERE queue IN {{list_text:$1}}
        AND status IN ('open', 'in_progress', 'waiting_customer')
      ORDER BY next_deadline, request_id LIMIT $2
      """, [.list(queues.map(\.description)), SQLValue(limit)]
    ).map(ServiceRequest.init(row:))
  }

  /// The live requests an agent owns, most pressing first.
  public func liveRequests(ownedBy agent: AgentID, limit: Int) throws -> [ServiceRequest] {
    try query(
      """
      SELECT * FROM service_request WHERE owner = $1 AND status IN ('open', 'in_progress', 'waiting_customer')
      ORDER BY next_deadline, request_id LIMIT $2
      """, [.id(agent), SQLValue(limit)]
    ).map(ServiceRequest.init(row:))
  }
}

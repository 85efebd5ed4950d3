import Channels
import ContactModel

/// What Intake made of one arrival: everything that the second transaction writes.
public struct Routing: Sendable {
  public var arrival: ArrivalID
  public var contact: Contact
  /// A new request, or the one the contact belongs to.
  public var request: RoutedRequest
  public var identity: IdentityDecision
  public var classification: Classification
  public var consents: [InboundMessage.Consent]
  /// Ids under which later messages will refer to this one.
  public var messageIDs: [String]
  /// Facts of the channel worth keeping with the contact; JSON object.
  public var detail: String
  /// What the message says, by digest: the same again in another mailbox is a copy. Nil where copies are not known.
  public var contentKey: String?
  private var texts: Texts?

  /// What is kept as JSON.
  fileprivate struct Texts: Sendable {
    var contact: String
    var identity: String
    var classification: String
    /// Of a request that is opened.
    var request: String?
  }

  /// Makes the texts now: that costs more than writing them, and the writer is one thread.
  public mutating func writeTexts() throws { texts = try madeTexts() }

  fileprivate func madeTexts() throws -> Texts {
    if let texts { return texts }
    var opened: String?
    if case .opens(let request) = request { opened = try JSONText.encode(request) }
    return Texts(
      contact: try JSONText.encode(contact), identity: try JSONText.encode(identity),
      classification: try JSONText.encode(classification), request: opened)
  }

  public enum RoutedRequest: Sendable {
    case opens(ServiceRequest)
    /// Joins a live or resolved request; the new deadline applies when it returns to its queue.
    case joins(ServiceRequestID, why: String, deadline: Timestamp)
    /// Stands beside a request without being an answer to it: status, owner and deadline stay as they are.
    case accompanies(ServiceRequestID, why: String)
    /// A machine's message that asks for nothing: on record, and nobody's work.
    case none
  }

  /// Why this category: stored as a decision.
  public struct Classification: Sendable, Codable, Hashable {
    public var category: Code
    /// `channel`, `keyword`, `default`.
    public var by: String
    /// Category → what spoke for it.
    public var candidates: [String: String]
    public var parameterVersion: Int
    public init(category: Code, by: String, candidates: [String: String], parameterVersion: Int) {
      self.category = category
      self.by = by
      self.candidates = candidates
      self.parameterVersion = parameterVersion
    }
  }

  public init(
    arrival: ArrivalID, contact: Contact, request: RoutedRequest, identity: IdentityDecision,
    classification: Classification, consents: [InboundMessage.Consent], messageIDs: [String], detail: String,
    contentKey: String? = nil
  ) {
    self.arrival = arrival
    self.contact = contact
    self.request = request
    self.identity = identity
    self.classification = classification
    self.consents = consents
    self.messageIDs = messageIDs
    self.detail = detail
    self.contentKey = contentKey
  }
}

extension WriteTransaction {
  /// Turns a kept arrival into a contact of a service request, with its decisions and events. False, and nothing
  /// written, if the arrival was routed already.
  public func route(_ routing: Routing, at time: Timestamp) throws -> Bool {
    guard try settleArrival(routing.arrival, at: time) else { return false }
    let contact = routing.contact
    let texts = try routing.madeTexts()
    try insert(contact, detail: routing.detail)
    try indexWords(of: "\(contact.summary)\n\(contact.content)", under: contact.id.description)
    try record(routing.identity, body: texts.identity)
    for consent in routing.consents {
      try execute(
        """
        INSERT INTO consent(contact_id, purpose, granted, notice_version, at) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (contact_id, purpose) DO NOTHING
        """,
        [
          .id(contact.id), .text(consent.purpose), SQLValue(consent.granted), .text(consent.noticeVersion),
          SQLValue(contact.times.received),
        ])
    }
    for id in routing.messageIDs {
      try execute(
        "INSERT INTO message_reference(message_id, contact_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [.text(id), .id(contact.id)])
    }
    if let key = routing.contentKey {
      try execute(
        "INSERT INTO message_content(content_key, contact_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [.text(key), .id(contact.id)])
    }

    let requestID: ServiceRequestID
    let event: EventRecord
    switch routing.request {
    case .none:
      try append(opened(contact, texts, of: nil, at: time))
      return true
    case .accompanies(let id, let why):
      requestID = id
      event = EventRecord(
        at: time, type: .requestUpdated, subject: id.description, contact: contact.id, request: id,
        customerNo: contact.customerNo, channel: contact.channel.name, actor: "liaison",
        body: try JSONText.encode(["accompanied": why]))
    case .opens(let request):
      requestID = request.id
      try insert(request, at: time)
      try indexWords(
        of: "\(request.reference ?? "")\n\(request.summary)\n\(request.content)", under: request.id.description)
      event = EventRecord(
        at: time, type: .requestOpened, subject: request.id.description, contact: contact.id, request: request.id,
        customerNo: contact.customerNo, channel: contact.channel.name, queue: request.queue, actor: "liaison",
        body: texts.request ?? "{}")
    case .joins(let id, let why, let deadline):
      requestID = id
      let rows = try query(
        """
        UPDATE service_request SET updated_at = $2, version = version + 1,
          status = CASE WHEN status IN ('resolved', 'waiting_customer')
            THEN CASE WHEN owner IS NULL THEN 'open' ELSE 'in_progress' END ELSE status END,
          next_deadline = CASE WHEN status IN ('resolved', 'waiting_customer') THEN $3 ELSE next_deadline END,
          ended_at = CASE WHEN status = 'resolved' THEN NULL ELSE ended_at END
        WHERE request_id = $1 AND status <> 'closed' RETURNING queue, owner
        """, [.id(id), SQLValue(time), SQLValue(deadline)])
      // It was closed since the message was threaded: threaded again, it opens a request of its own.
      guard let row = rows.first else { throw DatabaseError(.serialization, "request \(id) was closed meanwhile") }
      event = EventRecord(
        at: time, type: .requestUpdated, subject: id.description, contact: contact.id, request: id,
        customerNo: contact.customerNo, channel: contact.channel.name, agent: try row.parsedOrNil("owner"),
        queue: try row.parsedOrNil("queue"), actor: "liaison", body: try JSONText.encode(["joined": why]))
    }
    try execute(
      "INSERT INTO contact_service_request(contact_id, request_id) VALUES ($1, $2)", [.id(contact.id), .id(requestID)])
    try execute(
      """
      INSERT INTO decision(decision_id, act, subject, customer_no, at, rule_version, verdict, decided_by, body)
      VALUES ($1, 'classification', $2, $3, $4, $5, $6, 'rule', $7)
      """,
      [
        .id(DecisionID(at: time)), .id(requestID), .id(contact.customerNo), SQLValue(time),
        .text("categories-\(routing.classification.parameterVersion)"), .id(routing.classification.category),
        .text(texts.classification),
      ])
    try append(opened(contact, texts, of: requestID, at: time))
    try append(event)
    return true
  }

  private func opened(
    _ contact: Contact, _ texts: Routing.Texts, of request: ServiceRequestID?, at time: Timestamp
  ) -> EventRecord {
    EventRecord(
      at: time, type: .contactOpened, subject: contact.id.description, contact: contact.id, request: request,
      customerNo: contact.customerNo, channel: contact.channel.name, actor: "liaison",
      body: texts.contact)
  }

  /// Stores an identity decision; append-only.
  public func record(_ decision: IdentityDecision) throws {
    try record(decision, body: try JSONText.encode(decision))
  }

  private func record(_ decision: IdentityDecision, body: String) throws {
    try execute(
      """
      INSERT INTO decision(decision_id, act, subject, customer_no, at, rule_version, verdict, decided_by, author, body)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .id(decision.decisionId), SQLValue(decision.act), .text(decision.contactId?.description ?? ""),
        .id(decision.customerNo), SQLValue(decision.at), .text(decision.weightVersion), SQLValue(decision.zone),
        SQLValue(decision.decidedBy), .id(decision.user), .text(body),
      ])
  }

  package func insert(_ contact: Contact, detail: String) throws {
    try execute(
      """
      INSERT INTO contact(contact_id, customer_no, channel_kind, channel, direction, initiation, state, from_kind,
        from_canonical, from_raw, to_kind, to_canonical, to_raw, language, summary, content, category, queue, agent_id,
        answered, disposition, ended_by, identity_zone, identity_decision, initial_contact, previous_contact,
        related_contact, provider_id, arrival_id, late, received_at, stored_at, identified_at, enqueued_at,
        connected_at, ended_at, closed_at, detail)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
        $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38)
      """,
      [
        .id(contact.id), .id(contact.customerNo), .text(contact.channel.kind.rawValue), .text(contact.channel.name),
        SQLValue(contact.direction), SQLValue(contact.initiation), SQLValue(contact.state),
      ] + Address.columns(contact.from) + Address.columns(contact.to) + [
        SQLValue(contact.language), .text(contact.summary), .text(contact.content), .id(contact.category),
        .id(contact.queue), .id(contact.agent), SQLValue(contact.answered), SQLValue(contact.disposition),
        SQLValue(contact.endedBy), SQLValue(contact.identity.zone), .id(contact.identity.decision),
        .id(contact.chain.initial), .id(contact.chain.previous), .id(contact.chain.related),
        SQLValue(contact.providerID), .id(contact.arrival), SQLValue(contact.late), SQLValue(contact.times.received),
        SQLValue(contact.times.stored), SQLValue(contact.times.identified), SQLValue(contact.times.enqueued),
        SQLValue(contact.times.connected), SQLValue(contact.times.ended), SQLValue(contact.times.closed),
        .text(detail),
      ])
    if let previous = contact.chain.previous {
      try execute(
        "UPDATE contact SET next_contact = $2 WHERE contact_id = $1 AND next_contact IS NULL",
        [.id(previous), .id(contact.id)])
    }
  }

  func insert(_ request: ServiceRequest, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO service_request(request_id, reference, customer_no, channel_kind, channel, started_at, summary,
        content, status, severity, urgency, category, queue, owner, enqueued_at, next_deadline, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $17)
      """,
      [
        .id(request.id), SQLValue(request.reference), .id(request.customerNo),
        .text(request.channel.kind.rawValue), .text(request.channel.name), SQLValue(request.start),
        .text(request.summary), .text(request.content), SQLValue(request.status), SQLValue(request.severity),
        SQLValue(request.urgency), .id(request.category), .id(request.queue), .id(request.owner), SQLValue(time),
        SQLValue(request.nextDeadline), SQLValue(time),
      ])
  }
}

extension Connection {
  /// The request an earlier message under one of these ids belongs to, the first id that leads to one.
  public func request(referredToBy messageIDs: [String]) throws -> ServiceRequestID? {
    for id in messageIDs {
      let row = try first(
        """
        SELECT l.request_id FROM message_reference m JOIN contact_service_request l ON l.contact_id = m.contact_id
        WHERE m.message_id = $1 ORDER BY l.request_id DESC LIMIT 1
        """, [.text(id)])
      if let row { return try row.parsed("request_id") }
    }
    return nil
  }

  /// The newest live request of a customer on a channel of this kind in this category, begun after `since`.
  public func liveRequest(
    of customer: CustomerNumber, on kind: ChannelKind, category: Code, since: Timestamp
  ) throws -> ServiceRequestID? {
    try first(
      """
      SELECT request_id FROM service_request WHERE customer_no = $1 AND channel_kind = $2 AND category = $3
        AND status IN ('open', 'in_progress', 'waiting_customer') AND started_at > $4
      ORDER BY started_at DESC LIMIT 1
      """, [.id(customer), .text(kind.rawValue), .id(category), SQLValue(since)]
    )?.parsed("request_id")
  }

  public func serviceRequest(_ id: ServiceRequestID) throws -> ServiceRequest? {
    try first("SELECT * FROM service_request WHERE request_id = $1", [.id(id)]).map(ServiceRequest.init(row:))
  }

  public func contact(_ id: ContactID) throws -> Contact? {
    try first("SELECT * FROM contact WHERE contact_id = $1", [.id(id)]).map(Contact.init(row:))
  }

  /// What its channel said of a message beside its content, by name (`fax.pages`, `header.date`, …); empty for a call.
  public func properties(of contact: ContactID) throws -> [String: String] {
    let row = try first(
      "SELECT detail FROM contact WHERE contact_id = $1 AND channel_kind <> 'telephony'", [.id(contact)])
    return try row?.textOrNil("detail").map { try JSONText.decode([String: String].self, from: $0) } ?? [:]
  }

  /// The contacts of a request, oldest first.
  public func contacts(of request: ServiceRequestID) throws -> [Contact] {
    try query(
      """
      SELECT c.* FROM contact c JOIN contact_service_request l ON l.contact_id = c.contact_id
      WHERE l.request_id = $1 ORDER BY c.received_at, c.contact_id
      """, [.id(request)]
    ).map(Contact.init(row:))
  }

  /// The last contacts of a customer over all channels, newest first.
  public func lastContacts(of customer: CustomerNumber, limit: Int) throws -> [Contact] {
    try query(
      "SELECT * FROM contact WHERE customer_no = $1 ORDER BY received_at DESC LIMIT $2",
      [.id(customer), SQLValue(limit)]
    ).map(Contact.init(row:))
  }
}

extension Contact {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("contact_id"), customerNo: try row.parsedOrNil("customer_no"), channel: try row.channel,
      direction: try row.word("direction"), initiation: try row.word("initiation"), state: try row.word("state"),
      from: try row.addressOrNil("from"), to: try row.addressOrNil("to"), language: try row.textOrNil("language"),
      summary: try row.text("summary"), content: try row.text("content"), category: try row.parsedOrNil("category"),
      queue: try row.parsedOrNil("queue"), agent: try row.parsedOrNil("agent_id"),
      answered: try row.bool("answered"), disposition: try row.textOrNil("disposition"),
      endedBy: try row.textOrNil("ended_by"), wrapUpCode: try row.textOrNil("wrap_up_code"),
      identity: IdentityTie(
        zone: try row.word("identity_zone"), decision: try row.parsed("identity_decision"),
        confirmedBy: try row.parsedOrNil("confirmed_by")),
      chain: Chain(
        initial: try row.parsedOrNil("initial_contact"), previous: try row.parsedOrNil("previous_contact"),
        next: try row.parsedOrNil("next_contact"), related: try row.parsedOrNil("related_contact")),
      providerID: try row.textOrNil("provider_id"), arrival: try row.parsedOrNil("arrival_id"),
      late: try row.bool("late"),
      times: Times(
        received: try row.time("received_at"), stored: try row.time("stored_at"),
        identified: try row.timeOrNil("identified_at"), enqueued: try row.timeOrNil("enqueued_at"),
        offered: try row.timeOrNil("offered_at"), accepted: try row.timeOrNil("accepted_at"),
        connected: try row.timeOrNil("connected_at"), ended: try row.timeOrNil("ended_at"),
        closed: try row.timeOrNil("closed_at")),
      version: try row.count("version"))
  }
}

extension ServiceRequest {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("request_id"), reference: try row.textOrNil("reference"),
      customerNo: try row.parsedOrNil("customer_no"), start: try row.time("started_at"),
      end: try row.timeOrNil("ended_at"), summary: try row.text("summary"), content: try row.text("content"),
      status: try row.word("status"), subStatus: try row.textOrNil("sub_status"),
      severity: try row.count("severity"), urgency: try row.count("urgency"), category: try row.parsed("category"),
      queue: try row.parsedOrNil("queue"), owner: try row.parsedOrNil("owner"),
      nextDeadline: try row.timeOrNil("next_deadline"), channel: try row.channel, version: try row.count("version"))
  }
}

import Channels
import ContactModel

/// The service request a call asks for: opened when it needs a person, owned by who talks, left to be called back.
extension WriteTransaction {
  /// Opens the request of a call, with the decision on its category.
  public func open(
    _ request: ServiceRequest, of contact: Contact, classification: Routing.Classification, at time: Timestamp
  ) throws {
    try insert(request, at: time)
    try link(contact, request)
    try execute(
      """
      INSERT INTO decision(decision_id, act, subject, customer_no, at, rule_version, verdict, decided_by, body)
      VALUES ($1, 'classification', $2, $3, $4, $5, $6, 'rule', $7)
      """,
      [
        .id(DecisionID(at: time)), .id(request.id), .id(contact.customerNo), SQLValue(time),
        .text("categories-\(classification.parameterVersion)"), .id(classification.category),
        .text(try JSONText.encode(classification)),
      ])
    try append(
      EventRecord(
        at: time, type: .requestOpened, subject: request.id.description, contact: contact.id, request: request.id,
        customerNo: contact.customerNo, channel: contact.channel.name, queue: request.queue, actor: "liaison",
        body: try JSONText.encode(request)))
  }

  /// The call is about a request that was there: the same customer, who gave up waiting, calls again.
  public func join(_ request: ServiceRequest, by contact: Contact, at time: Timestamp) throws {
    try link(contact, request)
    try execute(
      "UPDATE service_request SET updated_at = $2, version = version + 1, sub_status = NULL WHERE request_id = $1",
      [.id(request.id), SQLValue(time)])
    try append(
      EventRecord(
        at: time, type: .requestUpdated, subject: request.id.description, contact: contact.id, request: request.id,
        customerNo: contact.customerNo, channel: contact.channel.name, agent: request.owner, queue: request.queue,
        actor: "liaison", body: try JSONText.encode(["joined": "called again"])))
  }

  /// Who talks to the customer has the request.
  public func give(
    _ request: ServiceRequest, to agent: AgentID, contact: Contact, at time: Timestamp
  ) throws -> ServiceRequest {
    try execute(
      """
      UPDATE service_request SET owner = $2, status = 'in_progress', updated_at = $3, version = version + 1
      WHERE request_id = $1
      """, [.id(request.id), .id(agent), SQLValue(time)])
    guard let after = try serviceRequest(request.id) else { return request }
    try append(
      EventRecord(
        at: time, type: .requestTaken, subject: request.id.description, contact: contact.id, request: request.id,
        customerNo: contact.customerNo, channel: contact.channel.name, queue: after.queue, actor: agent.description,
        body: try JSONText.encode(after)))
    return after
  }

  /// Nobody spoke to the caller: the request waits in its queue, marked as missed.
  public func leaveToCallBack(_ request: ServiceRequest, contact: Contact, at time: Timestamp) throws {
    try execute(
      """
      UPDATE service_request SET sub_status = 'missed_call', updated_at = $2, version = version + 1
      WHERE request_id = $1
      """, [.id(request.id), SQLValue(time)])
    try append(
      EventRecord(
        at: time, type: .requestUpdated, subject: request.id.description, contact: contact.id, request: request.id,
        customerNo: contact.customerNo, channel: contact.channel.name, queue: request.queue, actor: "liaison",
        body: try JSONText.encode(["sub_status": "missed_call"])))
  }

  /// Nothing can be done about it any more.
  public func resolve(
    _ request: ServiceRequest, contact: Contact, resolution: String, at time: Timestamp
  ) throws {
    try execute(
      """
      UPDATE service_request SET status = 'resolved', resolution = $2, ended_at = $3, updated_at = $3,
        version = version + 1
      WHERE request_id = $1
      """, [.id(request.id), .text(resolution), SQLValue(time)])
    guard let after = try serviceRequest(request.id) else { return }
    try append(
      EventRecord(
        at: time, type: .requestResolved, subject: request.id.description, contact: contact.id, request: request.id,
        customerNo: contact.customerNo, channel: contact.channel.name, queue: after.queue, actor: "liaison",
        body: try JSONText.encode(after)))
  }

  private func link(_ contact: Contact, _ request: ServiceRequest) throws {
    try execute(
      "INSERT INTO contact_service_request(contact_id, request_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [.id(contact.id), .id(request.id)])
  }
}

extension Connection {
  /// The request a call of this caller left to be called back, begun after `since` and owned by nobody.
  public func missedRequest(
    from address: Address, category: Code, since: Timestamp
  ) throws -> ServiceRequest? {
    try first(
      """
      SELECT r.* FROM contact c JOIN contact_service_request l ON l.contact_id = c.contact_id
        JOIN service_request r ON r.request_id = l.request_id
      WHERE c.from_kind = $1 AND c.from_canonical = $2 AND c.received_at > $3 AND c.channel_kind = 'telephony'
        AND r.status = 'open' AND r.owner IS NULL AND r.sub_status = 'missed_call' AND r.category = $4
      ORDER BY c.received_at DESC LIMIT 1
      """, [SQLValue(address.kind), .text(address.canonical), SQLValue(since), .id(category)]
    ).map(ServiceRequest.init(row:))
  }

  /// True if the bank has a queue of this code.
  public func hasQueue(_ code: Code) throws -> Bool {
    try first("SELECT 1 AS one FROM queue WHERE code = $1", [.id(code)]) != nil
  }
}

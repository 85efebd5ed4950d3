import Channels
import ContactModel

/// An agent's answer to a request, before it goes out.
extension WriteTransaction {
  /// Shows the answer in the request at once, open until a channel has taken it. Its words are searched like any others.
  public func open(_ contact: Contact, answering request: ServiceRequestID, actor: Actor, at time: Timestamp) throws {
    try insert(contact, detail: "{}")
    try execute(
      "INSERT INTO contact_service_request(contact_id, request_id) VALUES ($1, $2)", [.id(contact.id), .id(request)])
    try indexWords(of: "\(contact.summary)\n\(contact.content)", under: contact.id.description)
    try append(
      EventRecord(
        at: time, type: .contactOpened, subject: contact.id.description, contact: contact.id, request: request,
        customerNo: contact.customerNo, channel: contact.channel.name, agent: contact.agent, actor: actor.label,
        trace: actor.trace, body: try JSONText.encode(contact)))
  }
}

extension Connection {
  /// The ids under which messages of a request are known, the newest first: what an answer refers to.
  public func messageIDs(of request: ServiceRequestID, limit: Int) throws -> [String] {
    try query(
      """
      SELECT m.message_id FROM message_reference m
        JOIN contact_service_request l ON l.contact_id = m.contact_id JOIN contact c ON c.contact_id = m.contact_id
      WHERE l.request_id = $1 ORDER BY c.received_at DESC, m.message_id LIMIT $2
      """, [.id(request), SQLValue(limit)]
    ).map { try $0.text("message_id") }
  }

  /// The documents of a request's contacts, by digest: those an answer may send along.
  public func documents(of request: ServiceRequestID) throws -> [String: ProactiveJob.Attachment] {
    let rows = try query(
      """
      SELECT a.name, a.media_type, a.sha256, a.size FROM attachment a
        JOIN contact c ON c.arrival_id = a.arrival_id JOIN contact_service_request l ON l.contact_id = c.contact_id
      WHERE l.request_id = $1
      """, [.id(request)])
    var found: [String: ProactiveJob.Attachment] = [:]
    for row in rows {
      let digest = try row.text("sha256")
      found[digest] = .init(
        name: try row.textOrNil("name"), mediaType: try row.text("media_type"), sha256: digest,
        size: try row.count("size"))
    }
    return found
  }
}

import Channels
import ContactModel

extension Connection {
  /// Open contacts of live requests that nobody was shown yet, oldest first: what an earlier run left to be offered.
  public func contactsToOffer(limit: Int) throws -> [ContactID] {
    try query(
      """
      SELECT c.contact_id FROM contact c JOIN contact_service_request l ON l.contact_id = c.contact_id
        JOIN service_request r ON r.request_id = l.request_id
      WHERE c.state = 'open' AND c.offered_at IS NULL AND c.direction = 'inbound' AND c.channel_kind <> 'telephony'
        AND r.status IN ('open', 'in_progress', 'waiting_customer')
      ORDER BY c.contact_id LIMIT $1
      """, [SQLValue(limit)]
    ).map { try $0.parsed("contact_id") }
  }
}

extension WriteTransaction {
  /// Shows a contact to the owner of its request, or to the agents of the queue it waits in. `pop` composes what they
  /// see from what stands now. False if it was shown already or needs nobody any more.
  public func offer(
    _ id: ContactID, at time: Timestamp, pop: (any Connection, Contact, ServiceRequest) throws -> String
  ) throws -> Bool {
    let rows = try query(
      """
      UPDATE contact SET offered_at = $2 WHERE contact_id = $1 AND offered_at IS NULL AND state = 'open'
        AND channel_kind <> 'telephony' RETURNING *
      """, [.id(id), SQLValue(time)])
    guard let row = rows.first else { return false }
    let contact = try Contact(row: row)
    guard let request = try requests(of: id).first(where: \.status.isLive) else { return false }
    try append(
      EventRecord(
        at: time, type: request.owner == nil ? .popOffered : .popUpdated, subject: id.description, contact: id,
        request: request.id, customerNo: contact.customerNo, channel: contact.channel.name, agent: request.owner,
        queue: request.queue, actor: "liaison", body: try pop(self, contact, request)))
    return true
  }
}

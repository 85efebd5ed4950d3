import Channels
import ContactModel
import Store

/// How a job appears in the customer's history: as one outbound contact.
///
/// An answer to a request has its contact from the moment it was written, open until its fate is known; any other job
/// gets one when a channel has taken it.
extension WriteTransaction {
  /// The contact of a job a channel took over, or may have taken over.
  func showContact(of record: AttemptRecord, _ job: ProactiveJob, _ machine: Attempt, at time: Timestamp) throws {
    let id: ContactID
    if let shown = job.contact {
      id = shown
      try execute(
        """
        UPDATE contact SET state = 'closed', disposition = $2, provider_id = $3, channel_kind = $4, channel = $5,
          to_kind = $6, to_canonical = $7, to_raw = $8, ended_at = $9, closed_at = $9, version = version + 1
        WHERE contact_id = $1 AND state = 'open'
        """,
        [
          .id(id), SQLValue(machine.state), SQLValue(machine.wireIdentity), .text(record.channel.kind.rawValue),
          .text(record.channel.name), SQLValue(record.to.kind), .text(record.to.canonical), .text(record.to.raw),
          SQLValue(time),
        ])
      try append(
        EventRecord(
          at: time, type: .contactClosed, subject: id.description, contact: id, request: job.request,
          customerNo: job.customerNo, channel: record.channel.name, actor: "liaison",
          body: try JSONText.encode(["disposition": machine.state.rawValue])))
    } else {
      id = try addContact(of: record, job, machine, at: time)
    }
    try execute("UPDATE attempt SET contact_id = $2 WHERE attempt_id = $1", [.id(record.id), .id(id)])
  }

  /// A contact for a job that has none.
  func addContact(
    of record: AttemptRecord, _ job: ProactiveJob, _ machine: Attempt, at time: Timestamp
  ) throws -> ContactID {
    let content = job.contents[record.outboundChannel.rawValue]
    let id = ContactID(at: time)
    let contact = Contact(
      id: id, customerNo: job.customerNo, channel: record.channel, direction: .outbound,
      initiation: job.requested == nil ? .outbound : .callBack, state: .closed, from: nil, to: record.to,
      language: content?.language, summary: content?.subject ?? String((content?.text ?? "").prefix(80)),
      content: content?.text ?? "", disposition: machine.state.rawValue,
      identity: IdentityTie(zone: job.customerNo == nil ? .unsatisfied : .satisfied, decision: record.decision),
      providerID: machine.wireIdentity,
      times: Contact.Times(received: record.handedAt ?? time, stored: time, ended: time, closed: time))
    try insert(contact, detail: "{}")
    // Only mails quote the id of what they answer.
    if let name = machine.wireIdentity, record.to.kind == .email { try remember(name, as: id) }
    return id
  }

  /// The answer will not go out: its contact says why.
  func closeContact(of job: ProactiveJob, as disposition: String, at time: Timestamp) throws {
    guard let contact = job.contact else { return }
    let changed = try execute(
      """
      UPDATE contact SET state = 'closed', disposition = $2, ended_at = $3, closed_at = $3, version = version + 1
      WHERE contact_id = $1 AND state = 'open'
      """, [.id(contact), .text(disposition), SQLValue(time)])
    guard changed > 0 else { return }
    try append(
      EventRecord(
        at: time, type: .contactClosed, subject: contact.description, contact: contact, request: job.request,
        customerNo: job.customerNo, actor: "liaison",
        body: try JSONText.encode(["disposition": disposition, "reason": job.reason ?? ""])))
  }

  /// Lets what the customer answers to this message find its request, even while its fate is in doubt.
  func refer(to name: String, by job: ProactiveJob) throws {
    if let contact = job.contact { try remember(name, as: contact) }
  }

  private func remember(_ name: String, as contact: ContactID) throws {
    try execute(
      "INSERT INTO message_reference(message_id, contact_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [.text(name), .id(contact)])
  }
}

import Channels
import ContactModel

/// What is known of messages that belong together: copies of one, messages of machines, who is known to a request.
extension WriteTransaction {
  /// Adds an arrival to the contact that its content already made, and says so; nil, and nothing written, if this
  /// content is new. False if the arrival was worked on already.
  public func addCopy(of contentKey: String, _ arrival: KeptArrival, at time: Timestamp) throws -> Bool? {
    guard let row = try first("SELECT contact_id FROM message_content WHERE content_key = $1", [.text(contentKey)])
    else { return nil }
    guard try settleArrival(arrival.id, at: time) else { return false }
    let id: ContactID = try row.parsed("contact_id")
    try execute(
      "INSERT INTO contact_copy(arrival_id, contact_id) VALUES ($1, $2)", [.id(arrival.id), .id(id)])
    let contact = try contact(id)
    let request = try requests(of: id).first
    try append(
      EventRecord(
        at: time, type: .contactUpdated, subject: id.description, contact: id, request: request?.id,
        customerNo: contact?.customerNo, channel: arrival.channel.name, actor: "liaison",
        body: try JSONText.encode([
          "copy": arrival.id.description, "to": arrival.to?.canonical ?? "",
        ])))
    return true
  }

  /// Counts one message of a machine under each subject (who sent it, the request it answers) and answers the highest
  /// count of this hour, with this one.
  public func countAutomatic(_ subjects: [String], on channel: ContactChannel, at time: Timestamp) throws -> Int {
    let hour = time.seconds / 3_600
    var highest = 0
    for subject in subjects {
      let count = try query(
        """
        INSERT INTO automatic_count(hour, channel, subject, count) VALUES ($1, $2, $3, 1)
        ON CONFLICT (hour, channel, subject) DO UPDATE SET count = automatic_count.count + 1 RETURNING count
        """, [.int(hour), .text(channel.name), .text(subject)])[0].count("count")
      highest = max(highest, count)
    }
    if highest == 1 { try execute("DELETE FROM automatic_count WHERE hour < $1", [.int(hour - 48)]) }
    return highest
  }

  /// Somebody took this arrival out of quarantine: what he looked at is not set aside again.
  public func wasReleased(_ arrival: ArrivalID) throws -> Bool {
    try first(
      "SELECT 1 AS one FROM quarantine WHERE arrival_id = $1 AND released_at IS NOT NULL", [.id(arrival)]) != nil
  }
}

extension Connection {
  /// Whether an address has a part in a request: it wrote or was written to, or belongs to the request's customer.
  public func knows(_ address: Address, request: ServiceRequest) throws -> Bool {
    let took = try first(
      """
      SELECT 1 AS one FROM contact c JOIN contact_service_request l ON l.contact_id = c.contact_id
      WHERE l.request_id = $1 AND ((c.from_kind = $2 AND c.from_canonical = $3)
        OR (c.to_kind = $2 AND c.to_canonical = $3 AND c.direction = 'outbound')) LIMIT 1
      """, [.id(request.id), .text(address.kind.rawValue), .text(address.canonical)])
    if took != nil { return true }
    guard let customer = request.customerNo else { return false }
    return try first(
      """
      SELECT 1 AS one FROM customer_contact_point WHERE kind = $1 AND canonical = $2 AND customer_no = $3
      """, [.text(address.kind.rawValue), .text(address.canonical), .id(customer)]) != nil
  }
}

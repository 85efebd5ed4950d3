import Channels
import ContactModel

/// Which contacts are wanted; nil asks for all.
public struct ContactFilter: Sendable, Hashable {
  public var customerNo: CustomerNumber?
  public var channel: String?
  public var channelKind: String?
  public var direction: Contact.Direction?
  public var state: Contact.State?
  public var queue: Code?
  public var agent: AgentID?
  public var from: Timestamp?
  public var until: Timestamp?
  /// Nil: the whole bank.
  public var scope: DepartmentScope?
  public init() {}
}

/// One interval of one party in a contact.
public struct Leg: Sendable, Hashable {
  public var position: Int
  public var device: String
  public var agent: AgentID?
  public var state: String
  public var from: Timestamp
  public var to: Timestamp?
  public var outcome: String?
}

extension Connection {
  /// Contacts, newest first, after the last of the page before.
  public func contacts(
    matching filter: ContactFilter, after last: (received: Timestamp, id: ContactID)?, limit: Int
  ) throws -> [Contact] {
    var conditions = Conditions()
    conditions.add("customer_no =", .some(filter.customerNo))
    conditions.add("channel =", .some(filter.channel))
    conditions.add("channel_kind =", .some(filter.channelKind))
    conditions.add("direction =", filter.direction.map { SQLValue($0) })
    conditions.add("state =", filter.state.map { SQLValue($0) })
    conditions.add("queue =", .some(filter.queue))
    conditions.add("agent_id =", .some(filter.agent))
    conditions.add("received_at >=", filter.from.map { SQLValue($0) })
    conditions.add("received_at <", filter.until.map { SQLValue($0) })
    conditions.add(filter.scope, .contact)
    if let last {
      let time = conditions.placeholder(SQLValue(last.received))
      conditions.add(whole: "(received_at < \(time) OR (received_at = \(time) AND contact_id < {}))", .id(last.id))
    }
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM contact \(conditions.sql) ORDER BY received_at DESC, contact_id DESC LIMIT \(bound)",
      conditions.parameters
    ).map(Contact.init(row:))
  }

  public func legs(of contact: ContactID) throws -> [Leg] {
    try query("SELECT * FROM leg WHERE contact_id = $1 ORDER BY position", [.id(contact)]).map { row in
      Leg(
        position: try row.count("position"), device: try row.text("device"), agent: try row.parsedOrNil("agent_id"),
        state: try row.text("state"), from: try row.time("from_at"), to: try row.timeOrNil("to_at"),
        outcome: try row.textOrNil("outcome"))
    }
  }

  /// The parts of what arrived with a contact.
  public func attachments(of contact: ContactID) throws -> [StoredAttachment] {
    try query(
      """
      SELECT a.* FROM attachment a JOIN contact c ON c.arrival_id = a.arrival_id
      WHERE c.contact_id = $1 ORDER BY a.position
      """, [.id(contact)]
    ).map(StoredAttachment.init(row:))
  }

  /// Of which requests these contacts are, by contact.
  public func requestIDs(of contacts: [ContactID]) throws -> [ContactID: [ServiceRequestID]] {
    var out: [ContactID: [ServiceRequestID]] = [:]
    for row in try query(
      "SELECT contact_id, request_id FROM contact_service_request WHERE contact_id IN {{list_text:$1}} ORDER BY request_id",
      [.list(contacts.map(\.description))])
    {
      out[try row.parsed("contact_id"), default: []].append(try row.parsed("request_id"))
    }
    return out
  }
}

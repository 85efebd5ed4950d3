import Channels
import ContactModel

/// Which requests are wanted; nil asks for all.
public struct RequestFilter: Sendable, Hashable {
  public var statuses: [ServiceRequest.Status]?
  public var queue: Code?
  public var owner: AgentID?
  /// Nobody owns it.
  public var isWaiting: Bool?
  public var customerNo: CustomerNumber?
  public var category: Code?
  public var channelKind: String?
  /// Its deadline is before this.
  public var dueBefore: Timestamp?
  public var from: Timestamp?
  public var until: Timestamp?
  /// Nil: the whole bank.
  public var scope: DepartmentScope?
  public init() {}
}

extension Connection {
  /// Requests, newest first, after the last of the page before.
  public func serviceRequests(
    matching filter: RequestFilter, after last: ServiceRequestID?, limit: Int
  ) throws -> [ServiceRequest] {
    var conditions = Conditions()
    conditions.add(whole: "status IN {{list_text:{}}}", .words(filter.statuses))
    conditions.add("queue =", .some(filter.queue))
    conditions.add("owner =", .some(filter.owner))
    conditions.add("owner IS NULL", if: filter.isWaiting == true)
    conditions.add("owner IS NOT NULL", if: filter.isWaiting == false)
    conditions.add("customer_no =", .some(filter.customerNo))
    conditions.add("category =", .some(filter.category))
    conditions.add("channel_kind =", .some(filter.channelKind))
    conditions.add("next_deadline <", filter.dueBefore.map { SQLValue($0) })
    conditions.add("started_at >=", filter.from.map { SQLValue($0) })
    conditions.add("started_at <", filter.until.map { SQLValue($0) })
    conditions.add("request_id <", .some(last))
    conditions.add(filter.scope, .serviceRequest)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM service_request \(conditions.sql) ORDER BY request_id DESC LIMIT \(bound)", conditions.parameters
    ).map(ServiceRequest.init(row:))
  }

  /// Requests by their ids, in no order.
  public func serviceRequests(_ ids: [ServiceRequestID]) throws -> [ServiceRequest] {
    try query(
      "SELECT * FROM service_request WHERE request_id IN {{list_text:$1}}", [.list(ids.map(\.description))]
    ).map(ServiceRequest.init(row:))
  }
  /// Contacts by their ids, in no order.
  public func contacts(_ ids: [ContactID]) throws -> [Contact] {
    try query("SELECT * FROM contact WHERE contact_id IN {{list_text:$1}}", [.list(ids.map(\.description))])
      .map(Contact.init(row:))
  }
}

/// What waits in one queue in one category.
public struct QueueLoad: Sendable, Hashable {
  public var queue: Code?
  public var category: Code
  public var waiting: Int
  public var owned: Int
  /// Past their deadline.
  public var overdue: Int
  public var oldestStart: Timestamp?
  /// The oldest that waits.
  public var oldest: ServiceRequestID?
}

extension Connection {
  /// The live requests by queue and category. Reads the live ones alone, by their indexes.
  public func queueLoads(at time: Timestamp) throws -> [QueueLoad] {
    try query(
      """
      SELECT queue, category, sum(CASE WHEN owner IS NULL THEN 1 ELSE 0 END) AS waiting,
        sum(CASE WHEN owner IS NULL THEN 0 ELSE 1 END) AS owned,
        sum(CASE WHEN next_deadline < $1 THEN 1 ELSE 0 END) AS overdue,
        min(CASE WHEN owner IS NULL THEN started_at END) AS oldest_at,
        min(CASE WHEN owner IS NULL THEN request_id END) AS oldest_id
      FROM service_request WHERE status IN ('open', 'in_progress', 'waiting_customer')
      GROUP BY queue, category ORDER BY queue, category
      """, [SQLValue(time)]
    ).map { row in
      QueueLoad(
        queue: try row.parsedOrNil("queue"), category: try row.parsed("category"), waiting: try row.count("waiting"),
        owned: try row.count("owned"), overdue: try row.count("overdue"),
        oldestStart: try row.timeOrNil("oldest_at"), oldest: try row.parsedOrNil("oldest_id"))
    }
  }
}

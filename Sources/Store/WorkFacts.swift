import Channels
import ContactModel

/// Which activities are wanted; nil asks for all.
public struct ActivityFilter: Sendable, Hashable {
  public var customerNo: CustomerNumber?
  public var owner: AgentID?
  public var statuses: [Activity.Status]?
  public var category: Code?
  public var dueBefore: Timestamp?
  /// Nil: the whole bank.
  public var scope: DepartmentScope?
  public init() {}
}

/// Activities and opportunities: the two of the four core models that staff make.
extension WriteTransaction {
  public func insert(_ activity: Activity, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO activity(activity_id, customer_no, started_at, ended_at, due_at, description, remark, category, status,
        priority, done, cost_cents, owner, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
      """,
      [
        .id(activity.id), .id(activity.customerNo), SQLValue(activity.start), SQLValue(activity.end),
        SQLValue(activity.due), .text(activity.description), SQLValue(activity.remark), .id(activity.category),
        SQLValue(activity.status), SQLValue(activity.priority), SQLValue(activity.status == .done),
        SQLValue(activity.costCents), .id(activity.owner), SQLValue(time),
      ])
  }

  /// Replaces what an activity says, if it is still at the version given; what stands afterwards.
  public func update(_ activity: Activity, at time: Timestamp) throws -> ActOutcome<Activity> {
    let changed = try execute(
      """
      UPDATE activity SET customer_no = $2, started_at = $3, ended_at = $4, due_at = $5, description = $6, remark = $7,
        category = $8, status = $9, priority = $10, done = $11, cost_cents = $12, owner = $13, updated_at = $14,
        version = version + 1
      WHERE activity_id = $1 AND version = $15
      """,
      [
        .id(activity.id), .id(activity.customerNo), SQLValue(activity.start), SQLValue(activity.end),
        SQLValue(activity.due), .text(activity.description), SQLValue(activity.remark), .id(activity.category),
        SQLValue(activity.status), SQLValue(activity.priority), SQLValue(activity.status == .done),
        SQLValue(activity.costCents), .id(activity.owner), SQLValue(time), SQLValue(activity.version),
      ])
    guard let now = try self.activity(activity.id) else { return .notFound }
    return changed == 1 ? .done(now) : .conflict(now)
  }

  public func insert(_ opportunity: Opportunity, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO opportunity(opportunity_id, customer_no, success_percent, started_at, ended_at, sales_method,
        sales_stage, summary, content, expected_cents, owner, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12)
      """,
      [
        .id(opportunity.id), .id(opportunity.customerNo), SQLValue(opportunity.successPercent),
        SQLValue(opportunity.start), SQLValue(opportunity.end), SQLValue(opportunity.salesMethod),
        .text(opportunity.salesStage), .text(opportunity.summary), .text(opportunity.content),
        SQLValue(opportunity.expectedCents), .id(opportunity.owner), SQLValue(time),
      ])
  }

  public func update(_ opportunity: Opportunity, at time: Timestamp) throws -> ActOutcome<Opportunity> {
    let changed = try execute(
      """
      UPDATE opportunity SET customer_no = $2, success_percent = $3, started_at = $4, ended_at = $5, sales_method = $6,
        sales_stage = $7, summary = $8, content = $9, expected_cents = $10, owner = $11, updated_at = $12,
        version = version + 1
      WHERE opportunity_id = $1 AND version = $13
      """,
      [
        .id(opportunity.id), .id(opportunity.customerNo), SQLValue(opportunity.successPercent),
        SQLValue(opportunity.start), SQLValue(opportunity.end), SQLValue(opportunity.salesMethod),
        .text(opportunity.salesStage), .text(opportunity.summary), .text(opportunity.content),
        SQLValue(opportunity.expectedCents), .id(opportunity.owner), SQLValue(time), SQLValue(opportunity.version),
      ])
    guard let now = try self.opportunity(opportunity.id) else { return .notFound }
    return changed == 1 ? .done(now) : .conflict(now)
  }
}

extension Connection {
  public func activity(_ id: ActivityID) throws -> Activity? {
    try first("SELECT * FROM activity WHERE activity_id = $1", [.id(id)]).map(Activity.init(row:))
  }

  /// Activities, newest first, after the last of the page before.
  public func activities(matching filter: ActivityFilter, after last: ActivityID?, limit: Int) throws -> [Activity] {
    var conditions = Conditions()
    conditions.add("customer_no =", .some(filter.customerNo))
    conditions.add("owner =", .some(filter.owner))
    conditions.add(whole: "status IN {{list_text:{}}}", .words(filter.statuses))
    conditions.add("category =", .some(filter.category))
    conditions.add("due_at <", filter.dueBefore.map { SQLValue($0) })
    conditions.add("activity_id <", .some(last))
    conditions.add(filter.scope, .activity)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM activity \(conditions.sql) ORDER BY activity_id DESC LIMIT \(bound)", conditions.parameters
    ).map(Activity.init(row:))
  }

  public func opportunity(_ id: OpportunityID) throws -> Opportunity? {
    try first("SELECT * FROM opportunity WHERE opportunity_id = $1", [.id(id)]).map(Opportunity.init(row:))
  }

  /// Opportunities, newest first, after the last of the page before.
  public func opportunities(
    customer: CustomerNumber?, owner: AgentID?, scope: DepartmentScope? = nil, after last: OpportunityID?, limit: Int
  ) throws -> [Opportunity] {
    var conditions = Conditions()
    conditions.add("customer_no =", .some(customer))
    conditions.add("owner =", .some(owner))
    conditions.add("opportunity_id <", .some(last))
    conditions.add(scope, .opportunity)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM opportunity \(conditions.sql) ORDER BY opportunity_id DESC LIMIT \(bound)", conditions.parameters
    ).map(Opportunity.init(row:))
  }
}

/// The six links between the four core models. Source: DOMAIN "Links".
public enum LinkKind: String, Sendable, Hashable, CaseIterable {
  case opportunityServiceRequest = "opportunity_service_request"
  case contactOpportunity = "contact_opportunity"
  case activityOpportunity = "activity_opportunity"
  case contactServiceRequest = "contact_service_request"
  case activityServiceRequest = "activity_service_request"
  case activityContact = "activity_contact"

  /// The columns of either side, in the order of the table's name.
  var columns: (left: String, right: String) {
    switch self {
    case .opportunityServiceRequest: ("opportunity_id", "request_id")
    case .contactOpportunity: ("contact_id", "opportunity_id")
    case .activityOpportunity: ("activity_id", "opportunity_id")
    case .contactServiceRequest: ("contact_id", "request_id")
    case .activityServiceRequest: ("activity_id", "request_id")
    case .activityContact: ("activity_id", "contact_id")
    }
  }
  /// The TypeID prefixes of either side.
  public var prefixes: (left: String, right: String) {
    let columns = columns
    return (String(columns.left.dropLast(3)), String(columns.right.dropLast(3)))
  }

  /// The link between two ids, whichever comes first; nil if there is none between such things.
  public static func between(_ a: String, _ b: String) -> (kind: LinkKind, left: String, right: String)? {
    func prefix(_ id: String) -> String { String(id.prefix { $0 != "_" }) }
    for kind in allCases {
      let (left, right) = kind.prefixes
      if prefix(a) == left, prefix(b) == right { return (kind, a, b) }
      if prefix(b) == left, prefix(a) == right { return (kind, b, a) }
    }
    return nil
  }
}

extension WriteTransaction {
  /// Ties two things; false if they already are.
  public func link(_ kind: LinkKind, _ left: String, _ right: String) throws -> Bool {
    let columns = kind.columns
    return try execute(
      "INSERT INTO \(kind.rawValue)(\(columns.left), \(columns.right)) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [.text(left), .text(right)]) == 1
  }

  /// False if they were not tied. A contact keeps the last request it belongs to: that throws `.check`.
  public func unlink(_ kind: LinkKind, _ left: String, _ right: String) throws -> Bool {
    let columns = kind.columns
    if kind == .contactServiceRequest,
      try one("SELECT count(*) AS n FROM contact_service_request WHERE contact_id = $1", [.text(left)]).count("n") < 2
    {
      throw DatabaseError(.check, "a contact belongs to a request")
    }
    return try execute(
      "DELETE FROM \(kind.rawValue) WHERE \(columns.left) = $1 AND \(columns.right) = $2",
      [.text(left), .text(right)]) == 1
  }
}

extension Connection {
  /// Everything an id is tied to, at most 200 of each kind.
  public func links(of id: String) throws -> [(kind: LinkKind, other: String)] {
    let prefix = String(id.prefix { $0 != "_" })
    var out: [(LinkKind, String)] = []
    for kind in LinkKind.allCases {
      let columns = kind.columns
      let (left, right) = kind.prefixes
      let pairs =
        (prefix == left ? [(columns.left, columns.right)] : [])
        + (prefix == right ? [(columns.right, columns.left)] : [])
      for (mine, other) in pairs {
        for row in try query(
          "SELECT \(other) AS other FROM \(kind.rawValue) WHERE \(mine) = $1 ORDER BY \(other) LIMIT 200", [.text(id)])
        {
          out.append((kind, try row.text("other")))
        }
      }
    }
    return out
  }
}

extension Activity {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("activity_id"), customerNo: try row.parsedOrNil("customer_no"),
      start: try row.timeOrNil("started_at"), end: try row.timeOrNil("ended_at"), due: try row.timeOrNil("due_at"),
      description: try row.text("description"), remark: try row.textOrNil("remark"),
      category: try row.parsed("category"), status: try row.word("status"), priority: try row.count("priority"),
      costCents: try row.intOrNil("cost_cents"), owner: try row.parsedOrNil("owner"),
      version: try row.count("version"))
  }
}

extension Opportunity {
  init(row: Row) throws {
    self.init(
      id: try row.parsed("opportunity_id"), customerNo: try row.parsedOrNil("customer_no"),
      successPercent: try row.intOrNil("success_percent").map(Int.init), start: try row.time("started_at"),
      end: try row.timeOrNil("ended_at"), salesMethod: try row.textOrNil("sales_method"),
      salesStage: try row.text("sales_stage"), summary: try row.text("summary"), content: try row.text("content"),
      expectedCents: try row.intOrNil("expected_cents"), owner: try row.parsedOrNil("owner"),
      version: try row.count("version"))
  }
}

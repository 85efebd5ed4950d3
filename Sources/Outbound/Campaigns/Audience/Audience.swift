import Channels
import ContactModel
import Store

/// Whom a campaign is for, as SQL reads it: a group, or every customer.
public struct Audience: Sendable {
  enum Source: Sendable {
    case everybody
    case entity(Code)
    /// Whoever meets it at the moment.
    case concept(Criterion)
    /// Who was in the group on its latest recorded day.
    case time(Code)
  }
  let source: Source

  public static let everybody = Audience(source: .everybody)

  /// The group's audience; throws if its criterion cannot be read.
  public init(of group: CustomerGroup) throws(CriterionFault) {
    switch group.kind {
    case .entity: source = .entity(group.code)
    case .time: source = .time(group.code)
    case .concept: source = .concept(try Criterion(group.criterion ?? ""))
    }
  }

  private init(source: Source) { self.source = source }

  /// Joins `contact_profile p` with whatever the audience needs.
  var join: String {
    if case .concept = source { return "JOIN customer c ON c.customer_no = p.customer_no" }
    return ""
  }

  /// Begins with AND; empty for everybody. `isLeading`: the members are looked up from the group, as is right where
  /// everybody is asked for; else each customer is looked up in the group, as is right within a range of them.
  func condition(_ parameters: inout SQLParameters, at now: Timestamp, isLeading: Bool = false) -> String {
    switch source {
    case .everybody: return ""
    case .entity(let code):
      if isLeading {
        return """
           AND p.customer_no IN (SELECT g.customer_no FROM group_customer g
            WHERE g.group_code = \(parameters.text(code.description)))
          """
      }
      return """
         AND EXISTS (SELECT 1 FROM group_customer g WHERE g.group_code = \(parameters.text(code.description))
          AND g.customer_no = p.customer_no)
        """
    case .time(let code):
      let name = parameters.text(code.description)
      let day = parameters.text(String(now.description.prefix(10)))
      if isLeading {
        return """
           AND p.customer_no IN (SELECT g.customer_no FROM group_customer_time g WHERE g.group_code = \(name)
            AND g.day = (SELECT max(y.day) FROM group_customer_time y WHERE y.group_code = \(name) AND y.day <= \(day)))
          """
      }
      return """
         AND EXISTS (SELECT 1 FROM group_customer_time g WHERE g.group_code = \(name)
          AND g.day = (SELECT max(y.day) FROM group_customer_time y WHERE y.group_code = \(name) AND y.day <= \(day))
          AND g.customer_no = p.customer_no)
        """
    case .concept(let criterion):
      return " AND c.deleted = 0 AND " + criterion.condition(&parameters, at: now)
    }
  }
}

extension Connection {
  /// Whether a customer is still in a group.
  public func isMember(_ customer: CustomerNumber, of code: Code, at time: Timestamp) throws -> Bool {
    try members(of: code, among: [customer], at: time).contains(customer)
  }

  /// Which of these customers are still in a group: by its rows, its criterion at this moment, or its latest recorded
  /// day. A group that is gone or cannot be read holds nobody.
  public func members(
    of code: Code, among customers: [CustomerNumber], at time: Timestamp
  ) throws -> Set<CustomerNumber> {
    guard let group = try group(code), let audience = try? Audience(of: group) else { return [] }
    var parameters = SQLParameters([.list(customers.map(\.description))])
    let condition = audience.condition(&parameters, at: time)
    let rows = try query(
      """
      SELECT p.customer_no FROM customer p \(audience.join)
      WHERE p.customer_no IN {{list_text:$1}}\(condition)
      """, parameters.values)
    return Set(try rows.map { try $0.parsed("customer_no") })
  }

  /// How many customers meet a criterion at this moment.
  public func count(_ criterion: Criterion, at time: Timestamp) throws -> Int {
    var parameters = SQLParameters()
    let condition = criterion.condition(&parameters, at: time)
    return try one(
      "SELECT count(*) AS n FROM customer c WHERE c.deleted = 0 AND \(condition)", parameters.values
    ).count("n")
  }

  /// Some of those who meet it, for a person to look at.
  public func sample(_ criterion: Criterion, limit: Int, at time: Timestamp) throws -> [Customer] {
    var parameters = SQLParameters()
    let condition = criterion.condition(&parameters, at: time)
    let bound = parameters.add(SQLValue(limit))
    return try query(
      "SELECT c.* FROM customer c WHERE c.deleted = 0 AND \(condition) ORDER BY c.customer_no LIMIT \(bound)",
      parameters.values
    ).map { row in
      guard let customer = try self.customer(row.parsed("customer_no")) else {
        throw DatabaseError(.other, "a customer just read is gone")
      }
      return customer
    }
  }
}

extension WriteTransaction {
  /// Records who is in a time group today, in one statement; answers how many are new. The criterion is the group's.
  public func recordDay(of group: CustomerGroup, at time: Timestamp) throws -> Int {
    guard group.kind == .time, let criterion = try? Criterion(group.criterion ?? "") else { return 0 }
    var parameters = SQLParameters([.id(group.code), .text(String(time.description.prefix(10)))])
    let condition = criterion.condition(&parameters, at: time)
    return try execute(
      """
      INSERT INTO group_customer_time(group_code, customer_no, day)
      SELECT CAST($1 AS TEXT), c.customer_no, CAST($2 AS TEXT) FROM customer c WHERE c.deleted = 0 AND \(condition)
      ON CONFLICT (group_code, day, customer_no) DO NOTHING
      """, parameters.values)
  }
}

import Channels
import ContactModel

extension WriteTransaction {
  /// Adds a group or brings its names and criterion up to date. Its kind stays.
  public func upsert(_ group: CustomerGroup, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO customer_group(code, group_type, name_zh, name_en, criterion, created_at)
      VALUES ($1, $2, $3, $4, $5, $6)
      ON CONFLICT (code) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en,
        criterion = excluded.criterion
      """,
      [
        .id(group.code), SQLValue(group.kind), .text(group.nameZh), .text(group.nameEn), SQLValue(group.criterion),
        SQLValue(time),
      ])
  }

  /// Puts a customer into an entity group; false if he is in it.
  public func addMember(_ customer: CustomerNumber, to group: Code, department: Code?) throws -> Bool {
    try execute(
      """
      INSERT INTO group_customer(group_code, customer_no, department) VALUES ($1, $2, $3)
      ON CONFLICT (group_code, customer_no) DO NOTHING
      """, [.id(group), .id(customer), .id(department)]) == 1
  }
  public func removeMember(_ customer: CustomerNumber, from group: Code) throws -> Bool {
    try execute(
      "DELETE FROM group_customer WHERE group_code = $1 AND customer_no = $2", [.id(group), .id(customer)]) == 1
  }
  /// Records that a customer was in a time group on a UTC day.
  public func addMember(_ customer: CustomerNumber, to group: Code, on day: String) throws -> Bool {
    try execute(
      """
      INSERT INTO group_customer_time(group_code, customer_no, day) VALUES ($1, $2, $3)
      ON CONFLICT (group_code, day, customer_no) DO NOTHING
      """, [.id(group), .id(customer), .text(day)]) == 1
  }
}

extension Connection {
  public func group(_ code: Code) throws -> CustomerGroup? {
    try first("SELECT * FROM customer_group WHERE code = $1", [.id(code)]).map(CustomerGroup.init(row:))
  }
  public func groups() throws -> [CustomerGroup] {
    try query("SELECT * FROM customer_group ORDER BY code").map(CustomerGroup.init(row:))
  }
  /// Members in order of number; of a time group those of a day.
  public func members(
    of group: Code, on day: String?, scope: DepartmentScope? = nil, after last: CustomerNumber?, limit: Int
  ) throws -> [CustomerNumber] {
    var conditions = Conditions()
    conditions.add("group_code =", .id(group))
    conditions.add("day =", day.map { .text($0) })
    conditions.add("customer_no >", .some(last))
    conditions.add(scope, .groupMember)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      """
      SELECT customer_no FROM \(day == nil ? "group_customer" : "group_customer_time") member \(conditions.sql)
      ORDER BY customer_no LIMIT \(bound)
      """, conditions.parameters
    ).map { try $0.parsed("customer_no") }
  }
}

extension CustomerGroup {
  init(row: Row) throws {
    self.init(
      code: try row.parsed("code"), kind: try row.word("group_type"), nameZh: try row.text("name_zh"),
      nameEn: try row.text("name_en"), criterion: try row.textOrNil("criterion"))
  }
}

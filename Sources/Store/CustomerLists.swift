import Channels
import ContactModel

/// Which customers are wanted; nil asks for all.
public struct CustomerFilter: Sendable, Hashable {
  /// The beginning of the name in normal form.
  public var namePrefix: String?
  public var type: Code?
  public var status: Customer.Status?
  public var department: Code?
  public var manager: AgentID?
  public var updatedSince: Timestamp?
  /// Nil: the whole bank.
  public var scope: DepartmentScope?
  public init() {}
}

/// 客户关系: how one customer stands to another.
public struct CustomerRelation: Sendable, Hashable {
  public var customerNo: CustomerNumber
  public var other: CustomerNumber
  /// `group_member`, `parent`, `contact_person`, …
  public var relation: Code
  public var from: Timestamp
  public var to: Timestamp?
  public init(
    customerNo: CustomerNumber, other: CustomerNumber, relation: Code, from: Timestamp, to: Timestamp? = nil
  ) {
    self.customerNo = customerNo
    self.other = other
    self.relation = relation
    self.from = from
    self.to = to
  }
}

/// 账户: an account of a customer, in force while `to` is nil.
public struct CustomerAccount: Sendable, Hashable {
  public var accountNo: String
  public var businessSystem: String
  public var department: Code?
  public var from: Timestamp
  public var to: Timestamp?
}

extension Connection {
  /// Customers in order of number, after the last of the page before.
  public func customers(
    matching filter: CustomerFilter, after last: CustomerNumber?, limit: Int
  ) throws -> [Customer] {
    var conditions = Conditions()
    if let prefix = filter.namePrefix {
      conditions.add("name_folded >=", .text(prefix))
      conditions.add("name_folded <", .text(prefix + "\u{10FFFF}"))
    }
    conditions.add("customer_type =", .some(filter.type))
    conditions.add("status =", filter.status.map { SQLValue($0) })
    conditions.add("department =", .some(filter.department))
    conditions.add("manager =", .some(filter.manager))
    conditions.add("updated_at >=", filter.updatedSince.map { SQLValue($0) })
    conditions.add("customer_no >", .some(last))
    conditions.add(filter.scope, .customer)
    let bound = conditions.placeholder(SQLValue(limit))
    return try query(
      "SELECT * FROM customer \(conditions.sql) ORDER BY customer_no LIMIT \(bound)", conditions.parameters
    ).map(Customer.init(row:))
  }

  public func relations(of number: CustomerNumber) throws -> [CustomerRelation] {
    try query(
      """
      SELECT * FROM customer_relation WHERE customer_no = $1 OR customer_no_r = $1
      ORDER BY customer_no, customer_no_r, relation LIMIT 1000
      """, [.id(number)]
    ).map { row in
      CustomerRelation(
        customerNo: try row.parsed("customer_no"), other: try row.parsed("customer_no_r"),
        relation: try row.parsed("relation"), from: try row.time("from_at"), to: try row.timeOrNil("to_at"))
    }
  }

  public func accounts(of number: CustomerNumber) throws -> [CustomerAccount] {
    try query(
      """
      SELECT h.account_no, a.business_system, a.department, h.from_at, h.to_at FROM customer_account h
      JOIN account a ON a.account_no = h.account_no WHERE h.customer_no = $1 ORDER BY h.account_no, h.from_at LIMIT 1000
      """, [.id(number)]
    ).map { row in
      CustomerAccount(
        accountNo: try row.text("account_no"), businessSystem: try row.text("business_system"),
        department: try row.parsedOrNil("department"), from: try row.time("from_at"), to: try row.timeOrNil("to_at"))
    }
  }

  public func hasCustomerType(_ code: Code) throws -> Bool {
    try first("SELECT code FROM customer_type WHERE code = $1", [.id(code)]) != nil
  }
  public func hasDepartment(_ code: Code) throws -> Bool {
    try first("SELECT code FROM department WHERE code = $1", [.id(code)]) != nil
  }
}

extension WriteTransaction {
  /// Records a relation, or when it ended.
  public func upsert(_ relation: CustomerRelation) throws {
    try execute(
      """
      INSERT INTO customer_relation(customer_no, customer_no_r, relation, from_at, to_at)
      VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (customer_no, customer_no_r, relation) DO UPDATE SET to_at = excluded.to_at
      """,
      [
        .id(relation.customerNo), .id(relation.other), .id(relation.relation), SQLValue(relation.from),
        SQLValue(relation.to),
      ])
  }

  /// Gives a customer an account, and names the system it belongs to.
  public func addAccount(
    _ number: String, of customer: CustomerNumber, system: String, at time: Timestamp
  ) throws {
    try execute(
      """
      INSERT INTO account(account_no, business_system) VALUES ($1, $2)
      ON CONFLICT (account_no) DO UPDATE SET business_system = excluded.business_system
      """, [.text(number), .text(system)])
    try execute(
      """
      INSERT INTO customer_account(account_no, customer_no, from_at)
      SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS {{int}}) WHERE NOT EXISTS
        (SELECT 1 FROM customer_account WHERE account_no = $1 AND customer_no = $2 AND to_at IS NULL)
      """, [.text(number), .id(customer), SQLValue(time)])
  }

  /// Ends a customer's hold of an account. False if he has it not.
  public func endAccount(_ number: String, of customer: CustomerNumber, at time: Timestamp) throws -> Bool {
    try execute(
      "UPDATE customer_account SET to_at = $3 WHERE account_no = $1 AND customer_no = $2 AND to_at IS NULL",
      [.text(number), .id(customer), SQLValue(time)]) > 0
  }

  /// What is known of an address itself, whoever holds it; and, for one holder, whether he proved it.
  public func setContactPoint(
    _ address: Address, of customer: CustomerNumber, state: ContactPoint.State?, verifiedAt: Timestamp?,
    source: String, at time: Timestamp
  ) throws -> Bool {
    if let state {
      try execute(
        "UPDATE contact_point SET state = $3, state_since = $4, source = $5 WHERE kind = $1 AND canonical = $2",
        [SQLValue(address.kind), .text(address.canonical), SQLValue(state), SQLValue(time), .text(source)])
      try reproject(holdersOf: address, at: time)
    }
    reproject(customer, at: time)
    return try execute(
      """
      UPDATE customer_contact_point SET verified_at = coalesce(CAST($4 AS {{int}}), verified_at)
      WHERE kind = $1 AND canonical = $2 AND customer_no = $3
      """, [SQLValue(address.kind), .text(address.canonical), .id(customer), SQLValue(verifiedAt)]) == 1
  }

  /// A customer holds an address no longer. False if he did not.
  public func removeContactPoint(_ address: Address, of customer: CustomerNumber, at time: Timestamp) throws -> Bool {
    reproject(customer, at: time)
    return try execute(
      "DELETE FROM customer_contact_point WHERE kind = $1 AND canonical = $2 AND customer_no = $3",
      [SQLValue(address.kind), .text(address.canonical), .id(customer)]) == 1
  }

  public func upsertDepartment(_ code: Code, parent: Code?, nameZh: String, nameEn: String) throws {
    try execute(
      """
      INSERT INTO department(code, parent, name_zh, name_en) VALUES ($1, $2, $3, $4)
      ON CONFLICT (code) DO UPDATE SET parent = excluded.parent, name_zh = excluded.name_zh, name_en = excluded.name_en
      """, [.id(code), .id(parent), .text(nameZh), .text(nameEn)])
  }
}

/// A code of the bank with its names: a queue, a department, a customer type.
public struct NamedCode: Sendable, Hashable {
  public var code: Code
  /// The department above, or the one a queue belongs to.
  public var parent: Code?
  public var nameZh: String
  public var nameEn: String
}

extension Connection {
  public func departments() throws -> [NamedCode] { try named("department", parent: "parent") }
  public func customerTypes() throws -> [NamedCode] { try named("customer_type", parent: "parent") }
  public func queues() throws -> [NamedCode] { try named("queue", parent: "department") }

  private func named(_ table: String, parent: String) throws -> [NamedCode] {
    try query("SELECT code, \(parent) AS parent, name_zh, name_en FROM \(table) ORDER BY code").map { row in
      NamedCode(
        code: try row.parsed("code"), parent: try row.parsedOrNil("parent"), nameZh: try row.text("name_zh"),
        nameEn: try row.text("name_en"))
    }
  }
}

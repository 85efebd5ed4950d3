import Channels
import ContactModel

/// What is known of a customer beyond the customer itself, as identity and the screen pop need it.
public struct CustomerRecord: Sendable, Hashable {
  public var customer: Customer
  /// Normal form of the whole number; nil if not recorded. Never shown unmasked.
  public var identityNo: String?
  /// ISO date; nil if not recorded.
  public var birthDate: String?
  public var contactPoints: [ContactPoint]
  /// Numbers of the accounts in force.
  public var accounts: [String]

  public init(
    customer: Customer, identityNo: String? = nil, birthDate: String? = nil, contactPoints: [ContactPoint] = [],
    accounts: [String] = []
  ) {
    self.customer = customer
    self.identityNo = identityNo
    self.birthDate = birthDate
    self.contactPoints = contactPoints
    self.accounts = accounts
  }
}

extension Connection {
  public func customer(_ number: CustomerNumber) throws -> Customer? {
    try first("SELECT * FROM customer WHERE customer_no = $1", [.id(number)]).map(Customer.init(row:))
  }

  /// The customer and everything that identifies it; nil if the number is unknown.
  public func customerRecord(_ number: CustomerNumber) throws -> CustomerRecord? {
    guard let row = try first("SELECT * FROM customer WHERE customer_no = $1", [.id(number)]) else { return nil }
    return CustomerRecord(
      customer: try Customer(row: row), identityNo: try row.textOrNil("identity_no"),
      birthDate: try row.textOrNil("birth_date"), contactPoints: try contactPoints(of: number),
      accounts: try query(
        "SELECT account_no FROM customer_account WHERE customer_no = $1 AND to_at IS NULL ORDER BY account_no",
        [.id(number)]
      ).map { try $0.text("account_no") })
  }

  public func contactPoints(of number: CustomerNumber) throws -> [ContactPoint] {
    try query(
      """
      SELECT h.kind, h.canonical, h.raw, h.role, h.verified_at, p.state
      FROM customer_contact_point h JOIN contact_point p ON p.kind = h.kind AND p.canonical = h.canonical
      WHERE h.customer_no = $1 ORDER BY h.kind, h.canonical
      """, [.id(number)]
    ).map { row in
      ContactPoint(
        address: Address(kind: try row.word("kind"), canonical: try row.text("canonical"), raw: try row.text("raw")),
        state: try row.word("state"), role: try row.word("role"), verifiedAt: try row.timeOrNil("verified_at"))
    }
  }

  /// Who holds an address, at most `limit`, in order of number: the look-up behind every screen pop.
  public func holders(of address: Address, limit: Int) throws -> [CustomerNumber] {
    try query(
      "SELECT customer_no FROM customer_contact_point WHERE kind = $1 AND canonical = $2 ORDER BY customer_no LIMIT $3",
      [SQLValue(address.kind), .text(address.canonical), .int(Int64(limit))]
    ).map { try $0.parsed("customer_no") }
  }

  /// Who has an account in force, at most `limit`.
  public func holders(ofAccount number: String, limit: Int) throws -> [CustomerNumber] {
    try query(
      "SELECT customer_no FROM customer_account WHERE account_no = $1 AND to_at IS NULL ORDER BY customer_no LIMIT $2",
      [.text(number), .int(Int64(limit))]
    ).map { try $0.parsed("customer_no") }
  }

  /// Who has this identity number in normal form, at most `limit`.
  public func holders(ofIdentity number: String, limit: Int) throws -> [CustomerNumber] {
    try query(
      "SELECT customer_no FROM customer WHERE identity_no = $1 ORDER BY customer_no LIMIT $2",
      [.text(number), .int(Int64(limit))]
    ).map { try $0.parsed("customer_no") }
  }

  /// How many customers bear this name in normal form, counted no further than `limit`.
  public func bearers(ofName folded: String, limit: Int) throws -> Int {
    try one(
      "SELECT count(*) AS n FROM (SELECT 1 FROM customer WHERE name_folded = $1 LIMIT $2) AS bearer",
      [.text(folded), .int(Int64(limit))]
    ).count("n")
  }

  /// How many customers there are, at least 1, read in microseconds also from ten millions: customers are never
  /// removed, so SQLite's highest row id is their count; PostgreSQL's own estimate serves once it has one.
  public func approximateCustomerCount() throws -> Int {
    let estimate = try one(
      """
      {{sqlite:SELECT coalesce(max(rowid), 0) AS n FROM customer}}
      {{postgres:SELECT CAST(reltuples AS BIGINT) AS n FROM pg_class WHERE oid = CAST('customer' AS regclass)}}
      """
    ).count("n")
    if estimate > 0 { return estimate }
    return max(1, try one("SELECT count(*) AS n FROM (SELECT 1 FROM customer LIMIT 100000) AS c").count("n"))
  }
}

extension WriteTransaction {
  /// Adds a customer or brings it up to date; true if it is new. Contact points and accounts given are added, none is
  /// taken away. `nameFolded` is the name in the normal form of identity.
  @discardableResult
  public func upsert(_ record: CustomerRecord, nameFolded: String, source: String, at time: Timestamp) throws -> Bool {
    let customer = record.customer
    let row = try one(
      """
      INSERT INTO customer(customer_no, customer_type, status, level, name, name_folded, language, identity_no,
        birth_date, department, manager, deleted, merged_into, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14)
      ON CONFLICT (customer_no) DO UPDATE SET customer_type = excluded.customer_type, status = excluded.status,
        level = excluded.level, name = excluded.name, name_folded = excluded.name_folded,
        language = coalesce(excluded.language, customer.language),
        identity_no = coalesce(excluded.identity_no, customer.identity_no),
        birth_date = coalesce(excluded.birth_date, customer.birth_date),
        department = coalesce(excluded.department, customer.department),
        manager = coalesce(excluded.manager, customer.manager), deleted = excluded.deleted,
        merged_into = excluded.merged_into, updated_at = excluded.updated_at, version = customer.version + 1
      RETURNING version
      """,
      [
        .id(customer.customerNo), .id(customer.type), SQLValue(customer.status), SQLValue(customer.level),
        .text(customer.name), .text(nameFolded), SQLValue(customer.language), SQLValue(record.identityNo),
        SQLValue(record.birthDate), .id(customer.department), .id(customer.manager), SQLValue(customer.deleted),
        .id(customer.mergedInto), SQLValue(time),
      ])
    let isNew = try row.int("version") == 1
    if isNew || added[customer.customerNo] != nil { added[customer.customerNo] = customer.deleted }
    reprojectAddresses(of: customer.customerNo, at: time)
    for point in record.contactPoints { try add(point, to: customer.customerNo, source: source, at: time) }
    for account in record.accounts {
      try execute(
        "INSERT INTO account(account_no, business_system) VALUES ($1, $2) ON CONFLICT (account_no) DO NOTHING",
        [.text(account), .text(source)])
      try execute(
        """
        INSERT INTO customer_account(account_no, customer_no, from_at)
        SELECT $1, $2, $3 WHERE NOT EXISTS
          (SELECT 1 FROM customer_account WHERE account_no = $1 AND customer_no = $2 AND to_at IS NULL)
        """, [.text(account), .id(customer.customerNo), SQLValue(time)])
    }
    return isNew
  }

  /// Makes `customer` a holder of an address. The address's own state is left as it is.
  public func add(_ point: ContactPoint, to customer: CustomerNumber, source: String, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO contact_point(kind, canonical, state, state_since, source) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (kind, canonical) DO NOTHING
      """,
      [
        SQLValue(point.address.kind), .text(point.address.canonical), SQLValue(point.state), SQLValue(time),
        .text(source),
      ])
    try execute(
      """
      INSERT INTO customer_contact_point(kind, canonical, customer_no, role, raw, verified_at, from_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (kind, canonical, customer_no) DO UPDATE SET role = excluded.role,
        verified_at = coalesce(excluded.verified_at, customer_contact_point.verified_at)
      """,
      [
        SQLValue(point.address.kind), .text(point.address.canonical), .id(customer), SQLValue(point.role),
        .text(point.address.raw), SQLValue(point.verifiedAt), SQLValue(time),
      ])
    reprojectAddresses(of: customer, at: time)
  }
}

extension Customer {
  init(row: Row) throws {
    self.init(
      customerNo: try row.parsed("customer_no"), type: try row.parsed("customer_type"), status: try row.word("status"),
      level: try row.count("level"), name: try row.text("name"), language: try row.textOrNil("language"),
      department: try row.parsedOrNil("department"), manager: try row.parsedOrNil("manager"),
      deleted: try row.bool("deleted"), mergedInto: try row.parsedOrNil("merged_into"),
      version: try row.count("version"))
  }
}

import Channels
import ContactModel
import Customers
import Store

/// Customers for the rest of the CRM: read, upserted, with addresses, accounts, relations and their timeline.
public struct CustomerResources: Sendable {
  let database: Database
  let cursors: CursorSigner

  public init(database: Database, cursors: CursorSigner) {
    self.database = database
    self.cursors = cursors
  }

  public var routes: [Route] {
    [list, get, put, bulk, putPoint, deletePoint] + holdingRoutes
  }

  static let readers = Access.roles(.agent, .supervisor, .marketing, .integration, .auditor)
  static let writers = Access.roles(.supervisor, .integration)
  static let number = Route.Parameter.path("customer_no", .string(minimum: 1, maximum: 32), "Customer_No")
  static let purpose: [Route.Parameter] = [
    .query("purpose", .word(["contact", "campaign", "search", "service"]), "Why it is looked at, for the audit"),
    .query("contact_id", .id("contact"), "In which contact, for the audit"),
  ]

  private var list: Route {
    Route(
      "listCustomers", .get, "/v1/customers", summary: "Customers by number, or by the beginning of their name",
      tag: "customers", access: Self.readers,
      parameters: Route.Parameter.page + [
        .query("name", .string(minimum: 1, maximum: 200), "Beginning of the name, in any spelling of case and blanks"),
        .query("phone", .string(minimum: 1, maximum: 40), "Who holds this number"),
        .query("email", .string(minimum: 3, maximum: 320), "Who holds this mailbox"),
        .query("type", .string(maximum: 64)),
        .query("customer_status", .word(Customer.Status.allCases.map(\.rawValue))),
        .query("department", .string(maximum: 64)), .query("manager", .string(maximum: 64)),
        .query("updated_since", .time),
      ],
      answers: [.json(.page(of: Customer.schema), "A page")]
    ) { call in
      let page = try Page(call, cursors)
      let last: CustomerNumber? = try page.last()
      var filter = CustomerFilter()
      filter.namePrefix = call.text("name").map(NormalForm.name)
      filter.type = try call.filter("type")
      filter.status = call.text("customer_status").flatMap(Customer.Status.init)
      filter.department = try call.filter("department")
      filter.manager = try call.filter("manager")
      filter.updatedSince = call.time("updated_since")
      var address: Address?
      for (name, kind) in [("phone", Address.Kind.phone), ("email", .email)] {
        guard let text = call.text(name) else { continue }
        guard let found = AddressForm.address(kind, text) else {
          throw Problem(.invalidInput, violations: [Violation(.parameter(name), .format)])
        }
        address = found
      }
      let (wanted, holder) = (filter, address)
      return try await database.look(call, purpose: "search") { connection in
        let scope = try Scope(call, connection)
        var wanted = wanted
        wanted.scope = scope.limits
        let rows: [Customer] =
          if let holder {
            try connection.holders(of: holder, limit: 1_000).filter { number in last.map { number > $0 } ?? true }
              .compactMap { try connection.customer($0) }.filter(scope.includes).prefix(page.limit).map(\.self)
          } else {
            try connection.customers(matching: wanted, after: last, limit: page.limit)
          }
        return (
          page.reply(rows, keys: { [.text($0.customerNo)] }, json: \.json),
          seen: rows.prefix(page.size).map { Sight(customer: $0.customerNo, subject: "search") }
        )
      }
    }
  }

  func sight(_ call: Call, _ number: CustomerNumber) -> [Sight] {
    [Sight(customer: number, subject: call.text("contact_id") ?? number.description)]
  }

  /// The customer, if the principal may see it.
  func known(_ call: Call, _ connection: any Connection) throws -> Customer {
    guard let customer = try connection.customer(call.path("customer_no")) else { throw Problem(.notFound) }
    guard try Scope(call, connection).includes(customer) else { throw Problem(.notFound) }
    return customer
  }

  private var get: Route {
    Route(
      "getCustomer", .get, "/v1/customers/{customer_no}", summary: "A customer with everything that identifies it",
      tag: "customers", access: Self.readers, parameters: [Self.number] + Self.purpose,
      answers: [.json(CustomerRecord.schema, "The customer")]
    ) { call in
      try await database.look(call, purpose: call.text("purpose") ?? "customer") { connection in
        guard let record = try connection.customerRecord(call.path("customer_no")),
          try Scope(call, connection).includes(record.customer)
        else { throw Problem(.notFound) }
        let customer = record.customer
        return (
          Reply.json(record.json, version: Int64(customer.version)), seen: sight(call, customer.customerNo)
        )
      }
    }
  }

  private var put: Route {
    Route(
      "putCustomer", .put, "/v1/customers/{customer_no}",
      summary: "Add a customer or bring it up to date; addresses and accounts given are added, none is taken away",
      tag: "customers", access: Self.writers, parameters: [Self.number], body: .init(CustomerRecord.input),
      answers: [
        .json(CustomerRecord.schema, "As it is now"), .json(CustomerRecord.schema, "It is new", status: 201),
      ]
    ) { call in
      let record = try CustomerRecord(call.path("customer_no"), body: call.body)
      return try await database.act(call) { transaction, actor in
        let number = record.customer.customerNo
        let before = try transaction.customerRecord(number)
        let scope = try Scope(call, transaction)
        guard before.map({ scope.includes($0.customer) }) ?? true else { throw Problem(.notFound) }
        guard scope.includes(record.customer) else {
          throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/department"), .notAllowed)])
        }
        try call.condition.require(before?.customer.version ?? 0)
        let isNew = try transaction.upsertChecked(record, source: actor.label, at: call.now)
        guard let after = try transaction.customerRecord(number) else { throw Problem(.notFound) }
        try transaction.audit(
          "customer.upsert", number, customer: number, before: before?.json, after: after.json, by: actor, at: call.now)
        return .json(after.json, status: isNew ? 201 : 200, version: Int64(after.customer.version))
      }
    }
  }

  private var bulk: Route {
    let verdict = Schema.output(
      .required("index", .integer(minimum: 0)), .required("customer_no", .nullable(.string())),
      .required("outcome", .word(["added", "changed", "refused"])), .required("errors", .array(.any)))
    return Route(
      "upsertCustomers", .post, "/v1/customers/bulk",
      summary: "Up to 10,000 customers, each for itself; the same again changes nothing more", tag: "customers",
      access: Self.writers,
      body: .init(
        .input(.required("items", .array(.any, maximum: 10_000)), .optional("dry_run", .boolean)),
        maximumBytes: 32_000_000),
      answers: [
        .json(
          .output(
            .required("dry_run", .boolean), .required("added", .integer()), .required("changed", .integer()),
            .required("refused", .integer()), .required("items", .array(verdict), "In the order given")),
          "What became of each")
      ]
    ) { call in
      let items = call.body["items"]?.array ?? []
      let isRehearsal = call.body["dry_run"]?.bool == true
      var verdicts: [JSONValue] = []
      var counts = ["added": 0, "changed": 0, "refused": 0]
      for start in stride(from: 0, to: items.count, by: 50) {
        let slice = Array(items[start..<min(start + 50, items.count)])
        for (offset, outcome) in try await upsert(slice, call, isRehearsal).enumerated() {
          let word = outcome.violations != nil ? "refused" : outcome.isNew ? "added" : "changed"
          counts[word, default: 0] += 1
          verdicts.append([
            "index": .count(start + offset), "customer_no": .optional(slice[offset]["customer_no"]?.string),
            "outcome": .string(word),
            "errors": .array((outcome.violations ?? []).map { $0.json(call.language) }),
          ])
        }
      }
      return .json([
        "dry_run": .bool(isRehearsal), "added": .count(counts["added"] ?? 0),
        "changed": .count(counts["changed"] ?? 0), "refused": .count(counts["refused"] ?? 0),
        "items": .array(verdicts),
      ])
    }
  }

  private struct BulkOutcome: Sendable {
    var isNew: Bool
    var violations: [Violation]?
  }
  /// Carries the outcomes out of a transaction that is undone.
  private struct Rehearsed: Error { var outcomes: [BulkOutcome] }

  /// Fifty rows at most in one transaction of the bulk lane: a live write waits for one such at most.
  private func upsert(_ items: [JSONValue], _ call: Call, _ isRehearsal: Bool) async throws -> [BulkOutcome] {
    let actor = try Actor(call)
    do {
      return try await translatingErrors {
        try await database.write(.bulk) { transaction in
          let scope = try Scope(call, transaction)
          let outcomes = try items.map { item -> BulkOutcome in
            let violations = CustomerRecord.bulkInput.violations(of: item)
            guard violations.isEmpty else { return BulkOutcome(isNew: false, violations: violations) }
            guard let number = item["customer_no"]?.string.flatMap({ CustomerNumber($0) }) else {
              return BulkOutcome(isNew: false, violations: [Violation(.body(pointer: "#/customer_no"), .format)])
            }
            do {
              let record = try CustomerRecord(number, body: item)
              guard scope.includes(record.customer),
                try transaction.customer(number).map(scope.includes) ?? true
              else {
                return BulkOutcome(isNew: false, violations: [Violation(.body(pointer: "#/department"), .notAllowed)])
              }
              let isNew = try transaction.savepoint {
                try transaction.upsertChecked(record, source: actor.label, at: call.now)
              }
              if !isRehearsal {
                try transaction.audit(
                  "customer.upsert", number, customer: number, after: record.json, by: actor, at: call.now)
              }
              return BulkOutcome(isNew: isNew, violations: nil)
            } catch let problem as Problem {
              return BulkOutcome(isNew: false, violations: problem.violations)
            }
          }
          if isRehearsal { throw Rehearsed(outcomes: outcomes) }
          return outcomes
        }
      }
    } catch let rehearsed as Rehearsed {
      return rehearsed.outcomes
    }
  }

  private var putPoint: Route {
    Route(
      "putContactPoint", .put, "/v1/customers/{customer_no}/contact-points",
      summary: "Give a customer an address, say that he proved it, or in which state it is", tag: "customers",
      access: .roles(.agent, .supervisor, .integration), parameters: [Self.number],
      body: .init(
        .input(
          .required("kind", .word(Address.Kind.allCases.map(\.rawValue))),
          .required("value", .string(minimum: 1, maximum: 320)),
          .optional("role", .word(ContactPoint.Role.allCases.map(\.rawValue))),
          .optional("state", .word(ContactPoint.State.allCases.map(\.rawValue)), "Of the address, whoever holds it"),
          .optional("verified_at", .nullable(.time)), .optional("reason", .string(maximum: 500)))),
      answers: [.json(.output(.required("items", .array(ContactPoint.schema))), "All his addresses")]
    ) { call in
      let kind = call.body["kind"]?.string.flatMap(Address.Kind.init) ?? .other
      guard let address = AddressForm.address(kind, call.body["value"]?.string ?? "") else {
        throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/value"), .format)])
      }
      let point = ContactPoint(
        address: address, role: call.body["role"]?.string.flatMap(ContactPoint.Role.init) ?? .own,
        verifiedAt: call.body["verified_at"]?.string.flatMap { Timestamp($0) })
      let state = call.body["state"]?.string.flatMap(ContactPoint.State.init)
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction).customerNo
        let before = try transaction.contactPoints(of: number)
        try transaction.add(point, to: number, source: actor.label, at: call.now)
        if let state {
          _ = try transaction.setContactPoint(
            address, of: number, state: state, verifiedAt: nil, source: actor.label, at: call.now)
        }
        let after = try transaction.contactPoints(of: number)
        try transaction.audit(
          "contact_point.put", number, customer: number, reason: call.body["reason"]?.string,
          before: .array(before.map(\.json)), after: .array(after.map(\.json)), by: actor, at: call.now)
        return .json(["items": .array(after.map(\.json))])
      }
    }
  }

  private var deletePoint: Route {
    Route(
      "removeContactPoint", .delete, "/v1/customers/{customer_no}/contact-points",
      summary: "A customer holds an address no longer", tag: "customers", access: Self.writers,
      parameters: [
        Self.number, .query("kind", .word(Address.Kind.allCases.map(\.rawValue))),
        .query("value", .string(minimum: 1, maximum: 320)),
      ],
      answers: [.empty("Removed")]
    ) { call in
      guard let kind = call.text("kind").flatMap(Address.Kind.init),
        let address = AddressForm.address(kind, call.text("value") ?? "")
      else { throw Problem(.invalidInput, violations: [Violation(.parameter("value"), .format)]) }
      return try await database.act(call) { transaction, actor in
        let number = try known(call, transaction).customerNo
        guard try transaction.removeContactPoint(address, of: number, at: call.now) else { throw Problem(.notFound) }
        try transaction.audit(
          "contact_point.remove", number, customer: number, before: address.json, by: actor, at: call.now)
        return .empty()
      }
    }
  }
}

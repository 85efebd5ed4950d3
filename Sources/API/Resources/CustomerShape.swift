import Channels
import ContactModel
import Customers
import Store

extension Customer {
  var json: JSONValue { .object(JSONObject(members)) }

  fileprivate var members: [JSONObject.Member] {
    [
      .init(name: "customer_no", value: .text(customerNo)), .init(name: "type", value: .text(type)),
      .init(name: "customer_status", value: .string(status.rawValue)), .init(name: "level", value: .count(level)),
      .init(name: "name", value: .string(name)), .init(name: "language", value: .optional(language)),
      .init(name: "department", value: .optional(department)), .init(name: "manager", value: .optional(manager)),
      .init(name: "deleted", value: .bool(deleted)), .init(name: "merged_into", value: .optional(mergedInto)),
      .init(name: "version", value: .count(version)),
    ]
  }
  fileprivate static let schemaMembers: [Schema.Member] = [
    .required("customer_no", .string()), .required("type", .string()),
    .required("customer_status", .word(Status.allCases.map(\.rawValue))),
    .required("level", .integer(minimum: 1, maximum: 9), "1 is most important"), .required("name", .string()),
    .required("language", .nullable(.string()), "BCP 47"), .required("department", .nullable(.string())),
    .required("manager", .nullable(.string()), "The agent who looks after this customer"),
    .required("deleted", .boolean, "Customers are never removed"), .required("merged_into", .nullable(.string())),
    .required("version", .integer(minimum: 1)),
  ]
  static let schema = Schema.named("Customer", .object(.init(members: schemaMembers, closed: false)))
}

extension ContactPoint {
  var json: JSONValue {
    [
      "kind": .string(address.kind.rawValue), "canonical": .string(address.canonical), "raw": .string(address.raw),
      "state": .string(state.rawValue), "role": .string(role.rawValue), "verified_at": .optional(verifiedAt),
    ]
  }
  static let schema = Schema.named(
    "ContactPoint",
    .output(
      .required("kind", .word(Address.Kind.allCases.map(\.rawValue))), .required("canonical", .string()),
      .required("raw", .string()), .required("state", .word(State.allCases.map(\.rawValue))),
      .required("role", .word(Role.allCases.map(\.rawValue))),
      .required("verified_at", .nullable(.time), "When the holder proved it is his")))
  static let input = Schema.input(
    .required("kind", .word(Address.Kind.allCases.map(\.rawValue))),
    .required("value", .string(minimum: 1, maximum: 320)),
    .optional("role", .word(Role.allCases.map(\.rawValue))), .optional("verified_at", .nullable(.time)))
}

extension CustomerRecord {
  var json: JSONValue {
    .object(
      JSONObject(
        customer.members + [
          .init(name: "identity_no", value: .optional(identityNo)),
          .init(name: "birth_date", value: .optional(birthDate)),
          .init(name: "contact_points", value: .array(contactPoints.map(\.json))),
          .init(name: "accounts_no", value: .array(accounts.map(JSONValue.string))),
        ]))
  }
  static let schema = Schema.named(
    "CustomerRecord",
    .object(
      .init(
        members: Customer.schemaMembers + [
          .required("identity_no", .nullable(.string())), .required("birth_date", .nullable(.string())),
          .required("contact_points", .array(ContactPoint.schema)),
          .required("accounts_no", .array(.string()), "Accounts in force"),
        ], closed: false)))

  private static let inputMembers: [Schema.Member] = [
    .required("type", .string(minimum: 1, maximum: 64), "A customer type"),
    .required("name", .string(minimum: 1, maximum: 200)),
    .optional("customer_status", .word(Customer.Status.allCases.map(\.rawValue)), "active if not given"),
    .optional("level", .integer(minimum: 1, maximum: 9), "5 if not given"),
    .optional("language", .nullable(.string(maximum: 35))), .optional("identity_no", .nullable(.string(maximum: 64))),
    .optional("birth_date", .nullable(.string(minimum: 10, maximum: 10))),
    .optional("department", .nullable(.string(maximum: 64))), .optional("manager", .nullable(.string(maximum: 64))),
    .optional("deleted", .boolean), .optional("contact_points", .array(ContactPoint.input, maximum: 100), "Added"),
    .optional("accounts_no", .array(.string(minimum: 1, maximum: 64), maximum: 1_000), "Added"),
  ]
  static let input = Schema.object(.init(members: inputMembers, closed: true))
  static let bulkInput = Schema.object(
    .init(members: [.required("customer_no", .string(minimum: 1, maximum: 32))] + inputMembers, closed: true))

  /// From a body that is what `input` says; throws what else is wrong with it.
  init(_ number: CustomerNumber, body: JSONValue) throws(Problem) {
    var violations: [Violation] = []
    func fail(_ pointer: String, _ code: Violation.Code = .format) {
      violations.append(Violation(.body(pointer: pointer), code))
    }
    func code<Value: LosslessStringConvertible>(_ name: String) -> Value? {
      guard let text = body[name]?.string else { return nil }
      guard let value = Value(text) else {
        fail("#/\(name)")
        return nil
      }
      return value
    }
    let type: Code? = code("type")
    var points: [ContactPoint] = []
    for (index, item) in (body["contact_points"]?.array ?? []).enumerated() {
      guard let kind = item["kind"]?.string.flatMap(Address.Kind.init),
        let address = AddressForm.address(kind, item["value"]?.string ?? "")
      else {
        fail("#/contact_points/\(index)/value")
        continue
      }
      points.append(
        ContactPoint(
          address: address, role: item["role"]?.string.flatMap(ContactPoint.Role.init) ?? .own,
          verifiedAt: item["verified_at"]?.string.flatMap { Timestamp($0) }))
    }
    let identityNo = body["identity_no"]?.string.flatMap { NormalForm.number($0) }
    let birthDate = body["birth_date"]?.string
    if let birthDate, Timestamp("\(birthDate)T00:00:00Z") == nil { fail("#/birth_date") }
    let customer = Customer(
      customerNo: number, type: type ?? Code("retail")!,
      status: body["customer_status"]?.string.flatMap(Customer.Status.init) ?? .active,
      level: Int(body["level"]?.integer ?? 5), name: body["name"]?.string ?? "", language: body["language"]?.string,
      department: code("department"), manager: code("manager"), deleted: body["deleted"]?.bool ?? false)
    guard violations.isEmpty else { throw Problem(.invalidInput, violations: violations) }
    self.init(
      customer: customer, identityNo: identityNo, birthDate: birthDate, contactPoints: points,
      accounts: (body["accounts_no"]?.array ?? []).compactMap { $0.string.flatMap { NormalForm.number($0) } })
  }
}

extension WriteTransaction {
  /// Adds a customer or brings it up to date, after looking whether what it refers to is there; true if it is new.
  func upsertChecked(_ record: CustomerRecord, source: String, at time: Timestamp) throws -> Bool {
    let customer = record.customer
    if try !hasCustomerType(customer.type) { throw Problem.unknown("#/type") }
    if let department = customer.department, try !hasDepartment(department) { throw Problem.unknown("#/department") }
    if let manager = customer.manager, try agent(manager) == nil { throw Problem.unknown("#/manager") }
    return try upsert(record, nameFolded: NormalForm.name(customer.name), source: source, at: time)
  }
}

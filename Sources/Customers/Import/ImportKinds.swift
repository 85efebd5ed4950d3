import Channels
import ContactModel
import Store

/// The fields of one row, read into the bank's values; what cannot be read is the row's fault.
public struct ImportFields: Sendable {
  private let values: [String: String]
  init(_ values: [String: String]) { self.values = values.mapValues(\.trimmingBlanks) }

  public func text(_ column: String) -> String? { values[column].flatMap { $0.isEmpty ? nil : $0 } }
  public func required(_ column: String, maximum: Int = 200) throws -> String {
    guard let text = text(column) else { throw ImportFault(.missingValue, column) }
    guard text.count <= maximum, !text.utf8.contains(0) else { throw ImportFault(.badValue, column) }
    return text
  }
  public func parsed<Value: LosslessStringConvertible>(_ column: String) throws -> Value? {
    guard let text = text(column) else { return nil }
    guard let value = Value(text) else { throw ImportFault(.badValue, column) }
    return value
  }
  public func word<E: RawRepresentable<String>>(_ column: String) throws -> E? {
    guard let text = text(column) else { return nil }
    guard let value = E(rawValue: text.lowercased()) else { throw ImportFault(.badValue, column) }
    return value
  }
  public func needed<Value: LosslessStringConvertible>(_ column: String) throws -> Value {
    guard let value: Value = try parsed(column) else { throw ImportFault(.missingValue, column) }
    return value
  }
  /// RFC 3339, or a day.
  public func time(_ column: String) throws -> Timestamp? {
    guard let text = text(column) else { return nil }
    guard let time = Timestamp(text) ?? Timestamp("\(text)T00:00:00Z") else { throw ImportFault(.badValue, column) }
    return time
  }
  /// Several values, `;` or `|` between them.
  public func list(_ column: String) -> [String] {
    (text(column) ?? "").split(whereSeparator: { $0 == ";" || $0 == "|" }).map { String($0).trimmingBlanks }
      .filter { !$0.isEmpty }
  }
  func addresses(_ column: String, _ kind: Address.Kind) throws -> [ContactPoint] {
    try list(column).map { text in
      guard let address = AddressForm.address(kind, text) else { throw ImportFault(.badValue, column) }
      return ContactPoint(address: address)
    }
  }
}

extension Importer.Kind {
  /// Without these in the header the file is refused as a whole.
  var requiredColumns: [String] {
    switch self {
    case .customers: ["customer_no", "type", "name"]
    case .accounts: ["account_no", "customer_no", "business_system"]
    case .contactPoints: ["customer_no", "kind", "value"]
    case .groups: ["code", "customer_no"]
    case .relations: ["customer_no", "customer_no_r", "relation"]
    case .preferences: ["customer_no", "channel", "purpose", "verdict", "evidence_reference"]
    }
  }

  /// What may stand once in a file; nil where a row names nothing by itself.
  func key(of row: TableRow) -> String? {
    guard self == .customers, case .values(let values) = row.values else { return nil }
    return values["customer_no"]
  }

  /// What a row says, or its fault.
  func content(of row: TableRow) -> ImportRow.Content {
    switch row.values {
    case .fault(let fault): return .fault(fault)
    case .values(let values):
      let fields = ImportFields(values)
      guard self == .customers else { return .fields(fields) }
      do {
        let record = try Self.customer(fields)
        return .customer(record, nameFolded: NormalForm.name(record.customer.name))
      } catch {
        return .fault(error as? ImportFault ?? ImportFault(.badValue))
      }
    }
  }

  /// Brings one row in; true if it added something. A fault is thrown before anything is written.
  func apply(
    _ content: ImportRow.Content, _ transaction: WriteTransaction, _ references: ImportReferences,
    _ order: Importer.Order, _ time: Timestamp
  ) throws -> Bool {
    let (number, isNew): (CustomerNumber, Bool)
    switch content {
    case .fault(let fault): throw fault
    case .customer(let record, let nameFolded):
      number = record.customer.customerNo
      isNew = try apply(record, nameFolded, transaction, references, order, time)
    case .fields(let fields):
      number = try fields.needed("customer_no")
      isNew = try apply(fields, to: number, transaction, order, time)
    }
    try transaction.audit(
      AuditEntry(
        at: time, actor: order.actor.label, role: order.actor.role, act: "import.\(rawValue)",
        subject: number.description, customerNo: number))
    return isNew
  }

  private func apply(
    _ fields: ImportFields, to customer: CustomerNumber, _ transaction: WriteTransaction, _ order: Importer.Order,
    _ time: Timestamp
  ) throws -> Bool {
    let actor = order.actor
    let isNew: Bool
    guard let known = try transaction.customer(customer) else {
      throw ImportFault(.unknownReference, "customer_no")
    }
    if let departments = order.departments, let department = known.department, !departments.contains(department) {
      throw ImportFault(.unknownReference, "customer_no")
    }
    switch self {
    case .customers: throw ImportFault(.badValue)  // have their own form
    case .accounts:
      guard let account = NormalForm.number(try fields.required("account_no", maximum: 64)) else {
        throw ImportFault(.badValue, "account_no")
      }
      isNew = try !transaction.holders(ofAccount: account, limit: 100).contains(customer)
      try transaction.addAccount(
        account, of: customer, system: try fields.required("business_system", maximum: 64), at: time)
    case .contactPoints:
      guard let kind: Address.Kind = try fields.word("kind") else { throw ImportFault(.missingValue, "kind") }
      guard let address = AddressForm.address(kind, try fields.required("value", maximum: 320)) else {
        throw ImportFault(.badValue, "value")
      }
      let point = ContactPoint(
        address: address, state: try fields.word("state") ?? .ok, role: try fields.word("role") ?? .own,
        verifiedAt: try fields.time("verified_at"))
      isNew = try !transaction.holders(of: address, limit: 1_000).contains(customer)
      try transaction.add(point, to: customer, source: actor.label, at: time)
    case .groups:
      let code: Code = try fields.needed("code")
      guard let group = try transaction.group(code) else { throw ImportFault(.unknownReference, "code") }
      switch group.kind {
      case .entity: isNew = try transaction.addMember(customer, to: code, department: try fields.parsed("department"))
      case .time:
        let day = try fields.time("day") ?? time
        isNew = try transaction.addMember(customer, to: code, on: String(day.description.prefix(10)))
      case .concept: throw ImportFault(.badValue, "code")
      }
    case .relations:
      let other: CustomerNumber = try fields.needed("customer_no_r")
      guard other != customer else { throw ImportFault(.badValue, "customer_no_r") }
      guard try transaction.customer(other) != nil else { throw ImportFault(.unknownReference, "customer_no_r") }
      let relation = CustomerRelation(
        customerNo: customer, other: other, relation: try fields.needed("relation"),
        from: try fields.time("from") ?? time, to: try fields.time("to"))
      isNew = try !transaction.relations(of: customer).contains {
        $0.other == other && $0.relation == relation.relation
      }
      try transaction.upsert(relation)
    case .preferences: isNew = try applyPreference(customer, fields, transaction, actor, time)
    }
    return isNew
  }

  /// What another system of the bank knows a customer to have said. An import's word is the weakest: it can refuse, but
  /// takes back nothing he said to an agent or himself. The same row again adds nothing.
  private func applyPreference(
    _ customer: CustomerNumber, _ fields: ImportFields, _ transaction: WriteTransaction, _ actor: Actor,
    _ time: Timestamp
  ) throws -> Bool {
    func name(_ column: String) throws -> String? {
      let text = try fields.required(column, maximum: 64)
      if text == "*" { return nil }
      guard text.utf8.allSatisfy({ (0x61...0x7a).contains($0) || $0 == 0x5f || (0x30...0x39).contains($0) }) else {
        throw ImportFault(.badValue, column)
      }
      return text
    }
    guard let verdict: ChannelPreference.Verdict = try fields.word("verdict") else {
      throw ImportFault(.missingValue, "verdict")
    }
    let rank: Int = try fields.parsed("rank") ?? 1
    guard (1...9).contains(rank) else { throw ImportFault(.badValue, "rank") }
    let since = try fields.time("effective_at") ?? time
    guard since <= time else { throw ImportFault(.badValue, "effective_at") }
    let until = try fields.time("valid_until")
    if let until, until <= since { throw ImportFault(.badValue, "valid_until") }
    let preference = ChannelPreference(
      channel: try name("channel").map(OutboundChannel.init(rawValue:)),
      purpose: try name("purpose").map(Purpose.init(rawValue:)), verdict: verdict, rank: rank, effectiveAt: since,
      validUntil: until, source: .import)
    let reference = try fields.required("evidence_reference", maximum: 500)
    let isKnown = try transaction.preferenceRecords(of: customer).contains {
      $0.preference == preference && $0.evidence.reference == reference
    }
    if isKnown { return false }
    let evidence = ConsentEvidence(
      id: EvidenceID(at: time), kind: try fields.word("evidence_kind") ?? .paper, reference: reference,
      capturedAt: since,
      capturedBy: actor.label)
    try transaction.record(
      preference, id: PreferenceID(at: time), of: customer, evidence: evidence,
      policyVersion: fields.text("policy_version") ?? "import", actor: actor, at: time)
    return true
  }

  private static func customer(_ fields: ImportFields) throws -> CustomerRecord {
    let level: Int = try fields.parsed("level") ?? 5
    guard (1...9).contains(level) else { throw ImportFault(.badValue, "level") }
    let customer = Customer(
      customerNo: try fields.needed("customer_no"), type: try fields.needed("type"),
      status: try fields.word("status") ?? .active, level: level, name: try fields.required("name"),
      language: fields.text("language"), department: try fields.parsed("department"),
      manager: try fields.parsed("manager"))
    return CustomerRecord(
      customer: customer, identityNo: fields.text("identity_no").flatMap { NormalForm.number($0) },
      birthDate: try fields.time("birth_date").map { String($0.description.prefix(10)) },
      contactPoints: try fields.addresses("phone", .phone) + fields.addresses("email", .email)
        + fields.addresses("fax", .fax), accounts: fields.list("account").compactMap { NormalForm.number($0) })
  }

  private func apply(
    _ record: CustomerRecord, _ nameFolded: String, _ transaction: WriteTransaction, _ references: ImportReferences,
    _ order: Importer.Order, _ time: Timestamp
  ) throws -> Bool {
    let customer = record.customer
    if let departments = order.departments {
      if let department = try transaction.customer(customer.customerNo)?.department, !departments.contains(department) {
        throw ImportFault(.unknownReference, "customer_no")
      }
      if let department = customer.department, !departments.contains(department) {
        throw ImportFault(.unknownReference, "department")
      }
    }
    guard try references.hasType(customer.type) else { throw ImportFault(.unknownReference, "type") }
    if let department = customer.department, try !references.hasDepartment(department) {
      throw ImportFault(.unknownReference, "department")
    }
    if let manager = customer.manager, try !references.hasAgent(manager) {
      throw ImportFault(.unknownReference, "manager")
    }
    return try transaction.upsert(record, nameFolded: nameFolded, source: order.actor.label, at: time)
  }
}

import API
import Channels
import ContactModel
import Customers
import Desk
import Foundation
import Intake
import Logging
import PostgresForTests
import Store
import Synchronization

/// A store with a few people in it, intake and desk at work, and the API's resources over it: everything of a daemon
/// but its channels.
struct Bank: Sendable {
  var database: Database
  var bodies: BodyStore
  var intake: Intake
  var desk: Desk
  var hub: StreamHub
  var bridge: Observation
  var tokens: TokenLookup
  var reprocessed = Shared<[(ArrivalID, [UInt8]?)]>([])

  static let form = ContactChannel(kind: .webform, name: "forms")
  static let now: @Sendable () -> Timestamp = { testTime + .seconds(60) }

  /// Runs `body` beside intake and desk, then ends them.
  static func open<T: Sendable>(
    on url: StoreURL? = nil, _ body: @Sendable @escaping (Bank) async throws -> T
  ) async throws -> T {
    let folder = try temporaryFolder()
    let database = try Database.open(
      try url ?? StoreURL(folder.path + "/store.db"), migrations: migrations, now: testTime)
    let bodies = try BodyStore(directory: folder.path + "/bodies")
    let quiet = Logger(label: "bank") { _ in SwiftLogNoOpLogHandler() }
    let categories = [
      Category(
        code: Code("complaint")!, nameZh: "投诉", nameEn: "Complaint", queue: Code("complaints")!, severity: 2,
        urgency: 2, respondWithinMinutes: 120, keywords: ["投诉"]),
      Category(
        code: Code("consultation")!, nameZh: "咨询", nameEn: "Consultation", queue: Code("general")!, severity: 4,
        urgency: 3, respondWithinMinutes: 480, keywords: []),
    ]
    let parameters = IntakeParameters(categories: categories, defaultCategory: Code("consultation")!, version: 1)
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      try transaction.upsertQueue(Code("complaints")!, nameZh: "投诉", nameEn: "Complaints")
      for (number, queues) in [("1001", ["general", "complaints"]), ("1002", ["general"]), ("1003", [])] {
        try transaction.upsert(
          Agent(
            id: AgentID(number)!, name: "Agent \(number)", queues: queues.map { Code($0)! }, state: .ready,
            stateSince: testTime), at: testTime)
      }
      for category in categories {
        _ = try transaction.applyParameter(
          kind: "category", code: category.code.description, body: try JSONText.encode(category),
          digest: category.code.description, retired: false, effectiveAt: testTime, actor: .liaison, at: testTime)
      }
      try transaction.upsert(
        CustomerRecord(
          customer: Customer(
            customerNo: CustomerNumber("C100")!, type: Code("retail")!, level: 2, name: "王小明"),
          identityNo: "11010519491231002X", birthDate: "1949-12-31",
          contactPoints: [ContactPoint(address: Bank.mobile)], accounts: ["6217000010001234567"]),
        nameFolded: NormalForm.name("王小明"), source: "core", at: testTime)
      try transaction.upsert(
        CustomerRecord(
          customer: Customer(customerNo: CustomerNumber("C200")!, type: Code("corporate")!, name: "Canary Ltd")),
        nameFolded: NormalForm.name("Canary Ltd"), source: "core", at: testTime)
      for (text, role, agent) in Bank.people {
        try transaction.add(
          AccessGrant(
            label: text, role: AccessGrant.Role(rawValue: role)!, agentId: agent.flatMap { AgentID($0) }),
          tokenHash: Bank.token(text).digest.description, at: testTime)
      }
    }
    let hub = StreamHub()
    let bridge = EventBridge(hub: hub)
    let bank = Bank(
      database: database, bodies: bodies,
      intake: Intake(
        database: database, bodies: bodies, parameters: { parameters },
        reference: { id, _ in "REF-\(id.description.suffix(6))" },
        now: now, logger: quiet),
      desk: Desk(database: database, now: now, logger: quiet), hub: hub,
      bridge: database.observe { bridge.publish($0) }, tokens: TokenLookup(database: database, now: now))
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await bank.intake.run() }
      group.addTask { await bank.desk.run() }
      do {
        let value = try await body(bank)
        bank.intake.beginDrain()
        bank.desk.beginDrain()
        group.cancelAll()
        try await group.waitForAll()
        await database.close()
        return value
      } catch {
        bank.intake.beginDrain()
        bank.desk.beginDrain()
        group.cancelAll()
        throw error
      }
    }
  }

  static let mobile = Address(kind: .phone, canonical: "+8613812345678", raw: "13812345678")
  static let people: [(String, String, String?)] = [
    ("agent-1001", "agent", "1001"), ("agent-1002", "agent", "1002"), ("agent-1003", "agent", "1003"),
    ("chief", "supervisor", nil), ("crm", "integration", nil), ("market", "marketing", nil), ("audit", "auditor", nil),
    ("root", "admin", nil),
  ]
  /// The same for the same person in every test.
  static func token(_ label: String) -> AccessToken {
    var generator = Seeded(state: UInt64(truncatingIfNeeded: label.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) }))
    return AccessToken(using: &generator)
  }
  private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state
    }
  }

  var deskResources: DeskResources { DeskResources(database: database, hub: hub, now: Bank.now) }
  var operatorResources: OperatorResources {
    OperatorResources(
      database: database, hub: hub, bodies: bodies, tokens: tokens,
      actions: .init(
        channels: { [(Bank.form, Health(state: .up, since: testTime))] },
        reprocess: { id, mended, actor in
          reprocessed.withLock { $0.append((id, mended)) }
          return try await database.write {
            try $0.release(id, mended: mended, payload: nil, by: actor.label, at: Bank.now())
          }
        },
        apply: { documents, _, _ in
          documents.map { ParameterChange(kind: "form", code: $0.name, version: 1, change: .added) }
        }),
      startedAt: testTime, version: "test")
  }
  var site: Site {
    let routes = deskResources.routes + operatorResources.routes
    return Site(
      routes: routes + [Description.serving(version: "1.0", routes: routes)],
      authentication: .bearer(lookup: tokens.record), clock: Bank.now)
  }

  /// A form that arrives and is shown: waits until it was offered.
  @discardableResult
  func arrive(
    _ text: String, from: Address = Bank.mobile, category: String? = "complaint", wireKey: String? = nil
  ) async throws -> (arrival: ArrivalID, pop: EventRecord) {
    let pops = database.subscribe(to: EventRecord.self)
    var claims = [Claim(.phone, from.raw, source: .field)]
    claims.append(Claim(.name, "王小明", source: .field))
    let message = InboundMessage(
      subject: String(text.prefix(40)), text: text, language: "zh", claims: claims, categoryCode: category)
    let arrival = Arrival(
      channel: Bank.form, wireKey: wireKey ?? UUID().uuidString, from: from,
      to: Address(kind: .other, canonical: "form", raw: "form"), receivedAt: Bank.now(), payload: .message(message),
      raw: Array(text.utf8))
    guard case .stored(let id) = await intake.accept(arrival) else { throw HarnessError.timedOut }
    return try await within(.seconds(20)) {
      for await element in pops {
        guard case .value(let event) = element, event.type == .popOffered, let contact = event.contact else { continue }
        let arrival = try await database.read { try $0.contact(contact)?.arrival }
        if arrival == id { return (id, event) }
      }
      throw HarnessError.timedOut
    }
  }
}

/// A value that several tasks of a test look at.
final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  func withLock<R: Sendable>(_ body: (inout Value) throws -> R) rethrows -> R {
    try value.withLock { value in
      var copy = value
      let result = try body(&copy)
      value = copy
      return result
    }
  }
}

extension Served {
  /// As one of `Bank.people`.
  func `as`(_ who: String, _ method: String, _ path: String, _ fields: [String: String] = [:], body: JSONValue? = nil)
    async throws -> Answer
  {
    try await send(
      method, path,
      headers: [("Authorization", "Bearer \(Bank.token(who).text)")] + fields.map { ($0.key, $0.value) },
      body: body.map { String(decoding: $0.encoded, as: UTF8.self) })
  }
}

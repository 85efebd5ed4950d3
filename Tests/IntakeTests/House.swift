import Channels
import ContactModel
import Foundation
import Intake
import Logging
import Store
import Synchronization

/// A real SQLite store in a directory of its own, with the categories of a small bank, and an intake on it.
final class House: Sendable {
  static let start = Timestamp(seconds: 1_790_000_000)
  static let categories: [ContactModel.Category] = [
    category("consultation", severity: 4, ["咨询", "利率", "question"]),
    category("complaint", severity: 2, ["投诉", "态度差", "complaint"]),
    category("declaration", severity: 1, ["挂失", "盗刷", "stolen"]),
  ]
  static let parameters = IntakeParameters(categories: categories, defaultCategory: Code("consultation")!, version: 3)
  static let channel = ContactChannel(kind: .webform, name: "web")

  let database: Database
  let bodies: BodyStore
  let directory: String
  private let clock: Mutex<Timestamp>

  init(_ set: (inout Database.Options) -> Void = { _ in }) async throws {
    directory = NSTemporaryDirectory() + "liaison-intake-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    var options = Database.Options()
    options.readers = 2
    set(&options)
    database = try Database.open(
      StoreURL("sqlite://\(directory)/liaison.db"), migrations: migrations, options: options, now: Self.start)
    bodies = try BodyStore(directory: directory + "/bodies")
    clock = Mutex(Self.start)
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      try transaction.upsert(
        Agent(
          id: AgentID("1001")!, name: "李静", queues: [Code("general")!], state: .ready, stateSince: House.start),
        at: House.start)
      try transaction.upsert(
        CustomerRecord(
          customer: Customer(customerNo: CustomerNumber("7001")!, type: Code("retail")!, name: "王伟"),
          contactPoints: [
            ContactPoint(address: Address(kind: .phone, canonical: "+8610017001001", raw: "+8610017001001"))
          ]), nameFolded: "王伟", source: "test", at: House.start)
    }
  }

  /// Each call a millisecond later.
  var now: Timestamp {
    clock.withLock { clock in
      clock = clock + .milliseconds(1)
      return clock
    }
  }

  func intake(
    parameters: IntakeParameters = House.parameters, _ set: (inout Intake.Options) -> Void = { _ in }
  ) -> Intake {
    var options = Intake.Options()
    set(&options)
    return Intake(
      database: database, bodies: bodies, parameters: { parameters },
      reference: { id, _ in "R-\(id.description.suffix(10).uppercased())" }, now: { self.now }, options: options,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// Runs the intake until `body` has returned, then drains it.
  func running<Value: Sendable>(_ intake: Intake, _ body: @Sendable () async throws -> Value) async throws -> Value {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await intake.run() }
      do {
        let value = try await body()
        intake.beginDrain()
        try await group.waitForAll()
        return value
      } catch {
        intake.beginDrain()
        throw error
      }
    }
  }

  func arrival(
    _ text: String, key: String? = nil, from: String? = nil, subject: String? = nil, category: String? = nil,
    thread: InboundMessage.Thread = .init(), claims: [Claim] = [], automatic: Bool = false,
    attachments: [InboundMessage.Attachment] = [], waitingSince: Timestamp? = nil
  ) -> Arrival {
    Arrival(
      channel: Self.channel, wireKey: key, from: from.map { Address(kind: .phone, canonical: $0, raw: $0) }, to: nil,
      receivedAt: now, waitingSince: waitingSince,
      payload: .message(
        InboundMessage(
          subject: subject, text: text, attachments: attachments, claims: claims, thread: thread,
          categoryCode: category, isAutomatic: automatic)), raw: Array(text.utf8))
  }

  /// Waits until `condition` holds in the store; looks again at each commit, and throws after ten seconds.
  func until(
    _ what: String, _ condition: @escaping @Sendable (any Connection) throws -> Bool
  ) async throws {
    let (commits, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let observation = database.observe { _ in continuation.yield() }
    defer { observation.cancel() }
    continuation.yield()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [database] in
        for await _ in commits where try await database.read(.live, { try condition($0) }) { return }
      }
      group.addTask {
        try await Task.sleep(for: .seconds(10))
        throw Late(what: what)
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  func routed(_ count: Int) async throws {
    try await until("\(count) arrivals routed") {
      try $0.one("SELECT count(*) AS n FROM arrival WHERE state = 'routed'", []).int("n") == count
    }
  }

  func contact(of id: ArrivalID) async throws -> (contact: Contact, request: ServiceRequest)? {
    try await database.read { connection in
      guard
        let row = try connection.first("SELECT contact_id FROM contact WHERE arrival_id = $1", [.text(id.description)])
      else { return nil }
      guard let contact = ContactID(try row.text("contact_id")), let found = try connection.contact(contact),
        let request = try connection.requests(of: contact).first
      else {
        return nil
      }
      return (found, request)
    }
  }

  func ledger() async throws -> LedgerLine? { try await database.read { try $0.ledger(since: nil).first } }

  func close() async {
    await database.close()
    // In the temporary directory anyway.
    try? FileManager.default.removeItem(atPath: directory)
  }
}

struct Late: Error, CustomStringConvertible {
  var what: String
  var description: String { "not within ten seconds: \(what)" }
}

private func category(_ code: String, severity: Int, _ keywords: [String]) -> ContactModel.Category {
  ContactModel.Category(
    code: Code(code)!, nameZh: code, nameEn: code, queue: Code("general")!, severity: severity, urgency: 2,
    respondWithinMinutes: 60, keywords: keywords)
}

import Channels
import ContactModel
import Foundation
import Logging
import Outbound
import PostgresForTests
import Store
import Synchronization

/// The two databases; what needs a store is tested on each that is here.
enum Engine: String, CaseIterable, Sendable {
  case sqlite, postgres
  static let here: [Engine] = LocalPostgres.isAvailable ? [.sqlite, .postgres] : [.sqlite]

  func freshURL() throws -> StoreURL {
    switch self {
    case .sqlite:
      let folder = NSTemporaryDirectory() + "liaison-outbound-" + UUID().uuidString
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      return try StoreURL(folder + "/store.db")
    case .postgres: return try StoreURL(LocalPostgres.running().freshURL())
    }
  }
}

/// A peer that answers as told, for faults no real peer shows on demand. Remembers what reached it.
final class ScriptedAdapter: ChannelAdapter {
  let channel: ContactChannel
  let capabilities: Capabilities
  private let script: @Sendable (Dispatch) async -> Submission
  private let answer: @Sendable (Dispatch) -> Submission
  private let received = Mutex<[Dispatch]>([])

  init(
    _ kind: ChannelKind, answersInquiry: Bool = false,
    script: @escaping @Sendable (Dispatch) async -> Submission = { _ in
      .accepted(Receipt(peerID: nil, at: Bank.start))
    },
    inquire answer: @escaping @Sendable (Dispatch) -> Submission = { _ in .inDoubt(Fault(.unsupported, text: "")) }
  ) {
    channel = ContactChannel(kind: kind, name: "test-\(kind)")
    capabilities = Capabilities(
      abilities: [.submits], maximumArrivalBytes: 1_000, reportsDelivery: true, answersInquiry: answersInquiry)
    self.script = script
    self.answer = answer
  }

  var dispatches: [Dispatch] { received.withLock { $0 } }

  func run(accept: @escaping Accept) async throws {}
  func wireIdentity(of attempt: AttemptID) -> String { "<\(attempt)@test>" }
  func submit(_ dispatch: Dispatch) async -> Submission {
    received.withLock { $0.append(dispatch) }
    return await script(dispatch)
  }
  func inquire(about dispatch: Dispatch) async -> Submission { answer(dispatch) }
  var health: Health { get async { Health(state: .up, since: Bank.start) } }
  func beginDrain() {}
}

/// A store with one customer, a clock that is set by hand, and a dispatcher over scripted peers.
final class Bank: Sendable {
  /// 10 March 2026, 10:00 in Shanghai, a Tuesday.
  static let start = Timestamp("2026-03-10T10:00:00+08:00")!
  static let customer = CustomerNumber("C1")!
  static let phone = Address(kind: .phone, canonical: "+8613800000001", raw: "13800000001")
  static let mail = Address(kind: .email, canonical: "a@example.com", raw: "a@example.com")

  let database: Database
  let dispatcher: Dispatcher

  init(
    _ engine: Engine, at url: StoreURL? = nil, sms: ScriptedAdapter, email: ScriptedAdapter? = nil, window: Int = 10
  ) async throws {
    database = try Database.open(url ?? engine.freshURL(), migrations: migrations, now: Bank.start)
    let profile = try Shipped.profile()
    let clock = Clock()
    var links = [OutboundLink(channel: .sms, adapter: sms, window: window, memory: .seconds(3_600))]
    if let email { links.append(OutboundLink(channel: .email, adapter: email)) }
    dispatcher = Dispatcher(
      database: database, links: links, zones: Shipped.zones, profile: { profile }, clock: { clock.now },
      logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    self.clock = clock
    try await database.write { transaction in
      let record = CustomerRecord(
        customer: Customer(customerNo: Bank.customer, type: Code("retail")!, name: "王小明"),
        contactPoints: [
          ContactPoint(address: Bank.phone, verifiedAt: Bank.start),
          ContactPoint(address: Bank.mail, verifiedAt: Bank.start),
        ])
      try transaction.upsert(record, nameFolded: "王小明", source: "test", at: Bank.start)
    }
  }

  /// Time as the tests set it.
  final class Clock: Sendable {
    private let time = Mutex(Bank.start)
    var now: Timestamp { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }
  }
  let clock: Clock

  @discardableResult
  func plan(
    _ key: String, purpose: Purpose = .service, channels: [OutboundChannel] = [.sms], repeatable: Bool = false,
    notAfter: Timestamp? = nil
  ) async throws -> ProactiveJobID {
    let now = clock.now
    var contents: [String: Dispatch.Content] = [:]
    for channel in channels { contents[channel.rawValue] = Dispatch.Content(text: "Hello by \(channel)") }
    let job = ProactiveJob(
      id: ProactiveJobID(at: now), customerNo: Bank.customer, key: key, purpose: purpose, contents: contents,
      repeatable: repeatable, due: now, notAfter: notAfter, createdBy: "test", createdAt: now)
    return try await database.write { try $0.plan(job, actor: .liaison, at: now).job.id }
  }

  func job(_ id: ProactiveJobID) async throws -> ProactiveJob {
    let found = try await database.read { try $0.proactiveJob(id) }
    guard let job = found else { throw DatabaseError(.other, "no job") }
    return job
  }

  func attempts(_ id: ProactiveJobID) async throws -> [AttemptRecord] {
    try await database.read { try $0.attempts(of: id) }
  }

  func evidence() -> ConsentEvidence {
    ConsentEvidence(
      id: EvidenceID(at: clock.now), kind: .sms, reference: "arrival_1", capturedAt: clock.now, capturedBy: "liaison")
  }

  /// Settles rounds until nothing more is to be done now.
  func settle() async throws {
    for _ in 0..<20 where try await dispatcher.round() > 0 {}
  }
}

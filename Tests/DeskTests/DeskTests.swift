import Channels
import ContactModel
import Desk
import Foundation
import Logging
import Store
import Testing

@Suite struct DeskTests {
  @Test func `a contact is shown once to its queue, also when several desks and starts look for it`() async throws {
    let house = try await DeskHouse()
    let contact = try await house.route("请问利率")
    for _ in 0..<2 {
      try await house.running(house.desk()) { try await house.offers(1) }
    }
    let events = try await house.pops()
    #expect(events.count == 1)
    #expect(events[0].type == .popOffered && events[0].queue?.description == "general" && events[0].agent == nil)
    #expect(events[0].contact == contact)
    await house.close()
  }

  @Test func `what waited unseen is shown at the start, and what comes later as it comes`() async throws {
    let house = try await DeskHouse()
    for number in 0..<250 { _ = try await house.route("排队 \(number)") }
    try await house.running(house.desk()) {
      try await house.offers(250)
      for number in 0..<50 { _ = try await house.route("后来 \(number)") }
      try await house.offers(300)
    }
    #expect(Set(try await house.pops().compactMap(\.contact)).count == 300)
    await house.close()
  }

  @Test func `a contact that joins a request somebody owns goes to him alone`() async throws {
    let house = try await DeskHouse()
    let first = try await house.route("请问利率")
    try await house.running(house.desk()) {
      try await house.offers(1)
      let request = try await house.request(of: first)
      _ = try await house.database.write {
        try $0.take(
          request.id, by: AgentID("1001")!, ifVersion: nil, actor: .liaison, at: DeskHouse.start)
      }
      let second = try await house.route("还有", joining: request.id)
      try await house.until("a pop for the owner") { connection in
        try connection.one(
          """
          SELECT count(*) AS n FROM event WHERE event_type = 'pop.updated' AND agent_id = '1001' AND contact_id = $1
          """, [.text(second.description)]
        ).int("n") == 1
      }
    }
    await house.close()
  }

  struct Text: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var unit: String
  }
  @Test(arguments: [
    Text(testDescription: "Chinese", unit: "投诉"), Text(testDescription: "control characters", unit: "\u{1}\u{2}"),
    Text(testDescription: "quotation marks", unit: "\"\\"), Text(testDescription: "emoji", unit: "👩‍👩‍👧‍👦"),
    Text(testDescription: "one endless character", unit: "\u{301}"),
  ])
  func `a pop is at most 16 KiB, whatever was written, and says that it was cut`(_ text: Text) async throws {
    let house = try await DeskHouse()
    let long = "字" + String(repeating: text.unit, count: 20_000)
    var last: ContactID?
    for _ in 0..<8 { last = try await house.route(long, customer: true) }
    let contact = try #require(last)
    let request = try await house.request(of: contact)
    try await house.database.write { transaction in
      for _ in 0..<6 {
        _ = try transaction.note(long, on: request.id, contact: nil, actor: .liaison, at: DeskHouse.start)
      }
    }
    try await house.running(house.desk()) { try await house.offers(8) }
    for event in try await house.pops() {
      #expect(event.body.utf8.count <= 16_384)
      let pop = try JSONText.decode(ScreenPop.self, from: event.body)
      #expect(pop.contact.contentCut && !pop.contact.content.utf8.elementsEqual(long.utf8))
      #expect(pop.customer?.customerNo.description == "7001")
      #expect(pop.openRequests.count <= 5 && pop.lastContacts.count <= 5)
    }
    await house.close()
  }

  @Test func `a short contact is shown whole`() async throws {
    let house = try await DeskHouse()
    let contact = try await house.route("请问三年期定期存款的利率？", customer: true)
    let pop = try #require(try await house.database.read { try $0.screenPop(of: contact) })
    #expect(pop.contact.content == "请问三年期定期存款的利率？" && !pop.contact.contentCut)
    #expect(pop.customer?.name == "王伟" && pop.tieZone == .fuzzy)
    #expect(pop.allowedActions.contains("take") && pop.allowedActions.contains("confirm_customer"))
    #expect(pop.nextDeadline != nil)
    await house.close()
  }
}

/// A real store with one agent and one customer, and arrivals routed into it as Intake does.
final class DeskHouse: Sendable {
  static let start = Timestamp(seconds: 1_790_000_000)
  let database: Database
  private let directory: String

  init() async throws {
    directory = NSTemporaryDirectory() + "liaison-desk-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    var options = Database.Options()
    options.readers = 2
    database = try Database.open(
      StoreURL("sqlite://\(directory)/liaison.db"), migrations: migrations, options: options, now: Self.start)
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      try transaction.upsert(
        Agent(
          id: AgentID("1001")!, name: "李静", queues: [Code("general")!], state: .ready, stateSince: DeskHouse.start),
        at: DeskHouse.start)
      try transaction.upsert(
        CustomerRecord(customer: Customer(customerNo: CustomerNumber("7001")!, type: Code("retail")!, name: "王伟")),
        nameFolded: "王伟", source: "test", at: DeskHouse.start)
    }
  }

  func desk() -> Desk {
    Desk(database: database, now: { DeskHouse.start }, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  func running(_ desk: Desk, _ body: @Sendable () async throws -> Void) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await desk.run() }
      defer { desk.beginDrain() }
      try await body()
      desk.beginDrain()
      try await group.waitForAll()
    }
  }

  func route(_ text: String, customer: Bool = false, joining: ServiceRequestID? = nil) async throws -> ContactID {
    let time = Self.start
    let number = customer ? CustomerNumber("7001")! : nil
    let channel = ContactChannel(kind: .webform, name: "web")
    let (arrival, contact) = (ArrivalID(at: time), ContactID(at: time))
    let decision = IdentityDecision(
      decisionId: DecisionID(at: time), at: time, act: .tie, contactId: contact, zone: customer ? .fuzzy : .unsatisfied,
      customerNo: number, scoreBits: 0, hi: 10, lo: -3, priorBits: 0, weightVersion: "tie-1", normVersion: "norm-1",
      candidates: [], terms: [], missing: [], decidedBy: .rule, reason: text)
    let request = ServiceRequest(
      id: ServiceRequestID(at: time), reference: nil, customerNo: number, start: time, summary: text, content: text,
      status: .open, severity: 3, urgency: 3, category: Code("consultation")!, queue: Code("general")!,
      nextDeadline: time + .seconds(60), channel: channel)
    let routing = Routing(
      arrival: arrival,
      contact: Contact(
        id: contact, customerNo: number, channel: channel, direction: .inbound, initiation: .inbound,
        from: Address(kind: .other, canonical: text, raw: text), to: nil, summary: text, content: text,
        category: Code("consultation")!, queue: Code("general")!,
        identity: IdentityTie(zone: decision.zone, decision: decision.decisionId), arrival: arrival,
        times: .init(received: time, stored: time)),
      request: joining.map { .joins($0, why: "test", deadline: time + .seconds(60)) } ?? .opens(request),
      identity: decision,
      classification: .init(category: Code("consultation")!, by: "default", candidates: [:], parameterVersion: 1),
      consents: [], messageIDs: [], detail: "{}")
    try await database.write { transaction in
      _ = try transaction.keep(
        KeptArrival(
          id: arrival, channel: channel, wireKey: nil, reference: nil, from: nil, to: nil, receivedAt: time,
          storedAt: time, late: false, payload: .message(InboundMessage(text: "x")), raw: .inline([]), attachments: []))
      _ = try transaction.route(routing, at: time)
    }
    return contact
  }

  func request(of contact: ContactID) async throws -> ServiceRequest {
    let found = try await database.read { try $0.requests(of: contact).first }
    return try #require(found)
  }

  func pops() async throws -> [EventRecord] {
    try await database.read {
      try $0.events(after: 0, for: .everything, limit: 10_000).filter(\.type.isPop)
    }
  }

  func offers(_ count: Int) async throws {
    try await until("\(count) pops") {
      try $0.one("SELECT count(*) AS n FROM event WHERE event_type IN ('pop.offered', 'pop.updated')").int("n") == count
    }
  }

  func until(_ what: String, _ condition: @escaping @Sendable (any Connection) throws -> Bool) async throws {
    let (commits, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let observation = database.observe { _ in continuation.yield() }
    defer { observation.cancel() }
    continuation.yield()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [database] in
        for await _ in commits where try await database.read(.live, { try condition($0) }) { return }
      }
      group.addTask {
        try await Task.sleep(for: .seconds(20))
        throw Late(what: what)
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }

  func close() async {
    await database.close()
    // In the temporary directory anyway.
    try? FileManager.default.removeItem(atPath: directory)
  }
}

struct Late: Error, CustomStringConvertible {
  var what: String
  var description: String { "not in time: \(what)" }
}

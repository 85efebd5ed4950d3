import Channels
import ContactModel
import Desk
import Foundation
import Intake
import Logging
import Store
import Telephony
import Testing

/// Recorded sessions of a real switch, beside the adapter's own tests.
let callFixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().appendingPathComponent("adapters/telephony/Tests/Fixtures")

let callSessions: [String] = {
  // A folder that is not there has no files, and the tests that need them say so.
  let found = (try? FileManager.default.contentsOfDirectory(atPath: callFixtures.path + "/laboratory")) ?? []
  return found.filter { $0.hasSuffix(".calls.ndjson") }.map { String($0.dropLast(13)) }.sorted()
}()

func inspectSession(_ name: String, server: String = "main") throws -> TelephonyInspection {
  var inspection = TelephonyInspection(server: server)
  let files = try FileManager.default.contentsOfDirectory(atPath: callFixtures.path + "/laboratory").sorted()
  for file in files where file == "\(name).ami" || file.hasPrefix("\(name)-") && file.hasSuffix(".ami") {
    inspection.add(Array(try Data(contentsOf: callFixtures.appendingPathComponent("laboratory/\(file)"))))
  }
  _ = inspection.lines()
  return inspection
}

/// A house whose agents sit at the telephones of the recorded sessions, with calls on screens.
final class CallHouse: Sendable {
  static let start = House.start
  let house: House
  let intake: Intake
  var database: Database { house.database }
  var now: Timestamp { house.now }

  init(categories: [ContactModel.Category] = House.categories) async throws {
    house = try await House()
    intake = Self.intake(house, categories)
    try await database.write { transaction in
      for number in ["1001", "1002", "1003", "2001", "2002"] {
        try transaction.upsert(
          Agent(
            id: AgentID(number)!, name: number, device: "PJSIP/\(number)", queues: [Code("general")!], state: .ready,
            stateSince: House.start), at: House.start)
      }
    }
  }
  private init(_ house: House) {
    self.house = house
    intake = Self.intake(house, House.categories)
  }

  /// The same store, and an intake that knows nothing.
  func restarted() -> CallHouse { CallHouse(house) }

  private static func intake(_ house: House, _ categories: [ContactModel.Category]) -> Intake {
    Intake(
      database: house.database, bodies: house.bodies,
      parameters: { IntakeParameters(categories: categories, defaultCategory: Code("consultation")!, version: 3) },
      reference: { _, _ in nil }, show: { try Desk.show($0, in: $1) }, now: { house.now },
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  func arrival(_ event: CallEvent) -> Arrival {
    Arrival(
      channel: CallTests.channel, wireKey: nil, from: event.call.caller, to: event.call.dialled, receivedAt: now,
      payload: .call(event), raw: Array("Event: Recorded".utf8))
  }

  func take(_ event: CallEvent) async throws {
    let kept = await intake.accept(arrival(event))
    guard case .stored(let id) = kept else {
      Issue.record("\(kept)")
      return
    }
    let state = try await database.read { try $0.arrival(id)?.state }
    #expect(state == "routed")
  }

  /// A customer's call that waits in a queue and rings 1001.
  func call(_ id: String, from number: String?, keyed: String? = nil, rings: Bool = true) -> CallEvent {
    let at = Timestamp(seconds: House.start.seconds + 100)
    var state = CallState(
      server: "main", callID: id, direction: .inbound,
      caller: number.map { Address(kind: .phone, canonical: $0, raw: $0) }, customerNo: keyed, queue: "general",
      created: at, queued: at)
    if rings {
      state.offers = [.init(device: "PJSIP/1001", at: at)]
      state.legs = [.init(device: "PJSIP/1001", state: .ringing, from: at)]
    }
    return CallEvent(change: rings ? .offered : .queued, device: rings ? "PJSIP/1001" : nil, at: at, call: state)
  }

  func contacts() async throws -> [Contact] {
    try await database.read { try $0.contacts(matching: ContactFilter(), after: nil, limit: 500) }
  }
  func requests() async throws -> [ServiceRequest] {
    try await database.read { connection in
      var out: [ServiceRequest] = []
      for row in try connection.query("SELECT request_id FROM service_request ORDER BY request_id", []) {
        let id: ServiceRequestID = try row.parsed("request_id")
        if let request = try connection.serviceRequest(id) { out.append(request) }
      }
      return out
    }
  }
  func pops() async throws -> [EventRecord] {
    try await database.read { try $0.events(after: 0, for: .everything, limit: 10_000) }.filter {
      $0.type.rawValue.hasPrefix("pop.")
    }
  }

  /// The store says of each call what the adapter last said: customers' calls as contacts, the bank's own as calls.
  func expectCalls(_ states: [CallState]) async throws {
    let contacts = try await contacts()
    let customers = states.filter { $0.direction != .internal }
    #expect(Set(contacts.compactMap(\.providerID)) == Set(customers.map { "main/\($0.callID)" }))
    #expect(contacts.count == customers.count)
    for state in states {
      let kept = try #require(try await database.read { try $0.keptCall(state.callID, on: "main") })
      #expect(kept.isOpen == (state.ended == nil) && (kept.contact == nil) == (state.direction == .internal))
      #expect(try CallRecord(kept.state(), answerQueue: nil).course == CallRecord(state, answerQueue: nil).course)
      guard let id = kept.contact, let contact = contacts.first(where: { $0.id == id }) else { continue }
      #expect(contact.state == .closed && contact.disposition == state.disposition)
      #expect(contact.endedBy == state.endedBy && contact.answered == (state.connected != nil))
      #expect(contact.direction == (state.direction == .outbound ? .outbound : .inbound))
      let legs = try await database.read { try $0.legs(of: id) }
      #expect(legs.map { "\($0.device) \($0.state)" } == state.legs.map { "\($0.device) \($0.state.rawValue)" })
      #expect(legs.allSatisfy { $0.to != nil })
    }
  }

  func running<Value: Sendable>(_ intake: Intake, _ body: @Sendable () async throws -> Value) async throws -> Value {
    try await house.running(intake, body)
  }
  func until(_ what: String, _ condition: @escaping @Sendable (any Connection) throws -> Bool) async throws {
    try await house.until(what, condition)
  }
  func close() async { await house.close() }
}

extension CallRecord {
  /// Without times, which the store keeps to the millisecond.
  fileprivate var course: String {
    let transfers = transfers.map { "\($0.type) \($0.by) \($0.to)" }
    let holds = holds.map(\.by)
    return
      "\(direction) \(caller ?? "") \(customer ?? "") \(did ?? "") \(customerNo ?? "") \(queue ?? "") \(offers) \(agents) "
      + "\(transfers) \(holds) \(disposition ?? "") \(endedBy ?? "") \(job ?? "") \(recordings.count)"
  }
}

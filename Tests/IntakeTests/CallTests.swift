import Channels
import ContactModel
import Desk
import Foundation
import Intake
import Logging
import Store
import Telephony
import Testing

@Suite struct CallTests {
  static let channel = ContactChannel(kind: .telephony, name: "calls")

  @Test(arguments: callSessions)
  func `each customer's call of a session is one contact, and its course is kept`(name: String) async throws {
    let house = try await CallHouse()
    let inspection = try inspectSession(name)
    for event in inspection.events { try await house.take(event) }
    try await house.expectCalls(inspection.states)
    await house.close()
  }

  @Test(arguments: ["attended_refer", "blind_local", "requeue_three_race", "conference", "re"])
  func `events told twice, late or in reverse change nothing`(name: String) async throws {
    let house = try await CallHouse()
    let inspection = try inspectSession(name)
    for event in inspection.events { try await house.take(event) }
    let (contacts, pops) = try await (house.contacts(), house.pops().count)
    for event in inspection.events + inspection.events.reversed() { try await house.take(event) }
    #expect(try await house.contacts() == contacts)
    #expect(try await house.pops().count == pops)
    try await house.expectCalls(inspection.states)
    await house.close()
  }

  @Test func `an attended transfer shows the colleague the customer at the consult ring, and the request follows`()
    async throws
  {
    let house = try await CallHouse()
    for event in try inspectSession("attended_refer").events { try await house.take(event) }
    let pops = try await house.pops()
    let trail = pops.map { "\($0.agent?.description ?? "?") \($0.type.rawValue)" }
    let consult = try #require(pops.first { $0.type == .popConsulting && $0.body.contains("\"tie_zone\"") })
    let screen = try JSONText.decode(ScreenPop.self, from: consult.body)
    #expect(screen.originalCaller?.raw.hasPrefix("+4179") == true, "\(trail)")
    #expect(screen.call?.part == "consulted" && screen.call?.steps.isEmpty == false)
    #expect(screen.call?.consultations.first?.device == screen.call?.device)
    let receiver = try #require(consult.agent)
    #expect(pops.contains { $0.type == .popTransferred && $0.agent == receiver }, "\(trail)")
    #expect(pops.last { $0.agent == receiver }?.type == .popEnded, "\(trail)")
    #expect(pops.filter { $0.type == .popTransferred && $0.agent != receiver }.count == 1, "\(trail)")
    let request = try #require(try await house.requests().first)
    #expect(request.owner == receiver && request.status == .inProgress && request.nextDeadline != nil)
    for pop in pops { #expect(pop.body.utf8.count <= 16_384) }
    await house.close()
  }

  @Test func `an agent whom the switch takes from the customer for a consultation keeps his screen`() async throws {
    let house = try await CallHouse()
    for event in try inspectSession("atxfer_cancel").events { try await house.take(event) }
    let trail = try await house.pops().filter { $0.agent?.description == "1001" }
    let consulting = try #require(trail.firstIndex { $0.type == .popConsulting }, "\(trail.map(\.type))")
    // What the colleague's refusal brings back is the same call.
    let after = trail[consulting...].map(\.type)
    #expect(after.contains(.popResumed) && after.last == .popEnded, "\(trail.map(\.type))")
    #expect(trail[consulting].body.contains("\"tie_zone\""))
    await house.close()
  }

  @Test func `who is rung sees the call, and it goes from his screen when another takes it`() async throws {
    let house = try await CallHouse()
    for event in try inspectSession("requeue_three_race").events { try await house.take(event) }
    for agent in ["1001", "1002", "1003", "2001", "2002"] {
      let trail = try await house.pops().filter { $0.agent?.description == agent }
      var isShown = false
      for pop in trail {
        switch pop.type {
        case .popRinging, .popConsulting, .popAnswered, .popTransferred: isShown = true
        case .popWithdrawn, .popEnded:
          #expect(pop.type == .popEnded || !pop.body.contains("\"outcome\":\"answered\""))
          #expect(isShown, "\(agent): \(trail.map(\.type))")
          isShown = false
        default: break
        }
      }
      #expect(!isShown, "\(agent) keeps a screen: \(trail.map(\.type))")
    }
    await house.close()
  }

  @Test func `a keyed number and the customer's telephone tie him, either alone presumes, neither ties nobody`()
    async throws
  {
    let house = try await CallHouse()
    try await house.take(house.call("1.1", from: "+8610017001001", keyed: "7001"))
    try await house.take(house.call("1.2", from: "+8610017001001"))
    try await house.take(house.call("1.3", from: nil, keyed: "7001"))
    try await house.take(house.call("1.4", from: "+8610019999999"))
    try await house.take(house.call("1.5", from: nil))
    let contacts = try await house.contacts().sorted { $0.providerID ?? "" < $1.providerID ?? "" }
    #expect(contacts.map(\.identity.zone) == [.satisfied, .fuzzy, .fuzzy, .unsatisfied, .unsatisfied])
    #expect(contacts.map { $0.customerNo?.description } == ["7001", "7001", "7001", nil, nil])
    let screens = try await house.pops().map { try JSONText.decode(ScreenPop.self, from: $0.body) }
    #expect(screens.count == 5)
    #expect(screens[3].allowedActions.contains("create_prospect"))
    #expect(screens[4].allowedActions.contains("attach_customer") && screens[4].originalCaller == nil)
    #expect(screens[1].candidates.first?.reason.isEmpty == false)
    await house.close()
  }

  @Test func `a number keyed while it rings identifies the caller anew, unless a person has spoken`() async throws {
    let house = try await CallHouse()
    var event = house.call("1.1", from: nil)
    try await house.take(event)
    event.call.customerNo = "7001"
    event.change = .identified
    try await house.take(event)
    var contact = try #require(try await house.contacts().first)
    #expect(contact.customerNo?.description == "7001" && contact.identity.zone == .fuzzy)
    #expect(try await house.pops().map(\.type) == [.popRinging, .popUpdated])
    #expect(try await house.requests().first?.customerNo?.description == "7001")
    try await house.database.write { transaction in
      _ = try transaction.execute("UPDATE contact SET confirmed_by = '1001', identity_zone = 'satisfied'", [])
    }
    event.call.customerNo = "9999"
    try await house.take(event)
    contact = try #require(try await house.contacts().first)
    #expect(contact.customerNo?.description == "7001" && contact.identity.confirmedBy != nil)
    await house.close()
  }

  @Test func `who gave up is called back from his queue, and his next call takes the same request up`() async throws {
    let house = try await CallHouse()
    var first = house.call("1.1", from: "+8610019999999", rings: false)
    try await house.take(first)
    first.call.ended = first.at + .seconds(9)
    first.call.disposition = "abandoned"
    first.call.endedBy = "caller"
    first.change = .ended
    try await house.take(first)
    var request = try #require(try await house.requests().first)
    #expect(request.status == .open && request.subStatus == "missed_call" && request.owner == nil)
    #expect(request.queue?.description == "general" && request.nextDeadline != nil)
    try await house.take(house.call("1.2", from: "+8610019999999"))
    #expect(try await house.requests().count == 1)
    request = try #require(try await house.requests().first)
    #expect(request.subStatus == nil)
    var anonymous = house.call("1.3", from: nil, rings: false)
    anonymous.call.ended = anonymous.at + .seconds(9)
    anonymous.call.disposition = "abandoned"
    anonymous.change = .ended
    try await house.take(anonymous)
    #expect(try await house.requests().last?.status == .resolved)
    await house.close()
  }

  @Test func `what lives is resumed after a restart, what ended unseen is closed and marked`() async throws {
    let house = try await CallHouse()
    try await house.take(house.call("1.1", from: "+8610017001001"))
    try await house.take(house.call("1.2", from: "+8610019999999"))
    let open = try await house.database.read { try $0.openCalls(on: "main") }
    #expect(open.map(\.callID) == ["1.1", "1.2"])
    // As the adapter tells it after the restart: one goes on, the other was gone.
    let again = house.restarted()
    var living = house.call("1.1", from: "+8610017001001")
    living.change = .reconciled
    living.at = living.at + .seconds(5)
    try await again.take(living)
    var gone = house.call("1.2", from: "+8610019999999")
    gone.change = .reconciled
    gone.at = gone.at + .seconds(5)
    gone.call.ended = gone.at
    gone.call.disposition = "unknown"
    try await again.take(gone)
    let contacts = try await house.contacts().sorted { $0.providerID ?? "" < $1.providerID ?? "" }
    #expect(contacts.count == 2)
    #expect(contacts[0].state == .open && !contacts[0].late)
    #expect(contacts[1].state == .closed && contacts[1].late && contacts[1].disposition == "unknown")
    #expect(try await house.database.read { try $0.openCalls(on: "main") }.map(\.callID) == ["1.1"])
    await house.close()
  }

  @Test func `an event that cannot be applied is kept and set aside, and the next one of its call is applied`()
    async throws
  {
    let house = try await CallHouse(categories: [])
    let intake = house.intake
    try await house.running(intake) {
      let kept = await intake.accept(house.arrival(house.call("1.1", from: nil)))
      guard case .stored = kept else {
        Issue.record("\(kept)")
        return
      }
      try await house.until("quarantine") {
        try $0.one("SELECT count(*) AS n FROM arrival WHERE state = 'quarantined'").int("n") == 1
      }
      var end = house.call("1.1", from: nil, rings: false)
      end.call.queued = nil
      end.call.ended = end.at
      end.change = .ended
      _ = await intake.accept(house.arrival(end))
      #expect(try await house.contacts().map(\.state) == [.closed])
    }
    await house.close()
  }

  @Test func `broken sessions leave no contact open once the switch has been asked`() async throws {
    let house = try await CallHouse()
    let sources = try ["attended_refer", "conference", "park_unpark", "requeue_three_race"].map {
      Array(try Data(contentsOf: callFixtures.appendingPathComponent("laboratory/\($0).ami")))
    }
    // Prefixes of each, and stretches with damage; each as a switch of its own.
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<400 {
        if number >= 48 { await group.next() }
        group.addTask {
          var bytes = sources[number % sources.count]
          if number < 100 {
            bytes.removeLast(bytes.count * (number % 25 + 1) / 26)
          } else {
            var random = Mixer(state: UInt64(number))
            let start = Int(random.next() % UInt64(bytes.count))
            bytes = Array(bytes[start..<min(bytes.count, start + 24_000)])
            for _ in 0..<12 where !bytes.isEmpty {
              let at = Int(random.next() % UInt64(bytes.count))
              switch random.next() % 4 {
              case 0: bytes[at] = UInt8(truncatingIfNeeded: random.next())
              case 1: bytes.remove(at: at)
              case 2: bytes.removeSubrange(at..<min(bytes.count, at + 300))
              default: bytes.insert(contentsOf: bytes[max(0, at - 400)..<at], at: at)
              }
            }
          }
          var decoder = AMIDecoder()
          var interpreter = AsteriskInterpreter(server: "s\(number)")
          var events: [CallEvent] = []
          func note(_ updates: [TelephonyUpdate]) {
            for case .call(let event) in updates { events.append(event) }
          }
          decoder.feed(bytes) { note(interpreter.interpret($0)) }
          note(interpreter.restarted())
          note(interpreter.finish())
          for event in events {
            let kept = await house.intake.accept(house.arrival(event))
            if case .stored = kept { continue }
            Issue.record("\(kept)")
          }
        }
      }
    }
    let (open, work, contacts) = try await house.database.read { connection in
      (
        try connection.one("SELECT count(*) AS n FROM call_state WHERE is_open = 1").int("n"),
        try connection.one("SELECT count(*) AS n FROM arrival WHERE state <> 'routed'").int("n"),
        try connection.one(
          "SELECT count(*) AS n, coalesce(sum(CASE WHEN state = 'open' THEN 1 ELSE 0 END), 0) AS open FROM contact")
      )
    }
    #expect(open == 0 && work == 0)
    #expect(try contacts.int("n") > 200 && contacts.int("open") == 0)
    await house.close()
  }

  @Test func `an agent follows his telephone in all his queues, and keeps what he said at the desk`() async throws {
    let house = try await CallHouse()
    func told(_ queue: String, _ state: AgentPresence.State, paused: Bool = false, member: Bool = true) async throws
      -> String
    {
      let presence = AgentPresence(
        server: "main", device: "PJSIP/1001", member: "PJSIP/1001", name: nil, queue: queue, isMember: member,
        state: state, isPaused: paused, pauseReason: paused ? "Lunch" : nil, isInCall: state == .busy, at: house.now)
      let arrival = Arrival(
        channel: Self.channel, wireKey: nil, from: nil, to: nil, receivedAt: house.now, payload: .presence(presence),
        raw: [])
      _ = await house.intake.accept(arrival)
      let agent = try #require(try await house.database.read { try $0.agent(AgentID("1001")!) })
      return agent.state.rawValue + (agent.stateReason.map { " " + $0 } ?? "")
    }
    #expect(try await told("a", .available) == "ready")
    #expect(try await told("b", .available, paused: true) == "ready")
    #expect(try await told("a", .available, paused: true) == "not_ready telephone paused: Lunch")
    #expect(try await told("a", .available) == "ready")
    #expect(try await told("a", .ringing) == "reserved")
    #expect(try await told("a", .busy) == "busy")
    #expect(try await told("a", .available) == "ready")
    #expect(try await told("a", .unavailable) == "ready")
    #expect(try await told("b", .unavailable) == "not_ready telephone unavailable")
    #expect(try await told("b", .available) == "ready")
    _ = try await house.database.write {
      try $0.setState(.notReady, of: AgentID("1001")!, reason: "meeting", actor: .liaison, at: CallHouse.start)
    }
    #expect(try await told("b", .available) == "not_ready meeting")
    #expect(try await told("a", .available, member: false) == "not_ready meeting")
    await house.close()
  }
}

struct Mixer {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    return mixed ^ mixed >> 31
  }
}

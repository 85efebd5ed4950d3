import Channels
import ContactModel
import Foundation
import Logging
import Store
import Synchronization
import Testing

@testable import Outbound

/// An exchange as the dialler sees it: up, and with the telephones in it that the test says. What happens to calls the
/// test writes into the store, as intake does.
private final class ScriptedExchange: ChannelAdapter, CallControl {
  let channel = ContactChannel(kind: .telephony, name: "calls")
  let capabilities = Capabilities(abilities: [.calls, .receives], maximumArrivalBytes: 1_000)
  func run(accept: @escaping Accept) async throws {}
  func wireIdentity(of attempt: AttemptID) -> String { "liaison-\(attempt)" }
  func submit(_ dispatch: Dispatch) async -> Submission { .rejected(Fault(.unsupported, text: "")) }
  func inquire(about dispatch: Dispatch) async -> Submission { .rejected(Fault(.unsupported, text: "")) }
  var health: Health { get async { Health(state: .up, since: Bank.start) } }
  func beginDrain() {}

  let servers = ["main"]
  func perform(_ command: CallCommand) async -> CallCommandResult { .accepted(callID: nil) }
  func callID(ofCommand id: String) -> String { "liaison-\(id)" }
  func liveCall(_ callID: String, on server: String) -> LiveCall? { nil }
  func liveCalls(on server: String) -> [LiveCall] { [] }
}

/// A bank that calls: three agents in one queue, customers with a telephone each.
private final class CallingBank: Sendable {
  let database: Database
  let clock = Bank.Clock()
  let dialler: Dialler
  let dispatcher: Dispatcher
  static let queue = Code("general")!
  static let results = Dictionary(uniqueKeysWithValues: CallResult.plain.map { ($0.means, $0) })

  init(_ engine: Engine, sms: ScriptedAdapter? = nil, agents: Int = 3) async throws {
    database = try Database.open(engine.freshURL(), migrations: migrations, now: Bank.start)
    let profile = try Shipped.profile()
    let exchange = ScriptedExchange()
    let line = DialLine(
      link: OutboundLink(channel: .phone, adapter: exchange, window: 1, memory: .seconds(3_600)), control: exchange,
      server: "main")
    let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    dispatcher = Dispatcher(
      database: database, links: [line.link] + (sms.map { [OutboundLink(channel: .sms, adapter: $0)] } ?? []),
      zones: Shipped.zones, profile: { profile }, clock: { [clock] in clock.now }, logger: logger)
    dialler = Dialler(
      database: database, dispatcher: dispatcher, line: line, clock: { [clock] in clock.now }, logger: logger)
    try await database.write { transaction in
      try transaction.upsertQueue(Self.queue, nameZh: "综合", nameEn: "General")
      for index in 1...agents {
        try transaction.upsert(
          Agent(
            id: AgentID("100\(index)")!, name: "Agent \(index)", device: "PJSIP/100\(index)", queues: [Self.queue],
            state: .ready, stateSince: Bank.start), at: Bank.start)
      }
      for index in 0..<12 { try CampaignBank.add(index, to: transaction) }
    }
  }

  func plan(
    _ index: Int, mode: CampaignPlan.Dial = .preview, also channel: OutboundChannel? = nil,
    purpose: Purpose = .service, notAfter: Timestamp? = nil
  ) async throws -> ProactiveJobID {
    let now = clock.now
    var call = Dispatch.Content(text: "请说明新的存款利率")
    call.dialling = DialWish(mode: mode, queue: Self.queue)
    var contents = ["phone": call]
    if let channel { contents[channel.rawValue] = Dispatch.Content(text: "利率有变化") }
    let job = ProactiveJob(
      id: ProactiveJobID(at: now), customerNo: CampaignBank.number(index), key: "k\(index)-\(UUID())",
      purpose: purpose, contents: contents, due: now, notAfter: notAfter, createdBy: "test", createdAt: now)
    return try await database.write { transaction in
      let id = try transaction.plan(job, actor: .liaison, at: now).job.id
      try transaction.execute("UPDATE proactive_job SET lane = 'phone' WHERE job_id = $1", [.id(id)])
      return id
    }
  }

  func dials(of job: ProactiveJobID) async throws -> [DialRecord] { try await database.read { try $0.dials(of: job) } }
  func open() async throws -> [DialRecord] { try await database.read { try $0.openDials(limit: 100) } }
  func job(_ id: ProactiveJobID) async throws -> ProactiveJob {
    try #require(try await database.read { try $0.proactiveJob(id) })
  }

  func accept(_ dial: DialRecord) async throws -> DialRecord {
    try await database.write { [self] transaction in
      guard
        case .done(let after) = try dialler.accept(dial.dialId, actor: .liaison, in: transaction, at: clock.now)
      else { throw DatabaseError(.other, "not accepted") }
      return after
    }
  }

  func say(_ means: CallResult.Meaning, _ dial: DialRecord, callBackAt: Timestamp? = nil) async throws {
    try await database.write { [self] transaction in
      _ = try dialler.settle(
        dial.dialId, as: Self.results[means]!, note: nil, callBackAt: callBackAt, actor: .liaison, in: transaction,
        at: clock.now)
    }
  }

  /// What the exchange tells of a call: `talks` so far, ended as `disposition`.
  func hear(_ dial: DialRecord, connected: Bool = false, _ disposition: String? = nil) async throws {
    let now = clock.now
    var call = CallState(
      server: "main", callID: dial.callId ?? "?", direction: .outbound,
      offers: [.init(device: dial.device, at: now, ended: now, outcome: "answered")],
      created: dial.dialledAt ?? now, connected: connected ? now : nil)
    call.disposition = disposition
    call.ended = disposition == nil ? nil : now
    let heard = call
    try await database.write { transaction in
      _ = try transaction.keep(
        heard, text: JSONText.encode(heard),
        standing: CallStanding(of: CallEvent(change: .ended, device: nil, at: now, call: heard)), contact: nil,
        answerQueue: nil, channel: "calls", at: now)
    }
  }

  func attempt(_ dial: DialRecord) async throws -> AttemptRecord {
    let id = try #require(dial.attemptId)
    return try #require(try await database.read { try $0.attempt(id) })
  }

  func cap(_ dial: DialRecord) async throws -> String {
    let id = try #require(dial.attemptId)
    return try await database.read { connection in
      let row = try connection.one("SELECT state, answered FROM cap_ledger WHERE attempt_id = $1", [.id(id)])
      return "\(try row.text("state")) \(try row.bool("answered") ? "answered" : "unanswered")"
    }
  }
}

@Suite(.serialized) struct DiallerTests {
  @Test(arguments: Engine.here) func `an agent is shown one customer, calls him, and what he says settles the job`(
    engine: Engine
  ) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0)
    try await bank.dialler.round()
    let shown = try #require(try await bank.open().first)
    #expect(shown.state == .offered && shown.mode == .preview && shown.customerNo == CampaignBank.number(0))
    #expect(try await bank.job(id).state == .planned)
    let told = try await bank.database.read { try $0.events(after: 0, type: .dialOffered, limit: 10) }
    #expect(told.map(\.agent) == [shown.agentId])
    #expect(told.first?.body.contains("请说明新的存款利率") == true && told.first?.body.contains("客户0") == true)

    let dialled = try await bank.accept(shown)
    #expect(dialled.state == .dialled && dialled.callId == "liaison-\(dialled.attemptId!)")
    // The answer was lost: the same again orders nothing.
    #expect(try await bank.accept(shown) == dialled)
    let commands = try await bank.database.read {
      try $0.callCommands(of: dialled.callId!, on: "main", limit: 10)
    }
    #expect(commands.map(\.action) == ["originate"])
    #expect(try await bank.cap(dialled) == "counted unanswered")

    try await bank.hear(dialled, connected: true)
    try await bank.dialler.round()
    #expect(try await bank.open().first?.state == .talking)
    #expect(try await bank.cap(dialled) == "counted answered")
    try await bank.hear(dialled, connected: true, "answered")
    try await bank.dialler.round()
    #expect(try await bank.open().first?.state == .wrapUp)
    #expect(try await bank.job(id).state == .active)
    try await bank.say(.reached, dialled)
    let job = try await bank.job(id)
    #expect(job.state == .done && job.reason == "delivered")
    let ended = try #require(try await bank.dials(of: id).first)
    #expect(ended.state == .ended && ended.outcome == .answered && ended.resultMeans == .reached)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `declined or left lying, the next agent is asked, and after three the job rests`(
    engine: Engine
  ) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0)
    try await bank.dialler.round()
    let first = try #require(try await bank.open().first)
    try await bank.database.write { [bank] transaction in
      _ = try bank.dialler.decline(
        first.dialId, because: "I know him", actor: .liaison, in: transaction, at: bank.clock.now)
    }
    try await bank.dialler.round()
    let second = try #require(try await bank.open().first)
    #expect(second.agentId != first.agentId)
    bank.clock.advance(by: .seconds(31))
    try await bank.dialler.round()
    let third = try #require(try await bank.open().first)
    #expect(Set([first.agentId, second.agentId, third.agentId]).count == 3)
    bank.clock.advance(by: .seconds(31))
    try await bank.dialler.round()
    #expect(try await bank.open().isEmpty)
    // At one instant of the test's clock their order is chance.
    #expect(try await bank.dials(of: id).map(\.state.rawValue).sorted() == ["declined", "lapsed", "lapsed"])
    #expect(try await bank.job(id).nextAt == bank.clock.now + .seconds(1_800))
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `progressive: never more calls than free agents`(engine: Engine) async throws {
    let bank = try await CallingBank(engine)
    for index in 0..<10 { _ = try await bank.plan(index, mode: .progressive) }
    try await bank.dialler.round()
    try await bank.dialler.round()
    let calls = try await bank.open()
    #expect(calls.count == 3 && calls.allSatisfy { $0.state == .dialled })
    #expect(Set(calls.map(\.agentId)).count == 3)
    // One is free again as soon as his customer was busy.
    try await bank.hear(calls[0], "busy")
    try await bank.dialler.round()
    let now = try await bank.open()
    #expect(now.count == 3 && !now.contains { $0.dialId == calls[0].dialId })
    let orders = try await bank.database.read {
      try $0.one("SELECT count(*) AS n FROM call_command WHERE action = 'originate'").int("n")
    }
    #expect(orders == 4)
    await bank.database.close()
  }

  @Test(arguments: Engine.here)
  func `a stop, a pause of the agent or the kill switch takes a showing away, and an acceptance orders nothing`(
    engine: Engine
  ) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0)
    try await bank.dialler.round()
    let shown = try #require(try await bank.open().first)
    try await bank.database.write { [bank] transaction in
      _ = try transaction.setState(.notReady, of: shown.agentId, reason: "lunch", actor: .liaison, at: bank.clock.now)
    }
    try await bank.dialler.round()
    let other = try #require(try await bank.open().first)
    #expect(other.agentId != shown.agentId)
    // The customer's word comes while the agent reads.
    try await bank.database.write { [bank] transaction in
      try transaction.record(
        ChannelPreference(
          channel: .phone, purpose: nil, verdict: .deny, effectiveAt: bank.clock.now, source: .customer),
        id: PreferenceID(at: bank.clock.now), of: CampaignBank.number(0), evidence: CampaignBank.evidence(),
        policyVersion: "1", actor: .liaison, at: bank.clock.now)
    }
    let answer = try await bank.accept(other)
    #expect(answer.state == .withdrawn && answer.attemptId == nil)
    #expect(try await bank.job(id).state == .refused)

    _ = try await bank.plan(1)
    try await bank.dialler.round()
    #expect(try await bank.open().count == 1)
    try await bank.database.write { [bank] transaction in
      try transaction.setKillSwitch(true, actor: .liaison, at: bank.clock.now)
    }
    try await bank.dialler.round()
    #expect(try await bank.open().isEmpty)
    let orders = try await bank.database.read { try $0.one("SELECT count(*) AS n FROM call_command").int("n") }
    #expect(orders == 0)
    await bank.database.close()
  }

  @Test(
    arguments: Engine.here.flatMap { engine in
      [
        ("busy", 300, "counted unanswered"), ("no-answer", 3_600, "counted unanswered"),
        ("declined", 3_600, "counted unanswered"), ("congestion", 120, "released unanswered"),
      ].map { (engine, $0.0, $0.1, $0.2) }
    })
  func `called in vain, he is called again by the rules, and only what rang counts`(
    engine: Engine, disposition: String, wait: Int, cap: String
  ) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0, mode: .progressive)
    try await bank.dialler.round()
    let call = try #require(try await bank.open().first)
    try await bank.hear(call, disposition)
    try await bank.dialler.round()
    let job = try await bank.job(id)
    #expect(job.state == .planned && job.nextAt == bank.clock.now + .seconds(wait) && job.spent.isEmpty)
    #expect(try await bank.cap(call) == cap)
    #expect(try await bank.attempt(call).machine.state == .rejected)
    #expect(try await bank.open().isEmpty)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a number there is not is never called again, and another channel takes over`(
    engine: Engine
  ) async throws {
    let sms = ScriptedAdapter(.sms)
    let bank = try await CallingBank(engine, sms: sms)
    let id = try await bank.plan(0, mode: .progressive, also: .sms, purpose: .collections)
    try await bank.dialler.round()
    let call = try #require(try await bank.open().first)
    try await bank.hear(call, "unallocated")
    try await bank.dialler.round()
    let job = try await bank.job(id)
    #expect(job.spent == [.phone])
    let state = try await bank.database.read { connection in
      try connection.one(
        "SELECT state FROM contact_point WHERE kind = 'phone' AND canonical = $1", [.text(call.to ?? "")]
      ).text("state")
    }
    #expect(state == "invalid")
    await bank.database.close()
  }

  @Test(arguments: Engine.here)
  func `a call back is due at its exact time, to the same agent for a quarter of an hour, then to his queue`(
    engine: Engine
  ) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0)
    try await bank.dialler.round()
    let call = try await bank.accept(try #require(try await bank.open().first))
    try await bank.hear(call, connected: true, "answered")
    try await bank.dialler.round()
    let at = bank.clock.now + .seconds(7_200)
    try await bank.say(.callBack, call, callBackAt: at)
    var job = try await bank.job(id)
    #expect(job.state == .planned && job.nextAt == at && job.requested == .init(channel: .phone, at: at))
    #expect(job.contents["phone"]?.dialling.agent == call.agentId)
    try await bank.dialler.round()
    #expect(try await bank.open().isEmpty)
    // He is at lunch when the time comes.
    try await bank.database.write { [bank] transaction in
      _ = try transaction.setState(.notReady, of: call.agentId, reason: "lunch", actor: .liaison, at: bank.clock.now)
    }
    bank.clock.advance(by: .seconds(7_200))
    try await bank.dialler.round()
    #expect(try await bank.open().isEmpty)
    bank.clock.advance(by: .seconds(899))
    try await bank.database.write { [bank] transaction in
      _ = try transaction.setState(.ready, of: call.agentId, reason: nil, actor: .liaison, at: bank.clock.now)
    }
    try await bank.dialler.round()
    #expect(try await bank.open().map(\.agentId) == [call.agentId])
    let screen = try await bank.database.read { try $0.dialScreen(of: $0.openDials(limit: 1)[0]) }
    #expect(screen?.earlier.map(\.result) == [Code("call-back")] && screen?.requestedAt == at)
    try await bank.database.write { [bank] transaction in
      _ = try transaction.setState(.notReady, of: call.agentId, reason: "lunch", actor: .liaison, at: bank.clock.now)
    }
    bank.clock.advance(by: .seconds(2))
    try await bank.dialler.round()
    try await bank.dialler.round()
    let next = try await bank.open()
    #expect(next.count == 1 && next.first?.agentId != call.agentId)
    job = try await bank.job(id)
    #expect(job.state == .planned)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `no calls, he says: the job is done and his word is kept`(
    engine: Engine
  ) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0, mode: .progressive)
    try await bank.dialler.round()
    let call = try #require(try await bank.open().first)
    try await bank.hear(call, connected: true)
    try await bank.dialler.round()
    // Said while they still talk: it holds at the end.
    try await bank.say(.refusesCalls, call)
    #expect(try await bank.job(id).state == .active)
    try await bank.hear(call, connected: true, "answered")
    try await bank.dialler.round()
    #expect(try await bank.job(id).state == .done)
    let said = try await bank.database.read { try $0.preferences(of: CampaignBank.number(0)) }
    #expect(said.map(\.verdict) == [.deny] && said.first?.channel == .phone && said.first?.purpose == .service)
    await bank.database.close()
  }

  @Test(arguments: Engine.here)
  func `after a crash the call is found by its name, or stays in doubt, and is never placed twice`(
    engine: Engine
  ) async throws {
    let bank = try await CallingBank(engine)
    let ids = [
      try await bank.plan(0, mode: .progressive), try await bank.plan(1, mode: .progressive),
      try await bank.plan(2, mode: .progressive),
    ]
    try await bank.dialler.round()
    let open = try await bank.open()
    let calls = ids.compactMap { id in open.first { $0.jobId == id } }
    // The first was on the wire, the second talked, the third had not been sent when the daemon died.
    try await bank.database.write { [bank] transaction in
      for call in calls.prefix(2) { _ = try transaction.beginSending(call.commandId!, at: bank.clock.now) }
    }
    try await bank.hear(calls[1], connected: true)
    try await bank.dispatcher.recover()
    for call in calls { #expect(try await bank.attempt(call).machine.state == .inDoubt) }
    bank.clock.advance(by: .seconds(61))
    try await bank.dialler.round()
    let words = try await bank.database.read { connection in try ids.map { try connection.dials(of: $0)[0].state } }
    #expect(words == [.inDoubt, .talking, .ended])
    // Nobody sends the third after all.
    let isSent = try await bank.database.write { [bank] in
      try $0.beginSending(calls[2].commandId!, at: bank.clock.now)
    }
    #expect(!isSent)
    #expect(try await bank.job(ids[2]).state == .planned)
    #expect(try await bank.cap(calls[2]) == "released unanswered")
    // What the exchange tells later settles the first.
    try await bank.hear(calls[0], "busy")
    try await bank.hear(calls[1], connected: true, "answered")
    try await bank.dialler.round()
    #expect(try await bank.job(ids[0]).state == .planned)
    bank.clock.advance(by: .seconds(121))
    try await bank.dialler.round()
    #expect(try await bank.job(ids[1]).state == .done)
    let twice = try await bank.database.read {
      try $0.one("SELECT count(*) - count(DISTINCT call_id) AS n FROM call_command WHERE action = 'originate'").int("n")
    }
    #expect(twice == 0)
    await bank.database.close()
  }

  @Test(arguments: Engine.here) func `a call nobody ever hears of counts as made`(engine: Engine) async throws {
    let bank = try await CallingBank(engine)
    let id = try await bank.plan(0, mode: .progressive)
    try await bank.dialler.round()
    let call = try #require(try await bank.open().first)
    try await bank.database.write { [bank] in _ = try $0.beginSending(call.commandId!, at: bank.clock.now) }
    bank.clock.advance(by: .seconds(61))
    try await bank.dialler.round()
    #expect(try await bank.open().first?.state == .inDoubt)
    bank.clock.advance(by: .seconds(3_600))
    try await bank.dialler.round()
    #expect(try await bank.job(id).state == .unknown)
    #expect(try await bank.dials(of: id).map(\.outcome) == [.unknown])
    #expect(try await bank.cap(call) == "counted unanswered")
    await bank.database.close()
  }
}

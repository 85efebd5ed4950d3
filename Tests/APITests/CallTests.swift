import AsyncHTTPClient
import Channels
import ContactModel
import Customers
import Demo
import Desk
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Store
import Telephony
import Testing

@testable import API

/// Call control over live sockets: the API's operations, the commander, the adapter, and a stand-in switch that obeys.
@Suite(.timeLimit(.minutes(2))) struct CallTests {
  /// A bank with telephones and a switch.
  struct Exchange: Sendable {
    var bank: Bank
    var served: Served
    var standIn: AsteriskStandIn
    var switchboard: StandInSwitchboard
    var adapter: TelephonyAdapter

    /// The command once it is in one of these states.
    func command(_ answer: Answer, as who: String = "agent-1001", until states: Set<String>) async throws -> JSONValue {
      let location = try #require(answer["location"])
      return try await within(.seconds(20)) {
        while true {
          let command = try await served.as(who, "GET", location).json
          if states.contains(command["state"]?.string ?? "") { return command }
          try await Task.sleep(for: .milliseconds(5))
        }
      }
    }

    func order(
      _ who: String, _ path: String, _ body: JSONValue, key: String = UUID().uuidString
    ) async throws -> Answer {
      try await served.as(who, "POST", path, ["Idempotency-Key": key, "Content-Type": "application/json"], body: body)
    }

    /// Until the adapter knows the call as the test needs it.
    func live(_ call: String, _ isThere: @escaping @Sendable (LiveCall) -> Bool) async throws {
      try await within(.seconds(20)) {
        while !(adapter.liveCall(call, on: "main").map(isThere) ?? false) {
          try await Task.sleep(for: .milliseconds(5))
        }
      }
    }
  }

  func open(_ body: @Sendable @escaping (Exchange) async throws -> Void) async throws {
    try await Bank.open { bank in
      try await bank.database.write { transaction in
        for (agent, device, queues) in [
          ("1001", "PJSIP/1001", ["general", "complaints"]), ("1002", "PJSIP/1002", ["general"]),
        ] {
          try transaction.upsert(
            Agent(
              id: AgentID(agent)!, name: "Agent \(agent)", device: device, queues: queues.map { Code($0)! },
              state: .ready, stateSince: testTime), at: testTime)
        }
      }
      let standIn = AsteriskStandIn(programme: .recordings([]))
      let switchboard = StandInSwitchboard(standIn)
      let (ports, port) = AsyncStream<Int>.makeStream()
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await standIn.run { port.yield($0) } }
        guard let number = await ports.first(where: { _ in true }) else { return }
        let adapter = TelephonyAdapter(
          configuration: TelephonyConfiguration(
            servers: [
              .init(
                name: "main", host: "127.0.0.1", port: number, credentials: .init(username: "liaison", secret: "demo"))
            ], reconnectDelay: .milliseconds(20)))
        let quiet = Logger(label: "calls") { _ in SwiftLogNoOpLogHandler() }
        let commander = CallCommander(database: bank.database, switches: [adapter], now: Bank.now, logger: quiet)
        let router = CallRouter(
          database: bank.database, rules: { Self.rules }, normalForm: { AddressForm.address(.phone, $0) },
          now: Bank.now, logger: quiet)
        group.addTask {
          try await adapter.run { arrival in
            if case .call(let event) = arrival.payload { commander.note(event) }
            return .stored(ArrivalID(at: testTime))
          }
        }
        group.addTask { await commander.run() }
        let routes =
          bank.deskResources.routes + bank.operatorResources.routes
          + CallResources(database: bank.database, commander: commander, router: router).routes
        let site = Site(
          routes: routes + [Description.serving(version: "1.0", routes: routes)],
          authentication: .bearer(lookup: bank.tokens.record), clock: Bank.now)
        while !Task.isCancelled, await adapter.health.state != .up { try await Task.sleep(for: .milliseconds(5)) }
        try await serve(site) { served in
          try await body(
            Exchange(bank: bank, served: served, standIn: standIn, switchboard: switchboard, adapter: adapter))
        }
        commander.beginDrain()
        adapter.beginDrain()
        group.cancelAll()
      }
    }
  }

  static let rules = CallRoutingRules(
    defaultQueue: Code("general")!, answerWithinMs: 5_000,
    numbers: [
      .init(did: "+861055501200", queue: Code("complaints")!, priority: 2),
      .init(did: "+8610555*", queue: Code("general")!, language: "en", priority: 1),
    ],
    levels: [.init(level: 2, priority: 5, managerFirst: true)], version: 7)

  @Test func `an order to originate given twice is on the wire once, and its outcome is on the agent's stream`()
    async throws
  {
    try await open { exchange in
      let conformance = try await Conformance(exchange.served)
      var request = HTTPClientRequest(url: exchange.served.url("/v1/agents/1001/events"))
      request.headers.add(name: "Authorization", value: "Bearer \(Bank.token("agent-1001").text)")
      let stream = StreamReader(try await testClient.execute(request, timeout: .seconds(60)))
      #expect(try await stream.nextEvent()?.type == "open")

      let body: JSONValue = ["to": "+8613812345678", "customer_no": "C100", "showing": "+861055501200"]
      let first = try await exchange.order("agent-1001", "/v1/calls", body, key: "one")
      let again = try await exchange.order("agent-1001", "/v1/calls", body, key: "one")
      #expect(first.status == 202 && again.status == 202)
      #expect(conformance.faults("POST", template: "/v1/calls", first) == [])
      #expect(try first.json["command_id"] == again.json["command_id"])
      let other = try await exchange.order("agent-1001", "/v1/calls", ["to": "+8613812340000"], key: "one")
      #expect(other.status == 422)

      let command = try await exchange.command(first, until: ["done", "failed", "in_doubt"])
      #expect(command["state"] == "done" && command["outcome"] == "answered", "\(command)")
      let id = try #require(command["command_id"]?.string)
      #expect(command["call_id"]?.string == "liaison-\(id)")
      let orders = exchange.standIn.orders.filter { $0["Action"] == "Originate" }
      #expect(orders.count == 1)
      #expect(orders.first?["ChannelId"] == "liaison-\(id)" && orders.first?["Channel"] == "PJSIP/1001")
      var states: [String] = []
      while states.last != "done" {
        let event = try #require(try await stream.nextEvent())
        guard event.type == "call_command.changed" else { continue }
        let data = try JSONReader.read(Array((event.data ?? "").utf8))
        #expect(data["body"]?["command_id"]?.string == id)
        states.append(data["body"]?["state"]?.string ?? "")
      }
      #expect(states.first == "given")

      let calls = try await exchange.served.as("agent-1001", "GET", "/v1/calls")
      #expect(conformance.faults("GET", template: "/v1/calls", calls) == [])
      #expect(try calls.json["items"]?.array?.count == 1)
      #expect(try await exchange.served.as("agent-1002", "GET", "/v1/calls").json["items"]?.array == [])
      let entries = try await exchange.bank.database.read {
        try $0.auditEntries(after: 0, act: "call.originate", limit: 9)
      }
      #expect(entries.count == 1 && entries.first?.actor.isEmpty == false)
    }
  }

  @Test func `a busy number fails the command with its reason`() async throws {
    try await open { exchange in
      let answer = try await exchange.order("agent-1001", "/v1/calls", ["to": "+8613812340017"])
      let command = try await exchange.command(answer, until: ["done", "failed", "in_doubt"])
      #expect(command["state"] == "failed" && command["fault_code"] == "recipient_busy", "\(command)")
    }
  }

  @Test func `an agent acts on the calls of his own telephone alone`() async throws {
    try await open { exchange in
      let call = exchange.switchboard.incoming(
        from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001")
      try await exchange.live(call) { $0.state.connected != nil }
      let path = "/v1/calls/main/\(call)"
      for (who, act, body, status) in [
        ("agent-1002", "hold", [:], 403), ("agent-1001", "hold", ["device": "PJSIP/1002"], 403),
        ("agent-1003", "hang-up", [:], 403), ("agent-1001", "monitor", ["mode": "listen", "reason": "x"], 403),
        ("crm", "hold", [:], 403), ("market", "hang-up", [:], 403),
        ("agent-1001", "blind-transfer", [:], 422), ("agent-1001", "blind-transfer", ["to": "1002,tT&Local/1@x"], 422),
        ("agent-1001", "conference", ["with": "Local/9@out"], 422), ("agent-1001", "hold", ["hold": true], 422),
        ("agent-1001", "nothing", [:], 404),
      ] as [(String, String, JSONValue, Int)] {
        let answer = try await exchange.order(who, "\(path)/\(act)", body)
        #expect(answer.status == status, "\(who) \(act): \(answer.text)")
      }
      #expect(try await exchange.order("agent-1001", "/v1/calls/main/no-such-call/hold", [:]).status == 404)
      #expect(try await exchange.order("agent-1001", "/v1/calls", ["to": "1", "device": "PJSIP/1002"]).status == 403)
      #expect(try await exchange.order("agent-1003", "/v1/calls", ["to": "10086"]).status == 409)
      let bare = try await exchange.served.as(
        "agent-1001", "POST", "\(path)/hold", ["Content-Type": "application/json"], body: [:])
      #expect(bare.status == 400)
      let zh = try await exchange.served.send(
        "POST", "/v1/calls",
        headers: [
          ("Authorization", "Bearer \(Bank.token("agent-1003").text)"), ("Idempotency-Key", "z"),
          ("Accept-Language", "zh-CN"), ("Content-Type", "application/json"),
        ], body: #"{"to":"10086"}"#)
      #expect(zh.text.contains("话机"))
      #expect(exchange.standIn.orders.isEmpty)
    }
  }

  @Test func `hold, resume, recording and blind transfer are done when the call shows it`() async throws {
    try await open { exchange in
      let conformance = try await Conformance(exchange.served)
      let call = exchange.switchboard.incoming(
        from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001", customerNo: "C100")
      try await exchange.live(call) { $0.state.connected != nil }
      let path = "/v1/calls/main/\(call)"
      for (act, body, outcome) in [
        ("hold", [:], "held"), ("resume", [:], "resumed"), ("start-recording", [:], "recording"),
        ("stop-recording", [:], "stopped"), ("blind-transfer", ["to": "1002"], "transferred"),
      ] as [(String, JSONValue, String)] {
        let answer = try await exchange.order("agent-1001", "\(path)/\(act)", body)
        #expect(answer.status == 202, "\(act): \(answer.text)")
        #expect(conformance.faults("POST", template: "/v1/calls/{server}/{call_id}/\(act)", answer) == [])
        let command = try await exchange.command(answer, until: ["done", "failed", "in_doubt"])
        #expect(command["state"] == "done" && command["outcome"]?.string == outcome, "\(act): \(command)")
        #expect(command["customer_no"] == "C100")
      }
      // The call is the other's now.
      try await exchange.live(call) { $0.devices == ["PJSIP/1002"] }
      #expect(try await exchange.order("agent-1001", "\(path)/hang-up", [:]).status == 403)
      let end = try await exchange.order("agent-1002", "\(path)/hang-up", ["whole_call": true])
      let command = try await exchange.command(end, as: "agent-1002", until: ["done", "failed", "in_doubt"])
      #expect(command["outcome"] == "ended")
      let list = try await exchange.served.as("chief", "GET", "\(path)/commands")
      #expect(try list.json["items"]?.array?.count == 6)
      #expect(conformance.faults("GET", template: "/v1/calls/{server}/{call_id}/commands", list) == [])
      let recorded = try list.json["items"]?.array?.first { $0["action"] == "start_recording" }
      let reference = try #require(recorded?["detail"]?["reference"]?.string)
      #expect(exchange.standIn.orders.contains { $0["Action"] == "MixMonitor" && $0["File"] == reference })
    }
  }

  @Test func `a supervisor listens to, whispers to and joins agents of his department alone, and says why`()
    async throws
  {
    try await open { exchange in
      try await exchange.bank.database.write { transaction in
        try transaction.upsertDepartment(Code("north")!, parent: nil, nameZh: "北", nameEn: "North")
        try transaction.upsertDepartment(Code("south")!, parent: nil, nameZh: "南", nameEn: "South")
        try transaction.execute("UPDATE agent SET department = 'north' WHERE agent_id = '1001'", [])
        for (label, department) in [("north-chief", "north"), ("south-chief", "south")] {
          try transaction.add(
            AccessGrant(label: label, role: .supervisor, agentId: nil, department: Code(department)!),
            tokenHash: Bank.token(label).digest.description, at: testTime)
        }
      }
      let call = exchange.switchboard.incoming(
        from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001")
      try await exchange.live(call) { $0.state.connected != nil }
      let path = "/v1/calls/main/\(call)/monitor"
      let body: JSONValue = ["mode": "whisper", "by": "PJSIP/1900", "reason": "coaching"]
      #expect(try await exchange.order("south-chief", path, body).status == 403)
      #expect(try await exchange.order("north-chief", path, ["mode": "listen", "by": "PJSIP/1900"]).status == 422)
      #expect(try await exchange.order("north-chief", path, ["mode": "listen", "reason": "x"]).status == 409)
      for (by, status) in [("PJSIP/1002", 409), ("Local/1@x", 422), ("PJSIP/1001", 409)] {
        let answer = try await exchange.order(
          "north-chief", path, ["mode": "listen", "by": .string(by), "reason": "coaching"])
        #expect(answer.status == status, "\(by): \(answer.text)")
      }
      for (mode, options) in [("listen", "qE"), ("whisper", "qwE"), ("barge", "qBE")] {
        let answer = try await exchange.order(
          "north-chief", path, ["mode": .string(mode), "by": "PJSIP/1900", "reason": "coaching"])
        #expect(answer.status == 202, "\(answer.text)")
        _ = try await exchange.command(answer, as: "north-chief", until: ["accepted", "done"])
        let order = exchange.standIn.orders.last { $0["Application"] == "ChanSpy" }
        #expect(order?["Channel"] == "PJSIP/1900" && order?["Data"] == "PJSIP/1001-,\(options)")
      }
      let audited = try await exchange.bank.database.read {
        try $0.auditEntries(after: 0, act: "call.monitor", limit: 9)
      }
      #expect(audited.count == 3 && audited.allSatisfy { $0.reason == "coaching" })
    }
  }

  @Test func `without a connection the command has surely failed, with one lost after it the command is in doubt`()
    async throws
  {
    try await open { exchange in
      let call = exchange.switchboard.incoming(
        from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001")
      try await exchange.live(call) { $0.state.connected != nil }
      // Nobody knows what became of those that a run before this one was sending, until the call shows it.
      let old = CallCommandID(at: testTime)
      let order = CallCommand(
        id: old.description, server: "main", action: .hangUp(callID: call, device: nil))
      try await exchange.bank.database.write { transaction in
        try transaction.give(
          CallCommandRecord(
            commandId: old, command: order, callId: call, agent: AgentID("1001"), customerNo: nil, actor: "x",
            at: Bank.now()), order, trace: nil)
        #expect(try transaction.beginSending(old, at: Bank.now()))
      }
      let quiet = Logger(label: "calls") { _ in SwiftLogNoOpLogHandler() }
      let second = CallCommander(
        database: exchange.bank.database, switches: [exchange.adapter], now: Bank.now, logger: quiet)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await second.run() }
        try await within(.seconds(20)) {
          while try await exchange.bank.database.read(.live, { try $0.callCommand(old)?.state }) != .inDoubt {
            try await Task.sleep(for: .milliseconds(5))
          }
        }
        #expect(!exchange.standIn.orders.contains { $0["Action"] == "Hangup" })
        guard var state = exchange.adapter.liveCall(call, on: "main")?.state else { return }
        state.ended = Bank.now()
        second.note(CallEvent(change: .ended, device: nil, at: Bank.now(), call: state))
        try await within(.seconds(20)) {
          while try await exchange.bank.database.read(.live, { try $0.callCommand(old)?.state }) != .done {
            try await Task.sleep(for: .milliseconds(5))
          }
        }
        second.beginDrain()
        try await group.waitForAll()
      }
    }
  }

  @Test func `a dial plan is told queue, priority, language and manager, on record who was seen`() async throws {
    try await open { exchange in
      let conformance = try await Conformance(exchange.served)
      func ask(_ query: String, as who: String = "crm") async throws -> JSONValue {
        let answer = try await exchange.served.as(who, "GET", "/v1/call-routing?\(query)")
        #expect(conformance.faults("GET", template: "/v1/call-routing", answer) == [])
        return try JSONReader.read(answer.body)
      }
      let known = try await ask("from=13812345678&did=%2B861055501200&call_id=1795382301.177")
      #expect(known["queue"] == "complaints" && known["priority"] == 7 && known["basis"] == "caller", "\(known)")
      #expect(known["customer_no"] == "C100" && known["level"] == 2 && known["rule_version"] == 7)
      #expect(known["is_fallback"] == false)
      let unknown = try await ask("from=%2B8613900000000&did=010-5550-1299")
      #expect(unknown["queue"] == "general" && unknown["basis"] == "none" && unknown["customer_no"] == .null)
      let prefix = try await ask("from=&did=%2B861055509999")
      #expect(prefix["language"] == "en" && prefix["priority"] == 1)
      let keyed = try await ask("from=&did=x&customer_no=C200")
      #expect(keyed["basis"] == "customer_no" && keyed["customer_no"] == "C200")
      let wrong = try await ask("from=&customer_no=nobody%20here")
      #expect(wrong["basis"] == "none" && wrong["queue"] == "general")
      #expect(try await exchange.served.as("agent-1001", "GET", "/v1/call-routing?from=1").status == 403)

      try await exchange.bank.database.write { transaction in
        try transaction.execute("UPDATE customer SET manager = '1001', language = 'en' WHERE customer_no = 'C100'", [])
      }
      let managed = try await ask("from=13812345678&did=%2B861055501200")
      #expect(managed["manager"]?["device"] == "PJSIP/1001" && managed["manager"]?["first"] == true)
      #expect(managed["language"] == "en")
      try await exchange.bank.database.write { transaction in
        _ = try transaction.setState(.notReady, of: AgentID("1001")!, reason: "lunch", actor: .liaison, at: Bank.now())
      }
      #expect(try await ask("from=13812345678")["manager"]?["first"] == false)

      let (decisions, audit) = try await exchange.bank.database.read { connection in
        (
          try connection.decisions(about: ["1795382301.177"], limit: 9),
          try connection.auditEntries(after: 0, customer: CustomerNumber("C100"), act: "read", limit: 9)
        )
      }
      #expect(decisions.first?.act == "routing" && decisions.first?.verdict == "complaints")
      #expect(audit.contains { $0.purpose == "call_routing" })
    }
  }

  @Test func `a store that does not answer leaves the call to the number dialled`() async throws {
    let folder = try temporaryFolder()
    let database = try Database.open(try StoreURL(folder.path + "/store.db"), migrations: migrations, now: testTime)
    let quiet = Logger(label: "calls") { _ in SwiftLogNoOpLogHandler() }
    var rules = Self.rules
    rules.answerWithinMs = 30
    let fixed = rules
    let router = CallRouter(
      database: database, rules: { fixed }, normalForm: { AddressForm.address(.phone, $0) }, now: Bank.now,
      logger: quiet)
    let question = CallRoutingQuestion(from: "13812345678", did: "+861055501200")
    // The writer is busy until the caller has been answered.
    let release = DispatchSemaphore(value: 0)
    async let stuck: Void = database.write { _ in release.wait() }
    let route = await router.route(question, for: .liaison)
    #expect(route.queue.description == "complaints" && route.customerNo == nil)
    release.signal()
    try await stuck
    await database.close()
    let closed = await router.route(question, for: .liaison)
    #expect(closed.queue.description == "complaints" && closed.isFallback)
  }
}

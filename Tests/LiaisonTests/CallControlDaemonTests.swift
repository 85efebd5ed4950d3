import API
import AsyncHTTPClient
import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import NIOPosix
import Store
import Synchronization
import Testing

@testable import liaison

/// Call control through the whole daemon: the API in front, a stand-in switch that obeys behind.
@Suite(
  .enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"),
  .timeLimit(.minutes(2)))
struct CallControlDaemonTests {
  private static let agents = [("1001", "PJSIP/1001"), ("1002", "PJSIP/1002")]

  /// What a bank has before its first start: agents with tokens.
  private func prepare(_ house: SwitchedBank) async throws -> [String: String] {
    let database = try Database.open(
      StoreURL("sqlite://\(house.bank.database)"), migrations: migrations, now: Timestamp(seconds: 0))
    var tokens: [String: String] = [:]
    for name in ["1001", "1002", "chief", "crm", "root"] { tokens[name] = AccessToken().text }
    let made = tokens
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      for (id, device) in Self.agents {
        try transaction.upsert(
          Agent(
            id: AgentID(id)!, name: "Agent \(id)", device: device, queues: [Code("general")!], state: .offline,
            stateSince: Timestamp(seconds: 0)), at: Timestamp(seconds: 0))
      }
      for (name, token) in made {
        let role: AccessGrant.Role =
          name == "root" ? .admin : name == "crm" ? .integration : name == "chief" ? .supervisor : .agent
        try transaction.add(
          AccessGrant(label: name, role: role, agentId: role == .agent ? AgentID(name) : nil),
          tokenHash: AccessToken(token)!.digest.description, at: Timestamp(seconds: 0))
      }
    }
    await database.close()
    return tokens
  }

  private struct Caller: Sendable {
    var base: String
    var tokens: [String: String]

    func send(
      _ who: String, _ method: HTTPMethod, _ path: String, _ body: JSONValue? = nil, key: String = UUID().uuidString
    ) async throws -> (status: UInt, json: JSONValue) {
      var request = HTTPClientRequest(url: base + path)
      request.method = method
      request.headers.add(name: "Authorization", value: "Bearer \(tokens[who] ?? "")")
      if method == .POST { request.headers.add(name: "Idempotency-Key", value: key) }
      if let body {
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: body.encoded))
      }
      let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
      let bytes = Array(try await answer.body.collect(upTo: 1 << 22).readableBytesView)
      return (answer.status.code, bytes.isEmpty ? .null : try JSONReader.read(bytes))
    }

    /// Asks until the answer is what the test waits for.
    func until(
      _ who: String, _ path: String, _ isThere: @escaping @Sendable (JSONValue) -> Bool
    ) async throws -> JSONValue {
      let end = ContinuousClock.now + .seconds(30)
      var last = JSONValue.null
      while ContinuousClock.now < end {
        last = try await send(who, .GET, path).json
        if isThere(last) { return last }
        try await Task.sleep(for: .milliseconds(10))
      }
      throw ChildProcess.Failure(
        description: "\(path) did not become what it should: \(last.encoded.count) bytes "
          + String(decoding: last.encoded.prefix(2_000), as: UTF8.self))
    }

    func settled(_ command: JSONValue, as who: String = "1001") async throws -> JSONValue {
      try await until(who, "/v1/call-commands/\(command["command_id"]?.string ?? "")") {
        ["done", "failed", "in_doubt"].contains($0["state"]?.string)
      }
    }
  }

  @Test func `an agent logs in, dials once, transfers a caller, works after the call, pauses at desk and telephone`()
    async throws
  {
    let standIn = AsteriskStandIn(programme: .recordings([]))
    let switchboard = StandInSwitchboard(standIn)
    let house = try SwitchedBank()
    let tokens = try await prepare(house)
    try await withSwitches([("main", standIn)]) { servers in
      let daemon = try house.start(servers)
      let caller = Caller(base: try await daemon.ready().api, tokens: tokens)

      // Login: the switch is told, and only once.
      let login = try await caller.send("1001", .POST, "/v1/agents/1001/login", ["state": "ready"], key: "l1")
      #expect(login.status == 200 && login.json["state"] == "ready", "\(login)")
      _ = try await caller.send("1001", .POST, "/v1/agents/1001/login", ["state": "ready"], key: "l1")
      let taken = try await caller.send("1002", .POST, "/v1/agents/1002/login", ["device": "PJSIP/1001"])
      #expect(taken.status == 409)
      let foreign = try await caller.send("1002", .POST, "/v1/agents/1002/login", ["queues": ["urgent"]])
      #expect(foreign.status == 422)
      #expect(try await caller.send("1002", .POST, "/v1/agents/1002/login", [:]).status == 200)
      _ = try await house.until("membership") { connection in
        try connection.first("SELECT 1 AS one FROM queue_member WHERE device = 'PJSIP/1001' AND queue = 'general'", [])
      }
      let joins = standIn.orders.filter { $0["Action"] == "QueueAdd" && $0["Interface"] == "PJSIP/1001" }
      #expect(joins.count == 1 && joins.first?["Queue"] == "general")

      // Originate: twice under one key is once on the wire.
      let order: JSONValue = ["to": "+8613900000001"]
      let first = try await caller.send("1001", .POST, "/v1/calls", order, key: "o1")
      let again = try await caller.send("1001", .POST, "/v1/calls", order, key: "o1")
      #expect(first.status == 202 && again.json["command_id"] == first.json["command_id"])
      let dialled = try await caller.settled(first.json)
      #expect(dialled["state"] == "done" && dialled["outcome"] == "answered", "\(dialled)")
      #expect(standIn.orders.filter { $0["Action"] == "Originate" }.count == 1)
      let mine = dialled["call_id"]?.string ?? ""
      let end = try await caller.send("1001", .POST, "/v1/calls/main/\(mine)/hang-up", ["whole_call": true])
      #expect(try await caller.settled(end.json)["state"] == "done")

      // Wrap-up after it, ended by the agent; the switch hears of both.
      let wrapping = try await caller.until("1001", "/v1/agents/1001") { $0["state"] == "wrap_up" }
      #expect(wrapping["wrap_up_until"]?.string != nil)
      _ = try await caller.until("1001", "/v1/agents/1001") { _ in
        standIn.orders.contains { $0["Action"] == "QueuePause" && $0["Paused"] == "true" && $0["Reason"] == "wrap-up" }
      }
      _ = try await house.until("the pause") { connection in
        try connection.first("SELECT 1 AS one FROM queue_member WHERE device = 'PJSIP/1001' AND paused = 1", [])
      }
      #expect(try await caller.send("1001", .PUT, "/v1/agents/1001/state", ["state": "ready"]).status == 200)
      _ = try await house.until("the end of the pause") { connection in
        try connection.first("SELECT 1 AS one FROM queue_member WHERE device = 'PJSIP/1001' AND paused = 0", [])
      }

      // A caller, passed on by the API: the outcome is an event on the agent's stream.
      let call = switchboard.incoming(
        from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001")
      _ = try await caller.until("1001", "/v1/calls") {
        $0["items"]?.array?.contains { $0["connected"] != nil } == true
      }
      let stream = try await openStream(caller, "1001")
      let transfer = try await caller.send("1001", .POST, "/v1/calls/main/\(call)/blind-transfer", ["to": "1002"])
      #expect(transfer.status == 202)
      let id = transfer.json["command_id"]?.string ?? "?"
      let told = try await stream.first {
        $0.contains("event: call_command.changed") && $0.contains(id) && $0.contains("\"state\":\"done\"")
      }
      #expect(told.contains("transferred"))
      _ = try await caller.until("1002", "/v1/calls") {
        $0["items"]?.array?.contains { $0["devices"]?.array == ["PJSIP/1002"] } == true
      }
      #expect(try await caller.send("1001", .POST, "/v1/calls/main/\(call)/hold", [:]).status == 403)
      let record = try await house.until("the contact's transfer") { connection in
        try connection.first(
          "SELECT state FROM call_state WHERE call_id = $1 AND state LIKE '%blind%'", [.text(call)])
      }
      #expect(try record.text("state").contains("1002"))
      switchboard.hangUp(call)
      _ = try await caller.until("1002", "/v1/agents/1002") { $0["state"] == "wrap_up" }

      // A pause at the desk reaches the switch, one at the telephone the desk.
      _ = try await caller.send("1001", .PUT, "/v1/agents/1001/state", ["state": "ready"])
      _ = try await caller.send(
        "1001", .PUT, "/v1/agents/1001/state", ["state": "not_ready", "reason": "lunch", "at_once": true])
      _ = try await house.until("lunch") { connection in
        try connection.first(
          "SELECT 1 AS one FROM queue_member WHERE device = 'PJSIP/1001' AND paused = 1 AND pause_reason = 'lunch'", [])
      }
      switchboard.pauseAtTelephone("PJSIP/1001", queue: "general", false)
      _ = try await caller.until("1001", "/v1/agents/1001") { $0["state"] == "ready" }
      switchboard.pauseAtTelephone("PJSIP/1001", queue: "general", true, reason: "errand")
      let paused = try await caller.until("chief", "/v1/overview") { overview in
        overview["agents"]?.array?.contains {
          $0["agent_id"] == "1001" && $0["state"] == "not_ready"
            && $0["state_reason"]?.string?.contains("errand") == true
        } == true
      }
      #expect(paused["agent_states"]?["not_ready"]?.integer ?? 0 >= 1)

      // Logout: out of the queue.
      #expect(try await caller.send("1001", .POST, "/v1/agents/1001/logout", [:]).json["state"] == "offline")
      _ = try await house.until("the end of the membership") { connection -> Bool? in
        try connection.first("SELECT 1 AS one FROM queue_member WHERE device = 'PJSIP/1001'", []) == nil ? true : nil
      }
      #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    }
    house.bank.remove()
  }

  @Test func `a command the daemon was killed with is in doubt after the restart, and never sent again`() async throws {
    let standIn = AsteriskStandIn(programme: .recordings([]), silentOn: ["Park"])
    let switchboard = StandInSwitchboard(standIn)
    let house = try SwitchedBank()
    let tokens = try await prepare(house)
    try await withSwitches([("main", standIn)]) { servers in
      var daemon = try house.start(servers)
      var caller = Caller(base: try await daemon.ready().api, tokens: tokens)
      _ = try await caller.send("1001", .POST, "/v1/agents/1001/login", [:])
      let call = switchboard.incoming(
        from: "+8613812345678", to: "+861055501200", queue: "general", answeredBy: "PJSIP/1001")
      _ = try await caller.until("1001", "/v1/calls") { $0["items"]?.array?.isEmpty == false }
      let park = try await caller.send("1001", .POST, "/v1/calls/main/\(call)/park", [:], key: "p1")
      #expect(park.status == 202)
      let path = "/v1/call-commands/\(park.json["command_id"]?.string ?? "")"
      _ = try await caller.until("1001", path) { _ in standIn.orders.contains { $0["Action"] == "Park" } }
      daemon.child.send(SIGKILL)
      _ = try await daemon.child.ended(within: .seconds(10))
      daemon = try house.start(servers)
      caller.base = try await daemon.ready().api
      let command = try await caller.until("1001", path) { $0["state"] != "sending" }
      #expect(command["state"] == "in_doubt" && command["fault_code"] == "timeout", "\(command)")
      // The same order again is the same command: nothing is sent.
      let again = try await caller.send("1001", .POST, "/v1/calls/main/\(call)/park", [:], key: "p1")
      #expect(again.json["command_id"] == park.json["command_id"])
      #expect(standIn.orders.filter { $0["Action"] == "Park" }.count == 1)
      // What the call shows later settles it.
      switchboard.hangUp(call)
      #expect(try await caller.until("1001", path) { $0["state"] != "in_doubt" }["state"] == "failed")
      #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    }
    house.bank.remove()
  }

  @Test func `dial plans are answered over HTTP and AGI, by new rules without a restart`() async throws {
    let standIn = AsteriskStandIn(programme: .recordings([]))
    let house = try SwitchedBank()
    let tokens = try await prepare(house)
    let port = try freeLoopbackPort()
    try await withSwitches([("main", standIn)]) { servers in
      let yaml = house.configuration(servers) + "\n    agi: {listen: \"127.0.0.1:\(port)\"}\n"
      let daemon = try house.bank.start(yaml, environment: ["SWITCH_SECRET": "demo"])
      let caller = Caller(base: try await daemon.ready().api, tokens: tokens)
      let before = try await caller.send("crm", .GET, "/v1/call-routing?did=%2B861055501200&from=")
      #expect(before.json["queue"] == "complaints" && before.json["rule_version"] == 1, "\(before)")
      let heard = try await ask(port)
      #expect(
        heard.contains("SET VARIABLE LIAISON_QUEUE \"complaints\"") && heard.contains("SET VARIABLE QUEUE_PRIO \"2\""))

      let rules = """
        kind: call_routing
        default: {queue: general, priority: 0}
        numbers: [{did: "+861055501200", queue: urgent, priority: 9, language: en}]
        """
      let wrong = try await caller.send(
        "root", .POST, "/v1/parameters",
        ["documents": [["name": "r.yaml", "text": .string(rules.replacing("urgent", with: "nowhere"))]]])
      #expect(wrong.status == 422)
      let applied = try await caller.send(
        "root", .POST, "/v1/parameters", ["documents": [["name": "r.yaml", "text": .string(rules)]]])
      #expect(applied.status == 200, "\(applied)")
      let after = try await caller.until("crm", "/v1/call-routing?did=%2B861055501200") { $0["rule_version"] == 2 }
      #expect(after["queue"] == "urgent" && after["priority"] == 9 && after["language"] == "en")
      #expect(try await ask(port).contains("SET VARIABLE LIAISON_LANGUAGE \"en\""))
      let decided = try await house.until("the decision") { connection in
        try connection.first("SELECT verdict FROM decision WHERE subject = '1795382265.168' AND act = 'routing'", [])
      }
      #expect(try decided.text("verdict") == "complaints")
      #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    }
    house.bank.remove()
  }

  // MARK: Parts

  /// Lines of an agent's stream, block by block.
  private struct EventLines {
    var iterator: HTTPClientResponse.Body.AsyncIterator
    var held = ""

    mutating func next() async throws -> String? {
      while true {
        if let end = held.range(of: "\n\n") {
          let block = String(held[..<end.lowerBound])
          held = String(held[end.upperBound...])
          return block
        }
        guard let buffer = try await iterator.next() else { return nil }
        held += String(buffer: buffer)
      }
    }
  }
  private struct OpenStream {
    var lines: EventLines
    func first(_ isWanted: (String) -> Bool) async throws -> String {
      var lines = lines
      while let block = try await lines.next() { if isWanted(block) { return block } }
      throw ChildProcess.Failure(description: "the stream ended")
    }
  }

  private func openStream(_ caller: Caller, _ agent: String) async throws -> OpenStream {
    var request = HTTPClientRequest(url: "\(caller.base)/v1/agents/\(agent)/events")
    request.headers.add(name: "Authorization", value: "Bearer \(caller.tokens[agent] ?? "")")
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
    return OpenStream(lines: EventLines(iterator: response.body.makeAsyncIterator()))
  }

  /// One AGI dialogue; the commands heard.
  private func ask(_ port: Int) async throws -> [String] {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    let heard = try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(
        ByteBuffer(
          string: "agi_network: yes\nagi_request: agi://127.0.0.1/route\nagi_uniqueid: 1795382265.168\n"
            + "agi_callerid: unknown\nagi_extension: +861055501200\n\n"))
      var heard: [String] = []
      for try await buffer in inbound {
        heard += String(buffer: buffer).split(separator: "\n").map(String.init)
        try await outbound.write(ByteBuffer(string: "200 result=1\n"))
      }
      return heard
    }
    return heard
  }
}

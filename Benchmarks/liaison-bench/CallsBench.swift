import API
import ArgumentParser
import AsyncHTTPClient
import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store
import Synchronization

/// From the event at the manager's socket to the pop flushed on the agent's stream, through the real daemon with fsync
/// on every commit: the time a customer's call takes to be on a screen.
struct CallsBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calls",
    abstract: "Call event at the socket → pop on the agent's stream, and memory over many events.",
    discussion: """
      Makes a store with so many customers, starts the program that LIAISON names on it, stands in for the switch, and \\
      listens on a stream of each agent. Every customer has one telephone number; half of the callers key their number.
      """)
  @Option(help: "Customers in the store.") var customers = 1_000_000
  @Option(help: "Calls a second.") var rate = 100
  @Option(help: "Seconds of calls that are measured.") var seconds = 30
  @Option(help: "Agents, each with a stream; a call lasts as long as there are agents for the rate.") var agents = 200
  @Option(help: "Manager events for the memory figure, after the measured calls; 0: none.") var events = 0
  @Option(help: "Folder for the store (about 0.4 GB a million customers).") var directory = NSTemporaryDirectory()
  @Flag(help: "Use the store an earlier run has left in the folder `calls-bench` there, and leave it.") var keep = false

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    var bank = try TestBank(in: directory)
    let store = keep ? directory + "/calls-bench.db" : bank.database
    let tokens = (0..<agents).map { _ in AccessToken() }
    try await prepare(store, tokens)
    let standIn = AsteriskStandIn()
    var pool = HTTPClient.Configuration()
    pool.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = agents + 8
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: pool)
    do {
      try await serve(&bank, store, tokens, standIn, client)
    } catch {
      try await client.shutdown()
      throw error
    }
    try await client.shutdown()
    if !keep { bank.remove() }
  }

  private func serve(
    _ bank: inout TestBank, _ store: String, _ tokens: [AccessToken], _ standIn: AsteriskStandIn, _ client: HTTPClient
  ) async throws {
    let (ports, port) = AsyncStream<Int>.makeStream()
    let seen = Seen()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await standIn.run { port.yield($0) } }
      guard let switchPort = await ports.first(where: { _ in true }) else { return }
      bank.moreChannels = [
        """
          - kind: telephony
            name: calls
            servers: [{name: pbx, host: 127.0.0.1, port: \(switchPort), username: liaison, secret: {env: SWITCH}}]
        """
      ]
      let yaml = bank.configuration.replacing("sqlite://\(bank.database)", with: "sqlite://\(store)")
      let daemon = try bank.start(yaml, environment: ["SWITCH": "demo"])
      let api = try await daemon.ready(within: .seconds(120)).api
      for (index, token) in tokens.enumerated() {
        group.addTask { try await listen(client, api, agent: index, token, seen) }
      }
      try await seen.until(opened: agents)
      let begun = resident(daemon.child.pid)
      let before = try await measure(standIn, seen)
      print(
        "\(customers) customers, \(rate) calls/s for \(seconds) s, \(agents) streams, fsync before each pop: "
          + "call event → pop flushed \(before.summary), \(before.values.count) pops; resident \(begun) → "
          + "\(resident(daemon.child.pid)) kB")
      if events > 0 { try await burden(standIn, seen, daemon.child.pid) }
      _ = try await daemon.stop(within: .seconds(30))
      group.cancelAll()
    }
    try await explainMissing(seen.missing, store)
  }

  /// Where the pops ended that never came: not a contact, not shown, or lost between the log and the stream.
  private func explainMissing(_ calls: [String], _ store: String) async throws {
    guard !calls.isEmpty else { return print("no pop is missing") }
    let database = try Database.open(StoreURL("sqlite://\(store)"), migrations: migrations, now: now())
    var found: [String: Int] = [:]
    for call in calls {
      let word = try await database.read { connection -> String in
        guard let kept = try connection.keptCall(call, on: "pbx") else { return "never heard of" }
        guard let contact = kept.contact else { return "no contact" }
        let events = try connection.query(
          "SELECT event_type FROM event WHERE contact_id = $1 AND event_type LIKE 'pop.%' ORDER BY seq", [.id(contact)])
        return "in the log: " + (try events.map { try $0.text("event_type") }.joined(separator: " "))
      }
      found[word, default: 0] += 1
    }
    await database.close()
    print("\(calls.count) pops never came: \(found)")
  }

  // MARK: The store

  private func number(_ customer: Int) -> String { "+86\(13_000_000_000 + customer)" }

  private func prepare(_ file: String, _ tokens: [AccessToken]) async throws {
    let began = ContinuousClock.now
    var options = Database.Options()
    options.statementTimeout = nil
    let time = Timestamp(seconds: Int64(Date().timeIntervalSince1970))
    let database = try Database.open(StoreURL("sqlite://\(file)"), migrations: migrations, options: options, now: time)
    let there = try await database.read { try $0.one("SELECT count(*) AS n FROM customer").count("n") }
    let step = 250_000
    for start in stride(from: there, to: customers, by: step) {
      let range: [SQLValue] = [SQLValue(start), SQLValue(min(start + step, customers)), SQLValue(time)]
      try await database.write(.bulk) { transaction in
        let numbers = "WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2)"
        for sql in [
          """
          INSERT INTO customer(customer_no, customer_type, status, level, name, name_folded, created_at, updated_at)
          SELECT CAST(10000000 + i AS TEXT), 'retail', 'active', 5, '客户' || i, '客户' || i, $3, $3 FROM n
          """,
          """
          INSERT INTO contact_point(kind, canonical, state, state_since, source)
          SELECT 'phone', '+86' || (13000000000 + i), 'ok', $3, 'bench' FROM n
          """,
          """
          INSERT INTO customer_contact_point(kind, canonical, customer_no, role, raw, from_at)
          SELECT 'phone', '+86' || (13000000000 + i), CAST(10000000 + i AS TEXT), 'own', '+86' || (13000000000 + i), $3
          FROM n
          """,
        ] { try transaction.execute("\(numbers) \(sql)", range) }
      }
    }
    // As the daemon would in the course of some minutes: every customer here is of one class.
    if try await database.read(.live, { try !$0.profilesAreComplete() }) {
      try await database.write { try $0.project(CustomerNumber("10000000")!, at: time) }
      for start in stride(from: 0, to: customers, by: step) {
        let range: [SQLValue] = [SQLValue(start), SQLValue(min(start + step, customers))]
        try await database.write(.bulk) { transaction in
          try transaction.execute(
            """
            WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2)
            INSERT INTO contact_profile(seq, customer_no, class_id)
            SELECT (SELECT max(seq) FROM contact_profile) + 1 + i - $1, CAST(10000000 + i AS TEXT),
              (SELECT class_id FROM contact_profile WHERE customer_no = '10000000') FROM n WHERE true
            ON CONFLICT (customer_no) DO NOTHING
            """, range)
        }
      }
      try await database.write { try $0.setControl("profiles", to: "complete", by: "bench", at: time) }
    }
    let count = agents
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      for index in 0..<count {
        let id = AgentID("b\(index)")!
        try transaction.upsert(
          Agent(
            id: id, name: "Agent \(index)", device: "PJSIP/b\(index)", queues: [Code("general")!], state: .ready,
            stateSince: time), at: time)
        try transaction.add(
          AccessGrant(label: "bench-\(index)", role: .agent, agentId: id), tokenHash: "\(tokens[index].digest)",
          at: time)
      }
    }
    await database.close()
    print("\(customers) customers, store ready in \((ContinuousClock.now - began).components.seconds) s")
  }

  // MARK: Streams

  private func listen(
    _ client: HTTPClient, _ api: String, agent: Int, _ token: AccessToken, _ seen: Seen
  ) async throws {
    var request = HTTPClientRequest(url: "\(api)/v1/agents/b\(agent)/events")
    request.headers.add(name: "Authorization", value: "Bearer \(token.text)")
    let response = try await client.execute(request, timeout: .hours(2))
    guard response.status == .ok else { throw ValidationError("the stream answered \(response.status)") }
    seen.open()
    var text: [UInt8] = []
    do {
      for try await part in response.body {
        let at = ContinuousClock.now
        text += part.readableBytesView
        while let end = text.firstRange(of: [0x0a, 0x0a]) {
          let event = text[..<end.lowerBound]
          if event.firstRange(of: Array("event: pop.ringing".utf8)) != nil,
            let mark = event.firstRange(of: Array("\"call_id\":\"".utf8))
          {
            seen.pop(String(decoding: event[mark.upperBound...].prefix { $0 != 0x22 }, as: UTF8.self), at)
          }
          text.removeSubrange(..<end.upperBound)
        }
      }
    } catch {
      // The daemon has ended, or the bench has.
    }
  }

  /// What went out and came back.
  final class Seen: Sendable {
    private struct State {
      var sent: [String: ContinuousClock.Instant] = [:]
      var latencies = Latencies()
      var opened = 0
    }
    private let state = Mutex(State())
    func open() { state.withLock { $0.opened += 1 } }
    func send(_ call: String) { state.withLock { $0.sent[call] = .now } }
    func pop(_ call: String, _ at: ContinuousClock.Instant) {
      state.withLock { state in
        if let start = state.sent.removeValue(forKey: call) { state.latencies.add(at - start) }
      }
    }
    var missing: [String] { state.withLock { Array($0.sent.keys) } }
    var waiting: Int { state.withLock { $0.sent.count } }
    func take() -> Latencies {
      state.withLock { state in
        defer { state.latencies = Latencies() }
        return state.latencies
      }
    }
    func until(opened count: Int) async throws {
      while state.withLock({ $0.opened < count }) { try await Task.sleep(for: .milliseconds(20)) }
    }
    func untilQuiet() async throws {
      let end = ContinuousClock.now + .seconds(60)
      while waiting > 0, ContinuousClock.now < end { try await Task.sleep(for: .milliseconds(20)) }
    }
  }

  // MARK: Calls

  private static let run = Int(Date().timeIntervalSince1970) * 100_000_000

  private func measure(_ standIn: AsteriskStandIn, _ seen: Seen) async throws -> Latencies {
    try await withThrowingTaskGroup(of: Void.self) { group in
      // A second of calls that is not counted: caches, and the streams' first event.
      for index in 0..<rate * (seconds + 1) {
        let (agent, customer) = (index % agents, index &* 7_919 % max(1, customers))
        group.addTask {
          try await call(standIn, seen, number: index, agent: agent, customer: customer, noise: 0)
        }
        if index == rate { _ = seen.take() }
        try await Task.sleep(for: .microseconds(1_000_000 / rate))
      }
      try await group.waitForAll()
    }
    try await seen.untilQuiet()
    return seen.take()
  }

  /// One call as a switch tells it: in the queue, ringing, a talk of a second, the end.
  private func call(
    _ standIn: AsteriskStandIn, _ seen: Seen, number index: Int, agent: Int, customer: Int, noise: Int
  ) async throws {
    // A call is named once and for ever: in a store that is kept, those of an earlier run have ended.
    let epoch = Self.run + index
    let (id, leg) = ("\(epoch).1", "\(epoch).2")
    func channel(_ prefix: String, _ name: String, _ id: String, _ state: Int, _ caller: String) -> [(String, String)] {
      [
        ("\(prefix)Channel", name), ("\(prefix)ChannelState", "\(state)"), ("\(prefix)CallerIDNum", caller),
        ("\(prefix)CallerIDName", "客户\(customer)"),
        ("\(prefix)Context", name.contains("trunk") ? "from-trunk" : "from-agents"), ("\(prefix)Exten", "95559"),
        ("\(prefix)Uniqueid", id), ("\(prefix)Linkedid", "\(epoch).1"),
      ]
    }
    let serial = String(index + 0x1000_0000, radix: 16)
    let caller = channel("", "PJSIP/trunk-\(serial)", id, 6, number(customer))
    func line(_ prefix: String, _ state: Int) -> [(String, String)] {
      channel(prefix, "PJSIP/b\(agent)-\(serial)", leg, state, "b\(agent)")
    }
    standIn.tell("Newchannel", channel("", "PJSIP/trunk-\(serial)", id, 4, number(customer)))
    if index % 2 == 0 {
      standIn.tell(
        "UserEvent", caller + [("UserEvent", "CustomerIdentified"), ("CustomerNo", "\(10_000_000 + customer)")])
    }
    standIn.tell("QueueCallerJoin", caller + [("Queue", "general"), ("Position", "1"), ("Count", "1")])
    for number in 0..<noise {
      standIn.tell("VarSet", caller + [("Variable", "SIPCALLID\(number)"), ("Value", "some-value-\(number)")])
    }
    standIn.tell("Newchannel", line("", 0))
    seen.send(id)
    standIn.tell("AgentCalled", caller + line("Dest", 5) + [("Queue", "general"), ("Interface", "PJSIP/b\(agent)")])
    standIn.tell("DialBegin", caller + line("Dest", 5) + [("DialString", "b\(agent)")])
    try await Task.sleep(for: .milliseconds(noise == 0 ? 400 : 1))
    standIn.tell("Newstate", line("", 6))
    standIn.tell("DialEnd", caller + line("Dest", 6) + [("DialStatus", "ANSWER")])
    let bridge = [("BridgeUniqueid", "b\(epoch)"), ("BridgeTechnology", "simple_bridge")]
    standIn.tell("BridgeEnter", line("", 6) + bridge)
    standIn.tell("BridgeEnter", caller + bridge)
    try await Task.sleep(for: .milliseconds(noise == 0 ? 1_000 : 1))
    standIn.tell("HangupRequest", caller)
    standIn.tell("BridgeLeave", line("", 6) + bridge)
    standIn.tell("Hangup", line("", 6) + [("Cause", "16")])
    standIn.tell("BridgeLeave", caller + bridge)
    standIn.tell("Hangup", caller + [("Cause", "16")])
  }

  // MARK: Memory

  /// Calls of 141 events each, of which 15 say something, as many as make up the number wanted; as fast as they pop.
  private func burden(_ standIn: AsteriskStandIn, _ seen: Seen, _ pid: pid_t) async throws {
    let calls = events / 141
    let began = ContinuousClock.now
    var figures: [Int] = [resident(pid)]
    for block in 0..<10 {
      try await withThrowingTaskGroup(of: Void.self) { group in
        for index in 0..<calls / 10 {
          if index >= 32 { try await group.next() }
          let number = 10_000_000 + block * calls + index
          group.addTask {
            try await call(
              standIn, seen, number: number, agent: index % agents, customer: index % max(1, customers), noise: 126)
            while seen.waiting > 64 { try await Task.sleep(for: .milliseconds(2)) }
          }
        }
        try await group.waitForAll()
      }
      try await seen.untilQuiet()
      figures.append(resident(pid))
    }
    let elapsed = ContinuousClock.now - began
    print(
      "\(calls / 10 * 10 * 141) manager events (\(perSecond(calls / 10 * 10 * 141, in: elapsed))/s, "
        + "\(perSecond(calls / 10 * 10, in: elapsed)) calls/s with fsync): resident after each tenth, MB: "
        + figures.map { "\($0 / 1_024)" }.joined(separator: " "))
  }

  private func resident(_ pid: pid_t) -> Int {
    // Absent outside Linux.
    let text = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
    return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
  }
}

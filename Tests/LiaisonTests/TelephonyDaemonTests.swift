import API
import AsyncHTTPClient
import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store
import Testing

/// Recorded sessions of a real switch: the adapter's own, and the whole ones in ../shared where they are.
private let root = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent()
  .deletingLastPathComponent()
private let recordings: URL = {
  let shared = root.appendingPathComponent("../shared/recordings/telephony")
  return FileManager.default.fileExists(atPath: shared.path)
    ? shared : root.appendingPathComponent("adapters/telephony/Tests/Fixtures/recorded")
}()
private let names: [String] = {
  // A folder that is not there has no files; the test then says that it compared nothing.
  let files = (try? FileManager.default.contentsOfDirectory(atPath: recordings.path)) ?? []
  return files.filter { $0.hasSuffix(".expected.json") }.map { String($0.dropLast(14)) }.sorted()
}()

/// The running program with one or many stand-in switches.
struct SwitchedBank: Sendable {
  let bank: TestBank
  init() throws { bank = try TestBank() }

  func configuration(_ servers: [(name: String, port: Int)], delay: String = "20ms") -> String {
    bank.configuration.trimmingCharacters(in: .newlines) + """

        - kind: telephony
          name: calls
          reconnect_delay: \(delay)
          longest_reconnect_delay: \(delay)
          country_code: "41"
          servers:

      """
      + servers.map { server in
        """
            - name: \(server.name)
              host: 127.0.0.1
              port: \(server.port)
              username: liaison
              secret: {env: SWITCH_SECRET}

        """
      }.joined()
  }

  func start(_ servers: [(name: String, port: Int)], environment: [String: String] = [:]) throws -> Liaison {
    try bank.start(
      configuration(servers), environment: environment.merging(["SWITCH_SECRET": "demo"]) { first, _ in first })
  }

  /// Agents at the telephones 1001 to 1003, before the first start; gives the token of the first.
  func seat(at time: Timestamp = Timestamp(seconds: 1_790_000_000)) async throws -> AccessToken {
    let token = AccessToken()
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, now: time)
    try await database.write { transaction in
      try transaction.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General")
      for number in ["1001", "1002", "1003"] {
        try transaction.upsert(
          Agent(
            id: AgentID(number)!, name: number, device: "PJSIP/\(number)", queues: [Code("general")!], state: .ready,
            stateSince: time), at: time)
      }
      try transaction.add(
        AccessGrant(label: "agent", role: .agent, agentId: AgentID("1001")!), tokenHash: "\(token.digest)", at: time)
    }
    await database.close()
    return token
  }

  /// Reads the store beside the daemon until `condition` holds.
  func until<Value: Sendable>(
    _ what: String, within limit: Duration = .seconds(60),
    _ read: @escaping @Sendable (any Connection) throws -> Value?
  ) async throws -> Value {
    var options = Database.Options()
    options.readOnly = true
    options.readers = 1
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
      if let value = try await database.read(.live, read) {
        await database.close()
        return value
      }
      // Another process writes; there is no signal to wait for.
      try await Task.sleep(for: .milliseconds(20))
    }
    await database.close()
    throw ChildProcess.Failure(description: "\(what) did not come within \(limit)")
  }
}

/// Stand-in switches on free ports for the time of `body`.
func withSwitches(
  _ switches: [(name: String, standIn: AsteriskStandIn)],
  _ body: @Sendable ([(name: String, port: Int)]) async throws -> Void
) async throws {
  try await withThrowingTaskGroup(of: Void.self) { group in
    var servers: [(name: String, port: Int)] = []
    for (name, standIn) in switches {
      let (ports, port) = AsyncStream<Int>.makeStream()
      group.addTask { try await standIn.run { port.yield($0) } }
      guard let number = await ports.first(where: { _ in true }) else { return }
      servers.append((name, number))
    }
    try await body(servers)
    group.cancelAll()
  }
}

@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct TelephonyDaemonTests {
  /// How a recording is played.
  enum Manner: String, CaseIterable, Sendable {
    case whole, pieces
    /// Cut off in the middle of an event; the next connection lists what lives and goes on after the cut.
    case cut
  }

  @Test func `all recordings over TCP are the contacts they must be: whole, in pieces, and cut in mid-event`()
    async throws
  {
    var switches: [(name: String, standIn: AsteriskStandIn)] = []
    var plays: [(server: String, recording: String, manner: Manner)] = []
    for (index, name) in names.enumerated() {
      let bytes = Array(try Data(contentsOf: recordings.appendingPathComponent("\(name).ami")))
      for manner in Manner.allCases {
        let server = "s\(index)-\(manner.rawValue)"
        let standIn = AsteriskStandIn(
          programme: .recordings([bytes]), piece: manner == .pieces ? 7 : nil,
          cut: manner == .cut ? bytes.count / 2 + 13 : nil, resumes: true)
        switches.append((server, standIn))
        plays.append((server, name, manner))
      }
    }
    let wanted = plays
    let house = try SwitchedBank()
    try await withSwitches(switches) { servers in
      let daemon = try house.start(servers)
      _ = try await daemon.ready()
      var compared = 0
      for play in wanted {
        let expected = try expectation(of: play.recording)
        let found = try await house.until("\(play.recording) \(play.manner)") { connection -> [KeptContact]? in
          let found = try contacts(of: play.server, connection)
          return found.count >= expected.count && found.allSatisfy({ $0.contact?.state != .open }) ? found : nil
        }
        compared += expected.count
        #expect(
          differences(expected, found, manner: play.manner) == [], "\(play.recording) \(play.manner)")
      }
      #expect(compared >= 60)
      let (orphans, work) = try await house.until("the end") { connection in
        (
          try connection.one(
            """
            SELECT count(*) AS n FROM contact WHERE channel_kind = 'telephony'
              AND (state = 'open' OR contact_id NOT IN (SELECT contact_id FROM call_state WHERE contact_id IS NOT NULL))
            """
          ).int("n"),
          try connection.one("SELECT count(*) AS n FROM arrival WHERE state <> 'routed'").int("n")
        )
      }
      #expect(orphans == 0 && work == 0)
      #expect(try await daemon.stop() == .code(0))
    }
    house.bank.remove()
  }

  @Test func `a call pops on the agent's stream from ring to end, and stands in his snapshot while it lasts`()
    async throws
  {
    let standIn = AsteriskStandIn()
    let calls = StandInCalls(
      switchboard: standIn, customers: [.init(number: "+41791112233", name: "O'Brien", customerNo: "7001234")],
      agents: [.init(device: "PJSIP/1001", name: "One")], queue: "general", haste: 6, seed: 3)
    let house = try SwitchedBank()
    let token = try await house.seat()
    try await withSwitches([("main", standIn)]) { servers in
      let daemon = try house.start(servers)
      let api = try await daemon.ready().api
      var stream = HTTPClientRequest(url: "\(api)/v1/agents/1001/events")
      stream.headers.add(name: "Authorization", value: "Bearer \(token.text)")
      let response = try await HTTPClient.shared.execute(stream, timeout: .seconds(60))
      #expect(response.status == .ok)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { await calls.run(every: .milliseconds(3_000)) }
        var text = ""
        var types: [String] = []
        var snapshot: String?
        reading: for try await part in response.body {
          text += String(decoding: part.readableBytesView, as: UTF8.self)
          while let end = text.range(of: "\n\n") {
            let event = String(text[..<end.lowerBound])
            text.removeSubrange(..<end.upperBound)
            guard let line = event.split(separator: "\n").first(where: { $0.hasPrefix("event: pop.") }) else {
              continue
            }
            types.append(String(line.dropFirst(7)))
            if types.last == "pop.ringing" {
              #expect(event.contains("\"keyed_customer_no\":\"7001234\"") && event.contains("\"part\":\"ringing\""))
            }
            if types.last == "pop.answered" {
              var request = HTTPClientRequest(url: "\(api)/v1/agents/1001/snapshot")
              request.headers.add(name: "Authorization", value: "Bearer \(token.text)")
              let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
              snapshot = String(buffer: try await answer.body.collect(upTo: 1 << 20))
            }
            if types.last == "pop.ended", types.contains("pop.answered") { break reading }
          }
        }
        #expect(types.contains("pop.ringing") && types.contains("pop.answered"), "\(types)")
        let shown = snapshot ?? ""
        #expect(shown.contains("\"part\":\"talking\"") || shown.contains("\"part\":\"held\""), "\(shown)")
        #expect(shown.contains("hang_up"), "\(shown)")
        group.cancelAll()
      }
      #expect(try await daemon.stop() == .code(0))
    }
    house.bank.remove()
  }

  @Test func `a daemon killed during calls resumes or closes each, none twice`() async throws {
    let standIn = AsteriskStandIn()
    let calls = StandInCalls(
      switchboard: standIn, customers: [.init(number: "0791112233", name: "O'Brien", customerNo: nil)],
      agents: [.init(device: "PJSIP/1001", name: "One"), .init(device: "PJSIP/1002", name: "Two")], queue: "general",
      haste: 4, seed: 7)
    let house = try SwitchedBank()
    _ = try await house.seat()
    try await withSwitches([("main", standIn)]) { servers in
      var daemon = try house.start(servers)
      _ = try await daemon.ready()
      try await withThrowingDiscardingTaskGroup { group in
        group.addTask { await calls.run(every: .milliseconds(1_200)) }
        for round in 1...3 {
          let open = try await house.until("open calls in round \(round)") { connection -> Int64? in
            let open = try connection.one(
              "SELECT count(*) AS n FROM contact WHERE state = 'open' AND connected_at IS NOT NULL"
            ).int("n")
            return open > 0 ? open : nil
          }
          #expect(open > 0)
          daemon.child.send(SIGKILL)
          _ = try await daemon.child.ended(within: .seconds(10))
          daemon = try house.start(servers)
          _ = try await daemon.ready()
        }
        group.cancelAll()
      }
      // The calls ended with their task, the connections with them: the switch is asked what lives, which is nothing.
      standIn.forget()
      standIn.hangUpOnEverybody()
      let (open, contacts, twice) = try await house.until("every call closed") { connection -> (Int64, Int64, Int64)? in
        let open = try connection.one("SELECT count(*) AS n FROM call_state WHERE is_open = 1").int("n")
        guard open == 0 else { return nil }
        return (
          try connection.one("SELECT count(*) AS n FROM contact WHERE state = 'open'").int("n"),
          try connection.one("SELECT count(*) AS n FROM contact").int("n"),
          try connection.one("SELECT count(*) - count(DISTINCT provider_id) AS n FROM contact").int("n")
        )
      }
      // What rang and ended while nobody was connected is nobody's contact; all others are, once.
      #expect(open == 0 && twice == 0 && contacts >= 3 && contacts <= Int64(calls.callsMade))
      let canonical = try await house.until("a number") { connection -> String? in
        try connection.first("SELECT from_canonical FROM contact LIMIT 1", [])?.text("from_canonical")
      }
      #expect(canonical == "+41791112233")
      #expect(try await daemon.stop() == .code(0))
    }
    house.bank.remove()
  }

  @Test(arguments: [
    ("channels: [{kind: telephony, name: t}]", "at least one server"),
    ("channels: [{kind: telephony, name: t, servers: [{name: a, host: h, username: u}]}]", "servers.secret"),
    (
      "channels: [{kind: telephony, name: t, servers: [{name: a, host: h, username: u, secret: s}]}]",
      "a secret does not stand in this file"
    ),
    ("channels: [{kind: telephony, name: t, servers: [{name: A_b, host: h, username: u}]}]", "no server name"),
    (
      "channels: [{kind: telephony, name: t, servers: [{name: a, hots: h, username: u}]}]", "did you mean host?"
    ),
  ])
  func `wrong wiring is told`(yaml: String, says: String) async throws {
    let bank = try TestBank()
    let text = bank.configuration.components(separatedBy: "channels:")[0] + yaml + "\n"
    let daemon = try bank.start(text)
    #expect(try await daemon.child.ended(within: .seconds(20)) == .code(78))
    #expect(daemon.child.tail.contains(says), "\(daemon.child.tail)")
    bank.remove()
  }
}

// MARK: Comparison

private struct KeptContact: Sendable {
  var contact: Contact?
  var record: CallRecord
}

private func contacts(of server: String, _ connection: any Connection) throws -> [KeptContact] {
  try connection.query("SELECT call_id FROM call_state WHERE server = $1 ORDER BY call_id", [.text(server)]).compactMap
  {
    row -> KeptContact? in
    guard let call = try connection.keptCall(try row.text("call_id"), on: server) else { return nil }
    let record = CallRecord(try call.state(), answerQueue: call.answerQueue)
    // The bank's own calls, and those that turned out to be part of another, are no customer's.
    if record.direction == .internal || record.disposition == "merged" { return nil }
    return KeptContact(contact: try call.contact.flatMap { try connection.contact($0) }, record: record)
  }
}

private struct Expected: Decodable, Sendable {
  struct Transfer: Decodable, Sendable { var type, by, to: String }
  struct Hold: Decodable, Sendable {
    var by: String
    var s: Double
  }
  var call_id: String?
  var job: String?
  var direction: String
  var caller: String?
  var caller_name: String?
  var customer: String?
  var did: String?
  var customer_no: String?
  var queue: String?
  var offers: [[String]]?
  var agents: [String]?
  var transfers: [Transfer]?
  var holds: [Hold]?
  var disposition: String?
  var ended_by: String?
  var recordings: Int?
  var known_from: String?
  var talk_s: Double?
  var times_ms: [String: Double]?
}

private func expectation(of recording: String) throws -> [Expected] {
  struct File: Decodable { var calls: [Expected] }
  let data = try Data(contentsOf: recordings.appendingPathComponent("\(recording).expected.json"))
  return try JSONDecoder().decode(File.self, from: data).calls
}

/// What is asserted and not so; of a cut one what no gap of one event can hide.
private func differences(
  _ expected: [Expected], _ found: [KeptContact], manner: TelephonyDaemonTests.Manner
) -> [String] {
  var out: [String] = []
  if found.count != expected.count { out.append("\(found.count) contacts instead of \(expected.count)") }
  for want in expected {
    let match = found.first { want.call_id == nil ? $0.record.job == want.job : $0.record.callID == want.call_id }
    // A synchronous order's failure names no job on the wire; it is the one call nobody else claims.
    let unnamed = found.first { $0.record.customer == want.customer && $0.record.disposition == want.disposition }
    guard let got = match ?? (want.call_id == nil ? unnamed : nil) else {
      out.append("no call \(want.call_id ?? want.job ?? "")")
      continue
    }
    func check(_ key: String, _ asserted: (some Equatable)?, _ value: (some Equatable)?) {
      guard let asserted else { return }
      if "\(asserted)" != value.map({ "\($0)" }) ?? "none" {
        out.append("\(got.record.callID) \(key): \(value.map { "\($0)" } ?? "none") instead of \(asserted)")
      }
    }
    let (record, contact) = (got.record, got.contact)
    check("direction", want.direction, record.direction.rawValue)
    // Whom it called is told once: with the event that was cut off it may be lost.
    if manner != .cut || record.customer != nil { check("customer", want.customer, record.customer) }
    check("caller", want.caller, record.caller)
    check("caller_name", want.caller_name, record.callerName)
    check("did", want.did, record.did)
    check("customer_no", want.customer_no, record.customerNo)
    check("agents", want.agents, record.agents)
    check("known_from", want.known_from, record.knownFrom)
    check(
      "transfers", want.transfers?.map { "\($0.type) \($0.by) \($0.to)" },
      record.transfers.map { "\($0.type) \($0.by) \($0.to)" })
    check("contact", want.direction == "outbound" ? "outbound" : "inbound", contact?.direction.rawValue)
    check("disposition", want.disposition, contact?.disposition)
    check("state", "closed", contact?.state.rawValue)
    guard manner != .cut else { continue }
    check("queue", want.queue, record.queue)
    check("offers", want.offers, record.offers.map { $0.map { $0 ?? "open" } })
    check("ended_by", want.ended_by, contact?.endedBy)
    check("recordings", want.recordings, record.recordings.count)
    check("holds", want.holds?.map(\.by), record.holds.map(\.by))
    let start = want.times_ms.flatMap { $0["ended"] }
    guard let end = contact?.times.ended, let start else { continue }
    for (word, time) in want.times_ms ?? [:] {
      let at: Timestamp?
      switch word {
      case "created": at = contact?.times.received
      case "queued": at = contact?.times.enqueued
      case "connected": at = contact?.times.connected
      default: at = contact?.times.ended
      }
      guard let at else {
        out.append("\(record.callID): no time \(word)")
        continue
      }
      let difference = Double((at - end).wholeMilliseconds) - (time - start)
      if abs(difference) > 30 { out.append("\(record.callID) \(word): \(difference) ms off") }
    }
  }
  return out
}

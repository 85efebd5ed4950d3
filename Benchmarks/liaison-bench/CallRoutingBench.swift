import ArgumentParser
import Channels
import ContactModel
import Desk
import Foundation
import Logging
import NIOCore
import NIOPosix
import Store
import Telephony

/// The dial plan's question: look-up among many customers, decision and audit on record, as the router does it and
/// over FastAGI with all variables set.
struct CallRoutingBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call-routing", abstract: "Who should get this call, durable, among 1 M and 10 M customers, SQLite.")

  @Option(help: "Customers, a phone each.") var rows = [1_000_000, 10_000_000]
  @Option(help: "Folder for the files (about 4 GB for 10 M).") var directory = NSTemporaryDirectory()
  @Option(help: "Who asks at once.") var askers = [1, 16]
  @Option(help: "Seconds for each figure.") var seconds = 5

  private static let rules = CallRoutingRules(
    defaultQueue: Code("general")!, answerWithinMs: 15,
    numbers: [.init(did: "+86105550*", queue: Code("general")!, priority: 1)],
    levels: [.init(level: 1, priority: 10, managerFirst: true), .init(level: 2, priority: 5)], version: 1)

  func run() async throws {
    for count in rows {
      let file = "\(directory)/liaison-bench-\(UUID().uuidString).db"
      let started = ContinuousClock.now
      try await load(Int64(count), into: file)
      print("\(count) customers loaded in \((ContinuousClock.now - started).components.seconds) s")
      let database = try Database.open(StoreURL(file), migrations: migrations, now: now())
      let quiet = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
      let router = CallRouter(
        database: database, rules: { Self.rules },
        normalForm: { Address(kind: .phone, canonical: $0, raw: $0) }, now: benchTime, logger: quiet)
      for askers in askers {
        try await measure("router", askers, Int64(count)) { phone in
          await router.route(
            CallRoutingQuestion(from: phone, did: "+861055501200", callID: "bench"), for: .liaison
          ).isFallback == false
        }
      }
      let listener = AGIListener(configuration: .init(port: 0), logger: quiet) { request in
        let route = await router.route(
          CallRoutingQuestion(from: request.caller, did: request.dialled, callID: request.callID), for: .liaison)
        return [
          AGIVariable("LIAISON_QUEUE", route.queue.description), AGIVariable("QUEUE_PRIO", "\(route.priority)"),
          AGIVariable("LIAISON_LANGUAGE", route.language), AGIVariable("LIAISON_BASIS", route.basis.rawValue),
          AGIVariable("LIAISON_CUSTOMER", route.customerNo?.description ?? ""),
          AGIVariable("LIAISON_LEVEL", route.level.map(String.init) ?? ""),
          AGIVariable("LIAISON_ROUTE", route.isFallback ? "fallback" : "answered"),
        ]
      }
      let serving = Task { await listener.run() }  // Cancelled below.
      while listener.port == nil { await Task.yield() }
      for askers in askers {
        let port = listener.port ?? 0
        try await measure("FastAGI", askers, Int64(count)) { try await dialogue(port, from: $0) }
      }
      serving.cancel()
      await database.close()
      for suffix in ["", "-wal", "-shm", ".lock"] {
        do { try FileManager.default.removeItem(atPath: file + suffix) } catch CocoaError.fileNoSuchFile {}
      }
    }
  }

  private func load(_ count: Int64, into file: String) async throws {
    var options = Database.Options()
    options.statementTimeout = nil
    let database = try Database.open(StoreURL(file), migrations: migrations, options: options, now: now())
    try await database.write { try $0.upsertQueue(Code("general")!, nameZh: "综合", nameEn: "General") }
    let step: Int64 = 250_000
    for start in stride(from: Int64(0), to: count, by: Int(step)) {
      try await database.write(.bulk) { tx in
        let range: [SQLValue] = [.int(start), .int(min(start + step, count))]
        let numbers = "WITH RECURSIVE n (i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $2)"
        try tx.execute(
          """
          \(numbers) INSERT INTO customer(customer_no, customer_type, status, level, name, name_folded, language,
            created_at, updated_at)
          SELECT 'C' || i, 'retail', 'active', 1 + i % 7, '客户 ' || i, '客户' || i, 'zh-Hans', 0, 0 FROM n
          """, range)
        try tx.execute(
          """
          \(numbers) INSERT INTO contact_point(kind, canonical, state, state_since, source)
          SELECT 'phone', '+86' || (13000000000 + i * 37), 'ok', 0, 'core' FROM n
          """, range)
        try tx.execute(
          """
          \(numbers) INSERT INTO customer_contact_point(kind, canonical, customer_no, role, raw, from_at)
          SELECT 'phone', '+86' || (13000000000 + i * 37), 'C' || i, 'own', '', 0 FROM n
          """, range)
      }
    }
    await database.close()
  }

  private func measure(
    _ what: String, _ tasks: Int, _ count: Int64, _ ask: @escaping @Sendable (String) async throws -> Bool
  ) async throws {
    let start = ContinuousClock.now
    let end = start + .seconds(seconds)
    let (latencies, fallbacks) = try await withThrowingTaskGroup(of: (Latencies, Int).self) { group in
      for _ in 0..<tasks {
        group.addTask {
          var latencies = Latencies()
          var fallbacks = 0
          while ContinuousClock.now < end {
            let phone = "+86\(13_000_000_000 + Int64.random(in: 0..<count) * 37)"
            let began = ContinuousClock.now
            if try await !ask(phone) { fallbacks += 1 }
            latencies.add(ContinuousClock.now - began)
          }
          return (latencies, fallbacks)
        }
      }
      return try await group.reduce(into: (Latencies(), 0)) {
        $0.0.add($1.0)
        $0.1 += $1.1
      }
    }
    let elapsed = ContinuousClock.now - start
    print(
      "  " + column(what, 9) + column("\(tasks) askers", 12)
        + column(perSecond(latencies.values.count, in: elapsed) + "/s", 12) + column(latencies.summary, 42)
        + "\(fallbacks) without the customer")
  }
}

/// One dialogue as Asterisk has it; true if the customer was looked up.
private func dialogue(_ port: Int, from phone: String) async throws -> Bool {
  let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
    .connect(host: "127.0.0.1", port: port) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
  let request = """
    agi_network: yes
    agi_network_script: route
    agi_request: agi://127.0.0.1/route
    agi_channel: PJSIP/trunk-0000009c
    agi_uniqueid: 1795382265.168
    agi_callerid: \(phone)
    agi_dnid: +861055501200
    agi_extension: +861055501200


    """
  return try await channel.executeThenClose { inbound, outbound in
    try await outbound.write(ByteBuffer(string: request))
    var wasAnswered = false
    for try await buffer in inbound {
      if String(buffer: buffer).contains("LIAISON_ROUTE \"answered\"") { wasAnswered = true }
      try await outbound.write(ByteBuffer(string: "200 result=1\n"))
    }
    return wasAnswered
  }
}

@Sendable private func benchTime() -> Timestamp { now() }

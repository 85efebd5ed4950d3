import API
import ArgumentParser
import Channels
import ContactModel
import Customers
import Foundation
import Hummingbird
import HummingbirdTLS
import Logging
import NIOSSL
import ServiceLifecycle
import Store

/// Requests a second over TLS, each beside a route of Hummingbird alone that answers as many bytes: what our checks, the
/// store and the record of who saw whom cost on top.
struct APIBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "api", abstract: "Look-ups and a long timeline over TLS, beside a plain Hummingbird route; needs wrk.")
  @Option(help: "Customers.") var customers = 100_000
  @Option(help: "Contacts of one of them.") var contacts = 10_000
  @Option(help: "Seconds for each figure.") var seconds = 4
  @Option(help: "Connections of the client.") var connections = 64

  func run() async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "liaison-bench-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer {
      do { try FileManager.default.removeItem(atPath: folder) } catch { print("\(folder) is left behind: \(error)") }
    }
    let (chain, key) = ("\(folder)/cert.pem", "\(folder)/key.pem")
    try execute(
      "/usr/bin/openssl",
      [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
        "/CN=localhost", "-keyout", key, "-out", chain,
      ])
    let database = try Database.open(StoreURL("\(folder)/bench.db"), migrations: migrations, now: now())
    let token = AccessToken()
    try await fill(database, token)
    let logger = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
    let cursors = CursorSigner(secret: Array(repeating: 1, count: 32))
    let tokens = TokenLookup(database: database, now: now)
    let site = Site(
      routes: CustomerResources(database: database, cursors: cursors).routes
        + RecordResources(database: database, cursors: cursors).routes,
      authentication: .bearer(lookup: tokens.record), clock: now)
    let (ports, bound) = AsyncStream.makeStream(of: Int.self)
    let certificates = try CertificateStore(CertificateFiles(chain: chain, key: key), logger: logger)
    let ours = Listener(
      ListenerConfiguration(name: "bench", address: .network(host: "127.0.0.1", port: 0)), site: site,
      certificates: certificates, logger: logger, onBound: { bound.yield($0 ?? 0) })
    let plain = try plainServer(chain, key, logger, bodyBytes: 420) { bound.yield($0) }
    var iterator = ports.makeAsyncIterator()

    let first = ServiceGroup(configuration: .init(services: [plain], logger: logger))
    async let plainRun: Void = first.run()
    guard let plainPort = await iterator.next() else { return }
    print("TLS, \(connections) connections, wrk on the same \(ProcessInfo.processInfo.processorCount) cores")
    try load("plain Hummingbird route", plainPort, "/plain", nil, token)
    await first.triggerGracefulShutdown()
    try await plainRun

    let second = ServiceGroup(configuration: .init(services: [ours], logger: logger))
    async let ourRun: Void = second.run()
    guard let port = await iterator.next() else { return }
    try load("agent by id, no customer in it", port, "/v1/agents/1001", nil, token)
    try load("customer by number, each on record", port, "/v1/customers/B", customers, token)
    for askers in [1, 4, connections] {
      try load(
        "timeline of \(contacts) contacts, 100 a page, \(askers) askers", port, "/v1/customers/B0/timeline", nil, token,
        askers)
    }
    await second.triggerGracefulShutdown()
    try await ourRun
    let rows = try await database.read { try $0.one("SELECT count(*) AS n FROM audit WHERE act = 'read'").int("n") }
    print("  \(rows) looks on record")
    await database.close()
  }

  private func fill(_ database: Database, _ token: AccessToken) async throws {
    let (customers, contacts) = (Int64(customers), Int64(contacts))
    try await database.write(.bulk) { tx in
      try tx.upsert(
        Agent(id: AgentID("1001")!, name: "Agent", queues: [], state: .ready, stateSince: now()), at: now())
      try tx.add(
        AccessGrant(label: "bench", role: .admin, agentId: nil), tokenHash: token.digest.description, at: now())
      try tx.execute(
        """
        WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1)
        INSERT INTO customer(customer_no, customer_type, status, level, name, name_folded, created_at, updated_at)
        SELECT 'B' || i, 'retail', 'active', 5, '客户 ' || i, '客户' || i, 0, 0 FROM n
        """, [.int(customers)])
      for number in 0..<contacts {
        let at = Timestamp(seconds: 1_700_000_000 + number)
        let id = ContactID(at: at)
        try tx.execute(
          """
          INSERT INTO contact(contact_id, customer_no, channel_kind, channel, direction, initiation, state, summary,
            content, identity_zone, identity_decision, received_at, stored_at)
          VALUES ($1, 'B0', 'webform', 'web', 'inbound', 'inbound', 'open', $2, $3, 'satisfied', $4, $5, $5)
          """,
          [
            .text(id.description), .text("投诉 \(number)"), .text(String(repeating: "内容", count: 100)),
            .text(DecisionID(at: at).description), .int(at.microseconds),
          ])
      }
    }
  }

  private func plainServer(
    _ chain: String, _ key: String, _ logger: Logger, bodyBytes: Int, _ bound: @escaping @Sendable (Int) -> Void
  ) throws -> some Service {
    let text = "{\"x\":\"\(String(repeating: "a", count: bodyBytes))\"}"
    let router = Router()
    router.get("plain") { _, _ in text }
    let tls = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMFile(chain).map { .certificate($0) },
      privateKey: .privateKey(try NIOSSLPrivateKey(file: key, format: .pem)))
    return Application(
      router: router, server: try .tls(.http1(), tlsConfiguration: tls),
      configuration: .init(address: .hostname("127.0.0.1", port: 0)),
      onServerRunning: { bound($0.localAddress?.port ?? 0) }, logger: logger)
  }

  /// `count`: a number below it is put after the path, another for each request.
  private func load(
    _ name: String, _ port: Int, _ path: String, _ count: Int?, _ token: AccessToken, _ askers: Int? = nil
  ) throws {
    let script = FileManager.default.temporaryDirectory.appending(path: "liaison-bench-\(UUID().uuidString).lua").path
    let target = count.map { "\"\(path)\" .. math.random(0, \($0 - 1))" } ?? "\"\(path)\""
    try """
    request = function() return wrk.format("GET", \(target), {["Authorization"] = "Bearer \(token.text)"}) end
    done = function(summary, latency, requests)
      local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout
      io.write(string.format("%d %.3f %.3f %d\\n", summary.requests * 1e6 / summary.duration,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, failed))
    end
    """.write(toFile: script, atomically: true, encoding: .utf8)
    let output = try execute(
      "/usr/bin/wrk",
      ["-t1", "-c\(askers ?? connections)", "-d\(seconds)s", "-s", script, "https://127.0.0.1:\(port)/"])
    let words = output.split(separator: "\n").last?.split(separator: " ").map(String.init) ?? []
    guard words.count == 4 else { throw ValidationError("wrk said: \(output)") }
    print(
      "  \(column(name, 52))\(column(words[0] + "/s", 10))p50 \(words[1]) ms, p99 \(words[2]) ms, \(words[3]) failed")
  }
}

@discardableResult
func execute(_ program: String, _ arguments: [String]) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: program)
  process.arguments = arguments
  let output = Pipe()
  process.standardOutput = output
  process.standardError = Pipe()
  try process.run()
  let data = try output.fileHandleForReading.readToEnd() ?? Data()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw ValidationError(
      "\(program) ended with \(process.terminationStatus): \(String(decoding: data, as: UTF8.self))")
  }
  return String(decoding: data, as: UTF8.self)
}

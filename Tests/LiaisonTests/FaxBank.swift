import AsyncHTTPClient
import Channels
import ContactModel
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store
import Testing

/// A bank with a fax channel: its customers, the running daemon, and one agent who looks at his screen.
struct FaxBank: Sendable {
  static let root = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent()
    .deletingLastPathComponent()
  static let agent = AgentID("1001")!
  static let hookToken = "a token for tests only"

  let bank: TestBank
  /// Name, host and port of each HylaFAX server.
  var servers: [(name: String, port: Int)]
  /// Keys of the fax channel beyond the usual.
  var keys: [String] = []

  init(_ servers: [(name: String, port: Int)], keys: [String] = []) throws {
    bank = try TestBank()
    self.servers = servers
    self.keys = keys
  }

  static func document(_ name: String) throws -> [UInt8] {
    [UInt8](
      try Data(contentsOf: root.appendingPathComponent("adapters/fax/Tests/Fixtures/recordings/documents/\(name)")))
  }
  /// As HylaFAX received it from +861055550199: with TSI, caller and dialled number in tag 270.
  static func received() throws -> [UInt8] {
    [UInt8](
      try Data(
        contentsOf: root.appendingPathComponent(
          "adapters/fax/Tests/Fixtures/recordings/protocol/receive-ok/004.D3.S.bin")))
  }

  var configuration: String {
    bank.configuration + """
        - kind: fax
          name: fax
          servers:
      \(servers.map { server in
        """
            - {name: \(server.name), host: 127.0.0.1, port: \(server.port), user: operator,
               password: {env: FAX_PASSWORD}, admin_password: {env: FAX_ADMIN}}
        """ }.joined(separator: "\n"))
          hook_token: {env: FAX_HOOK}
      \(keys.map { "    " + $0 }.joined(separator: "\n"))

      """
  }

  func start(environment: [String: String] = [:]) throws -> Liaison {
    let secrets = ["FAX_PASSWORD": "s3cret", "FAX_ADMIN": "adm1n", "FAX_HOOK": Self.hookToken]
    return try bank.start(configuration, environment: secrets.merging(environment) { $1 })
  }

  /// The agent of all queues, and customers with their fax numbers, some of whom want no fax; before the daemon starts.
  func seed(_ customers: [(number: String, name: String, fax: String)], refusing: [String] = []) async throws {
    let database = try Database.open(StoreURL("sqlite://\(bank.database)"), migrations: migrations, now: now())
    do {
      try await database.write { transaction in
        let queues = [Code("general")!, Code("complaints")!, Code("urgent")!]
        for queue in queues { try transaction.upsertQueue(queue, nameZh: queue.description, nameEn: queue.description) }
        try transaction.upsert(
          Agent(
            id: Self.agent, name: "李静", device: "PJSIP/1001", queues: queues, state: .ready, stateSince: now()),
          at: now())
        for customer in customers {
          _ = try transaction.upsert(
            CustomerRecord(
              customer: Customer(
                customerNo: CustomerNumber(customer.number)!, type: Code("retail")!, level: 3, name: customer.name),
              contactPoints: [
                ContactPoint(address: Address(kind: .fax, canonical: customer.fax, raw: customer.fax))
              ]), nameFolded: customer.name, source: "test", at: now())
        }
        for number in refusing {
          try transaction.record(
            ChannelPreference(channel: .fax, purpose: nil, verdict: .deny, effectiveAt: now(), source: .customer),
            id: PreferenceID(at: now()), of: CustomerNumber(number)!,
            evidence: ConsentEvidence(
              id: EvidenceID(at: now()), kind: .paper, reference: "letter", capturedAt: now(), capturedBy: "test"),
            policyVersion: "1", actor: .liaison, at: now())
        }
      }
    } catch {
      await database.close()
      throw error
    }
    await database.close()
  }

  // MARK: Looking

  /// What the store holds, read beside the running daemon.
  func look<Value: Sendable>(_ read: @escaping @Sendable (any Connection) throws -> Value) async throws -> Value {
    var options = Database.Options()
    options.readOnly = true
    options.readers = 1
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: now())
    do {
      let value = try await database.read(.live, read)
      await database.close()
      return value
    } catch {
      await database.close()
      throw error
    }
  }

  /// Looks again until it is so; fails after `limit`.
  func eventually(
    _ what: String, within limit: Duration = .seconds(30), daemon: Liaison? = nil,
    _ read: @escaping @Sendable (any Connection) throws -> Bool
  ) async throws {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
      if try await look(read) { return }
      // Between two looks at a store that gives no signal to another process.
      try await Task.sleep(for: .milliseconds(100))
    }
    throw ChildProcess.Failure(description: "\(what) did not come within \(limit):\n\(daemon?.child.tail ?? "")")
  }

  // MARK: Asking

  /// One operation over the admin socket.
  @discardableResult
  func admin(
    _ method: HTTPMethod, _ path: String, _ body: [String: Any]? = nil
  ) async throws -> (status: UInt, json: [String: Any]) {
    let host = "\(bank.directory)/admin.sock".addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    return try await Self.call(method, "http+unix://\(host)\(path)", body: body)
  }

  static func call(
    _ method: HTTPMethod, _ url: String, token: String? = nil, body: [String: Any]? = nil, form: String? = nil
  ) async throws -> (status: UInt, json: [String: Any]) {
    var request = HTTPClientRequest(url: url)
    request.method = method
    request.headers.add(name: "Accept", value: "application/json")
    if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.headers.add(name: "Idempotency-Key", value: UUID().uuidString)
      request.body = .bytes(ByteBuffer(bytes: try JSONSerialization.data(withJSONObject: body)))
    } else if let form {
      request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
      request.body = .bytes(ByteBuffer(string: form))
    }
    let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
    let bytes = Data(try await answer.body.collect(upTo: 1 << 24).readableBytesView)
    // Answers of hooks are plain text.
    let json = try? JSONSerialization.jsonObject(with: bytes) as? [String: Any]
    return (answer.status.code, json ?? [:])
  }

  /// A token of the agent, made over the admin socket.
  func agentToken() async throws -> String {
    let made = try await admin(
      .POST, "/v1/tokens", ["label": "test", "role": "agent", "agent_id": Self.agent.description])
    return try #require(made.json["token"] as? String, "\(made)")
  }

  /// The first event of this type on the agent's stream whose data `matches`, from the beginning of the log on.
  func pop(
    _ type: String = "pop.offered", api: String, token: String, within limit: Duration = .seconds(40),
    where matches: @escaping @Sendable (String) -> Bool = { _ in true }
  ) async throws -> String {
    try await withThrowingTaskGroup(of: String.self) { group in
      group.addTask {
        var request = HTTPClientRequest(url: "\(api)/v1/agents/\(Self.agent)/events")
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        request.headers.add(name: "Accept", value: "text/event-stream")
        request.headers.add(name: "Last-Event-ID", value: "0")
        let answer = try await HTTPClient.shared.execute(request, timeout: .hours(1))
        guard answer.status == .ok else { throw ChildProcess.Failure(description: "stream: \(answer.status)") }
        var buffer: [UInt8] = []
        for try await part in answer.body {
          buffer += part.readableBytesView
          while let end = buffer.firstRange(of: [10, 10]) {
            let text = String(decoding: buffer[..<end.lowerBound], as: UTF8.self)
            buffer.removeSubrange(..<end.upperBound)
            if text.contains("event: \(type)"), matches(text) { return text }
          }
        }
        throw ChildProcess.Failure(description: "the stream ended")
      }
      group.addTask {
        try await Task.sleep(for: limit)
        throw ChildProcess.Failure(description: "no \(type) within \(limit)")
      }
      defer { group.cancelAll() }
      return try await group.next()!  // two tasks were added
    }
  }
}

@Sendable private func now() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) }

import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import SMS
import Store
import Synchronization

/// The mobile network and its customers in the crash test, and the bank's system that lets messages be sent.
///
/// In: some write through an SMSC (SMPP, which names no message: what was not answered is brought again and may then be
/// there twice), some through a gateway's callback (which names each: there once). Out: jobs are planned over the API and
/// repeated until acknowledged, every third of three parts; the SMSC counts each part that reaches it. Nobody may get one
/// twice, and a job ends as sent, with all its parts, or in doubt where the daemon died between the first byte and the
/// last answer.
final class ShortMessages: Sendable {
  private struct Inbound {
    var isAcknowledged = false
    var deliveries = 0
  }
  private struct State {
    var bySMPP: [String: Inbound] = [:]
    var byGateway: [String: Inbound] = [:]
    /// The reference of each job that was acknowledged.
    var jobs: Set<String> = []
    var unexpected: [String] = []
    var address: String?
    var waiters: [CheckedContinuation<Void, Never>] = []
    var isOver = false
  }

  private static let secret = "a-secret-path-of-the-crash-test"
  private let state = Mutex(State())
  private let submits = Submits()
  private let smsc: StandInSMSC
  private let port: Int
  private let client: HTTPClient
  private let adminSocket: String
  private let directory: String

  init(in bank: TestBank) async throws {
    let submits = submits
    smsc = StandInSMSC(.init(reportsAfter: .milliseconds(30))) { submits.note($0.message) }
    port = try await smsc.start()
    var configuration = HTTPClient.Configuration()
    configuration.connectionPool.retryConnectionEstablishment = false
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    directory = bank.directory
    adminSocket = (bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    try Self.secret.write(toFile: directory + "/callback-secret", atomically: true, encoding: .utf8)
    try "p".write(toFile: directory + "/smsc-password", atomically: true, encoding: .utf8)
  }

  /// The entries of `channels`.
  var channels: [String] {
    [
      """
        - kind: sms
          name: sms
          links:
            - {name: smsc, protocol: smpp, host: 127.0.0.1, port: \(port), system_id: l, reconnect_delay: 50ms,
               password: {file: \(directory)/smsc-password}, sender: "95588", reconnect_delay_maximum: 200ms}
        - kind: sms
          name: gateway
          outbound: false
          callback_path: /gateway
          callback_secret: {file: \(directory)/callback-secret}
          links:
            - {name: kannel, protocol: kannel, send_url: "http://127.0.0.1:9/", username: u,
               password: {file: \(directory)/smsc-password}}
      """
    ]
  }

  // MARK: The daemon comes and goes

  func serve(at address: String) {
    let waiters = state.withLock { state in
      state.address = address
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
  func pause() { state.withLock { $0.address = nil } }
  func finish() { state.withLock { $0.isOver = true } }

  /// Until `finish`, and until everything begun is acknowledged.
  func run(_ count: Int) async {
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<count {
        group.addTask { await self.writeByPhone(number) }
        group.addTask { await self.writeByGateway(number) }
        group.addTask { await self.planJobs(number) }
      }
    }
    // Nothing is under way any more; what cannot be closed goes with the process.
    try? await client.shutdown()
  }

  private var isOver: Bool { state.withLock { $0.isOver } }

  private func address() async -> String {
    while true {
      if let address = state.withLock({ $0.address }) { return address }
      await withCheckedContinuation { continuation in
        let isThere = state.withLock { state in
          if state.address == nil { state.waiters.append(continuation) }
          return state.address != nil
        }
        if isThere { continuation.resume() }
      }
    }
  }

  /// Only so that a daemon that refuses is not hammered.
  private func breathe() async -> Bool {
    do { try await Task.sleep(for: .milliseconds(5)) } catch { return false }
    return true
  }

  // MARK: In

  private func writeByPhone(_ number: Int) async {
    var message = 0
    while !isOver {
      message += 1
      let text = "phone \(number) writes \(message)"
      state.withLock { $0.bySMPP[text] = Inbound() }
      while true {
        _ = await address()
        if smsc.isBound {
          state.withLock { $0.bySMPP[text]!.deliveries += 1 }
          let answer = await smsc.deliver(from: "861007100\(1_000 + number)", to: "95588", text: text)
          if answer == .ok { break }
          if let answer, answer != .messageQueueFull {
            state.withLock { $0.unexpected.append("\(text): \(answer.name)") }
            break
          }
        }
        guard await breathe() else { return }
      }
      state.withLock { $0.bySMPP[text]!.isAcknowledged = true }
    }
  }

  private func writeByGateway(_ number: Int) async {
    var message = 0
    while !isOver {
      message += 1
      let text = "gateway-\(number)-\(message)"
      state.withLock { $0.byGateway[text] = Inbound() }
      while true {
        let address = await address()
        state.withLock { $0.byGateway[text]!.deliveries += 1 }
        let url =
          "\(address)/gateway/\(Self.secret)/mo?from=%2B861007200\(1_000 + number)&to=95588&text=\(text)&charset=UTF-8"
          + "&coding=0&id=\(text)"
        if let status = await call(HTTPClientRequest(url: url)) {
          if status == 200 { break }
          if status != 503 {
            state.withLock { $0.unexpected.append("\(text): HTTP \(status)") }
            break
          }
        }
        guard await breathe() else { return }
      }
      state.withLock { $0.byGateway[text]!.isAcknowledged = true }
    }
  }

  // MARK: Out

  /// Nobody else is written to under this number: by it a part that reached the SMSC is known.
  private static func recipient(of job: Int, by number: Int) -> String {
    "100\(30_000_000 + number * 100_000 + job)"
  }

  private func planJobs(_ number: Int) async {
    var job = 0
    while !isOver {
      job += 1
      let text = "job \(number) says \(job)"
      var request = HTTPClientRequest(url: "http+unix://\(adminSocket)/v1/proactive-jobs")
      request.method = .POST
      request.headers.add(name: "Content-Type", value: "application/json")
      request.headers.add(name: "Idempotency-Key", value: "crash-\(number)-\(job)")
      let to = "+86" + Self.recipient(of: job, by: number)
      let words = job % 3 == 0 ? text + String(repeating: " and goes on", count: 30) : text
      let body = """
        {"purpose": "transaction", "address": {"kind": "phone", "value": "\(to)"}, "reference": "\(text)",
         "contents": {"sms": {"text": "\(words)"}}}
        """
      request.body = .bytes(ByteBuffer(string: body))
      while true {
        _ = await address()
        if let status = await call(request) {
          if status == 201 || status == 200 {
            state.withLock { _ = $0.jobs.insert(text) }
            break
          }
          // 409: the same request is still under way in the eyes of a daemon that was killed.
          if status != 503, status != 429, status != 409 {
            state.withLock { $0.unexpected.append("\(text): HTTP \(status)") }
            break
          }
        }
        guard await breathe() else { return }
      }
    }
  }

  /// The status; nil if there was no answer.
  private func call(_ request: HTTPClientRequest) async -> UInt? {
    do {
      let answer = try await client.execute(request, timeout: .seconds(10))
      _ = try await answer.body.collect(upTo: 1 << 20)
      return answer.status.code
    } catch {
      return nil
    }
  }

  // MARK: The end

  /// How many jobs are neither ended nor in doubt.
  static func unsettledJobs(_ connection: any Connection) throws -> Int64 {
    try connection.one(
      """
      SELECT count(*) AS n FROM proactive_job j WHERE j.state IN ('planned', 'active') AND NOT EXISTS
        (SELECT 1 FROM attempt a WHERE a.job_id = j.job_id AND a.state = 'in_doubt')
      """, []
    ).int("n")
  }

  /// Of `job 3 says 7`: who planned it, and his how manieth it is.
  private static func number(of text: String) -> (by: Int, job: Int) {
    let numbers = text.split(separator: " ").compactMap { Int($0) }
    return numbers.count == 2 ? (numbers[0], numbers[1]) : (0, 0)
  }

  struct Result: Sendable {
    var failures: [String] = []
    var summary = ""
  }

  /// What customers and SMSC know against what the store has.
  func compare(with database: Database) async throws -> Result {
    let state = state.withLock { $0 }
    let submits = submits.counts
    let (arrived, jobs) = try await database.read(.bulk) { connection in
      (
        try connection.query(
          """
          SELECT c.content, c.channel, a.state FROM arrival a LEFT JOIN contact c ON c.arrival_id = a.arrival_id
          WHERE a.channel_kind = 'sms' AND a.payload_kind = 'message'
          """, []
        ).map { (try $0.textOrNil("content"), try $0.textOrNil("channel"), try $0.text("state")) },
        try connection.query(
          """
          SELECT j.reference, j.state, (SELECT count(*) FROM attempt a WHERE a.job_id = j.job_id AND a.state = 'in_doubt')
            AS doubts FROM proactive_job j
          """, []
        ).map { (try $0.textOrNil("reference") ?? "", try $0.text("state"), try $0.int("doubts")) }
      )
    }
    var result = Result(failures: state.unexpected.map { "an answer nobody expected: \($0)" })
    var copies: [String: Int] = [:]
    for (content, _, arrivalState) in arrived {
      guard let content else {
        result.failures.append("a short message has no contact, its arrival is \(arrivalState)")
        continue
      }
      copies[content, default: 0] += 1
    }
    var again = 0
    for (text, one) in state.bySMPP {
      let found = copies.removeValue(forKey: text) ?? 0
      if found == 0, one.isAcknowledged {
        result.failures.append("LOST: \(text) was answered ESME_ROK and is not there")
      }
      if found > one.deliveries { result.failures.append("\(text) is there \(found) times, brought \(one.deliveries)") }
      again += max(0, found - 1)
    }
    for (text, one) in state.byGateway {
      let found = copies.removeValue(forKey: text) ?? 0
      if found == 0, one.isAcknowledged { result.failures.append("LOST: \(text) was answered 200 and is not there") }
      if found > 1 { result.failures.append("\(text) is there \(found) times") }
    }
    for text in copies.keys { result.failures.append("a short message nobody wrote: \(text)") }

    var states: [String: Int] = [:]
    var known: Set<String> = []
    var reached: Set<String> = []
    var twice = 0
    var ofParts = 0
    for (text, jobState, doubts) in jobs {
      known.insert(text)
      let (number, job) = Self.number(of: text)
      let parts = submits[Self.recipient(of: job, by: number)] ?? [:]
      let wanted = job % 3 == 0 ? 3 : 1
      if wanted > 1 { ofParts += 1 }
      reached.insert(Self.recipient(of: job, by: number))
      for (part, count) in parts where count > 1 {
        result.failures.append("part \(part) of \(text) was sent \(count) times")
        twice += 1
      }
      if jobState == "done", doubts == 0, parts.count != wanted {
        result.failures.append("LOST: \(text) is done, and \(parts.count) of \(wanted) parts reached the SMSC")
      }
      states[doubts > 0 ? "in doubt" : jobState, default: 0] += 1
      if jobState != "done", doubts == 0 { result.failures.append("\(text) is \(jobState)") }
    }
    for recipient in submits.keys where !reached.contains(recipient) {
      result.failures.append("what \(recipient) got was sent by no job")
    }
    for text in state.jobs where !known.contains(text) { result.failures.append("LOST: \(text) was acknowledged") }
    result.summary = """
      sms in       \(state.bySMPP.count) by SMPP (\(again) there again because their answer was lost), \
      \(state.byGateway.count) by gateway, each once
      sms out      \(jobs.count) jobs, \(ofParts) of three parts: \(states.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")); \
      the SMSC got \(submits.count) of them, \(twice) parts twice
      """
    return result
  }

  func close() async { await smsc.stop() }
}

/// How often the SMSC got each part, by recipient and number of the part.
private final class Submits: Sendable {
  private let parts = Mutex<[String: [Int: Int]]>([:])

  func note(_ message: SMPPMessage) {
    var part = 1
    if message.esmClass & 0x40 != 0, let split = UserDataHeader.split(message.octets) {
      part = split.header.concatenation?.number ?? 1
    }
    let digits = message.destination.digits
    let recipient = digits.hasPrefix("86") ? String(digits.dropFirst(2)) : digits
    parts.withLock { $0[recipient, default: [:]][part, default: 0] += 1 }
  }

  var counts: [String: [Int: Int]] { parts.withLock { $0 } }
}

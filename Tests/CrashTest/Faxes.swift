import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store
import Synchronization

/// The fax line in the crash test: customers fax, and the bank's system lets faxes be sent.
///
/// In: every fax lies in the line's receive queue until it is durable here, so each is there once. Out: jobs are planned
/// over the API and repeated until acknowledged; the line counts what it is given. Nobody may get one twice.
final class Faxes: Sendable {
  private struct State {
    var received = 0
    /// The reference of each job that was acknowledged.
    var jobs: Set<String> = []
    var isOver = false
  }
  private let state = Mutex(State())
  private let line: StandInHylaFAX
  private let pages: [UInt8]
  private let socket: String
  private let directory: String

  init(in bank: TestBank) async throws {
    var options = StandInHylaFAX.Options()
    options.dialling = .milliseconds(300)
    options.page = .milliseconds(100)
    line = try await StandInHylaFAX.start(options: options) {
      Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6))
    }
    let root = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent().deletingLastPathComponent()
    pages = [UInt8](
      try Data(
        contentsOf: root.appendingPathComponent(
          "adapters/fax/Tests/Fixtures/recordings/documents/loss-report-en-g4-fine.tif")))
    directory = bank.directory
    socket = (bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    try "demo".write(toFile: directory + "/fax-password", atomically: true, encoding: .utf8)
  }

  /// The entry of `channels`.
  var wiring: String {
    """
      - kind: fax
        name: fax
        text_pages: 0
        receive_grace: 200ms
        sweep_interval: 1s
        settle_delay: 1s
        servers:
          - {name: line, host: 127.0.0.1, port: \(line.port), user: l, password: {file: \(directory)/fax-password}}
    """
  }

  /// Until `finish`, and until every job begun is acknowledged.
  func run() async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { try? await self.line.run() }  // Ended by cancellation, when the others have ended.
      await withTaskGroup(of: Void.self) { users in
        users.addTask { await self.fax() }
        users.addTask { await self.plan() }
        await users.waitForAll()
      }
      // The daemon drains: what it asks the line must be answered until the last.
      await self.untilClosed()
      group.cancelAll()
    }
  }

  func finish() { state.withLock { $0.isOver = true } }
  private let closing = AsyncStream.makeStream(of: Void.self)
  private func untilClosed() async { for await _ in closing.stream {} }
  func close() { closing.continuation.finish() }

  private var isOver: Bool { state.withLock { $0.isOver } }

  private func fax() async {
    while !isOver {
      let number = state.withLock { state in
        state.received += 1
        return state.received
      }
      line.receive(pages, from: .init(number: "+86105\(5_000_000 + number)"), dialled: "+861055550100")
      do { try await Task.sleep(for: .milliseconds(500)) } catch { return }
    }
  }

  private func plan() async {
    var job = 0
    while !isOver {
      job += 1
      let reference = "fax \(job)"
      let to = "+86105\(6_000_000 + job)"
      let body = """
        {"purpose": "transaction", "address": {"kind": "fax", "value": "\(to)", "confirm": "\(to)"},
         "reference": "\(reference)", "contents": {"fax": {"text": "\(reference)"}}}
        """
      while true {
        var request = HTTPClientRequest(url: "http+unix://\(socket)/v1/proactive-jobs")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/json")
        request.headers.add(name: "Idempotency-Key", value: "crash-fax-\(job)")
        request.body = .bytes(ByteBuffer(string: body))
        // No answer: the daemon is not there; it is asked again.
        let answer = try? await HTTPClient.shared.execute(request, timeout: .seconds(5))
        if let status = answer?.status.code, status == 200 || status == 201 {
          state.withLock { _ = $0.jobs.insert(reference) }
          break
        }
        do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
      }
      do { try await Task.sleep(for: .seconds(2)) } catch { return }
    }
  }

  /// True once nothing of it is under way.
  func isSettled(_ database: Database) async throws -> Bool {
    let received = state.withLock { $0.received }
    return try await database.read { connection in
      try connection.one(
        """
        SELECT count(*) AS n FROM attempt
        WHERE channel = 'fax' AND state IN ('reserved', 'handing', 'in_doubt', 'accepted')
        """
      ).int("n") == 0
        && connection.one(
          "SELECT count(*) AS n FROM proactive_job WHERE reference LIKE 'fax %' AND state IN ('planned', 'active')"
        ).int("n") == 0
        && connection.one("SELECT count(*) AS n FROM contact WHERE channel_kind = 'fax' AND direction = 'inbound'")
          .int("n") >= Int64(received)
    }
  }

  /// What callers and line know against what the store has.
  func compare(with database: Database) async throws -> (failures: [String], summary: String) {
    let state = state.withLock { $0 }
    let given = line.submitted
    let (contacts, jobs) = try await database.read(.bulk) { connection in
      (
        try connection.query(
          "SELECT from_canonical FROM contact WHERE channel_kind = 'fax' AND direction = 'inbound'"
        ).map { try $0.textOrNil("from_canonical") ?? "" },
        try connection.query(
          """
          SELECT j.reference, j.state, a.wire_identity, a.state AS attempt FROM proactive_job j
            LEFT JOIN attempt a ON a.job_id = j.job_id WHERE j.reference LIKE 'fax %'
          """
        ).map { row in
          (
            reference: try row.text("reference"), state: try row.text("state"), tag: try row.textOrNil("wire_identity"),
            attempt: try row.textOrNil("attempt") ?? ""
          )
        }
      )
    }
    var failures: [String] = []
    var copies: [String: Int] = [:]
    for number in contacts { copies[number, default: 0] += 1 }
    for number in 1...max(1, state.received) {
      let found = copies.removeValue(forKey: "+86105\(5_000_000 + number)") ?? 0
      if found == 0 { failures.append("LOST: fax \(number) is not there") }
      if found > 1 { failures.append("fax \(number) is there \(found) times") }
    }
    for number in copies.keys { failures.append("a fax nobody sent: \(number)") }

    let tags = Dictionary(grouping: given, by: \.tag).mapValues(\.count)
    for (tag, count) in tags where count > 1 { failures.append("\(tag) was handed over \(count) times") }
    var calls: [String: Int] = [:]
    for job in jobs {
      if let tag = job.tag, tags[tag] != nil { calls[job.reference, default: 0] += 1 }
      if job.state == "done", job.attempt == "delivered", job.tag.flatMap({ tags[$0] }) == nil {
        failures.append("LOST: \(job.reference) is done and never reached the line")
      }
    }
    for (reference, count) in calls where count > 1 { failures.append("\(reference) went out \(count) times") }
    for reference in state.jobs where calls[reference] == nil { failures.append("LOST: \(reference) never went out") }
    let delivered = jobs.count { $0.attempt == "delivered" }
    return (
      failures,
      "fax          in \(state.received), each once; out \(state.jobs.count) jobs, \(delivered) delivered, "
        + "\(calls.values.count { $0 > 1 }) twice"
    )
  }
}

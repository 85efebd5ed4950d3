import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import NIOPosix
import Store
import Synchronization

/// The bank's mail server in the crash test: it brings mail until it is told 250, takes what is sent and counts it, and
/// a system of the bank lets mail be sent, each job repeated until it is acknowledged.
final class PostOffice: Sendable {
  private struct State {
    /// Brought and told 250; how often it had to be brought.
    var delivered: [String: Int] = [:]
    var brought = 0
    /// The address each acknowledged job goes to.
    var jobs: Set<String> = []
    /// How often the server took a mail for an address.
    var taken: [String: Int] = [:]
    var unexpected: [String] = []
    var isServing = false
    var isOver = false
  }
  private let state = Mutex(State())
  private let bank: TestBank
  private let deliveryPort: Int
  private let submissionPort: Int
  private let mta: StandInMTA
  /// In its place: one that drops some mails after their final dot, which it has then taken.
  private let sink: Sink?
  private let taking: Task<Void, Never>
  private let client: HTTPClient
  private let threads = NIOThreadPool(numberOfThreads: 16)

  init(in bank: TestBank, dropping every: Int = 0) throws {
    self.bank = bank
    deliveryPort = try freePort()
    sink = every > 0 ? try Sink("dropdata", ["every=\(every)"]) : nil
    let ownPort = try freePort()
    submissionPort = sink?.port ?? ownPort
    let mta = StandInMTA(
      port: ownPort, now: { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) })
    self.mta = mta
    let (stream, continuation) = AsyncStream.makeStream(of: [String].self)
    // Ended by `close`.
    taking = Task {
      do {
        try await mta.run { letter in
          continuation.yield(letter.recipients)
          return .taken
        }
      } catch {
        print("the stand-in mail server failed: \(error)")
      }
      continuation.finish()
    }
    var configuration = HTTPClient.Configuration()
    configuration.connectionPool.retryConnectionEstablishment = false
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    threads.start()
    // Ends with the stream.
    Task { [self] in
      for await recipients in stream {
        state.withLock { state in for recipient in recipients { state.taken[recipient, default: 0] += 1 } }
      }
    }
  }

  var configuration: String {
    bank.configuration + """
        - kind: email
          name: mail
          mailbox: service@bank.example
          addresses: [loans@bank.example]
          delivery: {listen: "127.0.0.1:\(deliveryPort)"}
          submission: {host: 127.0.0.1, port: \(submissionPort), tls: none, sessions: 2, batch: 5}

      """
  }

  func serve() { state.withLock { $0.isServing = true } }
  func pause() { state.withLock { $0.isServing = false } }
  func finish() { state.withLock { $0.isOver = true } }
  private var isOver: Bool { state.withLock { $0.isOver } }

  func close() async {
    mta.stop()
    await taking.value
  }

  /// Until `finish`, and until everything begun is acknowledged.
  func run(_ count: Int) async {
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<count {
        group.addTask { await self.bring(number) }
        group.addTask { await self.planJobs(number) }
      }
    }
    // Nothing is under way any more; what cannot be closed goes with the process.
    try? await client.shutdown()
    try? await threads.shutdownGracefully()
  }

  private func bring(_ number: Int) async {
    var mail = 0
    while !isOver {
      mail += 1
      let id = "m\(number).\(mail)"
      // Every fourth goes to two mailboxes: still one contact.
      let recipients = ["service@bank.example"] + (mail % 4 == 0 ? ["loans@bank.example"] : [])
      let text =
        "From: <k\(number)@mail.example>\r\nTo: <service@bank.example>\r\nSubject: \(id)\r\n"
        + "Message-ID: <\(id)@mail.example>\r\nDate: Tue, 24 Nov 2026 09:00:00 +0800\r\n\r\nquestion \(id)\r\n"
      let letter = MailPeer.Letter(from: "k\(number)@mail.example", to: recipients, bytes: Array(text.utf8))
      var times = 0
      while true {
        times += 1
        state.withLock { $0.brought += 1 }
        do {
          let port = deliveryPort
          let replies = try await threads.runIfActive { try MailPeer(port: port, patience: 20).send(letter) }
          if replies.allSatisfy({ $0.hasPrefix("250") }) { break }
          if let wrong = replies.first(where: { !$0.hasPrefix("250") && !$0.hasPrefix("4") }) {
            state.withLock { $0.unexpected.append("\(id): \(wrong)") }
          }
        } catch {
          // Not answered: it is brought again.
        }
        guard await breathe() else { return }
      }
      state.withLock { $0.delivered[id] = times }
    }
  }

  private func planJobs(_ number: Int) async {
    var job = 0
    let socket = (bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
    while !isOver {
      job += 1
      let address = "c\(number)-\(job)@mail.example"
      let body = """
        {"purpose": "security", "address": {"kind": "email", "value": "\(address)"}, "reference": "\(address)",
         "contents": {"email": {"subject": "登录提醒", "text": "您的账户于今日登录。"}}}
        """
      while true {
        if state.withLock({ $0.isServing }) {
          do {
            var request = HTTPClientRequest(url: "http+unix://\(socket)/v1/proactive-jobs")
            request.method = .POST
            request.headers.add(name: "Content-Type", value: "application/json")
            request.headers.add(name: "Idempotency-Key", value: address)
            request.body = .bytes(ByteBuffer(string: body))
            let answer = try await client.execute(request, timeout: .seconds(20))
            let text = String(buffer: try await answer.body.collect(upTo: 1 << 20))
            if answer.status == .created || answer.status == .ok { break }
            if answer.status != .serviceUnavailable {
              state.withLock { $0.unexpected.append("\(address): HTTP \(answer.status.code) \(text.prefix(200))") }
              return
            }
          } catch {
            // Not answered: planned again under the same reference.
          }
        }
        guard await breathe() else { return }
      }
      state.withLock { _ = $0.jobs.insert(address) }
      // A few a second of each: the daemon has other things to do.
      guard await breathe() else { return }
    }
  }

  /// Only so that a daemon that is away is not hammered.
  private func breathe() async -> Bool {
    do { try await Task.sleep(for: .milliseconds(10)) } catch { return false }
    return true
  }

  // MARK: Afterwards

  func compare(with database: Database) async throws -> (failures: [String], summary: String) {
    var known = state.withLock { $0 }
    for line in sink?.accepted ?? [] {
      // Time, connection, number, sender, recipient, …
      let fields = line.split(separator: "\t", omittingEmptySubsequences: false)
      guard fields.count > 4 else { continue }
      let address = fields[4].drop { $0 == "<" }.prefix { $0 != ">" }
      known.taken[String(address), default: 0] += 1
    }
    var failures = known.unexpected
    let (contacts, requests, jobs, ledger) = try await database.read(.bulk) { connection in
      (
        try connection.query(
          "SELECT provider_id, count(*) AS n FROM contact WHERE direction = 'inbound' GROUP BY provider_id", []),
        try connection.query("SELECT summary, count(*) AS n FROM service_request GROUP BY summary", []),
        try connection.query(
          """
          SELECT j.reference, j.state, (SELECT count(*) FROM attempt a WHERE a.job_id = j.job_id
            AND a.state IN ('accepted', 'delivered')) AS sent, (SELECT count(*) FROM attempt a
            WHERE a.job_id = j.job_id AND a.state IN ('in_doubt', 'unknown_final')) AS doubts
          FROM proactive_job j
          """, []),
        try connection.ledger(since: nil)
      )
    }
    var byID: [String: Int] = [:]
    for row in contacts {
      let id = (try row.textOrNil("provider_id") ?? "").split(separator: "@").first.map(String.init) ?? ""
      byID[id] = try row.count("n")
    }
    var requestsByID: [String: Int] = [:]
    for row in requests { requestsByID[try row.text("summary")] = try row.count("n") }
    for id in known.delivered.keys.sorted() {
      if byID[id] == nil { failures.append("LOST: mail \(id) was told 250 and is not there") }
      if let count = byID[id], count != 1 { failures.append("mail \(id) is \(count) contacts") }
      if requestsByID[id] != 1 { failures.append("mail \(id) has \(requestsByID[id] ?? 0) requests") }
    }
    for id in byID.keys where known.delivered[id] == nil { failures.append("a mail nobody brought: \(id)") }

    var sent = 0
    var doubts = 0
    var doubtsThatWent = 0
    var seen: Set<String> = []
    for row in jobs {
      let address = try row.textOrNil("reference") ?? ""
      seen.insert(address)
      let taken = known.taken[address] ?? 0
      if taken > 1 { failures.append("DOUBLED: \(address) got \(taken) mails") }
      if try row.count("sent") > 0 {
        sent += 1
        if taken == 0 { failures.append("LOST: the mail to \(address) counts as sent and the server never had it") }
      } else if try row.count("doubts") > 0 {
        doubts += 1
        doubtsThatWent += taken
      } else {
        failures.append("the job to \(address) ended as \(try row.text("state")) without a word about its mail")
      }
    }
    for address in known.jobs where !seen.contains(address) {
      failures.append("LOST: the job to \(address) was acknowledged and is not there")
    }
    for address in known.taken.keys where !seen.contains(address) {
      failures.append("a mail nobody ordered went to \(address)")
    }
    for line in ledger where !line.balances || line.inWork != 0 || line.quarantined != 0 {
      failures.append("the ledger: \(line)")
    }
    let mail = ledger.filter { $0.channel == "mail" }
    return (
      failures,
      """
      in           \(known.delivered.count) mails told 250, brought \(known.brought) times; \(byID.count) contacts; \
      ledger received \(mail.reduce(0) { $0 + $1.received }) = stored \(mail.reduce(0) { $0 + $1.stored }) \
      + duplicate \(mail.reduce(0) { $0 + $1.duplicate })
      out          \(known.jobs.count) jobs: \(sent) sent, \(doubts) in doubt, of which \(doubtsThatWent) reached the \
      server; \(known.taken.values.reduce(0, +)) mails at the server, none twice
      """
    )
  }
}

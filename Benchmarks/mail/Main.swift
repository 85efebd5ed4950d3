import ArgumentParser
import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import Store

/// Mail through the real daemon: in by LMTP beside Postfix → Dovecot in the same run, read, and out to smtp-sink.
///
/// Measures; asserts nothing but that everything arrived. Needs LIAISON (the release program); Postfix, Dovecot and root
/// for what stands beside. Every figure of the daemon is with fsync of each commit before the answer.
@main
struct MailBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mail-bench", abstract: "Mail a second through the real daemon, in, read and out.")

  @Option(help: "Mails in.") var mails = 10_000
  @Option(help: "Connections they come by.") var connections = 8
  @Option(help: "Mails out.") var sends = 10_000
  @Option(help: "Mails of the corpus that are read, for seconds.") var readSeconds = 5
  @Argument(help: "in, beside, read, out; all if none is given.") var parts: [String] = []

  func run() async throws {
    signal(SIGPIPE, SIG_IGN)
    let parts = parts.isEmpty ? ["in", "beside", "read", "out"] : parts
    if parts.contains("in") { try await measureIn() }
    if parts.contains("beside") { try await measureBeside() }
    if parts.contains("read") { try await measureReading() }
    if parts.contains("out") { try await measureOut() }
  }

  // MARK: In

  private func measureIn() async throws {
    let bank = try TestBank()
    let port = try freePort()
    let daemon = try bank.start(
      bank.configuration + """
          - kind: email
            name: mail
            mailbox: service@bank.example
            delivery: {listen: "127.0.0.1:\(port)"}

        """)
    _ = try await daemon.ready()
    let start = ContinuousClock.now
    try await send(to: "service@bank.example", port: port, wire: .lmtp)
    let told = ContinuousClock.now - start
    try await until(in: bank, "SELECT count(*) AS n FROM service_request", is: mails)
    let routed = ContinuousClock.now - start
    print(
      "LMTP, \(connections) connections, \(mails) mails of 1.4 KB, fsync before each 250: \(rate(mails, told)) told 250, "
        + "\(rate(mails, routed)) durable as service requests; processor \(processor(of: daemon.child.pid)) s")
    _ = try await daemon.stop()
    bank.remove()
  }

  private func measureBeside() async throws {
    guard BankMail.isAvailable else {
      print("Postfix → Dovecot left out: they are not here, or this is not root")
      return
    }
    let server = try BankMail()
    let start = ContinuousClock.now
    try await send(to: "bench@bank.example", port: server.smtp, wire: .smtp)
    let told = ContinuousClock.now - start
    while server.files(user: "bench").count < mails { try await Task.sleep(for: .milliseconds(100)) }
    let stored = ContinuousClock.now - start
    print(
      "Postfix → Dovecot (maildir), the same mails: \(rate(mails, told)) told 250, \(rate(mails, stored)) in the mailbox"
    )
  }

  /// All mails, over all connections, each on a thread of its own.
  private func send(to recipient: String, port: Int, wire: MailPeer.Wire) async throws {
    let (mails, connections) = (mails, connections)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for connection in 0..<connections {
        group.addTask {
          try await onThread {
            let peer = try MailPeer(port: port, wire: wire)
            for number in stride(from: connection, to: mails, by: connections) {
              let answer = try peer.send(letter(number, to: recipient))
              guard answer[0].hasPrefix("250") else { throw ValidationError("mail \(number): \(answer[0])") }
            }
          }
        }
      }
      try await group.waitForAll()
    }
  }

  // MARK: Read

  private func measureReading() async throws {
    let corpus = "../shared/corpus/email"
    guard let names = try? FileManager.default.contentsOfDirectory(atPath: corpus) else {
      print("reading left out: \(corpus) is not here")
      return
    }
    let files = names.filter { $0.hasSuffix(".eml") }.map { "\(corpus)/\($0)" }
    let child = try ChildProcess([Liaison.program, "inspect", "email", "--bench", "\(readSeconds)"] + files)
    print("reading the corpus: \(try await child.line(containing: "mails/s", within: .seconds(120)))")
  }

  // MARK: Out

  private func measureOut() async throws {
    let sinkPort = try freePort()
    guard FileManager.default.isExecutableFile(atPath: "/usr/sbin/smtp-sink") else {
      print("sending left out: smtp-sink (package postfix) is not here")
      return
    }
    let sink = try ChildProcess(["/usr/sbin/smtp-sink", "-u", "nobody", "-c", "127.0.0.1:\(sinkPort)", "1000"])
    defer { sink.send(SIGKILL) }
    let bank = try TestBank()
    let configuration =
      bank.configuration + """
          - kind: email
            name: mail
            mailbox: service@bank.example
            submission: {host: 127.0.0.1, port: \(sinkPort), tls: none, sessions: 4, batch: 50}

        """
    // Started once, so that the store and its parameters are there; then the jobs are laid into it.
    let first = try bank.start(configuration)
    _ = try await first.ready()
    _ = try await first.stop()
    try await planJobs(in: bank)
    let daemon = try bank.start(configuration)
    let start = ContinuousClock.now
    _ = try await daemon.ready()
    try await until(in: bank, "SELECT count(*) AS n FROM attempt WHERE state = 'accepted'", is: sends)
    let elapsed = ContinuousClock.now - start
    print(
      "out to smtp-sink, \(sends) mails, each attempt durable before its first byte and after its answer: "
        + "\(rate(sends, elapsed)); processor \(processor(of: daemon.child.pid)) s")
    _ = try await daemon.stop()
    bank.remove()
  }

  private func planJobs(in bank: TestBank) async throws {
    let database = try Database.open(StoreURL("sqlite://\(bank.database)"), migrations: migrations, now: now())
    for start in stride(from: 0, to: sends, by: 500) {
      let end = min(start + 500, sends)
      try await database.write(.bulk) { transaction in
        for number in start..<end {
          let address = "k\(number)@mail.example"
          try transaction.upsert(
            CustomerRecord(
              customer: Customer(customerNo: CustomerNumber("B\(number)")!, type: Code("retail")!, name: "客户\(number)"),
              contactPoints: [ContactPoint(address: Address(kind: .email, canonical: address, raw: address))]),
            nameFolded: "客户\(number)", source: "bench", at: now())
          let time = now()
          let job = ProactiveJob(
            id: ProactiveJobID(at: time), customerNo: CustomerNumber("B\(number)")!, key: "bench/\(number)",
            purpose: .security,
            contents: ["email": Dispatch.Content(subject: "您的业务已办理", text: "尊敬的客户，您的业务 \(number) 已办理。")], due: time,
            createdBy: "bench", createdAt: time)
          _ = try transaction.plan(job, actor: .liaison, at: time)
        }
      }
    }
    await database.close()
  }

  private func until(in bank: TestBank, _ sql: String, is wanted: Int) async throws {
    var options = Database.Options()
    options.readOnly = true
    options.readers = 1
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: now())
    let deadline = ContinuousClock.now + .seconds(300)
    while try await database.read(.bulk, { try $0.one(sql, []).count("n") }) < wanted {
      guard ContinuousClock.now < deadline else { throw ValidationError("not within five minutes: \(sql)") }
      try await Task.sleep(for: .milliseconds(20))
    }
    await database.close()
  }
}

/// A customer's question, with the headers mail servers put above it.
private func letter(_ number: Int, to recipient: String) -> MailPeer.Letter {
  let text = """
    Received: from mx.mail.example (mx.mail.example [192.0.2.7]) by gate.bank.example with ESMTPS id 4F\(number)
     for <\(recipient)>; Tue, 24 Nov 2026 09:00:00 +0800
    From: =?UTF-8?B?5byg5Lyf?= <k\(number)@mail.example>
    To: <\(recipient)>
    Subject: =?UTF-8?B?5L+h55So5Y2h6LSm5Y2V5pyJ55aR6Zeu?= \(number)
    Date: Tue, 24 Nov 2026 09:00:00 +0800
    Message-ID: <bench.\(number)@mail.example>
    MIME-Version: 1.0
    X-Mailer: Foxmail 7.2.25.213
    Content-Type: multipart/alternative; boundary="=_b"

    --=_b
    Content-Type: text/plain; charset=utf-8
    Content-Transfer-Encoding: 8bit

    您好，我本月的信用卡账单上有一笔消费不是我的，请核对。金额是 1,288.00 元，商户在上海。
    我的客户号是 7\(1_000_000 + number)，请尽快答复，谢谢。

    张伟
    --=_b
    Content-Type: text/html; charset=utf-8
    Content-Transfer-Encoding: 8bit

    <html><body><p>您好，我本月的信用卡账单上有一笔消费不是我的，请核对。金额是 1,288.00 元，商户在上海。</p>
    <p>我的客户号是 7\(1_000_000 + number)，请尽快答复，谢谢。</p><p>张伟</p></body></html>
    --=_b--

    """
  return MailPeer.Letter(
    from: "k\(number)@mail.example", to: [recipient],
    bytes: Array(text.replacingOccurrences(of: "\n", with: "\r\n").utf8))
}

private func onThread(_ body: @escaping @Sendable () throws -> Void) async throws {
  try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
    Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
  }
}

private func rate(_ count: Int, _ elapsed: Duration) -> String {
  let seconds = Double(elapsed.wholeMicroseconds) / 1e6
  return String(format: "%.0f/s", Double(count) / seconds)
}

/// User and system time of a process so far.
private func processor(of pid: pid_t) -> String {
  // What cannot be read is shown as such.
  guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return "?" }
  let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
  guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return "?" }
  return String(format: "%.1f", (user + system) / Double(sysconf(Int32(_SC_CLK_TCK))))
}

private func now() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1e6)) }

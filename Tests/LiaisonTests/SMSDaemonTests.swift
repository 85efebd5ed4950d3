import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import NIOPosix
import SMS
import Store
import Synchronization
import Testing

/// What the store holds, read beside the running daemon.
private func look<Value: Sendable>(
  _ bank: TestBank, _ read: @escaping @Sendable (any Connection) throws -> Value
) async throws -> Value {
  var options = Database.Options()
  options.readOnly = true
  options.readers = 1
  let database = try Database.open(
    StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
  do {
    let value = try await database.read(.live, read)
    await database.close()
    return value
  } catch {
    await database.close()
    throw error
  }
}

/// One message as the desk gets it.
private struct Shown: Sendable, Hashable {
  var content: String
  var from: String
  var fromKind: String
  var category: String
  var detail: String
  var late: Bool
  var providerID: String?
}

private func contacts(_ bank: TestBank) async throws -> [Shown] {
  try await look(bank) { connection in
    try connection.query(
      "SELECT * FROM contact WHERE channel = 'sms' AND direction = 'inbound' ORDER BY contact_id", []
    ).map { row in
      Shown(
        content: try row.text("content"), from: try row.text("from_canonical"), fromKind: try row.text("from_kind"),
        category: try row.text("category"), detail: try row.text("detail"), late: try row.bool("late"),
        providerID: try row.textOrNil("provider_id"))
    }
  }
}

/// Waits until the store shows it: the daemon routes what it has acknowledged a moment later.
private func wait<Value: Sendable>(
  _ limit: Duration = .seconds(20), _ what: String = "it", _ find: () async throws -> Value?
) async throws -> Value {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if let found = try await find() { return found }
    try await Task.sleep(for: .milliseconds(20))
  }
  throw ChildProcess.Failure(description: "\(what) did not come within \(limit)")
}

private func channel(_ links: String, keys: [String] = []) -> String {
  """
    - kind: sms
      name: sms
      commands: {YE: statement, 余额: statement}
  \(keys.map { "    " + $0 }.joined(separator: "\n"))
      links:
  \(links)

  """
}

private func smpp(port: Int, name: String = "one", keys: [String] = []) -> String {
  let all =
    [
      "- name: \(name)", "  protocol: smpp", "  host: 127.0.0.1", "  port: \(port)", "  system_id: liaison",
      "  password: {env: SMS_PASSWORD}", "  reconnect_delay: 50ms",
    ] + keys.map { "  " + $0 }
  return all.map { "      " + $0 }.joined(separator: "\n")
}

private let environment = ["SMS_PASSWORD": "secret", "SMS_CALLBACK": "a-long-secret-path", "KANNEL_PASSWORD": "foobar"]

private func untilBound(_ smsc: StandInSMSC) async throws {
  _ = try await wait(.seconds(20), "the bind") { smsc.isBound ? true : nil }
}

/// Plans a short message to one number.
private func plan(_ bank: TestBank, text: String, to: String) async throws -> (status: UInt, text: String) {
  try await call(
    bank, .POST, "/v1/proactive-jobs",
    body: #"{"purpose": "transaction", "address": {"kind": "phone", "value": "\#(to)"}, "#
      + #""contents": {"sms": {"text": "\#(text)"}}}"#, key: "test-\(text)")
}

private func attempts(_ bank: TestBank, _ state: String) async throws -> Int64 {
  try await look(bank) { try $0.one("SELECT count(*) AS n FROM attempt WHERE state = $1", [.text(state)]).int("n") }
}

/// How often an SMSC got each text.
private final class Texts: Sendable {
  private let texts = Mutex<[[UInt8]: Int]>([:])
  func note(_ submitted: StandInSMSC.Submitted) { texts.withLock { $0[submitted.message.octets, default: 0] += 1 } }
  var counts: [[UInt8]: Int] { texts.withLock { $0 } }
}

/// A call over the admin socket; the status and the JSON's text.
private func call(
  _ bank: TestBank, _ method: HTTPMethod, _ path: String, body: String? = nil, key: String? = nil
) async throws -> (status: UInt, text: String) {
  let host = (bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
  var request = HTTPClientRequest(url: "http+unix://\(host)\(path)")
  request.method = method
  // As ASCII: the text of a test may be none.
  if let key { request.headers.add(name: "Idempotency-Key", value: String(key.hashValue, radix: 16)) }
  if let body {
    request.headers.add(name: "Content-Type", value: "application/json")
    request.body = .bytes(ByteBuffer(string: body))
  }
  let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
  return (answer.status.code, String(buffer: try await answer.body.collect(upTo: 1 << 22)))
}

@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct SMSDaemonTests {
  @Test func `messages over SMPP are answered once stored and become requests, long ones whole`() async throws {
    let smsc = StandInSMSC(.init(password: "secret", reportsAfter: nil))
    let port = try await smsc.start()
    let bank = try TestBank()
    let yaml =
      bank.configuration + channel(smpp(port: port), keys: ["part_time_limit: 2s", "part_hold: 300ms"])
    let daemon = try bank.start(yaml, environment: environment)
    _ = try await daemon.ready()
    try await untilBound(smsc)

    // ESME_ROK means: there.
    #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "请问我的额度是多少？😀") == .ok)
    #expect(try await look(bank) { try $0.one("SELECT count(*) AS n FROM arrival", []).int("n") } == 1)
    #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: " ye\r\n") == .ok)
    // Two parts in the wrong order, answered together.
    await withTaskGroup(of: SMPPStatus?.self) { group in
      for number: UInt8 in [2, 1] {
        group.addTask {
          await smsc.deliver(
            from: "8613912345678", to: "95588", text: number == 1 ? "我要投诉，" : "柜员态度差",
            concatenation: Concatenation(reference: 7, wide: false, total: 2, number: number))
        }
      }
      for await answer in group { #expect(answer == .ok) }
    }
    // A service writes; and one part of two, whose other never comes.
    #expect(await smsc.deliver(from: "1069095588", to: "95588", text: "验证码 1234") == .ok)
    #expect(
      await smsc.deliver(
        from: "8613912345678", to: "95588", text: "前半",
        concatenation: Concatenation(reference: 8, wide: false, total: 2, number: 1)) == .ok)
    // A PDU whose text is longer than itself.
    let broken = SMPPMessage(
      source: SMPPAddress(ton: 1, npi: 1, "8613912345678"), destination: SMPPAddress("95588"), esmClass: 0x40,
      octets: [9, 0, 3, 1])
    #expect(await smsc.deliver(broken) == .ok)

    let shown = try await wait(.seconds(20), "the messages") {
      let found = try await contacts(bank)
      return found.count >= 5 ? found : nil
    }
    #expect(shown.map(\.content) == ["请问我的额度是多少？😀", " ye\r\n", "我要投诉，柜员态度差", "验证码 1234", "前半…"])
    #expect(shown.map(\.category) == ["consultation", "statement", "complaint", "consultation", "consultation"])
    #expect(shown[0].from == "+8613912345678" && shown[0].fromKind == "phone")
    #expect(shown[3].from == "1069095588" && shown[3].fromKind == "short_code")
    #expect(shown[2].detail.contains("\"sms.parts\":\"2\""))
    #expect(shown[4].detail.contains("\"sms.missing_parts\":\"2\""), "\(shown[4].detail)")
    #expect(shown.allSatisfy { !$0.late })
    let reasons = try await look(bank) { connection in
      try connection.query("SELECT code FROM quarantine WHERE released_at IS NULL ORDER BY code", [])
        .map { try $0.text("code") }
    }
    // The part that was kept by itself is in the message now.
    #expect(reasons == ["bad-udh"])
    #expect(try await look(bank) { try $0.ledger(since: nil) }.allSatisfy { $0.balances })
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    await smsc.stop()
    bank.remove()
  }

  @Test func `an SMSC that is away or refuses harms no other channel, and its messages come when it is back`()
    async throws
  {
    let smsc = StandInSMSC(.init(password: "other", reportsAfter: nil))
    let port = try await smsc.start()
    let bank = try TestBank()
    let yaml = bank.configuration + channel(smpp(port: port, keys: ["refused_login_delay: 200ms"]))
    let daemon = try bank.start(yaml, environment: environment)
    _ = try await daemon.ready()
    let health = try await wait(.seconds(20), "the refusal") {
      let answer = try await call(bank, .GET, "/v1/channels")
      return answer.text.contains("ESME_RINVPASWD") ? answer.text : nil
    }
    #expect(!health.contains("secret"))
    smsc.behave(.init(password: "secret", reportsAfter: nil))
    try await untilBound(smsc)
    #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "在吗") == .ok)
    let stopped = ContinuousClock.now
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    #expect(ContinuousClock.now - stopped < .seconds(5))
    // Nobody is bound: the SMSC keeps it. Then the daemon is back.
    #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "早上好") == nil)
    let again = try bank.start(yaml, environment: environment)
    _ = try await again.ready()
    try await untilBound(smsc)
    #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "早上好") == .ok)
    _ = try await wait(.seconds(20), "both messages") { try await contacts(bank).count == 2 ? true : nil }
    #expect(try await again.stop() == .code(0), "\(again.child.tail)")
    await smsc.stop()
    bank.remove()
  }

  @Test func `the preview of a text is the link's, and bad calls are refused`() async throws {
    let bank = try TestBank()
    let links =
      smpp(port: 1, keys: ["signature: 建设银行", "opt_out_line: 拒收请回复R"]) + "\n"
      + smpp(port: 1, name: "abroad", keys: ["maximum_parts: 2"])
    let daemon = try bank.start(bank.configuration + channel(links), environment: environment)
    _ = try await daemon.ready()
    func preview(_ body: String) async throws -> (status: UInt, text: String) {
      try await call(bank, .POST, "/v1/sms-preview", body: body)
    }
    let chinese = try await preview(#"{"text": "您的账单已出", "opt_out_line": true}"#)
    #expect(chinese.status == 200)
    for part in [
      #""link":"one""#, #""text":"【建设银行】您的账单已出拒收请回复R""#, #""encoding":"ucs2""#, #""units":18"#, #""segments":1"#,
      #""units_left":52"#, #""text":"【建设银行】","placement":"start""#,
    ] {
      #expect(chinese.text.replacing(": ", with: ":").contains(part), "\(part) in \(chinese.text)")
    }
    let plain = try await preview(#"{"text": "\#(String(repeating: "a{€}", count: 100))", "link": "abroad"}"#)
    for part in [#""encoding":"gsm7""#, #""units":700"#, #""segments":5"#, #""fits":false"#, #""signature":null"#] {
      #expect(plain.text.replacing(": ", with: ":").contains(part), "\(part) in \(plain.text)")
    }
    #expect(try await preview(#"{"text": "x", "link": "nosuch"}"#).status == 422)
    #expect(try await preview(#"{"text": "x", "channel": "web"}"#).status == 422)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    bank.remove()
  }

  @Test func `a link cut with 50 unanswered submits leaves 50 in doubt, which receipts settle; nothing goes twice`()
    async throws
  {
    let texts = Texts()
    let smsc = StandInSMSC(.init(answers: false, reportsAfter: nil)) { texts.note($0) }
    let port = try await smsc.start()
    let bank = try TestBank()
    let yaml = bank.configuration + channel(smpp(port: port, keys: ["window: 100"]), keys: ["inquire_every: 200ms"])
    let daemon = try bank.start(yaml, environment: environment)
    _ = try await daemon.ready()
    try await untilBound(smsc)
    for number in 0..<50 {
      let planned = try await plan(bank, text: "message \(number)", to: "+861000000\(1_000 + number)")
      #expect(planned.status == 201, "\(planned.text)")
    }
    await smsc.waitForSubmits(50)
    smsc.cut()
    _ = try await wait(.seconds(20), "the doubts") { try await attempts(bank, "in_doubt") == 50 ? true : nil }
    smsc.behave(.init(reportsAfter: nil))
    try await untilBound(smsc)

    // An SMSC that names our reference in its receipts: 30 of them come.
    for submitted in smsc.submitted.prefix(30) {
      let text =
        "id:\(submitted.id) sub:001 dlvrd:001 submit date:2611241200 done date:2611241201 stat:DELIVRD err:000 text:"
      let reference = try #require(submitted.parameters[.userMessageReference])
      let receipt = SMPPMessage(
        source: submitted.message.destination, destination: submitted.message.source, esmClass: 0x04,
        octets: Array(text.utf8))
      #expect(await smsc.deliver(receipt, parameters: [reference]) == .ok)
    }
    _ = try await wait(.seconds(20), "the receipts") { try await attempts(bank, "delivered") == 30 ? true : nil }
    // The rest stays visible, and no inquiry sends it again.
    #expect(try await attempts(bank, "in_doubt") == 20)
    #expect(try await call(bank, .GET, "/v1/attempts/in-doubt").text.contains("in_doubt"))
    #expect(texts.counts.values.allSatisfy { $0 == 1 } && texts.counts.count == 50)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")

    // Nor does the next start, after which what is planned goes out.
    let again = try bank.start(yaml, environment: environment)
    _ = try await again.ready()
    try await untilBound(smsc)
    #expect(try await plan(bank, text: "after the start", to: "+8610000009998").status == 201)
    await smsc.waitForSubmits(51)
    _ = try await wait(.seconds(20), "the text") { texts.counts.count == 51 ? true : nil }
    #expect(texts.counts.values.allSatisfy { $0 == 1 })
    #expect(try await attempts(bank, "in_doubt") == 20)
    #expect(try await again.stop() == .code(0), "\(again.child.tail)")
    await smsc.stop()
    bank.remove()
  }

  @Test(
    .timeLimit(.minutes(2)),
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/bearerbox"), "Kannel is not installed"))
  func `a real Kannel's messages are answered once stored, late ones marked, strangers turned away`() async throws {
    let smsc = StandInSMSC(.init(reportsAfter: .milliseconds(100)))
    let upstream = try await smsc.start()
    let bank = try TestBank()
    let ports = try await freePorts()
    let base = "http://127.0.0.1:\(ports.listen)"
    let links = [
      "- name: kannel", "  protocol: kannel", "  send_url: http://127.0.0.1:\(ports.kannel + 13)/cgi-bin/sendsms",
      "  username: tester", "  password: {env: KANNEL_PASSWORD}", "  sender: \"95588\"",
    ].map { "      " + $0 }.joined(separator: "\n")
    let yaml =
      bank.configuration
      + channel(
        links,
        keys: [
          "callback_secret: {env: SMS_CALLBACK}", "callback_base: \(base)", "callback_sources: [127.0.0.1]",
        ])
    let kannel = try await Kannel.start(
      in: bank.directory + "/kannel", base: ports.kannel, smsc: upstream,
      mo: KannelCallbacks.messageURL(base: base + "/sms/a-long-secret-path"))
    do {
      let listen = ["LIAISON_PUBLIC_LISTEN": "127.0.0.1:\(ports.listen)"]
      let daemon = try bank.start(yaml, environment: environment.merging(listen) { $1 })
      let bound = try await daemon.ready()
      #expect(bound.public == base)
      // Kannel itself: until then nobody takes what comes.
      try await untilBound(smsc)

      #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "YE") == .ok)
      #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "Balance {€} @ 10") == .ok)
      // Longer than any URL may be: 30 parts, which Kannel joins.
      let long = (1...30).map { number in "\(number)：" + String(repeating: "请帮我查询账单", count: 8) }
      await withDiscardingTaskGroup { group in
        for (index, text) in long.enumerated() {
          group.addTask {
            _ = await smsc.deliver(
              from: "8613912345678", to: "95588", text: text,
              concatenation: Concatenation(reference: 33, wide: false, total: 30, number: UInt8(index + 1)))
          }
        }
      }
      let shown = try await wait(.seconds(30), "Kannel's messages") {
        let found = try await contacts(bank)
        return found.count >= 3 ? found : nil
      }
      #expect(Set(shown.map(\.content)) == ["YE", "Balance {€} @ 10", long.joined()])
      #expect(shown.allSatisfy { $0.providerID?.hasPrefix("kannel/mo/") == true && !$0.late })

      // Out through Kannel; its report comes back to the attempt.
      #expect(try await plan(bank, text: "您的账单已出", to: "+8613800138000").status == 201)
      _ = try await wait(.seconds(30), "Kannel's report") { try await attempts(bank, "delivered") == 1 ? true : nil }
      #expect(smsc.count == 1)

      // The same call again, as Kannel makes it with http-request-retry; one that lay for hours; strangers.
      let query = "from=%2B8613912345678&to=95588&text=ok&charset=UTF-8&coding=0&id=once"
      func get(_ path: String) async throws -> UInt {
        try await HTTPClient.shared.execute(HTTPClientRequest(url: base + path), timeout: .seconds(10)).status.code
      }
      #expect(try await get("/sms/a-long-secret-path/mo?\(query)") == 200)
      #expect(try await get("/sms/a-long-secret-path/mo?\(query)") == 200)
      let then = Int(Date().timeIntervalSince1970) - 7_200
      #expect(try await get("/sms/kannel/a-long-secret-path/mo?\(query)2&t=\(then)") == 200)
      #expect(try await get("/sms/a-wrong-secret-pathx/mo?\(query)3") == 403)
      #expect(try await get("/sms/a-long-secret-path/else?\(query)4") == 404)
      let all = try await wait(.seconds(20), "the late message") {
        let found = try await contacts(bank)
        return found.count >= 5 ? found : nil
      }
      #expect(all.count == 5)
      #expect(all.filter(\.late).map(\.providerID) == ["kannel/mo/once2"])
      let ledger = try await look(bank) { try $0.ledger(since: nil) }.filter { $0.channel == "sms" }
      #expect(ledger.reduce(0) { $0 + $1.duplicate } == 1)
      #expect(ledger.allSatisfy { $0.balances })
      #expect(!daemon.child.lines.contains { $0.contains("a-long-secret-path") })
      #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    } catch {
      await kannel.stop()
      throw error
    }
    await kannel.stop()
    await smsc.stop()
    bank.remove()
  }
}

/// A port for the public listener and a base for Kannel's, free a moment ago.
private func freePorts() async throws -> (listen: Int, kannel: Int) {
  func isFree(_ port: Int) async -> Bool {
    do {
      let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .bind(host: "127.0.0.1", port: port).get()
      try await server.close()
      return true
    } catch {
      return false
    }
  }
  for _ in 0..<50 {
    let base = Int.random(in: 21...38) * 1_000 + Int.random(in: 0..<10)
    var free = true
    for offset in [0, 1, 13, 20] where await !isFree(base + offset) { free = false }
    if free { return (base + 20, base) }
  }
  throw ChildProcess.Failure(description: "no free ports")
}

/// A real Kannel on the loopback, started and stopped by the script beside the adapter's tests.
private struct Kannel {
  let folder: String
  private static let script = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("adapters/sms/Tests/Peers/start-kannel.sh").path

  static func start(in folder: String, base: Int, smsc: Int, mo: String) async throws -> Kannel {
    try await run([
      "/bin/bash", script, folder, "--base", "\(base)", "--smsc", "smpp:127.0.0.1:\(smsc):u:p", "--mo-post", mo,
      "--smsc-extra", "reconnect-delay = 1",
    ])
    return Kannel(folder: folder)
  }

  /// What is still there afterwards goes with the test's folder.
  func stop() async { try? await Self.run(["/bin/bash", Self.script, "stop", folder]) }

  private static func run(_ command: [String]) async throws {
    // Threads of a test block signals, and what they start inherits that: it could not be stopped.
    let unblocking =
      "import os, signal, sys; signal.pthread_sigmask(signal.SIG_SETMASK, []); os.execv(sys.argv[1], sys.argv[1:])"
    let child = try ChildProcess(["/usr/bin/python3", "-c", unblocking] + command)
    let exit = try await child.ended(within: .seconds(40))
    guard exit == .code(0) else { throw ChildProcess.Failure(description: "\(command[1]): \(exit)\n\(child.tail)") }
  }
}

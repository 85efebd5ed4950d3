import Channels
import ContactModel
import Foundation
import LiaisonForTests
import NIOHTTP1
import Store
import Testing

private let line = ProcessInfo.processInfo.environment["LIAISON_FAX_LINE"]

/// The whole daemon on a real telephone line: software modems, two HylaFAX servers (the bank's on 4559, a customer's on
/// 4659) and an exchange. `make test-fax` starts the line and names its folder; audio is in real time.
@Suite(.serialized, .enabled(if: line != nil, "make test-fax starts the line"))
struct FaxLineTests {
  private let base = line ?? ""
  private var theirs: String { base + "/cust/recvq" }
  /// Numbers of the exchange's prefixes are dialled as they are.
  private let keys = [
    "sweep_interval: 2s", "receive_grace: 20s", "dial_rules: [\"+8610=\", \"+86=\"]", "sender_name: 惠民银行",
    "settle_delay: 2s",
  ]

  private func run(_ command: [String]) async throws -> String {
    let child = try ChildProcess(["/usr/bin/env"] + command)
    let exit = try await child.ended(within: .seconds(60))
    guard exit == .code(0) else { throw ChildProcess.Failure(description: "\(command): \(exit)\n\(child.tail)") }
    return child.tail
  }

  /// The shipped hook in the place of HylaFAX's own program, and what it needs to know.
  private func installHook(url: String) async throws {
    let hook = FaxBank.root.appendingPathComponent("adapters/fax/hook/faxrcvd-liaison").path
    let spool = base + "/bank"
    _ = try await run(["install", "-m", "755", hook, spool + "/bin/faxrcvd"])
    try "LIAISON_URL=\(url)\nLIAISON_SERVER=bank\nLIAISON_TOKEN_FILE=etc/liaison.token\n"
      .write(toFile: spool + "/etc/liaison.conf", atomically: true, encoding: .utf8)
    try FaxBank.hookToken.write(toFile: spool + "/etc/liaison.token", atomically: true, encoding: .utf8)
    _ = try await run(["chown", "uucp:uucp", spool + "/etc/liaison.conf", spool + "/etc/liaison.token"])
  }

  private func received() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: theirs).count { $0.hasSuffix(".tif") }
  }

  /// JOBINFO of every job on the bank's server.
  private func tags() throws -> [String] {
    try ["sendq", "doneq"].flatMap { queue in
      try FileManager.default.contentsOfDirectory(atPath: "\(base)/bank/\(queue)").filter { $0.hasPrefix("q") }
        .flatMap { file in
          // A job that moves on between the two is listed in the other queue.
          let text = (try? String(contentsOfFile: "\(base)/bank/\(queue)/\(file)", encoding: .utf8)) ?? ""
          return text.split(separator: "\n").filter { $0.hasPrefix("jobtag:") }.map { String($0.dropFirst(7)) }
        }
    }
  }

  private func plan(_ bank: FaxBank, to customer: String, text: String) async throws {
    let answer = try await bank.admin(
      .POST, "/v1/proactive-jobs",
      [
        "purpose": "service", "customer_no": customer, "reference": UUID().uuidString,
        "contents": ["fax": ["text": text, "options": ["fax.cover": "true"]]],
      ])
    #expect(answer.status == 201, "\(answer)")
  }

  @Test(.timeLimit(.minutes(5)))
  func `a customer's fax becomes a contact with pages, preview and popped agent, and ours is delivered`() async throws {
    // What others received on this line before is not ours.
    _ = try await run(["bash", "-c", "rm -rf \(base)/bank/recvq/fax*.tif \(base)/bank/log/liaison"])
    let bank = try FaxBank([("bank", 4_559)], keys: keys)
    try await bank.seed([("7000001", "李伟", "+861055550199")])
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    try await installHook(url: bound.public + "/hooks/fax")
    let document = FaxBank.root.appendingPathComponent(
      "adapters/fax/Tests/Fixtures/recordings/documents/loss-report-zh-g3-std-2p.tif"
    ).path
    _ = try await run(["FAXUSER=open", "sendfax", "-n", "-h", "127.0.0.1:4659", "-d", "55550100", document])
    let token = try await bank.agentToken()
    let pop = try await bank.pop(api: bound.api, token: token, within: .seconds(150))
    #expect(pop.contains("传真，2页") && pop.contains("7000001"), "\(pop)")
    let row = try await bank.look {
      try $0.one("SELECT contact_id, category, customer_no, detail FROM contact WHERE direction = 'inbound'")
    }
    #expect(try row.text("category") == "declaration")
    #expect(try row.text("customer_no") == "7000001")
    let detail = try row.text("detail")
    // The device is known from the hook alone: it has come through.
    for fact in ["\"fax.complete\":\"yes\"", "ttyIAXbank", "01055550199", "55550100"] {
      #expect(detail.contains(fact), "\(fact): \(detail)")
    }
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: base + "/bank/log/liaison").allSatisfy { $0 == ".header" })
    let (_, json) = try await FaxBank.call(
      .GET, "\(bound.api)/v1/contacts/\(try row.text("contact_id"))", token: token)
    let types = (json["attachments"] as? [[String: Any]] ?? []).map { $0["media_type"] as? String ?? "" }
    #expect(types == ["image/tiff", "application/pdf", "image/png", "image/png"])

    let there = try received()
    try await plan(bank, to: "7000001", text: "尊敬的客户：您的挂失已办理。")
    try await bank.eventually("delivered", within: .seconds(150), daemon: daemon) {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'delivered'").int("n") == 1
    }
    #expect(try received() == there + 1)
    let out = try await bank.look {
      try $0.one("SELECT disposition, to_canonical FROM contact WHERE direction = 'outbound'")
    }
    #expect(try out.text("disposition") == "delivered" && out.text("to_canonical") == "+861055550199")
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    bank.bank.remove()
  }

  @Test(.timeLimit(.minutes(5)))
  func `hfaxd restarted and Liaison killed in mid-call: delivered once`() async throws {
    let bank = try FaxBank([("bank", 4_559)], keys: keys + ["text_pages: 0"])
    try await bank.seed([("7000001", "李伟", "+861055550199")])
    let daemon = try bank.start()
    _ = try await daemon.ready()
    let there = try received()
    try await plan(bank, to: "7000001", text: "尊敬的客户：您的账单已寄出。")
    try await bank.eventually("accepted", within: .seconds(60), daemon: daemon) {
      try $0.first("SELECT 1 AS one FROM attempt WHERE state = 'accepted'") != nil
    }
    let status = base + "/bank/status/ttyIAXbank"
    let deadline = ContinuousClock.now + .seconds(60)
    while try !String(contentsOfFile: status, encoding: .utf8).contains("Sending"), ContinuousClock.now < deadline {
      try await Task.sleep(for: .milliseconds(200))  // HylaFAX tells its state in a file
    }
    daemon.child.send(SIGKILL)
    #expect(try await daemon.child.ended(within: .seconds(10)) == .signal(SIGKILL))
    let pidFile = base + "/run/hfaxd.bank.pid"
    let old = try String(contentsOfFile: pidFile, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    _ = try await run([
      "bash", "-c",
      "kill \(old); while kill -0 \(old) 2>/dev/null; do sleep 0.1; done; "
        + "hfaxd -d -q \(base)/bank -l 127.0.0.1 -i 4559 >/dev/null 2>&1 </dev/null & echo $! > \(pidFile)",
    ])
    let after = try bank.start()
    _ = try await after.ready()
    try await bank.eventually("settled", within: .seconds(150), daemon: after) {
      try $0.first("SELECT 1 AS one FROM attempt WHERE state = 'delivered'") != nil
    }
    #expect(try received() == there + 1)
    #expect(try await bank.look { try $0.one("SELECT count(*) AS n FROM attempt").int("n") } == 1)
    #expect(try await after.stop() == .code(0))
    bank.bank.remove()
  }

  @Test(
    .timeLimit(.minutes(8)),
    .enabled(if: ProcessInfo.processInfo.environment["LIAISON_FAX_SLOW"] != nil, "test-line.sh --slow"))
  func `busy, no answer, a person, a refusal and a cut line settle as what they are, and nothing is sent twice`()
    async throws
  {
    let bank = try FaxBank([("bank", 4_559)], keys: keys + ["text_pages: 0"])
    try await bank.seed([
      ("7000090", "忙", "+861090123456"), ("7000094", "拒", "+861094123456"), ("7000092", "人", "+861092123456"),
      ("7000091", "无", "+861091123456"), ("7000095", "断", "+86952255550199"),
    ])
    let daemon = try bank.start()
    _ = try await daemon.ready()
    let long = (1...160).map { "第\($0)行：本行发送给您的对账单明细。" }.joined(separator: "\n")
    for customer in ["7000090", "7000094", "7000092", "7000091", "7000095"] {
      try await plan(bank, to: customer, text: customer == "7000095" ? long : "尊敬的客户：请与我行联系。")
    }
    let firsts = """
      SELECT a.customer_no, a.state, coalesce(a.fault_code, '') AS fault, coalesce(a.fault_peer_code, '') AS class,
        j.state AS job, j.spent AS spent FROM attempt a JOIN proactive_job j ON j.job_id = a.job_id
      WHERE a.attempt_id IN (SELECT min(attempt_id) FROM attempt GROUP BY job_id) ORDER BY a.customer_no
      """
    try await bank.eventually("all settled", within: .seconds(420), daemon: daemon) { connection in
      let states = try connection.query(firsts).map { try $0.text("state") }
      return states.count == 5 && states.allSatisfy { ["rejected", "undelivered", "unknown_final"].contains($0) }
    }
    let rows = try await bank.look { connection in
      try connection.query(firsts).map {
        (
          customer: try $0.text("customer_no"), state: try $0.text("state"), fault: try $0.text("fault"),
          word: try $0.text("class"), job: try $0.text("job")
        )
      }
    }
    let byCustomer = Dictionary(rows.map { ($0.customer, $0) }, uniquingKeysWith: { first, _ in first })
    // Nothing reached anybody, and the line may be free later: planned again.
    #expect(byCustomer["7000090"].map { [$0.state, $0.fault] } == ["rejected", "recipient_busy"], "\(rows)")
    #expect(byCustomer["7000091"].map { [$0.state, $0.fault] } == ["rejected", "no_answer"], "\(rows)")
    // The same would fail again, and there is no other channel.
    #expect(
      byCustomer["7000092"].map { [$0.state, $0.fault, $0.job] } == ["rejected", "not_a_fax", "refused"], "\(rows)")
    #expect(
      byCustomer["7000094"].map { [$0.state, $0.fault, $0.job] } == ["rejected", "unknown_recipient", "refused"],
      "\(rows)")
    let cut = try #require(byCustomer["7000095"])
    #expect(cut.word == "cut" || cut.word == "last-page-in-doubt", "\(rows)")
    // One job on the server for each attempt handed over.
    let names = try await bank.look {
      try $0.query("SELECT wire_identity FROM attempt WHERE wire_identity IS NOT NULL").map {
        try $0.text("wire_identity")
      }
    }
    let ours = try tags().filter(names.contains)
    #expect(Set(ours).count == ours.count)
    #expect(try await daemon.stop() == .code(0))
    bank.bank.remove()
  }
}

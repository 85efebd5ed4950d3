import Channels
import ContactModel
import Demo
import Foundation
import LiaisonForTests
import NIOHTTP1
import Store
import Testing

@testable import liaison

/// A daemon with an e-mail channel, and its store read beside it.
struct MailBank: Sendable {
  let bank: TestBank
  let lmtp: Int

  init() throws {
    bank = try TestBank()
    lmtp = try freePort()
  }

  /// The configuration with an e-mail channel that listens for LMTP; `more` are further lines of its entry.
  func yaml(_ more: String...) -> String {
    bank.configuration + """
        - kind: email
          name: mail
          mailbox: service@liaison.example
          addresses: [loans@liaison.example]
          delivery: {listen: "127.0.0.1:\(lmtp)"}

      """ + more.map { "    " + $0.replacing("\n", with: "\n    ") + "\n" }.joined()
  }

  /// Looks again every 50 ms until it holds; false after a minute and a half.
  func until(
    _ what: String, sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: @escaping @Sendable (any Connection) throws -> Bool
  ) async throws {
    let deadline = ContinuousClock.now + .seconds(90)
    while ContinuousClock.now < deadline {
      if try await look(condition) { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    Issue.record("not within 90 seconds: \(what)", sourceLocation: sourceLocation)
    throw ChildProcess.Failure(description: what)
  }

  func look<Value: Sendable>(_ read: @escaping @Sendable (any Connection) throws -> Value) async throws -> Value {
    try await bank.look(read)
  }

  var client: AdminClient { AdminClient(socket: bank.directory + "/admin.sock") }

  func subjects() async throws -> [String] {
    try await look { try $0.query("SELECT summary FROM contact ORDER BY summary", []).map { try $0.text("summary") } }
  }
}

/// A letter as a customer writes it.
func letter(
  _ subject: String, to: String..., from: String = "kehu@bank.example", id: String = UUID().uuidString,
  headers: String = "", body: String = "您好，请核对。"
) -> MailPeer.Letter {
  let text =
    "From: <\(from)>\r\nTo: <\(to[0])>\r\nSubject: \(subject)\r\nDate: Tue, 24 Nov 2026 09:00:00 +0800\r\n"
    + "Message-ID: <\(id)@customer.example>\r\nMIME-Version: 1.0\r\n"
    + (headers.contains("Content-Type") ? "" : "Content-Type: text/plain; charset=utf-8\r\n") + headers + "\r\n"
    + body.replacing("\r\n", with: "\n").replacing("\n", with: "\r\n") + "\r\n"
  return MailPeer.Letter(from: from, to: to, bytes: Array(text.utf8))
}

@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct EmailDaemonTests {
  @Test func `mail by LMTP becomes requests, its copies one contact, machines' mail none, and rubbish is kept aside`()
    async throws
  {
    let mail = try MailBank()
    let daemon = try mail.bank.start(mail.yaml())
    _ = try await daemon.ready()
    func deliver(_ letter: MailPeer.Letter) async throws -> [String] {
      try await MailPeer.deliver(letter, port: mail.lmtp)
    }
    let html = """
      <p onclick="x()">账单<script>alert(1)</script><img src="http://evil.example/x.png"><a href="javascript:x">y</a></p>
      """
    let shown = letter(
      "账单", to: "service@liaison.example", "loans@liaison.example", "nobody@liaison.example", id: "one",
      headers: "Content-Type: text/html; charset=utf-8\r\n", body: html)
    let answers = try await deliver(shown)
    #expect(answers.map { $0.prefix(3) } == ["250", "250", "550"])
    // The server did not hear it: the same again.
    #expect(try await deliver(shown).map { $0.prefix(3) } == ["250", "250", "550"])
    // A sender that uses its ids twice.
    _ = try await deliver(letter("另一件事", to: "service@liaison.example", id: "one"))
    _ = try await deliver(
      letter("自动回复：休假", to: "service@liaison.example", headers: "Auto-Submitted: auto-replied\r\n"))
    let rubbish = Array("\u{1}\u{2} nothing of a mail\r\n".utf8)
    #expect(
      try await deliver(.init(from: "x@y.example", to: ["service@liaison.example"], bytes: rubbish))[0].hasPrefix("250")
    )
    try await mail.until("five arrivals worked on") {
      try $0.one("SELECT count(*) AS n FROM arrival WHERE state <> 'kept'", []).int("n") == 5
    }
    #expect(try await mail.subjects() == ["另一件事", "自动回复：休假", "账单"])
    let (requests, copies, aside, payload, line) = try await mail.look { connection in
      (
        try connection.query("SELECT summary, reference FROM service_request ORDER BY summary", []),
        try connection.one("SELECT count(*) AS n FROM contact_copy", []).int("n"),
        try connection.one(
          "SELECT a.raw, q.code FROM quarantine q JOIN arrival a ON a.arrival_id = q.arrival_id", []),
        try connection.one("SELECT payload FROM arrival WHERE payload LIKE '%账单%' LIMIT 1", []).text("payload"),
        try connection.ledger(since: nil)
      )
    }
    #expect(try requests.map { try $0.text("summary") } == ["另一件事", "账单"])
    #expect(try requests.allSatisfy { try $0.textOrNil("reference") != nil })
    #expect(copies == 1)
    #expect(try aside.blob("raw") == rubbish)
    #expect(try aside.text("code") == "bad-mime")
    let message = try JSONText.decode(InboundMessage.self, from: payload)
    #expect(message.html?.contains("账单") == true)
    for word in ["script", "onclick", "evil.example", "javascript"] { #expect(message.html?.contains(word) == false) }
    let ledger = try #require(line.first { $0.channel == "mail" })
    #expect((ledger.stored, ledger.duplicate, ledger.refused) == (5, 2, 2))
    #expect(ledger.balances)
    #expect(try await daemon.stop() == .code(0))
    mail.bank.remove()
  }

  @Test func `a mail that could not be read is read anew when it has been mended, attachments and all`() async throws {
    let mail = try MailBank()
    let daemon = try mail.bank.start(mail.yaml())
    _ = try await daemon.ready()
    let broken = Array("\u{1}\u{2} nothing of a mail\r\n".utf8)
    _ = try await MailPeer.deliver(
      .init(from: "x@y.example", to: ["service@liaison.example"], bytes: broken), port: mail.lmtp)
    try await mail.until("quarantine") { try $0.one("SELECT count(*) AS n FROM quarantine", []).int("n") == 1 }
    let id = try await mail.look { try $0.one("SELECT arrival_id FROM quarantine", []).text("arrival_id") }
    let mended = letter(
      "修好的", to: "service@liaison.example", headers: "Content-Type: multipart/mixed; boundary=b\r\n",
      body:
        "--b\nContent-Type: text/plain; charset=utf-8\n\n正文\n--b\nContent-Type: application/pdf; name=a.pdf\n\n%PDF-1.4\n--b--"
    )
    _ = try await mail.client.call(
      .POST, "/v1/quarantine/\(id)/reprocess",
      body: try JSONObjectText(["mended": Data(mended.bytes).base64EncodedString(), "reason": "no header"]))
    try await mail.until("the request") {
      try $0.first("SELECT 1 AS one FROM service_request WHERE summary = '修好的'", []) != nil
    }
    let (parts, from, raw) = try await mail.look { connection in
      (
        try connection.query("SELECT name FROM attachment", []).map { try $0.textOrNil("name") },
        try connection.one("SELECT from_canonical FROM contact", []).textOrNil("from_canonical"),
        try connection.one("SELECT raw FROM arrival", []).blob("raw")
      )
    }
    #expect(parts == ["a.pdf"])
    #expect(from == "x@y.example" || from == "kehu@bank.example")
    #expect(raw == broken)
    #expect(try await daemon.stop() == .code(0))
    mail.bank.remove()
  }

  @Test func `a mailbox that cannot be fetched degrades the channel, which is an event`() async throws {
    let mail = try MailBank()
    let dead = try freePort()
    let daemon = try mail.bank.start(
      mail.yaml(
        """
        alarm_after: 1s
        mailboxes:
          - {host: 127.0.0.1, port: \(dead), tls: none, user: u, password: {env: MAIL_PASSWORD}, address: service@liaison.example}
        """), environment: ["MAIL_PASSWORD": "secret"])
    _ = try await daemon.ready()
    try await mail.until("the alarm") {
      try $0.first(
        "SELECT body FROM event WHERE event_type = 'channel.health_changed' AND body LIKE '%degraded%'", []) != nil
    }
    // The listener goes on.
    let answer = try await MailPeer.deliver(letter("x", to: "service@liaison.example"), port: mail.lmtp)
    #expect(answer[0].hasPrefix("250"))
    #expect(try await daemon.stop() == .code(0))
    mail.bank.remove()
  }
}

/// The daemon in front of a mail server that fails, or tells what it is told.
@Suite(
  .serialized, .enabled(if: Sink.isAvailable, "../shared/peers/email/sink.py is absent"),
  .enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct MailSinkTests {
  private func submission(_ sink: Sink) -> String {
    "submission: {host: localhost, port: \(sink.port), tls: none, timeout: 60s, transfer_timeout: 60s}"
  }

  private func plan(_ mail: MailBank, to address: String, subject: String) async throws {
    _ = try await mail.client.call(
      .POST, "/v1/proactive-jobs",
      body: try JSONObjectText([
        "purpose": "security", "address": ["kind": "email", "value": address], "reference": UUID().uuidString,
        "contents": ["email": ["subject": subject, "text": "您的账户于今日登录。"]],
      ]))
  }

  @Test func `a mail dropped after the dot is in doubt, is shown, and is not sent again, nor after a restart`()
    async throws
  {
    let mail = try MailBank()
    let sink = try Sink("dropdata")
    let first = try mail.bank.start(mail.yaml(submission(sink)))
    _ = try await first.ready()
    try await plan(mail, to: "kehu@bank.example", subject: "登录提醒")
    try await mail.until("in doubt") {
      try $0.first("SELECT 1 AS one FROM attempt WHERE state = 'in_doubt'", []) != nil
    }
    let shown = try await mail.client.bytes(.GET, "/v1/attempts/in-doubt")
    #expect(String(decoding: shown, as: UTF8.self).contains("kehu@bank.example"))
    #expect(try await first.stop() == .code(0))
    let second = try mail.bank.start(mail.yaml(submission(sink)))
    _ = try await second.ready()
    // What is planned behind it goes out: the dispatcher has looked at everything.
    try await plan(mail, to: "other@bank.example", subject: "另一封")
    try await mail.until("both in doubt") {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'in_doubt'", []).int("n") == 2
    }
    #expect(sink.accepted.count == 2)
    #expect(sink.accepted.count { $0.contains("kehu@bank.example") } == 1)
    #expect(try await mail.look { try $0.one("SELECT count(*) AS n FROM attempt", []).int("n") } == 2)
    #expect(try await second.stop() == .code(0))
    mail.bank.remove()
  }

  @Test func `an answer's subject alone binds what comes back, and a complaint about our mail stops its address`()
    async throws
  {
    let mail = try MailBank()
    let sink = try Sink("ok")
    let daemon = try mail.bank.start(mail.yaml(submission(sink)))
    _ = try await daemon.ready()
    _ = try await MailPeer.deliver(letter("信用卡账单", to: "service@liaison.example"), port: mail.lmtp)
    try await mail.until("the question") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 1 }
    let request = try await mail.look {
      try $0.one("SELECT request_id AS id, reference FROM service_request", [])
    }
    let (id, reference) = (try request.text("id"), try request.text("reference"))
    _ = try await mail.client.call(
      .POST, "/v1/service-requests/\(id)/replies", body: try JSONObjectText(["text": "已核对。"]))
    try await mail.until("sent") {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'accepted'", []).int("n") == 1
    }
    let token = "[案件 \(reference)]"
    let job = try await mail.look {
      try $0.one("SELECT contents FROM proactive_job", []).text("contents")
    }
    #expect(job.contains("Re: \(token) 信用卡账单"), "\(job)")
    // A client that keeps nothing but the subject.
    _ = try await MailPeer.deliver(letter("回复：\(token) 信用卡账单", to: "service@liaison.example"), port: mail.lmtp)
    try await mail.until("the answer to the answer") {
      try $0.one("SELECT count(*) AS n FROM contact WHERE direction = 'inbound'", []).int("n") == 2
    }
    let joined = try await mail.look {
      try $0.one(
        """
        SELECT count(*) AS n FROM contact_service_request l JOIN contact c ON c.contact_id = l.contact_id
        WHERE l.request_id = $1 AND c.direction = 'inbound'
        """, [.text(id)]
      ).int("n")
    }
    #expect(joined == 2)

    // RFC 5965: one about a mail nobody sent, one about ours.
    func complain(_ messageID: String, _ address: String) async throws {
      let body = """
        --b
        Content-Type: text/plain

        This is an email abuse report.
        --b
        Content-Type: message/feedback-report

        Feedback-Type: abuse
        User-Agent: Test/1
        Version: 1
        Original-Rcpt-To: <\(address)>
        --b
        Content-Type: text/rfc822-headers

        Message-ID: <\(messageID)>
        To: <\(address)>
        --b--
        """
      let report = letter(
        "abuse report", to: "service@liaison.example", from: "fbl@qq.example",
        headers: "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n", body: body)
      #expect(try await MailPeer.deliver(report, port: mail.lmtp)[0].hasPrefix("250"))
    }
    let ours = try await mail.look { try $0.one("SELECT wire_identity FROM attempt", []).text("wire_identity") }
    try await complain("invented@elsewhere.example", "kehu@bank.example")
    try await complain(ours, "somebody@bank.example")
    try await complain(ours, "kehu@bank.example")
    try await mail.until("the address has complained") {
      try $0.first("SELECT 1 AS one FROM contact_point WHERE state = 'complaint'", []) != nil
    }
    let stops = try await mail.look { connection in
      try connection.query(
        """
        SELECT s.canonical, s.scope, e.evidence_kind AS kind FROM address_stop s JOIN evidence e ON e.evidence_id = s.evidence_id
        """, []
      ).map { try $0.text("canonical") + " " + $0.text("scope") + " " + $0.text("kind") }
    }
    #expect(stops.count == 1 && stops[0].hasPrefix("kehu@bank.example promo"), "\(stops)")
    #expect(try await mail.look { try $0.one("SELECT count(*) AS n FROM service_request", []).int("n") } == 1)
    #expect(try await daemon.stop() == .code(0))
    mail.bank.remove()
  }
}

/// The daemon behind a bank's real mail server.
@Suite(
  .serialized, .enabled(if: BankMail.isAvailable, "Postfix, Dovecot or ../shared/peers/email are absent"),
  .enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct MailServerTests {
  /// Written to the bank's server, which brings it where it belongs.
  private func post(_ letter: MailPeer.Letter, _ server: BankMail) async throws {
    let replies = try await MailPeer.deliver(letter, port: server.smtp, wire: .smtp)
    #expect(replies.allSatisfy { $0.hasPrefix("250") }, "\(replies)")
  }

  @Test func `what Postfix brings by LMTP arrives once, also what came while Liaison was away`() async throws {
    let mail = try MailBank()
    let server = try BankMail("lmtp=\(mail.lmtp)")
    let first = try mail.bank.start(mail.yaml())
    _ = try await first.ready()
    try await post(letter("before", to: "service@liaison.example"), server)
    try await mail.until("before") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 1 }
    #expect(try await first.stop() == .code(0))
    for number in 1...5 { try await post(letter("away \(number)", to: "service@liaison.example"), server) }
    let second = try mail.bank.start(mail.yaml())
    _ = try await second.ready()
    try await mail.until("away") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 6 }
    // Killed in the middle of it all: what Postfix was told is there, what it was not it brings again.
    async let posted: Void = {
      for number in 1...10 { try await post(letter("kill \(number)", to: "service@liaison.example"), server) }
    }()
    try await mail.until("some of them") { try $0.one("SELECT count(*) AS n FROM arrival", []).int("n") > 8 }
    second.child.send(SIGKILL)
    _ = try await second.child.ended(within: .seconds(20))
    try await posted
    let third = try mail.bank.start(mail.yaml())
    _ = try await third.ready()
    try await mail.until("all of them") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") >= 16 }
    #expect(
      try await mail.subjects() == (["before"] + (1...5).map { "away \($0)" } + (1...10).map { "kill \($0)" }).sorted())
    #expect(try await third.stop() == .code(0))
    mail.bank.remove()
  }

  @Test func `what Dovecot holds is fetched by IDLE, goes on after its restart and ours, and nothing comes twice`()
    async throws
  {
    let mail = try MailBank()
    let server = try BankMail()
    let yaml = mail.yaml(
      """
      mailboxes:
        - host: 127.0.0.1
          port: \(server.imap)
          tls: starttls
          authorities: \(server.caFile)
          user: service
          password: {env: MAIL_PASSWORD}
          address: service@bank.example
          after: move
          move_to: Done
      """)
    let password = ["MAIL_PASSWORD": "secret"]
    try await post(letter("before", to: "service@bank.example"), server)
    let first = try mail.bank.start(yaml, environment: password)
    _ = try await first.ready()
    try await mail.until("before") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 1 }
    try await post(letter("idle", to: "service@bank.example"), server)
    try await mail.until("idle") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 2 }
    try server.crash()
    try server.start()
    try await post(letter("restarted", to: "service@bank.example"), server)
    try await mail.until("restarted") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 3 }
    #expect(try await first.stop() == .code(0))
    try await post(letter("away", to: "service@bank.example"), server)
    let second = try mail.bank.start(yaml, environment: password)
    _ = try await second.ready()
    try await mail.until("away") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 4 }
    #expect(try await mail.subjects() == ["away", "before", "idle", "restarted"])
    let (duplicates, cursor) = try await mail.look { connection in
      (
        try connection.ledger(since: nil).filter { $0.channel == "mail" }.map(\.duplicate),
        try connection.one("SELECT value FROM channel_cursor WHERE channel = 'mail'", []).text("value")
      )
    }
    #expect(duplicates.allSatisfy { $0 == 0 })
    #expect(cursor.contains("\"lastUID\":4"), "\(cursor)")
    #expect(try await second.stop() == .code(0))
    mail.bank.remove()
  }

  @Test func `an agent's answer leaves through Postfix, what it is answered with is bound, and a bounce settles it`()
    async throws
  {
    let mail = try MailBank()
    let server = try BankMail("lmtp=\(mail.lmtp)")
    let daemon = try mail.bank.start(
      mail.yaml(
        """
        submission:
          host: localhost
          port: \(server.submission)
          tls: starttls
          authorities: \(server.caFile)
          user: service
          password: {env: MAIL_PASSWORD}
        """), environment: ["MAIL_PASSWORD": "secret"])
    _ = try await daemon.ready()
    try await post(letter("信用卡账单", to: "service@liaison.example", id: "q1"), server)
    try await mail.until("the question") { try $0.one("SELECT count(*) AS n FROM contact", []).int("n") == 1 }
    let request = try await mail.look { try $0.one("SELECT request_id FROM service_request", []).text("request_id") }
    _ = try await mail.client.call(
      .POST, "/v1/service-requests/\(request)/replies", body: try JSONObjectText(["text": "尊敬的客户，已核对。"]))
    try await mail.until("the answer is taken") {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'accepted'", []).int("n") == 1
    }
    try await mail.until("the answer lies in the customer's mailbox") { _ in !server.messages(user: "kehu").isEmpty }
    let answer = try #require(server.messages(user: "kehu").first)
    #expect(answer.contains("In-Reply-To: <q1@customer.example>"))
    func header(_ name: String) -> String? {
      answer.split(separator: "\n").first { $0.hasPrefix(name) }?.split(separator: "<").last?.split(separator: ">")
        .first
        .map(String.init)
    }
    let signed = try #require(header("Reply-To:"))
    let answerID = try #require(header("Message-ID:"))
    // By the signed address, whatever the subject; by what it refers to; and a forged signature does not bind.
    try await post(letter("谢谢", to: signed), server)
    try await post(
      letter("Re: 信用卡账单", to: "service@liaison.example", headers: "In-Reply-To: <\(answerID)>\r\n"), server)
    let forged = signed.replacing(try Regex("\\.[0-9a-z]+@"), with: ".0000000000000000@")
    try await post(letter("forged", to: forged, from: "boese@elsewhere.example"), server)
    try await mail.until("three more") {
      try $0.one("SELECT count(*) AS n FROM contact WHERE direction = 'inbound'", []).int("n") == 4
    }
    let joined = try await mail.look { connection in
      try connection.query(
        """
        SELECT c.summary FROM contact c JOIN contact_service_request l ON l.contact_id = c.contact_id
        WHERE l.request_id = $1 AND c.direction = 'inbound' ORDER BY c.summary
        """, [.text(request)]
      ).map { try $0.text("summary") }
    }
    #expect(joined == ["Re: 信用卡账单", "信用卡账单", "谢谢"])

    // Answered to an address that nobody has: Postfix takes it, and reports it to the address of the attempt.
    try await post(letter("from nobody", to: "service@liaison.example", from: "nobody@liaison.example"), server)
    try await mail.until("the second question") {
      try $0.first("SELECT 1 AS one FROM service_request WHERE summary = 'from nobody'", []) != nil
    }
    let second = try await mail.look {
      try $0.one("SELECT request_id FROM service_request WHERE summary = 'from nobody'", []).text("request_id")
    }
    _ = try await mail.client.call(
      .POST, "/v1/service-requests/\(second)/replies", body: try JSONObjectText(["text": "x"]))
    try await mail.until("the bounce") {
      try $0.one("SELECT count(*) AS n FROM attempt WHERE state = 'undelivered'", []).int("n") == 1
    }
    let requests = try await mail.look { try $0.one("SELECT count(*) AS n FROM service_request", []).int("n") }
    #expect(requests == 3)
    #expect(try await daemon.stop() == .code(0))
    mail.bank.remove()
  }
}

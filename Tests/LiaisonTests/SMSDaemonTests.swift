import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOHTTP1
import SMS
import Store
import Testing

/// Short messages over SMPP through the whole daemon.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct SMSDaemonTests {
  @Test func `messages over SMPP are answered once stored and become requests, long ones whole`() async throws {
    let smsc = StandInSMSC(.init(password: "secret", reportsAfter: nil))
    let port = try await smsc.start()
    let bank = try TestBank()
    let yaml =
      bank.configuration + smsChannel(smppLink(port: port), keys: ["part_time_limit: 2s", "part_hold: 300ms"])
    let daemon = try bank.start(yaml, environment: smsEnvironment)
    _ = try await daemon.ready()
    try await untilBound(smsc)

    // ESME_ROK means: there.
    #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "请问我的额度是多少？😀") == .ok)
    #expect(try await bank.look { try $0.one("SELECT count(*) AS n FROM arrival", []).int("n") } == 1)
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
    let reasons = try await bank.look { connection in
      try connection.query("SELECT code FROM quarantine WHERE released_at IS NULL ORDER BY code", [])
        .map { try $0.text("code") }
    }
    // The part that was kept by itself is in the message now.
    #expect(reasons == ["bad-udh"])
    #expect(try await bank.look { try $0.ledger(since: nil) }.allSatisfy { $0.balances })
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
    let yaml = bank.configuration + smsChannel(smppLink(port: port, keys: ["refused_login_delay: 200ms"]))
    let daemon = try bank.start(yaml, environment: smsEnvironment)
    _ = try await daemon.ready()
    let health = try await wait(.seconds(20), "the refusal") {
      let answer = try await callAdmin(bank, .GET, "/v1/channels")
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
    let again = try bank.start(yaml, environment: smsEnvironment)
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
      smppLink(port: 1, keys: ["signature: 建设银行", "opt_out_line: 拒收请回复R"]) + "\n"
      + smppLink(port: 1, name: "abroad", keys: ["maximum_parts: 2"])
    let daemon = try bank.start(bank.configuration + smsChannel(links), environment: smsEnvironment)
    _ = try await daemon.ready()
    func preview(_ body: String) async throws -> (status: UInt, text: String) {
      try await callAdmin(bank, .POST, "/v1/sms-preview", body: body)
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
    let yaml =
      bank.configuration + smsChannel(smppLink(port: port, keys: ["window: 100"]), keys: ["inquire_every: 200ms"])
    let daemon = try bank.start(yaml, environment: smsEnvironment)
    _ = try await daemon.ready()
    try await untilBound(smsc)
    for number in 0..<50 {
      let planned = try await planShortMessage(bank, text: "message \(number)", to: "+861000000\(1_000 + number)")
      #expect(planned.status == 201, "\(planned.text)")
    }
    await smsc.waitForSubmits(50)
    smsc.cut()
    _ = try await wait(.seconds(20), "the doubts") { try await attempts(bank, "in_doubt") == 50 ? true : nil }
    smsc.behave(.init(reportsAfter: nil))
    try await untilBound(smsc)

    // An SMSC that names our reference in its receipts: 30 of them come.
    let submitted = smsc.submitted
    func report(_ range: Range<Int>) async throws {
      for one in submitted[range] {
        let text =
          "id:\(one.id) sub:001 dlvrd:001 submit date:2611241200 done date:2611241201 stat:DELIVRD err:000 text:"
        let reference = try #require(one.parameters[.userMessageReference])
        let receipt = SMPPMessage(
          source: one.message.destination, destination: one.message.source, esmClass: 0x04, octets: Array(text.utf8))
        #expect(await smsc.deliver(receipt, parameters: [reference]) == .ok)
      }
    }
    try await report(0..<30)
    _ = try await wait(.seconds(20), "the receipts") { try await attempts(bank, "delivered") == 30 ? true : nil }
    // The rest stays visible, and no inquiry sends it again.
    #expect(try await attempts(bank, "in_doubt") == 20)
    #expect(try await callAdmin(bank, .GET, "/v1/attempts/in-doubt").text.contains("in_doubt"))
    #expect(texts.counts.values.allSatisfy { $0 == 1 } && texts.counts.count == 50)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")

    // Nor does the next start, after which what is planned goes out.
    let again = try bank.start(yaml, environment: smsEnvironment)
    _ = try await again.ready()
    try await untilBound(smsc)
    #expect(try await planShortMessage(bank, text: "after the start", to: "+8610000009998").status == 201)
    await smsc.waitForSubmits(51)
    _ = try await wait(.seconds(20), "the text") { texts.counts.count == 51 ? true : nil }
    #expect(texts.counts.values.allSatisfy { $0 == 1 })
    #expect(try await attempts(bank, "in_doubt") == 20)
    // Receipts of what another process had submitted.
    try await report(30..<40)
    _ = try await wait(.seconds(20), "the late receipts") { try await attempts(bank, "in_doubt") == 10 ? true : nil }
    #expect(try await again.stop() == .code(0), "\(again.child.tail)")
    await smsc.stop()
    bank.remove()
  }
}

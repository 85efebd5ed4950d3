import Channels
import Demo
import Foundation
import NIOCore
import Synchronization
import Testing

@testable import SMS

@Suite struct KannelCallbackTests {
  private let numbers = NumberPlan.china
  private func read(_ path: String, _ query: String) -> KannelCallbacks.Reading? {
    KannelCallbacks.read(
      CallbackRequest(method: "GET", path: path, query: query, sourceAddress: "127.0.0.1"), link: "k", numbers: numbers,
      receipts: ReceiptReader())
  }

  @Test func `a UCS-2 message comes as raw octets, a GSM one as UTF-8`() throws {
    let chinese = try #require(
      read("/sms/x/mo", "from=%2B8613912345678&to=95588&text=%8B%F7%95%EE%D8%3D%DE%00&charset=UTF-16BE&coding=2&id=abc")
    )
    guard case .message(let text, 0, _) = chinese.content else { return #expect(Bool(false), "message") }
    #expect(text == "请问😀")
    #expect(chinese.wireKey == "k/mo/abc")
    let plain = try #require(read("/sms/x/mo", "from=13912345678&to=95588&text=%E2%82%AC10+%40&charset=UTF-8&coding=0"))
    guard case .message(let latin, 0, _) = plain.content else { return #expect(Bool(false), "message") }
    #expect(latin == "€10 @")
    #expect(plain.wireKey == nil)
    guard case .unreadable = try #require(read("/sms/x/mo", "to=95588&text=x")).content else {
      return #expect(Bool(false), "unreadable")
    }
  }

  @Test(arguments: [
    ("1", "id%3A1+stat%3ADELIVRD", DeliveryReport.State.delivered), ("8", "ACK%2F", .pending), ("4", "", .pending),
    ("2", "id%3A1+stat%3AUNDELIV+err%3A012", .undelivered), ("2", "id%3A1+stat%3AEXPIRED", .expired),
    ("16", "NACK%2F0x0000000b%2FInvalid", .undelivered), ("77", "", .pending),
  ])
  func `each of Kannel's bits is one state`(bit: String, reply: String, state: DeliveryReport.State) throws {
    let reading = try #require(
      read("/sms/x/dlr", "attempt=attempt_1&d=\(bit)&reply=\(reply)&p=%2B8613800138000&id=uuid&t=1795503871"))
    guard case .report(let report) = reading.content else { return #expect(Bool(false), "report") }
    #expect(report.state == state)
    #expect(report.wireIdentity == "attempt_1")
    #expect(report.recipient?.canonical == "+8613800138000")
    #expect(reading.wireKey == "k/dlr/uuid/\(bit)")
    if bit == "16" { #expect(report.condemnsAddress) }
  }

  @Test func `strangers, wrong paths and garbage are refused`() {
    let gate = CallbackGate(secret: "0123456789abcdef", sources: ["127.0.0.1", "10.1.0.0/16"])
    func admits(_ path: String, _ source: String) -> Bool {
      gate.admits(CallbackRequest(method: "GET", path: path, query: "", sourceAddress: source))
    }
    #expect(admits("/sms/0123456789abcdef/mo", "127.0.0.1"))
    #expect(admits("/sms/0123456789abcdef/dlr", "10.1.200.3"))
    #expect(admits("/sms/0123456789abcdef/dlr", "::ffff:10.1.2.3"))
    #expect(!admits("/sms/0123456789abcdeX/mo", "127.0.0.1"))
    #expect(!admits("/sms/0123456789abcdef0/mo", "127.0.0.1"))
    #expect(!admits("/mo", "127.0.0.1"))
    #expect(!admits("/sms/0123456789abcdef/mo", "10.2.0.1"))
    #expect(
      !CallbackGate(secret: "", sources: []).admits(
        CallbackRequest(method: "GET", path: "//mo", query: "", sourceAddress: "")))
    #expect(PercentCoding.decode("%4%zz%41+%") == Array("%4%zzA %".utf8))
  }

  @Test(arguments: [
    (202, "0: Accepted for delivery", "accepted"), (202, "3: Queued for later delivery", "accepted"),
    (503, "Temporal failure, try again later.", "deferred"), (403, "Authorization failed for sendsms", "rejected"),
    (400, "Number(s) has/have been denied by white- and/or black-lists.", "rejected"),
    (404, "Unknown request.", "rejected"),
  ])
  func `Kannel's replies mean what they were seen to mean`(status: Int, body: String, outcome: String) {
    let submission = KannelLink.outcome(status: status, body: body, parts: 1, at: Timestamp(seconds: 0))
    switch submission {
    case .accepted: #expect(outcome == "accepted")
    case .deferred: #expect(outcome == "deferred")
    case .rejected: #expect(outcome == "rejected")
    case .inDoubt: #expect(outcome == "in doubt")
    }
  }
}

/// Our HTTP link → a real Kannel → SMPP → a stand-in SMSC, and back.
@Suite(
  .serialized, .timeLimit(.minutes(2)),
  .enabled(if: RealPeer.hasKannel, "Kannel is not installed: adapters/sms/Tests/Peers/install.sh"))
struct KannelTests {
  @Test func `texts, receipts and messages pass a real Kannel both ways`() async throws {
    let smsc = StandInSMSC(.init(reportsAfter: .milliseconds(100)))
    let port = try await smsc.start()
    let base = try await RealPeer.freeBase([0, 1, 13])
    let folder = RealPeer.temporaryFolder("kannel")
    let secret = "a-long-secret-path"
    let adapterBox = Mutex<SMSAdapter?>(nil)
    let server = try await CallbackServer.start { request in
      guard let adapter = adapterBox.withLock({ $0 }) else { return CallbackResponse(status: 503) }
      return await adapter.receive(request)
    }
    let callback = "http://127.0.0.1:\(server.localAddress?.port ?? 0)/sms/\(secret)"
    try await RealPeer.run(
      [
        "/bin/bash", RealPeer.scripts + "/start-kannel.sh", folder, "--base", String(base), "--smsc",
        "smpp:127.0.0.1:\(port):u:p",
        "--mo-url", KannelCallbacks.messageURL(base: callback) + "&text=%b",
      ])
    do {
      let link = SMSConfiguration.Link(
        name: "kannel",
        kind: .kannel(
          KannelSettings(
            sendURL: "http://127.0.0.1:\(base + 13)/cgi-bin/sendsms", username: "tester", password: "foobar",
            callbackURL: callback, timeout: .seconds(10))),
        profile: TextProfile(signature: Signature(name: "建设银行", placement: .start)), defaultSender: "95588")
      try await withAdapter([link], secret: secret, sources: ["127.0.0.1"]) { adapter, intake in
        adapterBox.withLock { $0 = adapter }
        defer { adapterBox.withLock { $0 = nil } }
        try await adapter.waitUntil(.up)

        // Out: a long Chinese text with a surrogate pair.
        let text = String(repeating: "您的账单已出。", count: 14) + "😀"
        let dispatch = makeDispatch(text, expires: TestClock.now + .seconds(3_600))
        guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
          return #expect(Bool(false), "accepted")
        }
        #expect(receipt.peerID == nil)
        #expect(receipt.parts == 2)
        await smsc.waitForSubmits(2)
        let octets = smsc.submitted.flatMap { UserDataHeader.split($0.message.octets)?.rest ?? [] }
        #expect(UTF16Text.decode(octets).text == "【建设银行】" + text)
        await intake.wait { arrivals in
          arrivals.contains { if case .report(let report) = $0.payload { report.state == .delivered } else { false } }
        }
        #expect(intake.reports.allSatisfy { $0.wireIdentity == dispatch.wireIdentity })
        #expect(intake.reports.map(\.state).contains(.pending), "accepted by the SMSC comes first")

        // In: septets, UCS-2, and two parts, which Kannel joins.
        let before = intake.arrivals.count
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "YE balance {€}") == .ok)
        #expect(await smsc.deliver(from: "8613912345678", to: "95588", text: "请问我的额度😀") == .ok)
        for number: UInt8 in [2, 1] {
          _ = await smsc.deliver(
            from: "8613912345678", to: "95588", text: number == 1 ? "前半" : "后半",
            concatenation: Concatenation(reference: 33, wide: false, total: 2, number: number))
        }
        await intake.wait { $0.count >= before + 3 }
        // Kannel calls for each on a connection of its own: in any order.
        #expect(Set(intake.texts) == ["YE balance {€}", "请问我的额度😀", "前半后半"])
        #expect(intake.arrivals.suffix(3).allSatisfy { $0.from?.canonical == "+8613912345678" })
        #expect(intake.arrivals.suffix(3).allSatisfy { $0.wireKey?.hasPrefix("kannel/mo/") == true })

        // Refusals as Kannel words them.
        let stranger = SMSConfiguration.Link(
          name: "stranger",
          kind: .kannel(
            KannelSettings(
              sendURL: "http://127.0.0.1:\(base + 13)/cgi-bin/sendsms", username: "tester", password: "wrong")))
        try await withAdapter([stranger]) { other, _ in
          try await other.waitUntil(.up)
          guard case .rejected(let fault) = await other.submit(makeDispatch("x")) else {
            return #expect(Bool(false), "rejected")
          }
          #expect(fault.code == .authentication)
        }
        // Kannel away: surely not sent.
        try await RealPeer.run(["/bin/bash", RealPeer.scripts + "/start-kannel.sh", "stop", folder])
        guard case .deferred(let fault, _) = await adapter.submit(makeDispatch("x")) else {
          return #expect(Bool(false), "deferred")
        }
        #expect(fault.code == .connection)
        #expect(await adapter.health.state == .down)
      }
    } catch {
      try await RealPeer.run(["/bin/bash", RealPeer.scripts + "/start-kannel.sh", "stop", folder])
      throw error
    }
    try await server.close()
    await smsc.stop()
    try FileManager.default.removeItem(atPath: folder)
  }
}

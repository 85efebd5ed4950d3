import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import SMS
import Store
import Testing

/// Short messages through a real Kannel and the whole daemon.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct KannelDaemonTests {
  @Test(
    .timeLimit(.minutes(2)),
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/sbin/bearerbox"), "Kannel is not installed"))
  func `a real Kannel's messages are answered once stored, late ones marked, strangers turned away`() async throws {
    let smsc = StandInSMSC(.init(reportsAfter: .milliseconds(100)))
    let upstream = try await smsc.start()
    let bank = try TestBank()
    let first = try await PeerScript.freeBase([0, 1, 13, 20])
    let ports = (listen: first + 20, kannel: first)
    let base = "http://127.0.0.1:\(ports.listen)"
    let links = [
      "- name: kannel", "  protocol: kannel", "  send_url: http://127.0.0.1:\(ports.kannel + 13)/cgi-bin/sendsms",
      "  username: tester", "  password: {env: KANNEL_PASSWORD}", "  sender: \"95588\"",
    ].map { "      " + $0 }.joined(separator: "\n")
    let yaml =
      bank.configuration
      + smsChannel(
        links,
        keys: [
          "callback_secret: {env: SMS_CALLBACK}", "callback_base: \(base)", "callback_sources: [127.0.0.1]",
        ])
    let kannel = try await Kannel.start(
      in: bank.directory + "/kannel", base: ports.kannel, smsc: upstream,
      mo: KannelCallbacks.messageURL(base: base + "/sms/a-long-secret-path"))
    do {
      let listen = ["LIAISON_PUBLIC_LISTEN": "127.0.0.1:\(ports.listen)"]
      let daemon = try bank.start(yaml, environment: smsEnvironment.merging(listen) { $1 })
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
      #expect(try await planShortMessage(bank, text: "您的账单已出", to: "+8613800138000").status == 201)
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
      let ledger = try await bank.look { try $0.ledger(since: nil) }.filter { $0.channel == "sms" }
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

/// A real Kannel on the loopback, started and stopped by the script beside the adapter's tests.
private struct Kannel {
  let folder: String
  private static let script = PeerScript.folder + "/start-kannel.sh"

  static func start(in folder: String, base: Int, smsc: Int, mo: String) async throws -> Kannel {
    try await PeerScript.run([
      "/bin/bash", script, folder, "--base", "\(base)", "--smsc", "smpp:127.0.0.1:\(smsc):u:p", "--mo-post", mo,
      "--smsc-extra", "reconnect-delay = 1",
    ])
    return Kannel(folder: folder)
  }

  /// What is still there afterwards goes with the test's folder.
  func stop() async { try? await PeerScript.run(["/bin/bash", Self.script, "stop", folder]) }
}

import Channels
import Demo
import Foundation
import LiaisonForTests
import SMS
import Store
import Testing

/// Short messages through a real Jasmin 0.11.0 and the whole daemon.
@Suite(
  .serialized, .timeLimit(.minutes(4)),
  .enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"),
  .enabled(if: PeerScript.hasJasmin, "Jasmin is not installed: adapters/sms/Tests/Peers/install.sh"))
struct JasminDaemonTests {
  @Test func `what the bank sends and what customers write pass a real Jasmin and are in the store`() async throws {
    let smsc = StandInSMSC(.init(reportsAfter: .milliseconds(300)))
    let upstream = try await smsc.start()
    let bank = try TestBank()
    let base = try await PeerScript.freeBase([775, 401, 990, 379, 672, 369, 680, 914, 988, 989])
    let folder = bank.directory + "/jasmin"
    let script = PeerScript.folder + "/start-jasmin.sh"
    try await PeerScript.run(["/bin/bash", script, folder, PeerScript.jasmin, String(base)], within: .seconds(90))
    do {
      try await configure(upstream: upstream, base: base, in: bank)
      let yaml = bank.configuration + smsChannel(smppLink(port: base + 775))
      let daemon = try bank.start(yaml, environment: smsEnvironment)
      _ = try await daemon.ready()
      // Jasmin binds upstream by itself.
      try await untilBound(smsc)
      let long = "【建设银行】" + String(repeating: "您的账单已出😀", count: 12)
      #expect(try await planShortMessage(bank, text: "Your balance is 100.00 CNY", to: "+8613800138000").status == 201)
      #expect(try await planShortMessage(bank, text: long, to: "+8613800138001").status == 201)
      _ = try await wait(.seconds(60), "the receipts") { try await attempts(bank, "delivered") == 2 ? true : nil }
      let octets = smsc.submitted.filter { $0.message.esmClass & 0x40 != 0 }
        .flatMap { UserDataHeader.split($0.message.octets)?.rest ?? [] }
      #expect(TextCoding.ucs2.decode(octets).text == long)
      _ = await smsc.deliver(from: "8613912345678", to: "95588", text: "请问我的额度😀")
      let shown = try await wait(.seconds(30), "the message") {
        let found = try await contacts(bank)
        return found.isEmpty ? nil : found
      }
      #expect(shown.map(\.content) == ["请问我的额度😀"])
      #expect(shown[0].from == "+8613912345678")
      #expect(smsc.count == 3)
      #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    } catch {
      try await PeerScript.run(["/bin/bash", script, "stop", folder])
      throw error
    }
    try await PeerScript.run(["/bin/bash", script, "stop", folder])
    await smsc.stop()
    bank.remove()
  }

  /// A user, a connector to the SMSC, and the way between them both.
  private func configure(upstream: Int, base: Int, in bank: TestBank) async throws {
    let commands = [
      "group -a", "gid g1", "ok", "user -a", "username liaison", "password secret", "gid g1", "uid u1", "ok",
      "smppccm -a", "cid upstream1", "host 127.0.0.1", "port \(upstream)", "username j", "password p",
      "submit_throughput 0", "ok", "mtrouter -a", "type defaultroute", "connector smppc(upstream1)", "rate 0", "ok",
      "morouter -a", "type defaultroute", "connector smpps(liaison)", "ok", "smppccm -1 upstream1", "persist", "quit",
    ]
    let file = bank.directory + "/jcli"
    try (commands.joined(separator: "\n") + "\n").write(toFile: file, atomically: true, encoding: .utf8)
    try await PeerScript.run([
      "/bin/bash", "-c", "python3 '\(PeerScript.folder)/jcli.py' \(base + 990) < '\(file)'",
    ])
  }
}

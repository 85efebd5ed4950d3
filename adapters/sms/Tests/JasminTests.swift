import Channels
import Demo
import Foundation
import Testing

@testable import SMS

/// Our SMPP link → a real Jasmin 0.11.0 → SMPP → a stand-in SMSC, and back.
@Suite(
  .serialized, .timeLimit(.minutes(3)),
  .enabled(if: RealPeer.hasJasmin, "Jasmin is not installed: adapters/sms/Tests/Peers/install.sh"))
struct JasminTests {
  @Test func `texts, receipts and messages pass a real Jasmin both ways`() async throws {
    let smsc = StandInSMSC(.init(reportsAfter: .milliseconds(300)))
    let upstream = try await smsc.start()
    let base = try await RealPeer.freeBase([775, 401, 990, 379, 672, 369, 680, 914, 988, 989])
    let folder = RealPeer.temporaryFolder("jasmin")
    try await RealPeer.run(["/bin/bash", RealPeer.scripts + "/start-jasmin.sh", folder, RealPeer.jasmin, String(base)])
    do {
      let commands = [
        "group -a", "gid g1", "ok", "user -a", "username liaison", "password secret", "gid g1", "uid u1", "ok",
        "smppccm -a", "cid upstream1", "host 127.0.0.1", "port \(upstream)", "username j", "password p",
        "submit_throughput 0", "ok", "mtrouter -a", "type defaultroute", "connector smppc(upstream1)", "rate 0", "ok",
        "morouter -a", "type defaultroute", "connector smpps(liaison)", "ok", "smppccm -1 upstream1", "persist", "quit",
      ]
      try await RealPeer.run(
        ["/usr/bin/env", "python3", RealPeer.scripts + "/jcli.py", String(base + 990)],
        input: commands.joined(separator: "\n") + "\n")
      let link = smppLink(port: base + 775, password: "secret")
      try await withAdapter([link], partHold: .seconds(1)) { adapter, intake in
        try await adapter.waitUntil(.up)
        let short = makeDispatch("Your balance is 100.00 CNY @ {€}", to: "+8613800138000", from: "95588")
        // Jasmin refuses until its own connection to the SMSC stands.
        var receipt: Receipt?
        for _ in 0..<100 {
          if case .accepted(let given) = await adapter.submit(short) {
            receipt = given
            break
          }
          try await Task.sleep(for: .milliseconds(100))
        }
        let id = try #require(receipt?.peerID)
        #expect(id.hasPrefix("one/"))
        #expect(id.count == 40, "a UUID")
        await intake.wait { !$0.isEmpty }
        await intake.wait { arrivals in
          arrivals.contains { if case .report(let report) = $0.payload { report.state == .delivered } else { false } }
        }
        let report = try #require(intake.reports.first { $0.state == .delivered })
        #expect(report.wireIdentity == short.wireIdentity)
        #expect(report.peerID == id)

        let long = makeDispatch("【建设银行】" + String(repeating: "您的账单已出😀", count: 12), from: "95588")
        guard case .accepted(let parts) = await adapter.submit(long) else { return #expect(Bool(false), "accepted") }
        #expect(parts.parts == 2)
        await intake.wait { arrivals in
          arrivals.contains { arrival in
            if case .report(let report) = arrival.payload {
              report.wireIdentity == long.wireIdentity && report.state == .delivered
            } else {
              false
            }
          }
        }
        let octets = smsc.submitted.suffix(2).flatMap { UserDataHeader.split($0.message.octets)?.rest ?? [] }
        #expect(UTF16Text.decode(octets).text == long.content.text)

        _ = await smsc.deliver(from: "8613912345678", to: "95588", text: "请问我的额度😀")
        await intake.wait { arrivals in arrivals.contains { if case .message = $0.payload { true } else { false } } }
        #expect(intake.texts == ["请问我的额度😀"])
      }
      // A wrong password: told, not repeated at once.
      try await withAdapter([smppLink(port: base + 775, password: "wrong")]) { adapter, _ in
        let deadline = ContinuousClock.now + .seconds(10)
        while await adapter.health.text?.contains("ESME_RINVPASWD") != true, ContinuousClock.now < deadline {
          try await Task.sleep(for: .milliseconds(50))
        }
        #expect(await adapter.health.text?.contains("ESME_RINVPASWD") == true)
      }
    } catch {
      try await RealPeer.run(["/bin/bash", RealPeer.scripts + "/start-jasmin.sh", "stop", folder])
      throw error
    }
    try await RealPeer.run(["/bin/bash", RealPeer.scripts + "/start-jasmin.sh", "stop", folder])
    await smsc.stop()
    try FileManager.default.removeItem(atPath: folder)
  }
}

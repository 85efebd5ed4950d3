import Foundation
import LiaisonForTests
import NIOHTTP1
import Store
import Testing

/// Liaison killed, or hfaxd killed and started again, at every word of a fax job's hand-over: each job is on the real
/// server once, and every attempt is settled.
@Suite(
  .serialized, .enabled(if: HylaFAXPeer.missing == nil, "needs root, hylafax-server and ../shared/peers/fax"),
  .enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct FaxCrashTests {
  enum Victim: String, CaseIterable { case liaison, hfaxd }
  private static let places: [(word: String, moment: FaxTap.Moment)] = [
    ("STOT", .before), ("JNEW", .after), ("JSUBM", .before), ("JSUBM", .after),
  ]

  @Test(.timeLimit(.minutes(8)), arguments: Victim.allCases)
  func `a fax job cut off at any word of its hand-over is on the server once`(_ victim: Victim) async throws {
    let peer = try HylaFAXPeer()
    let tap = try FaxTap(to: peer.port)
    defer { tap.close() }
    let bank = try FaxBank(
      [("main", tap.port)],
      keys: ["sweep_interval: 1s", "receive_grace: 1s", "text_pages: 0", "settle_delay: 1s", "at_once: 1"])
    try await bank.seed([("7000001", "李伟", "+861055550199")])
    var daemon = try bank.start()
    _ = try await daemon.ready()
    for (number, place) in Self.places.enumerated() {
      let pid = daemon.child.pid
      tap.set(
        FaxTap.Trap(place.word, place.moment) {
          switch victim {
          case .liaison: kill(pid, SIGKILL)
          case .hfaxd: peer.killServer()
          }
        })
      let planned = try await bank.admin(
        .POST, "/v1/proactive-jobs",
        [
          "purpose": "service", "customer_no": "7000001", "reference": "cut-\(number)",
          "contents": ["fax": ["text": "尊敬的客户：您的挂失已办理。第\(number)号。"]],
        ])
      #expect(planned.status == 201, "\(planned)")
      switch victim {
      case .liaison:
        // An attempt of before that is tried again may be what is caught: any will do.
        #expect(try await daemon.child.ended(within: .seconds(90)) == .signal(SIGKILL))
        daemon = try bank.start()
        _ = try await daemon.ready()
      case .hfaxd:
        let deadline = ContinuousClock.now + .seconds(90)
        while !tap.isSprung, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(20)) }
        #expect(tap.isSprung, "\(place)")
        try peer.startServer()
      }
    }
    let count = Self.places.count
    try await bank.eventually("all jobs are with the server", within: .seconds(240), daemon: daemon) {
      try $0.one("SELECT count(DISTINCT job_id) AS n FROM attempt WHERE state = 'accepted'").int("n") == count
        && $0.one("SELECT count(*) AS n FROM attempt WHERE state IN ('reserved', 'handing', 'in_doubt')").int("n") == 0
    }
    // By JOBINFO: none twice, none that Liaison does not know as accepted.
    let tags = try peer.jobTags()
    let names = try await bank.look {
      try $0.query("SELECT wire_identity FROM attempt WHERE state = 'accepted'").map { try $0.text("wire_identity") }
    }
    #expect(tags.sorted() == names.sorted())
    #expect(tags.count == count)
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    bank.bank.remove()
  }
}

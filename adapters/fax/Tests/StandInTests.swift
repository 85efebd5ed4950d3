import Channels
import Demo
import Foundation
import Testing

@testable import Fax

/// The demo's stand-in, seen by the adapter as it sees a HylaFAX server.
@Suite struct StandInTests {
  private func withLine(
    _ body: @escaping @Sendable (StandInHylaFAX, FaxServer) async throws -> Void
  ) async throws {
    var options = StandInHylaFAX.Options()
    options.dialling = .milliseconds(200)
    options.page = .milliseconds(100)
    let line = try await StandInHylaFAX.start(options: options, clock: systemTime)
    let server = FaxServer(
      name: "standin", host: "127.0.0.1", port: line.port,
      account: .init(user: "liaison", password: "demo", administratorPassword: "demo"))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try? await line.run() }  // ends by cancellation
      try await body(line, server)
      group.cancelAll()
    }
  }

  @Test(.timeLimit(.minutes(1))) func `a customer's fax comes in whole, or marked as cut`() async throws {
    try await withLine { line, server in
      let kept = KeptArrivals()
      let tiff = try Fixture.document("loss-report-zh-g3-std-2p.tif")
      try await withAdapter([server], keeping: kept, change: { $0.deleteReceived = true }) { _ in
        line.receive(tiff, from: .init(number: "01055550199", name: "Li Wei", station: "LI"), dialled: "55550100")
        let first = try #require(await kept.fax("fax000000001")?.message)
        #expect(first.property("fax.complete") == "yes" && first.property("fax.pages") == "2")
        #expect(first.property("fax.did") == "55550100" && first.property("fax.tsi") == "LI")
        line.receive(tiff, from: .init(number: "01055550199"), dialled: "55550100", error: "T.30 T2 timeout")
        let second = try #require(await kept.fax("fax000000002")?.message)
        #expect(second.property("fax.error") == "T.30 T2 timeout")
        #expect(second.property("fax.repeats")?.contains("fax000000001") == true)
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func `what is sent ends as its number says, and is found by its tag`() async throws {
    try await withLine { line, server in
      let kept = KeptArrivals()
      let tiff = try Fixture.document("loss-report-en-g4-fine.tif")
      try await withAdapter([server], keeping: kept, change: { $0.dialRules = [DialRule("+8610=")!] }) { adapter in
        let cases: [(String, DeliveryReport.State, Fault.Code?)] = [
          ("+861055550199", .delivered, nil), ("+861090123456", .undelivered, .recipientBusy),
          ("+861091123456", .undelivered, .noAnswer), ("+861092123456", .undelivered, .notAFax),
          ("+861094123456", .undelivered, .unknownRecipient),
        ]
        for (number, state, code) in cases {
          let one = dispatch(to: number, [tiff])
          guard case .accepted = await adapter.submit(one), case .accepted = await adapter.inquire(about: one) else {
            Issue.record("\(number) was not taken")
            continue
          }
          let report = try #require(await kept.report(of: one.wireIdentity))
          #expect(report.state == state && report.fault?.code == code, "\(report)")
        }
        #expect(line.submitted.map(\.number) == ["55550199", "90123456", "91123456", "92123456", "94123456"])
      }
    }
  }

  @Test(.timeLimit(.minutes(1)))
  func `of two servers the one that is there takes the job, and only both can say it is lost`()
    async throws
  {
    try await withLine { line, server in
      let kept = KeptArrivals()
      let tiff = try Fixture.document("loss-report-en-g4-fine.tif")
      let dead = FaxServer(name: "dead", host: "127.0.0.1", port: 1, account: server.account)
      try await withAdapter([dead, server], keeping: kept, change: { $0.settleDelay = .zero }) { adapter in
        // Whichever the attempt's turn begins with.
        for _ in 0..<4 {
          let one = dispatch(to: "+861055550199", [tiff])
          guard case .accepted(let receipt) = await adapter.submit(one) else {
            Issue.record("not taken")
            continue
          }
          #expect(receipt.peerID?.hasPrefix("standin/") == true)
          guard case .accepted = await adapter.inquire(about: one) else {
            Issue.record("not found")
            continue
          }
          #expect(await kept.report(of: one.wireIdentity)?.state == .delivered)
        }
        #expect(line.submitted.count == 4)
        // The server that does not answer may have it.
        let unknown = dispatch(to: "+861055550199", [], attempt: AttemptID(at: systemTime() - .seconds(3_600)))
        guard case .inDoubt(let fault) = await adapter.inquire(about: unknown) else {
          Issue.record("sure without having asked all")
          return
        }
        #expect(fault.code == .connection)
        #expect(await adapter.health.state == .degraded)
        #expect(await adapter.received(ReceiveNotice(server: "none", file: "a.tif")) == .unknownServer)
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func `a letter of the demo can be read`() throws {
    let people = DemoBank.customers(100)
    var traffic = FaxTraffic(people: people)
    let next = traffic.next()
    let letter = try #require(next)
    guard let pages = try? FaxTraffic.pages(of: letter, at: systemTime()) else { return }  // no Ghostscript here
    #expect(FaxReading(pages).readablePages == 1)
  }
}

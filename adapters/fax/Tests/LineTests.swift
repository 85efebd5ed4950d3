import Channels
import Foundation
import Testing

@testable import Fax

private let hasLine = ProcessInfo.processInfo.environment["LIAISON_FAX_LINE"] != nil

/// The adapter over a real telephone line: two software modems, two HylaFAX servers and an exchange that can be busy,
/// not answer, answer with a voice, refuse and cut a call. `make test-fax` starts the line (needs root) and sets
/// LIAISON_FAX_LINE to its folder; audio is in real time, a fax takes half a minute.
@Suite(.serialized, .enabled(if: hasLine, "make test-fax starts the line"))
struct LineTests {
  private let bank = FaxServer(
    name: "bank", host: "127.0.0.1", port: 4_559,
    account: .init(user: "operator", password: "s3cret", administratorPassword: "adm1n"))
  private let customer = FaxServer(
    name: "customer", host: "127.0.0.1", port: 4_659,
    account: .init(user: "operator", password: "s3cret", administratorPassword: "adm1n"))

  private func submit(_ dispatch: Dispatch, _ adapter: FaxAdapter) async throws {
    guard case .accepted = await adapter.submit(dispatch) else {
      Issue.record("not accepted")
      throw CancellationError()
    }
  }

  @Test(.timeLimit(.minutes(4)))
  func `a customer's fax arrives with its evidence and ours is delivered`() async throws {
    let inbox = KeptArrivals()
    let theirs = KeptArrivals()
    let tiff = try Fixture.document("loss-report-zh-g3-std-2p.tif")
    try await withAdapter([bank], keeping: inbox, change: { $0.recognition = nil }) { ours in
      try await withAdapter([customer], keeping: theirs) { sender in
        let report = dispatch(to: "55550100", [tiff])
        try await submit(report, sender)
        let arrival = try #require(
          await inbox.first(within: .seconds(110)) { $0.message != nil && $0.receivedAt > systemTime() - .seconds(60) })
        #expect(arrival.from?.canonical == "+861055550199")
        #expect(arrival.to?.canonical == "+861055550100")
        let message = try #require(arrival.message)
        #expect(message.property("fax.complete") == "yes")
        #expect(message.property("fax.readable_pages") == "2")
        #expect(message.attachments.count == 4)
        #expect(await theirs.report(of: report.wireIdentity, within: .seconds(60))?.state == .delivered)

        let answer = dispatch(to: "55550199", [], text: "尊敬的客户：您的挂失已办理。", options: ["fax.cover": "true"])
        try await submit(answer, ours)
        let outcome = try #require(await inbox.report(of: answer.wireIdentity, within: .seconds(110)))
        #expect(outcome.state == .delivered)
        #expect(outcome.happenedAt != nil)
      }
    }
  }

  /// All three wait in one queue behind one modem.
  @Test(.timeLimit(.minutes(5)))
  func `busy, refused and hung-up calls settle as what they are, once each`() async throws {
    let kept = KeptArrivals()
    let tiff = try Fixture.document("loss-report-en-g4-fine.tif")
    try await withAdapter([bank], keeping: kept) { adapter in
      let cases: [(String, Fault.Code)] = [
        ("90123456", .recipientBusy), ("94123456", .unknownRecipient), ("97123456", .notAFax),
      ]
      var sent: [(Dispatch, Fault.Code)] = []
      for (number, code) in cases {
        let one = dispatch(to: number, [tiff])
        try await submit(one, adapter)
        sent.append((one, code))
      }
      for (one, code) in sent {
        let report = try #require(await kept.report(of: one.wireIdentity, within: .seconds(200)))
        #expect(report.state == .undelivered)
        #expect(report.fault?.code == code, "\(report)")
      }
      for (one, _) in sent { #expect(kept.all.count { $0.report?.wireIdentity == one.wireIdentity } == 1) }
    }
  }

  @Test(.timeLimit(.minutes(5)), .enabled(if: ProcessInfo.processInfo.environment["LIAISON_FAX_SLOW"] != nil))
  func `no answer, a person and a cut line settle as what they are`() async throws {
    let kept = KeptArrivals()
    let theirs = KeptArrivals()
    let tiff = try Fixture.document("loss-report-zh-g3-std-2p.tif")
    try await withAdapter([bank], keeping: kept) { adapter in
      try await withAdapter([customer], keeping: theirs) { _ in
        let cases: [(String, [Fault.Code])] = [
          ("91123456", [.noAnswer]), ("92123456", [.notAFax]), ("952255550199", [.peerFailure]),
        ]
        for (number, codes) in cases {
          let one = dispatch(to: number, [tiff])
          try await submit(one, adapter)
          let report = try #require(await kept.report(of: one.wireIdentity, within: .seconds(200)))
          #expect(report.state == .undelivered || report.state == .unknown)
          #expect(codes.contains(report.fault?.code ?? .internalError), "\(report)")
        }
        // What came of the cut call at the other end is marked as cut.
        let partial = await theirs.first(within: .seconds(30)) { $0.message?.property("fax.complete") == "no" }
        #expect(partial?.message?.property("fax.error") != nil)
      }
    }
  }

  @Test(.timeLimit(.minutes(4)))
  func `a job is settled from the queues when Liaison was gone while it ran`() async throws {
    let tiff = try Fixture.document("loss-report-en-g4-fine.tif")
    let before = KeptArrivals()
    let one = dispatch(to: "55550199", [tiff])
    try await withAdapter([bank], keeping: before) { try await submit(one, $0) }
    #expect(before.all.allSatisfy { $0.report?.wireIdentity != one.wireIdentity })
    // A new process: it knows the wire identity only.
    let after = KeptArrivals()
    try await withAdapter([bank], keeping: after) { adapter in
      guard case .accepted = await adapter.inquire(about: one) else {
        Issue.record("lost")
        return
      }
      let report = try #require(await after.report(of: one.wireIdentity, within: .seconds(110)))
      #expect(report.state == .delivered)
    }
    #expect(after.all.count { $0.report?.wireIdentity == one.wireIdentity } == 1)
  }
}

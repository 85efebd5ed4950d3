import Channels
import Foundation
import LiaisonForTests
import NIOPosix
import Testing

@testable import Fax

/// The adapter against a real HylaFAX 6 without a modem: everything but the telephone.
@Suite(.serialized, .enabled(if: HylaFAXPeer.missing == nil, "needs root, hylafax-server and ../shared/peers/fax"))
struct RealServerTests {
  private func server(_ peer: HylaFAXPeer, user: String = "operator", name: String = "main") -> FaxServer {
    FaxServer(
      name: name, host: "127.0.0.1", port: peer.port,
      account: .init(user: user, password: "s3cret", administratorPassword: user == "operator" ? "adm1n" : nil))
  }
  private let letter = "loss-report-zh-g3-std-2p.tif"

  @Test func `a job is taken once, found by its tag, and its withdrawal is reported`() async throws {
    let peer = try HylaFAXPeer()
    let kept = KeptArrivals()
    let tiff = try Fixture.document(letter)
    try await withAdapter([server(peer)], keeping: kept) { adapter in
      let dispatch = dispatch(to: "+861055550199", [tiff])
      guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
        Issue.record("not accepted")
        return
      }
      #expect(receipt.parts == 2)
      let peerID = try #require(receipt.peerID)
      guard case .accepted(let found) = await adapter.inquire(about: dispatch) else {
        Issue.record("not found")
        return
      }
      #expect(found.peerID == peerID)
      #expect(await adapter.withdraw(peerID: peerID) == .withdrawn)
      let report = try #require(await kept.report(of: dispatch.wireIdentity))
      #expect(report.state == .undelivered)
      #expect(report.fault?.code == .cancelled)
      #expect(report.peerID == peerID)
      // Still known after its end, so it is not repeated.
      guard case .accepted = await adapter.inquire(about: dispatch) else {
        Issue.record("forgotten")
        return
      }
      #expect(await adapter.health.state == .up)
    }
    // A new process finds the ended job in doneq and offers its report again under the same key.
    let before = kept.all.count
    try await withAdapter([server(peer)], keeping: kept) { adapter in
      let deadline = ContinuousClock.now + .seconds(10)
      while kept.duplicates == 0, ContinuousClock.now < deadline { await Task.yield() }
    }
    #expect(kept.duplicates >= 1)
    #expect(kept.all.count == before)
  }

  @Test func `an attempt no server knows is surely not sent once it is old enough`() async throws {
    let peer = try HylaFAXPeer()
    let kept = KeptArrivals()
    let tiff = try Fixture.document(letter)
    try await withAdapter([server(peer)], keeping: kept) { adapter in
      let young = dispatch(to: "+861055550199", [])
      guard case .inDoubt = await adapter.inquire(about: young) else {
        Issue.record("too sure too early")
        return
      }
      let old = dispatch(to: "+861055550199", [], attempt: AttemptID(at: systemTime() - .seconds(3_600)))
      guard case .deferred = await adapter.inquire(about: old) else {
        Issue.record("not sure")
        return
      }
    }
    peer.killServer()
    try await withAdapter([server(peer)], keeping: kept) { adapter in
      let old = dispatch(to: "+861055550199", [], attempt: AttemptID(at: systemTime() - .seconds(3_600)))
      guard case .inDoubt = await adapter.inquire(about: old) else {
        Issue.record("sure without asking")
        return
      }
      guard case .deferred(let fault, _) = await adapter.submit(dispatch(to: "55550199", [tiff])) else {
        Issue.record("not deferred")
        return
      }
      #expect(fault.code == .connection)
    }
  }

  @Test func `what the server or the adapter will not take is surely not sent, with the reason`() async throws {
    let peer = try HylaFAXPeer()
    let tiff = try Fixture.document(letter)
    try await withAdapter([server(peer)], keeping: KeptArrivals()) { adapter in
      func rejection(_ dispatch: Dispatch) async -> Fault? {
        if case .rejected(let fault) = await adapter.submit(dispatch) { return fault }
        return nil
      }
      #expect(await rejection(dispatch(to: "0800-CALL-ME", [tiff]))?.code == .badAddress)
      #expect(await rejection(dispatch(to: "55550199", [Array(tiff.prefix(23_000))]))?.peerCode == "truncated")
      #expect(await rejection(dispatch(to: "55550199", []))?.code == .contentRefused)
      #expect(await rejection(dispatch(to: "55550199", [tiff], expires: systemTime()))?.code == .expired)
      let refused = await rejection(dispatch(to: "55550199", [tiff], options: ["fax.modem": "nowhere"]))
      #expect(refused?.text.contains("nowhere") == true, "\(String(describing: refused))")
    }
    let wrong = FaxServer(
      name: "main", host: "127.0.0.1", port: peer.port, account: .init(user: "bank", password: "wrong"))
    try await withAdapter([wrong], keeping: KeptArrivals()) { adapter in
      guard case .deferred(let fault, _) = await adapter.submit(dispatch(to: "55550199", [tiff])) else {
        Issue.record("not deferred")
        return
      }
      #expect(fault.code == .authentication)
    }
  }

  @Test func `a received fax becomes one arrival with pages, previews and evidence`() async throws {
    let peer = try HylaFAXPeer()
    let kept = KeptArrivals(busyFirst: 1)
    let tiff = try Fixture.bytes("recordings/protocol/receive-ok/004.D3.S.bin")
    try peer.receive("fax000000001.tif", tiff, journal: "")
    try await withAdapter([server(peer)], keeping: kept, change: { $0.deleteReceived = true }) { adapter in
      let arrival = try #require(await kept.first { $0.message != nil })
      #expect(arrival.raw == tiff)
      #expect(arrival.from == Address(kind: .fax, canonical: "+861055550199", raw: "01055550199"))
      #expect(arrival.to == Address(kind: .fax, canonical: "+861055550100", raw: "55550100"))
      let message = try #require(arrival.message)
      #expect(message.property("fax.complete") == "yes")
      #expect(message.property("fax.pages") == "1")
      #expect(message.property("fax.tsi") == "+86 10 55550199")
      #expect(message.attachments.map(\.mediaType) == ["image/tiff", "application/pdf", "image/png"])
      #expect(message.claims.contains(Claim(.phone, "+861055550199", source: .wire)))
    }
    #expect(!FileManager.default.fileExists(atPath: "\(peer.folder)/recvq/fax000000001.tif"))
  }

  @Test func `a fax that was cut off is marked by journal or hook, a repeat names what it repeats`() async throws {
    let peer = try HylaFAXPeer()
    let kept = KeptArrivals()
    let tiff = try Fixture.bytes("recordings/protocol/receive-ok/004.D3.S.bin")
    try peer.receive("fax000000001.tif", tiff, journal: "T.30 T2 timeout, expected signal not received")
    try await withAdapter([server(peer, user: "bank")], keeping: kept, change: { $0.receiveGrace = .seconds(30) }) {
      adapter in
      let first = try #require(await kept.first { $0.wireKey?.contains("fax000000001") == true })
      #expect(first.message?.property("fax.complete") == "no")
      #expect(first.message?.property("fax.error") == "T.30 T2 timeout, expected signal not received")
      // The second has no journal line: only the hook tells, and is answered when the fax is durable.
      try peer.receive("fax000000002.tif", tiff, journal: nil)
      let notice = ReceiveNotice(
        server: "main", file: "fax000000002.tif", error: "Failed to properly detect high-speed data carrier.",
        callIDs: ["01055550199", "Li Wei", "<NONE>", "55550100"])
      #expect(await adapter.received(notice) == .stored)
      let second = try #require(await kept.first { $0.wireKey?.contains("fax000000002") == true })
      #expect(second.message?.property("fax.error") == "Failed to properly detect high-speed data carrier.")
      #expect(second.message?.property("fax.repeats") == first.wireKey)
      #expect(second.message?.property("fax.repeated_pages") == "1")
      #expect(await adapter.received(ReceiveNotice(server: "other", file: "x.tif")) == .unknownServer)
      #expect(await adapter.received(ReceiveNotice(server: "main", file: "nofile.tif")) == .later)
    }
  }

  @Test func `broken files in the receive queue are quarantined one by one`() async throws {
    let peer = try HylaFAXPeer()
    let kept = KeptArrivals()
    let names = ["truncated-ifd.tif", "magic-43-bigtiff.tif", "not-a-tiff.tif"]
    for (index, name) in names.enumerated() {
      try peer.receive("fax00000000\(index + 1).tif", try Fixture.bytes("recordings/broken/\(name)"), journal: "")
    }
    let whole = try Fixture.document(letter)
    try peer.receive("fax000000009.tif", Array(whole.prefix(23_000)), journal: "")
    try await withAdapter([server(peer)], keeping: kept) { _ in
      let partial = try #require(await kept.first { $0.message != nil })
      #expect(partial.message?.property("fax.complete") == "no")
      #expect(partial.message?.property("fax.readable_pages") == "1")
      // LIST passes over what is no TIFF at all: it is found by NLST.
      for index in 1...3 { _ = await kept.fax("fax00000000\(index)") }
    }
    let codes = kept.all.compactMap { arrival -> String? in
      if case .unreadable(let why) = arrival.payload { return why.code }
      return nil
    }
    #expect(Set(codes) == ["truncated", "bad-directory", "not-a-tiff"], "\(codes)")
  }

  @Test func `a server killed and started again is followed again and nothing is lost`() async throws {
    let peer = try HylaFAXPeer()
    let kept = KeptArrivals()
    let tiff = try Fixture.document(letter)
    try await withAdapter([server(peer)], keeping: kept) { adapter in
      let dispatch = dispatch(to: "+861055550199", [tiff])
      guard case .accepted(let receipt) = await adapter.submit(dispatch) else {
        Issue.record("not accepted")
        return
      }
      peer.killServer()
      guard case .inDoubt = await adapter.inquire(about: dispatch) else {
        Issue.record("sure without a server")
        return
      }
      try peer.startServer()
      guard case .accepted = await adapter.inquire(about: dispatch) else {
        Issue.record("not found after the restart")
        return
      }
      #expect(await adapter.withdraw(peerID: receipt.peerID ?? "") == .withdrawn)
      #expect(await kept.report(of: dispatch.wireIdentity)?.fault?.code == .cancelled)
    }
    #expect(kept.all.count == 1)
  }
}

import ChannelConformance
import Channels
import Foundation
import Glibc
import LiaisonForTests
import Logging
import NIOPosix
import Synchronization
import Testing

@testable import Fax

/// The promises of a channel, held against a real HylaFAX: its receive queue is the peer, and a fax that has left it
/// is an
/// answer.
@Suite(.serialized, .enabled(if: HylaFAXPeer.missing == nil, "needs root, hylafax-server and ../shared/peers/fax"))
struct ConformanceTests {
  @Test(.timeLimit(.minutes(1)), arguments: ConformanceCheck.allCases)
  func `the adapter keeps the promises of a channel`(_ check: ConformanceCheck) async throws {
    try await check.verify { try FaxHarness() }
  }
}

private struct FaxHarness: ChannelHarness {
  let adapter: Observed
  private let peer: HylaFAXPeer
  private let work: NIOThreadPool

  init() throws {
    let peer = try HylaFAXPeer()
    let server = FaxServer(
      name: "main", host: "127.0.0.1", port: peer.port,
      account: .init(user: "operator", password: "s3cret", administratorPassword: "adm1n"))
    var configuration = FaxConfiguration(channel: ContactChannel(kind: .fax, name: "fax"), servers: [server])
    configuration.sweepInterval = .milliseconds(200)
    configuration.receiveGrace = .zero
    configuration.deleteReceived = true
    configuration.maximumBytes = 20_000
    var logger = Logger(label: "fax-test")
    logger.logLevel = .critical
    let work = NIOThreadPool(numberOfThreads: 1)
    work.start()
    self.peer = peer
    self.work = work
    adapter = Observed(
      FaxAdapter(
        configuration, group: MultiThreadedEventLoopGroup.singleton, work: work, logger: logger, clock: systemTime))
  }

  private func offer(_ file: String, _ bytes: [UInt8]) async throws -> PeerAnswer {
    try peer.receive(file, bytes, journal: "")
    // The peer repeating itself: the same bytes with the same time.
    var times = [timeval(tv_sec: 1_795_500_000, tv_usec: 0), timeval(tv_sec: 1_795_500_000, tv_usec: 0)]
    utimes("\(peer.folder)/recvq/\(file)", &times)
    switch await adapter.answer(about: file) {
    case .stored, .duplicate:
      let deadline = ContinuousClock.now + .seconds(10)
      while FileManager.default.fileExists(atPath: "\(peer.folder)/recvq/\(file)") {
        if ContinuousClock.now > deadline { return .none }
        await Task.yield()
      }
      return .taken
    case .busy: return .later
    case .refused: return .refused
    }
  }

  func deliver(_ number: Int) async throws -> PeerAnswer {
    try await offer("fax00000000\(number).tif", try Fixture.bytes("recordings/protocol/receive-ok/004.D3.S.bin"))
  }

  func deliverUnreadable() async throws -> PeerAnswer? {
    var writer = TIFFWriter()
    writer.page(width: 1_728, height: 1_146) {
      $0[259] = TIFFWriter.entry(259, 3, 1, 4)
      $0[273] = TIFFWriter.entry(273, 4, 1, 1_000_000)
    }
    return try await offer("fax000000008.tif", writer.bytes)
  }

  func deliverOversize() async throws -> PeerAnswer? {
    let tiff = try Fixture.document("loss-report-zh-g3-std-2p.tif")
    try peer.receive("fax000000007.tif", tiff, journal: "")
    _ = await adapter.answer(about: "fax000000007.tif")
    // Told to people, left where it is: the wire has no answer.
    let kept = FileManager.default.contents(atPath: "\(peer.folder)/recvq/fax000000007.tif")
    return kept.map { [UInt8]($0) } == tiff ? PeerAnswer.none : .taken
  }

  func close() async {
    peer.stop()
    // Threads of a pool that cannot be shut down end with the tests.
    try? await work.shutdownGracefully()
  }
}

/// The adapter, with what `accept` answered about each file for those who wait for it.
private final class Observed: ChannelAdapter {
  private struct State {
    var answers: [String: [Acceptance]] = [:]
    var waiting: [String: CheckedContinuation<Acceptance, Never>] = [:]
  }
  private let adapter: FaxAdapter
  private let state = Mutex(State())
  init(_ adapter: FaxAdapter) { self.adapter = adapter }

  func answer(about file: String) async -> Acceptance {
    await withCheckedContinuation { continuation in
      let known = state.withLock { state -> Acceptance? in
        if let first = state.answers[file]?.first {
          state.answers[file]?.removeFirst()
          return first
        }
        state.waiting[file] = continuation
        return nil
      }
      if let known { continuation.resume(returning: known) }
    }
  }

  private func note(_ arrival: Arrival, _ acceptance: Acceptance) {
    let file = arrival.wireKey?.split(separator: "/").dropFirst().first.map(String.init) ?? ""
    let waiting = state.withLock { state -> CheckedContinuation<Acceptance, Never>? in
      if let waiting = state.waiting.removeValue(forKey: file) { return waiting }
      state.answers[file, default: []].append(acceptance)
      return nil
    }
    waiting?.resume(returning: acceptance)
  }

  var channel: ContactChannel { adapter.channel }
  var capabilities: Capabilities { adapter.capabilities }
  func run(accept: @escaping Accept) async throws {
    try await adapter.run { arrival in
      let acceptance = await accept(arrival)
      self.note(arrival, acceptance)
      return acceptance
    }
  }
  func wireIdentity(of attempt: AttemptID) -> String { adapter.wireIdentity(of: attempt) }
  func submit(_ dispatch: Dispatch) async -> Submission { await adapter.submit(dispatch) }
  func inquire(about dispatch: Dispatch) async -> Submission { await adapter.inquire(about: dispatch) }
  var health: Health { get async { await adapter.health } }
  func beginDrain() { adapter.beginDrain() }
}

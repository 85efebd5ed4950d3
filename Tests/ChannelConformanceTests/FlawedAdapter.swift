import ChannelConformance
import Channels
import Foundation
import Synchronization

/// An adapter without a wire that keeps every promise but one: the suite must find each.
final class FlawedAdapter: ChannelAdapter {
  enum Flaw: String, CaseIterable {
    case none, answersEarly, refusesDuplicates, takesBusy, retriesRefusals, inventsKeys, losesBytes, diesOfGarbage
    case takesTheOversize, forgetsToDrain, dropsWhatIsInHand, ignoresAnEarlyDrain, saysUpTooSoon, ignoresCancellation
    case runsOnce, saysAccepted
  }
  private struct State {
    var phase = Health.State.starting
    var accept: Accept?
    var end: AsyncStream<Void>.Continuation?
    var draining = false
    var inHand = 0
    var runs = 0
    var last: Timestamp?
  }
  let flaw: Flaw
  let channel = ContactChannel(kind: ChannelKind(rawValue: "loop"), name: "loop")
  let capabilities = Capabilities(abilities: [.receives], maximumArrivalBytes: 100)
  private let state = Mutex(State())
  private let start = Timestamp(seconds: 0)

  init(_ flaw: Flaw) { self.flaw = flaw }

  func run(accept: @escaping Accept) async throws {
    let (ended, end) = AsyncStream.makeStream(of: Void.self)
    let begins = try state.withLock { state in
      state.runs += 1
      if flaw == .runsOnce, state.runs > 1 { throw Fault(.internalError, text: "once is enough") }
      if state.draining, flaw != .ignoresAnEarlyDrain { return false }
      (state.accept, state.end, state.phase) = (accept, end, .up)
      return true
    }
    if begins {
      if flaw == .ignoresCancellation {
        // Detached, so that this task's cancellation does not reach it; ended by the drain only.
        await Task.detached { for await _ in ended {} }.value
      } else {
        for await _ in ended {}
      }
    }
    state.withLock { ($0.accept, $0.end, $0.phase) = (nil, nil, .stopped) }
  }

  func beginDrain() {
    let end = state.withLock { state -> AsyncStream<Void>.Continuation? in
      state.draining = true
      state.phase = .draining
      return state.inHand == 0 || flaw == .dropsWhatIsInHand ? state.end : nil
    }
    if flaw != .forgetsToDrain, flaw != .ignoresAnEarlyDrain || end != nil { end?.finish() }
  }

  var health: Health {
    get async {
      state.withLock { state in
        let phase = flaw == .saysUpTooSoon && state.phase == .starting ? .up : state.phase
        return Health(state: phase, since: start, lastArrivalAt: state.last)
      }
    }
  }

  func wireIdentity(of attempt: AttemptID) -> String { attempt.description }
  func submit(_ dispatch: Dispatch) async -> Submission {
    flaw == .saysAccepted
      ? .accepted(Receipt(peerID: nil, at: start)) : .rejected(Fault(.unsupported, text: "receives only"))
  }
  func inquire(about dispatch: Dispatch) async -> Submission { .rejected(Fault(.unsupported, text: "receives only")) }

  func offer(_ bytes: [UInt8], key: String, readable: Bool) async -> PeerAnswer {
    if bytes.count > capabilities.maximumArrivalBytes, flaw != .takesTheOversize { return .refused }
    let accept = state.withLock { state -> Accept? in
      guard let accept = state.accept, !state.draining else { return nil }
      state.inHand += 1
      state.last = start
      return accept
    }
    guard let accept else { return .later }
    let name = flaw == .inventsKeys ? UUID().uuidString : key
    let arrival = Arrival(
      channel: channel, wireKey: name, from: nil, to: nil, receivedAt: start,
      payload: readable
        ? .message(InboundMessage(text: "x")) : .unreadable(.init(code: "garbage", text: "not readable")),
      raw: flaw == .losesBytes ? [] : bytes)
    if !readable, flaw == .diesOfGarbage {
      state.withLock { state in
        state.accept = nil
        return state.end
      }?.finish()
    }
    if flaw == .answersEarly {
      // Ends when accept does; nobody waits for it, which is the flaw.
      Task {
        _ = await accept(arrival)
        released()
      }
      return .taken
    }
    let acceptance = await accept(arrival)
    released()
    switch acceptance {
    case .stored: return .taken
    case .duplicate: return flaw == .refusesDuplicates ? .refused : .taken
    case .busy: return flaw == .takesBusy ? .taken : .later
    case .refused: return flaw == .retriesRefusals ? .later : .refused
    }
  }

  private func released() {
    let end = state.withLock { state -> AsyncStream<Void>.Continuation? in
      state.inHand -= 1
      return state.draining && state.inHand == 0 && flaw != .forgetsToDrain ? state.end : nil
    }
    end?.finish()
  }
}

struct LoopHarness: ChannelHarness {
  let adapter: FlawedAdapter
  func deliver(_ number: Int) async throws -> PeerAnswer {
    await adapter.offer(Array("item \(number)".utf8), key: "key \(number)", readable: true)
  }
  func deliverUnreadable() async throws -> PeerAnswer? {
    await adapter.offer([0xff], key: "garbage", readable: false)
  }
  func deliverOversize() async throws -> PeerAnswer? {
    await adapter.offer([UInt8](repeating: 0x61, count: 101), key: "large", readable: true)
  }
}

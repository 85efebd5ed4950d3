import Channels
import Synchronization

/// Stands where Intake stands: keeps what is offered, answers as scripted, and can hold an answer back.
final class Keeper: Sendable {
  private struct State {
    var offered: [Arrival] = []
    var script: [Acceptance]
    var isCommitted = false
  }
  private let state: Mutex<State>
  /// Set when the first arrival has been offered.
  let offered = Signal()
  /// `accept` returns only after this is set.
  let gate = Signal()
  /// Keeps the clock and the randomness of ids out of the checks.
  static let someID = ArrivalID(at: Timestamp(seconds: 1_700_000_000))

  /// Answers in this order, the last one for ever.
  init(_ script: [Acceptance] = [.stored(Keeper.someID)], gated: Bool = false) {
    state = Mutex(State(script: script))
    if !gated { gate.set() }
  }

  var arrivals: [Arrival] { state.withLock { $0.offered } }
  /// `accept` has returned or is about to.
  var isCommitted: Bool { state.withLock { $0.isCommitted } }

  func accept(_ arrival: Arrival) async -> Acceptance {
    state.withLock { $0.offered.append(arrival) }
    offered.set()
    await gate.settled()
    return state.withLock { state in
      state.isCommitted = true
      return state.script.count > 1 ? state.script.removeFirst() : state.script[0]
    }
  }
}

/// A `run` in progress and how it ended.
final class Running: Sendable {
  private let task: Task<Void, Never>
  private let finished = Signal()
  private let failure: FailureBox

  private final class FailureBox: Sendable {
    let error = Mutex<(any Error)?>(nil)
  }

  /// Started here, ended by the adapter's drain or by `cancel`.
  init(_ adapter: some ChannelAdapter, _ keeper: Keeper) {
    let failure = FailureBox()
    let finished = finished
    self.failure = failure
    task = Task {
      do {
        try await adapter.run { await keeper.accept($0) }
      } catch {
        failure.error.withLock { $0 = error }
      }
      finished.set()
    }
  }

  var hasEnded: Bool { finished.isSet }
  /// What `run` threw, if it threw anything but `CancellationError`.
  var error: (any Error)? { failure.error.withLock { $0 is CancellationError ? nil : $0 } }
  func cancel() { task.cancel() }
  func ends(within deadline: Duration) async -> Bool { await finished.wait(for: deadline) }
}

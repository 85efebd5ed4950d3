import Synchronization

/// A fact that comes true once and can be waited for with a deadline: how the suite waits without sleeping.
final class Signal: Sendable {
  private struct State {
    var isSet = false
    var waiting: [CheckedContinuation<Void, Never>] = []
  }
  private let state = Mutex(State())

  var isSet: Bool { state.withLock { $0.isSet } }

  func set() {
    let waiting = state.withLock { state in
      state.isSet = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Whether it was set by the deadline.
  func wait(for deadline: Duration) async -> Bool {
    // Both tasks end by themselves: the timer at the deadline or when cancelled here, the wait when the signal is set;
    // a signal never set leaves one suspended task behind, in a test that has failed.
    let outcome = Signal.Outcome()
    let timer = Task {
      // A cancelled timer has nothing to say.
      guard (try? await Task.sleep(for: deadline)) != nil else { return }
      outcome.resolve(false)
    }
    let watch = Task {
      await settled()
      outcome.resolve(true)
    }
    let value = await outcome.value()
    timer.cancel()
    watch.cancel()
    return value
  }

  /// Until set, however long.
  func settled() async {
    await withCheckedContinuation { continuation in
      let now = state.withLock { state in
        if !state.isSet { state.waiting.append(continuation) }
        return state.isSet
      }
      if now { continuation.resume() }
    }
  }

  /// The first of two answers.
  private final class Outcome: Sendable {
    private struct State {
      var value: Bool?
      var waiting: CheckedContinuation<Bool, Never>?
    }
    private let state = Mutex(State())
    func resolve(_ value: Bool) {
      let waiting = state.withLock { state -> CheckedContinuation<Bool, Never>? in
        guard state.value == nil else { return nil }
        state.value = value
        defer { state.waiting = nil }
        return state.waiting
      }
      waiting?.resume(returning: value)
    }
    func value() async -> Bool {
      await withCheckedContinuation { continuation in
        let known = state.withLock { state in
          if state.value == nil { state.waiting = continuation }
          return state.value
        }
        if let known { continuation.resume(returning: known) }
      }
    }
  }
}

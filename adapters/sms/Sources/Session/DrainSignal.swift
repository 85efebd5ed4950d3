import Synchronization

/// Says once that no more shall be taken; whoever waits for it or sleeps learns it at once.
final class DrainSignal: Sendable {
  private struct State {
    var isRaised = false
    var nextID = 0
    var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
  }
  private let state = Mutex(State())

  var isRaised: Bool { state.withLock { $0.isRaised } }

  /// Idempotent.
  func raise() {
    let waiters = state.withLock { state in
      state.isRaised = true
      defer { state.waiters = [:] }
      return state.waiters
    }
    for waiter in waiters.values { waiter.resume() }
  }

  /// Returns when raised or when the task is cancelled.
  func wait() async {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let immediately = state.withLock { state in
          if state.isRaised || Task.isCancelled { return true }
          state.waiters[id] = continuation
          return false
        }
        if immediately { continuation.resume() }
      }
    } onCancel: {
      state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
    }
  }

  /// Sleeps; ends early when raised or cancelled.
  func sleep(for duration: Duration) async {
    await withTaskGroup(of: Void.self) { group in
      // A cancelled sleep is what ends it early; there is nothing to report.
      group.addTask { try? await Task.sleep(for: duration) }
      group.addTask { await self.wait() }
      await group.next()
      group.cancelAll()
    }
  }
}

import Channels
import Synchronization

/// Wakes one sleeper. Rung while nobody sleeps, it is remembered, so that no ring is missed; rung often, it counts once.
final class Bell: Sendable {
  private struct State {
    var isRung = false
    var sleeper: CheckedContinuation<Void, Never>?
  }
  private let state = Mutex(State())

  func ring() {
    let sleeper = state.withLock { state in
      if state.sleeper == nil { state.isRung = true }
      defer { state.sleeper = nil }
      return state.sleeper
    }
    sleeper?.resume()
  }

  /// Returns when rung, after `limit`, or when cancelled. For one sleeper at a time.
  func wait(atMost limit: Duration) async {
    if state.withLock({ state in
      defer { state.isRung = false }
      return state.isRung
    }) {
      return
    }
    guard limit > .zero else { return }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.wait() }
      // Cancelled when the bell is first.
      group.addTask { try? await Task.sleep(for: limit) }
      await group.next()
      group.cancelAll()
    }
  }

  private func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.isRung || Task.isCancelled {
            state.isRung = false
            return true
          }
          state.sleeper = continuation
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      let sleeper = state.withLock { state in
        defer { state.sleeper = nil }
        return state.sleeper
      }
      sleeper?.resume()
    }
  }
}

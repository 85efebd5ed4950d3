import Channels
import Synchronization

/// Opens once every listener is bound; knows their ports.
final class ReadyGate: Sendable {
  private struct State {
    var ports: [String: Int] = [:]
    var missing: Int
    var waiters: [CheckedContinuation<Void, Never>] = []
  }
  private let state: Mutex<State>

  init(listeners: Int, now: @escaping @Sendable () -> Timestamp) { state = Mutex(State(missing: listeners)) }

  func bound(_ name: String, port: Int?) async {
    let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      if let port { state.ports[name] = port }
      state.missing -= 1
      guard state.missing == 0 else { return [] }
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// The ports, once all are bound, or the daemon stops before.
  func ports() async -> [String: Int] {
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let isOpen = state.withLock { state in
          if state.missing > 0 { state.waiters.append(continuation) }
          return state.missing <= 0
        }
        if isOpen { continuation.resume() }
      }
    } onCancel: {
      stop()  // a listener could not bind, and the group ends
    }
    return state.withLock { $0.ports }
  }

  func stop() {
    let waiters = state.withLock { state in
      state.missing = 0
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}

import Foundation

/// A fixed number of threads for blocking file work, so that it never sits on the cooperative pool.
final class BlockingThreads: Sendable {
  private struct State {
    var waiting = Queue<@Sendable () -> Void>()
    var isClosing = false
  }
  private let monitor = Monitor(State())

  init(_ count: Int, name: String) {
    let monitor = monitor
    for number in 0..<count {
      let thread = Thread {
        while let work = monitor.wait(until: { state -> (@Sendable () -> Void)?? in
          if let work = state.waiting.popFirst() { return .some(work) }
          return state.isClosing ? .some(nil) : nil
        }) {
          work()
        }
      }
      thread.name = "\(name)-\(number)"
      thread.start()
    }
  }

  /// What is queued is still done.
  deinit {
    monitor.withLock { $0.isClosing = true }
    monitor.broadcast()
  }

  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      monitor.withLock { $0.waiting.append { continuation.resume(with: Result { try work() }) } }
      monitor.signal()
    }
  }
}

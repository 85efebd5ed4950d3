import Foundation

/// A fixed number of threads for blocking work, so that it never sits on the cooperative pool.
public final class BlockingThreads: Sendable {
  private struct State {
    var waiting = Queue<@Sendable () -> Void>()
    var isClosing = false
  }
  private let monitor = Monitor(State())

  /// `isBulk`: at a lower priority, for what must not take a core from live work.
  public init(_ count: Int, name: String, isBulk: Bool = false) {
    let monitor = monitor
    for number in 0..<count {
      let thread = Thread {
        if isBulk { Self.lowerPriority() }
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

  public func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      monitor.withLock { $0.waiting.append { continuation.resume(with: Result { try work() }) } }
      monitor.signal()
    }
  }

  /// Of the calling thread, for good: Linux keeps a nice value for each (setpriority(2), "C library/kernel differences").
  static func lowerPriority() { _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10) }
}

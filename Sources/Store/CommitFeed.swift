import Synchronization

/// Passes what transactions announced to those who listen in this process, in the order of commits.
final class CommitFeed: Sendable {
  typealias Observer = @Sendable ([any Sendable]) -> Void

  private struct Listeners {
    var observers: [(id: UInt64, call: Observer)] = []
    var next: UInt64 = 0
    var isClosed = false
    var finishers: [UInt64: @Sendable () -> Void] = [:]
  }
  private let listeners = Mutex(Listeners())

  /// Called by the writer thread alone, after each commit and before its writers resume.
  func publish(_ values: [any Sendable]) {
    guard !values.isEmpty else { return }
    for observer in listeners.withLock({ $0.observers }) { observer.call(values) }
  }

  func observe(_ call: @escaping Observer, whenClosed finish: @escaping @Sendable () -> Void = {}) -> Observation {
    let id: UInt64? = listeners.withLock { listeners in
      guard !listeners.isClosed else { return nil }
      listeners.next += 1
      listeners.observers.append((listeners.next, call))
      listeners.finishers[listeners.next] = finish
      return listeners.next
    }
    guard let id else {
      finish()
      return Observation {}
    }
    return Observation { [weak self] in
      self?.listeners.withLock { listeners in
        listeners.observers.removeAll { $0.id == id }
        listeners.finishers[id] = nil
      }
    }
  }

  func close() {
    let finishers = listeners.withLock { listeners in
      listeners.isClosed = true
      listeners.observers = []
      defer { listeners.finishers = [:] }
      return Array(listeners.finishers.values)
    }
    for finish in finishers { finish() }
  }
}

/// Keeps an observer registered; ends with `cancel()` or when it is let go.
public final class Observation: Sendable {
  private let end: @Sendable () -> Void
  init(_ end: @escaping @Sendable () -> Void) { self.end = end }
  /// Idempotent. A call under way on the writer thread may still finish after it.
  public func cancel() { end() }
  deinit { end() }
}

/// Values of one type as transactions announced them, for one reader at his own pace.
///
/// Bounded: when the reader falls `limit` values behind, what waits is dropped and `.missed` tells how many; he then
/// reads the store from the last value he knows. Ends when the store is closed or its task is cancelled.
public struct Subscription<Value: Sendable>: AsyncSequence, Sendable {
  public enum Element: Sendable {
    case value(Value)
    /// So many values were dropped; what follows is newer than all of them.
    case missed(Int)
  }
  private let buffer: Buffer
  private let observation: Observation

  init(to feed: CommitFeed, limit: Int) {
    let buffer = Buffer(limit: Swift.max(1, limit))
    self.buffer = buffer
    observation = feed.observe(
      { values in
        let wanted = values.compactMap { $0 as? Value }
        if !wanted.isEmpty { buffer.append(wanted) }
      }, whenClosed: { buffer.finish() })
  }

  public func cancel() {
    observation.cancel()
    buffer.finish()
  }

  public func makeAsyncIterator() -> Iterator { Iterator(buffer: buffer, observation: observation) }

  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let buffer: Buffer
    fileprivate let observation: Observation
    public mutating func next() async -> Element? { await buffer.next() }
  }

  fileprivate final class Buffer: Sendable {
    private struct State {
      var waiting = Queue<Value>()
      var missed = 0
      var isFinished = false
      var reader: CheckedContinuation<Element?, Never>?

      mutating func pop() -> Element? {
        if missed > 0 {
          defer { missed = 0 }
          return .missed(missed)
        }
        return waiting.popFirst().map { .value($0) }
      }
    }
    private let state = Mutex(State())
    private let limit: Int
    init(limit: Int) { self.limit = limit }

    func append(_ values: [Value]) {
      let resume: (() -> Void)? = state.withLock { state in
        guard !state.isFinished else { return nil }
        if state.waiting.count + values.count > limit {
          state.missed += state.waiting.count + values.count
          state.waiting = Queue()
        } else {
          for value in values { state.waiting.append(value) }
        }
        guard let reader = state.reader, let element = state.pop() else { return nil }
        state.reader = nil
        return { reader.resume(returning: element) }
      }
      resume?()
    }

    func finish() {
      let reader = state.withLock { state in
        state.isFinished = true
        defer { state.reader = nil }
        return state.reader
      }
      reader?.resume(returning: nil)
    }

    func next() async -> Element? {
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          let answer: Element?? = state.withLock { state in
            if let element = state.pop() { return .some(element) }
            if state.isFinished || Task.isCancelled || state.reader != nil { return .some(nil) }
            state.reader = continuation
            return nil
          }
          if let answer { continuation.resume(returning: answer) }
        }
      } onCancel: {
        let reader = state.withLock { state in
          defer { state.reader = nil }
          return state.reader
        }
        reader?.resume(returning: nil)
      }
    }
  }
}

import Glibc

/// A value behind a lock that threads can wait on, for the store's own threads. Never held across a suspension.
///
/// `Synchronization.Mutex` has no condition variable; semaphores cannot say what is waited for.
final class Monitor<State>: @unchecked Sendable {
  // Invariant: `state` is touched only with `mutex` held; the two pointers live as long as the monitor.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var state: State

  init(_ state: sending State) {
    self.state = state
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func withLock<R>(_ body: (inout State) throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body(&state)
  }

  /// Blocks until `body` answers; it is asked again after every `signal` and `broadcast`.
  func wait<R>(until body: (inout State) -> R?) -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let answer = body(&state) { return answer }
      pthread_cond_wait(condition, mutex)
    }
  }

  func signal() { pthread_cond_signal(condition) }
  func broadcast() { pthread_cond_broadcast(condition) }
}

/// First in, first out; constant time at both ends.
struct Queue<Element> {
  private var items: [Element?] = []
  private var head = 0
  var count: Int { items.count - head }
  var isEmpty: Bool { head == items.count }

  mutating func append(_ item: Element) { items.append(item) }

  mutating func popFirst() -> Element? {
    guard head < items.count else { return nil }
    let item = items[head]
    items[head] = nil
    head += 1
    if head == items.count {
      items.removeAll(keepingCapacity: true)
      head = 0
    } else if head > 256, head * 2 > items.count {
      items.removeFirst(head)
      head = 0
    }
    return item
  }

  var first: Element? { isEmpty ? nil : items[head] }

  mutating func take(upTo limit: Int) -> [Element] {
    var taken: [Element] = []
    taken.reserveCapacity(min(limit, count))
    while taken.count < limit, let item = popFirst() { taken.append(item) }
    return taken
  }
}

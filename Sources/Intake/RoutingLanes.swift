import Channels
import Store
import Synchronization

/// Kept arrivals on their way to be routed: a fixed number of lanes, each worked off one by one.
///
/// All arrivals of one sender take the same lane and so keep their order. Bounded as a whole: what finds no place stays
/// in the store alone, and the one sweeper, woken when places are free again, fetches it from there.
final class RoutingLanes: Sendable {
  private struct State {
    var lanes: [[KeptArrival]]
    var readers: [CheckedContinuation<KeptArrival?, Never>?]
    var waiting = 0
    /// Something was turned away since the sweeper last looked.
    var overflowed = false
    var sweeper: CheckedContinuation<Void, Never>?
    var isFinished = false
  }
  private let state: Mutex<State>
  private let limit: Int
  let count: Int

  init(count: Int, depth: Int) {
    self.count = max(1, count)
    limit = self.count * max(1, depth)
    state = Mutex(State(lanes: Array(repeating: [], count: self.count), readers: Array(repeating: nil, count: self.count)))
  }

  /// Puts it into its lane; false if there is no place, then it stays to be fetched from the store.
  @discardableResult
  func offer(_ kept: KeptArrival) -> Bool {
    let lane = lane(of: kept)
    let (isTaken, reader) = state.withLock { state -> (Bool, CheckedContinuation<KeptArrival?, Never>?) in
      guard !state.isFinished else { return (false, nil) }
      if let reader = state.readers[lane] {
        state.readers[lane] = nil
        return (true, reader)
      }
      guard state.waiting < limit else {
        state.overflowed = true
        return (false, nil)
      }
      state.lanes[lane].append(kept)
      state.waiting += 1
      return (true, nil)
    }
    reader?.resume(returning: kept)
    return isTaken
  }

  /// The next of a lane; nil when the lanes are finished and this one is empty, or on cancellation.
  func next(of lane: Int) async -> KeptArrival? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        var sweeper: CheckedContinuation<Void, Never>?
        let answer: KeptArrival?? = state.withLock { state in
          if state.lanes[lane].isEmpty {
            if state.isFinished || Task.isCancelled { return .some(nil) }
            state.readers[lane] = continuation
            return nil
          }
          state.waiting -= 1
          if state.overflowed, state.waiting <= limit / 2 {
            sweeper = state.sweeper
            state.sweeper = nil
          }
          return .some(state.lanes[lane].removeFirst())
        }
        sweeper?.resume()
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      let reader = state.withLock { state in
        defer { state.readers[lane] = nil }
        return state.readers[lane]
      }
      reader?.resume(returning: nil)
    }
  }

  /// Returns true when something that was turned away can be fetched now; false when finished or cancelled.
  /// For one sweeper at a time.
  func waitForOverflow() async -> Bool {
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let isReady = state.withLock { state in
          if state.isFinished || Task.isCancelled || (state.overflowed && state.waiting <= limit / 2) { return true }
          state.sweeper = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
    } onCancel: {
      let sweeper = state.withLock { state in
        defer { state.sweeper = nil }
        return state.sweeper
      }
      sweeper?.resume()
    }
    return state.withLock { state in
      state.overflowed = false
      return !state.isFinished
    } && !Task.isCancelled
  }

  /// Takes nothing new; lanes end once they are empty.
  func finish() {
    let (readers, sweeper) = state.withLock { state in
      state.isFinished = true
      defer {
        state.readers = Array(repeating: nil, count: count)
        state.sweeper = nil
      }
      return (state.readers, state.sweeper)
    }
    for reader in readers { reader?.resume(returning: nil) }
    sweeper?.resume()
  }

  private func lane(of kept: KeptArrival) -> Int {
    var hasher = Hasher()
    if let from = kept.from { hasher.combine(from.canonical) } else { hasher.combine(kept.id) }
    return Int(UInt(bitPattern: hasher.finalize()) % UInt(count))
  }
}

import Channels
import Store
import Synchronization

/// Kept arrivals on their way to be routed: a fixed number of lanes, each worked off one by one.
///
/// All arrivals of one sender, or of one call, take the same lane and so keep their order. Bounded as a whole: what finds no place stays
/// in the store alone, and what is new follows it only when the one sweeper has fetched what waits there, oldest
/// first; otherwise a later arrival of a sender would overtake his earlier one. So it is at the start, too.
final class RoutingLanes: Sendable {
  private struct State {
    var lanes: [[KeptArrival]]
    var readers: [CheckedContinuation<KeptArrival?, Never>?]
    var waiting = 0
    /// In a lane or handed to its reader, so that the sweeper does not bring it twice.
    var held: Set<ArrivalID> = []
    /// The store has what the lanes have not: nothing new enters before it.
    var isBehind = true
    /// What is new meanwhile, in order; as much as the lanes would hold.
    var pending: [KeptArrival] = []
    /// Something was turned away since the sweeper last began.
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
    state = Mutex(
      State(lanes: Array(repeating: [], count: self.count), readers: Array(repeating: nil, count: self.count)))
  }

  /// Puts a new arrival into its lane; false if there is no place or older ones wait in the store: there it stays, to
  /// be fetched.
  @discardableResult
  func offer(_ kept: KeptArrival) -> Bool { put(kept, fromStore: false) }

  /// Puts back what the store still holds; false if there is no place, or if it is in a lane already.
  func fetched(_ kept: KeptArrival) -> Bool { put(kept, fromStore: true) }

  /// For the sweeper, before it reads the store from its beginning.
  func beginSweep() {
    state.withLock { state in
      state.overflowed = false
      state.pending = []  // in the store already, and so about to be read
    }
  }

  /// For the sweeper, when it has read the store to its end: what was new meanwhile follows, and new arrivals enter
  /// directly again. False if more came than could be remembered: then the store must be read once more.
  func endSweep() -> Bool {
    let (isThrough, handed) = state.withLock {
      state -> (Bool, [(CheckedContinuation<KeptArrival?, Never>, KeptArrival)]) in
      var handed: [(CheckedContinuation<KeptArrival?, Never>, KeptArrival)] = []
      for kept in state.pending where !state.overflowed && !state.held.contains(kept.id) {
        guard state.waiting < limit else {
          state.overflowed = true
          break
        }
        if let reader = enter(kept, &state) { handed.append((reader, kept)) }
      }
      if !state.overflowed {
        state.isBehind = false
        state.pending = []
      }
      return (!state.overflowed, handed)
    }
    for (reader, kept) in handed { reader.resume(returning: kept) }
    return isThrough
  }

  /// An arrival given out by `next` is done with.
  func settled(_ kept: KeptArrival) { _ = state.withLock { $0.held.remove(kept.id) } }

  /// An arrival given out by `next` could not be routed now. What waits behind it in its lane goes back with it, so that
  /// nothing of its sender overtakes it; the sweeper fetches them again.
  func putBack(_ kept: KeptArrival) {
    let lane = lane(of: kept)
    let sweeper = state.withLock { state in
      for left in state.lanes[lane] + [kept] { state.held.remove(left.id) }
      state.waiting -= state.lanes[lane].count
      state.lanes[lane] = []
      state.isBehind = true
      state.overflowed = true
      return Self.wakeable(&state, limit)
    }
    sweeper?.resume()
  }

  private func put(_ kept: KeptArrival, fromStore: Bool) -> Bool {
    let (isTaken, reader) = state.withLock { state -> (Bool, CheckedContinuation<KeptArrival?, Never>?) in
      guard !state.isFinished else { return (false, nil) }
      if fromStore, state.held.contains(kept.id) { return (true, nil) }
      if !fromStore, state.isBehind, state.pending.count < limit {
        state.pending.append(kept)
        return (true, nil)
      }
      guard state.waiting < limit, fromStore || !state.isBehind else {
        state.isBehind = true
        state.overflowed = true
        return (false, nil)
      }
      return (true, enter(kept, &state))
    }
    reader?.resume(returning: kept)
    return isTaken
  }

  /// Gives it to the lane, or to whoever waits at it: to be resumed.
  private func enter(_ kept: KeptArrival, _ state: inout State) -> CheckedContinuation<KeptArrival?, Never>? {
    let lane = lane(of: kept)
    state.held.insert(kept.id)
    if let reader = state.readers[lane] {
      state.readers[lane] = nil
      return reader
    }
    state.lanes[lane].append(kept)
    state.waiting += 1
    return nil
  }

  private static func wakeable(_ state: inout State, _ limit: Int) -> CheckedContinuation<Void, Never>? {
    guard state.overflowed, state.waiting <= limit / 2 else { return nil }
    defer { state.sweeper = nil }
    return state.sweeper
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
          sweeper = Self.wakeable(&state, limit)
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
    return state.withLock { !$0.isFinished } && !Task.isCancelled
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
    switch kept.payload {
    // The caller's number may come later in a call, or change; the call itself does not.
    case .call(let event): hasher.combine(event.call.callID)
    case .presence(let presence): hasher.combine(presence.device)
    case .message, .report, .unreadable:
      if let from = kept.from { hasher.combine(from.canonical) } else { hasher.combine(kept.id) }
    }
    return Int(UInt(bitPattern: hasher.finalize()) % UInt(count))
  }
}

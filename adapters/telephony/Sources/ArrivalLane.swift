import Channels
import Synchronization

/// Changes of calls on their way to Intake: those of one call in order, one at a time, for one reader.
///
/// A change by which nobody is rung yet (it began, it waits, its caller is known) is not offered by itself where the
/// next one of its call waits already: each carries the whole call, so one commit tells both, and the bytes of both are
/// kept. It is what makes a telephone's ring wait for one commit instead of four. What screens and commands follow, a
/// ring, an answer, a hold, a transfer, an end, is always offered by itself.
final class ArrivalLane: Sendable {
  struct Item: Sendable {
    var arrival: Arrival
    /// How many changes it tells.
    var count = 1
  }
  private struct State {
    var waiting: [Item] = []
    /// What is before it has been given out.
    var head = 0
    var reader: CheckedContinuation<Item?, Never>?
    var isFinished = false
  }
  private let state = Mutex(State())
  /// How far is looked for the next change of a call, and how many bytes are kept together.
  private static let (reach, mostBytes) = (64, 65_536)

  /// Those that came together are told together.
  func append(_ arrivals: [Arrival]) {
    let handed = state.withLock { state -> (CheckedContinuation<Item?, Never>, Item)? in
      state.waiting += arrivals.map { Item(arrival: $0) }
      guard let reader = state.reader, let item = Self.take(&state) else { return nil }
      state.reader = nil
      return (reader, item)
    }
    if let (reader, item) = handed { reader.resume(returning: item) }
  }

  /// Nil when finished and empty, and when the task is cancelled.
  func next() async -> Item? {
    await withTaskCancellationHandler {
      await withCheckedContinuation { (continuation: CheckedContinuation<Item?, Never>) in
        let answer: Item?? = state.withLock { state in
          if Task.isCancelled { return .some(nil) }
          if let item = Self.take(&state) { return .some(item) }
          if state.isFinished { return .some(nil) }
          state.reader = continuation
          return nil
        }
        if let answer { continuation.resume(returning: answer) }
      }
    } onCancel: {
      endReader { _ in }
    }
  }

  /// What waits is still given out.
  func finish() { endReader { $0.isFinished = true } }

  private func endReader(_ change: (inout State) -> Void) {
    let reader = state.withLock { state in
      change(&state)
      defer { state.reader = nil }
      return state.reader
    }
    reader?.resume(returning: nil)
  }

  private static func take(_ state: inout State) -> Item? {
    while state.head < state.waiting.count {
      let item = state.waiting[state.head]
      state.head += 1
      if state.head > 256, state.head * 2 > state.waiting.count {
        state.waiting.removeFirst(state.head)
        state.head = 0
      }
      guard let call = quietCall(of: item.arrival) else { return item }
      let end = min(state.waiting.count, state.head + reach)
      let place = state.waiting[state.head..<end].firstIndex { self.call(of: $0.arrival)?.callID == call }
      guard let place, state.waiting[place].arrival.raw.count + item.arrival.raw.count <= mostBytes else { return item }
      state.waiting[place].arrival.raw = item.arrival.raw + state.waiting[place].arrival.raw
      state.waiting[place].count += item.count
    }
    return nil
  }

  private static func call(of arrival: Arrival) -> CallState? {
    if case .call(let event) = arrival.payload { event.call } else { nil }
  }

  /// The call's name, if the change says nothing that the next one of the call does not show as well.
  private static func quietCall(of arrival: Arrival) -> String? {
    guard case .call(let event) = arrival.payload, event.device == nil, event.call.legs.isEmpty,
      event.call.ended == nil
    else { return nil }
    switch event.change {
    case .began, .identified, .queued: return event.call.callID
    default: return nil
    }
  }
}

import Channels
import Store
import Synchronization

/// What peers answered on one link, on its way into the store: what comes while one batch is written is the next.
///
/// Whatever happens to the tasks that wait, what was handed in is written: a store that cannot now is asked again, until
/// it is closed; then the attempts are found in doubt at the next start.
final class Settlements: Sendable {
  private typealias Waiter = CheckedContinuation<Attempt.State?, any Error>
  private struct State {
    var waiting: [(answer: Answered, waiter: Waiter)] = []
    var isWriting = false
  }
  private let state = Mutex(State())
  private let link: OutboundLink
  private let house: DispatchHouse
  /// Told of what has left the link's hand, before those who wait for it.
  private let settled: @Sendable ([AttemptID]) -> Void
  /// Answers written in one item of the writer's queue.
  private static let limit = 128

  init(_ link: OutboundLink, _ house: DispatchHouse, settled: @escaping @Sendable ([AttemptID]) -> Void) {
    self.link = link
    self.house = house
    self.settled = settled
  }

  /// Returns when the answer is durable, with what the attempt came to.
  func settle(_ answer: Answered) async throws -> Attempt.State? {
    try await withCheckedThrowingContinuation { waiter in
      let begins = state.withLock { state in
        state.waiting.append((answer, waiter))
        defer { state.isWriting = true }
        return !state.isWriting
      }
      // Ends by itself when nothing waits any more.
      if begins { Task { await write() } }
    }
  }

  private func write() async {
    while true {
      let batch = state.withLock { state in
        let batch = Array(state.waiting.prefix(Self.limit))
        state.waiting.removeFirst(batch.count)
        state.isWriting = !batch.isEmpty
        return batch
      }
      guard !batch.isEmpty else { return }
      let answers = batch.map(\.answer)
      let results: [Result<Attempt.State?, any Error>]
      do { results = try await house.persist { [self] in try take(answers, into: $0) } } catch {
        results = answers.map { _ in .failure(error) }
      }
      settled(answers.map(\.handed.attempt.id))
      for (one, result) in zip(batch, results) { one.waiter.resume(with: result) }
    }
  }

  private func take(
    _ answers: [Answered], into transaction: WriteTransaction
  ) throws -> [Result<Attempt.State?, any Error>] {
    let time = house.clock()
    let around = house.surroundings(at: time)
    do {
      return try transaction.savepoint { try transaction.settle(answers, link: link, around, at: time) }
        .map { .success($0) }
    } catch  where error.isOfOneItem {
      // One of them is at fault: each for itself shows which.
      return try answers.map { one in
        do {
          return .success(
            try transaction.savepoint { try transaction.settle([one], link: link, around, at: time)[0] })
        } catch  where error.isOfOneItem {
          return .failure(error)
        }
      }
    }
  }
}

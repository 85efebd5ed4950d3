import Synchronization

/// Puts on record who was shown to whom: what comes while one transaction is written is the next one.
///
/// A look is answered only when it is on record, and looks are many: one job stands in the writer's queue for all of
/// them, and takes what waits when its turn comes, at most `batch` rows or one look. What was shown is told by
/// `AuditEntry`; each row has its link in the chain.
public final class ReadJournal: Sendable {
  private struct Note: Sendable {
    var entries: [AuditEntry]
    var done: @Sendable ((any Error)?) -> Void
  }
  private struct State {
    var waiting: [Note] = []
    /// A job is in the writer's queue, or about to be.
    var isQueued = false
  }
  private let writer: Writer
  private let lane: Lane
  private let batch: Int
  private let state = Mutex(State())

  init(_ writer: Writer, lane: Lane, batch: Int) {
    self.writer = writer
    self.lane = lane
    self.batch = batch
  }

  /// `done` is called when it is durable, or with what prevented it; at once when there is nothing to record.
  func append(_ entries: [AuditEntry], done: @escaping @Sendable ((any Error)?) -> Void) {
    guard !entries.isEmpty else { return done(nil) }
    let begins = state.withLock { state in
      state.waiting.append(Note(entries: entries, done: done))
      defer { state.isQueued = true }
      return !state.isQueued
    }
    if begins { queue() }
  }

  /// Returns when it is durable. Not cancelled with its task: what was shown was shown.
  public func record(_ entries: [AuditEntry]) async throws {
    try await withCheckedThrowingContinuation { continuation in
      append(entries) { error in continuation.resume(with: error.map { .failure($0) } ?? .success(())) }
    }
  }

  private func queue() {
    let taken = TakenLooks<[Note]>()
    let take: @Sendable () -> [Note] = { [self] in
      taken.value.withLock { notes in
        // A body may be run again, on the same looks.
        if let notes { return notes }
        let new = next()
        notes = new
        return new
      }
    }
    writer.write(lane, JobFlags()) { transaction in
      try transaction.audit(take().flatMap(\.entries))
    } then: { [self] outcome in
      let error: (any Error)? = if case .failure(let error) = outcome { error } else { nil }
      // Taken only now if the writer refused the job.
      for note in take() { note.done(error) }
      let goesOn = state.withLock { state in
        state.isQueued = !state.waiting.isEmpty
        return state.isQueued
      }
      if goesOn { queue() }
    }
  }

  private func next() -> [Note] {
    state.withLock { state in
      var count = 0
      let taken = state.waiting.prefix { note in
        defer { count += note.entries.count }
        return count == 0 || count + note.entries.count <= batch
      }
      state.waiting.removeFirst(taken.count)
      return Array(taken)
    }
  }
}

/// What one job has taken: the closures of one write share it.
private final class TakenLooks<Notes: Sendable>: Sendable {
  let value = Mutex<Notes?>(nil)
}

import Foundation
import Synchronization

/// The one writer: what queues up during one fsync is the next transaction.
///
/// The thread takes all that waits in the live lane, at most `batchLimit`, runs each item in a savepoint of its own,
/// commits, announces, and only then resumes *every* item's task, failed ones too: an item may have failed because of
/// what another item of the same batch wrote ("I have it already"), and that is true only once it is durable.
/// Bulk items run when no live item waits. A bulk transaction is bounded in time, its commit included, and is cut short
/// when a live item comes: between items here, within a long one by `WriteTransaction.isTimeUp`. Against starvation one
/// bulk item has its turn after `liveTurns` live batches. If a commit fails, or the engine ended the transaction amid the
/// batch, each item is run again alone where the error can be one item's own.
/// Source: specs/stack.md §4, "Group-commit writer".
final class Writer: Sendable {
  struct Limits: Sendable {
    var batch: Int
    var bulkBatch: Int
    var bulkTime: Duration
    var liveQueue: Int
    var bulkQueue: Int
    var liveTurns = 32
    var statementTimeout: Duration?
    var atCommit: (@Sendable (Database.CommitPoint) -> Void)?
  }

  private struct State {
    var live = Queue<any WriteJob>()
    var bulk = Queue<any WriteJob>()
    var turnsSinceBulk = 0
    var isClosing = false
    var hasEnded = false
    var closers: [CheckedContinuation<Void, Never>] = []
  }
  private enum Turn { case live([any WriteJob]), bulk(any WriteJob), end }

  private let monitor = Monitor(State())
  private let limits: Limits
  private let feed: CommitFeed
  let statistics = Mutex(WriteStatistics())

  init(_ session: any Session, limits: Limits, feed: CommitFeed) {
    self.limits = limits
    self.feed = feed
    let handover = Handover(value: session)
    let thread = Thread { [self] in serve(handover.value) }
    thread.name = "store-writer"
    thread.start()
  }

  func write<T: Sendable>(
    _ lane: Lane, _ body: @escaping @Sendable (WriteTransaction) throws -> T
  ) async throws -> T {
    let flags = JobFlags()
    defer { flags.seeFinish() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        write(lane, flags, body) { continuation.resume(with: $0) }
      }
    } onCancel: {
      flags.cancel()
    }
  }

  /// `then` is called with what came of it, on the writer thread, after the commit. It must be quick.
  func write<T: Sendable>(
    _ lane: Lane, _ flags: JobFlags, _ body: @escaping @Sendable (WriteTransaction) throws -> T,
    then: @escaping @Sendable (Result<T, any Error>) -> Void
  ) {
    enqueue(PendingWrite(body: body, then: then, flags: flags), lane)
  }

  private func enqueue(_ job: any WriteJob, _ lane: Lane) {
    let refusal: DatabaseError? = monitor.withLock { state in
      if state.isClosing { return DatabaseError(.closed, "the store is closed") }
      switch lane {
      case .live:
        guard state.live.count < limits.liveQueue else {
          return DatabaseError(.busy, "\(limits.liveQueue) writes are waiting")
        }
        state.live.append(job)
      case .bulk:
        guard state.bulk.count < limits.bulkQueue else {
          return DatabaseError(.busy, "\(limits.bulkQueue) bulk writes are waiting")
        }
        state.bulk.append(job)
      }
      return nil
    }
    if let refusal { job.fail(refusal) } else { monitor.signal() }
  }

  var waiting: (live: Int, bulk: Int) { monitor.withLock { ($0.live.count, $0.bulk.count) } }

  /// Takes no more, finishes what waits, and returns when the thread has closed its session.
  func close() async {
    await withCheckedContinuation { continuation in
      let isOver = monitor.withLock { state in
        state.isClosing = true
        if !state.hasEnded { state.closers.append(continuation) }
        return state.hasEnded
      }
      monitor.signal()
      if isOver { continuation.resume() }
    }
  }

  /// Like `close`, without waiting for it.
  func beginClose() {
    monitor.withLock { $0.isClosing = true }
    monitor.signal()
  }

  // MARK: The thread

  private func serve(_ session: any Session) {
    var commitTime = Duration.zero
    let transaction = TransactionRunner(
      session: session, feed: feed, digests: ClassDigests(), timeout: limits.statementTimeout,
      atCommit: limits.atCommit
    ) { [self] count, time in
      commitTime = time
      statistics.withLock { $0.count(count, in: time) }
    }
    var bulkCommitTime = Duration.zero
    while true {
      switch nextTurn() {
      case .live(let jobs): transaction.run(jobs, turn: nil) { nil }
      case .bulk(let job):
        var count = 1
        // What is written in less time is committed in less.
        let turn = BulkTurn(
          until: .now + max(limits.bulkTime / 4, limits.bulkTime - bulkCommitTime),
          isLiveWaiting: { [self] in monitor.withLock { !$0.live.isEmpty } })
        transaction.run([job], turn: turn) {
          guard count < limits.bulkBatch, !turn.isOver else { return nil }
          count += 1
          return nextBulk()
        }
        bulkCommitTime = (bulkCommitTime + commitTime) / 2
      case .end:
        session.close()
        let closers = monitor.withLock { state in
          state.hasEnded = true
          defer { state.closers = [] }
          return state.closers
        }
        for closer in closers { closer.resume() }
        return
      }
    }
  }

  private func nextTurn() -> Turn {
    monitor.wait { state in
      let bulkIsDue = state.turnsSinceBulk >= limits.liveTurns
      if !state.live.isEmpty, !(bulkIsDue && !state.bulk.isEmpty) {
        state.turnsSinceBulk += 1
        return .live(state.live.take(upTo: limits.batch))
      }
      if let job = state.bulk.popFirst() {
        state.turnsSinceBulk = 0
        return .bulk(job)
      }
      return state.isClosing ? .end : nil
    }
  }

  private func nextBulk() -> (any WriteJob)? {
    monitor.withLock { $0.live.isEmpty ? $0.bulk.popFirst() : nil }
  }
}

/// How long a transaction of the bulk lane may go on.
struct BulkTurn {
  let end: ContinuousClock.Instant
  let isLiveWaiting: () -> Bool
  init(until end: ContinuousClock.Instant, isLiveWaiting: @escaping () -> Bool) {
    self.end = end
    self.isLiveWaiting = isLiveWaiting
  }
  var isOver: Bool { isLiveWaiting() || ContinuousClock.now >= end }
}

/// Counts for metrics.
public struct WriteStatistics: Hashable, Sendable {
  public var commits = 0
  /// Items in those commits, those that failed alone included.
  public var items = 0
  public var largestBatch = 0
  /// Spent in COMMIT, fsync included.
  public var timeInCommit = Duration.zero

  fileprivate mutating func count(_ items: Int, in time: Duration) {
    commits += 1
    self.items += items
    largestBatch = max(largestBatch, items)
    timeInCommit += time
  }
}

/// Runs batches of jobs as one transaction each, on the writer thread.
private struct TransactionRunner {
  let session: any Session
  let feed: CommitFeed
  let digests: ClassDigests
  let timeout: Duration?
  let atCommit: (@Sendable (Database.CommitPoint) -> Void)?
  let note: (Int, Duration) -> Void

  /// `more` is asked for a further job after each one; `turn` bounds those of the bulk lane.
  func run(_ first: [any WriteJob], turn: BulkTurn?, more: () -> (any WriteJob)?) {
    var jobs = first
    do {
      try session.limit(to: timeout, isCancelled: nil)
      try session.begin(.write)
    } catch {
      session.rollback()
      for job in jobs { job.fail(error) }
      return
    }
    var announced: [any Sendable] = []
    var index = 0
    while index < jobs.count {
      let job = jobs[index]
      let transaction = WriteTransaction(session, digests, turn)
      if jobs.count == 1, index == 0 {
        // Alone so far: the transaction itself is the savepoint, if none joins it.
        do { try job.run(transaction) } catch {
          session.rollback()
          job.finish()
          if let next = more() { run([next], turn: turn, more: more) }
          return
        }
        announced += transaction.announced
      } else {
        do {
          try session.savepoint { try job.run(transaction) }
          announced += transaction.announced
        } catch {
          job.keep(error)
          if !session.isInTransaction { return runAgain(jobs, turn, after: error) }
        }
      }
      index += 1
      if index == jobs.count, let next = more() { jobs.append(next) }
    }
    do {
      atCommit?(.before)
      let start = ContinuousClock.now
      try session.commit()
      note(jobs.count, ContinuousClock.now - start)
      atCommit?(.after)
    } catch {
      session.rollback()
      return runAgain(jobs, turn, after: error)
    }
    feed.publish(announced)
    for job in jobs { job.finish() }
    session.upkeep()
  }

  /// The transaction is gone. Where one item may be to blame, each shows alone whether it is the one.
  private func runAgain(_ jobs: [any WriteJob], _ turn: BulkTurn?, after error: any Error) {
    session.rollback()
    let mayBeOne = (error as? DatabaseError)?.isOfOneItem ?? true
    if jobs.count == 1 || !mayBeOne {
      for job in jobs { job.fail(error) }
    } else {
      for job in jobs { run([job], turn: turn) { nil } }
    }
  }
}

/// A write on its way through the queue.
private protocol WriteJob: AnyObject, Sendable {
  /// Runs the body and keeps its result or its error; throws the error too.
  func run(_ transaction: WriteTransaction) throws
  func keep(_ error: any Error)
  /// Tells what was kept.
  func finish()
  func fail(_ error: any Error)
}

private final class PendingWrite<T: Sendable>: WriteJob, @unchecked Sendable {
  // Invariant: after it is queued, `outcome` is touched by the writer thread only, which calls `then` exactly once.
  private let body: @Sendable (WriteTransaction) throws -> T
  private let then: @Sendable (Result<T, any Error>) -> Void
  private let flags: JobFlags
  private var outcome: Result<T, any Error>?

  init(
    body: @escaping @Sendable (WriteTransaction) throws -> T,
    then: @escaping @Sendable (Result<T, any Error>) -> Void, flags: JobFlags
  ) {
    self.body = body
    self.then = then
    self.flags = flags
  }

  func run(_ transaction: WriteTransaction) throws {
    do {
      // Cancelled before its turn: surely not written.
      if flags.isCancelled { throw CancellationError() }
      let value = try body(transaction)
      try transaction.projectPending()
      outcome = .success(value)
    } catch {
      outcome = .failure(error)
      throw error
    }
  }
  func keep(_ error: any Error) { outcome = .failure(error) }
  func finish() {
    flags.finish()
    then(outcome ?? .failure(DatabaseError(.other, "a write was not run")))
  }
  func fail(_ error: any Error) {
    flags.finish()
    then(.failure(error))
  }
}

/// What a waiting task and the thread that serves it tell each other.
final class JobFlags: Sendable {
  private let cancelled = Atomic(false)
  private let finished = Atomic(false)
  var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
  func cancel() { cancelled.store(true, ordering: .relaxed) }

  /// The thread before it resumes the task, and the task when it goes on: the order that a continuation keeps anyway,
  /// in a form the thread sanitizer can see. The runtime hides it when the answer is there before the task suspends.
  func finish() { finished.store(true, ordering: .releasing) }
  func seeFinish() { _ = finished.load(ordering: .acquiring) }
}

import Foundation

/// The readers of one lane: a few threads, each with its own session, serving one queue.
///
/// A thread opens one snapshot and serves from it whatever was asked for *before* the snapshot began; so many look-ups
/// share a transaction, and none ever misses a commit that was acknowledged before it asked. Those of the bulk lane
/// (reports, exports, plans of campaigns) run at a lower priority, each in a snapshot of its own.
/// Source: specs/stack.md §3, §4.
final class Readers: Sendable {
  struct Limits: Sendable {
    var queue: Int
    var perSnapshot = 64
    var statementTimeout: Duration?
  }

  private struct Entry {
    var job: any ReadJob
    var ticket: UInt64
  }
  private struct State {
    var waiting = Queue<Entry>()
    var tickets: UInt64 = 0
    var isClosing = false
    var running: Int
    var closers: [CheckedContinuation<Void, Never>] = []
  }

  private let monitor: Monitor<State>
  private let limits: Limits

  init(_ sessions: [any Session], lane: Lane, limits: Limits) {
    self.limits = limits
    monitor = Monitor(State(running: sessions.count))
    for (number, session) in sessions.enumerated() {
      let handover = Handover(value: session)
      let thread = Thread { [self] in
        if lane == .bulk { BlockingThreads.lowerPriority() }
        serve(handover.value)
      }
      thread.name = "store-reader-\(lane.rawValue)-\(number)"
      thread.start()
    }
  }

  func read<T: Sendable>(_ body: @escaping @Sendable (any Connection) throws -> T) async throws -> T {
    let flags = JobFlags()
    defer { flags.seeFinish() }
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        read(flags, body) { continuation.resume(with: $0) }
      }
    } onCancel: {
      flags.cancel()
    }
  }

  /// `then` is called with what came of it, on the thread that read.
  func read<T: Sendable>(
    _ flags: JobFlags, _ body: @escaping @Sendable (any Connection) throws -> T,
    then: @escaping @Sendable (Result<T, any Error>) -> Void
  ) {
    enqueue(PendingRead(body: body, then: then, flags: flags))
  }

  private func enqueue(_ job: any ReadJob) {
    let refusal: DatabaseError? = monitor.withLock { state in
      if state.isClosing { return DatabaseError(.closed, "the store is closed") }
      guard state.waiting.count < limits.queue else {
        return DatabaseError(.busy, "\(limits.queue) reads are waiting")
      }
      state.tickets += 1
      state.waiting.append(Entry(job: job, ticket: state.tickets))
      return nil
    }
    if let refusal { job.fail(refusal) } else { monitor.signal() }
  }

  func close() async {
    await withCheckedContinuation { continuation in
      let isOver = monitor.withLock { state in
        state.isClosing = true
        if state.running > 0 { state.closers.append(continuation) }
        return state.running == 0
      }
      monitor.broadcast()
      if isOver { continuation.resume() }
    }
  }

  func beginClose() {
    monitor.withLock { $0.isClosing = true }
    monitor.broadcast()
  }

  // MARK: The threads

  private enum Turn { case serve(any ReadJob, horizon: UInt64), end }

  private func serve(_ session: any Session) {
    while true {
      switch nextTurn() {
      case .serve(let job, let horizon):
        snapshot(session, limits.statementTimeout, first: job) { next(before: horizon) }
      case .end:
        session.close()
        let closers = monitor.withLock { state in
          state.running -= 1
          guard state.running == 0 else { return [CheckedContinuation<Void, Never>]() }
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
      if let entry = state.waiting.popFirst() { return .serve(entry.job, horizon: state.tickets) }
      return state.isClosing ? .end : nil
    }
  }

  private func next(before horizon: UInt64) -> (any ReadJob)? {
    monitor.withLock { state in
      guard let entry = state.waiting.first, entry.ticket <= horizon else { return nil }
      return state.waiting.popFirst()?.job
    }
  }

  /// Answers are given as they are found; the snapshot changes nothing about them.
  private func snapshot(
    _ session: any Session, _ timeout: Duration?, first: any ReadJob, more: () -> (any ReadJob)?
  ) {
    var job: (any ReadJob)? = first
    var served = 0
    while let current = job {
      do {
        try session.limit(to: timeout, isCancelled: { current.isCancelled })
        if !session.isInTransaction { try session.begin(.snapshot) }
      } catch {
        session.rollback()
        current.fail(error)
        return
      }
      // After an error PostgreSQL refuses the rest of a transaction: the next job gets a new one.
      if !current.run(session) { session.rollback() }
      served += 1
      job = served < limits.perSnapshot ? more() : nil
    }
    // A read transaction has nothing to lose.
    session.rollback()
  }
}

private protocol ReadJob: AnyObject, Sendable {
  var isCancelled: Bool { get }
  /// Runs the body and tells what came of it; false if the body failed.
  func run(_ connection: any Connection) -> Bool
  func fail(_ error: any Error)
}

private final class PendingRead<T: Sendable>: ReadJob {
  private let body: @Sendable (any Connection) throws -> T
  private let then: @Sendable (Result<T, any Error>) -> Void
  private let flags: JobFlags
  var isCancelled: Bool { flags.isCancelled }

  init(
    body: @escaping @Sendable (any Connection) throws -> T,
    then: @escaping @Sendable (Result<T, any Error>) -> Void, flags: JobFlags
  ) {
    self.body = body
    self.then = then
    self.flags = flags
  }

  func run(_ connection: any Connection) -> Bool {
    do {
      if isCancelled { throw CancellationError() }
      let answer = try body(connection)
      flags.finish()
      then(.success(answer))
      return true
    } catch {
      flags.finish()
      then(.failure(error))
      return false
    }
  }
  func fail(_ error: any Error) {
    flags.finish()
    then(.failure(error))
  }
}

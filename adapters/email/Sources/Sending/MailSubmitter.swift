import Channels
import Glibc
import NIOPosix
import Synchronization

/// Hands letters to the bank's mail server, some per session, on its own threads.
///
/// What queues up while all sessions are at work is the next batch, at most `settings.batch`: no timer, no delay for
/// the first. A letter is given to exactly one session and never again: repeating is the caller's decision.
final class MailSubmitter: Sendable {
  private struct Waiting: Sendable {
    var letter: ESMTPSession.Letter
    var done: CheckedContinuation<SendTrace, Never>
  }
  private struct State {
    var queue: [Waiting] = []
    var sessions = 0
    var stopped = false
  }
  private let settings: MailSubmissionSettings
  private let pool: NIOThreadPool
  private let now: @Sendable () -> Timestamp
  private let state = Mutex(State())

  init(settings: MailSubmissionSettings, now: @escaping @Sendable () -> Timestamp) {
    self.settings = settings
    self.now = now
    // libesmtp writes to sockets that the peer has closed; NIO ignores the signal too, but only from its first socket on.
    signal(SIGPIPE, SIG_IGN)
    pool = NIOThreadPool(numberOfThreads: max(1, settings.sessions))
    pool.start()
  }

  /// Returns when the server has answered or the session has ended. Not cancelled half way: a session is short, and
  /// what it learns is worth more than the time.
  func send(_ letter: ESMTPSession.Letter) async -> SendTrace {
    await withCheckedContinuation { continuation in
      let begin = state.withLock { state -> Bool? in
        guard !state.stopped else { return nil }
        state.queue.append(Waiting(letter: letter, done: continuation))
        guard state.sessions < settings.sessions else { return false }
        state.sessions += 1
        return true
      }
      switch begin {
      case .none: continuation.resume(returning: SendTrace(sessionError: "the adapter is stopped", at: now()))
      case .some(true): pool.submit { _ in self.work() }
      case .some(false): break
      }
    }
  }

  /// One thread's turn: batch after batch until the queue is empty.
  private func work() {
    while true {
      let batch = state.withLock { state -> [Waiting] in
        let count = min(settings.batch, state.queue.count)
        guard count > 0 else {
          state.sessions -= 1
          return []
        }
        defer { state.queue.removeFirst(count) }
        return Array(state.queue.prefix(count))
      }
      guard !batch.isEmpty else { return }
      // libesmtp knows neither TLS from the first byte nor addresses beyond ASCII.
      let isOurs = { (waiting: Waiting) -> Bool in
        self.settings.tls == .implicit || SMTPConversation.needsUTF8(waiting.letter)
      }
      let (ours, others) = (batch.filter(isOurs), batch.filter { !isOurs($0) })
      if !others.isEmpty {
        tell(others, ESMTPSession.send(others.map(\.letter), settings: settings, now: now))
      }
      if !ours.isEmpty { tell(ours, SMTPConversation.send(ours.map(\.letter), settings: settings, now: now)) }
    }
  }

  private func tell(_ waiting: [Waiting], _ traces: [SendTrace]) {
    for (one, trace) in zip(waiting, traces) { one.done.resume(returning: trace) }
  }

  /// No letter is taken any more; those in hand are finished. Returns when the threads have ended.
  func stop() async {
    let rest = state.withLock { state -> [Waiting] in
      state.stopped = true
      defer { state.queue = [] }
      return state.queue
    }
    for waiting in rest { waiting.done.resume(returning: SendTrace(sessionError: "the adapter is stopped", at: now())) }
    // An error would say that the pool was not running, which is what is wanted.
    try? await pool.shutdownGracefully()
  }
}

import Foundation

/// Brings the write-ahead log into the file, beside the writer: neither copying nor its fsync delays a commit.
///
/// A thread and a connection of its own, passive, so that it waits for nobody and nobody for it. What the writer adds
/// meanwhile is left over; when that is little the writer brings it himself, because only a log that is brought over
/// whole begins anew. Source: SQLite "Write-Ahead Logging" §3.2, §6.
final class Checkpointer: Sendable {
  private struct State {
    var isAsked = false
    /// Pages of the log that are in the file, durable; nil once told or while at work.
    var copied: Int32?
    var isClosing = false
    var hasEnded = false
  }
  private let monitor = Monitor(State())

  init(_ connection: SQLiteConnection) {
    let handover = Handover(value: connection)
    let thread = Thread { [self] in serve(handover.value) }
    thread.name = "store-checkpoint"
    thread.start()
  }

  func ask() {
    monitor.withLock {
      $0.isAsked = true
      $0.copied = nil
    }
    monitor.broadcast()
  }

  /// What the last round brought over, once.
  func takeResult() -> Int32? {
    monitor.withLock { state in
      defer { state.copied = nil }
      return state.copied
    }
  }

  /// Returns when the thread has closed its connection.
  func close() {
    monitor.withLock { $0.isClosing = true }
    monitor.broadcast()
    monitor.wait { $0.hasEnded ? () : nil }
  }

  private func serve(_ connection: SQLiteConnection) {
    while true {
      let goesOn: Bool = monitor.wait { state in
        if state.isClosing { return false }
        guard state.isAsked else { return nil }
        state.isAsked = false
        return true
      }
      guard goesOn else { break }
      // A failure (a full disk, another checkpoint) costs only room: asked again with the next commits.
      let copied = (try? connection.checkpoint(sync: true)) ?? 0
      monitor.withLock { if !$0.isAsked { $0.copied = copied } }
    }
    connection.close()
    monitor.withLock { $0.hasEnded = true }
    monitor.broadcast()
  }
}

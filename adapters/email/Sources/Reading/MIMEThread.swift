import CGMime
import NIOPosix

/// The one thread on which mail is taken apart.
///
/// GMime under two threads is no faster than under one (contention inside GObject), and blocking C does not belong
/// on the cooperative pool: so all of the process share this thread. Source: specs/stack.md §8, §10.
final class MIMEThread: Sendable {
  /// Process-wide because the state of GMime and GObject is. Lives as long as the process.
  static let shared = MIMEThread()

  private let pool: NIOThreadPool

  private init() {
    pool = NIOThreadPool(numberOfThreads: 1)
    pool.start()
    g_mime_init()
  }

  func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try await pool.runIfActive(work)
  }
}

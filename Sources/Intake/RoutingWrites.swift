import Store
import Synchronization

/// What routing writes, some at a time: what comes while one group is written is the next.
///
/// At most `limit` routings share a commit with the arrivals that are being kept, so that an answer on the wire waits for
/// few of them, however far routing is behind. A group is written as one; if one in it fails, each is written for itself
/// and fails for itself.
final class RoutingWrites: Sendable {
  private typealias Body = @Sendable (WriteTransaction) throws -> Void
  private struct State {
    var waiting: [(body: Body, waiter: CheckedContinuation<Void, any Error>)] = []
    var isWriting = false
  }
  private let state = Mutex(State())
  private let database: Database
  private static let limit = 32

  init(_ database: Database) { self.database = database }

  /// Returns when what `body` wrote is durable. It may be run more than once, each time on the state before it.
  func write(_ body: @escaping @Sendable (WriteTransaction) throws -> Void) async throws {
    try await withCheckedThrowingContinuation { waiter in
      let begins = state.withLock { state in
        state.waiting.append((body, waiter))
        defer { state.isWriting = true }
        return !state.isWriting
      }
      // Ends by itself when nothing waits any more.
      if begins { Task { await writeGroups() } }
    }
  }

  private func writeGroups() async {
    while true {
      let group = state.withLock { state in
        let group = Array(state.waiting.prefix(Self.limit))
        state.waiting.removeFirst(group.count)
        state.isWriting = !group.isEmpty
        return group
      }
      guard !group.isEmpty else { return }
      let bodies = group.map(\.body)
      let results: [Result<Void, any Error>]
      do { results = try await database.write { try Self.run(bodies, in: $0) } } catch {
        results = bodies.map { _ in .failure(error) }
      }
      for (one, result) in zip(group, results) { one.waiter.resume(with: result) }
    }
  }

  private static func run(_ bodies: [Body], in transaction: WriteTransaction) throws -> [Result<Void, any Error>] {
    do {
      try transaction.savepoint { for body in bodies { try body(transaction) } }
      return bodies.map { _ in .success(()) }
    } catch {
      // The store as a whole: nothing of it could be written.
      if let error = error as? DatabaseError, !error.isOfOneItem { throw error }
      return try bodies.map { body in
        do {
          return .success(try transaction.savepoint { try body(transaction) })
        } catch {
          if let error = error as? DatabaseError, !error.isOfOneItem { throw error }
          return .failure(error)
        }
      }
    }
  }
}

import Store
import Synchronization

/// The classes of customers, read once each: they never change.
public final class ClassCatalog: Sendable {
  private struct State {
    var classes: [(id: Int64, body: ContactClass)] = []
    var byID: [Int64: Int] = [:]
  }
  private let state = Mutex(State())

  public init() {}

  /// In order of their ids.
  var classes: [(id: Int64, body: ContactClass)] { state.withLock { $0.classes } }

  func body(_ id: Int64) -> ContactClass? {
    state.withLock { state in state.byID[id].map { state.classes[$0].body } }
  }

  /// Reads the classes that are new since the last call.
  func update(from connection: any Connection) throws {
    while true {
      let last = state.withLock { $0.classes.last?.id ?? 0 }
      let fresh = try connection.contactClasses(after: last, limit: 1_000)
      guard !fresh.isEmpty else { return }
      state.withLock { state in
        for one in fresh where one.id > (state.classes.last?.id ?? 0) {
          state.byID[one.id] = state.classes.count
          state.classes.append(one)
        }
      }
    }
  }
}

import Channels
import Synchronization

/// The calls that live, as last applied: saves reading each from the store for every event of it.
///
/// Only ever trusted for the version the store names, so what a transaction wrote that then failed is never used.
final class CallMemory: Sendable {
  private struct Key: Hashable {
    var server: String
    var call: String
  }
  private let calls = Mutex<[Key: (version: Int, state: CallState)]>([:])
  private static let most = 20_000

  func state(_ call: String, on server: String, version: Int) -> CallState? {
    calls.withLock { calls in
      guard let found = calls[Key(server: server, call: call)], found.version == version else { return nil }
      return found.state
    }
  }

  func remember(_ state: CallState, version: Int) {
    calls.withLock { calls in
      let key = Key(server: state.server, call: state.callID)
      if state.ended != nil {
        calls[key] = nil
      } else {
        if calls.count >= Self.most { calls.removeAll() }
        calls[key] = (version, state)
      }
    }
  }
}

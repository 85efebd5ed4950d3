import Foundation
import Outbound
import Store
import Synchronization

/// Places at which the crash test lets the daemon kill itself, as if the power had gone.
///
/// `LIAISON_CRASH_AT=after-commit:17` sends SIGKILL to itself the 17th time the place is passed. Unset, as in
/// production, nothing is counted.
final class CrashPoints: Sendable {
  enum Place: String, CaseIterable {
    case beforeCommit = "before-commit"
    case afterCommit = "after-commit"
    case beforeAnswer = "before-answer"
    case afterAnswer = "after-answer"
    // Of an outbound attempt; see `HandOverPoint`.
    case reserved, handing, submitted, settled
  }
  private let place: Place
  private let left: Mutex<Int>

  /// Nil when the environment names no place.
  init?(environment: [String: String]) {
    guard let text = environment["LIAISON_CRASH_AT"] else { return nil }
    let parts = text.split(separator: ":")
    guard parts.count == 2, let place = Place(rawValue: String(parts[0])), let count = Int(parts[1]), count > 0 else {
      return nil
    }
    self.place = place
    left = Mutex(count)
  }

  func pass(_ here: Place) {
    guard here == place else { return }
    let isNow = left.withLock { left in
      left -= 1
      return left == 0
    }
    if isNow { kill(getpid(), SIGKILL) }
  }
}

extension CrashPoints.Place {
  init(_ point: HandOverPoint) {
    switch point {
    case .reserved: self = .reserved
    case .handing: self = .handing
    case .submitted: self = .submitted
    case .settled: self = .settled
    }
  }
}

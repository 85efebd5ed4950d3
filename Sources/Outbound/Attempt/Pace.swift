import Channels

/// How many submissions a second one peer is given: a bucket that fills evenly and holds one second's worth at most.
///
/// Pure: the time is an argument. A clock that steps back fills nothing and takes nothing away.
public struct Pace: Hashable, Sendable {
  /// Nil: no limit.
  public let perSecond: Int?
  /// In millionths of a submission.
  private var credit: Int64
  private var filledAt: Timestamp?

  public init(perSecond: Int?) {
    self.perSecond = perSecond.map { max(1, $0) }
    credit = 0
  }

  /// How many may go now, at most `wanted`.
  public mutating func room(for wanted: Int, at now: Timestamp) -> Int {
    guard let perSecond else { return wanted }
    fill(perSecond, at: now)
    return min(wanted, Int(credit / 1_000_000))
  }

  public mutating func take(_ count: Int, at now: Timestamp) {
    guard let perSecond else { return }
    fill(perSecond, at: now)
    credit -= Int64(count) * 1_000_000
  }

  /// How long until the next may go; zero if one may go now.
  public mutating func wait(at now: Timestamp) -> Duration {
    guard let perSecond else { return .zero }
    fill(perSecond, at: now)
    guard credit < 1_000_000 else { return .zero }
    return .microseconds((1_000_000 - credit) / Int64(perSecond) + 1)
  }

  private mutating func fill(_ perSecond: Int, at now: Timestamp) {
    let full = Int64(perSecond) * 1_000_000
    guard let last = filledAt else {
      // A fresh start is not a second's worth at once: the peer may remember the run before.
      credit = min(full, 1_000_000)
      filledAt = now
      return
    }
    let elapsed = min(1_000_000, max(0, (now - last).wholeMicroseconds))
    credit = min(full, credit + elapsed * Int64(perSecond))
    filledAt = max(last, now)
  }
}

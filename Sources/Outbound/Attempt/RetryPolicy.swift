import Channels

/// When a job that surely was not sent is tried again: exponential, with full jitter, bounded.
///
/// Full jitter, because after an outage all waiting jobs would else come back at one instant.
/// Source: specs/outbound.md §3 "Retry".
public struct RetryPolicy: Hashable, Sendable {
  public var base: Duration
  public var ceiling: Duration
  /// How many tries after the first.
  public var retries: Int

  public init(base: Duration = .seconds(30), ceiling: Duration = .seconds(3_600), retries: Int = 6) {
    self.base = base
    self.ceiling = ceiling
    self.retries = retries
  }

  /// When to try again after `failures` tries in vain; nil: never, because tried enough or too late.
  ///
  /// `peerWish` is how long the peer asked to be left alone; it is obeyed even beyond the ceiling.
  public func next(
    after failures: Int, peerWish: Duration? = nil, notAfter: Timestamp?, at now: Timestamp,
    using generator: inout some RandomNumberGenerator
  ) -> Timestamp? {
    guard failures >= 1, failures <= retries else { return nil }
    var reach = base
    for _ in 1..<failures where reach < ceiling { reach = reach * 2 }
    reach = min(reach, ceiling)
    let drawn = Duration.microseconds(Int64.random(in: 0...max(0, reach.wholeMicroseconds), using: &generator))
    let time = now + max(drawn, peerWish ?? .zero)
    if let notAfter, time >= notAfter { return nil }
    return time
  }
}

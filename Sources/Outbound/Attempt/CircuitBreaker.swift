import Channels

/// Whether an adapter is worth submitting to now. While open, its channel counts as down and jobs wait or fall back.
///
/// Opens after some failures of the link in a row; a fault of one recipient or content says nothing about the link. Stays
/// open longer each time; then lets a single submission through, whose result decides.
/// Source: specs/outbound.md §3, "feeds CHANNEL_DOWN".
public struct CircuitBreaker: Hashable, Sendable {
  private enum Mode: Hashable {
    case closed(failures: Int)
    case open(until: Timestamp, last: Duration)
    /// One submission is out to see.
    case trial(since: Timestamp, last: Duration)
  }

  public var threshold: Int
  public var shortest: Duration
  public var longest: Duration
  private var mode = Mode.closed(failures: 0)

  public init(threshold: Int = 5, shortest: Duration = .seconds(30), longest: Duration = .seconds(600)) {
    self.threshold = threshold
    self.shortest = shortest
    self.longest = longest
  }

  /// Until when the channel is down; nil if it may be used. What `Facts.AddressFact.downUntil` is set from.
  public func downUntil(at now: Timestamp) -> Timestamp? {
    switch mode {
    case .closed: nil
    case .open(let until, _): until > now ? until : nil
    case .trial(let since, let last): since + last > now ? since + last : nil
    }
  }

  /// No trouble is known: as many as there is room for may go.
  public var isClosed: Bool {
    if case .closed = mode { true } else { false }
  }

  /// Whether one submission may go now; the first after an open time is the trial. A trial nobody reports on lapses.
  public mutating func admit(at now: Timestamp) -> Bool {
    switch mode {
    case .closed: return true
    case .open(let until, let last):
      guard until <= now else { return false }
      mode = .trial(since: now, last: last)
      return true
    case .trial(let since, let last):
      guard since + last <= now else { return false }
      mode = .trial(since: now, last: last)
      return true
    }
  }

  public mutating func record(_ submission: Submission, at now: Timestamp) {
    switch submission {
    case .accepted: mode = .closed(failures: 0)
    case .deferred(let fault, let retryAfter):
      if fault.code == .throttled, let wish = retryAfter {
        mode = .open(until: now + wish, last: shortest)
      } else {
        record(fault, at: now)
      }
    case .rejected(let fault), .inDoubt(let fault): record(fault, at: now)
    }
  }

  private mutating func record(_ fault: Fault, at now: Timestamp) {
    guard fault.code.blamesLink else {
      // The link answered.
      mode = .closed(failures: 0)
      return
    }
    switch mode {
    case .closed(let failures) where failures + 1 < threshold: mode = .closed(failures: failures + 1)
    case .closed: mode = .open(until: now + shortest, last: shortest)
    case .open: break
    case .trial(_, let last):
      let next = min(last * 2, longest)
      mode = .open(until: now + next, last: next)
    }
  }
}

extension Fault.Code {
  /// True for faults of the peer or the way to it, which the next submission will likely meet too.
  var blamesLink: Bool {
    switch self {
    case .connection, .timeout, .throttled, .authentication, .protocolViolation, .peerFailure, .internalError: true
    case .badAddress, .unknownRecipient, .recipientBusy, .noAnswer, .notAFax, .contentRefused, .tooLarge, .policy,
      .expired, .cancelled, .unsupported:
      false
    }
  }
}

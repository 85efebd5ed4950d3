import Channels
import ContactModel

/// How likely a customer is to answer on a channel, learned from deliberate human acts.
///
/// score = (S + m·k) / (N + k): his own successes S among N tries, each fading with age, drawn towards what his segment
/// does (rate m) as strongly as if it were k tries of his. So one answered call makes nobody a lover of calls, and a
/// long record speaks for itself. Only ever breaks a tie. Opens of e-mails are no acts and never enter.
/// Source: specs/outbound.md §6.
public struct ChannelLearning: Hashable, Sendable {
  /// One try to reach him, and whether he answered with an act of his own: talked for 20 s, replied, clicked a link that
  /// is not pre-fetched, contacted us on that channel.
  public struct Trial: Hashable, Sendable {
    public var channel: OutboundChannel
    public var at: Timestamp
    /// Index of the part of the day, customer's wall clock.
    public var dayPart: Int
    public var succeeded: Bool
    public init(channel: OutboundChannel, at: Timestamp, dayPart: Int = 0, succeeded: Bool) {
      self.channel = channel
      self.at = at
      self.dayPart = dayPart
      self.succeeded = succeeded
    }
  }

  public var halfLife: Duration
  public init(halfLife: Duration = .seconds(548 * 86_400)) { self.halfLife = halfLife }

  /// Successes and tries on one channel, faded to `now`; later trials do not count.
  public func tally(
    _ trials: [Trial], on channel: OutboundChannel, dayPart: Int? = nil, at now: Timestamp
  ) -> (successes: Double, tries: Double) {
    var successes = 0.0
    var tries = 0.0
    for trial in trials where trial.channel == channel && trial.at <= now && (dayPart ?? trial.dayPart) == trial.dayPart
    {
      let weight = fading(from: trial.at, to: now)
      tries += weight
      if trial.succeeded { successes += weight }
    }
    return (successes, tries)
  }

  /// 0 to 1. With a day part the score of that part, drawn towards the channel's.
  public func score(
    _ trials: [Trial], on channel: OutboundChannel, dayPart: Int? = nil, in segment: SegmentRate, at now: Timestamp
  ) -> Double {
    let all = tally(trials, on: channel, at: now)
    let whole = segment.shrink(all.successes, of: all.tries)
    guard let dayPart else { return whole }
    let part = tally(trials, on: channel, dayPart: dayPart, at: now)
    return SegmentRate(mean: whole, strength: segment.strength).shrink(part.successes, of: part.tries)
  }

  private func fading(from then: Timestamp, to now: Timestamp) -> Double {
    let ages = Double((now - then).wholeMicroseconds) / Double(max(1, halfLife.wholeMicroseconds))
    return exponentOfTwo(-ages)
  }

  /// 2ˣ for x ≤ 0 without Foundation: whole halvings, and a series for the rest.
  private func exponentOfTwo(_ x: Double) -> Double {
    guard x > -1_000 else { return 0 }
    let whole = x.rounded(.down)
    let rest = (x - whole) * 0.693147180559945309
    var term = 1.0
    var sum = 1.0
    for index in 1...16 {
      term *= rest / Double(index)
      sum += term
    }
    return Double(sign: .plus, exponent: Int(whole), significand: sum)
  }
}

/// What a segment of customers does on one channel: the rate m, and the weight k that a newcomer's own record meets.
public struct SegmentRate: Hashable, Sendable {
  public var mean: Double
  /// Counted in tries.
  public var strength: Double
  public init(mean: Double, strength: Double) {
    self.mean = mean
    self.strength = strength
  }

  func shrink(_ successes: Double, of tries: Double) -> Double {
    (successes + mean * strength) / (tries + strength)
  }

  /// From the records of its customers by the method of moments on the beta-binomial: the more customers differ beyond
  /// chance, the smaller k. Kept within 1 to 1,000; nil if nobody was ever tried.
  public init?(of records: [(successes: Double, tries: Double)]) {
    let used = records.filter { $0.tries > 0 }
    let tries = used.reduce(0) { $0 + $1.tries }
    guard tries > 0 else { return nil }
    let mean = used.reduce(0) { $0 + $1.successes } / tries
    let chance = mean * (1 - mean)
    self.mean = mean
    guard used.count > 1, chance > 0 else {
      strength = used.count > 1 ? 1_000 : 1
      return
    }
    let count = Double(used.count)
    let spread =
      used.reduce(0) { sum, record in
        let difference = record.successes / record.tries - mean
        return sum + difference * difference
      } / (count - 1)
    // Var(S/N) = m(1−m)·[1/N + (1 − 1/N)/(k + 1)]
    let inverse = used.reduce(0) { $0 + 1 / $1.tries } / count
    let excess = spread / chance - inverse
    guard excess > 0, inverse < 1 else {
      strength = 1_000
      return
    }
    strength = min(1_000, max(1, (1 - inverse) / excess - 1))
  }
}

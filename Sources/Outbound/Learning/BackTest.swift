import Channels
import ContactModel

/// Whether learning would have helped: replays what happened and asks the estimator before each trial.
///
/// Each trial is predicted from the ones before it only. Compared are the error of the prediction with that of the bare
/// segment rate, and how often customers answered on the channel that learning would have put first with how often they
/// did on the one the bank's order puts first. Source: specs/outbound.md §6, "back-test".
public struct BackTest: Hashable, Sendable {
  public private(set) var trials = 0
  /// Mean squared error of the learned score, and of the segment's rate alone: the smaller the better.
  public private(set) var learnedError = 0.0
  public private(set) var segmentError = 0.0
  /// Trials that happened on the channel each would have chosen, and how many of them succeeded.
  public private(set) var learnedChoice = Hits()
  public private(set) var orderChoice = Hits()

  public struct Hits: Hashable, Sendable {
    public internal(set) var tried = 0
    public internal(set) var succeeded = 0
    /// Nil if never tried.
    public var rate: Double? { tried == 0 ? nil : Double(succeeded) / Double(tried) }
  }

  /// `customers`: the trials of each, in any order. `segments` should come from a time before those trials.
  public init(
    of customers: [[ChannelLearning.Trial]], with learning: ChannelLearning, segments: [OutboundChannel: SegmentRate],
    order: [OutboundChannel]
  ) {
    for customer in customers {
      let ordered = customer.sorted { $0.at < $1.at }
      for (index, trial) in ordered.enumerated() {
        guard let segment = segments[trial.channel] else { continue }
        let past = ordered[..<index].filter { $0.at < trial.at }
        let scores = order.compactMap { channel in
          segments[channel].map { (channel, learning.score(past, on: channel, in: $0, at: trial.at)) }
        }
        let predicted = scores.first { $0.0 == trial.channel }?.1 ?? segment.mean
        let happened = trial.succeeded ? 1.0 : 0.0
        learnedError += (predicted - happened) * (predicted - happened)
        segmentError += (segment.mean - happened) * (segment.mean - happened)
        trials += 1
        // Of equals `max` keeps the first, as the bank's order wants it.
        let best = scores.max { $0.1 < $1.1 }?.0
        if trial.channel == best { learnedChoice.count(trial.succeeded) }
        if trial.channel == order.first { orderChoice.count(trial.succeeded) }
      }
    }
    if trials > 0 {
      learnedError /= Double(trials)
      segmentError /= Double(trials)
    }
  }
}

extension BackTest.Hits {
  fileprivate mutating func count(_ success: Bool) {
    tried += 1
    if success { succeeded += 1 }
  }
}

import Channels
import ContactModel

/// When a customer who was called in vain is called again.
///
/// Busy soon, because he is there; no answer later and then at another part of the day, because he was not; a fault of
/// the trunk is not his and does not count; an abandoned call is our offence and earns a long rest. What the rules of
/// preference and law say about the time found is for `decide`. Source: specs/outbound.md §5 "Recycle".
public struct RecycleRules: Hashable, Sendable {
  /// How one call ended.
  public enum Outcome: Hashable, Sendable {
    case answered
    case busy, noAnswer
    case trunkError
    case unallocatedNumber
    /// He answered and no agent was free.
    case droppedByUs
    /// He asked to be called at that time.
    case callBack(at: Timestamp, by: String)

    /// Whether it counts towards the caps on calls.
    var counts: Bool { self != .trunkError }
  }

  public struct Call: Hashable, Sendable {
    public var at: Timestamp
    public var outcome: Outcome
    public init(at: Timestamp, outcome: Outcome) {
      self.at = at
      self.outcome = outcome
    }
  }

  public enum Verdict: Hashable, Sendable {
    case done
    /// Not before `at`. `agent`: only he until `agentUntil`, then anybody of the group.
    case again(at: Timestamp, agent: String?, agentUntil: Timestamp?)
    /// The address is to be marked invalid.
    case addressInvalid
    case exhausted(Limit)
  }

  public enum Limit: String, Hashable, Sendable, Codable, CaseIterable {
    case perJob = "per_job"
    case trunk
  }

  public var busyWaits: [Duration] = [.seconds(300), .seconds(300), .seconds(3_600)]
  public var noAnswerWait: Duration = .seconds(3_600)
  public var trunkWait: Duration = .seconds(120)
  public var trunkRetries = 5
  public var droppedWait: Duration = .seconds(72 * 3_600)
  public var perDay = 3
  public var perSevenDays = 7
  public var perJob = 6
  public var sameAgentFor: Duration = .seconds(900)
  /// Where the parts of the day begin, minutes after midnight on the customer's wall clock, ascending.
  public var dayParts = [0, 720, 1_080]

  public init() {}

  /// What follows `calls` of this job, oldest first, the last of which has just ended.
  ///
  /// `otherCalls` are the counted calls to the same customer outside this job, for the caps by day and week.
  public func next(after calls: [Call], otherCalls: [Timestamp] = [], in zone: Zone, at now: Timestamp) -> Verdict {
    guard let last = calls.last else { return .again(at: now, agent: nil, agentUntil: nil) }
    let streak = calls.reversed().prefix { $0.outcome == last.outcome }.count
    var time: Timestamp
    var agent: String?
    switch last.outcome {
    case .answered: return .done
    case .unallocatedNumber: return .addressInvalid
    case .callBack(let at, let by):
      // His own wish: exact, and no cap of ours stands against it.
      return .again(at: max(at, now), agent: by, agentUntil: max(at, now) + sameAgentFor)
    case .trunkError:
      guard streak <= trunkRetries else { return .exhausted(.trunk) }
      time = now + trunkWait
      agent = nil
    case .busy: time = now + busyWaits[min(streak, busyWaits.count) - 1]
    case .noAnswer:
      time = now + noAnswerWait
      if streak > 1 { time = max(time, nextDayPart(after: last.at, in: zone)) }
    case .droppedByUs: time = now + droppedWait
    }
    let counted = calls.filter { $0.outcome.counts }
    guard counted.count < perJob else { return .exhausted(.perJob) }
    time = respectingCaps(time, counted.map(\.at) + otherCalls, in: zone)
    return .again(at: time, agent: agent, agentUntil: nil)
  }

  /// The beginning of the first part of a day after the one `time` lies in.
  private func nextDayPart(after time: Timestamp, in zone: Zone) -> Timestamp {
    let wall = zone.wall(at: time.microseconds)
    let midnight = WallClock.day(of: wall) * WallClock.day
    let begins = dayParts.map { midnight + Int64($0) * WallClock.minute } + [midnight + WallClock.day]
    let next = begins.first { $0 > wall } ?? midnight + WallClock.day
    let limit = time.microseconds + 2 * WallClock.day
    return Timestamp(
      microseconds: zone.first(from: time.microseconds, through: limit) { max($0, next) } ?? limit)
  }

  private func respectingCaps(_ start: Timestamp, _ calls: [Timestamp], in zone: Zone) -> Timestamp {
    var time = start
    let newestFirst = calls.sorted(by: >)
    if newestFirst.count >= perSevenDays {
      time = max(time, newestFirst[perSevenDays - 1] + .seconds(7 * 86_400))
    }
    let days = newestFirst.map { WallClock.day(of: zone.wall(at: $0.microseconds)) }
    let found = zone.first(from: time.microseconds, through: time.microseconds + 400 * WallClock.day) { wall in
      var day = WallClock.day(of: wall)
      while days.filter({ $0 == day }).count >= perDay { day += 1 }
      return max(wall, day * WallClock.day)
    }
    return found.map(Timestamp.init(microseconds:)) ?? time
  }
}

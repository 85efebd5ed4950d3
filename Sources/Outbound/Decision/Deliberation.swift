import Channels
import ContactModel

/// One decision in the making, after the rules about the whole request have passed: judge, time and choose channels.
///
/// `ChannelRules` says which channels may be used at all, `ContactTime` when, and this file which one it is.
/// Source: specs/outbound.md §2 C.
struct Deliberation {
  /// A channel that may be used, and how it compares.
  struct Option {
    var channel: OutboundChannel
    /// 0 the customer ranked or requested it, 1 he said nothing, 2 he refused it and the purpose is critical.
    var tier: Int
    var rank: Int
    var score: Double
    /// In the purpose's order.
    var position: Int
    var isRequested: Bool
    /// Nil: no time within the horizon.
    var time: Timestamp?
    /// The rule that last moved `time`; nil if it is now.
    var wait: Reason?

    func precedes(_ other: Option) -> Bool {
      if tier != other.tier { return tier < other.tier }
      if rank != other.rank { return rank < other.rank }
      if score != other.score { return score > other.score }
      return position < other.position
    }
  }

  let request: DecisionRequest
  let facts: Facts
  let profile: PurposeProfile
  let rules: PurposeProfile.Rules
  /// Every zone the customer may be in; never empty.
  let zones: [Zone]
  /// The latest instant that is still within the wait budget; anchored when the job was due.
  let patience: Timestamp

  init(
    request: DecisionRequest, facts: Facts, profile: PurposeProfile, rules: PurposeProfile.Rules, at now: Timestamp
  ) {
    self.request = request
    self.facts = facts
    self.profile = profile
    self.rules = rules
    zones =
      facts.zones.isEmpty
      ? profile.unknownZones : facts.hasUnknownZone ? facts.zones + profile.unknownZones : facts.zones
    let due = request.due ?? max(now, request.notBefore ?? now, request.requested?.at ?? now)
    patience = Timestamp(microseconds: due.microseconds.saturatingSum(rules.waitBudget.wholeMicroseconds))
  }

  func decide(at now: Timestamp) -> Decision {
    var decision = choose(at: now)
    // A preference that begins or ends while the job waits may reorder the channels at that hour. Look there, so that
    // deciding again at `until` sends. Each round moves on; eight are more than any customer's statements need.
    for _ in 0..<8 {
      guard case .defer(_, let until) = decision.verdict, preferencesChange(after: now, through: until) else { break }
      let then = choose(at: until)
      guard case .defer = then.verdict else { break }
      decision = then
    }
    return decision
  }

  private func choose(at now: Timestamp) -> Decision {
    var refused: [Decision.Refusal] = []
    var options: [Option] = []
    options.reserveCapacity(request.candidates.count)
    for (index, channel) in request.candidates.enumerated()
    where !request.candidates[..<index].contains(channel) {
      switch judge(channel, at: now) {
      case .refused(let reason): refused.append(.init(channel: channel, reason: reason))
      case .open(let option): options.append(option)
      }
    }
    if refused.count > 1 { refused.sort { $0.channel < $1.channel } }
    guard !options.isEmpty else { return Decision(.refuse, .noChannel, refused: refused) }
    if options.count > 1 {
      options.sort { $0.precedes($1) }
      forceChannel(&options)
    }
    return walk(options, refused: refused, at: now)
  }

  /// The first that may go now or within the wait budget; failing that the earliest.
  private func walk(_ options: [Option], refused: [Decision.Refusal], at now: Timestamp) -> Decision {
    var earliest: (option: Option, time: Timestamp)?
    for (index, option) in options.enumerated() {
      guard let time = option.time, isBeforeExpiry(time) else { continue }
      if time == now {
        return Decision(.send(option.channel), sendReason(for: option, at: index, of: options), refused: refused)
      }
      if time <= patience { return postponed(option, to: time, refused) }
      if earliest.map({ time < $0.time }) ?? true { earliest = (option, time) }
    }
    if let earliest { return postponed(earliest.option, to: earliest.time, refused) }
    let waits = options.map { Decision.Refusal(channel: $0.channel, reason: $0.wait ?? .noTime) }
    return Decision(.refuse, .noTimeBeforeExpiry, refused: (refused + waits).sorted { $0.channel < $1.channel })
  }

  private func postponed(_ option: Option, to time: Timestamp, _ refused: [Decision.Refusal]) -> Decision {
    Decision(.defer(option.channel, until: time), option.wait ?? .noTime, refused: refused)
  }

  private func sendReason(for option: Option, at index: Int, of options: [Option]) -> Reason {
    if option.tier == 2 { return .sendCriticalLastResort }
    if option.isRequested { return .sendRequested }
    if index > 0 { return .sendFallback }
    if option.tier == 0 { return .sendPreferred }
    let wouldBeFirst = options.allSatisfy { $0.tier > option.tier || $0.position >= option.position }
    return wouldBeFirst ? .sendDefault : .sendLearned
  }

  /// Puts the channel an agent picked first; it must be eligible and is never one the customer refused.
  private func forceChannel(_ options: inout [Option]) {
    guard request.overrides.contains(.channel), let forced = request.forcedChannel,
      let index = options.firstIndex(where: { $0.channel == forced }), options[index].tier < 2
    else { return }
    options.insert(options.remove(at: index), at: 0)
  }

  private func isBeforeExpiry(_ time: Timestamp) -> Bool { request.notAfter.map { time < $0 } ?? true }

  /// Whether any statement begins or ceases to be in force in `(start, end]`.
  func preferencesChange(after start: Timestamp, through end: Timestamp) -> Bool {
    facts.preferences.contains { record in
      (record.effectiveAt > start && record.effectiveAt <= end)
        || (record.validUntil.map { $0 > start && $0 <= end } ?? false)
    }
  }
}

extension Int64 {
  /// The sum, or the end of the range it would leave.
  func saturatingSum(_ other: Int64) -> Int64 {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other > 0 ? .max : .min) : sum
  }
}

import Channels
import ContactModel

/// Whether, when and by which channel one proactive job may reach its customer.
public struct Decision: Hashable, Sendable {
  public enum Verdict: Hashable, Sendable {
    case send(OutboundChannel)
    /// Decide again at `until`; the channel is the one it will be then, nil if that is open.
    case `defer`(OutboundChannel?, until: Timestamp)
    case refuse
  }

  public struct Refusal: Hashable, Sendable {
    public var channel: OutboundChannel
    public var reason: Reason
    public init(channel: OutboundChannel, reason: Reason) {
      self.channel = channel
      self.reason = reason
    }
  }

  public var verdict: Verdict
  public var reason: Reason
  /// Why not, per channel, ordered by channel name.
  public var refused: [Refusal]

  public init(_ verdict: Verdict, _ reason: Reason, refused: [Refusal] = []) {
    self.verdict = verdict
    self.reason = reason
    self.refused = refused
  }
}

/// Decides one job. Total: an answer for every input, always with one reason.
///
/// First the rules about the request as a whole, in their order, the first that matches ends it: what is malformed or
/// unknown before what is forbidden, what protects the customer before what spares the bank, delay last. Then each
/// candidate channel is judged and given its earliest time, and one is chosen.
/// Pure: `now` and every fact are arguments. Called at planning and again inside the transaction that hands over.
/// Source: specs/outbound.md §2.
public func decide(
  _ request: DecisionRequest, about facts: Facts, under profile: PurposeProfile, at now: Timestamp
) -> Decision {
  guard let rules = profile.purposes[request.purpose], !request.candidates.isEmpty, now.isCivil else {
    return Decision(.refuse, .badRequest)
  }
  if let decision = decideWithoutChannel(request, about: facts, under: profile, rules, at: now) { return decision }
  let deliberation = Deliberation(request: request, facts: facts, profile: profile, rules: rules, at: now)
  let decision = deliberation.decide(at: now)
  guard !request.overrides.isEmpty, case .send = decision.verdict, decision.reason != .sendCriticalLastResort else {
    return decision
  }
  // An override is the reason only if without it this would not have been sent now by this channel.
  var plain = request
  plain.overrides = []
  let without = Deliberation(request: plain, facts: facts, profile: profile, rules: rules, at: now).decide(at: now)
  return without.verdict == decision.verdict
    ? without : Decision(decision.verdict, .sendOverride, refused: decision.refused)
}

/// Rules A1 to A11: those that need no channel; nil if none of them speaks.
private func decideWithoutChannel(
  _ request: DecisionRequest, about facts: Facts, under profile: PurposeProfile, _ rules: PurposeProfile.Rules,
  at now: Timestamp
) -> Decision? {
  func refuse(_ reason: Reason) -> Decision { Decision(.refuse, reason) }

  if !facts.isKnown { return refuse(.unknownCustomer) }
  if let end = request.notAfter, end <= now { return refuse(.expired) }
  if facts.isDeceased { return refuse(.customerBlocked) }
  if facts.legalStop.covers(request.purpose) { return refuse(.legalStop) }
  if facts.killSwitch, !rules.isCritical { return refuse(.killSwitch) }
  if facts.campaignHasEnded { return refuse(.campaignEnded) }
  switch facts.duplicate {
  case nil: break
  case .sent: return refuse(.duplicateSent)
  case .inFlight: return refuse(.duplicateInFlight)
  case .inDoubt: return refuse(.duplicateInDoubt)
  }
  if facts.hasLeftGroup { return refuse(.notInGroup) }
  if facts.isMinor { return refuse(rules.isForbiddenForMinors ? .minor : .minorUseGuardian) }
  if facts.isHeldOut, rules.respectsHoldout { return refuse(.holdout) }
  if facts.householdAlreadyReached, rules.oncePerHousehold { return refuse(.householdDuplicate) }
  if facts.isPaused, !rules.isCritical {
    let until = now + profile.pauseRecheck
    if let end = request.notAfter, end <= until { return refuse(.noTimeBeforeExpiry) }
    return Decision(.defer(nil, until: until), .deferPaused)
  }
  return nil
}

extension Timestamp {
  /// Within the years 0 to 9999, so that no sum of times below overflows.
  fileprivate var isCivil: Bool { (-62_167_219_200_000_000..<253_402_300_800_000_000).contains(microseconds) }
}

import Channels
import ContactModel

extension Deliberation {
  enum Judgement {
    case refused(Reason)
    case open(Option)
  }

  /// Rules B1 to B10 for one candidate; the first that matches refuses it. What passes is given its earliest time.
  ///
  /// A contact the customer asked for waives B8 to B10 on its channel, as long as it takes place about when he asked.
  /// What he says must also hold when the contact takes place, not only while it waits.
  func judge(_ channel: OutboundChannel, at now: Timestamp) -> Judgement {
    guard profile.channels.contains(channel) else { return .refused(.channelUnknown) }
    guard let position = rules.order.firstIndex(of: channel) else { return .refused(.channelPolicy) }
    guard let address = facts.addresses.first(where: { $0.channel == channel }) else { return .refused(.noAddress) }
    if let reason = refusal(of: address) { return .refused(reason) }

    let isRequested = isRequestedContact(channel, at: now)
    let standing = Standing(of: facts.preferences, on: channel, for: request.purpose, at: now)
    let objection = objection(to: standing, address)
    if let objection, !isRequested { return .refused(objection) }

    let (time, wait) = earliestTime(on: channel, address, from: now)
    if let time, time > now {
      if objection != nil, !isRequestedContact(channel, at: time) { return .refused(objection ?? .preferenceDeny) }
      if preferencesChange(after: now, through: time), !isRequestedContact(channel, at: time) {
        let later = Standing(of: facts.preferences, on: channel, for: request.purpose, at: time)
        if let reason = self.objection(to: later, address) { return .refused(reason) }
      }
    }
    let isGranted = isRequested && isRequestedContact(channel, at: time ?? now)
    let tier = isGranted ? 0 : standing.isDenied ? 2 : standing.rank == nil ? 1 : 0
    return .open(
      Option(
        channel: channel, tier: tier, rank: isGranted ? .min : standing.rank ?? .max, score: score(of: channel),
        position: position, isRequested: isGranted, time: time, wait: wait))
  }

  /// B4 to B7: what the address or the customer's keeper forbids, whatever he said about channels.
  private func refusal(of address: Facts.AddressFact) -> Reason? {
    switch address.state {
    case .ok: break
    case .bounced: return .addressBounced
    case .invalid: return .addressInvalid
    case .reassigned: return .addressReassigned
    case .complaint: return .addressComplaint
    }
    switch address.stop {
    case nil: break
    case .promo: if rules.stoppedByPromo { return .addressStop }
    case .all: if rules.stoppedByAll { return .addressStop }
    }
    if request.isConfidential, !address.isVerified { return .addressUnverified }
    if facts.isRelationshipManagerOnly, !rules.passesRelationshipManager { return .relationshipManagerOnly }
    return nil
  }

  /// B8 to B10: what the customer himself said, or did not say.
  private func objection(to standing: Standing, _ address: Facts.AddressFact) -> Reason? {
    if standing.isDenied, !rules.isCritical { return .preferenceDeny }
    if rules.needsConsent {
      switch standing.consent {
      case .given: break
      case .expired: return .consentExpired
      case .none: return .noConsent
      }
    }
    if rules.respectsRegister, address.isOnRegister, standing.consent != .given { return .registryDoNotCall }
    return nil
  }

  /// Whether a contact on `channel` that can be had from `now` on is the one the customer asked for.
  func isRequestedContact(_ channel: OutboundChannel, at now: Timestamp) -> Bool {
    guard let requested = request.requested, requested.channel == channel else { return false }
    return now.microseconds <= requested.at.microseconds.saturatingSum(profile.requestedSlack.wholeMicroseconds)
  }

  private func score(of channel: OutboundChannel) -> Double {
    guard !facts.forbidsProfiling, let learned = facts.learned.first(where: { $0.channel == channel }) else { return 0 }
    return learned.score.isFinite ? learned.score : 0
  }
}

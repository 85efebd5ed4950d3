import Channels

/// Who is rung for a call, and how each of these offers ends.
extension CallBook {
  mutating func dial(from: LegID?, to: LegID, number: String?) {
    guard legs[to] != nil else { return }
    if legs[to]?.dialString == nil { legs[to]?.dialString = number }
    legs[to]?.dialEnded = false
    if let from, legs[from] != nil {
      legs[to]?.dialledBy = from
      // The renumbering of legs lags behind: a leg belongs where it was dialled from.
      if let call = legs[from]?.call, legs[to]?.call != call, legs[to].map({ isFree($0) }) == true {
        add(to, to: call)
      }
    }
    guard let call = legs[to]?.call, let entry = calls[call], let device = legs[to]?.device else { return }
    switch device.kind {
    case .relay, .service:
      break
    case .trunk:
      if entry.party == nil || entry.party == to || !entry.hasCustomer && entry.isUnconnectedOutside {
        becomeOutbound(call, party: to, number: number)
      } else if let from, isStation(source(of: from)) {
        consult(call, by: source(of: from), target: to, number: number)
      }
    case .station:
      var relay = from
      for _ in 0..<16 {
        guard let id = relay, let leg = legs[id], leg.device.isRelay else { break }
        legs[id]?.behind = device.name
        if let partner = leg.partner { legs[partner]?.behind = device.name }
        relay = leg.dialledBy ?? leg.partner.flatMap { legs[$0]?.dialledBy }
      }
      let source = from.map { self.source(of: $0) }
      if let other = entry.consultationOf, calls[other] != nil, let root = entry.root, to != root {
        consult(other, by: root, target: to, number: number)
      } else if let agent = consultant(dialling: source, in: entry) {
        consult(call, by: agent, target: to, number: number)
      } else {
        if entry.consultationOf != nil { calls[call]?.consultationOf = nil }
        if !entry.isOriginated || entry.hasCustomer || entry.root != to { announce(call) }
        startOffer(to, in: call)
      }
    }
  }

  /// True while a leg is alone in a call that has nothing else: it was numbered to a call not known.
  private func isFree(_ leg: Leg) -> Bool {
    guard let call = leg.call, let entry = calls[call] else { return true }
    return entry.root == nil && entry.legs.count <= 1 && entry.party == nil
  }

  /// Who dials really: follows relays back to the leg that set them off. A relay that nothing dialled is its own.
  func source(of id: LegID) -> LegID {
    var current = id
    for _ in 0..<16 {
      guard let leg = legs[current] else { return current }
      if leg.device.isRelay {
        if let dialler = leg.dialledBy, legs[dialler] != nil {
          current = dialler
        } else if let partner = leg.partner, let dialler = legs[partner]?.dialledBy, legs[dialler] != nil {
          current = dialler
        } else {
          return current
        }
      } else {
        return current
      }
    }
    return current
  }

  /// The agent who is calling a colleague in the middle of a call: he dials himself, or the switch does it for him
  /// through a relay nobody dialled.
  private func consultant(dialling source: LegID?, in call: Call) -> LegID? {
    guard let source, let leg = legs[source], source != call.party else { return nil }
    if leg.device.kind == .station, call.hasCustomer, source != call.root || call.state.connected != nil {
      return source
    }
    guard leg.device.isRelay, call.state.connected != nil else { return nil }
    if let talking = call.talking.first(where: { isStation($0) }) { return talking }
    return call.legs.last { id in
      isStation(id) && legs[id]?.isUp == true && call.state.legs.contains { $0.device == legs[id]?.device.name }
    }
  }

  private mutating func becomeOutbound(_ call: String, party: LegID, number: String?) {
    // An agent who asks somebody outside in the middle of a call: a call of its own, which may join the other.
    if let other = calls[call]?.consultationOf, calls[other] != nil, let root = calls[call]?.root {
      consult(other, by: root, target: party, number: number)
    }
    calls[call]?.party = party
    calls[call]?.hasCustomer = true
    calls[call]?.partyWasUp = legs[party]?.isUp ?? false
    calls[call]?.consultationOf = nil
    calls[call]?.state.direction = .outbound
    let dialled = number.flatMap(dialledNumber) ?? legs[party]?.dialled
    let caller = dialled.map(numbering.caller)
    calls[call]?.state.caller = caller
    calls[call]?.state.callerName = nil
    calls[call]?.state.dialled = nil
    announce(call)
  }

  /// The number in a dial string: `+41791110001@trunk`, `PJSIP/+41791110001@trunk`, `trunk/0791110001`.
  private func dialledNumber(_ text: String) -> String? {
    var best: Substring?
    for part in text.split(whereSeparator: { "/@,&^".contains($0) }) {
      let body = part.hasPrefix("+") ? part.dropFirst() : part
      guard !body.isEmpty, body.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == "*" || $0 == "#") }) else { continue }
      if best == nil || part.count > best!.count { best = part }
    }
    return best.map(String.init)
  }

  // MARK: Offers

  mutating func startOffer(_ id: LegID, in call: String) {
    guard let leg = legs[id], leg.offered == nil, !leg.isShell, calls[call] != nil else { return }
    let device = leg.device.name
    legs[id]?.offered = device
    if let count = calls[call]?.state.offers.count, count >= limits.offers,
      let oldest = calls[call]?.state.offers.firstIndex(where: { $0.ended != nil })
    {
      calls[call]?.state.offers.remove(at: oldest)
      if let ringing = calls[call]?.state.legs.firstIndex(where: { $0.to != nil && $0.state == .ringing }) {
        calls[call]?.state.legs.remove(at: ringing)
      }
    }
    calls[call]?.state.offers.append(CallState.Offer(device: device, at: now))
    calls[call]?.state.legs.append(CallState.Leg(device: device, state: .ringing, from: now))
    tell(.offered, of: call, device: device)
  }

  /// The end of an attempt to reach `to`; only the first one counts (trap 7).
  mutating func endDial(_ to: LegID, _ result: DialResult) {
    guard let leg = legs[to], !leg.dialEnded else { return }
    legs[to]?.dialEnded = true
    guard let call = leg.call, calls[call] != nil else { return }
    switch leg.device.kind {
    case .relay:
      // The device behind it is what was offered. Its own end may come later, or with another word.
      if result != .answered {
        for id in devices(behind: to) where legs[id]?.dialEnded == false {
          legs[id]?.dialEnded = true
          endOffer(id, result)
        }
      }
    case .station:
      if result == .answered { legs[to]?.isUp = true }
      if calls[call]?.state.queued == nil { calls[call]?.lastDial = result }
      endOffer(to, result)
    case .trunk:
      if result == .answered {
        legs[to]?.isUp = true
        if calls[call]?.party == to { calls[call]?.partyWasUp = true }
      }
      if calls[call]?.party == to { calls[call]?.lastDial = result }
    case .service:
      break
    }
  }

  private func devices(behind relay: LegID) -> [LegID] {
    guard let call = legs[relay]?.call, let members = calls[call]?.legs else { return [] }
    return members.filter { id in
      guard let leg = legs[id], leg.offered != nil, let dialler = leg.dialledBy else { return false }
      return source(from: dialler, passes: relay)
    }
  }

  private func source(from id: LegID, passes relay: LegID) -> Bool {
    var current = id
    for _ in 0..<16 {
      if current == relay || legs[current]?.partner == relay { return true }
      guard let leg = legs[current] else { return false }
      if let dialler = leg.dialledBy {
        current = dialler
      } else if let partner = leg.partner, let dialler = legs[partner]?.dialledBy {
        current = dialler
      } else {
        return false
      }
    }
    return false
  }

  mutating func endOffer(_ id: LegID, _ result: DialResult, cause: Int? = nil) {
    guard let leg = legs[id], let offered = leg.offered, let call = leg.call, let entry = calls[call] else { return }
    legs[id]?.offered = nil
    let device = leg.device.name
    if result == .answered, device != offered {
      // Someone else's telephone took it (pickup).
      closeOffer(offered, in: call, outcome: "lost-race")
      tell(.offerEnded, of: call, device: offered)
      calls[call]?.state.offers.append(
        CallState.Offer(device: device, at: now, ended: now, outcome: "answered"))
      return
    }
    let outcome = self.outcome(of: leg, in: entry, result: result, cause: cause)
    closeOffer(offered, in: call, outcome: outcome)
    if result != .answered { tell(.offerEnded, of: call, device: offered) }
  }

  mutating func closeOffer(_ device: String, in call: String, outcome: String) {
    if let index = calls[call]?.state.offers.lastIndex(where: { $0.device == device && $0.ended == nil }) {
      calls[call]?.state.offers[index].ended = now
      calls[call]?.state.offers[index].outcome = outcome
    }
    closeLeg(device, in: call, [.ringing])
  }

  private func outcome(of leg: Leg, in call: Call, result: DialResult, cause: Int?) -> String {
    if result == .answered { return "answered" }
    switch leg.askedCause ?? 0 {
    case HangupCause.busy: return "busy"
    case HangupCause.rejected: return "declined"
    default: break
    }
    let isCallerGone = call.hangup == .party || call.party.map { legs[$0] == nil } ?? false
    switch result {
    case .answered: return "answered"
    case .busy: return "busy"
    case .congestion, .unavailable: return "unavailable"
    case .noAnswer: return isCallerGone ? "caller-gone" : "ring-no-answer"
    case .cancelled:
      if isCallerGone { return "caller-gone" }
      if cause == HangupCause.answeredElsewhere || wasTaken(call) { return "lost-race" }
      return "ring-no-answer"
    }
  }

  /// True if one of the devices rung at the same time has answered.
  private func wasTaken(_ call: Call) -> Bool {
    guard let open = call.state.offers.last(where: { $0.ended == nil }) else { return false }
    return call.state.offers.contains { offer in
      guard offer.outcome == "answered", let ended = offer.ended else { return false }
      return ended >= open.at
    }
  }

  /// Closes the device's open entry in one of these states.
  mutating func closeLeg(_ device: String, in call: String, _ states: [CallState.Leg.State]) {
    guard
      let index = calls[call]?.state.legs.lastIndex(where: {
        $0.device == device && $0.to == nil && states.contains($0.state)
      })
    else { return }
    calls[call]?.state.legs[index].to = now
  }

  // MARK: Consultation

  /// `by` calls somebody about this call: `target` is popped now, with the customer and the chain.
  mutating func consult(_ call: String, by: LegID, target: LegID, number: String?) {
    guard let consultant = legs[by]?.device.name, let leg = legs[target] else { return }
    let device = leg.device.name
    guard calls[call]?.state.consultations.contains(where: { $0.device == device && $0.ended == nil }) == false else {
      return
    }
    let to = number.flatMap(dialledNumber) ?? leg.device.number
    calls[call]?.state.consultations.append(
      CallState.Consultation(by: consultant, to: to, device: device, at: now))
    calls[call]?.state.legs.append(CallState.Leg(device: device, state: .consult, from: now))
    tell(.consulting, of: call, device: device)
  }

  /// Gives the device of the agent who asked, if there was one to end.
  @discardableResult
  mutating func endConsultation(with device: String, in call: String, all: Bool = false) -> String? {
    guard let consultations = calls[call]?.state.consultations else { return nil }
    var asker: String?
    for index in consultations.indices where consultations[index].ended == nil {
      guard all || consultations[index].device == device else { continue }
      calls[call]?.state.consultations[index].ended = now
      closeLeg(consultations[index].device, in: call, [.consult])
      asker = consultations[index].by
    }
    return asker
  }
}

extension CallBook.Call {
  /// An internal call so far, which now turns out to go outside.
  var isUnconnectedOutside: Bool { state.connected == nil && state.direction == .internal }
}

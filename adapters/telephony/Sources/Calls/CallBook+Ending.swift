import Channels

/// How a call ends, by whom, and what it came to.
extension CallBook {
  mutating func askHangup(_ id: LegID, cause: Int?) {
    guard let leg = legs[id] else { return }
    legs[id]?.hasAskedHangup = true
    if let cause { legs[id]?.askedCause = cause }
    guard let call = leg.call, let entry = calls[call], !leg.isShell else { return }
    let isParty = entry.party == id
    // A telephone that was called and does not want to is no party yet: that is the end of an offer.
    guard leg.origin != .outgoing || leg.isUp, isParty || entry.talking.contains(id) || entry.root == id else { return }
    // The first wish counts, unless who had it has gone and the call went on without him.
    if let earlier = entry.hangupLeg, legs[earlier] != nil { return }
    calls[call]?.hangup = isParty ? .party : .agent
    calls[call]?.hangupLeg = id
  }

  mutating func endLeg(_ id: LegID, cause: Int?) {
    guard let leg = legs[id] else {
      endedLegs.insert(id.text)
      return
    }
    endedLegs.insert(id.text)
    let call = leg.call
    if leg.offered != nil { endOffer(id, dialResult(of: cause), cause: cause) }
    let wasHolding = call.map { calls[$0]?.heldByCommand == id && leg.isHolding } ?? false
    endHold(id)
    for name in names(hearing: id) where calls[name]?.talking.contains(id) == true {
      stopTalking(id, in: name, isEnding: true)
    }
    if wasHolding, let call {
      calls[call]?.heldByCommand = nil
      closeLeg(leg.device.name, in: call, [.held])
      tell(.partyChanged, of: call, device: leg.device.name)
    }
    var asker: String?
    var neighbours: [LegID] = []
    if let bridge = leg.bridge {
      removeMember(id, from: bridge)
      neighbours = bridges[bridge]?.members.first.map { [$0] } ?? []
    }
    if leg.device.kind == .station { forgetStation(leg.device.name, id) }
    if case .relay(let pair, _) = leg.device.kind, lonelyHalves[pair] == id { lonelyHalves[pair] = nil }
    if let partner = leg.partner { legs[partner]?.partner = nil }
    if let call, calls[call] != nil {
      stopRecordings(of: id, in: call)
      calls[call]?.legs.removeAll { $0 == id }
      if calls[call]?.party == id, !leg.isShell {
        calls[call]?.partyCause = cause
        calls[call]?.partyRefused = leg.hasAskedHangup && !leg.isUp
        calls[call]?.partyWasUp = leg.isUp
      }
      if calls[call]?.root == id { calls[call]?.root = nil }
      // The call goes on with others: how it will end is open again.
      if calls[call]?.hangupLeg == id, calls[call]?.hangup == .agent, calls[call]?.talking.isEmpty == false {
        calls[call]?.hangup = nil
        calls[call]?.hangupLeg = nil
      }
      asker = endConsultation(with: leg.device.name, in: call)
    }
    legs[id] = nil
    settle(neighbours)
    guard let call else { return }
    finishIfOver(call)
    // A consultation that is called off gives the customer back before it drops the colleague: nothing else tells that
    // he is free. Otherwise the customer's return does.
    if let asker, calls[call]?.hangup != .party,
      calls[call]?.talking.contains(where: { legs[$0]?.device.name == asker }) == true
    {
      tell(.partyChanged, of: call, device: leg.device.name)
    }
  }

  private func names(hearing id: LegID) -> [String] {
    var names = legs[id]?.call.map { [$0] } ?? []
    for member in component(of: id) {
      if let call = legs[member]?.call, !names.contains(call) { names.append(call) }
    }
    return names
  }

  private mutating func stopRecordings(of id: LegID, in call: String) {
    guard let open = calls[call]?.recordings.removeValue(forKey: id) else { return }
    for index in open { calls[call]?.state.recordings[index].to = now }
  }

  private func dialResult(of cause: Int?) -> DialResult {
    switch cause {
    case HangupCause.busy?: .busy
    case HangupCause.noUserResponse?, HangupCause.noAnswer?, HangupCause.rejected?: .noAnswer
    case HangupCause.subscriberAbsent?, HangupCause.unallocated?, 34?, 38?, 42?: .unavailable
    default: .cancelled
    }
  }

  private mutating func finishIfOver(_ call: String) {
    guard let entry = calls[call] else { return }
    let hasPeople = entry.legs.contains { id in
      guard let leg = legs[id] else { return false }
      return !leg.device.isRelay && !leg.isShell
    }
    if let party = entry.party, legs[party] == nil {
      // The agent of a call he was connected first in may try another way while he is there.
      let mayGoOn = entry.state.connected == nil && entry.root.map { isStation($0) && $0 != party } ?? false
      if !mayGoOn || !hasPeople { finish(call) }
    } else if !hasPeople, !entry.isUnconfirmed || !entry.legs.isEmpty || !isListing {
      finish(call)
    }
  }

  /// Closes the call. `inGap`: nobody saw how it ended.
  mutating func finish(_ call: String, inGap: Bool = false) {
    guard let entry = calls[call] else { return }
    for id in entry.talking { stopTalking(id, in: call, isEnding: true, isTold: false) }
    for id in entry.legs {
      if legs[id]?.offered != nil { endOffer(id, .cancelled) }
      endHold(id)
      stopRecordings(of: id, in: call)
    }
    endConsultation(with: "", in: call, all: true)
    guard var state = calls[call]?.state else { return }
    for index in state.legs.indices where state.legs[index].to == nil { state.legs[index].to = now }
    for index in state.holds.indices where state.holds[index].to == nil { state.holds[index].to = now }
    for index in state.recordings.indices where state.recordings[index].to == nil { state.recordings[index].to = now }
    for index in state.offers.indices where state.offers[index].ended == nil {
      state.offers[index].ended = now
      state.offers[index].outcome = "caller-gone"
    }
    state.ended = now
    state.disposition = disposition(of: entry, inGap: inGap)
    if !inGap {
      switch entry.hangup {
      case .party?: state.endedBy = state.direction == .outbound ? "customer" : "caller"
      case .agent?: state.endedBy = "agent"
      case nil: state.endedBy = "network"
      }
    }
    calls[call] = nil
    for id in entry.legs where legs[id]?.call == call { legs[id]?.call = nil }
    endedCalls.insert(call)
    for name in entry.aliases {
      links[name] = nil
      endedCalls.insert(name)
    }
    for (name, other) in calls where other.consultationOf == call { calls[name]?.consultationOf = "" }
    if entry.isOriginated { remember(job: state) }
    guard entry.isAnnounced else { return }
    if isListing || inGap {
      closedInGap.append(state)
    } else {
      out.append(CallEvent(change: .ended, device: nil, at: now, call: state))
    }
  }

  private func disposition(of call: Call, inGap: Bool) -> String {
    if call.state.connected != nil { return "answered" }
    if inGap { return "unknown" }
    if call.state.direction == .outbound || call.isOriginated { return outboundDisposition(of: call) }
    if call.hangup == .party {
      return call.state.queued != nil || call.partyWasUp ? "abandoned" : "cancelled"
    }
    if let last = call.lastDial, call.state.queued == nil {
      switch last {
      case .busy: return "busy"
      case .congestion: return "congestion"
      case .unavailable: return "unavailable"
      case .answered, .noAnswer, .cancelled: return "no-answer"
      }
    }
    if call.state.queued != nil { return "no-answer" }
    return word(of: call.partyCause, refused: call.partyRefused) ?? "no-answer"
  }

  private func outboundDisposition(of call: Call) -> String {
    if call.machineAnswered { return "machine" }
    if call.partyWasUp { return call.state.queued == nil && call.talking.isEmpty ? "answered" : "abandoned" }
    if call.hangup == .agent { return "cancelled" }
    if let word = word(of: call.partyCause, refused: call.partyRefused) { return word }
    if call.party == nil, let last = call.state.offers.last {
      switch last.outcome {
      case "busy", "declined", "unavailable": return last.outcome ?? "failed"
      default: return "no-answer"
      }
    }
    return call.lastDial == .noAnswer ? "no-answer" : "failed"
  }

  /// What a cause says of a leg that was called; nil if it says nothing. 19 comes both when the switch gave up and
  /// when the far end said it is not available: in the second case the far end asked to hang up (trap 10).
  private func word(of cause: Int?, refused: Bool) -> String? {
    switch cause {
    case HangupCause.busy?: "busy"
    case HangupCause.rejected?: "declined"
    case HangupCause.noAnswer?: refused ? "unavailable" : "no-answer"
    case HangupCause.noUserResponse?, HangupCause.subscriberAbsent?, 3?, 27?, 31?: "unavailable"
    case HangupCause.unallocated?, 28?: "unallocated"
    case 34?, 38?, 41?, 42?, 44?: "congestion"
    default: nil
    }
  }

  // MARK: Orders to originate

  private mutating func remember(job state: CallState) {
    endedJobs[state.callID] = state
    endedJobOrder.append(state.callID)
    if endedJobOrder.count > 256 { endedJobs[endedJobOrder.removeFirst()] = nil }
  }

  /// The order's result; it may come before the hang-up or after it, or be all that ever comes (trap 10).
  mutating func endJob(_ job: String, callID: String?, beginsCall: Bool, succeeded: Bool, reason: String?) {
    if let callID, let call = call(named: callID) {
      if !beginsCall {
        // It is in the call it was rung for; or refused, and its end will be told.
        guard !succeeded, calls[call]?.hasCustomer == false else { return }
        calls[call]?.state.direction = .internal
      }
      calls[call]?.state.job = job
      calls[call]?.state.jobReason = reason
      if succeeded { tell(.partyChanged, of: call) } else { announce(call) }
      return
    }
    var state: CallState
    if let callID, let ended = endedJobs.removeValue(forKey: callID) {
      guard !succeeded || ended.connected != nil else { return }
      state = ended
    } else if !succeeded {
      state = CallState(server: server, callID: callID ?? job, direction: .outbound, created: now)
      state.disposition = "failed"
      state.endedBy = "network"
      state.ended = now
    } else {
      return
    }
    // Told all the same, for whoever gave the order; no customer has part in it.
    if !beginsCall { state.direction = .internal }
    state.job = job
    state.jobReason = reason
    out.append(CallEvent(change: .ended, device: nil, at: now, call: state))
  }
}

import Channels

/// Who talks with whom: bridges, relays through them, holds, and calls that become one by meeting in a bridge.
extension CallBook {
  mutating func enter(_ name: String, _ id: LegID, swapping swapped: LegID?, waiting: Bool) {
    guard let leg = legs[id] else { return }
    var touched = [id]
    if let old = leg.bridge, old != name {
      removeMember(id, from: old)
      if let other = bridges[old]?.members.first { touched.append(other) }
    }
    bridges[name, default: Bridge(waiting: waiting)].waiting = waiting
    if bridges[name]?.members.contains(id) == false { bridges[name]?.members.append(id) }
    legs[id]?.bridge = name
    if let swapped, swapped != id, legs[swapped]?.bridge == name {
      removeMember(swapped, from: name)
      touched.append(swapped)
    }
    settle(touched)
  }

  mutating func leave(_ name: String, _ id: LegID) {
    guard legs[id]?.bridge == name else { return }
    removeMember(id, from: name)
    if legs[id]?.call.flatMap({ calls[$0]?.heldByCommand }) != id { endHold(id) }
    settle([id] + (bridges[name]?.members.first.map { [$0] } ?? []))
  }

  mutating func merge(bridge from: String, into: String) {
    let members = bridges[from]?.members ?? []
    bridges[from] = nil
    for id in members {
      legs[id]?.bridge = into
      if bridges[into, default: Bridge()].members.contains(id) == false { bridges[into]?.members.append(id) }
    }
    settle(members)
  }

  mutating func endBridge(_ name: String) {
    guard let bridge = bridges.removeValue(forKey: name) else { return }
    for id in bridge.members where legs[id]?.bridge == name {
      legs[id]?.bridge = nil
      if legs[id]?.call.flatMap({ calls[$0]?.heldByCommand }) != id { endHold(id) }
    }
    settle(bridge.members)
  }

  mutating func removeMember(_ id: LegID, from name: String) {
    bridges[name]?.members.removeAll { $0 == id }
    if bridges[name]?.members.isEmpty == true { bridges[name] = nil }
    if legs[id]?.bridge == name { legs[id]?.bridge = nil }
  }

  /// Everyone `start` hears, himself first: through bridges, and through relays from one bridge to the next.
  func component(of start: LegID) -> [LegID] {
    var found = [start]
    var seen: Set<LegID> = [start]
    var index = 0
    while index < found.count {
      guard let leg = legs[found[index]] else {
        index += 1
        continue
      }
      if let name = leg.bridge, let bridge = bridges[name], !bridge.waiting {
        for member in bridge.members where seen.insert(member).inserted { found.append(member) }
      }
      if leg.device.isRelay, let partner = leg.partner, seen.insert(partner).inserted { found.append(partner) }
      index += 1
    }
    return found
  }

  /// Brings the calls around these legs in line with the bridges as they are now.
  mutating func settle(_ touched: [LegID]) {
    var names: [String] = []
    for id in touched {
      for member in component(of: id) {
        if let call = legs[member]?.call, !names.contains(call) { names.append(call) }
      }
    }
    for name in names where calls[name] != nil { settle(call: name) }
  }

  private mutating func settle(call: String) {
    guard let entry = calls[call] else { return }
    var present: [LegID] = []
    if let party = entry.party, legs[party] != nil {
      let reached = component(of: party)
      for id in reached {
        guard let other = legs[id]?.call, other != call, let stranger = calls[other] else { continue }
        if entry.hasCustomer ? !stranger.hasCustomer : stranger.consultationOf == call { dissolve(other, into: call) }
      }
      present = reached.filter { id in
        guard id != party, let leg = legs[id], leg.device.kind == .station else { return false }
        return !leg.isShell && !leg.isAside
      }
    }
    for id in calls[call]?.talking ?? [] where !present.contains(id) { stopTalking(id, in: call) }
    for id in present where calls[call]?.talking.contains(id) == false { startTalking(id, in: call) }
  }

  private mutating func startTalking(_ id: LegID, in call: String) {
    guard let device = legs[id]?.device.name else { return }
    if calls[call]?.heldByCommand == id, legs[id]?.isHolding == true {
      calls[call]?.heldByCommand = nil
      calls[call]?.talking.append(id)
      return resume(id)
    }
    if legs[id]?.offered != nil, legs[id]?.call == call { endOffer(id, .answered) }
    let others = (calls[call]?.talking ?? []).contains { legs[$0].map { $0.device.name != device } ?? false }
    calls[call]?.talking.append(id)
    closeLeg(device, in: call, [.ringing])
    endConsultation(with: device, in: call)
    if calls[call]?.state.connected == nil { calls[call]?.state.connected = now }
    let isOpen = calls[call]?.state.legs.contains {
      $0.device == device && $0.to == nil && ($0.state == .talking || $0.state == .held || $0.state == .conference)
    }
    if isOpen != true {
      calls[call]?.state.legs.append(
        CallState.Leg(device: device, state: others ? .conference : .talking, from: now))
    }
    tell(others ? .conferenced : .answered, of: call, device: device)
  }

  /// `isEnding`: the leg itself is gone, or the call, which tells it itself.
  mutating func stopTalking(_ id: LegID, in call: String, isEnding: Bool = false, isTold: Bool = true) {
    calls[call]?.talking.removeAll { $0 == id }
    if calls[call]?.heldByCommand == id, !isEnding, calls[call]?.hangup == nil, let device = legs[id]?.device.name {
      guard legs[id]?.isHolding == false else { return }
      legs[id]?.isHolding = true
      calls[call]?.state.holds.append(CallState.Hold(by: "agent", from: now))
      change(device, in: call, from: [.talking, .conference], to: .held)
      return tell(.held, of: call, device: device)
    }
    endHold(id)
    guard let device = legs[id]?.device.name else { return }
    let isElsewhere = (calls[call]?.talking ?? []).contains { legs[$0]?.device.name == device }
    if !isElsewhere { closeLeg(device, in: call, [.talking, .held, .conference]) }
    // Who asks to hang up ends the call, as a rule: that is told as its end. Of several agents one may leave the others.
    let goesOn = calls[call]?.hangup == .agent && calls[call]?.talking.isEmpty == false && !isElsewhere
    if isTold, calls[call]?.hangup == nil || goesOn { tell(.partyChanged, of: call, device: device) }
  }

  // MARK: Hold

  /// Held by its own end. Holds do not pair on the wire: the second is ignored, and leaving the bridge or hanging
  /// up ends it as well as a resume does (trap 6).
  mutating func hold(_ id: LegID) {
    guard let leg = legs[id], !leg.isHolding, let call = leg.call, let entry = calls[call] else { return }
    guard entry.party == id || entry.talking.contains(id) else { return }
    legs[id]?.isHolding = true
    let isParty = entry.party == id
    calls[call]?.state.holds.append(CallState.Hold(by: isParty ? "caller" : "agent", from: now))
    if !isParty { change(leg.device.name, in: call, from: [.talking, .conference], to: .held) }
    tell(.held, of: call, device: isParty ? nil : leg.device.name)
  }

  mutating func resume(_ id: LegID) {
    guard legs[id]?.isHolding == true, let call = legs[id]?.call else { return }
    let device = legs[id]?.device.name ?? ""
    let isParty = calls[call]?.party == id
    endHold(id)
    if !isParty { change(device, in: call, from: [.held], to: .talking) }
    tell(.resumed, of: call, device: isParty ? nil : device)
  }

  mutating func endHold(_ id: LegID) {
    guard legs[id]?.isHolding == true, let call = legs[id]?.call else { return }
    legs[id]?.isHolding = false
    let by = calls[call]?.party == id ? "caller" : "agent"
    if let index = calls[call]?.state.holds.lastIndex(where: { $0.by == by && $0.to == nil }) {
      calls[call]?.state.holds[index].to = now
    }
  }

  private mutating func change(
    _ device: String, in call: String, from states: [CallState.Leg.State], to state: CallState.Leg.State
  ) {
    let count = calls[call]?.state.legs.count
    closeLeg(device, in: call, states)
    guard count != nil else { return }
    calls[call]?.state.legs.append(CallState.Leg(device: device, state: state, from: now))
  }

  // MARK: Calls that become one

  /// `other` was about `call` all along: its legs belong there, and its name means it from now on.
  mutating func dissolve(_ other: String, into call: String) {
    guard other != call, let gone = calls[other], calls[call] != nil else { return }
    for id in gone.legs { add(id, to: call) }
    calls[other] = nil
    for name in gone.aliases + [other] {
      links[name] = call
      calls[call]?.aliases.append(name)
    }
    for (name, entry) in calls where entry.consultationOf == other { calls[name]?.consultationOf = call }
    if calls[call]?.state.customerNo == nil, let number = gone.state.customerNo {
      calls[call]?.state.customerNo = number
    }
    for recording in gone.state.recordings { calls[call]?.state.recordings.append(recording) }
    if gone.isAnnounced {
      var state = gone.state
      state.disposition = "merged"
      state.mergedInto = call
      state.ended = now
      if isListing {
        closedInGap.append(state)
      } else {
        out.append(CallEvent(change: .ended, device: nil, at: now, call: state))
      }
    }
  }
}

import Channels

/// What to make of a list of what exists: after a start, and after every loss of the connection.
extension CallBook {
  /// Calls an earlier run knew, to be confirmed or closed by the next list.
  public mutating func restore(_ states: [CallState]) {
    for state in states where state.ended == nil && calls[state.callID] == nil {
      var call = Call(state: state)
      call.isAnnounced = true
      call.isUnconfirmed = true
      call.hasCustomer = state.direction != .internal
      calls[state.callID] = call
    }
  }

  mutating func beginListing() {
    isListing = true
    listing += 1
  }

  mutating func endListing() {
    guard isListing else { return }
    for id in legs.values.filter({ $0.snapshot < listing }).map(\.id) { dropUnlisted(id) }
    for (name, entry) in calls where entry.isUnconfirmed && entry.legs.isEmpty { finish(name, inGap: true) }
    isListing = false
    for name in calls.keys.sorted() { confirm(name) }
    for state in closedInGap { out.append(CallEvent(change: .reconciled, device: nil, at: now, call: state)) }
    closedInGap.removeAll()
  }

  /// A leg that ended while nobody looked takes its call with it if it was the customer's, or the last.
  private mutating func dropUnlisted(_ id: LegID) {
    guard let call = legs[id]?.call, let entry = calls[call] else { return endLeg(id, cause: nil) }
    let others = entry.legs.contains {
      $0 != id && legs[$0].map { $0.snapshot == listing && !$0.device.isRelay } ?? false
    }
    if entry.party == id || !others { finish(call, inGap: true) }
    endLeg(id, cause: nil)
  }

  private mutating func confirm(_ name: String) {
    guard let entry = calls[name] else { return }
    if entry.party.map({ legs[$0] == nil }) ?? true {
      // The leg that started it is gone; whoever is there from outside is the customer.
      if let outside = entry.legs.first(where: { legs[$0]?.device.kind == .trunk }), let leg = legs[outside] {
        calls[name]?.party = outside
        calls[name]?.hasCustomer = true
        if !entry.isAnnounced {
          calls[name]?.state.direction = leg.dialled == nil ? .outbound : .inbound
          let (caller, dialled) = (leg.number.map(numbering.caller), leg.dialled.map(numbering.caller))
          calls[name]?.state.caller = caller
          calls[name]?.state.dialled = dialled
        }
        settle([outside])
      }
    }
    guard calls[name]?.hasCustomer == true else { return }
    calls[name]?.isUnconfirmed = false
    calls[name]?.isAnnounced = true
    closeVanished(name)
    tell(.reconciled, of: name)
  }

  /// Offers, legs and holds that were open before and are no more.
  private mutating func closeVanished(_ name: String) {
    guard let entry = calls[name] else { return }
    let rung = Set(entry.legs.compactMap { legs[$0]?.offered })
    let talking = Set((entry.talking + [entry.heldByCommand].compactMap(\.self)).compactMap { legs[$0]?.device.name })
    for (index, offer) in entry.state.offers.enumerated() where offer.ended == nil && !rung.contains(offer.device) {
      calls[name]?.state.offers[index].ended = now
      calls[name]?.state.offers[index].outcome = talking.contains(offer.device) ? "answered" : "ring-no-answer"
    }
    for (index, leg) in entry.state.legs.enumerated() where leg.to == nil {
      let lives = leg.state == .ringing ? rung.contains(leg.device) : talking.contains(leg.device)
      if !lives, leg.state != .consult { calls[name]?.state.legs[index].to = now }
    }
  }

  /// The switch was started anew: nothing of what it carried exists any more.
  mutating func closeAll() {
    for name in calls.keys.sorted() { finish(name, inGap: true) }
    legs.removeAll()
    bridges.removeAll()
    links.removeAll()
    stationLegs.removeAll()
    lonelyHalves.removeAll()
    for state in closedInGap { out.append(CallEvent(change: .reconciled, device: nil, at: now, call: state)) }
    closedInGap.removeAll()
    isListing = false
  }
}

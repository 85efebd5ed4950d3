import Channels

/// How a call passes from one agent to the next.
extension CallBook {
  mutating func transferBlind(by: LegID, of transferee: LegID?, to number: String) {
    guard let call = transferee.flatMap({ legs[$0]?.call }) ?? legs[by]?.call, calls[call] != nil else { return }
    guard let device = station(at: by) else { return }
    calls[call]?.state.transfers.append(CallState.Transfer(type: "blind", by: device, to: number, at: now))
    tell(.transferred, of: call, device: device)
  }

  /// Comes after the switch has moved the legs: the calls may have become one already.
  mutating func transferAttended(_ facts: AttendedTransferFacts) {
    var candidates: [String] = []
    for id in [facts.transferee, facts.first, facts.second, facts.target] {
      if let id, let call = legs[id]?.call, calls[call] != nil, !candidates.contains(call) { candidates.append(call) }
    }
    guard let main = candidates.first(where: { calls[$0]?.hasCustomer == true }) ?? candidates.first else { return }
    let by = station(at: facts.first) ?? facts.second.flatMap { station(at: $0) } ?? facts.first.text
    for other in candidates where other != main { dissolve(other, into: main) }
    let consultation = calls[main]?.state.consultations.last { $0.by == by }
    let behind = facts.target.flatMap { legs[$0] }.flatMap { $0.device.kind == .trunk ? nil : $0.device.number }
    let to = consultation?.to ?? behind ?? facts.targetNumber ?? ""
    for index in (calls[main]?.state.consultations ?? []).indices {
      guard let open = calls[main]?.state.consultations[index], open.by == by, open.ended == nil else { continue }
      endConsultation(with: open.device, in: main)
    }
    calls[main]?.state.transfers.append(CallState.Transfer(type: "attended", by: by, to: to, at: now))
    tell(.transferred, of: main, device: by)
    settle([facts.transferee, facts.target].compactMap { $0 })
  }

  mutating func pickUp(by: LegID, target: LegID) {
    guard let call = legs[target]?.call, let other = legs[by]?.call, calls[call] != nil else { return }
    if other != call, calls[other]?.hasCustomer == false { dissolve(other, into: call) }
    // The telephone that rang is told that another one took the call, before that one is told it has it.
    if let rung = legs[target]?.offered {
      legs[target]?.offered = nil
      legs[target]?.dialEnded = true
      closeOffer(rung, in: call, outcome: "lost-race")
      tell(.offerEnded, of: call, device: rung)
    }
    if isStation(by), legs[by]?.call == call {
      legs[by]?.dialEnded = false
      startOffer(by, in: call)
    }
  }

  mutating func park(_ id: LegID) {
    guard let call = legs[id]?.call else { return }
    tell(.parked, of: call)
  }

  mutating func unpark(_ id: LegID, by: LegID?) {
    guard let call = legs[id]?.call else { return }
    if let by, let other = legs[by]?.call, other != call, calls[other]?.hasCustomer == false {
      dissolve(other, into: call)
    }
    settle([id])
  }

  /// A leg the switch called into a conference by order is nobody's call until the customer is there too.
  mutating func joinConference(_ id: LegID) { settle([id]) }

  /// The device of an agent's leg, also where a relay stands for it.
  func station(at id: LegID) -> String? {
    guard let leg = legs[id] else { return nil }
    if leg.device.kind == .station { return leg.device.name }
    guard leg.device.isRelay else { return nil }
    if let behind = component(of: id).first(where: { $0 != id && isStation($0) && legs[$0]?.call == leg.call }) {
      return legs[behind]?.device.name
    }
    return leg.behind ?? leg.device.name
  }
}

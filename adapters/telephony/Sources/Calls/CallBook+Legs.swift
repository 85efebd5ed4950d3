import Channels

/// How legs come, which call they belong to, and what they tell about the customer.
extension CallBook {
  mutating func note(_ facts: LegFacts) {
    if facts.device.kind == .service { return }
    if legs[facts.id] != nil {
      update(facts)
    } else if !endedLegs.contains(facts.id.text), legs.count < limits.legs {
      create(facts)
    }
  }

  private mutating func create(_ facts: LegFacts) {
    let id = facts.id
    let isListed = isListing && facts.origin == nil
    var leg = Leg(
      id: id, device: facts.device, origin: facts.origin, isUp: facts.isUp, number: facts.number,
      dialled: facts.dialled, born: facts.since ?? now)
    leg.snapshot = listing
    legs[id] = leg
    if case .relay(let pair, _) = facts.device.kind {
      if let other = lonelyHalves.removeValue(forKey: pair) {
        join(id, other)
      } else {
        lonelyHalves[pair] = id
      }
    }
    if facts.device.kind == .station { stationLegs[facts.device.name, default: []].append(id) }

    if let call = call(named: facts.conversation) {
      add(id, to: call)
      if facts.conversation == id.text { becomeRoot(id, of: call, facts) }
    } else if endedCalls.contains(facts.conversation) {
      return
    } else {
      let state = CallState(
        server: server, callID: facts.conversation, direction: .internal, isFromSnapshot: isListed,
        created: facts.since ?? now)
      calls[facts.conversation] = Call(state: state)
      add(id, to: facts.conversation)
      if facts.conversation == id.text { becomeRoot(id, of: facts.conversation, facts) }
    }
    guard let call = legs[id]?.call else { return }
    if isListed { placeListed(id, in: call, facts) }
  }

  /// Takes the leg that started the call for what it is: a customer calling in, an agent dialling, an order carried
  /// out by the switch.
  private mutating func becomeRoot(_ id: LegID, of call: String, _ facts: LegFacts) {
    calls[call]?.root = id
    calls[call]?.state.created = facts.since ?? now
    let isIncoming = facts.origin == .incoming || facts.origin == nil && facts.dialled != nil
    if !isIncoming { calls[call]?.isOriginated = true }
    switch (facts.device.kind, isIncoming) {
    case (.trunk, true):
      calls[call]?.party = id
      calls[call]?.hasCustomer = true
      calls[call]?.state.direction = .inbound
      let (caller, dialled) = (facts.number.map(numbering.caller), facts.dialled.map(numbering.caller))
      calls[call]?.state.caller = caller
      calls[call]?.state.callerName = facts.name
      calls[call]?.state.dialled = dialled
      announce(call)
    case (.trunk, false):
      calls[call]?.party = id
      calls[call]?.hasCustomer = true
      calls[call]?.state.direction = .outbound
      if isListing { announce(call) }
    case (.station, true):
      calls[call]?.party = id
      calls[call]?.state.direction = .internal
      calls[call]?.state.caller = Address(phone: facts.number ?? facts.device.number)
      calls[call]?.state.callerName = facts.name
      calls[call]?.state.dialled = facts.dialled.map(Address.init(phone:))
      let other = otherCall(of: facts.device.name, than: call)
      calls[call]?.consultationOf = other
    case (.station, false), (.relay, _), (.service, _):
      calls[call]?.state.direction = .outbound
    }
  }

  /// A leg found in a list: what it does is not told by events any more.
  private mutating func placeListed(_ id: LegID, in call: String, _ facts: LegFacts) {
    if facts.device.kind == .station, calls[call]?.root != id, facts.isRinging { startOffer(id, in: call) }
    calls[call]?.isStale = true
  }

  private mutating func update(_ facts: LegFacts) {
    let id = facts.id
    legs[id]?.snapshot = listing
    if legs[id]?.device != facts.device {
      if let old = legs[id]?.device, old.kind == .station { forgetStation(old.name, id) }
      legs[id]?.device = facts.device
      if facts.device.kind == .station { stationLegs[facts.device.name, default: []].append(id) }
    }
    if legs[id]?.number == nil { legs[id]?.number = facts.number }
    let cameUp = facts.isUp && legs[id]?.isUp == false
    if facts.isUp { legs[id]?.isUp = true }
    guard let call = legs[id]?.call else { return }
    calls[call]?.isUnconfirmed = false
    if calls[call]?.party == id {
      if cameUp { calls[call]?.partyWasUp = true }
      fillParty(call, number: facts.number, name: facts.name)
      if cameUp, calls[call]?.state.direction == .outbound { announce(call) }
    }
  }

  /// The caller's number and name, once: later ones are a dial plan's or the previous agent's (trap 4).
  private mutating func fillParty(_ call: String, number: String?, name: String?) {
    guard calls[call]?.state.direction == .inbound else { return }
    var changed = false
    if calls[call]?.state.caller == nil, let number {
      let caller = numbering.caller(number)
      calls[call]?.state.caller = caller
      changed = true
    }
    if calls[call]?.state.callerName == nil, let name {
      calls[call]?.state.callerName = name
      changed = true
    }
    if changed { tell(.partyChanged, of: call) }
  }

  mutating func joinRelay(_ one: LegID, _ two: LegID) {
    guard legs[one] != nil, legs[two] != nil else { return }
    join(one, two)
    settle([one, two])
  }

  private mutating func join(_ one: LegID, _ two: LegID) {
    legs[one]?.partner = two
    legs[two]?.partner = one
  }

  /// `leg` continues what `from` was: after a masquerade the switch's identity of `leg` carries `from`'s line.
  mutating func replace(_ from: LegID, by leg: LegID) {
    guard let old = legs[from], let new = legs[leg], from != leg else { return }
    if new.device.kind == .station { forgetStation(new.device.name, leg) }
    if old.device.kind == .station {
      forgetStation(old.device.name, from)
      stationLegs[old.device.name, default: []].append(leg)
    }
    legs[leg]?.device = old.device
    legs[leg]?.number = old.number
    legs[leg]?.isUp = old.isUp
    legs[leg]?.hasAskedHangup = false
    legs[leg]?.askedCause = nil
    legs[from]?.isShell = true
    if let call = old.call, calls[call]?.party == from {
      if new.call != call { add(leg, to: call) }
      calls[call]?.party = leg
      if calls[call]?.root == from { calls[call]?.root = leg }
    }
    if let call = old.call, let open = calls[call]?.recordings.removeValue(forKey: from) {
      calls[call]?.recordings[leg, default: []] += open
    }
    settle([from, leg])
  }

  mutating func setAside(_ id: LegID) {
    guard let call = legs[id]?.call else { return }
    legs[id]?.isAside = true
    // A call of its own around it is nobody's business.
    if calls[call]?.root == id, calls[call]?.hasCustomer == false {
      for member in calls[call]?.legs ?? [] { legs[member]?.call = nil }
      endedCalls.insert(call)
      calls[call] = nil
    }
  }

  mutating func add(_ id: LegID, to call: String) {
    if let old = legs[id]?.call, old != call { calls[old]?.legs.removeAll { $0 == id } }
    legs[id]?.call = call
    if calls[call]?.legs.contains(id) == false { calls[call]?.legs.append(id) }
  }

  /// The living call the switch means by this name.
  func call(named name: String) -> String? {
    if calls[name] != nil { return name }
    if let other = links[name], calls[other] != nil { return other }
    if let leg = legs[LegID(name)], let call = leg.call, calls[call] != nil { return call }
    return nil
  }

  /// The call in which this device is talking, other than `call`.
  private func otherCall(of device: String, than call: String) -> String? {
    for id in (stationLegs[device] ?? []).reversed() {
      guard let leg = legs[id], let other = leg.call, other != call, !leg.isShell, !leg.isAside else { continue }
      guard let entry = calls[other], entry.consultationOf == nil else { continue }
      if entry.talking.contains(id) || entry.party == id && !entry.talking.isEmpty { return other }
    }
    return nil
  }

  func isStation(_ id: LegID) -> Bool { legs[id]?.device.kind == .station }

  mutating func forgetStation(_ name: String, _ id: LegID) {
    stationLegs[name]?.removeAll { $0 == id }
    if stationLegs[name]?.isEmpty == true { stationLegs[name] = nil }
  }

  // MARK: The customer

  mutating func identify(_ id: LegID, _ number: String) {
    guard !number.isEmpty, let call = legs[id]?.call, let entry = calls[call] else { return }
    guard entry.state.customerNo != number else { return }
    guard entry.state.customerNo == nil || entry.party == id || entry.root == id else { return }
    calls[call]?.state.customerNo = number
    tell(.identified, of: call)
  }

  mutating func noteDialled(_ id: LegID, _ number: String) {
    guard !number.isEmpty, let call = legs[id]?.call, let entry = calls[call] else { return }
    guard entry.state.direction == .inbound, entry.state.dialled?.raw != number else { return }
    let dialled = numbering.caller(number)
    calls[call]?.state.dialled = dialled
    tell(.partyChanged, of: call)
  }

  mutating func noteVariable(_ id: LegID, _ name: String, _ value: String) {
    guard let call = legs[id]?.call, let entry = calls[call] else { return }
    if name == "AMDSTATUS", value == "MACHINE" { calls[call]?.machineAnswered = true }
    if let index = entry.state.variables.firstIndex(where: { $0.key == name }) {
      calls[call]?.state.variables[index].value = value
    } else if entry.state.variables.count < 32 {
      calls[call]?.state.variables.append(InboundMessage.Property(name, value))
    }
  }

  mutating func joinQueue(_ id: LegID, _ queue: String) {
    guard let call = legs[id]?.call, calls[call] != nil else { return }
    calls[call]?.state.queue = queue
    if calls[call]?.state.queued == nil { calls[call]?.state.queued = now }
    tell(.queued, of: call)
  }

  mutating func noteQueue(_ id: LegID, _ queue: String) {
    guard let call = legs[id]?.call, calls[call]?.state.queue == nil else { return }
    calls[call]?.state.queue = queue
  }

  // MARK: Recording

  mutating func startRecording(_ id: LegID, _ reference: String?) {
    guard let call = legs[id]?.call, let entry = calls[call] else { return }
    let number = entry.state.recordings.count
    calls[call]?.state.recordings.append(
      CallState.Recording(reference: reference ?? "\(entry.state.callID)/\(number + 1)", from: now))
    calls[call]?.recordings[id, default: []].append(number)
    tell(.recordingChanged, of: call)
  }

  mutating func stopRecording(_ id: LegID) {
    guard let call = legs[id]?.call, let open = calls[call]?.recordings.removeValue(forKey: id) else { return }
    for index in open { calls[call]?.state.recordings[index].to = now }
    tell(.recordingChanged, of: call)
  }

  mutating func muteRecording(_ id: LegID, _ muted: Bool) {
    guard let call = legs[id]?.call, let open = calls[call]?.recordings[id] else { return }
    for index in open { calls[call]?.state.recordings[index].muted = muted }
    tell(.recordingChanged, of: call)
  }
}

extension NumberPlan {
  /// A number of the public network: E.164 where it has that form, else as it is shown.
  func caller(_ text: String) -> Address {
    e164(text).map { Address(kind: .phone, canonical: $0, raw: text) } ?? Address(phone: text)
  }
}

extension Address {
  /// A telephone number as the switch shows it; what is no number is kept as it is.
  init(phone: String) {
    let digits = phone.filter { $0 != " " && $0 != "-" && $0 != "(" && $0 != ")" && $0 != "/" }
    let body = digits.hasPrefix("+") ? digits.dropFirst() : digits[...]
    let isNumber = !body.isEmpty && body.allSatisfy { $0.isASCII && $0.isNumber }
    self.init(kind: .phone, canonical: isNumber ? digits : phone, raw: phone)
  }
}

import Foundation
import Synchronization

/// Calls that obey orders: what `AsteriskStandIn` does when it is told to originate, transfer, hold or hang up, with the
/// events and in the order in which an Asterisk 22 tells them.
///
/// Telephones answer at once. Of numbers called, those that end in 17 are busy and those in 19 do not answer.
public final class StandInSwitchboard: Sendable {
  private struct Leg: Sendable {
    var channel: String
    var uniqueid: String
    var call: String
    var number: String
    var name = "<unknown>"
    var context: String
    var exten: String
    var state = 6
    var bridge: String?
    var customerNo: String?
  }
  private struct Member: Hashable, Sendable {
    var queue: String
    var device: String
  }
  private struct State {
    var legs: [String: Leg] = [:]
    /// Far from the numbers of `StandInCalls`, which may live on the same stand-in.
    var next = 100_000
    /// Whether each member is paused.
    var members: [Member: Bool] = [:]
    /// By the agent's leg: the colleague he asks, and the bridge in which the customer waits.
    var consultations: [String: Consultation] = [:]
    /// Bridges of conferences, by the name of the room.
    var rooms: [String: String] = [:]
  }
  private struct Consultation: Sendable {
    var colleague: String
    var bridge: String
  }
  private let standIn: AsteriskStandIn
  /// Customers who were called hang up after so long; nil: never by themselves.
  private let talk: Duration?
  private let state = Mutex(State())

  public init(_ standIn: AsteriskStandIn, talk: Duration? = nil) {
    self.standIn = standIn
    self.talk = talk
    standIn.obey(self)
  }

  // MARK: What happens by itself

  /// A caller reaches a queue and is connected with a telephone; gives the call's name.
  @discardableResult
  public func incoming(
    from number: String, to did: String, queue: String, answeredBy device: String, customerNo: String? = nil
  ) -> String {
    var caller = make("PJSIP/trunk", number: number, context: "from-trunk", exten: did)
    caller.state = 4
    caller.customerNo = customerNo
    keep(caller)
    tell("Newchannel", caller)
    caller.state = 6
    keep(caller)
    tell("Newstate", caller)
    if let customerNo {
      tell("UserEvent", caller, [("UserEvent", "CustomerIdentified"), ("CustomerNo", customerNo)])
    }
    tell("QueueCallerJoin", caller, [("Queue", queue), ("Position", "1"), ("Count", "1")])
    let agent = dial(device, for: caller)
    tell("QueueCallerLeave", caller, [("Queue", queue), ("Position", "1"), ("Count", "0")])
    tell(
      "AgentConnect", caller,
      dest(agent) + [("Queue", queue), ("Interface", device), ("HoldTime", "1"), ("RingTime", "1")])
    connect([agent, caller])
    member(Member(queue: queue, device: device), status: 2)
    return caller.uniqueid
  }

  /// A caller reaches a queue and rings a telephone that waits to be answered; gives the call's name.
  @discardableResult
  public func ringing(from number: String, to did: String, queue: String, at device: String) -> String {
    var caller = make("PJSIP/trunk", number: number, context: "from-trunk", exten: did)
    caller.state = 4
    keep(caller)
    tell("Newchannel", caller)
    caller.state = 6
    keep(caller)
    tell("Newstate", caller)
    tell("QueueCallerJoin", caller, [("Queue", queue), ("Position", "1"), ("Count", "1")])
    var agent = make(
      device, number: String(device.split(separator: "/").last ?? ""), context: "from-agents", exten: "s",
      call: caller.uniqueid)
    ring(&agent, for: caller, answers: false)
    return caller.uniqueid
  }

  /// An agent hangs up at his telephone: the customer goes to the colleague he was asking, else the call ends.
  public func hangUpAtTelephone(_ device: String, in call: String) {
    let mine = legs(of: call).first { $0.channel.hasPrefix("\(device)-") }
    guard let agent = mine else { return }
    guard let asked = state.withLock({ $0.consultations.removeValue(forKey: agent.uniqueid) }),
      let colleague = leg(asked.colleague), let party = legs(of: call).first(where: { $0.uniqueid == call })
    else { return leaveOthers(agent, asked: agent) }
    tell("HangupRequest", agent)
    leave([agent, colleague])
    enter(asked.bridge, colleague)
    tell(
      "AttendedTransfer", nil,
      [("Result", "Success")] + prefixed("OrigTransferer", agent) + prefixed("SecondTransferer", agent)
        + prefixed("Transferee", party) + prefixed("TransferTarget", colleague) + [("DestType", "Bridge")])
    remove(agent)
  }

  /// The caller hangs up.
  public func hangUp(_ call: String) { end(call, asked: legs(of: call).first { $0.uniqueid == call }) }

  /// What the switch says of a member, as after a feature code at the telephone.
  public func pauseAtTelephone(_ device: String, queue: String, _ paused: Bool, reason: String = "") {
    pause(Member(queue: queue, device: device), paused, reason)
  }

  // MARK: Orders

  func refusal(of action: String, _ headers: [String: String]) -> String? {
    switch action {
    case "QueueAdd":
      return isMember(headers) ? "Unable to add interface: Already there" : nil
    case "QueueRemove":
      return isMember(headers) ? nil : "Unable to remove interface: Not there"
    case "QueuePause":
      let device = headers["Interface"] ?? ""
      return state.withLock { $0.members.keys.contains { $0.device == device } } ? nil : "Interface not found"
    case "BlindTransfer", "Atxfer", "Hangup", "Park", "MixMonitor", "StopMixMonitor", "MixMonitorMute", "Redirect",
      "PJSIPNotify":
      return leg(headers["Channel"]) == nil ? "No such channel" : nil
    case "CancelAtxfer":
      let isAsking = state.withLock { $0.consultations[headers["Channel"] ?? ""] != nil }
      return isAsking ? nil : "No attended transfer is in progress"
    default: return nil
    }
  }

  func carryOut(_ action: String, _ headers: [String: String]) {
    let value = { (name: String) in headers[name] ?? "" }
    switch action {
    case "Originate": originate(headers)
    case "BlindTransfer":
      guard let agent = leg(headers["Channel"]),
        let party = legs(of: agent.call).first(where: { $0.uniqueid != agent.uniqueid })
      else { return }
      tell(
        "BlindTransfer", nil,
        [("Result", "Success")] + prefixed("Transferer", agent) + prefixed("Transferee", party)
          + [("IsExternal", "Yes"), ("Context", value("Context")), ("Extension", value("Exten"))])
      leave([agent, party])
      remove(agent)
      connect([dial("PJSIP/\(value("Exten"))", for: party), party])
    case "Hangup":
      if let leg = leg(headers["Channel"]) { leaveOthers(leg, asked: nil) }
    case "Atxfer": if let agent = leg(headers["Channel"]) { consult(agent, value("Exten")) }
    case "CancelAtxfer": if let agent = leg(headers["Channel"]) { takeBack(agent) }
    case "PJSIPNotify":
      if value("Variable") == "Event=talk", let agent = leg(headers["Channel"]), agent.state == 5 { answer(agent) }
    case "Redirect":
      let moved = [leg(headers["Channel"]), leg(headers["ExtraChannel"])].compactMap(\.self)
      leave(moved)
      guard value("Context") == "liaison-conference" else { return }
      for leg in moved { join(value("Exten"), leg) }
    case "Bridge":
      connect([leg(headers["Channel2"]), leg(headers["Channel1"])].compactMap(\.self))
    case "Park":
      guard let party = leg(headers["Channel"]) else { return }
      leave(legs(of: party.call))
      tell("ParkedCall", nil, prefixed("Parkee", party) + [("ParkingSpace", "701"), ("Parkinglot", "default")])
    case "MixMonitor":
      guard let party = leg(headers["Channel"]) else { return }
      tell("VarSet", party, [("Variable", "MIXMONITOR_FILENAME"), ("Value", value("File"))])
      tell("MixMonitorStart", party)
    case "MixMonitorMute":
      guard let party = leg(headers["Channel"]) else { return }
      tell("MixMonitorMute", party, [("Direction", value("Direction")), ("State", value("State"))])
    case "StopMixMonitor": if let party = leg(headers["Channel"]) { tell("MixMonitorStop", party) }
    case "QueueAdd", "QueueRemove":
      let member = Member(queue: value("Queue"), device: value("Interface"))
      let isNew = action == "QueueAdd"
      state.withLock { $0.members[member] = isNew ? false : nil }
      tell(isNew ? "QueueMemberAdded" : "QueueMemberRemoved", nil, facts(member, status: 1, paused: false, reason: ""))
    case "QueuePause":
      let members = state.withLock { state in
        state.members.keys.filter { $0.device == value("Interface") && (headers["Queue"] ?? $0.queue) == $0.queue }
      }
      for member in members { pause(member, value("Paused") == "true", value("Reason")) }
    default: break
    }
  }

  private func originate(_ headers: [String: String]) {
    let device = headers["Channel"] ?? ""
    let number = headers["Exten"] ?? ""
    var agent = make(
      device, number: headers["Application"] == nil ? number : "", context: headers["Context"] ?? "", exten: "s",
      uniqueid: headers["ChannelId"])
    if let variable = headers["Variable"], variable.hasPrefix("__CUSTOMER_NO=") {
      agent.customerNo = String(variable.dropFirst("__CUSTOMER_NO=".count))
    }
    ring(&agent, for: nil)
    tell(
      "OriginateResponse", nil,
      [
        ("ActionID", headers["ActionID"] ?? ""), ("Response", "Success"), ("Channel", agent.channel),
        ("Context", agent.context), ("Exten", number), ("Reason", "4"), ("Uniqueid", agent.uniqueid),
        ("CallerIDNum", number),
      ])
    guard headers["Application"] == nil else { return }
    if agent.context == "liaison-conference" { return join(number, agent) }
    var customer = make(
      "PJSIP/trunk", number: number, context: "from-trunk", exten: number, call: agent.uniqueid,
      uniqueid: headers["OtherChannelId"])
    customer.state = 0
    keep(customer)
    tell("Newchannel", customer)
    tell("DialBegin", agent, dest(customer) + [("DialString", number)])
    if number.hasSuffix("17") || number.hasSuffix("19") {
      let isBusy = number.hasSuffix("17")
      tell("DialEnd", agent, dest(customer) + [("DialStatus", isBusy ? "BUSY" : "NOANSWER")])
      remove(customer, cause: isBusy ? 17 : 19)
      return remove(agent, cause: isBusy ? 17 : 19)
    }
    customer.state = 6
    keep(customer)
    tell("Newstate", customer)
    tell("DialEnd", agent, dest(customer) + [("DialStatus", "ANSWER")])
    connect([customer, agent])
    guard let talk else { return }
    // Ends by itself; a customer hangs up whether anybody listens or not.
    Task { [self] in
      try? await Task.sleep(for: talk)
      end(agent.uniqueid, asked: leg(customer.uniqueid))
    }
  }

  // MARK: Calls

  private func dial(_ device: String, for party: Leg) -> Leg {
    var agent = make(
      device, number: String(device.split(separator: "/").last ?? ""), context: "from-agents", exten: "s",
      call: party.call)
    ring(&agent, for: party)
    return agent
  }

  private func ring(_ leg: inout Leg, for party: Leg?, answers: Bool = true) {
    leg.state = 0
    keep(leg)
    tell("Newchannel", leg)
    tell("DialBegin", party, dest(leg) + [("DialString", leg.number)])
    leg.state = 5
    keep(leg)
    tell("Newstate", leg)
    guard answers else { return }
    leg.state = 6
    keep(leg)
    tell("Newstate", leg)
    tell("DialEnd", party, dest(leg) + [("DialStatus", "ANSWER")])
  }

  /// A telephone that rang was told to answer.
  private func answer(_ ringing: Leg) {
    guard let party = legs(of: ringing.call).first(where: { $0.uniqueid == ringing.call }) else { return }
    var agent = ringing
    agent.state = 6
    keep(agent)
    tell("Newstate", agent)
    tell("DialEnd", party, dest(agent) + [("DialStatus", "ANSWER")])
    connect([agent, party])
  }

  /// The customer waits in his bridge while the agent talks to a colleague in another.
  private func consult(_ agent: Leg, _ number: String) {
    guard let bridge = agent.bridge else { return }
    tell("Hold", agent)
    leave([agent])
    var colleague = make(
      "PJSIP/\(number)", number: number, context: "from-agents", exten: "s", call: agent.call)
    state.withLock { $0.consultations[agent.uniqueid] = Consultation(colleague: colleague.uniqueid, bridge: bridge) }
    ring(&colleague, for: agent)
    connect([leg(agent.uniqueid) ?? agent, colleague])
  }

  /// First the agent has his customer again, then the colleague is let go.
  private func takeBack(_ agent: Leg) {
    guard let asked = state.withLock({ $0.consultations.removeValue(forKey: agent.uniqueid) }) else { return }
    leave([agent])
    enter(asked.bridge, leg(agent.uniqueid) ?? agent)
    tell("Unhold", agent)
    guard let colleague = leg(asked.colleague) else { return }
    leave([colleague])
    remove(colleague)
  }

  private func join(_ room: String, _ leg: Leg) {
    let bridge = state.withLock { state in
      let bridge = state.rooms[room] ?? UUID().uuidString.lowercased()
      state.rooms[room] = bridge
      return bridge
    }
    enter(bridge, leg, technology: "softmix")
    tell("ConfbridgeJoin", leg, [("Conference", room), ("BridgeUniqueid", bridge)])
  }

  /// One of three leaves the others; of two he ends the call.
  private func leaveOthers(_ leg: Leg, asked: Leg?) {
    let together = state.withLock { state in state.legs.values.count { $0.bridge != nil && $0.bridge == leg.bridge } }
    guard together > 2, leg.uniqueid != leg.call else { return end(leg.call, asked: asked) }
    if let asked { tell("HangupRequest", asked) }
    leave([leg])
    remove(leg)
  }

  private func connect(_ legs: [Leg]) {
    let bridge = UUID().uuidString.lowercased()
    for leg in legs { enter(bridge, leg) }
  }

  private func enter(_ bridge: String, _ leg: Leg, technology: String = "simple_bridge") {
    var leg = leg
    leg.bridge = bridge
    keep(leg)
    tell(
      "BridgeEnter", leg, [("BridgeUniqueid", bridge), ("BridgeType", "basic"), ("BridgeTechnology", technology)])
  }

  private func leave(_ legs: [Leg]) {
    for var leg in legs {
      guard let bridge = leg.bridge else { continue }
      tell("BridgeLeave", leg, [("BridgeUniqueid", bridge), ("BridgeType", "basic")])
      leg.bridge = nil
      keep(leg)
    }
  }

  private func end(_ call: String, asked: Leg?) {
    if let asked { tell("HangupRequest", asked) }
    let all = legs(of: call)
    leave(all)
    for leg in all.sorted(by: { $0.uniqueid != call && $1.uniqueid == call }) { remove(leg) }
  }

  private func remove(_ leg: Leg, cause: Int = 16) {
    state.withLock { $0.legs[leg.uniqueid] = nil }
    standIn.state.withLock { $0.rows[leg.uniqueid] = nil }
    tell("Hangup", leg, [("Cause", "\(cause)"), ("Cause-txt", "Normal Clearing")])
  }

  private func make(
    _ device: String, number: String, context: String, exten: String, call: String? = nil, uniqueid: String? = nil
  ) -> Leg {
    let place = state.withLock { state in
      defer { state.next += 1 }
      return state.next
    }
    let uniqueid = uniqueid ?? "\(Int(Date().timeIntervalSince1970)).\(place)"
    let suffix = String(place, radix: 16)
    let leg = Leg(
      channel: "\(device)-\(String(repeating: "0", count: max(0, 8 - suffix.count)))\(suffix)", uniqueid: uniqueid,
      call: call ?? uniqueid, number: number, context: context, exten: exten)
    keep(leg)
    return leg
  }

  private func keep(_ leg: Leg) {
    state.withLock { $0.legs[leg.uniqueid] = leg }
    var row = ""
    for (key, value) in prefixed("", leg) where !key.hasSuffix("ChanVariable") { row += "\(key): \(value)\r\n" }
    row += "DNID: \(leg.exten)\r\nBridgeID: \(leg.bridge ?? "")\r\nSeconds: 1\r\n"
    standIn.state.withLock { $0.rows[leg.uniqueid] = row }
  }

  private func leg(_ name: String?) -> Leg? { state.withLock { state in name.flatMap { state.legs[$0] } } }
  private func legs(of call: String) -> [Leg] {
    state.withLock { state in state.legs.values.filter { $0.call == call } }
  }

  // MARK: Members

  private func isMember(_ headers: [String: String]) -> Bool {
    state.withLock { $0.members[Member(queue: headers["Queue"] ?? "", device: headers["Interface"] ?? "")] != nil }
  }

  private func pause(_ member: Member, _ paused: Bool, _ reason: String) {
    state.withLock { $0.members[member] = paused }
    tell("QueueMemberPause", nil, facts(member, status: 1, paused: paused, reason: reason))
  }

  private func member(_ member: Member, status: Int) {
    guard let paused = state.withLock({ $0.members[member] }) else { return }
    tell("QueueMemberStatus", nil, facts(member, status: status, paused: paused, reason: ""))
  }

  private func facts(_ member: Member, status: Int, paused: Bool, reason: String) -> [(String, String)] {
    [
      ("Queue", member.queue), ("MemberName", member.device), ("Interface", member.device),
      ("StateInterface", member.device), ("Membership", "dynamic"), ("InCall", status == 2 ? "1" : "0"),
      ("Status", "\(status)"), ("Paused", paused ? "1" : "0"), ("PausedReason", reason),
    ]
  }

  // MARK: Wire

  private func prefixed(_ prefix: String, _ leg: Leg) -> [(String, String)] {
    var headers = [
      ("\(prefix)Channel", leg.channel), ("\(prefix)ChannelState", "\(leg.state)"),
      ("\(prefix)CallerIDNum", leg.number.isEmpty ? "<unknown>" : leg.number), ("\(prefix)CallerIDName", leg.name),
      ("\(prefix)Context", leg.context), ("\(prefix)Exten", leg.exten), ("\(prefix)Uniqueid", leg.uniqueid),
      ("\(prefix)Linkedid", leg.call),
    ]
    if let number = leg.customerNo { headers.append(("\(prefix)ChanVariable", "CUSTOMER_NO=\(number)")) }
    return headers
  }
  private func dest(_ leg: Leg) -> [(String, String)] { prefixed("Dest", leg) }

  private func tell(_ event: String, _ leg: Leg?, _ more: [(String, String)] = []) {
    standIn.tell(event, (leg.map { prefixed("", $0) } ?? []) + more)
  }
}

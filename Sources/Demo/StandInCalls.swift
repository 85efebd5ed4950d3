import Channels
import Foundation
import Synchronization

/// Calls as a small bank has them, told through `AsteriskStandIn` with the events and in the order in which an
/// Asterisk 22 tells them: arrival, keyed customer number, queue, ringing, talk, hold, transfer, hang-up.
public final class StandInCalls: Sendable {
  public struct Customer: Sendable {
    public var number: String
    public var name: String
    public var customerNo: String?
    public init(number: String, name: String, customerNo: String?) {
      self.number = number
      self.name = name
      self.customerNo = customerNo
    }
  }
  public struct Agent: Sendable {
    public var device: String
    public var name: String
    public init(device: String, name: String) {
      self.device = device
      self.name = name
    }
  }

  private struct State {
    var random: SplitMix
    var nextChannel = 1
    var busy: Set<String> = []
    var calls = 0
  }

  private let switchboard: AsteriskStandIn
  private let customers: [Customer]
  private let agents: [Agent]
  private let queue: String
  private let dialled: String
  /// Times are divided by this: 10 makes a call of a minute last six seconds.
  private let haste: Double
  private let state: Mutex<State>

  public init(
    switchboard: AsteriskStandIn, customers: [Customer], agents: [Agent], queue: String = "retail",
    dialled: String = "+41445550100", haste: Double = 1, seed: UInt64 = 1
  ) {
    self.switchboard = switchboard
    self.customers = customers
    self.agents = agents
    self.queue = queue
    self.dialled = dialled
    self.haste = haste
    state = Mutex(State(random: SplitMix(state: seed)))
  }

  public var callsMade: Int { state.withLock { $0.calls } }

  /// Makes calls until cancelled, one every `pause` on average.
  public func run(every pause: Duration) async {
    await withDiscardingTaskGroup { group in
      for agent in agents { member(agent, status: 1) }
      while !Task.isCancelled {
        group.addTask { await self.call() }
        do { try await wait(Double(pause.wholeMilliseconds) / 1_000 * (0.5 + chance())) } catch { break }
      }
    }
  }

  /// One call from its first ring to its end.
  public func call() async {
    // A cancelled call just stops: the connections go with it.
    try? await live()
  }

  private func live() async throws {
    guard let customer = customers.randomElementOrNil(chance()) else { return }
    let leg = channel("PJSIP/trunk")
    state.withLock { $0.calls += 1 }
    var caller = facts(leg, context: "from-trunk", exten: dialled, state: 4)
    caller.customer = customer
    add(caller)
    defer { remove(leg) }
    tell("Newchannel", caller)
    caller.state = 6
    tell("Newstate", caller)
    try await wait(2 + 4 * chance())
    if let number = customer.customerNo {
      caller.customerNo = number
      add(caller)
      tell("UserEvent", caller, [("UserEvent", "CustomerIdentified"), ("CustomerNo", number), ("Method", "keypad")])
    }
    tell("QueueCallerJoin", caller, [("Queue", queue), ("Position", "1"), ("Count", "1")])
    if chance() < 0.12 {
      try await wait(8 + 20 * chance())
      tell("QueueCallerAbandon", caller, [("Queue", queue), ("HoldTime", "10")])
      return end(caller, asking: true)
    }
    var refused: Set<String> = []
    while true {
      guard let agent = take(except: refused) else {
        try await wait(1)
        refused = []
        continue
      }
      var line = facts(channel(agent.device), context: "from-agents", exten: "s", state: 0)
      line.agent = agent
      line.call = caller.uniqueid
      ring(line, for: caller)
      try await wait(1.5 + 3 * chance())
      if chance() < 0.15 {
        tell(
          "AgentRingNoAnswer", caller,
          dest(line) + [("Queue", queue), ("Interface", agent.device), ("RingTime", "5000")])
        tell("DialEnd", caller, dest(line) + [("DialStatus", "NOANSWER")])
        hangUp(line, cause: 0)
        free(agent)
        refused.insert(agent.device)
        continue
      }
      try await talk(caller, line, agent)
      return
    }
  }

  private func ring(_ line: Line, for caller: Line) {
    guard let agent = line.agent else { return }
    add(line)
    tell("Newchannel", line)
    tell(
      "AgentCalled", caller, dest(line) + [("Queue", queue), ("Interface", agent.device), ("MemberName", agent.name)])
    tell("DialBegin", caller, dest(line) + [("DialString", agent.device)])
    member(agent, status: 6)
  }

  private func talk(_ caller: Line, _ line: Line, _ agent: Agent) async throws {
    var line = line
    defer { free(agent) }
    answer(&line, for: caller)
    tell("QueueCallerLeave", caller, [("Queue", queue), ("Position", "1"), ("Count", "0")])
    tell(
      "AgentConnect", caller,
      dest(line) + [("Queue", queue), ("Interface", agent.device), ("HoldTime", "3"), ("RingTime", "2")])
    var bridge = UUID().uuidString.lowercased()
    enter(bridge, line, caller)
    try await wait(5 + 25 * chance())
    if chance() < 0.25 {
      tell("Hold", line, [("MusicClass", "default")])
      try await wait(3 + 6 * chance())
      tell("Unhold", line)
    }
    if chance() < 0.2, let other = take(except: [agent.device]) {
      defer { free(other) }
      let number = String(other.device.split(separator: "/").last ?? "")
      tell(
        "BlindTransfer", nil,
        [("Result", "Success")] + prefixed("Transferer", line) + prefixed("Transferee", caller)
          + [("IsExternal", "Yes"), ("Context", "from-agents"), ("Extension", number)])
      leave(bridge, line, caller)
      hangUp(line, cause: 16)
      free(agent)
      var second = facts(channel(other.device), context: "from-agents", exten: "s", state: 0)
      second.agent = other
      second.call = caller.uniqueid
      add(second)
      tell("Newchannel", second)
      tell("DialBegin", caller, dest(second) + [("DialString", number)])
      try await wait(2)
      answer(&second, for: caller)
      bridge = UUID().uuidString.lowercased()
      enter(bridge, second, caller)
      line = second
      try await wait(5 + 15 * chance())
    }
    let isCaller = chance() < 0.6
    tell("HangupRequest", isCaller ? caller : line)
    leave(bridge, line, caller)
    hangUp(line, cause: 16)
    end(caller, asking: false)
  }

  private func answer(_ line: inout Line, for caller: Line) {
    line.state = 6
    add(line)
    tell("Newstate", line)
    tell("DialEnd", caller, dest(line) + [("DialStatus", "ANSWER")])
    if let agent = line.agent { member(agent, status: 2) }
  }

  private func enter(_ bridge: String, _ line: Line, _ caller: Line) {
    for leg in [line, caller] {
      tell(
        "BridgeEnter", leg,
        [("BridgeUniqueid", bridge), ("BridgeType", "basic"), ("BridgeTechnology", "simple_bridge")])
      add(leg, bridge: bridge)
    }
  }

  private func leave(_ bridge: String, _ line: Line, _ caller: Line) {
    for leg in [line, caller] { tell("BridgeLeave", leg, [("BridgeUniqueid", bridge), ("BridgeType", "basic")]) }
    tell("BridgeDestroy", nil, [("BridgeUniqueid", bridge), ("BridgeType", "basic")])
    add(caller)
  }

  private func end(_ caller: Line, asking: Bool) {
    if asking { tell("HangupRequest", caller) }
    hangUp(caller, cause: 16)
  }

  private func hangUp(_ line: Line, cause: Int) {
    tell("Hangup", line, [("Cause", "\(cause)"), ("Cause-txt", cause == 16 ? "Normal Clearing" : "Unknown")])
    remove(line.name)
  }

  // MARK: Channels

  private struct Line: Sendable {
    var name: ChannelID
    var state: Int
    var context: String
    var exten: String
    var call: String
    var customer: Customer?
    var customerNo: String?
    var agent: Agent?
    var uniqueid: String { name.uniqueid }
  }
  private struct ChannelID: Sendable {
    var name: String
    var uniqueid: String
  }

  private func channel(_ device: String) -> ChannelID {
    let number = state.withLock { state in
      defer { state.nextChannel += 1 }
      return state.nextChannel
    }
    return ChannelID(
      name: "\(device)-\(String(format: "%08x", number))",
      uniqueid: "\(Int(Date().timeIntervalSince1970)).\(number)")
  }

  private func facts(_ name: ChannelID, context: String, exten: String, state: Int) -> Line {
    Line(name: name, state: state, context: context, exten: exten, call: name.uniqueid)
  }

  private func prefixed(_ prefix: String, _ line: Line) -> [(String, String)] {
    let number = line.customer?.number ?? line.agent.map { String($0.device.split(separator: "/").last ?? "") }
    let name = (line.customer?.name ?? line.agent?.name)?.replacingOccurrences(of: "'", with: "\\'")
    var headers = [
      ("\(prefix)Channel", line.name.name), ("\(prefix)ChannelState", "\(line.state)"),
      ("\(prefix)CallerIDNum", number ?? "<unknown>"), ("\(prefix)CallerIDName", name ?? "<unknown>"),
      ("\(prefix)Context", line.context), ("\(prefix)Exten", line.exten), ("\(prefix)Uniqueid", line.uniqueid),
      ("\(prefix)Linkedid", line.call),
    ]
    if let number = line.customerNo { headers.append(("\(prefix)ChanVariable", "CUSTOMER_NO=\(number)")) }
    return headers
  }
  private func dest(_ line: Line) -> [(String, String)] { prefixed("Dest", line) }

  private func tell(_ event: String, _ line: Line?, _ more: [(String, String)] = []) {
    switchboard.tell(event, (line.map { prefixed("", $0) } ?? []) + more)
  }

  private func add(_ line: Line, bridge: String? = nil) {
    var row = ""
    for (key, value) in prefixed("", line) where !key.hasSuffix("ChanVariable") { row += "\(key): \(value)\r\n" }
    row += "DNID: \(line.customer == nil ? "" : dialled)\r\nBridgeID: \(bridge ?? "")\r\nSeconds: 1\r\n"
    if let number = line.customerNo { row += "Variable: CUSTOMER_NO=\(number)\r\n" }
    switchboard.state.withLock { $0.rows[line.uniqueid] = row }
  }
  private func remove(_ name: ChannelID) { switchboard.state.withLock { $0.rows[name.uniqueid] = nil } }

  private func member(_ agent: Agent, status: Int) {
    switchboard.tell(
      "QueueMemberStatus",
      [
        ("Queue", queue), ("MemberName", agent.name), ("Interface", agent.device), ("StateInterface", agent.device),
        ("Membership", "static"), ("InCall", status == 2 ? "1" : "0"), ("Status", "\(status)"), ("Paused", "0"),
        ("PausedReason", ""),
      ])
  }

  private func take(except refused: Set<String>) -> Agent? {
    state.withLock { state in
      guard let agent = agents.first(where: { !state.busy.contains($0.device) && !refused.contains($0.device) }) else {
        return nil
      }
      state.busy.insert(agent.device)
      return agent
    }
  }
  private func free(_ agent: Agent) {
    let wasBusy = state.withLock { $0.busy.remove(agent.device) != nil }
    if wasBusy { member(agent, status: 1) }
  }

  private func chance() -> Double { state.withLock { Double($0.random.next() >> 11) / Double(1 << 53) } }
  private func wait(_ seconds: Double) async throws {
    try await Task.sleep(for: .milliseconds(Int64(seconds * 1_000 / haste)))
  }
}

/// A small generator whose course a seed decides (Steele, Lea and Flood 2014, SplitMix64).
private struct SplitMix: RandomNumberGenerator, Sendable {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
    return mixed ^ mixed >> 31
  }
}

extension Array {
  /// The element at this fraction of the array; nil if it is empty.
  fileprivate func randomElementOrNil(_ fraction: Double) -> Element? {
    isEmpty ? nil : self[Swift.min(count - 1, Int(fraction * Double(count)))]
  }
}

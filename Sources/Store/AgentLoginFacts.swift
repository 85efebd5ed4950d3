import Channels
import ContactModel

/// Where an agent sits, in which queues he takes calls, and what his telephone's switch must be told of it.
///
/// What the desk says goes to the switch as call commands of the same transaction; what the switch says comes back as
/// presence (`passPresence`). The switch hears only what it does not already know.
extension WriteTransaction {
  /// Sits the agent down at a telephone. One who is offline there gives it up; anybody else keeps it.
  public func login(
    _ id: AgentID, at device: String, queues: [Code], of server: String?, state: Agent.State, reason: String?,
    actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<Agent> {
    guard let before = try agent(id) else { return .notFound }
    if let other = try agent(at: device), other != id {
      guard try agent(other)?.state == .offline else { return .refused("another agent is logged in at \(device)") }
      try execute(
        "UPDATE agent SET device = NULL, logged_in_at = NULL, version = version + 1 WHERE agent_id = $1", [.id(other)])
    }
    if let old = before.device, old != device { try leaveQueues(before, old, actor: actor, at: time) }
    try execute(
      """
      UPDATE agent SET device = $2, logged_in_at = $3, login_queues = $4, version = version + 1 WHERE agent_id = $1
      """,
      [.id(id), .text(device), SQLValue(time), .text(try JSONText.encode(queues.sorted()))])
    let outcome = try setState(state, of: id, reason: reason, actor: actor, at: time)
    if let server {
      let there = Set(try places(of: device).filter { $0.server == server }.map(\.queue))
      for queue in queues where !there.contains(queue.description) {
        try order(
          .joinQueue(device: device, queue: queue.description, name: before.name), on: server, for: before, actor, time)
      }
      if state != .ready || !there.isEmpty {
        try order(
          .setPaused(device: device, queue: nil, state != .ready, reason: state == .ready ? nil : reason), on: server,
          for: before, actor, time)
      }
    }
    guard case .done = outcome, let after = try agent(id) else { return outcome }
    return .done(after)
  }

  /// Ends the agent's work; he keeps his telephone until somebody else logs in there.
  public func logout(_ id: AgentID, reason: String?, actor: Actor, at time: Timestamp) throws -> ActOutcome<Agent> {
    guard let before = try agent(id) else { return .notFound }
    if let device = before.device { try leaveQueues(before, device, actor: actor, at: time) }
    try execute(
      "UPDATE agent SET logged_in_at = NULL, login_queues = NULL, version = version + 1 WHERE agent_id = $1", [.id(id)])
    _ = try setState(.offline, of: id, reason: reason, actor: actor, at: time)
    return try agent(id).map { .done($0) } ?? .notFound
  }

  /// Members of the switch's own configuration cannot be taken out: they are paused first.
  private func leaveQueues(_ agent: Agent, _ device: String, actor: Actor, at time: Timestamp) throws {
    let places = try places(of: device)
    for server in Set(places.map(\.server)).sorted() {
      try order(
        .setPaused(device: device, queue: nil, true, reason: "logged out"), on: server, for: agent, actor, time)
    }
    for place in places where agent.loginQueues.contains(where: { $0.description == place.queue }) {
      try order(.leaveQueue(device: device, queue: place.queue), on: place.server, for: agent, actor, time)
    }
  }

  /// An agent's word about himself, or a supervisor's: while he is busy it holds from the end of the call on, unless
  /// `atOnce`.
  public func say(
    _ state: Agent.State, of id: AgentID, reason: String?, atOnce: Bool, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<Agent> {
    guard let before = try agent(id) else { return .notFound }
    guard !atOnce, before.state == .busy || before.state == .reserved else {
      let outcome = try setState(state, of: id, reason: reason, actor: actor, at: time)
      if case .done = outcome { try tellSwitch(id, actor: actor, at: time) }
      return outcome
    }
    if before.nextState == state, before.nextReason == reason { return .done(before) }
    try execute(
      """
      UPDATE agent SET next_state = $2, next_reason = CAST($3 AS TEXT), version = version + 1 WHERE agent_id = $1
      """, [.id(id), SQLValue(state), SQLValue(reason)])
    return try tell(id, actor: actor, at: time)
  }

  /// Begins the work after a call; nil if the agent is not one who has just had a call.
  public func beginWrapUp(at device: String, until: Timestamp, at time: Timestamp) throws -> Agent? {
    guard let id = try agent(at: device), let before = try agent(id),
      [.busy, .reserved, .ready].contains(before.state)
    else { return nil }
    guard case .done = try setState(.wrapUp, of: id, reason: nil, actor: .liaison, at: time) else { return nil }
    try execute("UPDATE agent SET wrap_up_until = $2 WHERE agent_id = $1", [.id(id), SQLValue(until)])
    try tellSwitch(id, actor: .liaison, at: time)
    return try agent(id)
  }

  /// Ends the wrap-ups whose time is over; who asked for a state before gets that one.
  public func endWrapUps(at time: Timestamp) throws -> [Agent] {
    let due: [AgentID] = try query(
      "SELECT agent_id FROM agent WHERE state = 'wrap_up' AND wrap_up_until <= $1 ORDER BY agent_id", [SQLValue(time)]
    ).map { try $0.parsed("agent_id") }
    return try due.compactMap { id in
      guard let before = try agent(id) else { return nil }
      _ = try setState(
        before.nextState ?? .ready, of: id, reason: before.nextState == nil ? nil : before.nextReason, actor: .liaison,
        at: time)
      try tellSwitch(id, actor: .liaison, at: time)
      return try agent(id)
    }
  }

  /// Brings the switch's pause in line with the agent's state.
  private func tellSwitch(_ id: AgentID, actor: Actor, at time: Timestamp) throws {
    guard let agent = try agent(id), let device = agent.device else { return }
    let wanted: Bool
    switch agent.state {
    case .ready: wanted = false
    case .notReady, .wrapUp, .offline: wanted = true
    case .busy, .reserved: return
    }
    let places = try places(of: device)
    let word = agent.state == .wrapUp ? "wrap-up" : agent.stateReason ?? agent.state.rawValue
    let reason = wanted ? String(word.prefix(80)) : nil
    let others = places.filter { $0.isPaused != wanted || wanted && $0.pauseReason != reason }
    for server in Set(others.map(\.server)).sorted() {
      try order(.setPaused(device: device, queue: nil, wanted, reason: reason), on: server, for: agent, actor, time)
    }
  }

  private func order(
    _ action: CallCommand.Action, on server: String, for agent: Agent, _ actor: Actor, _ time: Timestamp
  ) throws {
    let id = CallCommandID(at: time)
    let command = CallCommand(id: id.description, server: server, action: action)
    try give(
      CallCommandRecord(
        commandId: id, command: command, callId: nil, agent: agent.id, customerNo: nil, actor: actor.label, at: time),
      command, trace: actor.trace)
  }

  private func tell(_ id: AgentID, actor: Actor, at time: Timestamp) throws -> ActOutcome<Agent> {
    guard let after = try agent(id) else { return .notFound }
    try append(
      EventRecord(
        at: time, type: .agentStateChanged, subject: id.description, agent: id, actor: actor.label, trace: actor.trace,
        body: try JSONText.encode(after)))
    return .done(after)
  }
}

/// A device's place in a queue of a switch, as the switch last said.
private struct QueuePlace {
  var server: String
  var queue: String
  var isPaused: Bool
  var pauseReason: String?
}

extension Connection {
  fileprivate func places(of device: String) throws -> [QueuePlace] {
    try query(
      "SELECT server, queue, paused, pause_reason FROM queue_member WHERE device = $1 ORDER BY server, queue",
      [.text(device)]
    ).map {
      QueuePlace(
        server: try $0.text("server"), queue: try $0.text("queue"), isPaused: try $0.bool("paused"),
        pauseReason: try $0.textOrNil("pause_reason"))
    }
  }

  /// Whether anybody works after a call now, and when the next of them is due.
  public func nextWrapUpEnd() throws -> Timestamp? {
    try one("SELECT min(wrap_up_until) AS at FROM agent WHERE state = 'wrap_up'").timeOrNil("at")
  }
}

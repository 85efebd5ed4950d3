import Channels
import ContactModel

extension WriteTransaction {
  /// Adds a queue or brings it up to date. Without a department it is the whole bank's.
  public func upsertQueue(_ code: Code, nameZh: String, nameEn: String, department: Code? = nil) throws {
    try execute(
      """
      INSERT INTO queue(code, name_zh, name_en, department) VALUES ($1, $2, $3, $4)
      ON CONFLICT (code) DO UPDATE SET name_zh = excluded.name_zh, name_en = excluded.name_en,
        department = excluded.department
      """, [.id(code), .text(nameZh), .text(nameEn), .id(department)])
  }

  /// Adds an agent or brings name, device and queues up to date; the state stays as it is.
  public func upsert(_ agent: Agent, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO agent(agent_id, name, department, device, state, state_since) VALUES ($1, $2, $3, $4, $5, $6)
      ON CONFLICT (agent_id) DO UPDATE SET name = excluded.name, department = excluded.department,
        device = excluded.device, version = agent.version + 1
      """,
      [
        .id(agent.id), .text(agent.name), .id(agent.department), SQLValue(agent.device), SQLValue(agent.state),
        SQLValue(time),
      ])
    try execute("DELETE FROM agent_queue WHERE agent_id = $1", [.id(agent.id)])
    for queue in agent.queues {
      try execute("INSERT INTO agent_queue(agent_id, queue) VALUES ($1, $2)", [.id(agent.id), .id(queue)])
    }
  }

  /// Sets an agent's state with its reason. Setting what already stands writes nothing. What he asked for next is kept
  /// only while he is busy.
  public func setState(
    _ state: Agent.State, of id: AgentID, reason: String?, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<Agent> {
    guard let before = try agent(id) else { return .notFound }
    if before.state == state, before.stateReason == reason { return .done(before) }
    try execute(
      """
      UPDATE agent SET state = $2, state_reason = CAST($3 AS TEXT), state_since = $4, version = version + 1,
        wrap_up_until = NULL, next_state = CASE WHEN $5 = 1 THEN next_state END,
        next_reason = CASE WHEN $5 = 1 THEN next_reason END
      WHERE agent_id = $1
      """,
      [
        .id(id), SQLValue(state), SQLValue(reason), SQLValue(time),
        SQLValue([.busy, .reserved, .wrapUp].contains(state)),
      ])
    guard let after = try agent(id) else { return .notFound }
    try append(
      EventRecord(
        at: time, type: .agentStateChanged, subject: id.description, agent: id, actor: actor.label, trace: actor.trace,
        body: try JSONText.encode(after)))
    return .done(after)
  }
}

extension Connection {
  public func agent(_ id: AgentID) throws -> Agent? {
    guard let row = try first("SELECT * FROM agent WHERE agent_id = $1", [.id(id)]) else { return nil }
    let queues: [Code] = try query("SELECT queue FROM agent_queue WHERE agent_id = $1 ORDER BY queue", [.id(id)])
      .map { try $0.parsed("queue") }
    return try Agent(row: row, queues: queues)
  }

  public func agents() throws -> [Agent] {
    var queues: [String: [Code]] = [:]
    for row in try query("SELECT agent_id, queue FROM agent_queue ORDER BY queue") {
      queues[try row.text("agent_id"), default: []].append(try row.parsed("queue"))
    }
    return try query("SELECT * FROM agent ORDER BY agent_id").map {
      try Agent(row: $0, queues: queues[try $0.text("agent_id")] ?? [])
    }
  }

  /// A department and all below it; itself alone if it is unknown.
  public func departments(under top: Code) throws -> Set<Code> {
    let rows = try query(
      """
      WITH RECURSIVE below(code) AS (
        SELECT code FROM department WHERE code = $1
        UNION SELECT d.code FROM department d JOIN below b ON d.parent = b.code)
      SELECT code FROM below
      """, [.id(top)])
    return Set([top] + (try rows.map { try $0.parsed("code") }))
  }

  /// Some departments and all below them.
  public func departments(under tops: Set<Code>) throws -> Set<Code> {
    try tops.reduce(into: []) { $0.formUnion(try departments(under: $1)) }
  }

  /// The department a queue belongs to. The outer nil: no such queue; the inner: it is the whole bank's.
  public func department(ofQueue queue: Code) throws -> Code?? {
    guard let row = try first("SELECT department FROM queue WHERE code = $1", [.id(queue)]) else { return nil }
    return .some(try row.parsedOrNil("department"))
  }

  /// Who sits at these telephone devices; devices where nobody does are left out.
  public func agents(at devices: Set<String>) throws -> [String: AgentID] {
    var out: [String: AgentID] = [:]
    for device in devices { out[device] = try agent(at: device) }
    return out
  }

  /// The agent at a telephone device; nil if nobody sits there.
  public func agent(at device: String) throws -> AgentID? {
    try first("SELECT agent_id FROM agent WHERE device = $1", [.text(device)])?.parsed("agent_id")
  }
}

extension Agent {
  init(row: Row, queues: [Code]) throws {
    self.init(
      id: try row.parsed("agent_id"), name: try row.text("name"), department: try row.parsedOrNil("department"),
      device: try row.textOrNil("device"), queues: queues, state: try row.word("state"),
      stateReason: try row.textOrNil("state_reason"), stateSince: try row.time("state_since"),
      nextState: try row.wordOrNil("next_state"), nextReason: try row.textOrNil("next_reason"),
      wrapUpUntil: try row.timeOrNil("wrap_up_until"), loggedInAt: try row.timeOrNil("logged_in_at"),
      loginQueues: try row.textOrNil("login_queues").map { try JSONText.decode([Code].self, from: $0) } ?? [],
      version: try row.count("version"))
  }
}

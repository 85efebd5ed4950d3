import Channels
import ContactModel
import Store

/// The transactions by which a job comes to an agent and becomes a call.
///
/// Who is shown a customer is not yet bound: the job stays planned, so that whatever the customer says meanwhile holds.
/// The call is ordered by the transaction that decides once more, reserves the caps, writes down the attempt with the
/// call's own name and gives the command: after a crash each is there, or none.
extension WriteTransaction {
  /// Shows a due job to the first of `agents` it may come to, or calls for him at once where the campaign wants that;
  /// nil if it is to go to nobody now.
  func offer(
    _ id: ProactiveJobID, among agents: [Agent], _ line: DialLine, _ around: Surroundings, at time: Timestamp
  ) throws -> DialRecord? {
    guard let job = try proactiveJob(id), job.state == .planned, (job.nextAt ?? job.due) <= time else { return nil }
    let earlier = try dials(of: id)
    guard !earlier.contains(where: \.state.isOpen) else { return nil }
    let wish = job.contents[OutboundChannel.phone.rawValue]?.dialling ?? DialWish()
    let asked = Set(
      earlier.filter { [.declined, .lapsed].contains($0.state) && $0.offeredAt > time - .seconds(3_600) }.map(\.agentId)
    )
    guard let agent = agents.first(where: { wish.admits($0, at: time) && !asked.contains($0.id) }),
      let device = agent.device
    else { return nil }
    let reading = try reading(of: job, own: nil, around, at: time)
    let decision = decide(reading, job, under: around.profile, at: time)
    guard case .send(.phone) = decision.verdict, let to = reading.addresses[.phone] else {
      try put(job, off: decision, reading, around, at: time)
      return nil
    }
    let dial = DialID(at: time)
    try execute(
      """
      INSERT INTO dial(dial_id, job_id, campaign_id, customer_no, channel, agent_id, device, queue, mode, state,
        to_canonical, offered_at, expires_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'offered', $10, $11, $12)
      """,
      [
        .id(dial), .id(job.id), .id(job.campaign), .id(job.customerNo), .text(line.name), .id(agent.id), .text(device),
        .id(wish.queue), SQLValue(wish.mode), .text(to.canonical), SQLValue(time), SQLValue(time + line.offerWithin),
      ])
    guard var record = try self.dial(dial) else { return nil }
    if wish.mode == .progressive {
      record = try placeCall(record, line, around, actor: .liaison, at: time)
      guard record.state == .dialled else { return record }
    }
    let screen = try dialScreen(
      of: record, job, why: (decision.words(in: .zh), decision.words(in: .en)), number: to.canonical)
    try tell(.dialOffered, record, body: try JSONText.encode(screen), actor: .liaison, at: time)
    return record
  }

  /// The agent wants the call: it is decided again and ordered, or withdrawn if something came between.
  func accept(
    _ id: DialID, _ line: DialLine, _ around: Surroundings, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<DialRecord> {
    guard let dial = try dial(id) else { return .notFound }
    // The same again, because the answer was lost.
    if [.dialled, .talking].contains(dial.state) { return .done(dial) }
    guard dial.state == .offered else { return .refused("the showing is \(dial.state.rawValue)") }
    guard time < dial.expiresAt else { return .done(try end(dial, as: .lapsed, because: nil, actor: actor, at: time)) }
    guard let agent = try agent(dial.agentId), agent.state == .ready, agent.device == dial.device else {
      return .refused("the agent is not ready at \(dial.device)")
    }
    return .done(try placeCall(dial, line, around, actor: actor, at: time))
  }

  /// The agent does not want it: the next is asked. After the third the job rests for half an hour.
  func decline(_ id: DialID, because reason: String, actor: Actor, at time: Timestamp) throws -> ActOutcome<DialRecord>
  {
    guard let dial = try dial(id) else { return .notFound }
    guard dial.state == .offered else { return .refused("the showing is \(dial.state.rawValue)") }
    return .done(try end(dial, as: .declined, because: reason, actor: actor, at: time))
  }

  /// Orders the call of a showing: his own telephone rings first, then the customer's.
  func placeCall(
    _ dial: DialRecord, _ line: DialLine, _ around: Surroundings, actor: Actor, at time: Timestamp
  ) throws -> DialRecord {
    // Documents go by other channels: there is nothing to read between the two.
    guard let attempt = try claim(dial.jobId, through: line.link, around, at: time),
      let dispatch = try beginHandOver(attempt, through: line.link, with: [], around, at: time)
    else {
      return try end(dial, as: .withdrawn, because: try proactiveJob(dial.jobId)?.reason, actor: actor, at: time)
    }
    guard isNumber(dispatch.to.canonical) else {
      let fault = Fault(.badAddress, text: "no number that can be dialled")
      try settle(attempt, .submitted(.rejected(fault)), link: line.link, around, at: time)
      return try end(dial, as: .withdrawn, because: fault.text, actor: actor, at: time)
    }
    // Named like the attempt, so that the exchange knows a repeat and a restart knows the call.
    let command = CallCommand(
      id: attempt.description, server: line.server,
      action: .originate(
        device: dial.device, to: dispatch.to.canonical, showing: line.showing,
        customerNo: dial.customerNo?.description))
    let commandID = CallCommandID(at: time)
    try give(
      CallCommandRecord(
        commandId: commandID, command: command, callId: dispatch.wireIdentity, agent: dial.agentId,
        customerNo: dial.customerNo, actor: actor.label, at: time), command, trace: actor.trace)
    try execute(
      """
      UPDATE dial SET state = 'dialled', attempt_id = $2, command_id = $3, server = $4, call_id = $5, to_canonical = $6,
        dialled_at = $7, version = version + 1
      WHERE dial_id = $1
      """,
      [
        .id(dial.dialId), .id(attempt), .id(commandID), .text(line.server), .text(dispatch.wireIdentity),
        .text(dispatch.to.canonical), SQLValue(time),
      ])
    return try told(dial.dialId, actor: actor, at: time)
  }

  /// A job that cannot be read must not hold up the others.
  func putAside(_ id: ProactiveJobID, because code: String, until time: Timestamp) throws {
    try execute(
      "UPDATE proactive_job SET next_at = $2, reason = $3 WHERE job_id = $1 AND state = 'planned'",
      [.id(id), SQLValue(time), .text("held: \(code)")])
  }

  /// Takes a showing that became no call from the agent's screen.
  @discardableResult
  func end(
    _ dial: DialRecord, as state: DialRecord.State, because reason: String?, actor: Actor, at time: Timestamp
  ) throws -> DialRecord {
    try execute(
      "UPDATE dial SET state = $2, reason = $3, version = version + 1 WHERE dial_id = $1 AND state = 'offered'",
      [.id(dial.dialId), SQLValue(state), SQLValue(reason.map { String($0.prefix(500)) })])
    if [.declined, .lapsed].contains(state), var job = try proactiveJob(dial.jobId), job.state == .planned {
      let refused = try dials(of: job.id).count {
        [.declined, .lapsed].contains($0.state) && $0.offeredAt > time - .seconds(3_600)
      }
      if refused % 3 == 0 {
        job.nextAt = time + .seconds(1_800)
        try update(job, at: time)
      }
    }
    return try told(dial.dialId, actor: actor, at: time)
  }

  /// The showing as it is now, told to its agent.
  func told(_ id: DialID, actor: Actor, at time: Timestamp) throws -> DialRecord {
    guard let dial = try dial(id) else { throw DatabaseError(.other, "a showing just written is gone") }
    try tell(.dialChanged, dial, body: try JSONText.encode(dial), actor: actor, at: time)
    return dial
  }

  private func tell(_ type: EventType, _ dial: DialRecord, body: String, actor: Actor, at time: Timestamp) throws {
    try append(
      EventRecord(
        at: time, type: type, subject: dial.dialId.description, customerNo: dial.customerNo, channel: dial.channel,
        agent: dial.agentId, queue: dial.queue, actor: actor.label, trace: actor.trace, body: body))
  }
}

import Channels
import ContactModel
import Store

/// The transactions by which one attempt comes to be and ends: claim, hand over, settle, recover.
///
/// Each leaves job, attempt, caps and events in agreement. A job is decided twice: when it is claimed, which reserves
/// its caps, and again in the transaction that writes down its wire identity, so that a STOP in between wins. Nothing
/// here waits for a peer. Source: specs/outbound.md §3.
extension WriteTransaction {
  /// Decides a due job; if it is to go now, reserves it. Answers the attempt, nil if it does not go now.
  func claim(
    _ job: ProactiveJob, on links: [OutboundChannel: OutboundLink], _ around: Surroundings, at time: Timestamp
  ) throws -> AttemptID? {
    guard job.state == .planned else { return nil }
    let reading = try reading(of: job, own: nil, around, at: time)
    let decision = decide(reading, job, under: around.profile, at: time)
    let decisionID = DecisionID(at: time)
    guard case .send(let channel) = decision.verdict, let link = links[channel], let to = reading.addresses[channel]
    else {
      if job.reason != decision.reason.rawValue {
        try record(
          decision, on: job, candidates: reading.request.candidates, ruleVersion: around.profile.version,
          id: decisionID, at: time)
      }
      try put(job, off: decision, at: time)
      return nil
    }
    try record(
      decision, on: job, candidates: reading.request.candidates, ruleVersion: around.profile.version, id: decisionID,
      at: time)
    var active = job
    active.state = .active
    active.reason = decision.reason.rawValue
    guard try update(active, at: time) else { return nil }
    let id = AttemptID(at: time)
    try execute(
      """
      INSERT INTO attempt(attempt_id, job_id, customer_no, outbound_channel, channel_kind, channel, to_kind,
        to_canonical, to_raw, state, decision_id, reserved_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'reserved', $10, $11)
      """,
      [
        .id(id), .id(job.id), .id(job.customerNo), .text(channel.rawValue),
        .text(link.adapter.channel.kind.rawValue), .text(link.adapter.channel.name), SQLValue(to.kind),
        .text(to.canonical), .text(to.raw), .id(decisionID), SQLValue(time),
      ])
    try execute(
      """
      INSERT INTO cap_ledger(attempt_id, customer_no, purpose, channel, at, state)
      VALUES ($1, $2, $3, $4, $5, 'reserved')
      """, [.id(id), .id(job.customerNo), .text(job.purpose.rawValue), .text(channel.rawValue), SQLValue(time)])
    return id
  }

  /// Decides again and writes the wire identity down; answers what to submit, nil if the attempt was released instead.
  func beginHandOver(_ id: AttemptID, through link: OutboundLink, _ around: Surroundings, at time: Timestamp) throws
    -> Dispatch?
  {
    guard let attempt = try attempt(id), attempt.machine.state == .reserved, var job = try proactiveJob(attempt.job)
    else { return nil }
    let channel = attempt.outboundChannel
    let reading = try reading(of: job, own: id, around, at: time)
    let decision = decide(reading, job, under: around.profile, at: time)
    guard decision.verdict == .send(channel), let to = reading.addresses[channel],
      let content = job.contents[channel.rawValue]
    else {
      try record(
        decision, on: job, candidates: reading.request.candidates, ruleVersion: around.profile.version,
        id: DecisionID(at: time), at: time)
      _ = try settle(id, .released, link: link, around, at: time)
      guard let freed = try proactiveJob(attempt.job) else { return nil }
      if case .send = decision.verdict { return nil }
      try put(freed, off: decision, at: time)
      return nil
    }
    job.reason = decision.reason.rawValue
    let name = link.adapter.wireIdentity(of: id)
    try execute(
      "UPDATE attempt SET to_kind = $2, to_canonical = $3, to_raw = $4 WHERE attempt_id = $1",
      [.id(id), SQLValue(to.kind), .text(to.canonical), .text(to.raw)])
    guard try settle(id, .handing(wireIdentity: name), link: link, around, at: time) == .handing else { return nil }
    return Dispatch(
      key: job.id.description, attempt: id, wireIdentity: name, to: to, from: link.from, content: content,
      expires: job.notAfter)
  }

  /// Takes in what was learned of an attempt, with all that follows from it; answers its state, nil if there is none.
  @discardableResult
  func settle(
    _ id: AttemptID, _ evidence: Attempt.Evidence, link: OutboundLink?, _ around: Surroundings, at time: Timestamp
  ) throws -> Attempt.State? {
    guard let record = try attempt(id) else { return nil }
    var machine = record.machine
    let effects = machine.learn(evidence)
    guard machine != record.machine || !effects.isEmpty else { return machine.state }
    try store(
      machine, of: record, fault: evidence.fault, inquireAfter: link?.inquiryEvery, memory: link?.memory, at: time)
    for part in evidence.partIDs {
      try execute(
        """
        INSERT INTO attempt_part(channel, peer_id, attempt_id) VALUES ($1, $2, $3)
        ON CONFLICT (channel, peer_id) DO NOTHING
        """, [.text(record.channel.name), .text(part), .id(id)])
    }
    for effect in effects {
      switch effect {
      case .reserveCaps: break  // Written with the attempt.
      case .countCaps: try setCap(.counted, of: id, at: time)
      case .releaseCaps: try setCap(.released, of: id, at: nil)
      case .inquire: break  // `inquire_at` was set with the state.
      case .freeJob(let same, let fault, let wish):
        try freeJob(of: record, sameChannel: same, fault: fault, peerWish: wish, at: time)
      case .settleJob(let state): try settleJob(of: record, machine, as: state, under: around.profile, at: time)
      case .condemnAddress:
        let state: ContactPoint.State = record.to.kind == .email ? .bounced : .invalid
        try setState(state, of: record.to, source: id.description, at: time)
      case .contradiction: try contradict(record, at: time)
      }
    }
    return machine.state
  }

  // MARK: What follows

  private func decide(
    _ reading: JobReading, _ job: ProactiveJob, under profile: PurposeProfile, at time: Timestamp
  ) -> Decision {
    // Every channel there was content for is spent or has no link: that is no fault of the request.
    if reading.request.candidates.isEmpty, !job.contents.isEmpty {
      if let end = job.notAfter, end <= time { return Decision(.refuse, .expired) }
      return Decision(.refuse, .noChannel)
    }
    return Outbound.decide(reading.request, about: reading.facts, under: profile, at: time)
  }

  /// What a decision other than `send` makes of a planned job.
  private func put(_ job: ProactiveJob, off decision: Decision, at time: Timestamp) throws {
    var job = job
    job.reason = decision.reason.rawValue
    switch decision.verdict {
    case .send: return
    case .defer(_, let until): job.nextAt = until
    case .refuse:
      // What is in flight or in doubt is not refused for ever: its settlement decides.
      if decision.reason == .duplicateInFlight || decision.reason == .duplicateInDoubt {
        job.nextAt = time + .seconds(60)
      } else {
        job.state = decision.reason == .expired ? .expired : .refused
      }
    }
    try update(job, at: time)
  }

  private func store(
    _ machine: Attempt, of record: AttemptRecord, fault: Fault?, inquireAfter: Duration?, memory: Duration?,
    at time: Timestamp
  ) throws {
    let isDoubt = machine.state == .inDoubt
    let handedAt = record.handedAt ?? (machine.state == .handing ? time : nil)
    let finalAt = record.finalAt ?? (isDoubt ? (handedAt ?? time) + (memory ?? .seconds(86_400)) : nil)
    let isSettled = ![.planned, .reserved, .handing, .inDoubt].contains(machine.state)
    try execute(
      """
      UPDATE attempt SET state = $2, wire_identity = $3, peer_id = $4, fault_code = coalesce($5, fault_code),
        fault_peer_code = coalesce($6, fault_peer_code), fault_text = coalesce($7, fault_text), handed_at = $8,
        settled_at = $9, inquire_at = $10, final_at = $11, version = version + 1
      WHERE attempt_id = $1
      """,
      [
        .id(record.id), SQLValue(machine.state), SQLValue(machine.wireIdentity), SQLValue(machine.peerID),
        SQLValue(fault?.code), SQLValue(fault?.peerCode), SQLValue(fault?.text), SQLValue(handedAt),
        isSettled ? SQLValue(record.settledAt ?? time) : .null,
        isDoubt ? SQLValue(time + (inquireAfter ?? .seconds(60))) : .null, SQLValue(finalAt),
      ])
    guard machine.state != record.machine.state else { return }
    try append(
      EventRecord(
        at: time, type: .attemptChanged, subject: record.id.description, customerNo: record.customerNo,
        channel: record.channel.name, actor: "liaison",
        body: try JSONText.encode([
          "job": record.job.description, "from": record.machine.state.rawValue, "to": machine.state.rawValue,
        ])))
  }

  private func setCap(_ state: Attempt.CapState, of id: AttemptID, at time: Timestamp?) throws {
    try execute(
      "UPDATE cap_ledger SET state = $2, at = coalesce($3, at) WHERE attempt_id = $1",
      [.id(id), SQLValue(state), SQLValue(time)])
  }

  private func freeJob(
    of record: AttemptRecord, sameChannel: Bool, fault: Fault?, peerWish: Duration?, at time: Timestamp
  ) throws {
    guard var job = try proactiveJob(record.job), job.state == .active || job.state == .unknown else { return }
    job.state = .planned
    job.nextAt = time
    var generator = SystemRandomNumberGenerator()
    if !sameChannel {
      job.spent.append(record.outboundChannel)
      job.failures = 0
    } else if fault != nil {
      job.failures += 1
      let next = RetryPolicy().next(
        after: job.failures, peerWish: peerWish, notAfter: nil, at: time, using: &generator)
      if let next {
        job.nextAt = next
      } else {
        job.spent.append(record.outboundChannel)
        job.failures = 0
      }
    }
    // Too late to try again: it says so at once instead of waiting for its time.
    if let end = job.notAfter, let next = job.nextAt, next >= end {
      job.state = .expired
      job.reason = fault.map { "expired after \($0.code.rawValue)" } ?? Reason.expired.rawValue
    }
    try update(job, at: time)
  }

  private func settleJob(
    of record: AttemptRecord, _ machine: Attempt, as state: Attempt.State, under profile: PurposeProfile,
    at time: Timestamp
  ) throws {
    guard var job = try proactiveJob(record.job) else { return }
    let after = profile.purposes[job.purpose]?.afterUnknown ?? .never
    if state == .unknownFinal, after == .otherChannelOnce, job.repeatable, job.spent.isEmpty, job.state == .active {
      job.spent.append(record.outboundChannel)
      job.state = .planned
      job.nextAt = time
    } else {
      job.state = state == .unknownFinal ? .unknown : .done
    }
    job.reason = state.rawValue
    try update(job, at: time)
    if record.contact == nil { try addContact(of: record, job, machine, at: time) }
  }

  /// The contact in the customer's history that this attempt was.
  private func addContact(of record: AttemptRecord, _ job: ProactiveJob, _ machine: Attempt, at time: Timestamp) throws
  {
    let content = job.contents[record.outboundChannel.rawValue]
    let id = ContactID(at: time)
    let contact = Contact(
      id: id, customerNo: job.customerNo, channel: record.channel, direction: .outbound,
      initiation: job.requested == nil ? .outbound : .callBack, state: .closed, from: nil, to: record.to,
      language: content?.language, summary: content?.subject ?? String((content?.text ?? "").prefix(80)),
      content: content?.text ?? "", disposition: machine.state.rawValue,
      identity: IdentityTie(zone: .satisfied, decision: record.decision), providerID: machine.wireIdentity,
      times: Contact.Times(received: record.handedAt ?? time, stored: time, ended: time, closed: time))
    try insert(contact, detail: "{}")
    try execute("UPDATE attempt SET contact_id = $2 WHERE attempt_id = $1", [.id(record.id), .id(id)])
  }

  /// Something thought unsent was sent: whatever was planned in its place must not go.
  private func contradict(_ record: AttemptRecord, at time: Timestamp) throws {
    for other in try attempts(of: record.job) where other.id != record.id && other.machine.state == .reserved {
      try execute("UPDATE attempt SET state = 'released' WHERE attempt_id = $1", [.id(other.id)])
      try setCap(.released, of: other.id, at: nil)
    }
    try append(
      EventRecord(
        at: time, type: .attemptContradicted, subject: record.id.description, customerNo: record.customerNo,
        channel: record.channel.name, actor: "liaison", body: try JSONText.encode(["job": record.job.description])))
  }

  /// Settles the reports that Intake has kept since the last call; answers how many were looked at.
  func settleReports(
    links: [OutboundChannel: OutboundLink], _ around: Surroundings, limit: Int, at time: Timestamp
  ) throws -> Int {
    let position = try control("reports_settled").flatMap(Int64.init) ?? 0
    let rows = try query(
      "SELECT seq, channel, body FROM event WHERE event_type = $1 AND seq > $2 ORDER BY seq LIMIT $3",
      [.text(EventType.reportArrived.rawValue), .int(position), SQLValue(limit)])
    for row in rows {
      let channel = try row.textOrNil("channel") ?? ""
      let report = try JSONText.decode(DeliveryReport.self, from: row.text("body"))
      guard let id = try attempt(named: report, on: channel) else { continue }
      let added = try execute(
        """
        INSERT INTO attempt_evidence(channel, event_key, attempt_id, at, body) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (channel, event_key) DO NOTHING
        """,
        [.text(channel), .text(String(try row.int("seq"))), .id(id), SQLValue(time), .text(try row.text("body"))])
      guard added > 0 else { continue }
      try settle(id, .reported(report), link: nil, around, at: time)
    }
    if let last = rows.last {
      try setControl("reports_settled", to: String(try last.int("seq")), by: "liaison", at: time)
    }
    return rows.count
  }
}

extension Attempt.Evidence {
  /// The peer's names for the parts, where it took several.
  fileprivate var partIDs: [String] {
    switch self {
    case .submitted(.accepted(let receipt)), .inquired(.accepted(let receipt)): receipt.partIDs
    default: []
    }
  }

  /// What went wrong, if it tells.
  fileprivate var fault: Fault? {
    switch self {
    case .submitted(let submission), .inquired(let submission):
      switch submission {
      case .accepted: nil
      case .deferred(let fault, _), .rejected(let fault), .inDoubt(let fault): fault
      }
    case .reported(let report): report.fault
    case .reserved, .released, .handing, .restarted, .horizonPassed: nil
    }
  }
}

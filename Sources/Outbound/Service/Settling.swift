import Channels
import ContactModel
import Store

/// The transaction by which an attempt moves on, with all that follows from it for job, caps, address and contact.
///
/// Whatever is learned comes through here: the adapter's answer, an inquiry, a report, a restart, a person's word.
/// Source: specs/outbound.md §3.
extension WriteTransaction {
  /// Takes in what was learned of an attempt, with all that follows from it; answers its state, nil if there is none.
  @discardableResult
  func settle(
    _ id: AttemptID, _ evidence: Attempt.Evidence, link: OutboundLink?, _ around: Surroundings, at time: Timestamp
  ) throws -> Attempt.State? {
    guard let record = try attempt(id) else { return nil }
    var machine = record.machine
    let effects = machine.learn(evidence)
    guard machine != record.machine || !effects.isEmpty else { return machine.state }
    // After a restart the peer is asked at once, and the adapter so learns again what it may hear of.
    try store(
      machine, of: record, fault: evidence.fault, inquireAfter: evidence == .restarted ? .zero : link?.inquiryEvery,
      memory: link?.memory, at: time)
    for part in evidence.partIDs { try name(part, id, on: record.channel) }
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
    // What the peer reported before its answer was written down.
    if machine.peerID != record.machine.peerID || !evidence.partIDs.isEmpty {
      let names = [machine.peerID].compactMap(\.self) + evidence.partIDs
      try settleParked(about: id, on: record.channel.name, names, around, at: time)
      return try attempt(id)?.machine.state
    }
    return machine.state
  }

  /// The peer's name for one part, under which a report may come.
  func name(_ part: String, _ id: AttemptID, on channel: ContactChannel) throws {
    try execute(
      """
      INSERT INTO attempt_part(channel, peer_id, attempt_id) VALUES ($1, $2, $3)
      ON CONFLICT (channel, peer_id) DO NOTHING
      """, [.text(channel.name), .text(part), .id(id)])
  }

  // MARK: What follows

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
    // What ends the job is told with the job: one fact, one event.
    guard machine.state != record.machine.state, machine.state != .accepted else { return }
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
    guard var job = try proactiveJob(record.job) else { return }
    // Done only in so far as the peer had taken this attempt, of which it now says that nothing reached anybody.
    let wasTaken = job.state == .done && record.machine.state == .accepted
    guard job.state == .active || job.state == .unknown || wasTaken else { return }
    if wasTaken, let contact = record.contact { try setDisposition(fault?.code.rawValue ?? "undelivered", of: contact) }
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
    if job.spent.contains(record.outboundChannel) { job.lane = job.onlyLane }
    // Too late to try again: it says so at once instead of waiting for its time.
    if let end = job.notAfter, let next = job.nextAt, next >= end {
      job.state = .expired
      job.reason = fault.map { "expired after \($0.code.rawValue)" } ?? Reason.expired.rawValue
    }
    try update(job, at: time)
    if job.state.isFinal { try closeContact(of: job, as: job.state.rawValue, at: time) }
    afterCommit(JobsWaiting(lane: job.lane))
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
    if job.state == .planned {
      job.lane = job.onlyLane
      afterCommit(JobsWaiting(lane: job.lane))
    }
    job.reason = state.rawValue
    try update(job, endedBy: record.id, at: time)
    if record.contact == nil, let earlier = try attempts(of: job.id).last(where: { $0.contact != nil })?.contact {
      // One contact however often it is tried.
      try execute("UPDATE attempt SET contact_id = $2 WHERE attempt_id = $1", [.id(record.id), .id(earlier)])
      try setDisposition(state.rawValue, of: earlier)
    } else if let contact = record.contact {
      // A call is a contact of its own and says itself how it ended.
      if record.channel.kind != .telephony { try setDisposition(state.rawValue, of: contact) }
    } else {
      try showContact(of: record, job, machine, at: time)
    }
  }

  /// What became of what was taken, as reports tell it.
  private func setDisposition(_ word: String, of contact: ContactID) throws {
    try execute(
      "UPDATE contact SET disposition = $2, version = version + 1 WHERE contact_id = $1 AND disposition <> $2",
      [.id(contact), .text(word)])
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

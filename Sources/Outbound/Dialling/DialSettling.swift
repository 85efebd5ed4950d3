import Channels
import ContactModel
import Store

/// The transactions by which a call moves its job on: answered, over, or never placed; and what the agent says of it.
///
/// Source: specs/outbound.md §3 (evidence), §5 (recycling).
extension WriteTransaction {
  /// Notes what is new of a showing, with all that follows.
  func note(
    _ news: DialNews, of dial: DialRecord, _ line: DialLine, _ around: Surroundings, at time: Timestamp
  ) throws {
    switch news {
    case .lapsed: try end(dial, as: .lapsed, because: nil, actor: .liaison, at: time)
    case .withdrawn(let reason): try end(dial, as: .withdrawn, because: reason, actor: .liaison, at: time)
    case .answered(let at):
      // Found again after a doubt: the agent may be at the next one already.
      try markAnswered(dial, at: at, keepingState: dial.state == .inDoubt)
      _ = try told(dial.dialId, actor: .liaison, at: time)
    case .over(.answered, let at) where dial.resultMeans == nil && dial.state != .inDoubt:
      try markAnswered(dial, at: dial.answeredAt ?? at)
      // Counted from when it was heard of: a restart must not take the agent's time away.
      try execute(
        """
        UPDATE dial SET state = 'wrap_up', outcome = 'answered', ended_at = $2, result_due = $3, version = version + 1
        WHERE dial_id = $1
        """, [.id(dial.dialId), SQLValue(at), SQLValue(max(at, time) + line.resultWithin)])
      _ = try told(dial.dialId, actor: .liaison, at: time)
    case .over(let outcome, let at):
      if outcome == .answered { try markAnswered(dial, at: dial.answeredAt ?? at, keepingState: true) }
      try conclude(dial, outcome, at: at, line, around, actor: .liaison, now: time)
    case .neverPlaced:
      if let command = dial.commandId {
        // Written first, so that nobody sends it after all.
        let fault = Fault(.expired, text: "surely not done: it waited too long to be sent")
        _ = try settle(command, CallCommandVerdict(.failed, fault: fault, isLast: true), at: time)
      }
      try conclude(dial, .notDialled, at: time, line, around, actor: .liaison, now: time)
    case .lost:
      if let attempt = dial.attemptId {
        let fault = Fault(.timeout, text: "the exchange has told nothing of the call")
        try settle(attempt, .submitted(.inDoubt(fault)), link: line.link, around, at: time)
      }
      try execute(
        "UPDATE dial SET state = 'in_doubt', version = version + 1 WHERE dial_id = $1", [.id(dial.dialId)])
      _ = try told(dial.dialId, actor: .liaison, at: time)
    case .forgotten: try conclude(dial, .unknown, at: time, line, around, actor: .liaison, now: time)
    case .resultDue:
      try conclude(dial, dial.outcome ?? .answered, at: dial.endedAt ?? time, line, around, actor: .liaison, now: time)
    }
  }

  /// What the agent says came of the call. While it lasts his word is kept for its end; in doubt it settles it.
  func settle(
    _ id: DialID, as result: CallResult, note: String?, callBackAt: Timestamp?, _ line: DialLine,
    _ around: Surroundings, actor: Actor, at time: Timestamp
  ) throws -> ActOutcome<DialRecord> {
    guard let before = try dial(id) else { return .notFound }
    switch before.state {
    case .talking, .wrapUp, .inDoubt: break
    case .ended where before.result == result.code && before.callBackAt == callBackAt: return .done(before)
    case .offered, .declined, .lapsed, .withdrawn, .dialled, .ended:
      return .refused("the call is \(before.state.rawValue)")
    }
    try execute(
      """
      UPDATE dial SET result = $2, result_means = $3, result_note = $4, result_by = $5, call_back_at = $6,
        version = version + 1
      WHERE dial_id = $1
      """,
      [
        .id(id), .id(result.code), SQLValue(result.means), SQLValue(note), .text(actor.label), SQLValue(callBackAt),
      ])
    guard let dial = try dial(id) else { return .notFound }
    guard dial.state != .talking else { return .done(try told(id, actor: actor, at: time)) }
    if dial.state == .inDoubt { try markAnswered(dial, at: time, keepingState: true) }
    try conclude(dial, .answered, at: dial.endedAt ?? time, line, around, actor: actor, now: time)
    return try self.dial(id).map { .done($0) } ?? .notFound
  }

  private func markAnswered(_ dial: DialRecord, at: Timestamp, keepingState: Bool = false) throws {
    try execute(
      """
      UPDATE dial SET state = CASE WHEN $3 = 1 THEN state ELSE 'talking' END, answered_at = coalesce(answered_at, $2),
        version = version + 1
      WHERE dial_id = $1
      """, [.id(dial.dialId), SQLValue(at), SQLValue(keepingState)])
    if let attempt = dial.attemptId {
      try execute("UPDATE cap_ledger SET answered = 1 WHERE attempt_id = $1", [.id(attempt)])
    }
  }

  /// The showing is over: attempt, caps, address and job follow.
  private func conclude(
    _ dial: DialRecord, _ outcome: DialOutcome, at ended: Timestamp, _ line: DialLine, _ around: Surroundings,
    actor: Actor, now time: Timestamp
  ) throws {
    guard let attempt = dial.attemptId else { return }
    try execute(
      """
      UPDATE dial SET state = 'ended', outcome = $2, ended_at = coalesce(ended_at, $3), result_due = NULL,
        version = version + 1
      WHERE dial_id = $1
      """, [.id(dial.dialId), SQLValue(outcome), SQLValue(ended)])
    // The call is a contact of its own: the attempt is shown in it.
    if let server = dial.server, let name = dial.callId, let contact = try keptCall(name, on: server)?.contact {
      try execute("UPDATE attempt SET contact_id = $2 WHERE attempt_id = $1", [.id(attempt), .id(contact)])
    }
    let means = outcome == .answered ? dial.resultMeans ?? .reached : nil
    if means == .callBack, let at = dial.callBackAt { try grant(at, to: dial, at: time) }
    for evidence in evidence(of: outcome, means, dial, at: ended) {
      try settle(attempt, evidence, link: line.link, around, at: time)
    }
    if means == .refusesCalls { try keepWord(of: dial, around, actor: actor, at: time) }
    try recycle(dial.dialId, around, at: time)
    _ = try told(dial.dialId, actor: actor, at: time)
  }

  private func evidence(
    of outcome: DialOutcome, _ means: CallResult.Meaning?, _ dial: DialRecord, at ended: Timestamp
  ) -> [Attempt.Evidence] {
    func undelivered(_ fault: Fault?, again: Bool = true) -> Attempt.Evidence {
      .reported(
        DeliveryReport(
          wireIdentity: dial.callId, peerID: nil, recipient: nil, state: .undelivered, fault: fault,
          condemnsAddress: !again, happenedAt: ended, remedy: .init(sameChannel: again, counts: true)))
    }
    switch outcome {
    case .answered:
      switch means ?? .reached {
      case .reached, .refusesCalls:
        return [
          .reported(
            DeliveryReport(
              wireIdentity: dial.callId, peerID: nil, recipient: nil, state: .delivered, happenedAt: ended))
        ]
      case .notReached: return [undelivered(Fault(.noAnswer, text: "the customer was not there, says the agent"))]
      case .callBack: return [undelivered(Fault(.noAnswer, text: "the customer wants to be called back"))]
      case .wrongNumber:
        return [undelivered(Fault(.unknownRecipient, text: "the number is not his, says the agent"), again: false)]
      }
    case .busy, .noAnswer, .declined, .unavailable, .machine, .droppedByUs: return [undelivered(outcome.fault)]
    case .unallocated: return [undelivered(outcome.fault, again: false)]
    case .trunkError, .agentNotReached, .notDialled:
      // His telephone did not ring: nothing counts.
      return outcome.fault.map { [.submitted(.deferred($0, retryAfter: nil))] } ?? []
    case .unknown:
      return (outcome.fault.map { [.submitted(.inDoubt($0))] } ?? []) + [.horizonPassed]
    }
  }

  /// The customer named a time: it is the job's from now on, even beyond the campaign's end.
  private func grant(_ at: Timestamp, to dial: DialRecord, at time: Timestamp) throws {
    try execute(
      """
      UPDATE proactive_job SET requested_channel = 'phone', requested_at = $2, due_at = $2,
        not_before = CASE WHEN not_before > $2 THEN $2 ELSE not_before END,
        not_after = CASE WHEN not_after < $3 THEN $3 ELSE not_after END, updated_at = $4, version = version + 1
      WHERE job_id = $1
      """, [.id(dial.jobId), SQLValue(at), SQLValue(at + .seconds(86_400)), SQLValue(time)])
  }

  /// He wants no such calls: a word of his own, with the call as its proof.
  private func keepWord(of dial: DialRecord, _ around: Surroundings, actor: Actor, at time: Timestamp) throws {
    guard let customer = dial.customerNo, let job = try proactiveJob(dial.jobId) else { return }
    try record(
      ChannelPreference(channel: .phone, purpose: job.purpose, verdict: .deny, effectiveAt: time, source: .customer),
      id: PreferenceID(at: time), of: customer,
      evidence: ConsentEvidence(
        id: EvidenceID(at: time), kind: .callRecording, reference: dial.callId ?? dial.dialId.description,
        capturedAt: time, capturedBy: actor.label),
      policyVersion: around.profile.version, actor: actor, at: time)
  }

  /// When a job that is free again is called the next time, by the rules for calls in vain.
  private func recycle(_ id: DialID, _ around: Surroundings, at time: Timestamp) throws {
    guard let dial = try dial(id), let outcome = dial.outcome, var job = try proactiveJob(dial.jobId),
      job.state == .planned
    else { return }
    guard dial.means != .addressIsBad else { return }  // Spent already; another channel may remain.
    job.failures = 0
    job.spent.removeAll { $0 == .phone }
    var wish: DialWish?
    if outcome.recycled == nil {
      // Nobody was called: the next agent at once, the exchange a little later.
      job.nextAt = outcome == .agentNotReached ? time : time + .seconds(30)
    } else {
      let calls = try dials(of: job.id).compactMap(\.recycled)
      let others = try otherCalls(of: job, since: time - .seconds(8 * 86_400))
      switch RecycleRules().next(after: calls, otherCalls: others, in: try zone(of: job, around), at: time) {
      case .done: return
      case .addressInvalid, .exhausted:
        job.spent.append(.phone)
        job.nextAt = time
      case .again(let at, let agent, let until):
        job.nextAt = at
        if let agent {
          wish = job.contents[OutboundChannel.phone.rawValue]?.dialling
          wish?.agent = AgentID(agent)
          wish?.agentUntil = until
        }
      }
    }
    job.lane = job.spent.contains(.phone) ? job.onlyLane : job.lane(of: .phone)
    if let end = job.notAfter, let next = job.nextAt, next >= end {
      job.state = .expired
      job.reason = "expired after \(outcome.rawValue)"
    } else {
      job.reason = dial.resultMeans?.rawValue ?? outcome.rawValue
    }
    try update(job, at: time)
    if let wish { try setWish(wish, of: job) }
    if job.state.isFinal { try closeContact(of: job, as: job.state.rawValue, at: time) }
    afterCommit(JobsWaiting(lane: job.lane))
  }

  private func setWish(_ wish: DialWish, of job: ProactiveJob) throws {
    var contents = job.contents
    contents[OutboundChannel.phone.rawValue]?.dialling = wish
    try execute(
      "UPDATE proactive_job SET contents = $2, version = version + 1 WHERE job_id = $1",
      [.id(job.id), .text(try JSONText.encode(contents))])
  }
}

extension DialRecord {
  fileprivate enum Means { case addressIsBad, other }
  fileprivate var means: Means {
    outcome == .unallocated || outcome == .answered && resultMeans == .wrongNumber ? .addressIsBad : .other
  }

  /// As a call for the rules of recycling; nil where the customer was not called.
  var recycled: RecycleRules.Call? {
    guard let at = dialledAt, let outcome else { return nil }
    if outcome == .answered {
      switch resultMeans {
      case .callBack?:
        return callBackAt.map { .init(at: at, outcome: .callBack(at: $0, by: agentId.description)) }
      case .notReached?: return .init(at: at, outcome: .noAnswer)
      case .wrongNumber?: return .init(at: at, outcome: .unallocatedNumber)
      case .reached?, .refusesCalls?, nil: return .init(at: at, outcome: .answered)
      }
    }
    return outcome.recycled.map { .init(at: at, outcome: $0) }
  }
}

extension Connection {
  /// The counted calls to the same customer about other matters.
  fileprivate func otherCalls(of job: ProactiveJob, since: Timestamp) throws -> [Timestamp] {
    try query(
      """
      SELECT at FROM cap_ledger WHERE customer_no = $1 AND at > $2 AND channel = 'phone' AND state = 'counted'
        AND attempt_id NOT IN (SELECT attempt_id FROM attempt WHERE job_id = $3) LIMIT 500
      """, [.text(job.party), SQLValue(since), .id(job.id)]
    ).map { try $0.time("at") }
  }

  /// On whose clock the parts of his day are; the bank's where his is not known.
  fileprivate func zone(of job: ProactiveJob, _ around: Surroundings) throws -> Zone {
    let names = try job.customerNo.map { try contactPointsWithZones(of: $0).flatMap(\.zones) } ?? []
    let known = names.compactMap { around.zones.zone(named: $0) }.first ?? around.profile.unknownZones.first
    guard let zone = known ?? around.zones.zone(named: "UTC") else { throw DatabaseError(.misuse, "there is no UTC") }
    return zone
  }
}

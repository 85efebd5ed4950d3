import Channels
import ContactModel
import Store

/// The transactions by which one attempt comes to be: sort, claim, hand over.
///
/// Each leaves job, attempt, caps and events in agreement. A job is decided in the transaction that writes down its wire
/// identity, so that a STOP before it wins. Usually that is the one that claims it and takes its caps, many at once (see
/// `BatchHandOver`); where something must be fetched or found out in between, it is claimed here and decided twice.
/// Nothing here waits for a peer. Source: specs/outbound.md §3.
extension WriteTransaction {
  /// Decides due jobs that nobody serves yet: each is put into the lane of the way out it is to take, or off.
  func sort(_ ids: [ProactiveJobID], _ around: Surroundings, at time: Timestamp) throws -> [ProactiveJobID] {
    let jobs = try ids.compactMap { try proactiveJob($0) }
      .filter { $0.state == .planned && ($0.nextAt ?? $0.due) <= time }
    let sheet = try FactsSheet(of: jobs, from: self, around, at: time)
    for job in jobs {
      let reading = sheet.reading(of: job)
      var decision = decide(reading, job, under: around.profile, at: time)
      // The link it must leave by is gone.
      if case .send(let channel) = decision.verdict, !around.lanes.contains(job.lane(of: channel)) {
        decision = Decision(.refuse, .noChannel)
      }
      try put(job, off: decision, reading, around, at: time)
    }
    return ids
  }

  /// Decides a due job; if it is to go now by this link, reserves it. Answers the attempt, nil if it does not go now.
  func claim(
    _ id: ProactiveJobID, through link: OutboundLink, _ around: Surroundings, at time: Timestamp
  ) throws -> AttemptID? {
    guard let job = try proactiveJob(id), job.state == .planned, (job.nextAt ?? job.due) <= time else { return nil }
    let reading = try reading(of: job, own: nil, around, at: time)
    let decision = decide(reading, job, under: around.profile, at: time)
    let decisionID = DecisionID(at: time)
    guard case .send(let channel) = decision.verdict, channel == link.channel, let to = reading.addresses[channel]
    else {
      try put(job, off: decision, reading, around, at: time)
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
        .id(id), .id(job.id), .text(job.party), .text(channel.rawValue),
        .text(link.adapter.channel.kind.rawValue), .text(link.adapter.channel.name), SQLValue(to.kind),
        .text(to.canonical), .text(to.raw), .id(decisionID), SQLValue(time),
      ])
    try execute(
      """
      INSERT INTO cap_ledger(attempt_id, customer_no, purpose, channel, at, state)
      VALUES ($1, $2, $3, $4, $5, 'reserved')
      """, [.id(id), .text(job.party), .text(job.purpose.rawValue), .text(channel.rawValue), SQLValue(time)])
    return id
  }

  /// Decides again and writes the wire identity down; answers what to submit, nil if the attempt was released instead.
  /// `parts` are the bytes of the job's documents, read before.
  func beginHandOver(
    _ id: AttemptID, through link: OutboundLink, with parts: [InboundMessage.Attachment], _ around: Surroundings,
    at time: Timestamp
  ) throws -> Dispatch? {
    guard let attempt = try attempt(id), attempt.machine.state == .reserved, var job = try proactiveJob(attempt.job)
    else { return nil }
    let channel = attempt.outboundChannel
    let reading = try reading(of: job, own: id, around, at: time)
    let decision = decide(reading, job, under: around.profile, at: time)
    guard decision.verdict == .send(channel), let to = reading.addresses[channel],
      var content = job.contents[channel.rawValue]
    else {
      _ = try settle(id, .released, link: link, around, at: time)
      guard let freed = try proactiveJob(attempt.job) else { return nil }
      try put(freed, off: decision, reading, around, at: time)
      return nil
    }
    job.reason = decision.reason.rawValue
    let name = link.adapter.wireIdentity(of: id)
    try execute(
      "UPDATE attempt SET to_kind = $2, to_canonical = $3, to_raw = $4 WHERE attempt_id = $1",
      [.id(id), SQLValue(to.kind), .text(to.canonical), .text(to.raw)])
    guard try settle(id, .handing(wireIdentity: name), link: link, around, at: time) == .handing else { return nil }
    try refer(to: name, by: job)
    content.attachments += parts
    return Dispatch(
      key: job.id.description, attempt: id, wireIdentity: name, to: to, from: link.from, content: content,
      expires: job.notAfter)
  }

  /// Works on jobs together; where one of them cannot be worked on, on each alone, and that one is put aside, so that it
  /// holds up no other.
  @discardableResult
  func together<Result>(
    _ jobs: [ProactiveJobID], at time: Timestamp, _ work: ([ProactiveJobID]) throws -> [Result]
  ) throws -> [Result] {
    guard !jobs.isEmpty else { return [] }
    do {
      return try savepoint { try work(jobs) }
    } catch  where error.isOfOneItem {
      return try jobs.flatMap { id -> [Result] in
        do {
          return try savepoint { try work([id]) }
        } catch  where error.isOfOneItem {
          let code = (error as? DatabaseError)?.kind.rawValue ?? "unreadable"
          try hold(id, because: code, until: time + .seconds(300))
          return []
        }
      }
    }
  }

  private func hold(_ id: ProactiveJobID, because code: String, until time: Timestamp) throws {
    try execute(
      "UPDATE proactive_job SET next_at = $2, reason = $3 WHERE job_id = $1 AND state = 'planned'",
      [.id(id), SQLValue(time), .text("held: \(code)")])
  }

  // MARK: The decision

  func decide(
    _ reading: JobReading, _ job: ProactiveJob, under profile: PurposeProfile, at time: Timestamp
  ) -> Decision {
    // Every channel there was content for is spent or has no link: that is no fault of the request.
    if reading.request.candidates.isEmpty, !job.contents.isEmpty {
      if let end = job.notAfter, end <= time { return Decision(.refuse, .expired) }
      return Decision(.refuse, .noChannel)
    }
    return Outbound.decide(reading.request, about: reading.facts, under: profile, at: time)
  }

  /// What becomes of a planned job that does not go by this link now; recorded unless the last word was the same.
  func put(
    _ job: ProactiveJob, off decision: Decision, _ reading: JobReading, _ around: Surroundings, at time: Timestamp
  ) throws {
    var job = job
    if job.reason != decision.reason.rawValue {
      try record(
        decision, on: job, candidates: reading.request.candidates, ruleVersion: around.profile.version,
        id: DecisionID(at: time), at: time)
    }
    job.reason = decision.reason.rawValue
    switch decision.verdict {
    case .send(let channel):
      // It waits where it is to go.
      job.lane = job.lane(of: channel)
      job.nextAt = time
      afterCommit(JobsWaiting(lane: job.lane))
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
    if job.state.isFinal { try closeContact(of: job, as: job.state.rawValue, at: time) }
  }
}

extension Error {
  /// Not the store's as a whole: what cannot be read is one job's.
  var isOfOneItem: Bool { (self as? DatabaseError)?.isOfOneItem ?? true }
}

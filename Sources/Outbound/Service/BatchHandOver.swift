import Channels
import ContactModel
import Store

/// An attempt whose wire identity is durable, with what its settlement needs of it: nothing is read twice.
struct HandedOver: Sendable {
  var attempt: AttemptRecord
  /// As the hand-over left it.
  var job: ProactiveJob
  var dispatch: Dispatch
  /// No attempt was made for this job before.
  var isFirst: Bool
}

/// Many due jobs decided and handed over by one link in one transaction.
///
/// What bears on them is read together and each is decided from it alone; a job whose party or household has another in
/// the same round waits for the next, which reads anew, so that caps hold as if they came one by one. Caps and wire
/// identity are durable together, before anything leaves. Source: specs/outbound.md §3.
extension WriteTransaction {
  /// Hands over those of the jobs that go now by this link; the others are put off. `read` are the jobs as they were
  /// read before; those changed since are read anew.
  func handOver(
    _ ids: [ProactiveJobID], read: [ProactiveJobID: ProactiveJob], through link: OutboundLink,
    _ around: Surroundings, at time: Timestamp
  ) throws -> [HandedOver] {
    var left = try current(ids, read: read, at: time)
    var handed: [HandedOver] = []
    var words = DecisionWords()
    while !left.isEmpty {
      var parties: Set<String> = []
      var later: [ProactiveJob] = []
      let round = left.filter { job in
        let isAlone = parties.insert(job.party).inserted
        if !isAlone { later.append(job) }
        return isAlone
      }
      let sheet = try FactsSheet(of: round, from: self, around, at: time)
      var households: Set<String> = []
      for job in round {
        if let household = sheet.household(of: job), !households.insert(household).inserted {
          later.append(job)
          continue
        }
        let reading = sheet.reading(of: job)
        let decision = decide(reading, job, under: around.profile, at: time)
        guard decision.verdict == .send(link.channel), let to = reading.addresses[link.channel],
          let content = job.contents[link.channel.rawValue]
        else {
          try put(job, off: decision, reading, around, at: time)
          continue
        }
        let text = try words.text(of: decision, on: job, candidates: reading.request.candidates)
        if let one = try handOver(
          job, to: to, content, decision, text, through: link, ruleVersion: around.profile.version, at: time)
        {
          handed.append(
            HandedOver(
              attempt: one.attempt, job: one.job, dispatch: one.dispatch, isFirst: !sheet.hasBeenTried(job.id)))
        }
      }
      left = later
    }
    return handed
  }

  /// Those still planned and due, as they are now.
  private func current(
    _ ids: [ProactiveJobID], read: [ProactiveJobID: ProactiveJob], at time: Timestamp
  ) throws -> [ProactiveJob] {
    let rows = try query(
      """
      SELECT job_id, version FROM proactive_job
      WHERE job_id IN {{list_text:$1}} AND state = 'planned' AND next_at <= $2
      """, [.list(ids.map(\.description)), SQLValue(time)])
    var versions: [String: Int] = [:]
    for row in rows { versions[try row.text("job_id")] = try row.count("version") }
    return try ids.compactMap { id in
      guard let version = versions[id.description] else { return nil }
      if let job = read[id], job.version == version { return job }
      return try proactiveJob(id)
    }
  }

  private func handOver(
    _ job: ProactiveJob, to: Address, _ content: Dispatch.Content, _ decision: Decision, _ text: String,
    through link: OutboundLink, ruleVersion: String, at time: Timestamp
  ) throws -> (attempt: AttemptRecord, job: ProactiveJob, dispatch: Dispatch)? {
    var job = job
    let changed = try execute(
      """
      UPDATE proactive_job SET state = 'active', next_at = NULL, reason = $3, updated_at = $4, version = version + 1
      WHERE job_id = $1 AND version = $2
      """, [.id(job.id), SQLValue(job.version), .text(decision.reason.rawValue), SQLValue(time)])
    guard changed == 1 else { return nil }
    job.state = .active
    job.nextAt = nil
    job.reason = decision.reason.rawValue
    job.version += 1

    let id = AttemptID(at: time)
    let decisionID = DecisionID(at: time)
    let name = link.adapter.wireIdentity(of: id)
    let attempt = AttemptRecord(
      handing: id, of: job, by: link.channel, on: link.adapter.channel, to: to, wireIdentity: name,
      decision: decisionID, at: time)
    try execute(
      """
      INSERT INTO decision(decision_id, act, subject, customer_no, at, rule_version, verdict, decided_by, body)
      VALUES ($1, 'outbound', $2, $3, $4, $5, 'send', 'rule', $6)
      """,
      [.id(decisionID), .id(job.id), .id(job.customerNo), SQLValue(time), .text(ruleVersion), .text(text)])
    try execute(
      """
      INSERT INTO attempt(attempt_id, job_id, customer_no, outbound_channel, channel_kind, channel, to_kind,
        to_canonical, to_raw, state, decision_id, wire_identity, reserved_at, handed_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'handing', $10, $11, $12, $12)
      """,
      [
        .id(id), .id(job.id), .text(job.party), .text(link.channel.rawValue),
        .text(link.adapter.channel.kind.rawValue), .text(link.adapter.channel.name), SQLValue(to.kind),
        .text(to.canonical), .text(to.raw), .id(decisionID), .text(name), SQLValue(time),
      ])
    try execute(
      """
      INSERT INTO cap_ledger(attempt_id, customer_no, purpose, channel, at, state)
      VALUES ($1, $2, $3, $4, $5, 'counted')
      """, [.id(id), .text(job.party), .text(job.purpose.rawValue), .text(link.channel.rawValue), SQLValue(time)])
    // The decision that led to it is named in it, and is no event of its own.
    try append(
      EventRecord(
        at: time, type: .attemptChanged, subject: id.description, customerNo: job.customerNo,
        channel: link.adapter.channel.name, actor: "liaison",
        body: try JSONText.encode([
          "decision": decisionID.description, "from": Attempt.State.planned.rawValue, "job": job.id.description,
          "to": Attempt.State.handing.rawValue,
        ])))
    try refer(to: name, by: job)
    return (
      attempt, job,
      Dispatch(
        key: job.id.description, attempt: id, wireIdentity: name, to: to, from: link.from, content: content,
        expires: job.notAfter)
    )
  }
}

/// The texts of decisions, each made once: of a thousand jobs of a kind most are decided alike.
private struct DecisionWords {
  private struct Key: Hashable {
    var decision: Decision
    var purpose: Purpose
    var candidates: [OutboundChannel]
  }
  private var texts: [Key: String] = [:]

  mutating func text(
    of decision: Decision, on job: ProactiveJob, candidates: [OutboundChannel]
  ) throws -> String {
    let key = Key(decision: decision, purpose: job.purpose, candidates: candidates)
    if let text = texts[key] { return text }
    let text = try OutboundDecision.text(of: decision, on: job, candidates: candidates)
    texts[key] = text
    return text
  }
}

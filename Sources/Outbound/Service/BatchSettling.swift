import Channels
import ContactModel
import Store

/// What a peer answered to one submission.
struct Answered: Sendable {
  var handed: HandedOver
  var submission: Submission
}

/// Many answers taken in in one transaction.
///
/// An acceptance of what nobody has touched since its hand-over is written as it stands, from what the hand-over knew;
/// everything else, and what has a history, goes the general way. Source: specs/outbound.md §3.
extension WriteTransaction {
  /// Settles each; answers their states in order.
  func settle(
    _ answers: [Answered], link: OutboundLink, _ around: Surroundings, at time: Timestamp
  ) throws -> [Attempt.State?] {
    let untouched = try untouched(answers)
    var named: [String: AttemptID] = [:]
    var states: [Attempt.State?] = []
    for one in answers {
      if case .accepted(let receipt) = one.submission, untouched.contains(one.handed.attempt.id) {
        states.append(try accept(one.handed, receipt, at: time))
        if let name = receipt.peerID { named[name] = one.handed.attempt.id }
        for name in receipt.partIDs { named[name] = one.handed.attempt.id }
      } else {
        states.append(
          try settle(one.handed.attempt.id, .submitted(one.submission), link: link, around, at: time))
      }
    }
    // What the peer reported before its answer was written down.
    guard !named.isEmpty else { return states }
    let parked = try query(
      "SELECT DISTINCT peer_id FROM report_parked WHERE channel = $1 AND peer_id IN {{list_text:$2}}",
      [.text(link.name), .list(named.keys)])
    for row in parked {
      let name = try row.text("peer_id")
      if let id = named[name] { try settleParked(about: id, on: link.name, [name], around, at: time) }
    }
    return states
  }

  /// The attempts, and their jobs, that are still as the hand-over left them and have no history to go with.
  private func untouched(_ answers: [Answered]) throws -> Set<AttemptID> {
    let plain = answers.map(\.handed).filter { $0.isFirst && $0.job.contact == nil }
    guard !plain.isEmpty else { return [] }
    let rows = try query(
      """
      SELECT a.attempt_id, j.version FROM attempt a JOIN proactive_job j ON j.job_id = a.job_id
      WHERE a.attempt_id IN {{list_text:$1}} AND a.state = 'handing' AND a.version = 1 AND j.state = 'active'
      """, [.list(plain.map(\.attempt.id.description))])
    var versions: [String: Int] = [:]
    for row in rows { versions[try row.text("attempt_id")] = try row.count("version") }
    return Set(plain.filter { versions[$0.attempt.id.description] == $0.job.version }.map(\.attempt.id))
  }

  private func accept(_ handed: HandedOver, _ receipt: Receipt, at time: Timestamp) throws -> Attempt.State {
    let (attempt, job) = (handed.attempt, handed.job)
    var machine = attempt.machine
    _ = machine.learn(.submitted(.accepted(receipt)))
    let contact = try addContact(of: attempt, job, machine, at: time)
    try execute(
      """
      UPDATE attempt SET state = $2, peer_id = $3, settled_at = $4, contact_id = $5, version = version + 1
      WHERE attempt_id = $1
      """,
      [.id(attempt.id), SQLValue(machine.state), SQLValue(machine.peerID), SQLValue(time), .id(contact)])
    for part in receipt.partIDs { try name(part, attempt.id, on: attempt.channel) }
    try execute(
      """
      UPDATE proactive_job SET state = 'done', reason = $2, updated_at = $3, version = version + 1 WHERE job_id = $1
      """, [.id(job.id), SQLValue(machine.state), SQLValue(time)])
    // As `update` tells it.
    try append(
      EventRecord(
        at: time, type: .jobEnded, subject: job.id.description, request: job.request, customerNo: job.customerNo,
        actor: "liaison",
        body: try JSONText.encode([
          "attempt": attempt.id.description, "reason": machine.state.rawValue,
          "state": ProactiveJob.State.done.rawValue,
        ])))
    return machine.state
  }
}

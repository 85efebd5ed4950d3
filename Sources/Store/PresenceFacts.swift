import Channels
import ContactModel

extension WriteTransaction {
  /// Applies what a switch says of a device's place in one of its queues, and what follows for the agent who sits there.
  ///
  /// A switch tells each queue on its own: an agent is paused only when he is in all his queues, and his telephone
  /// rings or is busy as soon as one of them says so. What an agent said himself at the desk (offline, not ready,
  /// wrap-up) is not undone by an idle telephone. A device where nobody sits is kept and changes nobody.
  public func passPresence(_ presence: AgentPresence, at time: Timestamp) throws {
    let wasPaused = try isPaused(try rows(of: presence.device))
    try keep(presence)
    guard let id = try agent(at: presence.device), let before = try agent(id) else { return }
    let places = try rows(of: presence.device)
    let hasResumed = try wasPaused && !isPaused(places)
    guard var (state, reason) = try agentState(places, before: before, hasResumed: hasResumed) else { return }
    if state == .ready, let next = before.nextState { (state, reason) = (next, before.nextReason) }
    _ = try setState(state, of: id, reason: reason, actor: .liaison, at: time)
  }

  private func rows(of device: String) throws -> [Row] {
    try query("SELECT * FROM queue_member WHERE device = $1 ORDER BY at DESC, queue", [.text(device)])
  }

  private func isPaused(_ rows: [Row]) throws -> Bool { try !rows.isEmpty && rows.allSatisfy { try $0.bool("paused") } }

  private func keep(_ presence: AgentPresence) throws {
    guard presence.isMember else {
      try execute(
        "DELETE FROM queue_member WHERE device = $1 AND server = $2 AND queue = $3",
        [.text(presence.device), .text(presence.server), .text(presence.queue)])
      return
    }
    try execute(
      """
      INSERT INTO queue_member(server, device, queue, member, name, state, paused, pause_reason, in_call, at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      ON CONFLICT (device, server, queue) DO UPDATE SET member = excluded.member, name = excluded.name,
        state = excluded.state, paused = excluded.paused, pause_reason = excluded.pause_reason,
        in_call = excluded.in_call, at = excluded.at
      """,
      [
        .text(presence.server), .text(presence.device), .text(presence.queue), .text(presence.member),
        SQLValue(presence.name), SQLValue(presence.state), SQLValue(presence.isPaused),
        SQLValue(presence.pauseReason), SQLValue(presence.isInCall), SQLValue(presence.at),
      ])
  }

  /// Nil if nothing follows for him.
  private func agentState(
    _ rows: [Row], before: Agent, hasResumed: Bool
  ) throws -> (Agent.State, String?)? {
    // Who has not logged in is not at work, whatever his telephone does.
    if before.state == .offline { return nil }
    let isOwnWord = before.stateReason?.hasPrefix(telephoneReason) != true
    let states = try rows.map { try $0.word("state", as: AgentPresence.State.self) }
    if rows.isEmpty {
      if before.state == .notReady && isOwnWord { return nil }
      return (.notReady, telephoneReason + " is in no queue")
    }
    if states.contains(.busy) || states.contains(.onHold) { return (.busy, nil) }
    if states.contains(.ringing) { return (.reserved, nil) }
    if states.allSatisfy({ $0 == .unavailable }) {
      return (.notReady, telephoneReason + " unavailable")
    }
    if try isPaused(rows) {
      if before.state == .wrapUp || before.state == .notReady && isOwnWord { return nil }
      let reason = try rows.compactMap { try $0.textOrNil("pause_reason") }.first { !$0.isEmpty }
      return (.notReady, reason.map { telephoneReason + " paused: " + $0 } ?? telephoneReason + " paused")
    }
    switch before.state {
    case .offline, .wrapUp, .ready: return nil
    case .notReady: return isOwnWord && !hasResumed ? nil : (.ready, nil)
    case .reserved, .busy: return (.ready, nil)
    }
  }

}

/// How reasons begin that the telephone gave and the telephone may take back.
private let telephoneReason = "telephone"

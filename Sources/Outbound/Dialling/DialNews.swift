import Channels
import ContactModel
import Store

/// What is to be noted of an open showing.
enum DialNews: Hashable, Sendable {
  /// The customer answered.
  case answered(at: Timestamp)
  /// The call has ended.
  case over(DialOutcome, at: Timestamp)
  /// The order surely never reached the exchange, or was refused by it.
  case neverPlaced
  /// Nothing was seen of it in time.
  case lost
  /// Nobody will know any more.
  case forgotten
  /// The agent said nothing about the call in time.
  case resultDue
  /// He did nothing about the showing in time.
  case lapsed
  /// It is not to be called now, for this reason.
  case withdrawn(String)
}

extension Connection {
  /// Nil if nothing is new. The call itself is the witness: found by the name it was given, or by what became of its
  /// command where it never came to be.
  func news(
    of dial: DialRecord, _ line: DialLine, _ around: Surroundings, at time: Timestamp
  ) throws -> DialNews? {
    switch dial.state {
    case .declined, .lapsed, .withdrawn, .ended: return nil
    case .offered: return try objection(to: dial, around, at: time)
    case .wrapUp: return dial.resultDue.map { $0 <= time } ?? true ? .resultDue : nil
    case .dialled, .talking, .inDoubt: break
    }
    if let call = try call(of: dial) {
      if let ended = call.ended { return .over(DialOutcome(of: call), at: ended) }
      if let connected = call.connected, dial.answeredAt == nil { return .answered(at: connected) }
      return nil
    }
    let since = dial.dialledAt ?? dial.offeredAt
    let command = try dial.commandId.flatMap { try callCommand($0) }
    switch command?.state {
    case .failed?: return .neverPlaced
    // The commander sends nothing that old; and whichever is written first, this or the sending, keeps out the other.
    case .given? where since + .seconds(6) <= time: return .neverPlaced
    // Cut off while it was sent: the agent is free for the next, and what the exchange tells later is still heard.
    case .inDoubt? where dial.state == .dialled && since + .seconds(5) <= time: return .lost
    case .given?, .sending?, .accepted?, .done?, .inDoubt?, nil: break
    }
    if dial.state == .inDoubt { return since + line.link.memory <= time ? .forgotten : nil }
    // A telephone may ring for 30 seconds; the exchange tells of the call long before.
    return since + .seconds(60) <= time ? .lost : nil
  }

  /// The call as last heard; nil if the exchange never told of it.
  func call(of dial: DialRecord) throws -> CallState? {
    guard let server = dial.server else { return nil }
    // An order that made no leg is told under its own name.
    for name in [dial.callId, dial.attemptId?.description].compactMap(\.self) {
      if let kept = try keptCall(name, on: server) { return try kept.state() }
    }
    return nil
  }

  /// Why a showing must leave the screen; nil if it may stay.
  private func objection(to dial: DialRecord, _ around: Surroundings, at time: Timestamp) throws -> DialNews? {
    if dial.expiresAt <= time { return .lapsed }
    guard let job = try proactiveJob(dial.jobId), job.state == .planned, (job.nextAt ?? job.due) <= time else {
      return .withdrawn("the matter is settled or put off")
    }
    guard let agent = try agent(dial.agentId), agent.state == .ready, agent.device == dial.device else {
      return .withdrawn("the agent is not ready")
    }
    let reading = try reading(of: job, own: nil, around, at: time)
    let decision = decide(reading.request, about: reading.facts, under: around.profile, at: time)
    return decision.verdict == .send(.phone) ? nil : .withdrawn(decision.reason.rawValue)
  }
}

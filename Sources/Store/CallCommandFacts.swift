import Channels
import ContactModel

/// An order to do something to a call, from the moment it is given until it is known what came of it.
public struct CallCommandRecord: Sendable, Hashable, Codable {
  public enum State: String, Sendable, Hashable, Codable, CaseIterable {
    /// Durable; the switch has not heard of it. Moved on by the commander, or failed by it when it was too late.
    case given
    /// It may be on the wire. A restart finds it in doubt.
    case sending
    /// The switch has taken it. Moved on by what the switch tells of the call.
    case accepted
    /// What was ordered has been seen to happen.
    case done
    /// Surely not done.
    case failed
    /// Nobody knows. Never sent again; what the switch tells later may still settle it.
    case inDoubt = "in_doubt"

    public var isFinal: Bool { self == .done || self == .failed }
  }

  public var commandId: CallCommandID
  public var server: String
  /// One word of `CallCommand.Action.word`.
  public var action: String
  public var callId: String?
  public var device: String?
  /// Who is told of it on his stream; nil for a principal who is no agent.
  public var agent: AgentID?
  public var customerNo: CustomerNumber?
  /// What the action says beyond call and device: `to`, `reference`, `mode`, …
  public var detail: [String: String]
  public var state: State
  /// What was seen: `answered`, `transferred`, `busy`, …
  public var outcome: String?
  public var faultCode: Fault.Code?
  public var faultText: String?
  public var actor: String
  public var createdAt: Timestamp
  public var sentAt: Timestamp?
  /// When nothing more was to be expected; nil while something may still be told.
  public var settledAt: Timestamp?
  public var version: Int

  public init(
    commandId: CallCommandID, command: CallCommand, callId: String?, agent: AgentID?, customerNo: CustomerNumber?,
    actor: String, at time: Timestamp
  ) {
    self.commandId = commandId
    server = command.server
    action = command.action.word
    self.callId = callId
    device = command.action.device
    self.agent = agent
    self.customerNo = customerNo
    detail = command.action.detail
    state = .given
    self.actor = actor
    createdAt = time
    version = 1
  }
}

/// A command that was given just now: announced to the commander after the commit.
public struct GivenCallCommand: Sendable, Hashable {
  public var record: CallCommandRecord
  public var command: CallCommand
}

extension CallCommand.Action {
  /// Bounded; what tables, events and metrics call it.
  public var word: String {
    switch self {
    case .originate: "originate"
    case .answer: "answer"
    case .hold: "hold"
    case .resume: "resume"
    case .blindTransfer: "blind_transfer"
    case .attendedTransfer: "attended_transfer"
    case .cancelTransfer: "cancel_transfer"
    case .conference: "conference"
    case .hangUp: "hang_up"
    case .park: "park"
    case .startRecording: "start_recording"
    case .muteRecording: "mute_recording"
    case .stopRecording: "stop_recording"
    case .monitor: "monitor"
    case .setPaused: "set_paused"
    case .joinQueue: "join_queue"
    case .leaveQueue: "leave_queue"
    }
  }

  public static let words = [
    "originate", "answer", "hold", "resume", "blind_transfer", "attended_transfer", "cancel_transfer", "conference",
    "hang_up", "park", "start_recording", "mute_recording", "stop_recording", "monitor", "set_paused", "join_queue",
    "leave_queue",
  ]

  /// The living call it is for; nil for those that begin one or concern none.
  public var callID: String? {
    switch self {
    case .originate, .setPaused, .joinQueue, .leaveQueue: nil
    case .answer(let call, _), .hold(let call, _), .resume(let call, _), .blindTransfer(let call, _, _),
      .attendedTransfer(let call, _, _), .cancelTransfer(let call, _), .conference(let call, _, _),
      .hangUp(let call, _), .park(let call), .startRecording(let call, _), .muteRecording(let call, _),
      .stopRecording(let call), .monitor(let call, _, _, _):
      call
    }
  }

  public var device: String? {
    switch self {
    case .park, .startRecording, .muteRecording, .stopRecording: nil
    case .hangUp(_, let device): device
    case .originate(let device, _, _, _), .answer(_, let device), .hold(_, let device), .resume(_, let device),
      .blindTransfer(_, let device, _), .attendedTransfer(_, let device, _), .cancelTransfer(_, let device),
      .conference(_, let device, _), .monitor(_, let device, _, _), .setPaused(let device, _, _, _),
      .joinQueue(let device, _, _), .leaveQueue(let device, _):
      device
    }
  }

  fileprivate var detail: [String: String] {
    var out: [String: String] = [:]
    switch self {
    case .originate(_, let to, let showing, _):
      out["to"] = to
      out["showing"] = showing
    case .blindTransfer(_, _, let to), .attendedTransfer(_, _, let to): out["to"] = to
    case .conference(_, _, let with): out["with"] = with
    case .startRecording(_, let reference): out["reference"] = reference
    case .muteRecording(_, let muted): out["muted"] = muted ? "true" : "false"
    case .monitor(_, _, let by, let mode):
      out["by"] = by
      out["mode"] = mode.rawValue
    case .setPaused(_, let queue, let paused, let reason):
      out["queue"] = queue
      out["paused"] = paused ? "true" : "false"
      out["reason"] = reason
    case .joinQueue(_, let queue, _), .leaveQueue(_, let queue): out["queue"] = queue
    case .answer, .hold, .resume, .cancelTransfer, .hangUp, .park, .stopRecording: break
    }
    return out
  }
}

/// What is known of a command after something was heard.
public struct CallCommandVerdict: Sendable, Hashable {
  public var state: CallCommandRecord.State
  public var outcome: String?
  public var fault: Fault?
  /// The call an order to originate began, if the switch named it.
  public var callId: String?
  /// False while more may be told: accepted commands whose outcome is a call event, and doubts.
  public var isLast: Bool
  public init(
    _ state: CallCommandRecord.State, outcome: String? = nil, fault: Fault? = nil, callId: String? = nil, isLast: Bool
  ) {
    self.state = state
    self.outcome = outcome
    self.fault = fault
    self.callId = callId
    self.isLast = isLast
  }
}

extension WriteTransaction {
  /// Keeps a command and hands it to the commander after the commit.
  public func give(_ record: CallCommandRecord, _ command: CallCommand, trace: String?) throws {
    try execute(
      """
      INSERT INTO call_command(command_id, server, action, call_id, device, agent_id, customer_no, detail, state, actor,
        created_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'given', $9, $10)
      """,
      [
        .id(record.commandId), .text(record.server), .text(record.action), SQLValue(record.callId),
        SQLValue(record.device), .id(record.agent), .id(record.customerNo),
        .text(try JSONText.encode(record.detail)), .text(record.actor), SQLValue(record.createdAt),
      ])
    try tell(record, at: record.createdAt, trace: trace)
    afterCommit(GivenCallCommand(record: record, command: command))
  }

  /// Committed before the first byte leaves; false if it is not to be sent any more.
  public func beginSending(_ id: CallCommandID, at time: Timestamp) throws -> Bool {
    try execute(
      """
      UPDATE call_command SET state = 'sending', sent_at = $2, version = version + 1
      WHERE command_id = $1 AND state = 'given'
      """, [.id(id), SQLValue(time)]) == 1
  }

  /// Notes what is known now; nil, and nothing written, if that is no news.
  @discardableResult
  public func settle(
    _ id: CallCommandID, _ verdict: CallCommandVerdict, at time: Timestamp
  ) throws -> CallCommandRecord? {
    guard let before = try callCommand(id), !before.state.isFinal, before.settledAt == nil else { return nil }
    let isKnown = verdict.outcome == nil || verdict.outcome == before.outcome
    if before.state == verdict.state, before.faultCode == verdict.fault?.code, isKnown, !verdict.isLast { return nil }
    try execute(
      """
      UPDATE call_command SET state = $2, outcome = CAST($3 AS TEXT), fault_code = CAST($4 AS TEXT),
        fault_text = CAST($5 AS TEXT), call_id = coalesce(CAST($6 AS TEXT), call_id),
        settled_at = CAST($7 AS {{int}}), version = version + 1
      WHERE command_id = $1
      """,
      [
        .id(id), SQLValue(verdict.state), SQLValue(verdict.outcome), SQLValue(verdict.fault?.code),
        SQLValue(verdict.fault.map { String($0.text.prefix(500)) }), SQLValue(verdict.callId),
        SQLValue(verdict.isLast ? time : nil),
      ])
    guard let after = try callCommand(id) else { return nil }
    try tell(after, at: time, trace: nil)
    return after
  }

  private func tell(_ record: CallCommandRecord, at time: Timestamp, trace: String?) throws {
    try append(
      EventRecord(
        at: time, type: .callCommandChanged, subject: record.commandId.description, customerNo: record.customerNo,
        agent: record.agent, actor: record.actor, trace: trace, body: try JSONText.encode(record)))
  }
}

extension Connection {
  public func callCommand(_ id: CallCommandID) throws -> CallCommandRecord? {
    try first("SELECT * FROM call_command WHERE command_id = $1", [.id(id)]).map(CallCommandRecord.init(row:))
  }

  /// Those of which something may still be told, oldest first.
  public func unsettledCallCommands(since time: Timestamp, limit: Int) throws -> [CallCommandRecord] {
    try query(
      "SELECT * FROM call_command WHERE settled_at IS NULL AND created_at >= $1 ORDER BY created_at LIMIT $2",
      [SQLValue(time), SQLValue(limit)]
    ).map(CallCommandRecord.init(row:))
  }

  /// What was ordered of one call, in order.
  public func callCommands(of callID: String, on server: String, limit: Int) throws -> [CallCommandRecord] {
    try query(
      "SELECT * FROM call_command WHERE server = $1 AND call_id = $2 ORDER BY command_id LIMIT $3",
      [.text(server), .text(callID), SQLValue(limit)]
    ).map(CallCommandRecord.init(row:))
  }
}

extension CallCommandRecord {
  init(row: Row) throws {
    commandId = try row.parsed("command_id")
    server = try row.text("server")
    action = try row.text("action")
    callId = try row.textOrNil("call_id")
    device = try row.textOrNil("device")
    agent = try row.parsedOrNil("agent_id")
    customerNo = try row.parsedOrNil("customer_no")
    detail = try JSONText.decode([String: String].self, from: try row.text("detail"))
    state = try row.word("state")
    outcome = try row.textOrNil("outcome")
    faultCode = try row.wordOrNil("fault_code")
    faultText = try row.textOrNil("fault_text")
    actor = try row.text("actor")
    createdAt = try row.time("created_at")
    sentAt = try row.timeOrNil("sent_at")
    settledAt = try row.timeOrNil("settled_at")
    version = try row.count("version")
  }
}

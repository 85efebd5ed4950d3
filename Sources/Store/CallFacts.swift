import Channels
import ContactModel

/// One call as it is kept: what the last event applied said of it, and the contact it is.
public struct KeptCall: Sendable {
  /// Nil while no customer has part in it.
  public var contact: ContactID?
  public var isOpen: Bool
  public var standing: CallStanding
  /// The queue it waited in when it was answered.
  public var answerQueue: String?
  public var version: Int
  /// `CallState` as JSON.
  public var text: String

  public func state() throws -> CallState { try JSONText.decode(CallState.self, from: text) }
}

/// How far a call had come when an event told of it: to know what is late or told again.
///
/// Each event carries the whole call, and a call only grows: what was told once stays in it. The switch's clock is no
/// order by itself, since it may be set back (specs/telephony.md §5, trap 15), nor is growth alone, since the oldest of
/// very many offers are forgotten; an event is behind another when neither puts it ahead. Times in milliseconds, which
/// is what a kept arrival gives back.
public struct CallStanding: Sendable, Hashable {
  public var hasEnded: Bool
  public var milliseconds: Int64
  public var progress: Int

  public init(hasEnded: Bool, milliseconds: Int64, progress: Int) {
    self.hasEnded = hasEnded
    self.milliseconds = milliseconds
    self.progress = progress
  }

  public init(of event: CallEvent) {
    let call = event.call
    var progress = call.transfers.count + call.variables.count
    progress += call.offers.count + call.offers.count { $0.ended != nil }
    progress += call.legs.count + call.legs.count { $0.to != nil }
    progress += call.holds.count + call.holds.count { $0.to != nil }
    progress += call.recordings.count + call.recordings.count { $0.to != nil }
    progress += call.consultations.count + call.consultations.count { $0.ended != nil }
    let facts: [Any?] = [
      call.queued, call.connected, call.ended, call.customerNo, call.caller, call.callerName, call.dialled, call.job,
      call.queue, call.disposition,
    ]
    progress += facts.count { $0 != nil }
    self.init(hasEnded: call.ended != nil, milliseconds: event.at.milliseconds, progress: progress)
  }

  /// True if an event of this standing says nothing that one of `other` did not say.
  public func isBehind(_ other: CallStanding) -> Bool {
    if hasEnded != other.hasEnded { return other.hasEnded }
    return progress == other.progress
      ? milliseconds < other.milliseconds : progress < other.progress && milliseconds <= other.milliseconds
  }
}

/// What one event changed of a call that is a contact: given to whoever shows it, in the same transaction.
public struct CallChange: Sendable {
  public var contact: Contact
  /// Nil for a call that asked for nobody yet, and for the bank's own calls.
  public var request: ServiceRequest?
  /// The call as it was known before; nil when this is the first that is heard of it.
  public var before: CallState?
  public var after: CallState
  /// Who it is from is decided anew.
  public var isIdentified: Bool
  public var at: Timestamp

  public init(
    contact: Contact, request: ServiceRequest?, before: CallState?, after: CallState, isIdentified: Bool, at: Timestamp
  ) {
    self.contact = contact
    self.request = request
    self.before = before
    self.after = after
    self.isIdentified = isIdentified
    self.at = at
  }
}

extension Connection {
  public func keptCall(_ id: String, on server: String) throws -> KeptCall? {
    try first("SELECT * FROM call_state WHERE server = $1 AND call_id = $2", [.text(server), .text(id)])
      .map(KeptCall.init(row:))
  }

  /// The call a contact is; nil for contacts of other channels.
  public func call(of contact: ContactID) throws -> KeptCall? {
    try first("SELECT * FROM call_state WHERE contact_id = $1", [.id(contact)]).map(KeptCall.init(row:))
  }

  /// The calls of a switch that live as far as is known: what a restart resumes or closes.
  public func openCalls(on server: String) throws -> [CallState] {
    try query("SELECT state FROM call_state WHERE server = $1 AND is_open = 1 ORDER BY call_id", [.text(server)]).map {
      try JSONText.decode(CallState.self, from: try $0.text("state"))
    }
  }

  /// The open contacts in which the agent is rung, talks or is consulted now, in the order they reached him.
  public func callsNow(of agent: AgentID, limit: Int) throws -> [ContactID] {
    try query(
      """
      SELECT c.contact_id AS contact_id, min(l.from_at) AS since FROM leg l JOIN contact c ON c.contact_id = l.contact_id
      WHERE l.agent_id = $1 AND l.to_at IS NULL AND c.state = 'open'
      GROUP BY c.contact_id ORDER BY since, c.contact_id LIMIT $2
      """, [.id(agent), SQLValue(limit)]
    ).map { try $0.parsed("contact_id") }
  }
}

extension KeptCall {
  init(row: Row) throws {
    let isOpen = try row.bool("is_open")
    self.init(
      contact: try row.parsedOrNil("contact_id"), isOpen: isOpen,
      standing: CallStanding(
        hasEnded: !isOpen, milliseconds: try row.int("at_ms"), progress: try row.count("progress")),
      answerQueue: try row.textOrNil("answer_queue"), version: try row.count("version"), text: try row.text("state"))
  }
}

extension WriteTransaction {
  /// Keeps a call as it stands now; gives its new version.
  public func keep(
    _ call: CallState, text: String, standing: CallStanding, contact: ContactID?, answerQueue: String?,
    channel: String, at time: Timestamp
  ) throws -> Int {
    try one(
      """
      INSERT INTO call_state(server, call_id, channel, contact_id, is_open, at_ms, progress, answer_queue, state,
        updated_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      ON CONFLICT (server, call_id) DO UPDATE SET contact_id = coalesce(call_state.contact_id, excluded.contact_id),
        is_open = excluded.is_open, at_ms = excluded.at_ms, progress = excluded.progress,
        answer_queue = excluded.answer_queue, state = excluded.state, updated_at = excluded.updated_at,
        version = call_state.version + 1
      RETURNING version
      """,
      [
        .text(call.server), .text(call.callID), .text(channel), .id(contact), SQLValue(call.ended == nil),
        SQLValue(Int(standing.milliseconds)), SQLValue(standing.progress), SQLValue(answerQueue), .text(text),
        SQLValue(time),
      ]
    ).count("version")
  }

  /// Writes the legs of a call that are new or changed since `before`.
  public func keepLegs(
    of contact: ContactID, _ call: CallState, before: CallState?, agents: [String: AgentID]
  ) throws {
    let old = before?.legs ?? []
    for (position, leg) in call.legs.enumerated() {
      let outcome = call.outcome(of: leg)
      if position < old.count, old[position] == leg, before?.outcome(of: leg) == outcome { continue }
      try execute(
        """
        INSERT INTO leg(contact_id, position, device, agent_id, state, from_at, to_at, outcome)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (contact_id, position) DO UPDATE SET device = excluded.device, agent_id = excluded.agent_id,
          state = excluded.state, from_at = excluded.from_at, to_at = excluded.to_at, outcome = excluded.outcome
        """,
        [
          .id(contact), SQLValue(position), .text(leg.device), .id(agents[leg.device]), SQLValue(leg.state),
          SQLValue(leg.from), SQLValue(leg.to), SQLValue(outcome),
        ])
    }
    // The oldest offers of an endless call are forgotten, and with them their legs.
    if old.count > call.legs.count {
      try execute(
        "DELETE FROM leg WHERE contact_id = $1 AND position >= $2", [.id(contact), SQLValue(call.legs.count)])
    }
  }

  /// Brings the contact of a call to what `contact` says of its course. Identity and wrap-up are left alone.
  public func updateCourse(_ contact: Contact, _ call: CallState, detail: String?) throws {
    let holds = call.holds.filter { $0.by == "agent" }
    let held = holds.reduce(Int64(0)) { sum, hold in
      sum + (((hold.to ?? hold.from) - hold.from).wholeMilliseconds)
    }
    try execute(
      """
      UPDATE contact SET state = $2, summary = $3, queue = CAST($4 AS TEXT), agent_id = CAST($5 AS TEXT), answered = $6,
        disposition = CAST($7 AS TEXT), ended_by = CAST($8 AS TEXT), enqueued_at = $9, offered_at = $10,
        accepted_at = $11, connected_at = $11, ended_at = $12, closed_at = $13, hold_count = $14, hold_ms = $15,
        recording_reference = CAST($16 AS TEXT), detail = coalesce(CAST($17 AS {{json}}), detail), late = $18,
        related_contact = coalesce(CAST($19 AS TEXT), related_contact), from_kind = CAST($20 AS TEXT),
        from_canonical = CAST($21 AS TEXT), from_raw = CAST($22 AS TEXT), to_kind = CAST($23 AS TEXT),
        to_canonical = CAST($24 AS TEXT), to_raw = CAST($25 AS TEXT), version = version + 1
      WHERE contact_id = $1
      """,
      [
        .id(contact.id), SQLValue(contact.state), .text(contact.summary), .id(contact.queue), .id(contact.agent),
        SQLValue(contact.answered), SQLValue(contact.disposition), SQLValue(contact.endedBy),
        SQLValue(contact.times.enqueued), SQLValue(contact.times.offered), SQLValue(contact.times.connected),
        SQLValue(contact.times.ended), SQLValue(contact.times.closed), SQLValue(holds.count), SQLValue(Int(held)),
        SQLValue(call.recordings.first?.reference), SQLValue(detail), SQLValue(contact.late),
        .id(contact.chain.related),
      ] + Address.columns(contact.from) + Address.columns(contact.to))
  }

  /// The rule decided anew who a call is from; nothing a person confirmed is touched.
  public func retie(_ contact: Contact, by decision: IdentityDecision) throws {
    try record(decision)
    try execute(
      """
      UPDATE contact SET customer_no = CAST($2 AS TEXT), identity_zone = $3, identity_decision = $4, identified_at = $5
      WHERE contact_id = $1 AND confirmed_by IS NULL
      """,
      [
        .id(contact.id), .id(decision.customerNo), SQLValue(decision.zone), .id(decision.decisionId),
        SQLValue(decision.at),
      ])
    try execute(
      """
      UPDATE service_request SET customer_no = CAST($2 AS TEXT), updated_at = $3, version = version + 1
      WHERE request_id IN (SELECT request_id FROM contact_service_request WHERE contact_id = $1)
        AND (customer_no IS NULL OR customer_no = CAST($4 AS TEXT))
      """, [.id(contact.id), .id(decision.customerNo), SQLValue(decision.at), .id(decision.inverse)])
    try append(
      EventRecord(
        at: decision.at, type: .contactIdentified, subject: contact.id.description, contact: contact.id,
        customerNo: decision.customerNo, channel: contact.channel.name, actor: "liaison",
        body: try JSONText.encode(decision)))
  }
}

extension CallState {
  /// How the ringing of a device ended; nil while it rings, and for other legs.
  func outcome(of leg: Leg) -> String? {
    leg.state == .ringing ? offers.last { $0.device == leg.device && $0.at == leg.from }?.outcome : nil
  }
}

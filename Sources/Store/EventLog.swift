import Channels
import ContactModel

/// One thing that happened: a row of the append-only log, written in the transaction of its cause.
public struct EventRecord: Sendable, Hashable {
  /// Rises in commit order; what `Last-Event-ID` names.
  public var seq: Int64
  public var at: Timestamp
  public var type: EventType
  /// The TypeID or code of what it is about.
  public var subject: String
  public var contact: ContactID?
  public var request: ServiceRequestID?
  public var customerNo: CustomerNumber?
  public var channel: String?
  /// Addressed to this agent alone; else, with `queue`, to the agents of that queue.
  public var agent: AgentID?
  public var queue: Code?
  /// Who caused it: an agent, a client's label, `liaison`.
  public var actor: String?
  /// W3C traceparent of the request that caused it.
  public var trace: String?
  /// JSON object.
  public var body: String

  public init(
    seq: Int64 = 0, at: Timestamp, type: EventType, subject: String, contact: ContactID? = nil,
    request: ServiceRequestID? = nil, customerNo: CustomerNumber? = nil, channel: String? = nil,
    agent: AgentID? = nil, queue: Code? = nil, actor: String? = nil, trace: String? = nil, body: String = "{}"
  ) {
    self.seq = seq
    self.at = at
    self.type = type
    self.subject = subject
    self.contact = contact
    self.request = request
    self.customerNo = customerNo
    self.channel = channel
    self.agent = agent
    self.queue = queue
    self.actor = actor
    self.trace = trace
    self.body = body
  }
}

/// Every kind of event; the names subscribers and webhooks use. Additive only.
public enum EventType: String, Sendable, Hashable, CaseIterable {
  case arrivalQuarantined = "arrival.quarantined"
  case arrivalReprocessed = "arrival.reprocessed"
  case contactOpened = "contact.opened"
  case contactIdentified = "contact.identified"
  case contactUpdated = "contact.updated"
  case contactClosed = "contact.closed"
  case requestOpened = "service_request.opened"
  case requestUpdated = "service_request.updated"
  case requestTaken = "service_request.taken"
  case requestNoted = "service_request.noted"
  case requestReopened = "service_request.reopened"
  case requestResolved = "service_request.resolved"
  case requestClosed = "service_request.closed"
  case popOffered = "pop.offered"
  case popAccepted = "pop.accepted"
  case popWithdrawn = "pop.withdrawn"
  case popUpdated = "pop.updated"
  case popRinging = "pop.ringing"
  case popAnswered = "pop.answered"
  case popHeld = "pop.held"
  case popResumed = "pop.resumed"
  case popConsulting = "pop.consulting"
  case popTransferred = "pop.transferred"
  case popConferenced = "pop.conferenced"
  case popEnded = "pop.ended"
  case callCommandChanged = "call_command.changed"
  case dialOffered = "dial.offered"
  case dialChanged = "dial.changed"
  case agentStateChanged = "agent.state_changed"
  case channelHealthChanged = "channel.health_changed"
  case parameterApplied = "parameter.applied"
  case jobPlanned = "proactive_job.planned"
  case jobDecided = "proactive_job.decided"
  case jobEnded = "proactive_job.ended"
  case attemptChanged = "attempt.changed"
  case attemptContradicted = "attempt.contradicted"
  case preferenceRecorded = "preference.recorded"
  case addressStopped = "address.stopped"
  case killSwitchSet = "kill_switch.set"
  case campaignChanged = "campaign.changed"
  case campaignProgress = "campaign.progress"
  case reportArrived = "delivery_report.arrived"

  /// A contact or call that comes to, changes for, or leaves an agent.
  public var isPop: Bool { rawValue.hasPrefix("pop.") }
  /// What an agent's screen reacts to; streams of agents carry these alone.
  public var isForScreens: Bool {
    isPop || [.callCommandChanged, .agentStateChanged, .dialOffered, .dialChanged].contains(self)
  }
}

extension WriteTransaction {
  /// Appends to the log and publishes to live subscribers after the commit.
  @discardableResult
  public func append(_ event: EventRecord) throws -> EventRecord {
    var event = event
    let values: [SQLValue] = [
      SQLValue(event.at), .text(event.type.rawValue), .text(event.subject), .id(event.contact), .id(event.request),
      .id(event.customerNo), SQLValue(event.channel), .id(event.agent), .id(event.queue),
      SQLValue(event.actor), SQLValue(event.trace), .text(event.body),
    ]
    switch dialect {
    case .sqlite:
      // Two statements where one would make two temporary tables: one to read what it writes to, one for RETURNING.
      event.seq = try (lastEvent ?? lastEventSequence()) + 1
      lastEvent = event.seq
      try execute(
        """
        INSERT INTO event(at, event_type, subject, contact_id, request_id, customer_no, channel, agent_id, queue,
          actor, trace, body, seq)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        """, values + [.int(event.seq)])
    case .postgres:
      let rows = try query(
        """
        INSERT INTO event(seq, at, event_type, subject, contact_id, request_id, customer_no, channel, agent_id, queue,
          actor, trace, body)
        SELECT coalesce(max(seq), 0) + 1, CAST($1 AS {{int}}), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT),
          CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS TEXT), CAST($9 AS TEXT), CAST($10 AS TEXT),
          CAST($11 AS TEXT), CAST($12 AS {{json}})
        FROM event RETURNING seq
        """, values)
      event.seq = try rows[0].int("seq")
    }
    afterCommit(event)
    return event
  }
}

/// Whose events are wanted.
public enum EventAudience: Sendable, Hashable {
  case everything
  /// Within some departments, or about no customer, queue or agent at all.
  case within(DepartmentScope)
  /// Addressed to the agent, or to one of his queues and to nobody in particular.
  case agent(AgentID, queues: Set<Code>)
}

extension Connection {
  /// Events after `seq`, oldest first, at most `limit`; the audience's alone, of one type or subject where given.
  public func events(
    after seq: Int64, for audience: EventAudience = .everything, type: EventType? = nil, about subject: String? = nil,
    limit: Int
  ) throws -> [EventRecord] {
    var conditions = Conditions()
    conditions.add("seq >", .int(seq))
    conditions.add("event_type =", type.map { SQLValue($0) })
    conditions.add("subject =", .some(subject))
    switch audience {
    case .everything: break
    case .within(let scope): conditions.add(scope, .event)
    case .agent(let agent, let queues):
      let own = "agent_id = \(conditions.placeholder(.id(agent)))"
      if queues.isEmpty {
        conditions.add(own, if: true)
      } else {
        let list = conditions.placeholder(.list(queues.map(\.description).sorted()))
        conditions.add("(\(own) OR (agent_id IS NULL AND queue IN {{list_text:\(list)}}))", if: true)
      }
    }
    let bound = conditions.placeholder(SQLValue(limit))
    return try query("SELECT * FROM event \(conditions.sql) ORDER BY seq LIMIT \(bound)", conditions.parameters)
      .map(EventRecord.init(row:))
  }

  /// One event, if the audience may see it.
  public func event(_ seq: Int64, for audience: EventAudience) throws -> EventRecord? {
    try events(after: seq - 1, for: audience, limit: 1).first { $0.seq == seq }
  }

  /// Zero when nothing happened yet.
  public func lastEventSequence() throws -> Int64 {
    try query("SELECT coalesce(max(seq), 0) AS seq FROM event", [])[0].int("seq")
  }
}

extension EventRecord {
  init(row: Row) throws {
    self.init(
      seq: try row.int("seq"), at: try row.time("at"), type: try row.word("event_type"),
      subject: try row.text("subject"), contact: try row.parsedOrNil("contact_id"),
      request: try row.parsedOrNil("request_id"),
      customerNo: try row.parsedOrNil("customer_no"), channel: try row.textOrNil("channel"),
      agent: try row.parsedOrNil("agent_id"), queue: try row.parsedOrNil("queue"), actor: try row.textOrNil("actor"),
      trace: try row.textOrNil("trace"), body: try row.text("body"))
  }
}

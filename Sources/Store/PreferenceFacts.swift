import Channels
import ContactModel

/// Flags of a customer that bear on every contact with him.
public struct CustomerFlags: Hashable, Sendable, Codable {
  public var deceased = false
  public var minor = false
  public var guardian: CustomerNumber?
  /// Only his customer manager may contact him.
  public var managerOnly = false
  public var noProfiling = false
  public var household: String?
  public init() {}
}

/// A time in which a customer is left alone, as kept.
public struct QuietRecord: Hashable, Sendable {
  public var id: QuietID
  public var quiet: DoNotDisturb
  public init(id: QuietID, quiet: DoNotDisturb) {
    self.id = id
    self.quiet = quiet
  }
}

extension WriteTransaction {
  /// Keeps a proof; the same id again is the same proof.
  public func record(_ evidence: ConsentEvidence) throws {
    try execute(
      """
      INSERT INTO evidence(evidence_id, evidence_kind, reference, hash, captured_at, captured_by, ip)
      VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (evidence_id) DO NOTHING
      """,
      [
        .id(evidence.id), SQLValue(evidence.kind), .text(evidence.reference), SQLValue(evidence.hash),
        SQLValue(evidence.capturedAt), .text(evidence.capturedBy), SQLValue(evidence.ip),
      ])
  }

  /// Adds what a customer said about a channel; what he said before stays and is superseded by the rules of precedence.
  public func record(
    _ preference: ChannelPreference, id: PreferenceID, of customer: CustomerNumber, evidence: ConsentEvidence,
    policyVersion: String, actor: Actor, at time: Timestamp
  ) throws {
    try record(evidence)
    try execute(
      """
      INSERT INTO preference(preference_id, customer_no, channel, purpose, verdict, rank, effective_at, valid_until,
        source, evidence_id, policy_version, recorded_at, recorded_by)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
      """,
      [
        .id(id), .id(customer), .text(preference.channel?.rawValue ?? "*"),
        .text(preference.purpose?.rawValue ?? "*"), SQLValue(preference.verdict), SQLValue(preference.rank),
        SQLValue(preference.effectiveAt), SQLValue(preference.validUntil), SQLValue(preference.source.rawValue),
        .id(evidence.id), .text(policyVersion), SQLValue(time), .text(actor.label),
      ])
    reproject(customer, at: time)
    try append(
      EventRecord(
        at: time, type: .preferenceRecorded, subject: id.description, customerNo: customer, actor: actor.label,
        trace: actor.trace,
        body: try JSONText.encode([
          "channel": preference.channel?.rawValue ?? "*", "purpose": preference.purpose?.rawValue ?? "*",
          "verdict": preference.verdict.rawValue,
        ])))
  }

  /// Stops an address, whoever holds it; nil `channel`: for every channel that uses it. False if it was stopped already.
  @discardableResult
  public func stop(
    _ address: Address, id: StopID, channel: OutboundChannel?, scope: StopScope, evidence: ConsentEvidence,
    at time: Timestamp
  ) throws -> Bool {
    try record(evidence)
    try execute(
      """
      INSERT INTO contact_point(kind, canonical, state, state_since, source) VALUES ($1, $2, 'ok', $3, 'stop')
      ON CONFLICT (kind, canonical) DO NOTHING
      """, [SQLValue(address.kind), .text(address.canonical), SQLValue(time)])
    let added = try execute(
      """
      INSERT INTO address_stop(stop_id, kind, canonical, channel, scope, at, evidence_id)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      ON CONFLICT (kind, canonical, channel, scope) WHERE lifted_at IS NULL DO NOTHING
      """,
      [
        .id(id), SQLValue(address.kind), .text(address.canonical), .text(channel?.rawValue ?? "*"), SQLValue(scope),
        SQLValue(evidence.capturedAt), .id(evidence.id),
      ])
    guard added > 0 else { return false }
    try reproject(holdersOf: address, at: time)
    try append(
      EventRecord(
        at: time, type: .addressStopped, subject: id.description, actor: evidence.capturedBy,
        body: try JSONText.encode(["channel": channel?.rawValue ?? "*", "scope": scope.rawValue])))
    return true
  }

  /// Lifts every stop of an address on a channel, for which the holder's own new word is needed. Answers how many.
  @discardableResult
  public func liftStops(
    on address: Address, channel: OutboundChannel?, evidence: ConsentEvidence, at time: Timestamp
  ) throws -> Int {
    try record(evidence)
    try reproject(holdersOf: address, at: time)
    return try execute(
      """
      UPDATE address_stop SET lifted_at = $4, lifted_evidence = $5
      WHERE kind = $1 AND canonical = $2 AND channel = $3 AND lifted_at IS NULL
      """,
      [
        SQLValue(address.kind), .text(address.canonical), .text(channel?.rawValue ?? "*"), SQLValue(time),
        .id(evidence.id),
      ])
  }

  /// Sets the state of an address, whoever holds it.
  public func setState(_ state: ContactPoint.State, of address: Address, source: String, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO contact_point(kind, canonical, state, state_since, source) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (kind, canonical) DO UPDATE SET state = excluded.state, state_since = excluded.state_since,
        source = excluded.source WHERE contact_point.state <> excluded.state
      """,
      [SQLValue(address.kind), .text(address.canonical), SQLValue(state), SQLValue(time), .text(source)])
    try reproject(holdersOf: address, at: time)
  }

  public func record(
    _ record: QuietRecord, of customer: CustomerNumber, evidence: ConsentEvidence, at time: Timestamp
  ) throws {
    try self.record(evidence)
    var times: [SQLValue]
    switch record.quiet.time {
    case .daily(let window):
      times = [
        SQLValue(window.from), SQLValue(window.to), SQLValue(window.days.reduce(0) { $0 | 1 << ($1 - 1) }), .null,
        .null,
      ]
    case .range(let from, let to): times = [.null, .null, .null, SQLValue(from), SQLValue(to)]
    }
    try execute(
      """
      INSERT INTO do_not_disturb(quiet_id, customer_no, channel, from_minute, to_minute, days, from_at, to_at,
        evidence_id, recorded_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [.id(record.id), .id(customer), .text(record.quiet.channel?.rawValue ?? "*")] + times + [
        .id(evidence.id), SQLValue(time),
      ])
    reproject(customer, at: time)
  }

  /// False if there is no such quiet time, or it was lifted before.
  public func liftQuiet(_ id: QuietID, at time: Timestamp) throws -> Bool {
    let lifted = try query(
      "UPDATE do_not_disturb SET lifted_at = $2 WHERE quiet_id = $1 AND lifted_at IS NULL RETURNING customer_no",
      [.id(id), SQLValue(time)])
    for row in lifted { reproject(try row.parsed("customer_no"), at: time) }
    return !lifted.isEmpty
  }

  /// Nil `purpose`: every purpose.
  public func stopLegally(
    _ customer: CustomerNumber, id: StopID, purpose: Purpose?, until: Timestamp?, reason: String, actor: Actor,
    at time: Timestamp
  ) throws {
    try execute(
      """
      INSERT INTO legal_stop(stop_id, customer_no, purpose, from_at, to_at, reason, recorded_by)
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .id(id), .id(customer), .text(purpose?.rawValue ?? "*"), SQLValue(time), SQLValue(until), .text(reason),
        .text(actor.label),
      ])
    reproject(customer, at: time)
  }

  /// Ends a legal stop. False if there is none, or it has ended.
  public func liftLegalStop(_ id: StopID, of customer: CustomerNumber, actor: Actor, at time: Timestamp) throws -> Bool
  {
    let changed = try execute(
      """
      UPDATE legal_stop SET to_at = $3, lifted_by = $4
      WHERE stop_id = $1 AND customer_no = $2 AND (to_at IS NULL OR to_at > $3)
      """, [.id(id), .id(customer), SQLValue(time), .text(actor.label)])
    reproject(customer, at: time)
    return changed > 0
  }

  public func set(_ flags: CustomerFlags, of customer: CustomerNumber, actor: Actor, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO customer_flag(customer_no, deceased, minor, guardian, manager_only, no_profiling, household,
        updated_at, updated_by)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      ON CONFLICT (customer_no) DO UPDATE SET deceased = excluded.deceased, minor = excluded.minor,
        guardian = excluded.guardian, manager_only = excluded.manager_only, no_profiling = excluded.no_profiling,
        household = excluded.household, updated_at = excluded.updated_at, updated_by = excluded.updated_by
      """,
      [
        .id(customer), SQLValue(flags.deceased), SQLValue(flags.minor), .id(flags.guardian),
        SQLValue(flags.managerOnly), SQLValue(flags.noProfiling), SQLValue(flags.household), SQLValue(time),
        .text(actor.label),
      ])
    reproject(customer, at: time)
  }

  /// Stops all proactive service but the critical, or lets it go on.
  public func setKillSwitch(_ on: Bool, actor: Actor, at time: Timestamp) throws {
    try setControl("kill_switch", to: on ? "on" : "off", by: actor.label, at: time)
    try append(
      EventRecord(
        at: time, type: .killSwitchSet, subject: "kill_switch", actor: actor.label, trace: actor.trace,
        body: try JSONText.encode(["state": on ? "on" : "off"])))
  }

  /// A switch or position of proactive service.
  public func setControl(_ name: String, to value: String, by actor: String, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO outbound_control(name, value, set_at, set_by) VALUES ($1, $2, $3, $4)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = excluded.set_at, set_by = excluded.set_by
      """, [.text(name), .text(value), SQLValue(time), .text(actor)])
  }
}

extension Connection {
  public func control(_ name: String) throws -> String? {
    try first("SELECT value FROM outbound_control WHERE name = $1", [.text(name)])?.text("value")
  }

  public func killSwitch() throws -> Bool { try control("kill_switch") == "on" }

  /// Everything a customer ever said about channels, in force or not, oldest first.
  public func preferences(of customer: CustomerNumber) throws -> [ChannelPreference] {
    try query("SELECT * FROM preference WHERE customer_no = $1 ORDER BY effective_at, preference_id", [.id(customer)])
      .map(ChannelPreference.init(row:))
  }

  public func quiets(of customer: CustomerNumber) throws -> [QuietRecord] {
    try query("SELECT * FROM do_not_disturb WHERE customer_no = $1 AND lifted_at IS NULL", [.id(customer)])
      .map(QuietRecord.init(row:))
  }

  /// Purposes stopped by law at `time`; nil among them stands for every purpose.
  public func legalStops(of customer: CustomerNumber, at time: Timestamp) throws -> [Purpose?] {
    try query(
      "SELECT purpose FROM legal_stop WHERE customer_no = $1 AND from_at <= $2 AND (to_at IS NULL OR to_at > $2)",
      [.id(customer), SQLValue(time)]
    ).map { row in
      let purpose = try row.text("purpose")
      return purpose == "*" ? nil : Purpose(rawValue: purpose)
    }
  }

  public func flags(of customer: CustomerNumber) throws -> CustomerFlags {
    try first("SELECT * FROM customer_flag WHERE customer_no = $1", [.id(customer)]).map(CustomerFlags.init(row:))
      ?? CustomerFlags()
  }

  /// The widest stop of an address for a channel; nil if none.
  public func stop(on address: Address, for channel: OutboundChannel) throws -> StopScope? {
    let scopes: [StopScope] = try query(
      """
      SELECT scope FROM address_stop
      WHERE kind = $1 AND canonical = $2 AND lifted_at IS NULL AND channel IN ('*', $3)
      """, [SQLValue(address.kind), .text(address.canonical), .text(channel.rawValue)]
    ).map { try $0.word("scope") }
    return scopes.contains(.all) ? .all : scopes.first
  }
}

extension ChannelPreference {
  init(row: Row) throws {
    let channel = try row.text("channel")
    let purpose = try row.text("purpose")
    guard let source = Source(rawValue: try row.count("source")) else {
      throw DatabaseError(.misuse, "column source holds no source")
    }
    self.init(
      channel: channel == "*" ? nil : OutboundChannel(rawValue: channel),
      purpose: purpose == "*" ? nil : Purpose(rawValue: purpose), verdict: try row.word("verdict"),
      rank: try row.count("rank"), effectiveAt: try row.time("effective_at"),
      validUntil: try row.timeOrNil("valid_until"), source: source)
  }
}

extension QuietRecord {
  init(row: Row) throws {
    let channel = try row.text("channel")
    let time: DoNotDisturb.Time
    if let from = try row.timeOrNil("from_at") {
      time = .range(from: from, to: try row.time("to_at"))
    } else {
      let mask = try row.count("days")
      let window = DailyWindow(
        from: try row.count("from_minute"), to: try row.count("to_minute"),
        days: (1...7).filter { mask >> ($0 - 1) & 1 == 1 })
      guard let window else { throw DatabaseError(.misuse, "do_not_disturb holds no window") }
      time = .daily(window)
    }
    self.init(
      id: try row.parsed("quiet_id"),
      quiet: DoNotDisturb(channel: channel == "*" ? nil : OutboundChannel(rawValue: channel), time: time))
  }
}

extension CustomerFlags {
  init(row: Row) throws {
    deceased = try row.bool("deceased")
    minor = try row.bool("minor")
    guardian = try row.parsedOrNil("guardian")
    managerOnly = try row.bool("manager_only")
    noProfiling = try row.bool("no_profiling")
    household = try row.textOrNil("household")
  }
}

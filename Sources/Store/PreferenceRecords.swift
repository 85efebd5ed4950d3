import Channels
import ContactModel

/// A statement as kept: what was said, what proves it, under which policy, by whom.
public struct PreferenceRecord: Hashable, Sendable {
  public var id: PreferenceID
  public var preference: ChannelPreference
  public var evidence: ConsentEvidence
  public var policyVersion: String
  public var recordedAt: Timestamp
  public var recordedBy: String
}

/// A legal stop as kept.
public struct LegalStopRecord: Hashable, Sendable {
  public var id: StopID
  /// Nil: every purpose.
  public var purpose: Purpose?
  public var from: Timestamp
  public var to: Timestamp?
  public var reason: String
  public var recordedBy: String
  public var liftedBy: String?
}

extension Connection {
  /// Everything a customer ever said about channels with its proof, oldest first.
  public func preferenceRecords(of customer: CustomerNumber) throws -> [PreferenceRecord] {
    try query(
      """
      SELECT p.*, e.evidence_kind, e.reference, e.hash, e.captured_at, e.captured_by, e.ip
      FROM preference p JOIN evidence e ON e.evidence_id = p.evidence_id
      WHERE p.customer_no = $1 ORDER BY p.effective_at, p.preference_id
      """, [.id(customer)]
    ).map { row in
      PreferenceRecord(
        id: try row.parsed("preference_id"),
        preference: try ChannelPreference(row: row),
        evidence: ConsentEvidence(
          id: try row.parsed("evidence_id"), kind: try row.word("evidence_kind"), reference: try row.text("reference"),
          hash: try row.textOrNil("hash"), capturedAt: try row.time("captured_at"),
          capturedBy: try row.text("captured_by"), ip: try row.textOrNil("ip")),
        policyVersion: try row.text("policy_version"), recordedAt: try row.time("recorded_at"),
        recordedBy: try row.text("recorded_by"))
    }
  }

  public func legalStopRecords(of customer: CustomerNumber) throws -> [LegalStopRecord] {
    try query("SELECT * FROM legal_stop WHERE customer_no = $1 ORDER BY from_at, stop_id", [.id(customer)]).map { row in
      let purpose = try row.text("purpose")
      return LegalStopRecord(
        id: try row.parsed("stop_id"), purpose: purpose == "*" ? nil : Purpose(rawValue: purpose),
        from: try row.time("from_at"), to: try row.timeOrNil("to_at"), reason: try row.text("reason"),
        recordedBy: try row.text("recorded_by"), liftedBy: try row.textOrNil("lifted_by"))
    }
  }

  /// Who lives in a household, by number.
  public func household(_ name: String, limit: Int) throws -> [CustomerNumber] {
    try query(
      "SELECT customer_no FROM customer_flag WHERE household = $1 ORDER BY customer_no LIMIT $2",
      [.text(name), SQLValue(limit)]
    ).map { try $0.parsed("customer_no") }
  }
}

extension WriteTransaction {
  /// Numbers on a public do-not-call register: adds them, or takes them off. Answers how many changed.
  public func setRegister(_ addresses: [Address], isListed: Bool, at time: Timestamp) throws -> Int {
    var changed = 0
    for address in addresses {
      changed += try execute(
        isListed
          ? """
          INSERT INTO register_entry(kind, canonical, loaded_at) VALUES ($1, $2, $3)
          ON CONFLICT (kind, canonical) DO UPDATE SET loaded_at = excluded.loaded_at
          """ : "DELETE FROM register_entry WHERE kind = $1 AND canonical = $2 AND loaded_at <= $3",
        [SQLValue(address.kind), .text(address.canonical), SQLValue(time)])
      try reproject(holdersOf: address, at: time)
    }
    return changed
  }
}

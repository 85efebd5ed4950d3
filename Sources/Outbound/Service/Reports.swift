import Channels
import ContactModel
import Store

/// Delivery reports as Intake has kept them, applied to the attempts they are about.
///
/// A report names an attempt by our name for it or by one of the peer's; which channel it came through matters only for
/// the peer's names. A report about nothing known is parked: the peer may have been quicker than our own commit. Each is
/// evidence once. Source: specs/outbound.md §3 "Evidence".
extension WriteTransaction {
  /// Settles at most `limit` reports after the last; answers how many were looked at.
  func settleReports(_ around: Surroundings, limit: Int, at time: Timestamp) throws -> Int {
    let position = try reportPosition()
    let found = try events(after: position, type: .reportArrived, limit: limit)
    for event in found {
      let report = try JSONText.decode(DeliveryReport.self, from: event.body)
      let channel = event.channel ?? ""
      if let id = try attempt(named: report, on: channel) {
        try take(report, key: String(event.seq), on: channel, about: id, around, at: time)
      } else {
        try park(report, key: String(event.seq), on: channel, at: time)
      }
    }
    // Where nothing more came, the search goes on behind everything there is.
    let end = found.count < limit ? try lastEventSequence() : found.last?.seq ?? position
    if end > position, !found.isEmpty || end - position > 10_000 {
      try setControl("reports_settled", to: String(end), by: "liaison", at: time)
    }
    return found.count
  }

  /// Takes in what was parked under names the peer has now given to this attempt.
  func settleParked(
    about id: AttemptID, on channel: String, _ names: [String], _ around: Surroundings, at time: Timestamp
  ) throws {
    for name in Set(names).sorted() {
      let parked = try query(
        "SELECT event_key, body FROM report_parked WHERE channel = $1 AND peer_id = $2 ORDER BY at, event_key",
        [.text(channel), .text(name)])
      for row in parked {
        let key = try row.text("event_key")
        try execute("DELETE FROM report_parked WHERE channel = $1 AND event_key = $2", [.text(channel), .text(key)])
        let report = try JSONText.decode(DeliveryReport.self, from: row.text("body"))
        try take(report, key: key, on: channel, about: id, around, at: time)
      }
    }
  }

  private func take(
    _ report: DeliveryReport, key: String, on channel: String, about id: AttemptID, _ around: Surroundings,
    at time: Timestamp
  ) throws {
    let added = try execute(
      """
      INSERT INTO attempt_evidence(channel, event_key, attempt_id, at, body) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (channel, event_key) DO NOTHING
      """, [.text(channel), .text(key), .id(id), SQLValue(time), .text(try JSONText.encode(report))])
    guard added > 0 else { return }
    try settle(id, .reported(report), link: nil, around, at: time)
  }

  private func park(_ report: DeliveryReport, key: String, on channel: String, at time: Timestamp) throws {
    try execute(
      """
      INSERT INTO report_parked(channel, event_key, wire_identity, peer_id, at, body) VALUES ($1, $2, $3, $4, $5, $6)
      ON CONFLICT (channel, event_key) DO NOTHING
      """,
      [
        .text(channel), .text(key), SQLValue(report.wireIdentity), SQLValue(report.peerID), SQLValue(time),
        .text(try JSONText.encode(report)),
      ])
    // A week later nobody will name it any more.
    try execute("DELETE FROM report_parked WHERE at < $1", [SQLValue(time - .seconds(7 * 86_400))])
  }
}

extension Connection {
  /// Behind which event the search for reports goes on.
  func reportPosition() throws -> Int64 { try control("reports_settled").flatMap(Int64.init) ?? 0 }
}

import Channels
import ContactModel
import Store

/// Messages that may have been brought before: the wire gives them no id, and its answer to the first may have been lost.
///
/// The adapter tells each by a fingerprint (property `message.fingerprint`) and says when a repeat is to be reckoned with
/// (`message.may_repeat`): soon after a session began. Whether a customer said the same twice or the network did, nothing
/// tells for sure; so such a message is kept, shown and marked, and stands with the request of the first instead of
/// opening a second. Source: specs/sms.md §6 "MO answered late is sent twice".
struct PossibleRepeat: Sendable {
  var of: ContactID
  /// Where the first belongs, if that is not closed.
  var request: ServiceRequestID?

  static let fingerprint = "message.fingerprint"
  static let mayRepeat = "message.may_repeat"
  /// In the detail of a contact: the contact it possibly repeats.
  static let mark = "possibly_repeats"
  /// How far back the first may be: an SMSC gives up after a day or two.
  static let reach: Duration = .seconds(2 * 86_400)
}

extension Connection {
  /// The newest earlier contact that says the same from the same sender; nil where no repeat is to be reckoned with.
  func possibleRepeat(_ message: InboundMessage, of kept: KeptArrival) throws -> PossibleRepeat? {
    func property(_ key: String) -> String? { message.properties.first { $0.key == key }?.value }
    guard property(PossibleRepeat.mayRepeat) != nil, let print = property(PossibleRepeat.fingerprint),
      let from = kept.from
    else { return nil }
    let rows = try query(
      """
      SELECT c.contact_id, c.detail, l.request_id, r.status
      FROM contact c LEFT JOIN contact_service_request l ON l.contact_id = c.contact_id
        LEFT JOIN service_request r ON r.request_id = l.request_id
      WHERE c.from_kind = $1 AND c.from_canonical = $2 AND c.received_at > $3 AND c.received_at <= $4
        AND c.channel = $5 AND (c.arrival_id IS NULL OR c.arrival_id <> $6)
      ORDER BY c.received_at DESC LIMIT 50
      """,
      [
        SQLValue(from.kind), .text(from.canonical), SQLValue(kept.receivedAt - PossibleRepeat.reach),
        SQLValue(kept.receivedAt), .text(kept.channel.name), .id(kept.id),
      ])
    for row in rows {
      let detail = try JSONText.decode([String: String].self, from: row.textOrNil("detail") ?? "{}")
      guard detail[PossibleRepeat.fingerprint] == print else { continue }
      let isOpen = try row.textOrNil("status").map { $0 != "closed" } ?? false
      return PossibleRepeat(
        of: try row.parsed("contact_id"), request: isOpen ? try row.parsedOrNil("request_id") : nil)
    }
    return nil
  }
}

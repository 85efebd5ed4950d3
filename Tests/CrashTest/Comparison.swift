import Channels
import Foundation
import Store

/// The senders' list of forms against the store: what was acknowledged is there once, nothing is there twice, the ledger balances.
struct Comparison {
  private(set) var failures: [String] = []
  private(set) var arrivals = 0
  private(set) var contacts = 0
  private(set) var requests = 0
  private(set) var events: Int64 = 0
  private(set) var ledger: [LedgerLine] = []

  private mutating func fail(_ text: String) { failures.append(text) }

  init(of senders: Senders, with database: Database) async throws {
    let keys = senders.keys
    let counts = senders.counts
    for text in counts.unexpected { fail("an answer nobody expected: \(text)") }

    struct Kept {
      var id: String
      var reference: String?
      var state: String
      var contacts = 0
      var requests = 0
      var requestReference: String?
      var offers = 0
    }
    let (rows, links, offers, orphans, check, log) = try await database.read(.bulk) { connection in
      (
        try connection.query(
          "SELECT arrival_id, wire_key, reference, state FROM arrival WHERE channel_kind = 'webform'", []),
        try connection.query(
          """
          SELECT c.arrival_id, c.contact_id, r.request_id, r.reference FROM contact c
            LEFT JOIN contact_service_request l ON l.contact_id = c.contact_id
            LEFT JOIN service_request r ON r.request_id = l.request_id
          WHERE c.channel_kind = 'webform'
          """, []),
        try connection.query(
          """
          SELECT c.arrival_id, count(*) AS n FROM event e JOIN contact c ON c.contact_id = e.contact_id
          WHERE e.event_type = 'pop.offered' AND c.channel_kind = 'webform' GROUP BY c.arrival_id
          """, []),
        try connection.query(
          """
          SELECT request_id FROM service_request r WHERE NOT EXISTS
            (SELECT 1 FROM contact_service_request l WHERE l.request_id = r.request_id)
          """, []),
        try connection.query("PRAGMA integrity_check", []),
        try connection.query("SELECT count(*) AS n, coalesce(max(seq), 0) AS last FROM event", [])
      )
    }
    let lines = try await database.read(.bulk) { try $0.ledger(since: nil) }
    for line in lines where !line.balances || line.inWork != 0 || line.quarantined != 0 {
      fail("the ledger of \(line.channel) does not balance, or something is left: \(line)")
    }
    ledger = lines.filter { $0.channel == "web" }

    var kept: [String: Kept] = [:]
    var byKey: [String: [String]] = [:]
    for row in rows {
      let id = try row.text("arrival_id")
      kept[id] = Kept(id: id, reference: try row.textOrNil("reference"), state: try row.text("state"))
      // form:key.NAME:digest
      let parts = (try row.textOrNil("wire_key") ?? "").split(separator: ":")
      let name = parts.count == 3 ? String(parts[1].dropFirst(4)) : ""
      byKey[name, default: []].append(id)
    }
    arrivals = rows.count
    var seenContacts: Set<String> = []
    var seenRequests: Set<String> = []
    for row in links {
      guard let arrival = try row.textOrNil("arrival_id"), kept[arrival] != nil else {
        fail("contact \(try row.text("contact_id")) belongs to no arrival")
        continue
      }
      if seenContacts.insert(try row.text("contact_id")).inserted { kept[arrival]!.contacts += 1 }
      if let request = try row.textOrNil("request_id") {
        kept[arrival]!.requests += 1
        kept[arrival]!.requestReference = try row.textOrNil("reference")
        if !seenRequests.insert(request).inserted { fail("request \(request) has more than one arrival") }
      }
    }
    contacts = seenContacts.count
    requests = seenRequests.count
    for row in offers { kept[try row.text("arrival_id")]?.offers = Int(try row.int("n")) }
    for row in orphans { fail("request \(try row.text("request_id")) has no contact") }
    if try check.count != 1 || check[0].text(0) != "ok" {
      fail("the database's own check: \(try check.map { try $0.text(0) })")
    }
    events = try log[0].int("last")
    if try log[0].int("n") != events { fail("the event log has gaps: \(try log[0].int("n")) events up to \(events)") }

    for (key, told) in keys.sorted(by: { $0.key < $1.key }) {
      let found = byKey[key] ?? []
      if Set(told.references).count > 1 { fail("\(key) was told several reference numbers: \(told.references)") }
      if found.count > 1 { fail("\(key) is there \(found.count) times") }
      guard let reference = told.references.first else {
        fail("\(key) was never acknowledged although the senders ended")
        continue
      }
      guard let id = found.first, let one = kept[id] else {
        fail("LOST: \(key) was acknowledged as \(reference) and is not there")
        continue
      }
      if one.reference != reference {
        fail("\(key) was told \(reference) and is kept under \(one.reference ?? "none")")
      }
      if one.state != "routed" { fail("\(key) is \(one.state)") }
      if one.contacts != 1 { fail("\(key) has \(one.contacts) contacts") }
      if one.requests != 1 { fail("\(key) has \(one.requests) service requests") }
      if one.requestReference != reference {
        fail("the request of \(key) bears \(one.requestReference ?? "no number")")
      }
      if one.offers != 1 { fail("\(key) was shown to the agents \(one.offers) times") }
    }
    for key in byKey.keys where keys[key] == nil { fail("an arrival nobody sent: \(key)") }

    let forms = ledger.filter { $0.channel == "web" }
    let stored = forms.reduce(0) { $0 + $1.stored }
    let told = forms.reduce(0) { $0 + $1.stored + $1.duplicate }
    for line in ledger {
      if !line.balances { fail("the ledger does not balance: \(line)") }
      if line.inWork != 0 { fail("\(line.inWork) arrivals are still in work") }
      if line.quarantined != 0 { fail("\(line.quarantined) arrivals are in quarantine") }
      if line.refused != 0 { fail("\(line.refused) posts were refused") }
    }
    if stored != arrivals { fail("the ledger counts \(stored) stored, the store has \(arrivals)") }
    if told < counts.acknowledged { fail("\(counts.acknowledged) posts were acknowledged, the ledger counts \(told)") }
  }
}

import Channels
import Store

/// The calls in the store: each one contact, none twice, none left open, its legs and its request brought to an end.
struct CallComparison {
  private(set) var failures: [String] = []
  private(set) var contacts = 0
  private(set) var answered = 0
  private(set) var unseen = 0
  private(set) var pops = 0

  init(with database: Database) async throws {
    let checks: [(what: String, sql: String)] = [
      (
        "contacts of calls are open",
        "SELECT count(*) AS n FROM contact WHERE channel_kind = 'telephony' AND state = 'open'"
      ),
      ("calls are kept as living", "SELECT count(*) AS n FROM call_state WHERE is_open = 1"),
      (
        "contacts are there twice",
        """
        SELECT count(*) - count(DISTINCT provider_id) AS n FROM contact WHERE channel_kind = 'telephony'
        """
      ),
      (
        "contacts belong to no call",
        """
        SELECT count(*) AS n FROM contact WHERE channel_kind = 'telephony'
          AND contact_id NOT IN (SELECT contact_id FROM call_state WHERE contact_id IS NOT NULL)
        """
      ),
      (
        "legs are open",
        """
        SELECT count(*) AS n FROM leg l JOIN contact c ON c.contact_id = l.contact_id
        WHERE l.to_at IS NULL AND c.channel_kind = 'telephony'
        """
      ),
      (
        "contacts were closed or opened other than once",
        """
        SELECT count(*) AS n FROM contact c WHERE c.channel_kind = 'telephony' AND (
          (SELECT count(*) FROM event e WHERE e.subject = c.contact_id AND e.event_type = 'contact.closed') <> 1
          OR (SELECT count(*) FROM event e WHERE e.subject = c.contact_id AND e.event_type = 'contact.opened') <> 1)
        """
      ),
      (
        "events of calls are not applied",
        "SELECT count(*) AS n FROM arrival WHERE channel_kind = 'telephony' AND state <> 'routed'"
      ),
      (
        "live requests have neither owner nor queue, or no deadline",
        """
        SELECT count(*) AS n FROM service_request WHERE status IN ('open', 'in_progress', 'waiting_customer')
          AND ((owner IS NULL AND queue IS NULL) OR next_deadline IS NULL)
        """
      ),
    ]
    for (what, sql) in checks {
      let count = try await database.read(.bulk) { try $0.one(sql).int("n") }
      if count != 0 { failures.append("\(count) \(what)") }
    }
    let row = try await database.read(.bulk) { connection in
      try connection.one(
        """
        SELECT count(*) AS n, coalesce(sum(answered), 0) AS answered,
          coalesce(sum(CASE WHEN ended_by IS NULL THEN 1 ELSE 0 END), 0) AS unseen,
          (SELECT count(*) FROM event WHERE event_type LIKE 'pop.%' AND agent_id IS NOT NULL) AS pops
        FROM contact WHERE channel_kind = 'telephony'
        """)
    }
    contacts = try row.count("n")
    answered = try row.count("answered")
    unseen = try row.count("unseen")
    pops = try row.count("pops")
    if contacts == 0 { failures.append("no call became a contact") }
  }
}

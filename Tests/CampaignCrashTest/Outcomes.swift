import Channels
import ContactModel
import Foundation
import LiaisonForTests
import Outbound
import Store

/// What the store says of each customer against what the peers know.
struct Outcomes {
  private(set) var failures: [String] = []
  private(set) var summary = ""

  private static func open(_ bank: TestBank) throws -> Database {
    var options = Database.Options()
    options.readOnly = true
    return try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, options: options, now: Timestamp(seconds: 0))
  }

  /// Returns once nothing is on its way; at the latest after three minutes.
  static func settled(_ bank: TestBank, _ campaign: CampaignID, _ count: Int, _ daemon: Liaison) async throws {
    let database = try open(bank)
    let deadline = ContinuousClock.now + .seconds(180)
    var left: Int64 = -1
    while ContinuousClock.now < deadline {
      left = try await database.read { connection in
        let made = try connection.one(
          "SELECT count(*) AS n FROM proactive_job WHERE campaign_id = $1", [.id(campaign)]
        ).int("n")
        return try Int64(count) - made
          + connection.one(
            """
            SELECT count(*) AS n FROM proactive_job j WHERE j.state IN ('planned', 'active') AND NOT EXISTS
              (SELECT 1 FROM attempt a WHERE a.job_id = j.job_id AND a.state = 'in_doubt' AND a.outbound_channel = 'email')
            """, []
          ).int("n")
      }
      if left == 0 { break }
      try await Task.sleep(for: .milliseconds(100))
    }
    await database.close()
    if left != 0 { say("\(left) jobs did not come to their end in three minutes:\n\(daemon.child.tail)") }
  }

  init(of bank: TestBank, _ campaign: CampaignID, _ peers: Peers, customers count: Int) async throws {
    let database = try Self.open(bank)
    let rows = try await database.read(.bulk) { connection in
      try connection.query(
        """
        SELECT j.customer_no, j.state, j.reason, (SELECT count(*) FROM attempt a WHERE a.job_id = j.job_id
            AND a.state = 'in_doubt') AS doubts,
          (SELECT count(*) FROM campaign_member m JOIN contact_profile p ON p.seq = m.seq
            WHERE p.customer_no = j.customer_no) AS members
        FROM proactive_job j WHERE j.campaign_id = $1
        """, [.id(campaign)]
      ).map {
        (
          number: try $0.text("customer_no"), state: try $0.text("state"), reason: try $0.textOrNil("reason") ?? "",
          doubts: try $0.int("doubts"), members: try $0.int("members")
        )
      }
    }
    let open = try await database.read(.bulk) { try $0.openDials(limit: 10_000).filter { $0.state != .inDoubt }.count }
    await database.close()
    if open > 0 { failures.append("\(open) showings are open") }
    let taken = peers.taken
    var states: [String: Int] = [:]
    var byNumber: [String: (state: String, reason: String, doubts: Int64, members: Int64)] = [:]
    for row in rows {
      if byNumber.updateValue((row.state, row.reason, row.doubts, row.members), forKey: row.number) != nil {
        failures.append("\(row.number) has two jobs")
      }
    }
    for index in 0..<count {
      let one = Customers.One(index: index)
      guard let job = byNumber.removeValue(forKey: one.number.description) else {
        failures.append("LOST: \(one.number) has no job")
        continue
      }
      if job.members != 1 { failures.append("\(one.number) has \(job.members) rows in the plan") }
      let (mails, texts) = (taken.mails[one.mail] ?? 0, taken.texts[one.digits] ?? 0)
      let calls = taken.calls[one.phone] ?? 0
      let total = mails + texts + calls
      let what = "\(one.number) (\(job.state), \(job.reason)): \(mails) mails, \(texts) texts, \(calls) calls"
      states[job.doubts > 0 ? "in doubt" : job.state, default: 0] += 1
      if total > 1 { failures.append("TWICE: \(what)") }
      switch job.state {
      case "done": if total == 0 { failures.append("LOST: \(what)") }
      case "unknown": break
      default: if job.doubts == 0 { failures.append("says not what happened: \(what)") }
      }
    }
    for number in byNumber.keys { failures.append("a job of nobody: \(number)") }
    summary = states.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", ")
  }
}

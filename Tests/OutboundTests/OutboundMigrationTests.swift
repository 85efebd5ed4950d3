import Channels
import ContactModel
import Outbound
import Store
import Testing

@Suite struct OutboundMigrationTests {
  @Test(arguments: Engine.here) func `jobs and attempts of an earlier version are kept and go on`(
    engine: Engine
  ) async throws {
    let url = try engine.freshURL()
    var options = Database.Options()
    options.migrate = .upTo(3)
    let old = try Database.open(url, migrations: migrations, options: options, now: Bank.start)
    let ids = (0..<2).map { _ in (ProactiveJobID(at: Bank.start), AttemptID(at: Bank.start)) }
    try await old.write { transaction in
      try transaction.execute(
        """
        INSERT INTO customer(customer_no, customer_type, status, level, name, name_folded, created_at, updated_at)
        VALUES ($1, 'retail', 'active', 5, 'x', 'x', 0, 0)
        """, [.id(Bank.customer)])
      for (number, (job, attempt)) in ids.enumerated() {
        try transaction.execute(
          """
          INSERT INTO proactive_job(job_id, customer_no, job_key, purpose, contents, confidential, repeatable, due_at,
            state, next_at, created_by, created_at, updated_at)
          VALUES ($1, $2, $3, 'service', '{"sms":{"text":"x","attachments":[],"references":[],"options":{}}}', 0, 0, 0,
            $4, $5, 'old', 0, 0)
          """,
          [
            .id(job), .id(Bank.customer), .text("k\(number)"), .text(number == 0 ? "active" : "planned"),
            number == 0 ? .null : .int(0),
          ])
        try transaction.execute(
          """
          INSERT INTO attempt(attempt_id, job_id, customer_no, outbound_channel, channel_kind, channel, to_kind,
            to_canonical, to_raw, state, decision_id, wire_identity, reserved_at)
          VALUES ($1, $2, $3, 'sms', 'sms', 'test-sms', 'phone', '+8613800000001', '1', $4, $5, $6, 0)
          """,
          [
            .id(attempt), .id(job), .id(Bank.customer), .text(number == 0 ? "handing" : "released"),
            .id(DecisionID(at: Bank.start)), number == 0 ? .text("w") : .null,
          ])
        try transaction.execute(
          "INSERT INTO cap_ledger(attempt_id, customer_no, purpose, channel, at, state) VALUES ($1, $2, 's', 'sms', 0, $3)",
          [.id(attempt), .id(Bank.customer), .text(number == 0 ? "counted" : "released")])
        try transaction.execute(
          "INSERT INTO attempt_part(channel, peer_id, attempt_id) VALUES ('test-sms', $2, $1)",
          [.id(attempt), .text("p\(number)")])
        try transaction.execute(
          "INSERT INTO attempt_evidence(channel, event_key, attempt_id, at, body) VALUES ('c', $2, $1, 0, '{}')",
          [.id(attempt), .text("e\(number)")])
      }
    }
    await old.close()

    let sms = ScriptedAdapter(.sms)
    let bank = try await Bank(engine, at: url, sms: sms)
    try await bank.dispatcher.recover()
    // What was in hand when the old program ended is in doubt; what was planned goes.
    #expect(try await bank.attempts(ids[0].0).map(\.machine.state) == [.inDoubt])
    try await bank.settle()
    #expect(try await bank.job(ids[1].0).state == .done)
    #expect(sms.dispatches.map(\.content.text) == ["x"])
    let counts = try await bank.database.read { connection in
      try ["attempt_part", "attempt_evidence", "cap_ledger"].map { table in
        try connection.one("SELECT count(*) AS n FROM \(table)").count("n")
      }
    }
    #expect(counts == [2, 2, 3])
    if engine == .sqlite {
      #expect(try await bank.database.read { try $0.query("PRAGMA foreign_key_check") }.isEmpty)
    }
    // The references stand on the new tables.
    await #expect(throws: DatabaseError.self) {
      try await bank.database.write {
        try $0.execute("INSERT INTO attempt_part(channel, peer_id, attempt_id) VALUES ('c', 'p', 'none')")
      }
    }
    await bank.database.close()
  }
}

/// Indexes that proactive service paid for at every message without asking by them.
///
/// A wire identity is looked up with or without its channel: one index serves both and keeps it unique. What is under
/// way is found by `attempt_live`, what is in doubt by an index of its own, which no message touches that was answered.
let migrationHandOver = """
  DROP INDEX attempt_wire;
  DROP INDEX attempt_wire_name;
  CREATE UNIQUE INDEX attempt_wire ON attempt(wire_identity, channel) WHERE wire_identity IS NOT NULL;
  DROP INDEX attempt_open;
  CREATE INDEX attempt_in_doubt ON attempt(attempt_id) WHERE state = 'in_doubt';
  DROP INDEX decision_customer;
  DROP INDEX contact_from;
  CREATE INDEX contact_from ON contact(from_kind, from_canonical, received_at) WHERE from_canonical IS NOT NULL;
  """

/// Proactive service in the daemon: jobs wait in lanes, one a way out; a job may go to an address nobody is known to
/// hold, answer a service request, and carry documents; reports that come before the answer they belong to are parked.
///
/// Job and attempt are made anew because SQLite cannot take a NOT NULL away. Source: specs/outbound.md §1, §3.
let migrationOutbound = """
  CREATE TABLE job_new (
    job_id {{text}} NOT NULL PRIMARY KEY, campaign_id TEXT REFERENCES campaign(campaign_id),
    -- Null: nobody knows whose address it is.
    customer_no {{text}} REFERENCES customer(customer_no),
    -- The caller's name for it; the same again is the same job.
    job_key {{text}} NOT NULL,
    purpose {{text}} NOT NULL, contents {{json}} NOT NULL,
    confidential {{int}} NOT NULL CHECK (confidential IN (0, 1)),
    repeatable {{int}} NOT NULL CHECK (repeatable IN (0, 1)),
    due_at {{int}} NOT NULL, not_before {{int}}, not_after {{int}},
    requested_channel {{text}}, requested_at {{int}}, overrides {{text}}, forced_channel {{text}},
    state {{text}} NOT NULL
      CHECK (state IN ('planned', 'active', 'done', 'unknown', 'refused', 'expired', 'cancelled')),
    -- When it is looked at again, while planned.
    next_at {{int}}, reason {{text}}, failures {{int}} NOT NULL DEFAULT 0,
    -- Channels that surely did not take it or where its fate is unknown; not tried again. Space separated.
    spent {{text}} NOT NULL DEFAULT '',
    created_by {{text}} NOT NULL, created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL,
    version {{int}} NOT NULL DEFAULT 1,
    -- The way out it waits at: an outbound channel, `channel/link`, empty while undecided.
    lane {{text}} NOT NULL DEFAULT '', via {{text}},
    -- 0 urgent, 1 single, 2 bulk.
    precedence {{int}} NOT NULL DEFAULT 1 CHECK (precedence BETWEEN 0 AND 2),
    to_kind {{text}}, to_canonical {{text}}, to_raw {{text}},
    attachments {{json}} NOT NULL DEFAULT '[]',
    request_id {{text}} REFERENCES service_request(request_id), contact_id {{text}} REFERENCES contact(contact_id),
    reference {{text}}, template {{text}},
    CONSTRAINT job_planned_has_a_time CHECK ((state = 'planned') = (next_at IS NOT NULL)),
    CONSTRAINT job_has_a_party CHECK (customer_no IS NOT NULL OR to_canonical IS NOT NULL),
    CHECK ((requested_channel IS NULL) = (requested_at IS NULL))
  ) {{opt}};
  INSERT INTO job_new(job_id, campaign_id, customer_no, job_key, purpose, contents, confidential, repeatable, due_at,
      not_before, not_after, requested_channel, requested_at, overrides, forced_channel, state, next_at, reason, failures,
      spent, created_by, created_at, updated_at, version, precedence)
    SELECT job_id, campaign_id, customer_no, job_key, purpose, contents, confidential, repeatable, due_at, not_before,
      not_after, requested_channel, requested_at, overrides, forced_channel, state, next_at, reason, failures, spent,
      created_by, created_at, updated_at, version, CASE WHEN campaign_id IS NULL THEN 1 ELSE 2 END
    FROM proactive_job;

  CREATE TABLE attempt_new (
    attempt_id {{text}} NOT NULL PRIMARY KEY, job_id {{text}} NOT NULL REFERENCES job_new(job_id),
    -- The customer, else `kind:address`: whose caps it counts against.
    customer_no {{text}} NOT NULL,
    outbound_channel {{text}} NOT NULL, channel_kind {{text}} NOT NULL, channel {{text}} NOT NULL,
    to_kind {{text}} NOT NULL, to_canonical {{text}} NOT NULL, to_raw {{text}} NOT NULL,
    state {{text}} NOT NULL CHECK (state IN ('planned', 'reserved', 'released', 'handing', 'accepted', 'rejected',
      'in_doubt', 'delivered', 'undelivered', 'expired', 'unknown_final')),
    decision_id {{text}} NOT NULL, wire_identity {{text}}, peer_id {{text}},
    fault_code {{text}}, fault_peer_code {{text}}, fault_text {{text}},
    reserved_at {{int}} NOT NULL, handed_at {{int}}, settled_at {{int}},
    -- While in doubt: when the peer is asked again, and from when on nobody will ever know.
    inquire_at {{int}}, final_at {{int}}, contact_id {{text}} REFERENCES contact(contact_id),
    version {{int}} NOT NULL DEFAULT 1,
    CONSTRAINT attempt_handing_has_an_identity
      CHECK (state IN ('planned', 'reserved', 'released') OR wire_identity IS NOT NULL),
    CONSTRAINT attempt_doubt_is_inquired CHECK ((state = 'in_doubt') = (inquire_at IS NOT NULL))
  ) {{opt}};
  INSERT INTO attempt_new SELECT attempt_id, job_id, customer_no, outbound_channel, channel_kind, channel, to_kind,
    to_canonical, to_raw, state, decision_id, wire_identity, peer_id, fault_code, fault_peer_code, fault_text, reserved_at,
    handed_at, settled_at, inquire_at, final_at, contact_id, version FROM attempt;

  CREATE TABLE part_new (
    channel {{text}} NOT NULL, peer_id {{text}} NOT NULL, attempt_id {{text}} NOT NULL REFERENCES attempt_new(attempt_id),
    PRIMARY KEY (channel, peer_id)
  ) {{opt}};
  INSERT INTO part_new SELECT channel, peer_id, attempt_id FROM attempt_part;
  CREATE TABLE evidence_new (
    channel {{text}} NOT NULL, event_key {{text}} NOT NULL,
    attempt_id {{text}} NOT NULL REFERENCES attempt_new(attempt_id),
    at {{int}} NOT NULL, body {{json}} NOT NULL, PRIMARY KEY (channel, event_key)
  ) {{opt}};
  INSERT INTO evidence_new SELECT channel, event_key, attempt_id, at, body FROM attempt_evidence;
  CREATE TABLE cap_new (
    attempt_id {{text}} NOT NULL PRIMARY KEY REFERENCES attempt_new(attempt_id),
    customer_no {{text}} NOT NULL, purpose {{text}} NOT NULL, channel {{text}} NOT NULL, at {{int}} NOT NULL,
    state {{text}} NOT NULL CHECK (state IN ('reserved', 'counted', 'released')),
    answered {{int}} NOT NULL DEFAULT 0 CHECK (answered IN (0, 1))
  ) {{opt}};
  INSERT INTO cap_new SELECT attempt_id, customer_no, purpose, channel, at, state, answered FROM cap_ledger;

  DROP TABLE attempt_part; DROP TABLE attempt_evidence; DROP TABLE cap_ledger; DROP TABLE attempt;
  DROP TABLE proactive_job;
  ALTER TABLE job_new RENAME TO proactive_job;
  ALTER TABLE attempt_new RENAME TO attempt;
  ALTER TABLE part_new RENAME TO attempt_part;
  ALTER TABLE evidence_new RENAME TO attempt_evidence;
  ALTER TABLE cap_new RENAME TO cap_ledger;

  CREATE UNIQUE INDEX proactive_job_key ON proactive_job(job_key);
  CREATE UNIQUE INDEX proactive_job_campaign ON proactive_job(campaign_id, customer_no) WHERE campaign_id IS NOT NULL;
  CREATE INDEX proactive_job_due ON proactive_job(lane, precedence, next_at, job_id) WHERE state = 'planned';
  CREATE INDEX proactive_job_customer ON proactive_job(customer_no, created_at);
  CREATE INDEX proactive_job_request ON proactive_job(request_id) WHERE request_id IS NOT NULL;
  CREATE INDEX proactive_job_reference ON proactive_job(reference) WHERE reference IS NOT NULL;
  CREATE UNIQUE INDEX attempt_live ON attempt(job_id) WHERE state IN ('reserved', 'handing', 'in_doubt');
  CREATE UNIQUE INDEX attempt_wire ON attempt(channel, wire_identity) WHERE wire_identity IS NOT NULL;
  CREATE INDEX attempt_wire_name ON attempt(wire_identity) WHERE wire_identity IS NOT NULL;
  CREATE INDEX attempt_peer ON attempt(channel, peer_id) WHERE peer_id IS NOT NULL;
  CREATE INDEX attempt_job ON attempt(job_id);
  CREATE INDEX attempt_open ON attempt(attempt_id) WHERE state IN ('reserved', 'handing', 'in_doubt');
  CREATE INDEX attempt_doubt ON attempt(channel, inquire_at) WHERE state = 'in_doubt';
  CREATE INDEX attempt_evidence_attempt ON attempt_evidence(attempt_id);
  CREATE INDEX cap_ledger_customer ON cap_ledger(customer_no, at);

  -- Reports about nothing known yet: they came before the peer's answer was written down, or are about something else.
  CREATE TABLE report_parked (
    channel {{text}} NOT NULL, event_key {{text}} NOT NULL, wire_identity {{text}}, peer_id {{text}},
    at {{int}} NOT NULL, body {{json}} NOT NULL, PRIMARY KEY (channel, event_key)
  ) {{opt}};
  CREATE INDEX report_parked_peer ON report_parked(channel, peer_id) WHERE peer_id IS NOT NULL;
  CREATE INDEX report_parked_at ON report_parked(at);
  """

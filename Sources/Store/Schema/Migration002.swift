/// Proactive service: what customers said, what the law stopped, campaigns, jobs, attempts and the caps they use up.
///
/// Statements are append-only and only ever superseded. A stop belongs to the address, whoever holds it. One row per
/// campaign and customer, for ever; one live attempt per job; one wire identity per link: these hold by constraint.
/// Source: specs/outbound.md §1, §3.
let migration002 = """
  CREATE TABLE evidence (
    evidence_id TEXT NOT NULL PRIMARY KEY,
    evidence_kind TEXT NOT NULL
      CHECK (evidence_kind IN ('web_form', 'call_recording', 'sms', 'email', 'post', 'paper', 'api')),
    reference TEXT NOT NULL, hash TEXT, captured_at {{int}} NOT NULL, captured_by TEXT NOT NULL, ip TEXT
  ) {{opt}};
  {{append_only:evidence}};

  -- `*` stands for every channel, every purpose.
  CREATE TABLE preference (
    preference_id TEXT NOT NULL PRIMARY KEY, customer_no TEXT NOT NULL REFERENCES customer(customer_no),
    channel TEXT NOT NULL, purpose TEXT NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('deny', 'allow', 'prefer')), rank {{int}} NOT NULL DEFAULT 1,
    effective_at {{int}} NOT NULL, valid_until {{int}},
    source {{int}} NOT NULL CHECK (source BETWEEN 1 AND 3),
    evidence_id TEXT NOT NULL REFERENCES evidence(evidence_id), policy_version TEXT NOT NULL,
    recorded_at {{int}} NOT NULL, recorded_by TEXT NOT NULL
  ) {{opt}};
  CREATE INDEX preference_customer ON preference(customer_no);
  {{append_only:preference}};

  CREATE TABLE do_not_disturb (
    quiet_id TEXT NOT NULL PRIMARY KEY, customer_no TEXT NOT NULL REFERENCES customer(customer_no),
    channel TEXT NOT NULL, from_minute {{int}}, to_minute {{int}}, days {{int}}, from_at {{int}}, to_at {{int}},
    evidence_id TEXT NOT NULL REFERENCES evidence(evidence_id), recorded_at {{int}} NOT NULL, lifted_at {{int}},
    CHECK ((from_minute IS NOT NULL AND to_minute IS NOT NULL AND days IS NOT NULL AND from_at IS NULL AND to_at IS NULL)
      OR (from_minute IS NULL AND to_minute IS NULL AND days IS NULL AND from_at IS NOT NULL AND to_at > from_at))
  ) {{opt}};
  CREATE INDEX do_not_disturb_customer ON do_not_disturb(customer_no) WHERE lifted_at IS NULL;

  CREATE TABLE address_stop (
    stop_id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, canonical TEXT NOT NULL, channel TEXT NOT NULL,
    scope TEXT NOT NULL CHECK (scope IN ('promo', 'all')), at {{int}} NOT NULL,
    evidence_id TEXT NOT NULL REFERENCES evidence(evidence_id),
    lifted_at {{int}}, lifted_evidence TEXT REFERENCES evidence(evidence_id),
    FOREIGN KEY (kind, canonical) REFERENCES contact_point(kind, canonical),
    CHECK ((lifted_at IS NULL) = (lifted_evidence IS NULL))
  ) {{opt}};
  CREATE UNIQUE INDEX address_stop_live ON address_stop(kind, canonical, channel, scope) WHERE lifted_at IS NULL;

  -- Numbers on a public do-not-call register, as last loaded.
  CREATE TABLE register_entry (
    kind TEXT NOT NULL, canonical TEXT NOT NULL, loaded_at {{int}} NOT NULL, PRIMARY KEY (kind, canonical)
  ) {{opt}};

  CREATE TABLE legal_stop (
    stop_id TEXT NOT NULL PRIMARY KEY, customer_no TEXT NOT NULL REFERENCES customer(customer_no),
    purpose TEXT NOT NULL, from_at {{int}} NOT NULL, to_at {{int}}, reason TEXT NOT NULL, recorded_by TEXT NOT NULL
  ) {{opt}};
  CREATE INDEX legal_stop_customer ON legal_stop(customer_no);

  CREATE TABLE customer_flag (
    customer_no TEXT NOT NULL PRIMARY KEY REFERENCES customer(customer_no),
    deceased {{int}} NOT NULL DEFAULT 0 CHECK (deceased IN (0, 1)),
    minor {{int}} NOT NULL DEFAULT 0 CHECK (minor IN (0, 1)),
    guardian TEXT REFERENCES customer(customer_no),
    manager_only {{int}} NOT NULL DEFAULT 0 CHECK (manager_only IN (0, 1)),
    no_profiling {{int}} NOT NULL DEFAULT 0 CHECK (no_profiling IN (0, 1)),
    household TEXT, updated_at {{int}} NOT NULL, updated_by TEXT NOT NULL
  ) {{opt}};
  CREATE INDEX customer_flag_household ON customer_flag(household) WHERE household IS NOT NULL;

  CREATE TABLE campaign (
    campaign_id TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, purpose TEXT NOT NULL,
    group_code TEXT REFERENCES customer_group(code),
    state TEXT NOT NULL CHECK (state IN
      ('draft', 'checked', 'approved', 'scheduled', 'running', 'paused', 'finished', 'cancelled')),
    body {{json}} NOT NULL, holdout_percent {{int}} NOT NULL DEFAULT 0 CHECK (holdout_percent BETWEEN 0 AND 100),
    seed {{int}} NOT NULL, created_by TEXT NOT NULL, approved_by TEXT, approved_at {{int}},
    created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL, version {{int}} NOT NULL DEFAULT 1,
    CONSTRAINT campaign_second_person CHECK (approved_by IS NULL OR approved_by <> created_by),
    CONSTRAINT campaign_approved
      CHECK (state NOT IN ('approved', 'scheduled', 'running', 'paused', 'finished') OR approved_by IS NOT NULL)
  ) {{opt}};

  CREATE TABLE proactive_job (
    job_id TEXT NOT NULL PRIMARY KEY, campaign_id TEXT REFERENCES campaign(campaign_id),
    customer_no TEXT NOT NULL REFERENCES customer(customer_no),
    -- The caller's name for it; the same again is the same job.
    job_key TEXT NOT NULL,
    purpose TEXT NOT NULL, contents {{json}} NOT NULL,
    confidential {{int}} NOT NULL CHECK (confidential IN (0, 1)),
    repeatable {{int}} NOT NULL CHECK (repeatable IN (0, 1)),
    due_at {{int}} NOT NULL, not_before {{int}}, not_after {{int}},
    requested_channel TEXT, requested_at {{int}}, overrides TEXT, forced_channel TEXT,
    state TEXT NOT NULL CHECK (state IN ('planned', 'active', 'done', 'unknown', 'refused', 'expired', 'cancelled')),
    -- When it is looked at again, while planned.
    next_at {{int}}, reason TEXT, failures {{int}} NOT NULL DEFAULT 0,
    -- Channels that surely did not take it or where its fate is unknown; not tried again. Space separated.
    spent TEXT NOT NULL DEFAULT '',
    created_by TEXT NOT NULL, created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL,
    version {{int}} NOT NULL DEFAULT 1,
    CONSTRAINT job_planned_has_a_time CHECK ((state = 'planned') = (next_at IS NOT NULL)),
    CHECK ((requested_channel IS NULL) = (requested_at IS NULL))
  ) {{opt}};
  CREATE UNIQUE INDEX proactive_job_key ON proactive_job(job_key);
  CREATE UNIQUE INDEX proactive_job_campaign ON proactive_job(campaign_id, customer_no) WHERE campaign_id IS NOT NULL;
  CREATE INDEX proactive_job_due ON proactive_job(next_at, job_id) WHERE state = 'planned';
  CREATE INDEX proactive_job_customer ON proactive_job(customer_no, created_at);

  CREATE TABLE attempt (
    attempt_id TEXT NOT NULL PRIMARY KEY, job_id TEXT NOT NULL REFERENCES proactive_job(job_id),
    customer_no TEXT NOT NULL, outbound_channel TEXT NOT NULL, channel_kind TEXT NOT NULL, channel TEXT NOT NULL,
    to_kind TEXT NOT NULL, to_canonical TEXT NOT NULL, to_raw TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('planned', 'reserved', 'released', 'handing', 'accepted', 'rejected',
      'in_doubt', 'delivered', 'undelivered', 'expired', 'unknown_final')),
    decision_id TEXT NOT NULL, wire_identity TEXT, peer_id TEXT,
    fault_code TEXT, fault_peer_code TEXT, fault_text TEXT,
    reserved_at {{int}} NOT NULL, handed_at {{int}}, settled_at {{int}},
    -- While in doubt: when the peer is asked again, and from when on nobody will ever know.
    inquire_at {{int}}, final_at {{int}}, contact_id TEXT REFERENCES contact(contact_id),
    version {{int}} NOT NULL DEFAULT 1,
    CONSTRAINT attempt_handing_has_an_identity
      CHECK (state IN ('planned', 'reserved', 'released') OR wire_identity IS NOT NULL),
    CONSTRAINT attempt_doubt_is_inquired CHECK ((state = 'in_doubt') = (inquire_at IS NOT NULL))
  ) {{opt}};
  CREATE UNIQUE INDEX attempt_live ON attempt(job_id) WHERE state IN ('reserved', 'handing', 'in_doubt');
  CREATE UNIQUE INDEX attempt_wire ON attempt(channel, wire_identity) WHERE wire_identity IS NOT NULL;
  CREATE INDEX attempt_peer ON attempt(channel, peer_id) WHERE peer_id IS NOT NULL;
  CREATE INDEX attempt_job ON attempt(job_id);
  CREATE INDEX attempt_open ON attempt(attempt_id) WHERE state IN ('reserved', 'handing', 'in_doubt');
  CREATE INDEX attempt_doubt ON attempt(inquire_at) WHERE state = 'in_doubt';

  -- The peer's names for the parts of one attempt, where a report may come under any of them.
  CREATE TABLE attempt_part (
    channel TEXT NOT NULL, peer_id TEXT NOT NULL, attempt_id TEXT NOT NULL REFERENCES attempt(attempt_id),
    PRIMARY KEY (channel, peer_id)
  ) {{opt}};

  -- What was learned of an attempt, once per event of the provider.
  CREATE TABLE attempt_evidence (
    channel TEXT NOT NULL, event_key TEXT NOT NULL, attempt_id TEXT NOT NULL REFERENCES attempt(attempt_id),
    at {{int}} NOT NULL, body {{json}} NOT NULL, PRIMARY KEY (channel, event_key)
  ) {{opt}};
  CREATE INDEX attempt_evidence_attempt ON attempt_evidence(attempt_id);

  -- Caps are reservations made with the attempt, not counts read earlier.
  CREATE TABLE cap_ledger (
    attempt_id TEXT NOT NULL PRIMARY KEY REFERENCES attempt(attempt_id),
    customer_no TEXT NOT NULL, purpose TEXT NOT NULL, channel TEXT NOT NULL, at {{int}} NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'counted', 'released')),
    answered {{int}} NOT NULL DEFAULT 0 CHECK (answered IN (0, 1))
  ) {{opt}};
  CREATE INDEX cap_ledger_customer ON cap_ledger(customer_no, at);

  -- Switches and positions of proactive service: the kill switch, how far reports are settled.
  CREATE TABLE outbound_control (
    name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, set_at {{int}} NOT NULL, set_by TEXT NOT NULL
  ) {{opt}};
  """

/// The first schema: DOMAIN's dictionary in full, and what intake, desk and operation stand on.
///
/// Portable text for both engines; `{{…}}` are the dialect's types. Instants are integer microseconds UTC, booleans
/// 0/1, identifiers TypeID text, JSON is only ever read whole or by `->>`. Constraints hold the invariants first.
/// Source: DOMAIN "Data dictionary", specs/desk.md, DESIGN §5.
let migration001 = """
  -- Words of the bank ------------------------------------------------------------------------------------------
  CREATE TABLE department (
    code {{text}} NOT NULL PRIMARY KEY,
    parent {{text}} REFERENCES department(code),
    name_zh {{text}} NOT NULL, name_en {{text}} NOT NULL
  ) {{opt}};

  CREATE TABLE customer_type (
    code {{text}} NOT NULL PRIMARY KEY,
    parent {{text}} REFERENCES customer_type(code),
    name_zh {{text}} NOT NULL, name_en {{text}} NOT NULL
  ) {{opt}};

  -- Forms, categories, templates, profiles, calendars, queues, weights: every version ever applied is kept.
  CREATE TABLE parameter (
    kind {{text}} NOT NULL, code {{text}} NOT NULL, version {{int}} NOT NULL CHECK (version > 0),
    effective_at {{int}} NOT NULL, applied_at {{int}} NOT NULL, author {{text}} NOT NULL,
    digest {{text}} NOT NULL, body {{text}} NOT NULL,
    retired {{int}} NOT NULL DEFAULT 0 CHECK (retired IN (0, 1)),
    PRIMARY KEY (kind, code, version)
  ) {{opt}};

  -- Staff ------------------------------------------------------------------------------------------------------
  CREATE TABLE agent (
    agent_id {{text}} NOT NULL PRIMARY KEY, name {{text}} NOT NULL,
    department {{text}} REFERENCES department(code), device {{text}},
    state {{text}} NOT NULL CHECK (state IN ('offline', 'ready', 'not_ready', 'reserved', 'busy', 'wrap_up')),
    state_reason {{text}}, state_since {{int}} NOT NULL, next_state {{text}},
    version {{int}} NOT NULL DEFAULT 1
  ) {{opt}};
  CREATE UNIQUE INDEX agent_device ON agent(device) WHERE device IS NOT NULL;

  CREATE TABLE queue (
    code {{text}} NOT NULL PRIMARY KEY, name_zh {{text}} NOT NULL, name_en {{text}} NOT NULL,
    department {{text}} REFERENCES department(code)
  ) {{opt}};

  CREATE TABLE agent_queue (
    agent_id {{text}} NOT NULL REFERENCES agent(agent_id), queue {{text}} NOT NULL REFERENCES queue(code),
    PRIMARY KEY (agent_id, queue)
  ) {{opt}};
  CREATE INDEX agent_queue_queue ON agent_queue(queue);

  CREATE TABLE access_token (
    token_hash {{text}} NOT NULL PRIMARY KEY, label {{text}} NOT NULL,
    role {{text}} NOT NULL CHECK (role IN ('agent', 'supervisor', 'marketing', 'integration', 'auditor', 'admin')),
    agent_id {{text}} REFERENCES agent(agent_id), department {{text}} REFERENCES department(code),
    created_at {{int}} NOT NULL, expires_at {{int}}, revoked_at {{int}},
    CHECK (role <> 'agent' OR agent_id IS NOT NULL)
  ) {{opt}};

  -- Customer model ---------------------------------------------------------------------------------------------
  CREATE TABLE customer (
    customer_no {{text}} NOT NULL PRIMARY KEY, customer_type {{text}} NOT NULL REFERENCES customer_type(code),
    status {{text}} NOT NULL CHECK (status IN ('potential', 'active', 'dormant', 'lost')),
    level {{int}} NOT NULL CHECK (level BETWEEN 1 AND 9),
    name {{text}} NOT NULL, name_folded {{text}} NOT NULL, language {{text}},
    identity_no {{text}}, birth_date {{text}},
    department {{text}} REFERENCES department(code), manager {{text}} REFERENCES agent(agent_id),
    deleted {{int}} NOT NULL DEFAULT 0 CHECK (deleted IN (0, 1)),
    merged_into {{text}} REFERENCES customer(customer_no),
    created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL, version {{int}} NOT NULL DEFAULT 1,
    CHECK (merged_into IS NULL OR (deleted = 1 AND merged_into <> customer_no))
  ) {{opt}};
  CREATE INDEX customer_name ON customer(name_folded);
  CREATE INDEX customer_identity_no ON customer(identity_no) WHERE identity_no IS NOT NULL;

  CREATE TABLE customer_relation (
    customer_no {{text}} NOT NULL REFERENCES customer(customer_no),
    customer_no_r {{text}} NOT NULL REFERENCES customer(customer_no),
    relation {{text}} NOT NULL, from_at {{int}} NOT NULL, to_at {{int}},
    PRIMARY KEY (customer_no, customer_no_r, relation), CHECK (customer_no <> customer_no_r)
  ) {{opt}};
  CREATE INDEX customer_relation_r ON customer_relation(customer_no_r);

  -- State and stop belong to the address, whoever holds it.
  CREATE TABLE contact_point (
    kind {{text}} NOT NULL CHECK (kind IN ('phone', 'email', 'fax', 'short_code', 'other')), canonical {{text}} NOT NULL,
    state {{text}} NOT NULL CHECK (state IN ('ok', 'bounced', 'invalid', 'reassigned', 'complaint')),
    state_since {{int}} NOT NULL, source {{text}} NOT NULL,
    PRIMARY KEY (kind, canonical)
  ) {{opt}};

  CREATE TABLE customer_contact_point (
    kind {{text}} NOT NULL, canonical {{text}} NOT NULL, customer_no {{text}} NOT NULL REFERENCES customer(customer_no),
    role {{text}} NOT NULL CHECK (role IN ('own', 'guardian', 'office')), raw {{text}} NOT NULL, verified_at {{int}},
    zones {{text}} NOT NULL DEFAULT '', from_at {{int}} NOT NULL,
    PRIMARY KEY (kind, canonical, customer_no),
    FOREIGN KEY (kind, canonical) REFERENCES contact_point(kind, canonical)
  ) {{opt}};
  CREATE INDEX customer_contact_point_customer ON customer_contact_point(customer_no);

  -- Account model ----------------------------------------------------------------------------------------------
  CREATE TABLE account (
    account_no {{text}} NOT NULL PRIMARY KEY, business_system {{text}} NOT NULL,
    department {{text}} REFERENCES department(code), opened_at {{int}}, closed_at {{int}}
  ) {{opt}};
  CREATE TABLE customer_account (
    account_no {{text}} NOT NULL REFERENCES account(account_no),
    customer_no {{text}} NOT NULL REFERENCES customer(customer_no), from_at {{int}} NOT NULL, to_at {{int}},
    PRIMARY KEY (account_no, customer_no, from_at)
  ) {{opt}};
  CREATE INDEX customer_account_customer ON customer_account(customer_no);

  -- Group model ------------------------------------------------------------------------------------------------
  CREATE TABLE customer_group (
    code {{text}} NOT NULL PRIMARY KEY, group_type {{text}} NOT NULL CHECK (group_type IN ('entity', 'concept', 'time')),
    name_zh {{text}} NOT NULL, name_en {{text}} NOT NULL, criterion {{text}}, created_at {{int}} NOT NULL,
    CHECK (group_type = 'entity' OR criterion IS NOT NULL)
  ) {{opt}};
  CREATE TABLE group_customer (
    group_code {{text}} NOT NULL REFERENCES customer_group(code),
    customer_no {{text}} NOT NULL REFERENCES customer(customer_no), department {{text}} REFERENCES department(code),
    PRIMARY KEY (group_code, customer_no)
  ) {{opt}};
  CREATE TABLE group_customer_time (
    group_code {{text}} NOT NULL REFERENCES customer_group(code),
    customer_no {{text}} NOT NULL REFERENCES customer(customer_no), day {{text}} NOT NULL,
    PRIMARY KEY (group_code, day, customer_no)
  ) {{opt}};

  -- Intake -----------------------------------------------------------------------------------------------------
  -- One row per arrival, written before the wire is answered. Raw bytes stand here when small, else in a body file.
  CREATE TABLE arrival (
    arrival_id {{text}} NOT NULL PRIMARY KEY,
    channel_kind {{text}} NOT NULL, channel {{text}} NOT NULL, wire_key {{text}}, reference {{text}},
    from_kind {{text}}, from_canonical {{text}}, from_raw {{text}}, to_kind {{text}}, to_canonical {{text}}, to_raw {{text}},
    received_at {{int}} NOT NULL, stored_at {{int}} NOT NULL,
    late {{int}} NOT NULL CHECK (late IN (0, 1)),
    payload_kind {{text}} NOT NULL CHECK (payload_kind IN ('message', 'call', 'presence', 'report', 'unreadable')),
    payload {{text}} NOT NULL, raw {{blob}}, raw_sha256 {{text}}, raw_size {{int}} NOT NULL,
    state {{text}} NOT NULL CHECK (state IN ('kept', 'routed', 'quarantined')),
    settled_at {{int}}, mended {{blob}},
    CHECK (raw IS NOT NULL OR raw_sha256 IS NOT NULL), CHECK ((state = 'routed') = (settled_at IS NOT NULL))
  ) {{opt}};
  CREATE UNIQUE INDEX arrival_wire_key ON arrival(channel, wire_key) WHERE wire_key IS NOT NULL;
  CREATE UNIQUE INDEX arrival_reference ON arrival(reference) WHERE reference IS NOT NULL;
  CREATE INDEX arrival_unsettled ON arrival(arrival_id) WHERE state <> 'routed';

  CREATE TABLE attachment (
    arrival_id {{text}} NOT NULL REFERENCES arrival(arrival_id), position {{int}} NOT NULL,
    name {{text}}, media_type {{text}} NOT NULL, content_id {{text}}, sha256 {{text}} NOT NULL, size {{int}} NOT NULL,
    PRIMARY KEY (arrival_id, position)
  ) {{opt}};

  -- Per channel and UTC day; `liaison ledger` proves it against the arrivals.
  CREATE TABLE ledger (
    channel {{text}} NOT NULL, day {{text}} NOT NULL, channel_kind {{text}} NOT NULL,
    received {{int}} NOT NULL DEFAULT 0, stored {{int}} NOT NULL DEFAULT 0, duplicate {{int}} NOT NULL DEFAULT 0,
    refused {{int}} NOT NULL DEFAULT 0, late {{int}} NOT NULL DEFAULT 0,
    PRIMARY KEY (channel, day), CHECK (received = stored + duplicate + refused)
  ) {{opt}};

  CREATE TABLE refusal (
    channel {{text}} NOT NULL, day {{text}} NOT NULL, code {{text}} NOT NULL, count {{int}} NOT NULL,
    PRIMARY KEY (channel, day, code)
  ) {{opt}};

  CREATE TABLE quarantine (
    arrival_id {{text}} NOT NULL PRIMARY KEY REFERENCES arrival(arrival_id),
    code {{text}} NOT NULL, reason {{text}} NOT NULL, since {{int}} NOT NULL, attempts {{int}} NOT NULL DEFAULT 1,
    released_at {{int}}, released_by {{text}}
  ) {{opt}};
  CREATE INDEX quarantine_open ON quarantine(since) WHERE released_at IS NULL;

  -- How far an adapter has read a peer that is read by position.
  CREATE TABLE channel_cursor (
    channel {{text}} NOT NULL, name {{text}} NOT NULL, value {{text}} NOT NULL, updated_at {{int}} NOT NULL,
    PRIMARY KEY (channel, name)
  ) {{opt}};

  -- The four core models ---------------------------------------------------------------------------------------
  CREATE TABLE contact (
    contact_id {{text}} NOT NULL PRIMARY KEY, customer_no {{text}} REFERENCES customer(customer_no),
    channel_kind {{text}} NOT NULL, channel {{text}} NOT NULL,
    direction {{text}} NOT NULL CHECK (direction IN ('inbound', 'outbound')),
    initiation {{text}} NOT NULL
      CHECK (initiation IN ('inbound', 'outbound', 'transfer', 'queue_transfer', 'call_back', 'api')),
    state {{text}} NOT NULL CHECK (state IN ('open', 'closed')),
    from_kind {{text}}, from_canonical {{text}}, from_raw {{text}}, to_kind {{text}}, to_canonical {{text}}, to_raw {{text}},
    language {{text}}, summary {{text}} NOT NULL, content {{text}} NOT NULL, category {{text}},
    queue {{text}} REFERENCES queue(code), agent_id {{text}} REFERENCES agent(agent_id),
    answered {{int}} NOT NULL DEFAULT 0 CHECK (answered IN (0, 1)),
    disposition {{text}}, ended_by {{text}}, wrap_up_code {{text}},
    identity_zone {{text}} NOT NULL CHECK (identity_zone IN ('satisfied', 'fuzzy', 'unsatisfied')),
    identity_decision {{text}} NOT NULL, confirmed_by {{text}},
    initial_contact {{text}} REFERENCES contact(contact_id), previous_contact {{text}} REFERENCES contact(contact_id),
    next_contact {{text}} REFERENCES contact(contact_id), related_contact {{text}} REFERENCES contact(contact_id),
    provider_id {{text}}, arrival_id {{text}} REFERENCES arrival(arrival_id), late {{int}} NOT NULL DEFAULT 0,
    received_at {{int}} NOT NULL, stored_at {{int}} NOT NULL, identified_at {{int}}, enqueued_at {{int}},
    offered_at {{int}}, accepted_at {{int}}, connected_at {{int}}, ended_at {{int}}, closed_at {{int}},
    hold_count {{int}} NOT NULL DEFAULT 0, hold_ms {{int}} NOT NULL DEFAULT 0,
    recording_reference {{text}}, recording_sha256 {{text}}, detail {{json}},
    version {{int}} NOT NULL DEFAULT 1,
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)), CHECK (identity_zone <> 'satisfied' OR customer_no IS NOT NULL)
  ) {{opt}};
  CREATE INDEX contact_customer ON contact(customer_no, received_at);
  CREATE UNIQUE INDEX contact_arrival ON contact(arrival_id) WHERE arrival_id IS NOT NULL;
  CREATE INDEX contact_provider ON contact(channel, provider_id) WHERE provider_id IS NOT NULL;
  CREATE INDEX contact_from ON contact(from_kind, from_canonical, received_at);
  CREATE INDEX contact_open ON contact(channel, contact_id) WHERE state = 'open';

  CREATE TABLE leg (
    contact_id {{text}} NOT NULL REFERENCES contact(contact_id), position {{int}} NOT NULL,
    device {{text}} NOT NULL, agent_id {{text}} REFERENCES agent(agent_id),
    state {{text}} NOT NULL CHECK (state IN ('ringing', 'talking', 'held', 'consult', 'conference', 'wrap_up')),
    from_at {{int}} NOT NULL, to_at {{int}}, outcome {{text}},
    PRIMARY KEY (contact_id, position)
  ) {{opt}};

  CREATE TABLE service_request (
    request_id {{text}} NOT NULL PRIMARY KEY, reference {{text}}, customer_no {{text}} REFERENCES customer(customer_no),
    channel_kind {{text}} NOT NULL, channel {{text}} NOT NULL,
    started_at {{int}} NOT NULL, ended_at {{int}}, summary {{text}} NOT NULL, content {{text}} NOT NULL,
    status {{text}} NOT NULL CHECK (status IN ('open', 'in_progress', 'waiting_customer', 'resolved', 'closed')),
    sub_status {{text}}, severity {{int}} NOT NULL CHECK (severity BETWEEN 1 AND 4),
    urgency {{int}} NOT NULL CHECK (urgency BETWEEN 1 AND 4), category {{text}} NOT NULL,
    department {{text}} REFERENCES department(code), queue {{text}} REFERENCES queue(code),
    owner {{text}} REFERENCES agent(agent_id), enqueued_at {{int}}, next_deadline {{int}}, calendar_version {{int}},
    resolution {{text}}, created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL, version {{int}} NOT NULL DEFAULT 1,
    CONSTRAINT request_has_a_home CHECK (status IN ('resolved', 'closed') OR owner IS NOT NULL OR queue IS NOT NULL),
    CONSTRAINT request_has_a_deadline CHECK (status IN ('resolved', 'closed') OR next_deadline IS NOT NULL),
    CONSTRAINT request_in_progress_has_an_owner CHECK (status <> 'in_progress' OR owner IS NOT NULL)
  ) {{opt}};
  CREATE UNIQUE INDEX service_request_reference ON service_request(reference) WHERE reference IS NOT NULL;
  CREATE INDEX service_request_customer ON service_request(customer_no, started_at);
  CREATE INDEX service_request_queue ON service_request(queue, next_deadline)
    WHERE status IN ('open', 'in_progress', 'waiting_customer');
  CREATE INDEX service_request_owner ON service_request(owner, next_deadline)
    WHERE status IN ('open', 'in_progress', 'waiting_customer');

  CREATE TABLE activity (
    activity_id {{text}} NOT NULL PRIMARY KEY, customer_no {{text}} REFERENCES customer(customer_no),
    started_at {{int}}, ended_at {{int}}, due_at {{int}}, description {{text}} NOT NULL, remark {{text}},
    category {{text}} NOT NULL, status {{text}} NOT NULL CHECK (status IN ('planned', 'in_progress', 'done', 'cancelled')),
    priority {{int}} NOT NULL CHECK (priority BETWEEN 1 AND 4),
    done {{int}} NOT NULL DEFAULT 0 CHECK (done IN (0, 1)), cost_cents {{int}},
    owner {{text}} REFERENCES agent(agent_id), created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL,
    version {{int}} NOT NULL DEFAULT 1, CHECK ((status = 'done') = (done = 1))
  ) {{opt}};
  CREATE INDEX activity_customer ON activity(customer_no);
  CREATE INDEX activity_owner ON activity(owner, due_at) WHERE done = 0;

  CREATE TABLE opportunity (
    opportunity_id {{text}} NOT NULL PRIMARY KEY, customer_no {{text}} REFERENCES customer(customer_no),
    success_percent {{int}} CHECK (success_percent BETWEEN 0 AND 100), started_at {{int}} NOT NULL, ended_at {{int}},
    sales_method {{text}}, sales_stage {{text}} NOT NULL, summary {{text}} NOT NULL, content {{text}} NOT NULL,
    expected_cents {{int}}, owner {{text}} REFERENCES agent(agent_id), created_at {{int}} NOT NULL,
    updated_at {{int}} NOT NULL, version {{int}} NOT NULL DEFAULT 1
  ) {{opt}};
  CREATE INDEX opportunity_customer ON opportunity(customer_no);

  -- The six links ----------------------------------------------------------------------------------------------
  CREATE TABLE opportunity_service_request (
    opportunity_id {{text}} NOT NULL REFERENCES opportunity(opportunity_id),
    request_id {{text}} NOT NULL REFERENCES service_request(request_id), PRIMARY KEY (opportunity_id, request_id)
  ) {{opt}};
  CREATE TABLE contact_opportunity (
    contact_id {{text}} NOT NULL REFERENCES contact(contact_id),
    opportunity_id {{text}} NOT NULL REFERENCES opportunity(opportunity_id), PRIMARY KEY (contact_id, opportunity_id)
  ) {{opt}};
  CREATE TABLE activity_opportunity (
    activity_id {{text}} NOT NULL REFERENCES activity(activity_id),
    opportunity_id {{text}} NOT NULL REFERENCES opportunity(opportunity_id), PRIMARY KEY (activity_id, opportunity_id)
  ) {{opt}};
  CREATE TABLE contact_service_request (
    contact_id {{text}} NOT NULL REFERENCES contact(contact_id),
    request_id {{text}} NOT NULL REFERENCES service_request(request_id), PRIMARY KEY (contact_id, request_id)
  ) {{opt}};
  CREATE TABLE activity_service_request (
    activity_id {{text}} NOT NULL REFERENCES activity(activity_id),
    request_id {{text}} NOT NULL REFERENCES service_request(request_id), PRIMARY KEY (activity_id, request_id)
  ) {{opt}};
  CREATE TABLE activity_contact (
    activity_id {{text}} NOT NULL REFERENCES activity(activity_id),
    contact_id {{text}} NOT NULL REFERENCES contact(contact_id), PRIMARY KEY (activity_id, contact_id)
  ) {{opt}};
  CREATE INDEX contact_service_request_request ON contact_service_request(request_id);
  CREATE INDEX contact_opportunity_opportunity ON contact_opportunity(opportunity_id);
  CREATE INDEX activity_contact_contact ON activity_contact(contact_id);
  CREATE INDEX activity_service_request_request ON activity_service_request(request_id);

  -- What belongs to a contact or request -----------------------------------------------------------------------
  CREATE TABLE note (
    note_id {{text}} NOT NULL PRIMARY KEY, contact_id {{text}} REFERENCES contact(contact_id),
    request_id {{text}} REFERENCES service_request(request_id), author {{text}} NOT NULL, at {{int}} NOT NULL,
    text {{text}} NOT NULL, CHECK (contact_id IS NOT NULL OR request_id IS NOT NULL)
  ) {{opt}};
  CREATE INDEX note_contact ON note(contact_id) WHERE contact_id IS NOT NULL;
  CREATE INDEX note_request ON note(request_id) WHERE request_id IS NOT NULL;

  CREATE TABLE consent (
    contact_id {{text}} NOT NULL REFERENCES contact(contact_id), purpose {{text}} NOT NULL,
    granted {{int}} NOT NULL CHECK (granted IN (0, 1)), notice_version {{text}} NOT NULL, at {{int}} NOT NULL,
    PRIMARY KEY (contact_id, purpose)
  ) {{opt}};

  -- Ids under which later messages refer to this one: Message-IDs, SMS ids. Not unique: senders reuse them.
  CREATE TABLE message_reference (
    message_id {{text}} NOT NULL, contact_id {{text}} NOT NULL REFERENCES contact(contact_id),
    PRIMARY KEY (message_id, contact_id)
  ) {{opt}};

  -- Decisions and what happened --------------------------------------------------------------------------------
  CREATE TABLE decision (
    decision_id {{text}} NOT NULL PRIMARY KEY,
    act {{text}} NOT NULL CHECK (act IN ('tie', 'merge', 'outbound', 'routing', 'deadline', 'classification')),
    subject {{text}} NOT NULL, customer_no {{text}}, at {{int}} NOT NULL, rule_version {{text}} NOT NULL,
    verdict {{text}} NOT NULL, decided_by {{text}} NOT NULL CHECK (decided_by IN ('rule', 'user')), author {{text}},
    body {{json}} NOT NULL
  ) {{opt}};
  CREATE INDEX decision_subject ON decision(subject, decision_id);
  CREATE INDEX decision_customer ON decision(customer_no) WHERE customer_no IS NOT NULL;

  -- Append-only; `seq` rises in commit order. `agent_id` addresses one agent, else `queue` its agents.
  CREATE TABLE event (
    seq {{id}}, at {{int}} NOT NULL, event_type {{text}} NOT NULL, subject {{text}} NOT NULL,
    contact_id {{text}}, request_id {{text}}, customer_no {{text}}, channel {{text}}, agent_id {{text}}, queue {{text}}, actor {{text}},
    trace {{text}}, body {{json}} NOT NULL
  ) {{opt}};
  CREATE INDEX event_subject ON event(subject, seq);
  CREATE INDEX event_agent ON event(agent_id, seq) WHERE agent_id IS NOT NULL;
  CREATE INDEX event_queue ON event(queue, seq) WHERE queue IS NOT NULL;

  -- Every write and every read of a customer, hash-chained: hash = SHA-256(prev_hash || row).
  CREATE TABLE audit (
    seq {{id}}, at {{int}} NOT NULL, actor {{text}} NOT NULL, role {{text}} NOT NULL, act {{text}} NOT NULL, subject {{text}} NOT NULL,
    customer_no {{text}}, purpose {{text}}, reason {{text}}, before_body {{text}}, after_body {{text}},
    prev_hash {{text}} NOT NULL, hash {{text}} NOT NULL
  ) {{opt}};
  CREATE INDEX audit_customer ON audit(customer_no, at) WHERE customer_no IS NOT NULL;

  CREATE TABLE idempotency (
    client {{text}} NOT NULL, idempotency_key {{text}} NOT NULL, route {{text}} NOT NULL, request_digest {{text}} NOT NULL,
    status {{int}} NOT NULL, headers {{text}} NOT NULL, body {{blob}} NOT NULL, at {{int}} NOT NULL,
    PRIMARY KEY (client, idempotency_key)
  ) {{opt}};
  CREATE INDEX idempotency_at ON idempotency(at);

  -- Customer types and departments every bank begins with; the bank's own come by import.
  INSERT INTO customer_type(code, parent, name_zh, name_en) VALUES
    ('retail', NULL, '个人客户', 'Retail'), ('corporate', NULL, '公司客户', 'Corporate'),
    ('institution', NULL, '机构客户', 'Institution'), ('prospect', 'retail', '潜在客户', 'Prospect');
  """

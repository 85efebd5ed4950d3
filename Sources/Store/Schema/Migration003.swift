/// What the API needs beyond the first schema: words to search, subscriptions with their outbox, how far an import
/// has come, and an audit that cannot be rewritten through the store.
///
/// The outbox is filled from the event log by each subscription's cursor, so an event is in it once or not yet, also
/// over a crash. Source: specs/api.md "events out".
let migration003 = """
  {{search_table:search_word}};

  CREATE TABLE webhook (
    webhook_id {{text}} NOT NULL PRIMARY KEY, url {{text}} NOT NULL, label {{text}} NOT NULL,
    -- JSON arrays of texts: types wanted (empty: all), signing secrets (newest first).
    event_types {{text}} NOT NULL, secrets {{text}} NOT NULL,
    role {{text}} NOT NULL, allows_internal {{int}} NOT NULL DEFAULT 0 CHECK (allows_internal IN (0, 1)),
    state {{text}} NOT NULL CHECK (state IN ('active', 'paused', 'disabled')), state_reason {{text}},
    cursor_seq {{int}} NOT NULL, created_at {{int}} NOT NULL, updated_at {{int}} NOT NULL,
    version {{int}} NOT NULL DEFAULT 1
  ) {{opt}};

  CREATE TABLE webhook_delivery (
    webhook_id {{text}} NOT NULL REFERENCES webhook(webhook_id), seq {{int}} NOT NULL, subject {{text}} NOT NULL,
    event_type {{text}} NOT NULL,
    state {{text}} NOT NULL CHECK (state IN ('pending', 'delivered', 'exhausted')),
    attempts {{int}} NOT NULL DEFAULT 0, next_at {{int}} NOT NULL, last_at {{int}}, last_status {{int}},
    last_fault {{text}}, delivered_at {{int}},
    PRIMARY KEY (webhook_id, seq)
  ) {{opt}};
  CREATE INDEX webhook_delivery_due ON webhook_delivery(webhook_id, next_at) WHERE state = 'pending';
  CREATE INDEX webhook_delivery_subject ON webhook_delivery(webhook_id, subject, seq) WHERE state = 'pending';

  CREATE TABLE import_run (
    kind {{text}} NOT NULL, digest {{text}} NOT NULL, rows_read {{int}} NOT NULL, added {{int}} NOT NULL,
    changed {{int}} NOT NULL, refused {{int}} NOT NULL, started_at {{int}} NOT NULL, updated_at {{int}} NOT NULL,
    finished_at {{int}}, author {{text}} NOT NULL,
    PRIMARY KEY (kind, digest), CHECK (rows_read = added + changed + refused)
  ) {{opt}};

  {{append_only:audit}};
  """

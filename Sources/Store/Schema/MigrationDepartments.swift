/// What a department's subscriber may hear, imports as jobs with a verdict for what was refused, contacts by time alone,
/// and what was written before there was a search.
let migrationDepartments = """
  -- JSON array of department codes; NULL: the whole bank.
  ALTER TABLE webhook ADD COLUMN departments {{text}};

  CREATE TABLE import_job (
    job_id {{text}} NOT NULL PRIMARY KEY, kind {{text}} NOT NULL, format {{text}} NOT NULL, file_name {{text}},
    -- JSON object: column of the file, field.
    mapping {{text}} NOT NULL, dry_run {{int}} NOT NULL CHECK (dry_run IN (0, 1)),
    state {{text}} NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'refused', 'cancelled')),
    digest {{text}} NOT NULL, bytes {{int}} NOT NULL, bytes_read {{int}} NOT NULL DEFAULT 0,
    rows_read {{int}} NOT NULL DEFAULT 0, added {{int}} NOT NULL DEFAULT 0, changed {{int}} NOT NULL DEFAULT 0,
    refused {{int}} NOT NULL DEFAULT 0, resumed_after {{int}} NOT NULL DEFAULT 0, fault {{text}},
    author {{text}} NOT NULL, role {{text}} NOT NULL, departments {{text}},
    created_at {{int}} NOT NULL, started_at {{int}}, finished_at {{int}},
    CHECK (rows_read = added + changed + refused)
  ) {{opt}};
  CREATE INDEX import_job_open ON import_job(job_id) WHERE state IN ('waiting', 'running');
  CREATE TABLE import_refusal (
    job_id {{text}} NOT NULL REFERENCES import_job(job_id), row_number {{int}} NOT NULL, code {{text}} NOT NULL,
    place {{text}}, PRIMARY KEY (job_id, row_number)
  ) {{opt_keyed}};

  CREATE INDEX contact_received ON contact(received_at, contact_id);

  -- Ids of rows that were there before the search: those up to `last_id` are still to be indexed, from `next_id` on.
  CREATE TABLE search_backlog (
    kind {{text}} NOT NULL PRIMARY KEY, next_id {{text}} NOT NULL, last_id {{text}} NOT NULL
  ) {{opt}};
  INSERT INTO search_backlog(kind, next_id, last_id)
    SELECT 'contact', '', coalesce(max(contact_id), '') FROM contact
    WHERE stored_at < (SELECT applied_at FROM schema_migration WHERE number = 3);
  INSERT INTO search_backlog(kind, next_id, last_id)
    SELECT 'request', '', coalesce(max(request_id), '') FROM service_request
    WHERE created_at < (SELECT applied_at FROM schema_migration WHERE number = 3);
  """

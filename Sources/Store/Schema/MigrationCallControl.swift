/// Call commands with what became of them, and what of an agent's login, pause and wrap-up must survive a restart.
///
/// Source: specs/desk.md "Agents and offers"; a command is durable before the switch hears of it.
let migrationCallControl = """
  CREATE TABLE call_command (
    command_id {{text}} NOT NULL PRIMARY KEY, server {{text}} NOT NULL, action {{text}} NOT NULL,
    call_id {{text}}, device {{text}}, agent_id {{text}} REFERENCES agent(agent_id), customer_no {{text}},
    detail {{json}} NOT NULL,
    state {{text}} NOT NULL CHECK (state IN ('given', 'sending', 'accepted', 'done', 'failed', 'in_doubt')),
    outcome {{text}}, fault_code {{text}}, fault_text {{text}}, actor {{text}} NOT NULL,
    created_at {{int}} NOT NULL, sent_at {{int}}, settled_at {{int}}, version {{int}} NOT NULL DEFAULT 1,
    CHECK (state NOT IN ('done', 'failed') OR settled_at IS NOT NULL),
    CHECK (state NOT IN ('failed', 'in_doubt') OR fault_code IS NOT NULL)
  ) {{opt}};
  CREATE INDEX call_command_unsettled ON call_command(created_at) WHERE settled_at IS NULL;
  CREATE INDEX call_command_call ON call_command(server, call_id) WHERE call_id IS NOT NULL;

  -- What an agent becomes when the call or the wrap-up he is in has ended; who logged in where.
  ALTER TABLE agent ADD COLUMN next_reason {{text}};
  ALTER TABLE agent ADD COLUMN wrap_up_until {{int}};
  ALTER TABLE agent ADD COLUMN logged_in_at {{int}};
  ALTER TABLE agent ADD COLUMN login_queues {{text}};
  """

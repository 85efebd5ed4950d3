/// Calls of proactive service: which agent was shown whom, and what came of it.
///
/// A customer is shown to one agent at a time, and an agent one customer; the database holds both. Source:
/// specs/outbound.md §5.
let migrationDialling = """
  CREATE TABLE dial (
    dial_id {{text}} NOT NULL PRIMARY KEY, job_id {{text}} NOT NULL REFERENCES proactive_job(job_id),
    campaign_id {{text}}, customer_no {{text}},
    channel {{text}} NOT NULL, agent_id {{text}} NOT NULL REFERENCES agent(agent_id), device {{text}} NOT NULL,
    queue {{text}}, mode {{text}} NOT NULL CHECK (mode IN ('preview', 'progressive')),
    state {{text}} NOT NULL CHECK (state IN ('offered', 'declined', 'lapsed', 'withdrawn', 'dialled', 'talking',
      'wrap_up', 'in_doubt', 'ended')),
    -- Why it was declined or withdrawn.
    reason {{text}},
    offered_at {{int}} NOT NULL, expires_at {{int}} NOT NULL,
    -- The call, once it was ordered.
    attempt_id {{text}} REFERENCES attempt(attempt_id), command_id {{text}}, server {{text}}, call_id {{text}},
    to_canonical {{text}}, dialled_at {{int}}, answered_at {{int}}, ended_at {{int}}, outcome {{text}},
    -- What the agent says came of it; without it the call speaks for itself from `result_due` on.
    result {{text}}, result_means {{text}}, result_note {{text}}, result_by {{text}}, call_back_at {{int}},
    result_due {{int}}, version {{int}} NOT NULL DEFAULT 1,
    CONSTRAINT dial_ordered_has_a_call CHECK (state IN ('offered', 'declined', 'lapsed', 'withdrawn')
      OR (attempt_id IS NOT NULL AND call_id IS NOT NULL AND dialled_at IS NOT NULL)),
    CONSTRAINT dial_ended_says_how CHECK ((state = 'ended') = (ended_at IS NOT NULL AND outcome IS NOT NULL
      AND result_due IS NULL))
  ) {{opt}};
  CREATE UNIQUE INDEX dial_one_of_job ON dial(job_id)
    WHERE state IN ('offered', 'dialled', 'talking', 'wrap_up', 'in_doubt');
  CREATE UNIQUE INDEX dial_one_of_agent ON dial(agent_id) WHERE state IN ('offered', 'dialled', 'talking', 'wrap_up');
  CREATE INDEX dial_open ON dial(channel, dial_id)
    WHERE state IN ('offered', 'dialled', 'talking', 'wrap_up', 'in_doubt');
  CREATE INDEX dial_job ON dial(job_id, dial_id);
  CREATE INDEX dial_agent ON dial(agent_id, dial_id);
  CREATE UNIQUE INDEX dial_attempt ON dial(attempt_id) WHERE attempt_id IS NOT NULL;
  """

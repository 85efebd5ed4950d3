/// Calls as the switches last told them, and agents' places in the switches' queues.
///
/// One row per call, keyed by what the switch calls it; what one event says of a call is compared with this row, so an
/// event that is late, repeated or told again after a reconnection changes nothing. Open rows are what a restart resumes.
/// Source: specs/telephony.md §4; DESIGN §4.
let migrationCalls = """
  CREATE TABLE call_state (
    server {{text}} NOT NULL, call_id {{text}} NOT NULL, channel {{text}} NOT NULL,
    -- Null while no customer has part in it.
    contact_id {{text}} REFERENCES contact(contact_id),
    is_open {{int}} NOT NULL CHECK (is_open IN (0, 1)),
    -- Of the last event applied: its time in milliseconds, and how much the call had come to.
    at_ms {{int}} NOT NULL, progress {{int}} NOT NULL,
    -- The queue it waited in when it was answered; a later queue is another visit.
    answer_queue {{text}}, state {{text}} NOT NULL, updated_at {{int}} NOT NULL, version {{int}} NOT NULL DEFAULT 1,
    PRIMARY KEY (server, call_id)
  ) {{opt}};
  CREATE INDEX call_state_open ON call_state(server) WHERE is_open = 1;
  CREATE UNIQUE INDEX call_state_contact ON call_state(contact_id) WHERE contact_id IS NOT NULL;
  CREATE INDEX leg_open ON leg(agent_id) WHERE to_at IS NULL AND agent_id IS NOT NULL;

  -- What each switch says of a device's place in each of its queues; gone when it has been taken out.
  CREATE TABLE queue_member (
    server {{text}} NOT NULL, device {{text}} NOT NULL, queue {{text}} NOT NULL, member {{text}} NOT NULL,
    name {{text}}, state {{text}} NOT NULL, paused {{int}} NOT NULL CHECK (paused IN (0, 1)), pause_reason {{text}},
    in_call {{int}} NOT NULL CHECK (in_call IN (0, 1)), at {{int}} NOT NULL,
    PRIMARY KEY (device, server, queue)
  ) {{opt}};
  """

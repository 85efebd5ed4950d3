/// Campaigns at the size of a whole bank: the projection planning reads, the plan with one row per campaign and
/// customer, and what campaigns need to be watched.
///
/// `contact_class` holds every distinct combination of facts that bear on a decision, once; `contact_profile` says which
/// one a customer has. So a campaign is decided per class, not per customer. Source: specs/outbound.md §4.
let migrationCampaigns = """
  CREATE TABLE contact_class (
    class_id {{id}}, digest {{text}} NOT NULL UNIQUE, body {{text}} NOT NULL
  ) {{opt}};

  CREATE TABLE contact_profile (
    seq {{id}}, customer_no {{text}} NOT NULL UNIQUE REFERENCES customer(customer_no),
    class_id {{int}} NOT NULL,
    -- When he was last reached or may have been: until the longest cap has passed, his caps are looked at one by one.
    touched_at {{int}},
    -- When a statement of his begins or ends: beyond it, this row says nothing.
    stable_until {{int}}
  ) {{opt}};
  -- Planning reads these alone.
  CREATE INDEX contact_profile_class ON contact_profile(class_id, touched_at, stable_until);
  CREATE INDEX contact_profile_touched ON contact_profile(touched_at, seq) WHERE touched_at IS NOT NULL;
  CREATE INDEX contact_profile_unstable ON contact_profile(stable_until, seq) WHERE stable_until IS NOT NULL;

  {{sqlite:CREATE TRIGGER cap_reserved_touches AFTER INSERT ON cap_ledger BEGIN
    UPDATE contact_profile SET touched_at = max(coalesce(touched_at, 0), NEW.at) WHERE customer_no = NEW.customer_no;
    END;
    CREATE TRIGGER cap_counted_touches AFTER UPDATE OF at ON cap_ledger BEGIN
    UPDATE contact_profile SET touched_at = max(coalesce(touched_at, 0), NEW.at) WHERE customer_no = NEW.customer_no;
    END;}}
  {{postgres:CREATE OR REPLACE FUNCTION cap_touches() RETURNS trigger LANGUAGE plpgsql AS $touch$ BEGIN
    UPDATE contact_profile SET touched_at = greatest(coalesce(touched_at, 0), NEW.at)
    WHERE customer_no = NEW.customer_no; RETURN NULL; END $touch$;
    CREATE TRIGGER cap_touches AFTER INSERT OR UPDATE OF at ON cap_ledger
    FOR EACH ROW EXECUTE FUNCTION cap_touches();}}

  -- What a customer's own acts say about a channel, in percent. Breaks ties, nothing else.
  CREATE TABLE learned_channel (
    customer_no {{text}} NOT NULL REFERENCES customer(customer_no), channel {{text}} NOT NULL,
    score {{int}} NOT NULL CHECK (score BETWEEN 0 AND 100), words_zh {{text}} NOT NULL, words_en {{text}} NOT NULL,
    learned_at {{int}} NOT NULL, PRIMARY KEY (customer_no, channel)
  ) {{opt}};

  ALTER TABLE legal_stop ADD COLUMN lifted_by {{text}};

  -- The states a campaign went through, and by whom.
  CREATE TABLE campaign_history (
    campaign_id {{text}} NOT NULL REFERENCES campaign(campaign_id), version {{int}} NOT NULL, at {{int}} NOT NULL,
    actor {{text}} NOT NULL, act {{text}} NOT NULL, from_state {{text}}, to_state {{text}} NOT NULL, reason {{text}},
    PRIMARY KEY (campaign_id, version)
  ) {{opt}};
  {{append_only:campaign_history}};

  -- How far the plan is written and carried out.
  CREATE TABLE campaign_plan (
    campaign_no {{id}}, campaign_id {{text}} NOT NULL UNIQUE REFERENCES campaign(campaign_id),
    decided_at {{int}} NOT NULL, rule_version {{text}} NOT NULL,
    -- Customers and classes there were when it was decided.
    max_seq {{int}} NOT NULL, max_class {{int}} NOT NULL,
    written_seq {{int}} NOT NULL DEFAULT 0, written {{int}} NOT NULL DEFAULT 0,
    completed_at {{int}}, fed_seq {{int}} NOT NULL DEFAULT 0, fed {{int}} NOT NULL DEFAULT 0, fed_at {{int}},
    -- What the jobs made so far may cost at most.
    committed_cents {{int}} NOT NULL DEFAULT 0,
    fed_out {{int}} NOT NULL DEFAULT 0 CHECK (fed_out IN (0, 1))
  ) {{opt}};

  -- What was decided for all customers of one kind: `cell` is 16 × class + arm, or negative for one decided alone.
  CREATE TABLE campaign_cell (
    campaign_no {{int}} NOT NULL, cell {{int}} NOT NULL,
    verdict {{text}} NOT NULL CHECK (verdict IN ('send', 'defer', 'refuse')), reason {{text}} NOT NULL,
    channel {{text}}, until_at {{int}}, refused {{text}} NOT NULL, PRIMARY KEY (campaign_no, cell)
  ) {{opt_keyed}};

  -- One row per campaign and customer, for ever.
  CREATE TABLE campaign_member (
    campaign_no {{int}} NOT NULL, seq {{int}} NOT NULL, cell {{int}} NOT NULL, PRIMARY KEY (campaign_no, seq)
  ) {{opt_keyed}};

  -- Addresses a campaign has used up: the second holder is not written to again.
  CREATE TABLE campaign_address (
    campaign_no {{int}} NOT NULL, kind {{text}} NOT NULL, canonical {{text}} NOT NULL, customer_no {{text}} NOT NULL,
    PRIMARY KEY (campaign_no, kind, canonical)
  ) {{opt_keyed}};
  CREATE INDEX proactive_job_of_campaign ON proactive_job(campaign_id, state, next_at)
    WHERE campaign_id IS NOT NULL;
  """

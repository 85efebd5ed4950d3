/// What mail needs beyond contacts and requests: one mail in several mailboxes is one contact, and machines that write
/// without end are stopped.
///
/// Source: specs/email.md §4, §5.
let migrationMail = """
  -- What a message says, by digest, so that the same one in another mailbox is recognised.
  CREATE TABLE message_content (
    content_key {{text}} NOT NULL PRIMARY KEY, contact_id {{text}} NOT NULL REFERENCES contact(contact_id)
  ) {{opt}};

  -- The further arrivals of one contact; the first stands in the contact itself.
  CREATE TABLE contact_copy (
    arrival_id {{text}} NOT NULL PRIMARY KEY REFERENCES arrival(arrival_id),
    contact_id {{text}} NOT NULL REFERENCES contact(contact_id)
  ) {{opt}};
  CREATE INDEX contact_copy_contact ON contact_copy(contact_id);

  -- Machines' messages in one hour, by who sent them and by the request they answer.
  CREATE TABLE automatic_count (
    hour {{int}} NOT NULL, channel {{text}} NOT NULL, subject {{text}} NOT NULL, count {{int}} NOT NULL,
    PRIMARY KEY (hour, channel, subject)
  ) {{opt_keyed}};
  """

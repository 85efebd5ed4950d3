/// Every migration ever released, oldest first. Append only: a released text is never edited.
public let migrations: [Migration] = [
  Migration(1, "first schema", migration001), Migration(2, "proactive service", migration002),
  Migration(3, "search, webhooks and imports", migration003),
  Migration(4, "proactive service in the daemon", migrationOutbound),
  Migration(5, "mail in several mailboxes, machines' mail", migrationMail),
  Migration(6, "departments, import jobs", migrationDepartments),
  Migration(7, "calls", migrationCalls),
  Migration(8, "call commands and agents' logins", migrationCallControl),
  Migration(9, "campaigns", migrationCampaigns),
  Migration(10, "dialling", migrationDialling),
  Migration(11, "leaner indexes of attempts", migrationHandOver),
]

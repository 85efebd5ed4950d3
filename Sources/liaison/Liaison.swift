import ArgumentParser

@main
struct Liaison: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "liaison",
    abstract: "Liaison, the contact-centre integration daemon: every channel, one contact model, no contact lost.",
    version: liaisonVersion,
    subcommands: [
      Serve.self, Check.self, Migrate.self, BackupCommand.self, Restore.self, Params.self, Token.self, Inspect.self,
      Decide.self, CampaignCommand.self, BackTestCommand.self, Status.self, Ledger.self, Quarantine.self, Explain.self,
      Tail.self, Audit.self, ImportCommand.self, Webhooks.self,
    ])
}

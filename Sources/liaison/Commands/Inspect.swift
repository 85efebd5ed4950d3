import ArgumentParser

/// `liaison inspect …`: what Liaison makes of recordings and messages. Pure: no daemon, no store, no network.
struct Inspect: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Decode recordings or messages and print what Liaison makes of them, as JSON lines.",
    subcommands: [InspectTelephony.self, InspectSMS.self, InspectEmail.self, InspectFax.self])
}

import ArgumentParser

@main
struct Liaison: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "liaison",
    abstract: "Liaison, the contact-centre integration daemon: every channel, one contact model, no contact lost.",
    subcommands: [Inspect.self, Decide.self])
}

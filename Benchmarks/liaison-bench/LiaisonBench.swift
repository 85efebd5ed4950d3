import ArgumentParser

/// Measures; asserts nothing. Run in release: `swift run -c release liaison-bench store`.
@main
struct LiaisonBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "liaison-bench",
    abstract: "Figures of Liaison's parts, each with its durability setting.",
    subcommands: [
      StoreBench.self, LookupBench.self, CallRoutingBench.self, FormsBench.self, CallsBench.self, OutboundBench.self,
      CampaignBench.self, APIBench.self, ImportBench.self,
    ])
}

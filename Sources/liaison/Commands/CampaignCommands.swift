import ArgumentParser
import Foundation
import NIOHTTP1

/// `liaison campaign …`: campaigns of the running daemon, over its admin socket.
struct CampaignCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "campaign",
    abstract: "Campaigns of proactive service: list, try out, watch, pause, resume, cancel, export.",
    discussion: "Writing and approving are done through the API, by two persons.",
    subcommands: [
      List.self, Show.self, DryRun.self, Pause.self, Resume.self, Cancel.self, Export.self, Explain.self, Calls.self,
    ])

  /// Which campaign, of which daemon.
  struct Place: ParsableArguments {
    @OptionGroup var daemon: DaemonLocation
    @Argument var id: String

    func call(
      _ method: HTTPMethod, _ path: String = "", body: JSONObjectText? = nil, query: [String: String?] = [:]
    ) async throws -> JSONTree {
      try await daemon.client().call(method, "/v1/campaigns/\(segment(id))\(path)", body: body, query: query)
    }
  }

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Campaigns, newest first.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    @Option(
      help: "Only those in this state: draft, checked, approved, scheduled, running, paused, finished, cancelled.")
    var state: String?

    func run() async throws {
      try await exitingWithCode {
        let found = try await daemon.client().call(.GET, "/v1/campaigns", query: ["campaign_state": state])
        if output.json { return print(found.text) }
        print(
          table(
            [["campaign", "state", "purpose", "name", "starts"]]
              + found["items"].array.map {
                [
                  $0["id"].string ?? "", $0["campaign_state"].string ?? "", $0["purpose"].string ?? "",
                  $0["name"].string ?? "", $0["start_at"].string ?? "–",
                ]
              }))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "A campaign, its steps and how far it is.")
    @OptionGroup var campaign: Place
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await exitingWithCode {
        let found = try await campaign.call(.GET)
        let progress = try await campaign.call(.GET, "/progress")
        if output.json { return print("{\"campaign\":\(found.text),\"progress\":\(progress.text)}") }
        let shown = found["campaign"]
        print(
          "\(shown["name"].string ?? "") (\(shown["purpose"].string ?? "")): "
            + (shown["campaign_state"].string ?? "")
            + (shown["state_reason"].string.map { ", \($0)" } ?? ""))
        for step in found["history"].array {
          print(
            "  \(step["at"].string ?? "")  \(step["act"].string ?? "") by \(step["actor"].string ?? "")"
              + (step["reason"].string.map { ": \($0)" } ?? ""))
        }
        print(
          "\(progress["planned"].int ?? 0) customers planned, \(progress["jobs"].int ?? 0) jobs made; "
            + "spent \(progress["spent_cents"].int ?? 0) cents")
        print("  jobs \(progress["jobs_by_state"].text)  attempts \(progress["attempts_by_channel"].text)")
      }
    }
  }

  struct DryRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "dry-run", abstract: "What a campaign would do now, by reason and channel. Sends nothing.")
    @OptionGroup var campaign: Place
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await exitingWithCode {
        let found = try await campaign.call(.POST, "/dry-run", body: try JSONObjectText([:]))
        if output.json { return print(found.text) }
        print(
          table(
            [["verdict", "channel", "reason", "customers", ""]]
              + found["counts"].array.map {
                [
                  $0["verdict"].string ?? "", $0["channel"].string ?? "–", $0["reason"].string ?? "",
                  String($0["count"].int ?? 0), $0["reason_en"].string ?? "",
                ]
              }))
        print(
          "\(found["sendable"].int ?? 0) of \(found["customers"].int ?? 0) customers; \(found["cost_cents"].int ?? 0) "
            + "cents; ends about \(found["finish_at"].string ?? "")")
      }
    }
  }

  struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Claim nothing of it; what is on its way ends.")
    @OptionGroup var campaign: Place
    @OptionGroup var why: Reason
    func run() async throws { try await why.act("pause", on: campaign) }
  }
  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Go on: nobody skipped, nobody reached twice.")
    @OptionGroup var campaign: Place
    @OptionGroup var why: Reason
    func run() async throws { try await why.act("resume", on: campaign) }
  }
  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Withdraw it; what waits is not sent.")
    @OptionGroup var campaign: Place
    @OptionGroup var why: Reason
    func run() async throws { try await why.act("cancel", on: campaign) }
  }

  /// Why something is done, for the campaign's history.
  struct Reason: ParsableArguments {
    @Option(help: "Why, for the history.") var reason: String?

    func act(_ word: String, on campaign: Place) async throws {
      try await exitingWithCode {
        let body = try JSONObjectText(reason.map { ["reason": $0] } ?? [:])
        let now = try await campaign.call(.POST, "/\(word)", body: body)
        print("\(now["name"].string ?? ""): \(now["campaign_state"].string ?? "")")
      }
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Every customer of a campaign: who was reached, who was not, and why.",
      discussion: "CSV on standard output, or JSON lines with --json.")
    @OptionGroup var campaign: Place
    @OptionGroup var output: OutputOptions

    func run() async throws {
      try await exitingWithCode {
        var cursor: String?
        repeat {
          let page = try await campaign.call(.GET, "/results", query: ["page_size": "1000", "cursor": cursor])
          for row in page["items"].array { print(output.json ? row.text : csv(row)) }
          cursor = page["next_cursor"].string
        } while cursor != nil
      }
    }

    private func csv(_ row: JSONTree) -> String {
      ["customer_no", "outcome", "arm", "channel", "reason", "reason_en", "job_id", "at"].map { column in
        let text = row[column].string ?? ""
        return text.contains { ",\"\n".contains($0) }
          ? "\"\(text.replacingOccurrences(of: "\"", with: "\"\""))\"" : text
      }.joined(separator: ",")
    }
  }

  struct Explain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Why one customer was reached, or not.")
    @OptionGroup var campaign: Place
    @OptionGroup var output: OutputOptions
    @Argument(help: "His number.") var customer: String

    func run() async throws {
      try await exitingWithCode {
        let found = try await campaign.call(.GET, "/customers/\(segment(customer))")
        if output.json { return print(found.text) }
        let result = found["result"]
        print(
          "\(result["outcome"].string ?? "") by \(result["channel"].string ?? "–"): \(result["reason_en"].string ?? "")"
        )
        print("  at planning, why not: \(result["refused"].text)")
        for decision in found["decisions"].array { print("  \(decision["at"].string ?? "")  \(decision.text)") }
      }
    }
  }

  struct Calls: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Who is shown whom, and the calls under way; newest first.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    @Option(help: "Only those in this state: offered, dialled, talking, wrap_up, in_doubt, ended, …") var state: String?
    @Option(help: "Only this agent's.") var agent: String?

    func run() async throws {
      try await exitingWithCode {
        let found = try await daemon.client().call(.GET, "/v1/dials", query: ["state": state, "agent": agent])
        if output.json { return print(found.text) }
        print(
          table(
            [["showing", "state", "agent", "customer", "outcome", "result", "since"]]
              + found["items"].array.map { row in
                ["dial_id", "state", "agent_id", "customer_no", "outcome", "result", "offered_at"].map {
                  row[$0].string ?? "–"
                }
              }))
      }
    }
  }
}

/// One segment of a path.
private func segment(_ text: String) -> String {
  let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "-_"))
  return text.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
}

/// `liaison back-test`: whether what was learned of customers' channels would have helped.
struct BackTestCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "back-test",
    abstract: "Whether learning which channel customers answer would have helped, replayed on what happened.",
    discussion: """
      Each try of the customers reached last is predicted from those before it. The rates of the segments come from the \
      older half. Errors are mean squares, the smaller the better.
      """)
  @OptionGroup var daemon: DaemonLocation
  @OptionGroup var output: OutputOptions
  @Option(help: "Customers looked at.") var sample = 2_000

  func run() async throws {
    try await exitingWithCode {
      let found = try await daemon.client().call(.GET, "/v1/learning/back-test", query: ["sample": String(sample)])
      if output.json { return print(found.text) }
      func rate(_ name: String) -> String {
        let hits = found[name]
        return "\(hits["succeeded"].int ?? 0) of \(hits["tried"].int ?? 0)"
      }
      print(
        """
        \(found["trials"].int ?? 0) tries of \(found["customers"].int ?? 0) customers
        error of the prediction   learned \(found["learned_error"].text)  segment alone \(found["segment_error"].text)
        answered on the channel   learned \(rate("learned_choice"))  the bank's order \(rate("order_choice"))
        """)
    }
  }
}

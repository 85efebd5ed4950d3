import ArgumentParser
import NIOHTTP1

struct Webhooks: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Who outside is told of events, what became of each delivery, and sending again.",
    subcommands: [List.self, Log.self, Resend.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Every subscription and how it is.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    func run() async throws {
      try await exitingWithCode {
        let found = try await daemon.client().call(.GET, "/v1/webhooks")
        if output.json { return print(found.text) }
        print(
          table(
            [["id", "state", "who", "url", "types", ""]]
              + found["items"].array.map {
                [
                  $0["id"].string ?? "", $0["webhook_state"].string ?? "", $0["label"].string ?? "",
                  $0["url"].string ?? "",
                  $0["types"].array.isEmpty ? "all" : $0["types"].array.compactMap(\.string).joined(separator: ","),
                  $0["state_reason"].string ?? "",
                ]
              }))
      }
    }
  }

  struct Log: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Deliveries to a receiver, newest first.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    @Argument(help: "webhook_…") var id: String
    @Option(help: "pending, delivered or exhausted.") var state: String?
    @Option(help: "At most so many.") var limit = 100
    func run() async throws {
      try await exitingWithCode {
        let found = try await daemon.client().call(
          .GET, "/v1/webhooks/\(id)/deliveries",
          query: ["delivery_state": state, "page_size": String(max(1, min(1_000, limit)))])
        if output.json { return print(found.text) }
        print(
          table(
            [["event", "type", "subject", "state", "attempts", "last", "status", "next", "fault"]]
              + found["items"].array.map { row in
                let isPending = row["delivery_state"].string == "pending"
                return [
                  String(row["seq"].int ?? 0), row["type"].string ?? "", row["subject"].string ?? "",
                  row["delivery_state"].string ?? "", String(row["attempts"].int ?? 0), row["last_at"].string ?? "–",
                  row["last_status"].int.map(String.init) ?? "–", isPending ? row["next_at"].string ?? "" : "–",
                  row["last_fault"].string ?? "",
                ]
              }))
      }
    }
  }

  struct Resend: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Deliver again: one event, or everything that was given up since an instant.")
    @OptionGroup var daemon: DaemonLocation
    @Argument(help: "webhook_…") var id: String
    @Option(help: "This event alone, by its number in the log.") var event: Int?
    @Option(help: "What was given up since this instant; all of it if neither is given.") var since: String?
    func run() async throws {
      try await exitingWithCode {
        var body: [String: Any] = [:]
        if let event { body["seq"] = event }
        if let since { body["since"] = since }
        let answer = try await daemon.client().call(
          .POST, "/v1/webhooks/\(id)/resend", body: try JSONObjectText(body))
        print("\(answer["queued"].int ?? 0) will be delivered again.")
      }
    }
  }
}

import ArgumentParser
import Foundation
import NIOHTTP1

/// `--json` for programs, words for people otherwise.
struct OutputOptions: ParsableArguments {
  @Flag(name: .long, help: "JSON for programs instead of words for people.")
  var json = false
}

struct Status: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "How the running daemon is: channels, store, what waits.",
    discussion: "Exit code 1 when a channel is down or something lies in quarantine.")
  @OptionGroup var daemon: DaemonLocation
  @OptionGroup var output: OutputOptions

  func run() async throws {
    try await exitingWithCode {
      let status = try await daemon.client().call(.GET, "/v1/status")
      if output.json { return print(status.text) }
      let work = status["work"]
      print("Liaison \(status["version"].string ?? "") since \(status["started_at"].string ?? "")")
      print(
        table(
          [["channel", "kind", "state", "since", "last arrival", ""]]
            + status["channels"].array.map {
              [
                $0["name"].string ?? "", $0["channel_kind"].string ?? "", $0["state"].string ?? "",
                $0["since"].string ?? "", $0["last_arrival_at"].string ?? "–", $0["text"].string ?? "",
              ]
            }))
      let store = status["store"]
      print(
        """
        store    \(store["engine"].string ?? ""): \(store["writes"].int ?? 0) writes in \(store["commits"].int ?? 0) \
        commits, \(store["mean_commit_us"].int ?? 0) µs each; waiting \(store["waiting_live"].int ?? 0) live, \
        \(store["waiting_bulk"].int ?? 0) bulk
        requests \(work["waiting_requests"].int ?? 0) waiting, \(work["owned_requests"].int ?? 0) owned; oldest waits \
        since \(work["oldest_waiting_at"].string ?? "–")
        arrivals \(work["arrivals_in_work"].int ?? 0) in work, \(work["quarantined"].int ?? 0) in quarantine
        streams  \(status["open_streams"].int ?? 0) open
        """)
      let down = status["channels"].array.filter { !["up", "degraded", "starting"].contains($0["state"].string ?? "") }
      if !down.isEmpty || (work["quarantined"].int ?? 0) > 0 { throw ExitCode(1) }
    }
  }
}

struct Ledger: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What reached each channel on each day, and what became of it.",
    discussion: """
      received = stored + duplicate + refused, and stored = routed + quarantined + in work: the second is counted \
      from the arrivals themselves. Exit code 1 when a line does not balance.
      """)
  @OptionGroup var daemon: DaemonLocation
  @OptionGroup var output: OutputOptions
  @Option(help: "From this UTC day on, as 2026-11-24.")
  var since: String?

  func run() async throws {
    try await exitingWithCode {
      let ledger = try await daemon.client().call(.GET, "/v1/ledger", query: ["since": since])
      if output.json {
        print(ledger.text)
      } else {
        let columns = ["received", "stored", "duplicate", "refused", "late", "routed", "quarantined", "in_work"]
        print(
          table(
            [["day", "channel"] + columns.map { $0.replacingOccurrences(of: "_", with: " ") } + [""]]
              + ledger["items"].array.map { line in
                [line["day"].string ?? "", line["channel"].string ?? ""]
                  + columns.map { String(line[$0].int ?? 0) }
                  + [line["balances"].bool == true ? "balances" : "DOES NOT BALANCE"]
              }))
      }
      guard ledger["balances"].bool == true else { throw DaemonError.finding("the ledger does not balance") }
    }
  }
}

struct Explain: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Everything decided about a contact, request, arrival or decision, and why.",
    discussion: "ID is an arrival_…, contact_…, request_… or decision_… id, or the reference a customer was told.")
  @OptionGroup var daemon: DaemonLocation
  @OptionGroup var output: OutputOptions
  @Argument var id: String

  func run() async throws {
    try await exitingWithCode {
      let allowed = CharacterSet.alphanumerics.union(CharacterSet(charactersIn: "-_"))
      let found = try await daemon.client().call(
        .GET, "/v1/explain/\(id.addingPercentEncoding(withAllowedCharacters: allowed) ?? "")")
      if output.json { return print(found.text) }
      let arrival = found["arrival"]
      if let id = arrival["id"].string {
        print("arrival   \(id) on \(arrival["channel"].string ?? ""), \(arrival["state"].string ?? "")")
        print("          received \(arrival["received_at"].string ?? ""), stored \(arrival["stored_at"].string ?? "")")
      }
      for contact in found["contacts"].array {
        print(
          "contact   \(contact["id"].string ?? contact["contact_id"].string ?? "")  \(contact["summary"].string ?? "")")
        print("          customer \(contact["customer_no"].string ?? "unknown")")
      }
      for request in found["requests"].array {
        print(
          "request   \(request["id"].string ?? request["request_id"].string ?? "")  \(request["status"].string ?? "")")
      }
      for job in found["jobs"].array {
        print("job       \(job["id"].string ?? "")  \(job["purpose"].string ?? ""), \(job["state"].string ?? "")")
        if let reason = job["reason_en"].string { print("          \(reason)") }
      }
      for attempt in found["attempts"].array {
        let way = "\(attempt["channel"].string ?? ""), \(attempt["state_en"].string ?? "")"
        print("attempt   \(attempt["id"].string ?? "")  \(way)")
        if let fault = attempt["fault"]["text"].string, !fault.isEmpty { print("          \(fault)") }
      }
      for decision in found["decisions"].array {
        let words = decision["sentence_en"].string ?? decision["verdict"].string ?? ""
        print("decided   \(decision["at"].string ?? "")  \(decision["act"].string ?? ""): \(words)")
      }
      for event in found["events"].array {
        print("event     \(event["at"].string ?? "")  \(event["type"].string ?? event["event_type"].string ?? "")")
      }
    }
  }
}

struct Tail: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Everything that happens, as it happens.", discussion: "One event a line until interrupted.")
  @OptionGroup var daemon: DaemonLocation
  @OptionGroup var output: OutputOptions
  @Option(help: "First what happened after this event.")
  var after: Int?

  func run() async throws {
    try await exitingWithCode {
      try await daemon.client().events("/v1/events/stream", after: after.map(String.init)) { type, id, data in
        guard type != "open" else { return }
        let event = try JSONTree(Array(data.utf8))
        if output.json {
          print(event.text)
        } else {
          print(
            "\(id)  \(event["at"].string ?? "")  \(type)  \(event["subject"].string ?? "")  \(event["customer_no"].string ?? "")"
          )
        }
        fflush(nil)
      }
    }
  }
}

struct Quarantine: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Arrivals that could not be worked on: see, export, mend, reprocess.",
    subcommands: [List.self, Show.self, Export.self, Reprocess.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "What is in quarantine now, oldest first.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    func run() async throws {
      try await exitingWithCode {
        let items = try await daemon.client().call(.GET, "/v1/quarantine", query: ["page_size": "1000"])
        if output.json { return print(items.text) }
        let rows = items["items"].array.map {
          [
            $0["arrival_id"].string ?? "", $0["channel"].string ?? "", $0["since"].string ?? "",
            $0["code"].string ?? "", $0["reason"].string ?? "",
          ]
        }
        print(
          rows.isEmpty
            ? "Nothing is in quarantine." : table([["arrival", "channel", "since", "code", "reason"]] + rows))
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "One arrival that was set aside.")
    @OptionGroup var daemon: DaemonLocation
    @Argument var arrival: String
    func run() async throws {
      try await exitingWithCode { print(try await daemon.client().call(.GET, "/v1/quarantine/\(arrival)").text) }
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "The bytes as received, to a file or standard output.")
    @OptionGroup var daemon: DaemonLocation
    @Argument var arrival: String
    @Option(name: .shortAndLong, help: "Write them here instead of to standard output.")
    var output: String?
    func run() async throws {
      try await exitingWithCode {
        let bytes = try await daemon.client().bytes(.GET, "/v1/quarantine/\(arrival)/raw")
        guard let output else { return FileHandle.standardOutput.write(Data(bytes)) }
        do {
          try Data(bytes).write(to: URL(fileURLWithPath: output))
        } catch {
          throw DaemonError.storage("cannot write \(output): \(error.localizedDescription)")
        }
      }
    }
  }

  struct Reprocess: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Put it back to work, as it was or with mended bytes; the original is kept.")
    @OptionGroup var daemon: DaemonLocation
    @Argument var arrival: String
    @Option(help: "A file with the mended bytes.")
    var mended: String?
    @Option(help: "Why, for the audit.")
    var reason: String?
    func run() async throws {
      try await exitingWithCode {
        var body: [String: Any] = [:]
        if let reason { body["reason"] = reason }
        if let mended { body["mended"] = try file(mended).base64EncodedString() }
        _ = try await daemon.client().call(
          .POST, "/v1/quarantine/\(arrival)/reprocess", body: try JSONObjectText(body))
        print("\(arrival) is back in work.")
      }
    }
  }
}

/// A file's bytes; what cannot be read is an error of the data given.
func file(_ path: String) throws -> Data {
  do {
    return try Data(contentsOf: URL(fileURLWithPath: path))
  } catch {
    throw DaemonError.data("cannot read \(path)")
  }
}

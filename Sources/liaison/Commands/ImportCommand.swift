import ArgumentParser
import Foundation
import NIOHTTP1

struct ImportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Bring a file of the bank's systems in, row by row.",
    discussion: """
      CSV with a header (UTF-8 or GB18030; commas, semicolons or tabs) or JSON lines, of any size. Every row has its \
      verdict; the counts add up. Interrupted, the same file goes on where it stopped; Ctrl-C leaves the work to the \
      daemon. Exit code 1 when rows were refused, 65 when the file was.
      """)
  @OptionGroup var daemon: DaemonLocation
  @OptionGroup var output: OutputOptions
  @Argument(help: "customers, accounts, contact-points, groups, relations or preferences.") var kind: String
  @Argument(help: "The file.") var file: String
  @Option(help: "csv or jsonl; by the file's name if not given.") var format: String?
  @Option(name: .customLong("map"), help: "COLUMN=FIELD: the file's name of a field; may be given several times.")
  var mapping: [String] = []
  @Flag(help: "Say what would become of every row, and change nothing.") var dryRun = false
  @Option(help: "How many refused rows to print.") var show = 20

  func run() async throws {
    try await exitingWithCode {
      let isLines = format.map { $0 == "jsonl" } ?? (file.hasSuffix(".jsonl") || file.hasSuffix(".ndjson"))
      if let format, format != "csv", format != "jsonl" { throw DaemonError.data("--format is csv or jsonl") }
      for pair in mapping where !pair.contains("=") || pair.contains(",") {
        throw DaemonError.data("--map \(pair) is no COLUMN=FIELD")
      }
      let client = try daemon.client()
      let bar = ProgressBar()
      let made = try await client.upload(
        "/v1/imports/\(kind)/jobs", file: file, mediaType: isLines ? "application/jsonl" : "text/csv",
        query: [
          "dry_run": dryRun ? "true" : "false", "mapping": mapping.isEmpty ? nil : mapping.joined(separator: ","),
          "file_name": String((file as NSString).lastPathComponent.prefix(200)),
        ]
      ) { sent, size in bar.show("sent", sent, of: size) }
      guard let id = made["id"].string else { throw DaemonError.unavailable("the daemon named no job") }
      var job = made
      while ["waiting", "running"].contains(job["import_state"].string ?? "") {
        try await Task.sleep(for: .milliseconds(200))
        job = try await client.call(.GET, "/v1/import-jobs/\(id)")
        bar.show(
          "\(job["rows"].int ?? 0) rows", job["bytes_read"].int ?? 0, of: job["bytes"].int ?? 0)
      }
      bar.end()
      try await report(job, id, client)
    }
  }

  private func report(_ job: JSONTree, _ id: String, _ client: AdminClient) async throws {
    let refused = job["refused"].int ?? 0
    if output.json {
      print(job.text)
    } else {
      let words = dryRun ? "would be" : "were"
      print(
        """
        \(job["rows"].int ?? 0) rows: \(job["added"].int ?? 0) \(words) added, \(job["changed"].int ?? 0) changed, \
        \(refused) refused.
        """)
      if let resumed = job["resumed_after"].int, resumed > 0 { print("\(resumed) of them by an earlier run.") }
      if refused > 0 {
        let rows = try await client.call(
          .GET, "/v1/import-jobs/\(id)/refusals", query: ["page_size": String(max(1, min(1_000, show)))])
        for row in rows["items"].array {
          print("  row \(row["row"].int ?? 0): \(row["fault"].string ?? "") \(row["place"].string ?? "")")
        }
        if refused > show { print("  … and \(refused - show) more: GET /v1/import-jobs/\(id)/refusals") }
      }
    }
    switch job["import_state"].string {
    case "done": if refused > 0 { throw DaemonError.finding("\(refused) rows were refused") }
    case "refused": throw DaemonError.data("the file was refused: \(job["fault"].string ?? "")")
    default: throw DaemonError.finding("the import was cancelled")
    }
  }
}

/// How far long work is, on standard error when that is a terminal.
struct ProgressBar: Sendable {
  private let isShown = isatty(2) == 1
  func show(_ words: String, _ done: Int, of total: Int) {
    guard isShown, total > 0 else { return }
    let full = 30 * min(done, total) / total
    let bar = String(repeating: "█", count: full) + String(repeating: "░", count: 30 - full)
    FileHandle.standardError.write(Data("\r\(bar) \(100 * min(done, total) / total) %  \(words) \u{1b}[K".utf8))
  }
  func end() {
    if isShown { FileHandle.standardError.write(Data("\r\u{1b}[K".utf8)) }
  }
}

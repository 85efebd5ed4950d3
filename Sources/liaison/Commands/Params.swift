import ArgumentParser
import Foundation
import NIOHTTP1

struct Params: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Business parameters: forms, categories, queues. Changed without a restart; every version is kept.",
    subcommands: [Show.self, Difference.self, Apply.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "What holds now, or every version of one parameter.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    @Argument(help: "form, category or queue.") var kind: String?
    @Argument(help: "One parameter's code: its text is printed.") var code: String?

    func run() async throws {
      try await exitingWithCode {
        let found = try await daemon.client().call(.GET, "/v1/parameters", query: ["kind": kind, "code": code])
        if output.json { return print(found.text) }
        if code != nil {
          guard let newest = found["items"].array.last else { throw DaemonError.finding("there is none") }
          return print(newest["body"].string ?? "")
        }
        print(
          table(
            [["kind", "code", "version", "effective", "author"]]
              + found["items"].array.map {
                [
                  $0["kind"].string ?? "", $0["code"].string ?? "", String($0["version"].int ?? 0),
                  $0["effective_at"].string ?? "", $0["author"].string ?? "",
                ]
              }))
      }
    }
  }

  struct Difference: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "diff", abstract: "What applying these files would change.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    @Argument var files: [String]
    func run() async throws { try await send(files, to: daemon, rehearsal: true, json: output.json) }
  }

  struct Apply: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Check files and bring them in force: all of them, or none.",
      discussion: "A file that is wrong is refused with its line and reason (exit code 65) and changes nothing.")
    @OptionGroup var daemon: DaemonLocation
    @OptionGroup var output: OutputOptions
    @Argument var files: [String]
    func run() async throws { try await send(files, to: daemon, rehearsal: false, json: output.json) }
  }
}

private func send(_ files: [String], to daemon: DaemonLocation, rehearsal: Bool, json: Bool) async throws {
  try await exitingWithCode {
    let documents = try files.map { path -> [String: Any] in
      guard let text = String(data: try file(path), encoding: .utf8) else {
        throw DaemonError.data("\(path) is not UTF-8")
      }
      // Read here first, so that what is wrong is said with the file's own name and also without a daemon.
      do { _ = try ParameterFile.read(text, file: path) } catch { throw DaemonError.data("\(error)") }
      return ["name": path, "text": text]
    }
    let body = try JSONObjectText(["documents": documents, "dry_run": rehearsal])
    let answer = try await daemon.client().call(.POST, "/v1/parameters", body: body)
    if json { return print(answer.text) }
    for item in answer["items"].array {
      let name = "\(item["kind"].string ?? "") \(item["code"].string ?? "")"
      print("\(item["change"].string ?? "")  \(name)  version \(item["version"].int ?? 0)")
      let difference = item["difference"].string ?? ""
      if !difference.isEmpty { print(difference) }
    }
  }
}

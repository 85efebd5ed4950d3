import ArgumentParser
import Foundation
import Outbound

/// `liaison decide FILE`: preference decisions for recorded requests. Pure: no daemon, no store, no clock.
///
/// One JSON object per case on its own line, in the order of the file; a line that cannot be read is answered with `id`
/// and `error` and stops nothing. Exit 0 when the file was read to its end, 66 when it cannot be opened, 78 when
/// `--profile` cannot be used. Source: specs/outbound.md §2, DESIGN §6.
struct Decide: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Decide whether, when and by which channel customers may be reached, for each request of a file.",
    discussion: """
      FILE holds one JSON object a line, or TSV with the columns id and input_json; a line `#profile`, tab, JSON sets \
      the profile for what follows. Without one the shipped profile holds.
      """)

  @Argument(help: "The file of requests; - reads standard input.")
  var file: String

  @Option(help: "A purpose profile in JSON instead of the shipped one.")
  var profile: String?

  @Option(help: "Add the decision in words: zh or en.")
  var words: Language?

  @Option(help: ArgumentHelp("Decide every case so many times more and tell the rate.", visibility: .hidden))
  var bench: Int?

  func run() async throws {
    let zones = ZoneCatalog()
    var lines = DecisionLines(profile: try firstProfile(zones), zones: zones)
    let input = try open()
    let output = FileHandle.standardOutput
    var pending: [UInt8] = []
    var cases: [DecisionLines.Ready] = []

    func answer(_ line: some Collection<UInt8>) {
      switch lines.read(line) {
      case .nothing: return
      case .bad(let id, let error): pending += DecisionLines.answer(error: error, id: id).utf8
      case .ready(let ready):
        pending += DecisionLines.answer(ready.decision(), id: ready.id, words: words).utf8
        if bench != nil { cases.append(ready) }
      }
      pending.append(0x0a)
    }

    // What of a line has been read so far; of one that is too long no more is kept than shows it.
    var partial: [UInt8] = []
    while let chunk = try input.read(upToCount: 1 << 16), !chunk.isEmpty {
      var rest = chunk[...]
      while let end = rest.firstIndex(of: 0x0a) {
        append(rest[..<end], to: &partial)
        answer(partial)
        partial.removeAll(keepingCapacity: true)
        rest = rest[(end + 1)...]
      }
      append(rest, to: &partial)
      if !pending.isEmpty {
        try output.write(contentsOf: pending)
        pending.removeAll(keepingCapacity: true)
      }
    }
    if !partial.isEmpty { answer(partial) }
    try output.write(contentsOf: pending)
    if let bench, !cases.isEmpty { try measure(cases, rounds: bench) }
  }

  private func append(_ bytes: Data, to partial: inout [UInt8]) {
    partial.append(contentsOf: bytes.prefix(DecisionLines.longestLine + 1 - partial.count))
  }

  private func open() throws -> FileHandle {
    if file == "-" { return .standardInput }
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: file, isDirectory: &isFolder), !isFolder.boolValue,
      let handle = FileHandle(forReadingAtPath: file)
    else { throw fail("cannot read \(file)", code: 66) }
    return handle
  }

  private func firstProfile(_ zones: ZoneCatalog) throws -> PurposeProfile {
    guard let path = profile else { return try PurposeProfileText.shipped().profile(version: "shipped", zones: zones) }
    do {
      let text = try JSONDecoder().decode(
        PurposeProfileText.self, from: try Data(contentsOf: URL(fileURLWithPath: path)))
      return try text.profile(version: path, zones: zones)
    } catch {
      throw fail("cannot use profile \(path): \(error)", code: 78)
    }
  }

  private func measure(_ cases: [DecisionLines.Ready], rounds: Int) throws {
    var sent = 0
    let elapsed = ContinuousClock().measure {
      for _ in 0..<rounds {
        for ready in cases { if case .send = ready.decision().verdict { sent += 1 } }
      }
    }
    let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
    let count = cases.count * rounds
    tell("decided \(count) in \(seconds) s on one core: \(Int(Double(count) / seconds))/s, \(sent) to send")
  }

  private func fail(_ text: String, code: Int32) -> ExitCode {
    tell("liaison decide: \(text)")
    return ExitCode(code)
  }

  private func tell(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
}

extension Language: ExpressibleByArgument {}

import Foundation
import Outbound

/// The worked cases of the specification, a copy beside the tests.
enum WorkedCases {
  struct Expectation: Sendable, CustomStringConvertible {
    var id: String
    var title: String
    var answer: Answer
    var description: String { "\(id) \(title)" }
  }

  struct Answer: Decodable, Equatable, Sendable {
    var decision: String
    var channel: String?
    var until: String?
    var reason: String
    var refused: [String: String]
  }

  static var fixture: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().appending(path: "Fixtures/preference-cases.tsv")
  }

  static func lines(of file: URL) throws -> [[UInt8]] {
    try Data(contentsOf: file).split(separator: 0x0a).map(Array.init)
  }

  static func expectations(in file: URL) throws -> [Expectation] {
    try lines(of: file).compactMap { line in
      let columns = String(decoding: line, as: UTF8.self).split(separator: "\t", omittingEmptySubsequences: false)
        .map(String.init)
      guard columns.count == 9, columns[0] != "id" else { return nil }
      let refused = try JSONDecoder().decode([String: String].self, from: Data(columns[7].utf8))
      return Expectation(
        id: columns[0], title: columns[1],
        answer: Answer(
          decision: columns[3].lowercased(), channel: columns[4].isEmpty ? nil : columns[4],
          until: columns[5].isEmpty ? nil : columns[5], reason: columns[6], refused: refused))
    }
  }

  /// What Liaison answers, by case.
  static func answers(to file: URL) throws -> [String: Answer] {
    var lines = try Shipped.lines()
    var answers: [String: Answer] = [:]
    for line in try Self.lines(of: file) {
      guard case .ready(let ready) = lines.read(line) else { continue }
      answers[ready.id] = try JSONDecoder().decode(
        Answer.self, from: Data(DecisionLines.answer(ready.decision(), id: ready.id).utf8))
    }
    return answers
  }
}

/// The shipped profile, ready for use.
enum Shipped {
  static let zones = ZoneCatalog()

  static func profile() throws -> PurposeProfile {
    try PurposeProfileText.shipped().profile(version: "shipped", zones: zones)
  }

  static func lines() throws -> DecisionLines { DecisionLines(profile: try profile(), zones: zones) }

  /// Decides one case given as a JSON object.
  static func decision(_ json: String) throws -> Decision {
    var lines = try lines()
    switch lines.read(Array(json.utf8)) {
    case .ready(let ready): return ready.decision()
    case .nothing: throw Unreadable(text: "no case: \(json)")
    case .bad(_, let error): throw Unreadable(text: "\(error): \(json)")
    }
  }

  struct Unreadable: Error { var text: String }
}

import Channels
import ContactModel
import Foundation

/// Reads cases line by line, as TSV with a header or as JSON lines, and answers each with one JSON object.
///
/// A line `#profile`, tab, JSON sets the profile for what follows; other lines that begin with `#` are comments. A line
/// that cannot be read is answered with `id` and `error` and disturbs no other; after a bad profile every case is so
/// answered, because the rules in force before are not the ones that were meant.
public struct DecisionLines {
  /// A line longer than this is not read.
  public static let longestLine = 1 << 20

  private enum Rules {
    case usable(PurposeProfile)
    case broken
  }

  private let zones: ZoneCatalog
  private var rules: Rules
  private var number = 0
  private var hasHeader = false
  /// Where the TSV has them: by its header, else where the worked cases do.
  private var idColumn = 0
  private var inputColumn = 2
  private let decoder = JSONDecoder()

  public init(profile: PurposeProfile, zones: ZoneCatalog) {
    rules = .usable(profile)
    self.zones = zones
  }

  /// A case that can be decided, with the profile in force at its line.
  public struct Ready: Sendable {
    public var id: String
    public var request: DecisionRequest
    public var facts: Facts
    public var profile: PurposeProfile
    public var now: Timestamp

    public func decision() -> Decision { decide(request, about: facts, under: profile, at: now) }
  }

  public enum Outcome: Sendable {
    case nothing
    case ready(Ready)
    /// What is wrong, for the output.
    case bad(id: String, error: String)
  }

  /// `line` without its end-of-line.
  public mutating func read(_ line: some Collection<UInt8>) -> Outcome {
    number += 1
    guard line.count <= Self.longestLine else {
      return .bad(id: "line \(number)", error: "longer than \(Self.longestLine) bytes")
    }
    var bytes = Array(line)
    if number == 1, bytes.starts(with: [0xef, 0xbb, 0xbf]) { bytes.removeFirst(3) }
    while let last = bytes.last, last == 0x0d || last == 0x20 || last == 0x0a { bytes.removeLast() }
    let indent = bytes.prefix { $0 == 0x20 }.count
    bytes.removeFirst(indent)
    guard let first = bytes.first else { return .nothing }
    if first == UInt8(ascii: "#") { return readDirective(bytes) }
    guard bytes.contains(0x09), hasHeader || first != UInt8(ascii: "{") else { return readCase(bytes, id: nil) }
    let columns = bytes.split(separator: 0x09, omittingEmptySubsequences: false)
    let names = columns.map { String(decoding: $0, as: UTF8.self) }
    if let id = names.firstIndex(of: "id"), let input = names.firstIndex(of: "input_json") {
      idColumn = id
      inputColumn = input
      hasHeader = true
      return .nothing
    }
    let id = idColumn < names.count && !names[idColumn].isEmpty ? names[idColumn] : "line \(number)"
    guard inputColumn < columns.count else {
      return .bad(id: id, error: "no column \(inputColumn + 1) for the input")
    }
    return readCase(Array(columns[inputColumn]), id: id)
  }

  private mutating func readDirective(_ bytes: [UInt8]) -> Outcome {
    let mark = Array("#profile".utf8)
    guard bytes.starts(with: mark) else { return .nothing }
    let rest = bytes.dropFirst(mark.count)
    if let next = rest.first, next != 0x09, next != 0x20 { return .nothing }
    do {
      let text = try decoder.decode(PurposeProfileText.self, from: Data(rest))
      rules = .usable(try text.profile(version: "line \(number)", zones: zones))
      return .nothing
    } catch {
      rules = .broken
      return .bad(id: "#profile", error: Self.line(of: error))
    }
  }

  private struct Identified: Decodable {
    let id: String
    private enum CodingKeys: String, CodingKey { case id }
    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: CodingKeys.self)
      // Not a text: then a number, and failing that there is no id.
      if let text = try? container.decode(String.self, forKey: .id) {
        id = text
      } else {
        id = String(try container.decode(Int.self, forKey: .id))
      }
    }
  }

  /// The id an object gives itself, also when the rest of it is broken; nil if none can be made out.
  private func ownID(in bytes: [UInt8]) -> String? {
    // Not JSON, or without an id: then what looks like one.
    if let id = try? decoder.decode(Identified.self, from: Data(bytes)).id { return id }
    let text = String(decoding: bytes.prefix(1_024), as: UTF8.self)
    return text.firstMatch(of: /"id"\s*:\s*"([^"\\]{1,128})"/).map { String($0.1) }
  }

  private func readCase(_ bytes: [UInt8], id given: String?) -> Outcome {
    let id = given ?? ownID(in: bytes) ?? "line \(number)"
    guard case .usable(let profile) = rules else {
      return .bad(id: id, error: "no valid profile: the last #profile line could not be used")
    }
    do {
      let input = try decoder.decode(DecisionCase.self, from: Data(bytes))
      return .ready(
        Ready(id: id, request: input.request, facts: input.facts(zones: zones), profile: profile, now: input.now))
    } catch {
      return .bad(id: id, error: Self.line(of: error))
    }
  }

  private static func line(of error: any Error) -> String {
    if let error = error as? DecodingError { return error.line }
    return "\(error)"
  }
}

extension DecisionLines {
  /// The answer to one case, a line without its end: keys in fixed order, `channel` and `until` null if there is none.
  public static func answer(_ decision: Decision, id: String, words language: Language? = nil) -> String {
    var verdict: String
    var channel: OutboundChannel?
    var until: Timestamp?
    switch decision.verdict {
    case .send(let on): (verdict, channel) = ("send", on)
    case .defer(let on, let time): (verdict, channel, until) = ("defer", on, time)
    case .refuse: verdict = "refuse"
    }
    verdict = quoted(verdict)
    let refused = decision.refused.map { "\(quoted($0.channel.rawValue)):\(quoted($0.reason.rawValue))" }
    var line =
      "{\"id\":\(quoted(id)),\"decision\":\(verdict),\"channel\":\(channel.map { quoted($0.rawValue) } ?? "null")"
    line += ",\"until\":\(until.map { quoted(shown($0)) } ?? "null"),\"reason\":\(quoted(decision.reason.rawValue))"
    line += ",\"refused\":{\(refused.joined(separator: ","))}"
    if let language { line += ",\"words\":\(quoted(decision.words(in: language)))" }
    return line + "}"
  }

  public static func answer(error: String, id: String) -> String {
    "{\"id\":\(quoted(id)),\"error\":\(quoted(error))}"
  }

  /// Whole seconds without a fraction, as the worked cases have them; else the milliseconds, rounded up so that
  /// deciding again at the time shown is not too early.
  private static func shown(_ time: Timestamp) -> String {
    let micros = time.microseconds
    if micros % 1_000_000 == 0 { return String(time.description.dropLast(5)) + "Z" }
    return Timestamp(microseconds: micros.saturatingSum(999)).description
  }

  private static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\t": out += "\\t"
      case "\u{0}"..<"\u{20}", "\u{7f}":
        let hex = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}

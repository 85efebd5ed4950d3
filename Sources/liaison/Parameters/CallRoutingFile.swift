import ContactModel
import Desk
import Store

extension ParameterFile {
  /// `kind: call_routing`: one file, one parameter; see config/params/call-routing.yaml.
  static func callRouting(_ yaml: String, file: String) throws -> ParameterDraft {
    let root = ConfigurationReader(yaml: yaml, file: file, environment: [:])
    _ = root.string("kind", allowed: kinds)
    let priorities = -1_000...1_000
    let fallback = root.section("default") { reader in
      (
        queue: parsedCode(reader, key: "queue"), language: language(reader) ?? "zh",
        priority: reader.integer("priority", default: 0, in: priorities)
      )
    }
    let limit = root.integer("answer_within_ms", default: 15, in: 1...2_000)
    let numbers = root.list("numbers") { reader -> CallRoutingRules.Number? in
      let did = reader.string("did")
      let whole = did.hasSuffix("*") ? String(did.dropLast()) : did
      if whole.contains("*") || (whole.isEmpty && !did.isEmpty) || did.utf8.count > 40 {
        reader.problem(at: "did", "\(did) is no number: digits, with * at its end for the rest")
      }
      let priority = reader.integer("priority", default: fallback.priority, in: priorities)
      let language = language(reader)
      guard let queue = parsedCode(reader, key: "queue") else { return nil }
      return .init(did: did, queue: queue, language: language, priority: priority)
    }
    for (did, same) in Dictionary(grouping: numbers, by: \.did) where same.count > 1 {
      root.problem(at: "numbers", "\(did) stands there twice")
    }
    let levels = root.list("levels") { reader -> CallRoutingRules.Level? in
      .init(
        level: reader.integer("level", default: 0, in: 1...9),
        priority: reader.integer("priority", default: 0, in: priorities),
        queue: reader.optionalString("queue") == nil ? nil : parsedCode(reader, key: "queue"),
        managerFirst: reader.bool("manager_first", default: false))
    }
    for (level, same) in Dictionary(grouping: levels, by: \.level) {
      if level == 0 { root.problem(at: "levels", "each level needs its number, 1 to 9") }
      if same.count > 1 { root.problem(at: "levels", "level \(level) stands there twice") }
    }
    let seconds = root.section("wrap_up") { $0.integer("seconds", default: 30, in: 0...3_600) }
    let wrapUps = root.list("wrap_up_by_queue") { reader -> CallRoutingRules.WrapUp? in
      let seconds = reader.integer("seconds", default: seconds, in: 0...3_600)
      return parsedCode(reader, key: "queue").map { .init(queue: $0, seconds: seconds) }
    }
    try root.finish()
    guard let queue = fallback.queue else {
      throw ConfigurationProblem(file: file, line: nil, text: "default.queue is required")
    }
    let rules = CallRoutingRules(
      defaultQueue: queue, defaultLanguage: fallback.language, defaultPriority: fallback.priority,
      answerWithinMs: limit, numbers: numbers, levels: levels.sorted { $0.level < $1.level },
      defaultWrapUpSeconds: seconds, wrapUps: wrapUps)
    return ParameterDraft(kind: "call_routing", code: "default", body: try JSONText.encode(rules))
  }

  private static func language(_ reader: ConfigurationReader) -> String? {
    guard let text = reader.optionalString("language") else { return nil }
    let isTag =
      (2...35).contains(text.utf8.count)
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0 | 0x20) || $0 == 0x2d }
    if !isTag { reader.problem(at: "language", "\(text) is no language tag such as zh or en-GB") }
    return text
  }
}

import Channels
import ContactModel
import Crypto
import Desk
import Foundation
import Outbound
import Store
import WebForms
import Yams

/// One business parameter as a file gives it, read and found valid.
struct ParameterDraft: Sendable, Hashable {
  var kind: String
  var code: String
  /// Set by kinds that carry their own version; nil: the next.
  var version: Int?
  /// Nil: at once.
  var effectiveAt: Timestamp?
  /// As it is stored: forms as YAML, the others as JSON.
  var body: String

  var digest: String { SHA256.hash(data: Data(body.utf8)).map { String(format: "%02x", $0) }.joined() }
}

/// A file of business parameters. The first key `kind` says what is in it, one of `kinds`.
enum ParameterFile {
  static let kinds = ["form", "category", "queue", "purpose_profile", "template", "call_routing", "call_results"]

  /// Reads and checks a file's text; throws a description with file, line and reason for everything that is wrong.
  static func read(_ yaml: String, file: String) throws -> [ParameterDraft] {
    let kind: String?
    do {
      kind = try Yams.compose(yaml: yaml)?.mapping?["kind"]?.scalar?.string
    } catch {
      kind = nil  // The reader of the kind below reports it with its line.
    }
    switch kind {
    case "form": return [try form(yaml, file: file)]
    case "queue": return try queues(yaml, file: file)
    case "template": return try TemplateFile.read(yaml, file: file)
    case "purpose_profile": return [try purposeProfile(yaml, file: file)]
    case "call_routing": return [try callRouting(yaml, file: file)]
    case "call_results": return [try callResults(yaml, file: file)]
    default: return try categories(yaml, file: file)
    }
  }

  private static func form(_ yaml: String, file: String) throws -> ParameterDraft {
    let form = try FormDefinition.read(yaml, source: file)
    return ParameterDraft(kind: "form", code: form.id, version: form.version, effectiveAt: form.effective, body: yaml)
  }

  private static func purposeProfile(_ yaml: String, file: String) throws -> ParameterDraft {
    do {
      _ = try YAMLDecoder().decode(PurposeProfileText.self, from: yaml).profile(version: file, zones: ZoneCatalog())
    } catch let DecodingError.dataCorrupted(context) {
      throw ConfigurationProblem(file: file, line: nil, text: context.debugDescription)
    } catch let DecodingError.keyNotFound(key, _) {
      throw ConfigurationProblem(file: file, line: nil, text: "\(key.stringValue) is required")
    }
    return ParameterDraft(kind: "purpose_profile", code: "default", body: yaml)
  }

  private static func categories(_ yaml: String, file: String) throws -> [ParameterDraft] {
    let root = ConfigurationReader(yaml: yaml, file: file, environment: [:])
    _ = root.string("kind", allowed: kinds)
    let fallback = root.optionalString("default")
    let categories = root.list("categories") { reader -> ContactModel.Category? in
      guard let code = parsedCode(reader), let queue = parsedCode(reader, key: "queue") else { return nil }
      return ContactModel.Category(
        code: code, nameZh: reader.string("name_zh"), nameEn: reader.string("name_en"), queue: queue,
        severity: reader.integer("severity", default: 3, in: 1...4),
        urgency: reader.integer("urgency", default: 3, in: 1...4),
        respondWithinMinutes: reader.integer("respond_within_minutes", default: 480, in: 1...525_600),
        keywords: reader.strings("keywords"))
    }
    if let fallback, !categories.contains(where: { $0.code.description == fallback }) {
      root.problem(at: "default", "\(fallback) is none of the categories of this file")
    }
    try root.finish()
    var drafts = try categories.map {
      ParameterDraft(kind: "category", code: $0.code.description, body: try JSONText.encode($0))
    }
    if let fallback { drafts.append(ParameterDraft(kind: "category_default", code: "default", body: fallback)) }
    return drafts
  }

  private static func queues(_ yaml: String, file: String) throws -> [ParameterDraft] {
    let root = ConfigurationReader(yaml: yaml, file: file, environment: [:])
    _ = root.string("kind", allowed: kinds)
    let queues = root.list("queues") { reader -> QueueParameter? in
      guard let code = parsedCode(reader) else { return nil }
      let department = reader.optionalString("department")
      if let department, Code(department) == nil { reader.problem(at: "department", "\(department) is no code") }
      return QueueParameter(
        code: code, nameZh: reader.string("name_zh"), nameEn: reader.string("name_en"),
        department: department.flatMap { Code($0) })
    }
    try root.finish()
    return try queues.map { ParameterDraft(kind: "queue", code: $0.code.description, body: try JSONText.encode($0)) }
  }

  static func parsedCode(_ reader: ConfigurationReader, key: String = "code") -> Code? {
    let text = reader.string(key)
    guard let code = Code(text) else {
      if !text.isEmpty { reader.problem(at: key, "\(text) is no code: 1 to 64 characters of A-Z, a-z, 0-9, - and _") }
      return nil
    }
    return code
  }
}

/// A queue as a business parameter.
struct QueueParameter: Sendable, Hashable, Codable {
  var code: Code
  var nameZh: String
  var nameEn: String
  /// Whose queue it is; nil: the whole bank's.
  var department: Code?
}

/// What applying a draft came to.
enum ParameterVerdict: Sendable, Hashable {
  case applied(version: Int, before: String?)
  case unchanged
  case refused(String)
}

extension WriteTransaction {
  /// Applies drafts in one transaction: all or, if one is refused, none (the caller throws then).
  func apply(_ drafts: [ParameterDraft], actor: Actor, at time: Timestamp) throws -> [ParameterVerdict] {
    var verdicts: [ParameterVerdict] = []
    // Queues first, so that a category may name one of the same call.
    for draft in drafts where draft.kind == "queue" {
      let queue = try JSONText.decode(QueueParameter.self, from: draft.body)
      if let department = queue.department, try !hasDepartment(department) {
        return [.refused("queue \(draft.code): there is no department \(department)")]
      }
      try upsertQueue(queue.code, nameZh: queue.nameZh, nameEn: queue.nameEn, department: queue.department)
    }
    for draft in drafts {
      let before = try parameterHistory(kind: draft.kind, code: draft.code).last
      if let before, before.digest == draft.digest, !before.retired {
        verdicts.append(.unchanged)
        continue
      }
      if let version = draft.version, let before, version <= before.version {
        verdicts.append(
          .refused(
            "\(draft.kind) \(draft.code): version \(version) was applied with another text; raise its version to \(before.version + 1)"
          ))
        continue
      }
      if draft.kind == "category" {
        let category = try JSONText.decode(ContactModel.Category.self, from: draft.body)
        if try first("SELECT code FROM queue WHERE code = $1", [.id(category.queue)]) == nil {
          verdicts.append(.refused("category \(draft.code): there is no queue \(category.queue)"))
          continue
        }
      }
      if draft.kind == "template" {
        let template = try JSONText.decode(MessageTemplate.self, from: draft.body)
        if let known = try purposesInForce(with: drafts, at: time), !known.contains(template.purpose) {
          verdicts.append(
            .refused("template \(draft.code): the purpose profile has no purpose \(template.purpose)"))
          continue
        }
      }
      if draft.kind == "call_routing" {
        let rules = try JSONText.decode(CallRoutingRules.self, from: draft.body)
        if let queue = try rules.queues.first(where: { try department(ofQueue: $0) == nil }) {
          verdicts.append(.refused("call_routing: there is no queue \(queue)"))
          continue
        }
      }
      guard
        let applied = try applyParameter(
          kind: draft.kind, code: draft.code, version: draft.version, body: draft.body, digest: draft.digest,
          retired: false, effectiveAt: draft.effectiveAt ?? time, actor: actor, at: time)
      else {
        verdicts.append(.unchanged)
        continue
      }
      verdicts.append(.applied(version: applied.version, before: before?.body))
    }
    return verdicts
  }
}

import Channels
import ContactModel
import Store

/// A file of business parameters, as it is written.
public struct ParameterDocument: Sendable, Hashable {
  /// The file's name: what messages about it name.
  public var name: String
  public var text: String
  public init(name: String, text: String) {
    self.name = name
    self.text = text
  }
}

/// What applying a document does to one parameter.
public struct ParameterChange: Sendable, Hashable {
  public enum Kind: String, Sendable, Hashable, CaseIterable { case added, changed, retired, unchanged }
  public var kind: String
  public var code: String
  public var version: Int
  public var change: Kind
  /// Lines of a difference, for people.
  public var difference: String
  public init(kind: String, code: String, version: Int, change: Kind, difference: String = "") {
    self.kind = kind
    self.code = code
    self.version = version
    self.change = change
    self.difference = difference
  }
}

/// Business parameters: forms, categories, queues, templates, … changed without a restart.
extension OperatorResources {
  var parameterRoutes: [Route] { [list, apply] }

  private var list: Route {
    Route(
      "listParameters", .get, "/v1/parameters", summary: "Every version of the business parameters", tag: "parameters",
      access: .roles(.supervisor, .auditor, .marketing),
      parameters: [
        .query("kind", .string(minimum: 1, maximum: 40), "form, category, queue, …"),
        .query("code", .string(minimum: 1, maximum: 64)),
        .query("in_force", .boolean, "Only those that hold now; `kind` must be given"),
      ],
      answers: [
        .json(
          .output(
            .required(
              "items",
              .array(
                .named(
                  "Parameter",
                  .output(
                    .required("kind", .string()), .required("code", .string()),
                    .required("version", .integer(minimum: 1)), .required("effective_at", .time),
                    .required("applied_at", .time), .required("author", .string()), .required("digest", .string()),
                    .required("body", .string(), "As its kind writes it"), .required("retired", .boolean)))))),
          "By kind, code and version")
      ]
    ) { call in
      let kind = call.text("kind")
      let code = call.text("code")
      let onlyInForce = call.parameters["in_force"]?.bool == true
      let found = try await database.look { connection in
        if let kind, onlyInForce {
          return try connection.parameters(kind, inForceAt: call.now).filter { code == nil || $0.code == code }
        }
        return try connection.parameterHistory(kind: kind, code: code)
      }
      return .json(["items": .array(try found.map(JSONValue.encoding))])
    }
  }

  private var apply: Route {
    Route(
      "applyParameters", .post, "/v1/parameters", summary: "Bring business parameters in force", tag: "parameters",
      access: .roles(),
      body: .init(
        .input(
          .required(
            "documents",
            .array(
              .input(
                .required("name", .string(minimum: 1, maximum: 200)), .required("text", .string(maximum: 1_000_000))),
              maximum: 500)),
          .optional("dry_run", .boolean, "Say what would change, and change nothing")), maximumBytes: 16_000_000),
      answers: [
        .json(
          .output(
            .required("dry_run", .boolean),
            .required(
              "items",
              .array(
                .output(
                  .required("kind", .string()), .required("code", .string()), .required("version", .integer()),
                  .required("change", .word(ParameterChange.Kind.allCases.map(\.rawValue))),
                  .required("difference", .string()))))), "What changed")
      ]
    ) { call in
      let documents = (call.body["documents"]?.array ?? []).map {
        ParameterDocument(name: $0["name"]?.string ?? "", text: $0["text"]?.string ?? "")
      }
      let isRehearsal = call.body["dry_run"]?.bool == true
      let actor = try Actor(call)
      let changes = try await translatingErrors { try await actions.apply(documents, isRehearsal, actor) }
      let changed = changes.filter { $0.change != .unchanged }
      if !isRehearsal, !changed.isEmpty {
        try await translatingErrors {
          try await database.write { transaction in
            for change in changed {
              try transaction.audit(
                "parameter.apply", "\(change.kind)/\(change.code)", after: ["version": .count(change.version)],
                by: actor, at: call.now)
            }
          }
        }
      }
      return .json([
        "dry_run": .bool(isRehearsal),
        "items": .array(
          changes.map {
            [
              "kind": .string($0.kind), "code": .string($0.code), "version": .count($0.version),
              "change": .string($0.change.rawValue), "difference": .string($0.difference),
            ]
          }),
      ])
    }
  }
}

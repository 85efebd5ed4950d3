import Channels
import ContactModel
import Outbound
import Store

/// A template as it holds now.
public struct TemplateInForce: Sendable, Hashable {
  public var template: MessageTemplate
  public var version: Int
  public init(template: MessageTemplate, version: Int) {
    self.template = template
    self.version = version
  }
  /// How jobs cite it.
  var citation: String { "\(template.code)@\(version)" }
}

/// The bank's approved texts: what there is, and how one looks filled in. They are changed as parameters of kind
/// `template`.
extension OutboundResources {
  var templateRoutes: [Route] { [listTemplates, previewTemplate] }

  private static let templateSchema = Schema.named(
    "MessageTemplate",
    .output(
      .required("code", .string()), .required("version", .integer()), .required("name_zh", .string()),
      .required("name_en", .string()), .required("purpose", .string()), .required("confidential", .boolean),
      .required("repeatable", .boolean),
      .required(
        "variables",
        .array(
          .output(
            .required("name", .string()), .required("kind", .string()), .required("maximum", .integer()),
            .required("required", .boolean), .required("example", .string())))),
      .required(
        "messages",
        .array(.output(.required("outbound_channel", .string()), .required("language", .string()))))))

  private var listTemplates: Route {
    Route(
      "listTemplates", .get, "/v1/templates", summary: "The approved texts in force", tag: "proactive-service",
      access: .roles(.agent, .supervisor, .marketing, .integration, .auditor),
      answers: [.json(.output(.required("items", .array(Self.templateSchema))), "By code")]
    ) { _ in
      let items = templates().values.sorted { $0.template.code < $1.template.code }
      return .json(["items": .array(items.map { Self.json($0) })])
    }
  }

  private var previewTemplate: Route {
    Route(
      "previewTemplate", .post, "/v1/templates/{code}/preview",
      summary: "How an approved text looks; its examples stand in for variables that are not given",
      tag: "proactive-service", access: .roles(.agent, .supervisor, .marketing, .integration),
      parameters: [.path("code", .string(minimum: 1, maximum: 64))],
      body: .init(.input(.optional("variables", .map(.string(maximum: 10_000))))),
      answers: [
        .json(
          .output(
            .required("template", .string(), "code@version"),
            .required(
              "messages",
              .array(
                .output(
                  .required("outbound_channel", .string()), .required("language", .string()),
                  .required("subject", .nullable(.string())), .required("text", .string()),
                  .required("html", .nullable(.string())), .required("characters", .integer()),
                  .required(
                    "parts", .nullable(.integer()), "Chargeable parts on that channel; null where it does not count"))))
          ),
          "Every message of it")
      ]
    ) { call in
      let code: Code = try call.path("code")
      guard let found = templates()[code] else { throw Problem(.notFound) }
      let template = found.template
      var values = Dictionary(
        template.variables.map { ($0.name, $0.example) }, uniquingKeysWith: { first, _ in first })
      for (name, value) in call.variables { values[name] = value }
      try template.require(values, at: "#/variables")
      var messages: [JSONValue] = []
      for words in template.messages {
        guard let content = template.contents(with: values, language: words.language)[words.channel.rawValue] else {
          continue
        }
        let link = links.first { $0.channel == words.channel }
        messages.append([
          "outbound_channel": .string(words.channel.rawValue), "language": .string(words.language),
          "subject": .optional(content.subject), "text": .string(content.text), "html": .optional(content.html),
          "characters": .count(content.text.count),
          "parts": link?.parts?(content).map { .count($0) } ?? .null,
        ])
      }
      return .json(["template": .string(found.citation), "messages": .array(messages)])
    }
  }

  private static func json(_ found: TemplateInForce) -> JSONValue {
    let template = found.template
    return [
      "code": .text(template.code), "version": .count(found.version), "name_zh": .string(template.nameZh),
      "name_en": .string(template.nameEn), "purpose": .string(template.purpose.rawValue),
      "confidential": .bool(template.confidential), "repeatable": .bool(template.repeatable),
      "variables": .array(
        template.variables.map {
          [
            "name": .string($0.name), "kind": .string($0.kind.rawValue), "maximum": .count($0.maximum),
            "required": .bool($0.isRequired), "example": .string($0.example),
          ]
        }),
      "messages": .array(
        template.messages.map {
          ["outbound_channel": .string($0.channel.rawValue), "language": .string($0.language)]
        }),
    ]
  }
}

extension Call {
  /// The member `variables` of the body, where it is an object of texts.
  var variables: [String: String] { Self.texts(body["variables"]) }

  static func texts(_ value: JSONValue?) -> [String: String] {
    Dictionary(
      (value?.object?.members ?? []).compactMap { member in member.value.string.map { (member.name, $0) } },
      uniquingKeysWith: { first, _ in first })
  }
}

extension MessageTemplate {
  /// 422 with a violation for each value that does not fit its place.
  func require(_ values: [String: String], at pointer: String) throws {
    let violations = faults(of: values).map { fault in
      let code: Violation.Code =
        switch fault.code {
        case .required: .required
        case .unknown: .unknownMember
        case .tooLong: .tooLong
        case .format: .format
        }
      return Violation(
        .body(pointer: "\(pointer)/\(fault.variable)"), code, expected: fault.expected.isEmpty ? nil : fault.expected)
    }
    guard violations.isEmpty else { throw Problem(.invalidInput, violations: violations) }
  }
}

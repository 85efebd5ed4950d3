/// An error as it is answered: thrown by handlers, written as `application/problem+json`.
///
/// Texts are for people and in their language; a program acts on `type`, `errors[].code` and `errors[].pointer`.
/// `detail` never quotes what arrived, so that no customer data gets into logs of clients.
/// Source: RFC 9457.
public struct Problem: Error, Hashable, Sendable {
  public var type: ProblemType
  public var detail: LocalizedText?
  public var violations: [Violation]
  /// Further fields of the answer: Retry-After, Allow, WWW-Authenticate.
  public var headers: [HeaderField]

  public init(
    _ type: ProblemType, _ detail: LocalizedText? = nil, violations: [Violation] = [], headers: [HeaderField] = []
  ) {
    self.type = type
    self.detail = detail
    self.violations = violations
    self.headers = headers
  }

  /// What a reader's failure is to the client.
  init(_ failure: JSONReader.Failure) {
    let place = LocalizedText(
      zh: "字节偏移 \(failure.offset)：\(failure.code.explanation.chinese)",
      en: "at byte \(failure.offset): \(failure.code.explanation.english)")
    self.init(.malformedJSON, place)
  }

  func json(_ language: Language, instance: String) -> JSONValue {
    var object = JSONObject([
      .init(name: "type", value: .string(type.uri)),
      .init(name: "title", value: .string(type.title[language])),
      .init(name: "status", value: .integer(Int64(type.status))),
    ])
    object["detail"] = detail.map { .string($0[language]) }
    object["instance"] = .string(instance)
    if !violations.isEmpty { object["errors"] = .array(violations.map { $0.json(language) }) }
    return .object(object)
  }

  static let schema = Schema.named(
    "Problem",
    .output(
      .required("type", .string(format: .uri), "What went wrong; see /problems"),
      .required("title", .string()), .required("status", .integer(minimum: 400, maximum: 599)),
      .optional("detail", .string()), .required("instance", .string(), "The id of this request"),
      .optional(
        "errors",
        .array(
          .output(
            .optional("pointer", .string(), "JSON pointer into the body"), .optional("parameter", .string()),
            .optional("header", .string()), .required("code", .word(Violation.Code.allCases.map(\.rawValue))),
            .required("detail", .string()))))))
}

public struct HeaderField: Hashable, Sendable {
  public var name: String
  public var value: String
  public init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

extension Violation {
  func json(_ language: Language) -> JSONValue {
    var object = JSONObject()
    switch place {
    case .body(let pointer): object["pointer"] = .string(pointer)
    case .parameter(let name): object["parameter"] = .string(name)
    case .header(let name): object["header"] = .string(name)
    }
    object["code"] = .string(code.rawValue)
    let text = code.explanation[language]
    object["detail"] = .string(expected.map { "\(text): \($0)" } ?? text)
    return .object(object)
  }
}

extension Violation.Code {
  var explanation: LocalizedText {
    switch self {
    case .required: LocalizedText(zh: "必填", en: "is required")
    case .unknownMember: LocalizedText(zh: "未知成员", en: "is not known here")
    case .type: LocalizedText(zh: "类型不符，应为", en: "has the wrong type; must be")
    case .tooLong: LocalizedText(zh: "过长", en: "is too long")
    case .tooShort: LocalizedText(zh: "过短", en: "is too short")
    case .tooMany: LocalizedText(zh: "项数过多", en: "has too many items")
    case .outOfRange: LocalizedText(zh: "超出范围", en: "is out of range")
    case .notAllowed: LocalizedText(zh: "不是允许的值", en: "is none of the allowed values")
    case .format: LocalizedText(zh: "格式不符", en: "does not have the required form")
    case .conflict: LocalizedText(zh: "与已有事实冲突", en: "contradicts what is known")
    }
  }
}

extension JSONReader.Failure.Code {
  var explanation: LocalizedText {
    switch self {
    case .syntax: LocalizedText(zh: "语法错误", en: "syntax error")
    case .encoding: LocalizedText(zh: "不是有效的 UTF-8 或转义", en: "not valid UTF-8 or escape")
    case .depth: LocalizedText(zh: "嵌套过深", en: "nested too deeply")
    case .duplicate: LocalizedText(zh: "成员名重复", en: "a member name occurs twice")
    case .numberRange: LocalizedText(zh: "数值超出范围", en: "a number out of range")
    case .nul: LocalizedText(zh: "不允许 U+0000", en: "U+0000 is not allowed")
    }
  }
}

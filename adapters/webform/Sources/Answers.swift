import Channels
import Foundation

/// How answers are written: pages with their security headers, JSON, and RFC 9457 problems.
extension WebFormAdapter {
  func html(_ status: Int, _ text: String, _ asking: Asking, headers: [FormHeader] = []) -> FormResponse {
    let ancestors = (["'self'"] + configuration.allowedOrigins).joined(separator: " ")
    let script = asking.embedded ? " script-src 'self';" : ""
    var all = [
      FormHeader("Content-Type", "text/html; charset=utf-8"),
      FormHeader("Content-Language", asking.language.tag),
      FormHeader(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self';\(script) form-action 'self'; base-uri 'none'; "
          + "frame-ancestors \(ancestors)"),
      FormHeader("Referrer-Policy", "same-origin"),
      FormHeader("Permissions-Policy", "camera=(), geolocation=(), microphone=()"),
    ]
    // The old header cannot name several origins; where some may frame us the policy above says which.
    if configuration.allowedOrigins.isEmpty { all.append(FormHeader("X-Frame-Options", "SAMEORIGIN")) }
    return FormResponse(status: status, headers: all + kept(asking) + headers, body: Array(text.utf8))
  }

  func json(
    _ status: Int, _ value: some Encodable, _ asking: Asking, type: String = "application/json",
    headers: [FormHeader] = []
  ) -> FormResponse {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    // Strings, numbers and lists only: encoding cannot fail; were it to, the status still stands.
    let body = (try? encoder.encode(value)).map { Array($0) } ?? []
    let all = [FormHeader("Content-Type", type), FormHeader("Content-Language", asking.language.tag)]
    return FormResponse(status: status, headers: all + kept(asking) + headers, body: body)
  }

  private func kept(_ asking: Asking) -> [FormHeader] {
    var out = [FormHeader("Cache-Control", "no-store"), FormHeader("X-Content-Type-Options", "nosniff")]
    if asking.negotiated { out.append(FormHeader("Vary", "Accept-Language, Accept")) }
    return out
  }

  func asset(_ type: String, _ text: String) -> FormResponse {
    FormResponse(
      status: 200,
      headers: [
        FormHeader("Content-Type", type), FormHeader("Cache-Control", "public, max-age=3600"),
        FormHeader("X-Content-Type-Options", "nosniff"),
        FormHeader("Cross-Origin-Resource-Policy", "cross-origin"),
      ], body: Array(text.utf8))
  }

  func answer(
    _ trouble: FormTrouble, to request: FormRequest, _ asking: Asking, problems: [FieldProblem] = []
  ) -> FormResponse {
    var headers = trouble.headers
    if let wait = trouble.retryAfter { headers.append(FormHeader("Retry-After", String(Self.seconds(wait)))) }
    if asking.json {
      return json(
        trouble.code.status, ProblemDetails(trouble, problems, in: asking.language), asking,
        type: "application/problem+json", headers: headers)
    }
    return html(trouble.code.status, page(asking).trouble(trouble), asking, headers: headers)
  }

  /// Rounded up, at least one.
  static func seconds(_ duration: Duration) -> Int64 {
    max(1, (duration.wholeMicroseconds + 999_999) / 1_000_000)
  }
}

/// RFC 9457, with one entry a field (API conventions: `errors[]` with JSON pointers).
struct ProblemDetails: Encodable {
  struct Entry: Encodable {
    var pointer: String
    var code: String
    var detail: String
  }
  var type: String
  var title: String
  var status: Int
  var detail: String
  var errors: [Entry]?

  init(_ trouble: FormTrouble, _ problems: [FieldProblem], in language: FormLanguage) {
    let wording = Wording(language: language)
    let words = wording.trouble(trouble.code)
    type = "urn:liaison:problem:forms:" + trouble.code.rawValue
    title = words.title
    status = trouble.code.status
    detail = trouble.detail.map { words.text + " (" + $0 + ")" } ?? words.text
    guard !problems.isEmpty else { return }
    errors = problems.map { Entry(pointer: $0.pointer, code: $0.code, detail: wording.problem($0.kind)) }
  }
}

/// What a client of ours that is no browser is told about a form: enough to draw it itself.
struct FormDescription: Encodable {
  struct Field: Encodable {
    var name: String
    var kind: String
    var label: String
    var help: String?
    var required: Bool
    var minimumLength: Int?
    var maximumLength: Int?
    var pattern: String?
    var options: [Option]?
    var mediaTypes: [String]?
    var maximumFiles: Int?
    var maximumFileBytes: Int?
  }
  struct Option: Encodable {
    var value: String
    var label: String
  }
  struct Consent: Encodable {
    var purpose: String
    var noticeVersion: String
    var text: String
    var required: Bool
  }
  var id: String
  var version: Int
  var title: String
  var fields: [Field]
  var replyChannels: [String]
  var replyRequired: Bool
  var consents: [Consent]
  var token: String

  init(_ definition: FormDefinition, token: String, in language: FormLanguage) {
    id = definition.id
    version = definition.version
    title = definition.title[language]
    fields = definition.fields.map { field in
      let isText = field.kind == .text || field.kind == .multiLine
      let isFile = field.kind == .file
      return Field(
        name: field.name, kind: field.kind.rawValue, label: field.label[language], help: field.help?[language],
        required: field.required, minimumLength: isText ? field.minimumLength : nil,
        maximumLength: isText ? field.maximumLength : nil, pattern: field.pattern?.htmlPattern,
        options: field.options.isEmpty ? nil : field.options.map { Option(value: $0.value, label: $0.label[language]) },
        mediaTypes: isFile ? field.mediaTypes : nil, maximumFiles: isFile ? field.maximumFiles : nil,
        maximumFileBytes: isFile ? field.maximumFileBytes : nil)
    }
    replyChannels = definition.reply?.channels.map(\.rawValue) ?? []
    replyRequired = definition.reply?.required ?? false
    consents = definition.consents.map {
      Consent(purpose: $0.purpose, noticeVersion: $0.noticeVersion, text: $0.text[language], required: $0.required)
    }
    self.token = token
  }
}

import Channels

/// An approved text of the bank with places for what differs: per channel and language, with its purpose.
///
/// The purpose sits here and not on the single request, so that nobody calls advertising a service. `{{name}}` is a
/// place; what stands in for it is checked against its kind and length before anything is planned, and cannot bring
/// markup or header lines with it. Source: specs/outbound.md §1, specs/email.md "Compose".
public struct MessageTemplate: Hashable, Sendable, Codable {
  /// What may stand in a place.
  public struct Variable: Hashable, Sendable, Codable {
    public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
      /// One line.
      case text
      /// Several lines.
      case lines
      /// Digits with `.`, `,` or a sign.
      case number
      /// `YYYY-MM-DD`, shown as it is.
      case date
      /// Letters and digits: a one-time password, a reference.
      case code
    }
    public var name: String
    public var kind: Kind
    /// In characters.
    public var maximum: Int
    public var isRequired: Bool
    /// Shown in a preview where nothing is given.
    public var example: String
    public init(name: String, kind: Kind = .text, maximum: Int = 100, isRequired: Bool = true, example: String = "") {
      self.name = name
      self.kind = kind
      self.maximum = maximum
      self.isRequired = isRequired
      self.example = example
    }
  }

  public struct Words: Hashable, Sendable, Codable {
    public var channel: OutboundChannel
    /// BCP 47; `zh` stands for every Chinese, `en` for every English.
    public var language: String
    public var subject: String?
    public var text: String
    public var html: String?
    public init(channel: OutboundChannel, language: String, subject: String? = nil, text: String, html: String? = nil) {
      self.channel = channel
      self.language = language
      self.subject = subject
      self.text = text
      self.html = html
    }
  }

  /// What is wrong with a value given for a place.
  public struct Fault: Error, Hashable, Sendable {
    public enum Code: String, Hashable, Sendable, CaseIterable { case required, unknown, tooLong = "too_long", format }
    public var variable: String
    public var code: Code
    /// What is expected, for people.
    public var expected: String
  }

  public var code: Code
  public var nameZh: String
  public var nameEn: String
  public var purpose: Purpose
  public var confidential: Bool
  /// Hearing it twice does no harm.
  public var repeatable: Bool
  public var variables: [Variable]
  public var messages: [Words]
  /// Options of the channel, as in `Dispatch.Content.options`.
  public var options: [String: String]

  public init(
    code: Code, nameZh: String, nameEn: String, purpose: Purpose, confidential: Bool = false, repeatable: Bool = false,
    variables: [Variable] = [], messages: [Words], options: [String: String] = [:]
  ) {
    self.code = code
    self.nameZh = nameZh
    self.nameEn = nameEn
    self.purpose = purpose
    self.confidential = confidential
    self.repeatable = repeatable
    self.variables = variables
    self.messages = messages
    self.options = options
  }

  /// Everything wrong with these values; empty if the template can be filled with them.
  public func faults(of values: [String: String]) -> [Fault] {
    var faults: [Fault] = []
    for name in values.keys.sorted() where !variables.contains(where: { $0.name == name }) {
      faults.append(Fault(variable: name, code: .unknown, expected: variables.map(\.name).joined(separator: ", ")))
    }
    for variable in variables {
      guard let value = values[variable.name], !value.isEmpty else {
        if variable.isRequired { faults.append(Fault(variable: variable.name, code: .required, expected: "")) }
        continue
      }
      if value.count > variable.maximum {
        faults.append(Fault(variable: variable.name, code: .tooLong, expected: "\(variable.maximum) characters"))
      } else if !variable.kind.accepts(value) {
        faults.append(Fault(variable: variable.name, code: .format, expected: variable.kind.rawValue))
      }
    }
    return faults
  }

  /// The words by channel, in the nearest language there is; values must have no faults.
  public func contents(with values: [String: String], language: String?) -> [String: Dispatch.Content] {
    var contents: [String: Dispatch.Content] = [:]
    for channel in Set(messages.map(\.channel)) {
      guard let words = words(on: channel, language: language) else { continue }
      contents[channel.rawValue] = Dispatch.Content(
        subject: words.subject.map { Self.filled($0, values) }, text: Self.filled(words.text, values),
        html: words.html.map { Self.filled($0, values.mapValues(Self.escaped)) }, language: words.language,
        options: options)
    }
    return contents
  }

  /// The language asked for, else its main language, else the first the template has.
  public func words(on channel: OutboundChannel, language: String?) -> Words? {
    let here = messages.filter { $0.channel == channel }
    let wanted = (language ?? "").lowercased()
    let main = wanted.prefix { $0 != "-" }
    return here.first { $0.language.lowercased() == wanted }
      ?? here.first { $0.language.lowercased().prefix { $0 != "-" } == main } ?? here.first
  }

  /// The names in `{{ }}` of a text, in order; nil if a `{{` is not closed or holds no name.
  public static func places(in text: String) -> [String]? {
    var names: [String] = []
    var rest = text[...]
    while let open = rest.firstRange(of: "{{") {
      guard let close = rest[open.upperBound...].firstRange(of: "}}") else { return nil }
      let name = rest[open.upperBound..<close.lowerBound].filter { $0 != " " }
      guard isName(name) else { return nil }
      names.append(name)
      rest = rest[close.upperBound...]
    }
    return names
  }

  public static func isName(_ text: some StringProtocol) -> Bool {
    (1...40).contains(text.utf8.count)
      && text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 0x5f }
  }

  private static func filled(_ text: String, _ values: [String: String]) -> String {
    var out = ""
    var rest = text[...]
    while let open = rest.firstRange(of: "{{"), let close = rest[open.upperBound...].firstRange(of: "}}") {
      out += rest[..<open.lowerBound]
      out += values[rest[open.upperBound..<close.lowerBound].filter { $0 != " " }] ?? ""
      rest = rest[close.upperBound...]
    }
    return out + rest
  }

  private static func escaped(_ value: String) -> String {
    value.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
      .replacing("\"", with: "&quot;").replacing("'", with: "&#39;")
  }
}

extension MessageTemplate.Variable.Kind {
  public func accepts(_ value: String) -> Bool {
    switch self {
    case .text: value.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
    case .lines: value.unicodeScalars.allSatisfy { $0 == "\n" || $0.properties.generalCategory != .control }
    case .number:
      value.utf8.allSatisfy { (48...57).contains($0) || "+-., ".utf8.contains($0) }
        && value.utf8.contains { (48...57).contains($0) }
    case .date:
      value.utf8.count == 10 && Timestamp(value + "T00:00:00Z") != nil
    case .code:
      value.utf8.allSatisfy {
        (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || $0 == 0x2d
      }
    }
  }
}

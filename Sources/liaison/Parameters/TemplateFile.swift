import Channels
import ContactModel
import Outbound
import Store
import Yams

/// A file of message templates: `kind: template`, a list of `templates`, each with its variables and its messages, one a
/// channel and language. Everything wrong is told with its line.
enum TemplateFile {
  static func read(_ yaml: String, file: String) throws -> [ParameterDraft] {
    let root = ConfigurationReader(yaml: yaml, file: file, environment: [:])
    _ = root.string("kind", allowed: ParameterFile.kinds)
    var codes: Set<Code> = []
    let templates = root.list("templates") { reader -> MessageTemplate? in
      let template = template(reader)
      if let template, !codes.insert(template.code).inserted {
        reader.problem(at: "code", "\(template.code) is there twice")
      }
      return template
    }
    try root.finish()
    return try templates.map {
      ParameterDraft(kind: "template", code: $0.code.description, body: try JSONText.encode($0))
    }
  }

  private static func template(_ reader: ConfigurationReader) -> MessageTemplate? {
    let text = reader.string("code")
    let code = Code(text)
    if code == nil, !text.isEmpty {
      reader.problem(at: "code", "\(text) is no code: 1 to 64 characters of A-Z, a-z, 0-9, - and _")
    }
    let names = (reader.string("name_zh"), reader.string("name_en"))
    let purpose = Purpose(rawValue: reader.string("purpose"))
    let (confidential, repeatable) = (
      reader.bool("confidential", default: false), reader.bool("repeatable", default: false)
    )
    var known: [String] = []
    let variables = reader.list("variables") { reader -> MessageTemplate.Variable? in
      let variable = variable(reader)
      if known.contains(variable.name) { reader.problem(at: "name", "\(variable.name) is there twice") }
      known.append(variable.name)
      return variable
    }
    var used: Set<String> = []
    var places: Set<String> = []
    let messages = reader.list("messages") { reader -> MessageTemplate.Words? in
      let words = words(reader, variables: known, used: &used)
      if !places.insert("\(words.channel) \(words.language)").inserted {
        reader.problem(at: "language", "\(words.channel) in \(words.language) is there twice")
      }
      return words
    }
    if messages.isEmpty { reader.problem(at: "messages", "at least one is required") }
    for name in known where !used.contains(name) {
      reader.problem(at: "variables", "\(name) stands in none of the messages")
    }
    guard let code else { return nil }
    return MessageTemplate(
      code: code, nameZh: names.0, nameEn: names.1, purpose: purpose, confidential: confidential,
      repeatable: repeatable, variables: variables, messages: messages)
  }

  private static func variable(_ reader: ConfigurationReader) -> MessageTemplate.Variable {
    let kinds = MessageTemplate.Variable.Kind.allCases.map(\.rawValue)
    let variable = MessageTemplate.Variable(
      name: reader.string("name"),
      kind: MessageTemplate.Variable.Kind(rawValue: reader.string("kind", default: "text", allowed: kinds)) ?? .text,
      maximum: reader.integer("maximum", default: 100, in: 1...10_000),
      isRequired: reader.bool("required", default: true), example: reader.string("example", default: ""))
    if !variable.name.isEmpty, !MessageTemplate.isName(variable.name) {
      reader.problem(at: "name", "\(variable.name) is no name: 1 to 40 characters of a-z, 0-9 and _")
    }
    if !variable.example.isEmpty,
      !variable.kind.accepts(variable.example) || variable.example.count > variable.maximum
    {
      reader.problem(
        at: "example", "\(variable.example) is no \(variable.kind.rawValue) of \(variable.maximum) characters")
    }
    return variable
  }

  private static func words(
    _ reader: ConfigurationReader, variables: [String], used: inout Set<String>
  ) -> MessageTemplate.Words {
    let words = MessageTemplate.Words(
      channel: OutboundChannel(rawValue: reader.string("channel", allowed: ["sms", "email", "fax", "phone"])),
      language: reader.string("language"), subject: reader.optionalString("subject"), text: reader.string("text"),
      html: reader.optionalString("html"))
    for (key, text) in [("subject", words.subject), ("text", words.text), ("html", words.html)] {
      guard let text else { continue }
      guard let places = MessageTemplate.places(in: text) else {
        reader.problem(at: key, "a {{ without }} or without a name in it")
        continue
      }
      used.formUnion(places)
      for place in places where !variables.contains(place) {
        reader.problem(at: key, "{{\(place)}} is none of the variables")
      }
      if key == "subject", text.contains(where: \.isNewline) { reader.problem(at: key, "a subject is one line") }
    }
    if words.channel == .email, words.subject == nil { reader.problem(at: "subject", "is required for e-mail") }
    if words.channel == .sms, words.html != nil { reader.problem(at: "html", "a text message has none") }
    return words
  }
}

extension WriteTransaction {
  /// The purposes there will be once these drafts are in force; nil where no profile is kept.
  func purposesInForce(with drafts: [ParameterDraft], at time: Timestamp) throws -> Set<Purpose>? {
    let body =
      try drafts.last { $0.kind == "purpose_profile" }?.body
      ?? parameters("purpose_profile", inForceAt: time).first?.body
    guard let body else { return nil }
    let profile = try YAMLDecoder().decode(PurposeProfileText.self, from: body)
      .profile(version: "drafts", zones: ZoneCatalog())
    return Set(profile.purposes.keys)
  }
}

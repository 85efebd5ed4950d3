import Channels
import Foundation
import Yams

extension FormDefinition {
  /// Everything that is wrong with a definition, in the order of its lines.
  public struct Invalid: Error, Hashable, Sendable, CustomStringConvertible {
    public struct Problem: Hashable, Sendable {
      /// From 1.
      public var line: Int
      public var text: String
    }
    public var source: String
    public var problems: [Problem]
    /// `complaint.yaml:12: unknown key "requierd"; did you mean "required"?`, one problem a line.
    public var description: String { problems.map { "\(source):\($0.line): \($0.text)" }.joined(separator: "\n") }
  }

  /// Reads one definition from YAML (and so from JSON). `source` names the text in errors: usually the file.
  ///
  /// Every problem is reported, not only the first; unknown keys are problems. At most 256 KiB.
  public static func read(_ yaml: String, source: String) throws(Invalid) -> FormDefinition {
    func fail(_ line: Int, _ text: String) -> Invalid {
      Invalid(source: source, problems: [.init(line: line, text: text)])
    }
    guard yaml.utf8.count <= 262_144 else { throw fail(1, "larger than 256 KiB") }
    let root: Node?
    do {
      root = try compose(yaml: yaml)
    } catch let error as YamlError {
      let (line, text) = place(of: error)
      throw fail(line, text)
    } catch {
      throw fail(1, "not readable: \(error)")
    }
    guard let root else { throw fail(1, "the file is empty") }
    var reader = DefinitionReader()
    let definition = reader.form(root)
    guard let definition, reader.problems.isEmpty else {
      throw Invalid(source: source, problems: reader.problems.sorted { $0.line < $1.line })
    }
    return definition
  }

  private static func place(of error: YamlError) -> (Int, String) {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      (mark.line, "not YAML: \(problem)")
    case .duplicatedKeysInMapping(let duplicates, let context):
      (context.mark.line, "the same key twice: \(duplicates.joined(separator: ", "))")
    default: (1, "not YAML: \(error)")
    }
  }
}

/// Walks the nodes of a definition and notes every problem with its line.
private struct DefinitionReader {
  typealias Problem = FormDefinition.Invalid.Problem
  var problems: [Problem] = []

  mutating func note(_ node: Node?, _ text: String) {
    problems.append(Problem(line: node?.mark?.line ?? 1, text: text))
  }

  /// A mapping with known keys only; the keys that are missing are noted too.
  mutating func mapping(_ node: Node, _ what: String, required: [String], optional: [String]) -> [String: Node] {
    guard let pairs = node.mapping else {
      note(node, "\(what) is a mapping of keys")
      return [:]
    }
    var out: [String: Node] = [:]
    for (key, value) in pairs {
      let name = key.scalar?.string ?? ""
      if required.contains(name) || optional.contains(name) {
        out[name] = value
      } else {
        let nearest = nearest(to: name, in: required + optional).map { "; did you mean \"\($0)\"?" } ?? ""
        note(key, "unknown key \"\(name)\" in \(what)\(nearest)")
      }
    }
    for name in required where out[name] == nil { note(node, "\(what) has no \"\(name)\"") }
    return out
  }

  mutating func text(_ node: Node?, _ what: String, maximum: Int = 4_000) -> String? {
    guard let node else { return nil }
    guard let scalar = node.scalar else {
      note(node, "\(what) is a text")
      return nil
    }
    let value = trimmed(scalar.string)
    if value.isEmpty { note(node, "\(what) is empty") }
    if value.utf16.count > maximum { note(node, "\(what) is longer than \(maximum) characters") }
    if value.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\n" }) {
      note(node, "\(what) contains a control character")
    }
    return value
  }

  mutating func localized(_ node: Node?, _ what: String, maximum: Int = 4_000) -> LocalizedText? {
    guard let node else { return nil }
    let parts = mapping(node, what, required: ["zh", "en"], optional: [])
    guard let zh = text(parts["zh"], "\(what).zh", maximum: maximum),
      let en = text(parts["en"], "\(what).en", maximum: maximum)
    else { return nil }
    return LocalizedText(zh: zh, en: en)
  }

  mutating func integer(_ node: Node?, _ what: String, in range: ClosedRange<Int>) -> Int? {
    guard let node else { return nil }
    guard let value = node.scalar.flatMap({ Int($0.string) }), range.contains(value) else {
      note(node, "\(what) is a whole number from \(range.lowerBound) to \(range.upperBound)")
      return nil
    }
    return value
  }

  mutating func flag(_ node: Node?, _ what: String) -> Bool {
    guard let node else { return false }
    guard let value = node.bool else {
      note(node, "\(what) is true or false")
      return false
    }
    return value
  }

  mutating func decimal(_ node: Node?, _ what: String) -> Double? {
    guard let node else { return nil }
    guard let value = node.scalar.flatMap({ Double($0.string) }), value.isFinite else {
      note(node, "\(what) is a number")
      return nil
    }
    return value
  }

  mutating func word<W: RawRepresentable<String> & CaseIterable>(_ node: Node?, _ what: String, _: W.Type) -> W? {
    guard let node else { return nil }
    let name = node.scalar?.string ?? ""
    if let value = W(rawValue: name) { return value }
    let known = W.allCases.map(\.rawValue)
    let nearest = nearest(to: name, in: known).map { "; did you mean \"\($0)\"?" } ?? ""
    note(node, "\(what) \"\(name)\" is not one of \(known.joined(separator: ", "))\(nearest)")
    return nil
  }

  mutating func name(_ node: Node?, _ what: String, separator: UInt8, maximum: Int = 40) -> String? {
    guard let value = text(node, what) else { return nil }
    let bytes = Array(value.utf8)
    let fits =
      bytes.count <= maximum && (0x61...0x7a).contains(bytes.first ?? 0)
      && bytes.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == separator }
    if !fits {
      let mark = Character(Unicode.Scalar(separator))
      note(node, "\(what) \"\(value)\" is not [a-z][a-z0-9\(mark)]*, at most \(maximum) characters")
    }
    return fits ? value : nil
  }

  /// A category's code; whether the category exists is for whoever knows the categories.
  mutating func code(_ node: Node?) -> String? {
    guard let value = text(node, "category", maximum: 60) else { return nil }
    let fits = value.utf8.allSatisfy {
      (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || "_-./".utf8.contains($0)
    }
    if !fits { note(node, "category \"\(value)\" is not [a-z0-9_./-]*") }
    return fits ? value : nil
  }

  mutating func list(_ node: Node?, _ what: String, count: ClosedRange<Int>) -> [Node] {
    guard let node else { return [] }
    guard let sequence = node.sequence else {
      note(node, "\(what) is a list")
      return []
    }
    if !count.contains(sequence.count) {
      note(node, "\(what) has \(sequence.count) entries; \(count.lowerBound) to \(count.upperBound) are possible")
    }
    return Array(sequence.prefix(count.upperBound))
  }

  // MARK: The parts of a form

  mutating func form(_ root: Node) -> FormDefinition? {
    let parts = mapping(
      root, "the form", required: ["id", "version", "effective", "title", "fields"],
      optional: ["kind", "category", "introduction", "confirmation", "reply", "consents"])
    if let kind = parts["kind"], kind.scalar?.string != "form" { note(kind, "kind is \"form\"") }
    let id = name(parts["id"], "id", separator: 0x2d)
    if let id, WebFormAdapter.reservedIDs.contains(id) { note(parts["id"], "id \"\(id)\" is reserved") }
    if let id, id.utf8.count < 2 { note(parts["id"], "id has at least 2 characters") }
    let version = integer(parts["version"], "version", in: 1...999_999)
    let effective = instant(parts["effective"])
    let category = code(parts["category"])
    let title = localized(parts["title"], "title", maximum: 200)
    let introduction = localized(parts["introduction"], "introduction")
    let confirmation = localized(parts["confirmation"], "confirmation")
    var fields: [FormDefinition.Field] = []
    for node in list(parts["fields"], "fields", count: 1...60) {
      guard let field = field(node) else { continue }
      if fields.contains(where: { $0.name == field.name }) { note(node, "a second field \"\(field.name)\"") }
      fields.append(field)
    }
    let reply = self.reply(parts["reply"], fields)
    var consents: [FormDefinition.ConsentBox] = []
    for node in list(parts["consents"], "consents", count: 0...20) {
      guard let box = consent(node) else { continue }
      if consents.contains(where: { $0.purpose == box.purpose }) { note(node, "a second consent \"\(box.purpose)\"") }
      consents.append(box)
    }
    guard let id, let version, let effective, let title else { return nil }
    return FormDefinition(
      id: id, version: version, effective: effective, categoryCode: category, title: title,
      introduction: introduction, confirmation: confirmation, fields: fields, reply: reply, consents: consents)
  }

  private mutating func instant(_ node: Node?) -> Timestamp? {
    guard let node else { return nil }
    let value = node.scalar?.string ?? ""
    if let instant = Timestamp(value) ?? Timestamp(value + "T00:00:00Z") { return instant }
    note(node, "effective \"\(value)\" is neither an RFC 3339 instant nor YYYY-MM-DD (then midnight UTC)")
    return nil
  }

  private mutating func field(_ node: Node) -> FormDefinition.Field? {
    let parts = mapping(
      node, "a field", required: ["name", "kind", "label"],
      optional: [
        "help", "required", "minimum_length", "maximum_length", "pattern", "pattern_message", "options", "minimum",
        "maximum", "earliest", "latest", "maximum_files", "maximum_file_bytes", "media_types", "claim", "autocomplete",
      ])
    let name = name(parts["name"], "name", separator: 0x5f)
    let label = localized(parts["label"], "label", maximum: 300)
    guard let kind = word(parts["kind"], "kind", FormDefinition.Field.Kind.self) else { return nil }
    allow(parts, kind)
    let longest = kind == .multiLine ? 20_000 : 1_000
    var field = FormDefinition.Field(
      name: name ?? "", kind: kind, label: label ?? LocalizedText(zh: "", en: ""),
      help: localized(parts["help"], "help"), required: flag(parts["required"], "required"),
      minimumLength: integer(parts["minimum_length"], "minimum_length", in: 0...longest) ?? 0,
      maximumLength: integer(parts["maximum_length"], "maximum_length", in: 1...longest) ?? kind.usualLength,
      pattern: nil, patternMessage: localized(parts["pattern_message"], "pattern_message", maximum: 300), options: [],
      minimum: decimal(parts["minimum"], "minimum"), maximum: decimal(parts["maximum"], "maximum"),
      earliest: day(parts["earliest"], "earliest"), latest: day(parts["latest"], "latest"),
      maximumFiles: integer(parts["maximum_files"], "maximum_files", in: 1...20) ?? 3,
      maximumFileBytes: integer(parts["maximum_file_bytes"], "maximum_file_bytes", in: 1...50_000_000) ?? 5_000_000,
      mediaTypes: [], claim: claim(parts["claim"], kind), autocomplete: autocomplete(parts["autocomplete"], kind))
    if field.minimumLength > field.maximumLength { note(node, "minimum_length is above maximum_length") }
    if let low = field.minimum, let high = field.maximum, low > high { note(node, "minimum is above maximum") }
    if let pattern = parts["pattern"] {
      do {
        field.pattern = try FieldPattern(pattern.scalar?.string ?? "")
      } catch {
        note(pattern, "pattern: \(error.text)")
      }
    } else if parts["pattern_message"] != nil {
      note(parts["pattern_message"], "pattern_message without pattern")
    }
    for option in list(parts["options"], "options", count: 1...500) {
      guard let option = self.option(option, field.options) else { continue }
      field.options.append(option)
    }
    if kind == .select, parts["options"] == nil { note(node, "a select field has no \"options\"") }
    for type in list(parts["media_types"], "media_types", count: 1...40) {
      guard let text = text(type, "media type"), let read = MediaType(text) else {
        note(type, "not a media type")
        continue
      }
      field.mediaTypes.append(read.essence)
    }
    if field.mediaTypes.isEmpty { field.mediaTypes = MediaSniffer.usualTypes }
    if name == FormInput.honeypot { note(parts["name"], "the name \(FormInput.honeypot) is reserved") }
    guard name != nil, label != nil else { return nil }
    return field
  }

  /// Keys that mean nothing for the kind are mistakes, too.
  private mutating func allow(_ parts: [String: Node], _ kind: FormDefinition.Field.Kind) {
    let only: [String: [FormDefinition.Field.Kind]] = [
      "options": [.select], "minimum": [.number], "maximum": [.number], "earliest": [.date], "latest": [.date],
      "maximum_files": [.file], "maximum_file_bytes": [.file], "media_types": [.file],
      "pattern": [.text, .customerNo], "pattern_message": [.text, .customerNo],
      "minimum_length": [.text, .multiLine, .customerNo], "maximum_length": [.text, .multiLine, .customerNo],
    ]
    for (key, node) in parts {
      if let kinds = only[key], !kinds.contains(kind) { note(node, "\(key) has no meaning for kind \(kind.rawValue)") }
    }
  }

  private mutating func claim(_ node: Node?, _ kind: FormDefinition.Field.Kind) -> Claim.Fact? {
    guard let node else { return kind.usualClaim }
    if node.scalar?.string == "none" { return nil }
    return word(node, "claim", Claim.Fact.self)
  }

  private mutating func autocomplete(_ node: Node?, _ kind: FormDefinition.Field.Kind) -> String? {
    guard let value = text(node, "autocomplete", maximum: 60) else {
      switch kind {
      case .email: return "email"
      case .phone: return "tel"
      default: return nil
      }
    }
    if !value.utf8.allSatisfy({ (0x61...0x7a).contains($0) || $0 == 0x2d || $0 == 0x20 || (0x30...0x39).contains($0) })
    {
      note(node, "autocomplete \"\(value)\" is not an autofill token")
    }
    return value
  }

  private mutating func day(_ node: Node?, _ what: String) -> FormDefinition.DateBound? {
    guard let node else { return nil }
    let value = node.scalar?.string ?? ""
    if value == "today" { return .today }
    if value.utf8.count == 10, Timestamp(value + "T00:00:00Z") != nil { return .day(value) }
    note(node, "\(what) is \"today\" or a date YYYY-MM-DD")
    return nil
  }

  private mutating func option(_ node: Node, _ earlier: [FormDefinition.Option]) -> FormDefinition.Option? {
    let parts = mapping(node, "an option", required: ["value", "label"], optional: ["category"])
    guard let value = name(parts["value"], "value", separator: 0x5f, maximum: 60),
      let label = localized(parts["label"], "label", maximum: 200)
    else { return nil }
    if earlier.contains(where: { $0.value == value }) { note(node, "a second option \"\(value)\"") }
    let category = code(parts["category"])
    return FormDefinition.Option(value: value, label: label, categoryCode: category)
  }

  private mutating func reply(_ node: Node?, _ fields: [FormDefinition.Field]) -> FormDefinition.Reply? {
    guard let node else { return nil }
    let parts = mapping(node, "reply", required: ["channels"], optional: ["required"])
    var channels: [FormDefinition.Reply.Channel] = []
    for entry in list(parts["channels"], "channels", count: 1...4) {
      guard let channel = word(entry, "channel", FormDefinition.Reply.Channel.self) else { continue }
      if channels.contains(channel) { note(entry, "\(channel.rawValue) twice") }
      if let kind = channel.fieldKind, !fields.contains(where: { $0.kind == kind }) {
        note(entry, "a reply by \(channel.rawValue) needs a field of kind \(kind.rawValue)")
      }
      channels.append(channel)
    }
    return FormDefinition.Reply(channels: channels, required: flag(parts["required"], "required"))
  }

  private mutating func consent(_ node: Node) -> FormDefinition.ConsentBox? {
    let parts = mapping(node, "a consent", required: ["purpose", "notice_version", "text"], optional: ["required"])
    guard let purpose = name(parts["purpose"], "purpose", separator: 0x5f),
      let version = text(parts["notice_version"], "notice_version", maximum: 60),
      let words = localized(parts["text"], "text")
    else { return nil }
    return FormDefinition.ConsentBox(
      purpose: purpose, noticeVersion: version, text: words, required: flag(parts["required"], "required"))
  }
}

extension FormDefinition.Field.Kind {
  var usualLength: Int {
    switch self {
    case .text: 200
    case .multiLine: 4_000
    case .email: 254
    case .phone: 40
    case .customerNo: 32
    case .identityTail, .accountTail: 6
    case .number: 30
    case .date: 10
    case .select, .file: 60
    }
  }
  var usualClaim: Claim.Fact? {
    switch self {
    case .email: .email
    case .phone: .phone
    case .identityTail: .identityNoTail
    case .accountTail: .accountNoTail
    case .customerNo: .customerNo
    case .text, .select, .date, .file, .number, .multiLine: nil
    }
  }
}

extension FormDefinition.Reply.Channel {
  /// The kind of field that holds the address this channel needs.
  var fieldKind: FormDefinition.Field.Kind? {
    switch self {
    case .phone, .sms: .phone
    case .email: .email
    case .noReply: nil
    }
  }
}

/// The known word at an edit distance of at most 3 and half the length, if there is one.
private func nearest(to word: String, in known: [String]) -> String? {
  let best = known.map { ($0, distance(Array(word.utf8), Array($0.utf8))) }.min { $0.1 < $1.1 }
  guard let best, best.1 <= 3, best.1 * 2 <= best.0.utf8.count else { return nil }
  return best.0
}

/// Levenshtein's.
private func distance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  guard a.count <= 80 else { return a.count }
  var row = Array(0...b.count)
  for (i, x) in a.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for (j, y) in b.enumerated() {
      let here = x == y ? diagonal : min(diagonal, row[j], row[j + 1]) + 1
      diagonal = row[j + 1]
      row[j + 1] = here
    }
  }
  return row[b.count]
}

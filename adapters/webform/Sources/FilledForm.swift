import Channels

/// A form as it was filled in and found right: what becomes an arrival.
struct FilledForm: Hashable, Sendable {
  struct Answer: Hashable, Sendable {
    var field: FormDefinition.Field
    /// Normalised; empty if the field was left empty or holds files.
    var text: String
    var files: [InboundMessage.Attachment]
  }
  var definition: FormDefinition
  var language: FormLanguage
  /// In the order of the definition, empty ones too.
  var answers: [Answer]
  var replyBy: FormDefinition.Reply.Channel?
  var consents: [InboundMessage.Consent]
}

/// One thing wrong with what was filled in.
struct FieldProblem: Hashable, Sendable {
  /// The name of the input concerned, as in HTML.
  var input: String
  /// RFC 6901, into the JSON body.
  var pointer: String
  var kind: Kind

  enum Kind: Hashable, Sendable {
    case missing, repeated, controlCharacter, lineBreak, unknownField
    case tooShort(Int)
    case tooLong(Int)
    case pattern(LocalizedText?)
    case notEmail, notPhone, notOption, notDate, notNumber, notIdentityTail, notAccountTail, notCustomerNo
    case tooEarly(String)
    case tooLate(String)
    case tooSmall(String)
    case tooGreat(String)
    case tooManyFiles(Int)
    case fileTooLarge(Int)
    case fileEmpty
    case fileType(String)
    case notAFile
    case consentMissing
    /// The reply is wanted by a channel whose address was not filled in.
    case replyAddressMissing
  }

  /// A word fit for a machine: the `code` in a JSON answer.
  var code: String {
    switch kind {
    case .missing, .consentMissing, .replyAddressMissing: "required"
    case .repeated: "repeated"
    case .controlCharacter, .lineBreak: "bad_character"
    case .unknownField: "unknown_field"
    case .tooShort: "too_short"
    case .tooLong: "too_long"
    case .pattern: "pattern"
    case .notEmail, .notPhone, .notDate, .notNumber, .notIdentityTail, .notAccountTail, .notCustomerNo, .notAFile:
      "format"
    case .notOption: "not_an_option"
    case .tooEarly, .tooLate, .tooSmall, .tooGreat: "out_of_range"
    case .tooManyFiles: "too_many_files"
    case .fileTooLarge: "file_too_large"
    case .fileEmpty: "file_empty"
    case .fileType: "file_type"
    }
  }
}

extension FilledForm {
  /// Reads a body against a definition: the filled form, or everything that is wrong with it, in the form's order.
  ///
  /// `strict` (JSON) also reports fields the form does not have; a browser's extras are left out silently.
  static func read(
    _ body: SubmittedBody, as definition: FormDefinition, in language: FormLanguage, at now: Timestamp, strict: Bool
  ) -> Result<FilledForm, Problems> {
    var form = FilledForm(definition: definition, language: language, answers: [], replyBy: nil, consents: [])
    var problems: [FieldProblem] = []
    for field in definition.fields {
      let pointer = "/fields/" + field.name
      func problem(_ kind: FieldProblem.Kind) {
        problems.append(FieldProblem(input: field.name, pointer: pointer, kind: kind))
      }
      if field.kind == .file {
        if let text = body.value(field.name), !text.isEmpty { problem(.notAFile) }
        let read = attachments(body.files[field.name] ?? [], field)
        if let first = read.problem { problem(first) }
        form.answers.append(Answer(field: field, text: "", files: read.files))
      } else {
        let values = body.values[field.name] ?? []
        if values.count > 1 { problem(.repeated) }
        switch FieldReading.text(values.first ?? "", field, now) {
        case .success(let text): form.answers.append(Answer(field: field, text: text, files: []))
        case .failure(let wrong): problem(wrong.kind)
        }
      }
    }
    if let reply = definition.reply {
      let chosen = body.value(FormInput.replyBy) ?? ""
      if let channel = FormDefinition.Reply.Channel(rawValue: chosen), reply.channels.contains(channel) {
        form.replyBy = channel
        if let kind = channel.fieldKind,
          let field = definition.fields.first(where: { $0.kind == kind }),
          !definition.fields.contains(where: { $0.kind == kind && !(body.value($0.name) ?? "").isEmpty })
        {
          problems.append(
            FieldProblem(input: field.name, pointer: "/fields/" + field.name, kind: .replyAddressMissing))
        }
      } else if !chosen.isEmpty {
        problems.append(FieldProblem(input: FormInput.replyBy, pointer: "/reply_by", kind: .notOption))
      } else if reply.required {
        problems.append(FieldProblem(input: FormInput.replyBy, pointer: "/reply_by", kind: .missing))
      }
    }
    for box in definition.consents {
      let granted = ["yes", "on", "true", "1"].contains(body.value(FormInput.consent(box.purpose)) ?? "")
      if box.required, !granted {
        problems.append(
          FieldProblem(
            input: FormInput.consent(box.purpose), pointer: "/consents/" + box.purpose, kind: .consentMissing))
      }
      form.consents.append(.init(purpose: box.purpose, granted: granted, noticeVersion: box.noticeVersion))
    }
    if strict { problems += unknown(in: body, definition) }
    return problems.isEmpty ? .success(form) : .failure(Problems(list: problems))
  }

  struct Problems: Error { var list: [FieldProblem] }

  private static func unknown(in body: SubmittedBody, _ definition: FormDefinition) -> [FieldProblem] {
    var known = Set(definition.fields.map(\.name))
    known.formUnion([FormInput.token, FormInput.version, FormInput.replyBy, FormInput.honeypot])
    let purposes = Set(definition.consents.map { FormInput.consent($0.purpose) })
    return Set(body.values.keys).union(body.files.keys).subtracting(known).subtracting(purposes).sorted().map { name in
      let consent = FormInput.consent("")
      let pointer = name.hasPrefix(consent) ? "/consents/" + name.dropFirst(consent.count) : "/fields/" + name
      return FieldProblem(input: printable(name), pointer: printable(pointer), kind: .unknownField)
    }
  }

  private static func attachments(
    _ files: [SubmittedBody.File], _ field: FormDefinition.Field
  ) -> (files: [InboundMessage.Attachment], problem: FieldProblem.Kind?) {
    if files.isEmpty { return ([], field.required ? .missing : nil) }
    if files.count > field.maximumFiles { return ([], .tooManyFiles(field.maximumFiles)) }
    var out: [InboundMessage.Attachment] = []
    for file in files {
      if file.bytes.isEmpty { return ([], .fileEmpty) }
      if file.bytes.count > field.maximumFileBytes { return ([], .fileTooLarge(field.maximumFileBytes)) }
      let type = MediaSniffer.mediaType(of: file.bytes, declared: file.declaredType)
      guard field.mediaTypes.contains(type) else { return ([], .fileType(type)) }
      out.append(.init(name: file.name, mediaType: type, bytes: file.bytes))
    }
    return (out, nil)
  }
}

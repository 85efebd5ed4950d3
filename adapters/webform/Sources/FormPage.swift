import Channels

/// The pages: server-rendered, whole without script, one language each.
///
/// Every input has its label; help and error are tied to it by `aria-describedby`; errors stand in a summary that takes
/// the focus and links to each input. Source: WCAG 2.2 (1.3.1, 3.3.1–3.3.3, 4.1.2).
struct FormPage {
  let language: FormLanguage
  /// `/forms`
  let base: String
  let bank: LocalizedText
  /// Within a frame on the bank's own page: no header and footer, tells its height.
  var embedded = false
  var wording: Wording { Wording(language: language) }

  // MARK: The form

  struct State {
    var token: String
    /// As typed, to be shown again.
    var body = SubmittedBody()
    var problems: [FieldProblem] = []
    /// Something to be said above the form that concerns no one field.
    var notice: String?
  }

  func form(_ definition: FormDefinition, _ state: State) -> String {
    let here = "\(base)/\(language.rawValue)/\(definition.id)"
    let failed = !state.problems.isEmpty || state.notice != nil
    return page(definition.title[language], failed: failed, path: definition.id) { out in
      if failed { out.append(summary(definition, state)) }
      out.element("h1", definition.title[language])
      if let text = definition.introduction { out.element("p", ["class": "intro"], text[language]) }
      out.open(
        "form",
        [
          "method": "post", "action": embedded ? here + "?embed=1" : here, "accept-charset": "utf-8",
          "enctype": definition.hasFiles ? "multipart/form-data" : nil,
        ])
      out.open("input", ["type": "hidden", "name": FormInput.token, "value": state.token])
      out.open("div", ["class": "trap", "aria-hidden": "true"])
      out.element("label", ["for": FormInput.honeypot], wording.honeypot)
      out.open(
        "input",
        [
          "type": "text", "id": FormInput.honeypot, "name": FormInput.honeypot, "value": "", "tabindex": "-1",
          "autocomplete": "off",
        ])
      out.close("div")
      for field in definition.fields { out.append(self.field(field, state)) }
      if let reply = definition.reply { out.append(self.reply(reply, state)) }
      if !definition.consents.isEmpty { out.append(consents(definition.consents, state)) }
      out.element("button", ["type": "submit"], wording.send)
      out.close("form")
    }
  }

  private func summary(_ definition: FormDefinition, _ state: State) -> Markup {
    var out = Markup()
    out.open(
      "div",
      ["class": "summary", "role": "alert", "tabindex": "-1", "autofocus": "", "aria-labelledby": "summary-title"])
    out.element("h2", ["id": "summary-title"], state.notice == nil ? wording.summary : wording.notYetSent)
    if let notice = state.notice { out.element("p", notice) }
    if !state.problems.isEmpty {
      out.open("ul")
      for problem in state.problems {
        out.open("li")
        out.open("a", ["href": "#" + id(problem.input)])
        out.words(label(problem.input, definition))
        out.words(language == .zh ? "：" : ": ")
        out.words(wording.problem(problem.kind))
        out.close("a")
        out.close("li")
      }
      out.close("ul")
    }
    // A browser does not let a page fill in files.
    if !state.body.files.isEmpty { out.element("p", wording.filesAgain) }
    out.close("div")
    return out
  }

  private func label(_ input: String, _ definition: FormDefinition) -> String {
    if let field = definition.fields.first(where: { $0.name == input }) { return field.label[language] }
    if input == FormInput.replyBy { return wording.replyLegend }
    if definition.consents.contains(where: { FormInput.consent($0.purpose) == input }) { return wording.consentLegend }
    return input
  }

  /// The id of an input; of radio buttons that of the first.
  private func id(_ input: String) -> String { "f-" + input }

  private func field(_ field: FormDefinition.Field, _ state: State) -> Markup {
    var out = Markup()
    let id = id(field.name)
    let problem = state.problems.first { $0.input == field.name }
    let help = [field.help?[language], field.kind == .file ? wording.fileHelp(field) : nil].compactMap(\.self)
    let described = [help.isEmpty ? nil : id + "-help", problem == nil ? nil : id + "-error"].compactMap(\.self)
    out.open("div", ["class": "field"])
    out.open("label", ["for": id])
    out.words(field.label[language])
    out.element("span", ["class": "mark"], field.required ? wording.required : wording.optional)
    out.close("label")
    if !help.isEmpty { out.element("p", ["class": "help", "id": id + "-help"], help.joined(separator: "\n")) }
    if let problem { out.element("p", ["class": "error", "id": id + "-error"], wording.problem(problem.kind)) }
    let value = state.body.value(field.name) ?? ""
    let required = field.required ? "" : nil
    let invalid = problem == nil ? nil : "true"
    let describedBy = described.isEmpty ? nil : described.joined(separator: " ")
    switch field.kind {
    case .multiLine:
      out.open(
        "textarea",
        [
          "id": id, "name": field.name, "rows": "6", "maxlength": String(field.maximumLength),
          "minlength": field.minimumLength > 0 ? String(field.minimumLength) : nil, "required": required,
          "aria-invalid": invalid, "aria-describedby": describedBy, "autocomplete": field.autocomplete ?? "off",
        ])
      // A parser drops one line feed after the tag.
      out.raw("\n")
      out.words(value)
      out.close("textarea")
    case .select:
      out.open(
        "select",
        [
          "id": id, "name": field.name, "required": required, "aria-invalid": invalid, "aria-describedby": describedBy,
        ])
      out.element("option", ["value": ""], wording.choose)
      for option in field.options {
        out.element(
          "option", ["value": option.value, "selected": option.value == value ? "" : nil], option.label[language])
      }
      out.close("select")
    case .file:
      out.open(
        "input",
        [
          "type": "file", "id": id, "name": field.name, "accept": field.mediaTypes.joined(separator: ","),
          "multiple": field.maximumFiles > 1 ? "" : nil, "required": required, "aria-invalid": invalid,
          "aria-describedby": describedBy,
        ])
    case .text, .email, .phone, .date, .number, .identityTail, .accountTail, .customerNo:
      let type: String
      var mode: String?
      switch field.kind {
      case .email: type = "email"
      case .phone: type = "tel"
      case .date: type = "date"
      case .number: (type, mode) = ("text", "decimal")
      case .accountTail: (type, mode) = ("text", "numeric")
      case .text, .identityTail, .customerNo, .select, .file, .multiLine: type = "text"
      }
      let dated = field.kind == .date
      out.open(
        "input",
        [
          "type": type, "id": id, "name": field.name, "value": value, "inputmode": mode,
          "maxlength": dated ? nil : String(field.maximumLength),
          "minlength": field.minimumLength > 0 ? String(field.minimumLength) : nil,
          "pattern": field.pattern?.htmlPattern, "title": field.pattern == nil ? nil : field.patternMessage?[language],
          "min": day(field.earliest), "max": day(field.latest), "required": required, "aria-invalid": invalid,
          "aria-describedby": describedBy, "autocomplete": field.autocomplete ?? "off",
        ])
    }
    out.close("div")
    return out
  }

  /// A bound of "today" is left to the server: a page may stay open past midnight.
  private func day(_ bound: FormDefinition.DateBound?) -> String? {
    guard case .day(let day)? = bound else { return nil }
    return day
  }

  private func reply(_ reply: FormDefinition.Reply, _ state: State) -> Markup {
    var out = Markup()
    let problem = state.problems.first { $0.input == FormInput.replyBy }
    let chosen = state.body.value(FormInput.replyBy)
    let first = id(FormInput.replyBy)
    out.open("fieldset", ["aria-describedby": problem == nil ? nil : first + "-error"])
    out.open("legend")
    out.words(wording.replyLegend)
    out.element("span", ["class": "mark"], reply.required ? wording.required : wording.optional)
    out.close("legend")
    if let problem { out.element("p", ["class": "error", "id": first + "-error"], wording.problem(problem.kind)) }
    for (index, channel) in reply.channels.enumerated() {
      let id = index == 0 ? first : "\(first)-\(channel.rawValue)"
      out.open("div", ["class": "choice"])
      out.open(
        "input",
        [
          "type": "radio", "id": id, "name": FormInput.replyBy, "value": channel.rawValue,
          "checked": chosen == channel.rawValue ? "" : nil, "required": reply.required ? "" : nil,
          "aria-invalid": problem == nil ? nil : "true",
        ])
      out.element("label", ["for": id], wording.replyChannel(channel))
      out.close("div")
    }
    out.close("fieldset")
    return out
  }

  private func consents(_ boxes: [FormDefinition.ConsentBox], _ state: State) -> Markup {
    var out = Markup()
    out.open("fieldset")
    out.element("legend", wording.consentLegend)
    for box in boxes {
      let name = FormInput.consent(box.purpose)
      let id = id(name)
      let problem = state.problems.first { $0.input == name }
      if let problem { out.element("p", ["class": "error", "id": id + "-error"], wording.problem(problem.kind)) }
      out.open("div", ["class": "choice"])
      out.open(
        "input",
        [
          "type": "checkbox", "id": id, "name": name, "value": "yes",
          "checked": state.body.value(name) == "yes" ? "" : nil, "required": box.required ? "" : nil,
          "aria-invalid": problem == nil ? nil : "true", "aria-describedby": problem == nil ? nil : id + "-error",
        ])
      out.open("label", ["for": id])
      out.words(box.text[language])
      out.element("span", ["class": "mark"], box.required ? wording.required : wording.optional)
      out.close("label")
      out.close("div")
    }
    out.close("fieldset")
    return out
  }

  // MARK: The others

  func received(_ definition: FormDefinition, reference: String) -> String {
    page(wording.receivedTitle, path: definition.id) { out in
      out.element("h1", wording.receivedTitle)
      out.element("p", ["id": "reference-label"], wording.referenceLabel)
      out.element(
        "p", ["class": "reference", "id": "reference", "aria-labelledby": "reference-label", "role": "status"],
        reference)
      out.element("p", wording.referenceHelp)
      if let text = definition.confirmation { out.element("p", ["class": "intro"], text[language]) }
    }
  }

  func index(_ definitions: [FormDefinition]) -> String {
    page(wording.formsTitle, path: nil) { out in
      out.element("h1", wording.formsTitle)
      out.element("p", wording.formsIntroduction)
      out.open("ul", ["class": "forms"])
      for definition in definitions {
        out.open("li")
        out.element(
          "a", ["href": "\(base)/\(language.rawValue)/\(definition.id)"], definition.title[language])
        if let text = definition.introduction { out.element("p", text[language]) }
        out.close("li")
      }
      out.close("ul")
    }
  }

  struct StatusState {
    var reference = ""
    var contact = ""
    var referenceProblem: String?
    var contactProblem: String?
    /// The state in words; nil before the first question.
    var answer: String?
  }

  func status(_ state: StatusState) -> String {
    let failed = state.referenceProblem != nil || state.contactProblem != nil
    return page(wording.statusTitle, failed: failed, path: "status") { out in
      out.element("h1", wording.statusTitle)
      if let answer = state.answer {
        out.open("div", ["role": "status", "id": "state"])
        out.element("h2", wording.statusAnswer)
        out.element("p", ["class": "intro"], answer)
        out.close("div")
      }
      out.open(
        "form", ["method": "post", "action": "\(base)/\(language.rawValue)/status", "accept-charset": "utf-8"])
      for (name, label, value, problem) in [
        ("reference", wording.statusReference, state.reference, state.referenceProblem),
        ("contact", wording.statusContact, state.contact, state.contactProblem),
      ] {
        out.open("div", ["class": "field"])
        out.element("label", ["for": id(name)], label)
        if let problem { out.element("p", ["class": "error", "id": id(name) + "-error"], problem) }
        out.open(
          "input",
          [
            "type": "text", "id": id(name), "name": name, "value": value, "required": "", "autocomplete": "off",
            "maxlength": "254", "aria-invalid": problem == nil ? nil : "true",
            "aria-describedby": problem == nil ? nil : id(name) + "-error",
          ])
        out.close("div")
      }
      out.element("button", ["type": "submit"], wording.statusAsk)
      out.close("form")
    }
  }

  func trouble(_ trouble: FormTrouble) -> String {
    let words = wording.trouble(trouble.code)
    return page(words.title, failed: true, path: nil) { out in
      out.element("h1", words.title)
      out.element("p", words.text)
      if let detail = trouble.detail { out.element("p", ["class": "help", "lang": "en"], detail) }
    }
  }

  // MARK: The frame of them all

  private func page(
    _ title: String, failed: Bool = false, path: String?, _ content: (inout Markup) -> Void
  ) -> String {
    var out = Markup()
    out.raw("<!DOCTYPE html>\n")
    out.open("html", ["lang": language.tag])
    out.open("head")
    out.raw("<meta charset=\"utf-8\">")
    out.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
    out.raw("<meta name=\"robots\" content=\"noindex\">")
    out.element("title", (failed ? wording.errorPrefix : "") + title + " – " + bank[language])
    out.open("link", ["rel": "stylesheet", "href": base + "/style.css"])
    if embedded { out.element("script", ["src": base + "/frame.js", "defer": ""], "") }
    out.close("head")
    out.open("body", ["class": embedded ? "embed" : nil])
    let other: FormLanguage = language == .zh ? .en : .zh
    if !embedded {
      out.element("a", ["class": "skip", "href": "#content"], wording.skip)
      out.open("header")
      out.element("span", bank[language])
      out.element(
        "a",
        [
          "href": base + "/" + other.rawValue + (path.map { "/" + $0 } ?? ""), "lang": other.tag, "hreflang": other.tag,
        ], wording.otherLanguage)
      out.close("header")
    }
    out.open("main", ["id": "content"])
    content(&out)
    out.close("main")
    if !embedded {
      out.open("footer")
      out.element("a", ["href": "\(base)/\(language.rawValue)"], wording.allForms)
      out.element("a", ["href": "\(base)/\(language.rawValue)/status"], wording.statusLink)
      out.close("footer")
    }
    out.close("body")
    out.close("html")
    out.raw("\n")
    return out.text
  }
}

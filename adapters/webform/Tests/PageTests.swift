import Channels
import Foundation
import Testing

@testable import WebForms

/// What a page consists of, read strictly: anything a browser would have to mend is a failure.
private struct Page {
  struct Tag {
    var name: String
    var attributes: [String: String]
  }
  var tags: [Tag] = []
  var problems: [String] = []
  private static let empty: Set<String> = ["meta", "link", "input", "!doctype"]

  init(_ text: String) {
    var open: [String] = []
    var rest = text[...]
    while let start = rest.firstIndex(of: "<") {
      if rest[..<start].contains(">") { problems.append("a lone > in \(rest[..<start])") }
      guard let end = rest[start...].firstIndex(of: ">") else {
        problems.append("a tag without an end")
        return
      }
      let inner = rest[rest.index(after: start)..<end]
      rest = rest[rest.index(after: end)...]
      if inner.hasPrefix("/") {
        let name = String(inner.dropFirst())
        if open.popLast() != name { problems.append("</\(name)> closes nothing") }
        continue
      }
      let name = String(inner.prefix { !$0.isWhitespace }).lowercased()
      var attributes: [String: String] = [:]
      var tail = inner.dropFirst(name.count)
      while let first = tail.first {
        if first.isWhitespace {
          tail.removeFirst()
          continue
        }
        let key = String(tail.prefix { $0 != "=" && !$0.isWhitespace })
        tail.removeFirst(key.count)
        var value = ""
        if tail.hasPrefix("=\"") {
          tail.removeFirst(2)
          value = String(tail.prefix { $0 != "\"" })
          tail.removeFirst(value.count + 1)
        }
        if attributes.updateValue(value, forKey: key) != nil { problems.append("\(key) twice in <\(name)>") }
      }
      tags.append(Tag(name: name, attributes: attributes))
      if !Self.empty.contains(name) { open.append(name) }
    }
    if !open.isEmpty { problems.append("left open: \(open)") }
    check()
  }

  private mutating func check() {
    let ids = tags.compactMap { $0.attributes["id"] }
    if Set(ids).count != ids.count { problems.append("an id twice: \(ids.sorted())") }
    let labels = tags.filter { $0.name == "label" }.compactMap { $0.attributes["for"] }
    for label in labels where !ids.contains(label) { problems.append("a label for nothing: \(label)") }
    for tag in tags where ["input", "select", "textarea"].contains(tag.name) && tag.attributes["type"] != "hidden" {
      guard let id = tag.attributes["id"], labels.filter({ $0 == id }).count == 1 else {
        problems.append("an input without exactly one label: \(tag.attributes)")
        continue
      }
      if tag.attributes["name"] == nil { problems.append("an input without a name: \(id)") }
    }
    for tag in tags {
      for key in ["aria-describedby", "aria-labelledby"] {
        for id in (tag.attributes[key] ?? "").split(separator: " ") where !ids.contains(String(id)) {
          problems.append("\(key) names nothing: \(id)")
        }
      }
      if let href = tag.attributes["href"], href.hasPrefix("#"), !ids.contains(String(href.dropFirst())) {
        problems.append("a link to nothing: \(href)")
      }
      if tag.attributes.keys.contains(where: { $0.hasPrefix("on") || $0 == "style" }) {
        problems.append("script or style in an attribute of <\(tag.name)>")
      }
    }
    for name in ["main", "h1", "title", "html", "body"] where tags.filter({ $0.name == name }).count != 1 {
      problems.append("not exactly one <\(name)>")
    }
    if tags.first(where: { $0.name == "html" })?.attributes["lang"] == nil { problems.append("no language") }
  }
}

@Suite struct PageTests {
  static let evil = "\"><script>alert('1')</script>&amp;<!--\u{0}"

  private func expectSound(_ html: String, _ what: String) {
    let page = Page(html)
    #expect(page.problems.isEmpty, "\(what)")
    #expect(!html.contains("<script>"))
  }

  @Test(arguments: FormDefinitionTests.shipped, FormLanguage.allCases)
  func `a shipped form is sound, empty and with every error`(_ name: String, _ language: FormLanguage) throws {
    let definition = try FormDefinitionTests.definition(name)
    var page = FormPage(language: language, base: "/forms", bank: LocalizedText(zh: "行", en: "Bank"))
    for embedded in [false, true] {
      page.embedded = embedded
      let empty = page.form(definition, .init(token: "t"))
      expectSound(empty, name)
      #expect(empty.contains("lang=\"\(language.tag)\""))
      #expect(empty.contains("method=\"post\""))
      var body = SubmittedBody()
      var problems: [FieldProblem] = []
      for field in definition.fields {
        body.values[field.name] = [Self.evil]
        problems.append(.init(input: field.name, pointer: "", kind: .pattern(nil)))
      }
      problems.append(.init(input: FormInput.replyBy, pointer: "", kind: .missing))
      for box in definition.consents {
        problems.append(.init(input: FormInput.consent(box.purpose), pointer: "", kind: .consentMissing))
      }
      if definition.reply == nil { problems.removeAll { $0.input == FormInput.replyBy } }
      let wrong = page.form(definition, .init(token: "t", body: body, problems: problems, notice: Self.evil))
      expectSound(wrong, name)
      #expect(wrong.contains("role=\"alert\""))
      #expect(wrong.components(separatedBy: "aria-invalid=\"true\"").count > definition.fields.count)
    }
  }

  @Test(arguments: FormLanguage.allCases)
  func `the other pages are sound`(_ language: FormLanguage) {
    let page = FormPage(language: language, base: "/forms", bank: LocalizedText(zh: Self.evil, en: Self.evil))
    expectSound(page.index([FormDesk.small()]), "index")
    expectSound(page.received(FormDesk.small(), reference: "7K3M-Q9XW-2PD"), "received")
    expectSound(page.status(.init()), "status")
    expectSound(
      page.status(
        .init(reference: Self.evil, contact: Self.evil, referenceProblem: "x", contactProblem: "y", answer: Self.evil)),
      "status")
    for code in FormTrouble.Code.allCases {
      expectSound(page.trouble(FormTrouble(code, Self.evil)), code.rawValue)
    }
  }

  @Test func `the strict reader finds what is not sound`() {
    for bad in [
      "<html lang=\"en\"><p>", "<input id=\"a\" name=\"a\">", "<label for=\"x\"></label>", "<a href=\"#x\"></a>",
      "<p id=\"a\"></p><p id=\"a\"></p>", "<p style=\"x\"></p>",
    ] {
      #expect(!Page(bad).problems.filter { !$0.hasPrefix("not exactly") && $0 != "no language" }.isEmpty, "\(bad)")
    }
  }

  @Test func `a script for another page cannot be broken out of`() {
    let script = Stylesheet.embedScript(
      base: "/forms", id: "note", title: LocalizedText(zh: "</script>\"'\\\u{2028}", en: "A & B"))
    #expect(!script.contains("</script>") && script.contains("\\u003c/script\\u003e\\u0022"))
    #expect(script.unicodeScalars.allSatisfy { $0.isASCII })
  }
}

import Channels
import ContactModel
import Foundation
import LiaisonForTests
import Store
import Testing

@testable import liaison

@Suite struct TemplateFileTests {
  @Test func `the shipped texts are valid and answer a stop word`() throws {
    let path = TestBank.shippedParameters + "/templates.yaml"
    let drafts = try ParameterFile.read(String(contentsOfFile: path, encoding: .utf8), file: "templates.yaml")
    #expect(drafts.allSatisfy { $0.kind == "template" })
    let codes = drafts.map(\.code)
    #expect(codes.contains("stop-confirmation") && codes.contains("lift-confirmation"))
    for draft in drafts {
      let template = try JSONText.decode(MessageTemplate.self, from: draft.body)
      let examples = Dictionary(uniqueKeysWithValues: template.variables.map { ($0.name, $0.example) })
      #expect(template.faults(of: examples) == [], "\(draft.code)")
      for (channel, content) in template.contents(with: examples, language: "en") {
        #expect(!content.text.contains("{{"), "\(draft.code) on \(channel)")
      }
    }
  }

  @Test(arguments: [
    ("code: a b", 3, "is no code"),
    ("purpose: service\n    purposes: x", 7, "unknown key"),
    ("messages: []", 8, "at least one is required"),
    ("messages: [{channel: pigeon, language: zh, text: x}]", 8, "none of sms, email, fax, phone"),
    ("messages: [{channel: sms, language: zh, text: \"{{nobody}}\"}]", 8, "none of the variables"),
    ("messages: [{channel: sms, language: zh, text: \"{{name\"}]", 8, "without }}"),
    ("messages: [{channel: email, language: zh, text: \"{{name}}\"}]", 8, "is required for e-mail"),
    (
      "messages: [{channel: sms, language: zh, text: \"{{name}}\"}, {channel: sms, language: zh, text: y}]", 8,
      "is there twice"
    ),
    ("messages: [{channel: sms, language: zh, text: nothing}]", 7, "stands in none of the messages"),
    ("variables: [{name: name, kind: date, example: soon}]", 7, "is no date"),
    ("variables: [{name: Name}]", 7, "is no name"),
    ("variables: [{name: name, kind: poem}]", 7, "none of text"),
  ])
  func `what is wrong with a text is told with its line`(change: String, line: Int, says: String) throws {
    var lines = [
      "kind: template", "templates:", "  - code: a", "    name_zh: 甲", "    name_en: A", "    purpose: service",
      "    variables: [{name: name}]", "    messages: [{channel: sms, language: zh, text: \"{{name}}\"}]",
    ]
    let key = change.prefix { $0 != ":" }
    let index = try #require(lines.firstIndex { $0.contains("\(key):") })
    lines[index] = (key == "code" ? "  - " : "    ") + change
    do {
      _ = try ParameterFile.read(lines.joined(separator: "\n"), file: "t.yaml")
      Issue.record("\(change) was taken")
    } catch let problems as ConfigurationProblems {
      let found = problems.problems.filter { $0.text.contains(says) }
      #expect(found.contains { $0.line == line && $0.file == "t.yaml" }, "\(problems)")
    }
  }
}

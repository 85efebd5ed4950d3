import Channels
import Foundation
import Testing

@testable import WebForms

@Suite struct FormDefinitionTests {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "../../../config/params/forms").standardizedFileURL
  static let shipped = ["consultation", "complaint", "declaration", "callback", "address-change"]

  static func definition(_ name: String) throws -> FormDefinition {
    let text = try String(contentsOf: folder.appending(path: name + ".yaml"), encoding: .utf8)
    return try FormDefinition.read(text, source: name + ".yaml")
  }

  @Test(arguments: shipped)
  func `a shipped definition is right and bears the name of its file`(_ name: String) throws {
    let definition = try Self.definition(name)
    #expect(definition.id == name)
    #expect(definition.categoryCode != nil)
    #expect(definition.consents.contains { $0.required })
  }

  @Test func `every shipped file is tested here`() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
    #expect(Set(files) == Set(Self.shipped.map { $0 + ".yaml" }))
  }

  @Test func `a definition is read whole`() {
    let form = FormDesk.small()
    #expect(form.id == "note" && form.version == 1 && form.effective == Timestamp("2026-01-01T00:00:00Z"))
    #expect(form.fields.map(\.kind) == [.text, .phone, .email, .identityTail, .select, .multiLine, .file])
    #expect(form.fields.map(\.claim) == [.name, .phone, .email, .identityNoTail, nil, nil, nil])
    #expect(form.fields[4].options.map(\.categoryCode) == [nil, "complaint"])
    #expect(form.reply?.channels == [.phone, .email, .noReply])
    #expect(form.consents.map(\.required) == [true, false])
  }

  /// What is replaced in the small form, by what, the line and a part of the message.
  @Test(arguments: [
    ("version: 1", "version: one", 3, "version is a whole number"),
    ("effective: 2026-01-01", "effective: soon", 4, "neither an RFC 3339 instant"),
    (
      "category: consultation", "categroy: consultation", 5,
      "unknown key \"categroy\" in the form; did you mean \"category\"?"
    ),
    ("title: {zh: 留言, en: A note}", "title: A note", 6, "title is a mapping"),
    ("title: {zh: 留言, en: A note}", "title: {zh: 留言}", 6, "title has no \"en\""),
    ("id: note", "id: No", 2, "id \"No\" is not"),
    ("id: note", "id: status", 2, "reserved"),
    ("kind: phone,", "kind: telefone,", 9, "kind \"telefone\" is not one of"),
    ("maximum_length: 20", "maximum_length: 0", 8, "maximum_length is a whole number from 1"),
    ("claim: name", "claim: nmae", 8, "did you mean \"name\"?"),
    ("{name: email,", "{name: phone,", 10, "a second field \"phone\""),
    ("{name: email,", "{name: website_url,", 10, "reserved"),
    ("value: blame", "value: praise", 17, "a second option"),
    ("maximum_files: 2", "maximum_files: 2, pattern: a", 19, "pattern has no meaning for kind file"),
    ("claim: name,", "claim: name, pattern: \"(a)\",", 8, "groups are not supported"),
    ("channels: [phone, email, none]", "channels: [phone, letter]", 20, "channel \"letter\" is not one of"),
    ("required: true, claim", "required: maybe, claim", 8, "required is true or false"),
    ("notice_version: \"7\", ", "", 22, "a consent has no \"notice_version\""),
    ("kind: form", "kind: [", 2, "not YAML"),
    ("id: note", "id: note\nid: other", 1, "twice"),
  ])
  func `a mistake is told with its line`(_ old: String, _ new: String, _ line: Int, _ text: String) {
    let yaml = FormDesk.yaml.replacing(old, with: new, maxReplacements: 1)
    #expect(yaml != FormDesk.yaml)
    do throws(FormDefinition.Invalid) {
      _ = try FormDefinition.read(yaml, source: "note.yaml")
      Issue.record("it was read")
    } catch {
      #expect(
        error.problems.contains {
          $0.text.contains(text) && (abs($0.line - line) <= (text.hasPrefix("not Y") || text == "twice" ? 2 : 0))
        },
        "\(error)")
      #expect(error.description.hasPrefix("note.yaml:"))
    }
  }

  @Test func `every mistake is told, not only the first`() {
    let yaml = FormDesk.yaml.replacing("version: 1", with: "version: 0").replacing("kind: phone,", with: "kind: fone,")
    do throws(FormDefinition.Invalid) {
      _ = try FormDefinition.read(yaml, source: "x")
      Issue.record("it was read")
    } catch {
      #expect(error.problems.map(\.line).contains(3) && error.problems.map(\.line).contains(9))
    }
  }

  @Test func `no prefix of a definition brings the reader down`() {
    let scalars = Array(FormDesk.yaml.unicodeScalars)
    var readable = 0
    for length in stride(from: 0, to: scalars.count, by: 3) {
      var text = String.UnicodeScalarView()
      text.append(contentsOf: scalars[..<length])
      do throws(FormDefinition.Invalid) {
        _ = try FormDefinition.read(String(text), source: "x")
        readable += 1
      } catch {
        #expect(!error.problems.isEmpty && error.problems.allSatisfy { $0.line >= 1 && !$0.text.isEmpty })
      }
    }
    // Where only what may be absent is cut off.
    #expect(readable < scalars.count / 6)
  }

  @Test func `the highest version whose time has come is in force`() {
    let forms = [
      FormDesk.small(version: 1), FormDesk.small(version: 2, effective: "2026-06-01"),
      FormDesk.small(version: 3, effective: "2030-01-01"),
    ]
    let catalogue = FormCatalogue(forms)
    #expect(catalogue.inForce("note", at: Timestamp("2026-05-31T23:59:59Z")!)?.version == 1)
    #expect(catalogue.inForce("note", at: Timestamp("2026-06-01T00:00:00Z")!)?.version == 2)
    #expect(catalogue.inForce("note", at: Timestamp("2025-01-01T00:00:00Z")!) == nil)
    #expect(catalogue.version(3, of: "note") != nil)
    #expect(catalogue.allInForce(at: Timestamp("2031-01-01T00:00:00Z")!).map(\.version) == [3])
  }
}

@Suite struct FieldPatternTests {
  @Test(arguments: [
    ("\\d{6}", "100000", true), ("\\d{6}", "10000", false), ("\\d{6}", "1000000", false),
    ("[A-Z]{2}\\d+", "AB1", true), ("[A-Z]{2}\\d+", "AB", false), ("a|bc?", "b", true), ("a|bc?", "bc", true),
    ("a|bc?", "abc", false), ("[^0-9]*", "你好", true), ("[^0-9]*", "a1", false), (".+", "", false),
    ("", "", true), ("a{2,3}", "aaaa", false), ("a{2,}", "aaaa", true), ("\\-[\\-\\]x]", "-]", true),
    ("[\\d\\-]+", "1-2", true), ("[a-c-]+", "a-", true), ("a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
  ])
  func `the whole value is matched`(_ pattern: String, _ value: String, _ fits: Bool) throws {
    #expect(try FieldPattern(pattern).matches(value) == fits)
  }

  @Test(arguments: [
    "(a)", "^a", "a$", "*", "[a", "[]", "a{2", "a{3,2}", "\\q", "\\", "a{1001}", "[z-a]", "a{999}a{999}a{999}",
  ])
  func `what is not of the dialect is refused`(_ pattern: String) {
    #expect(throws: FieldPattern.Malformed.self) { try FieldPattern(pattern) }
  }

  @Test(arguments: [
    ("\\d{6}", "[0-9]{6}"), ("a\\.b", "a\\.b"), ("[\\-x]?", "[\\-x]?"), ("a|b+", "a|b+"), ("x{2,}", "x{2,}"),
  ])
  func `a browser is given the same in its dialect`(_ pattern: String, _ html: String) throws {
    #expect(try FieldPattern(pattern).htmlPattern == html)
  }
}

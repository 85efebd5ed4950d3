import Foundation
import LiaisonForTests
import Testing

@testable import liaison

private let least = """
  store:
    url: sqlite:///tmp/x.db
    bodies: /tmp/bodies
  admin:
    socket: /tmp/admin.sock
  secret_file: /tmp/secret
  parameters: /tmp/params

  """

private func problems(_ yaml: String, environment: [String: String] = [:]) -> [ConfigurationProblem] {
  do {
    _ = try Configuration.read(yaml, file: "liaison.yaml", environment: environment)
    return []
  } catch {
    return (error as? ConfigurationProblems)?.problems ?? []
  }
}

/// The root of this package.
private let root = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent()
  .deletingLastPathComponent()

@Suite struct ConfigurationTests {
  struct Wrong: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var line: Int?
    var says: String
  }
  @Test(arguments: [
    Wrong(testDescription: "  urll: x", line: 3, says: "unknown key store.urll; did you mean url?"),
    Wrong(testDescription: "  readers: many", line: 3, says: "store.readers: many is not a whole number from 1 to 64"),
    Wrong(testDescription: "  readers: 65", line: 3, says: "from 1 to 64"),
    Wrong(testDescription: "  readers: [4]", line: 3, says: "store.readers: expected a plain value"),
  ])
  func `a wrong key or value in the store's section is told with line and reason`(_ wrong: Wrong) {
    let lines = least.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let text = (lines[..<2] + [wrong.testDescription] + lines[2...]).joined(separator: "\n")
    let found = problems(text)
    #expect(found.count == 1)
    #expect(found.first?.line == wrong.line)
    #expect(found.first?.text.contains(wrong.says) == true, "\(found)")
  }

  @Test(arguments: [
    Wrong(testDescription: "chanels: []", line: 8, says: "did you mean channels?"),
    Wrong(testDescription: "log: {level: loud}", line: 8, says: "log.level: loud is none of"),
    Wrong(testDescription: "api: {listen: nowhere}", line: 8, says: "no listening address"),
    Wrong(testDescription: "api: {listen: \"127.0.0.1:70000\"}", line: 8, says: "no listening address"),
    Wrong(testDescription: "intake: {late_after: soon}", line: 8, says: "no duration such as"),
    Wrong(testDescription: "channels: [{kind: pigeon, name: x}]", line: 8, says: "pigeon is none of"),
    Wrong(testDescription: "channels: [{kind: webform, name: A b}]", line: 8, says: "no channel name"),
    Wrong(testDescription: "channels: [{kind: webform}]", line: 8, says: "channels.name is required"),
    Wrong(
      testDescription: "channels: [{kind: webform, name: a}, {kind: webform, name: a}]", line: 8, says: "used twice"),
  ])
  func `a wrong key or value elsewhere is told with line and reason`(_ wrong: Wrong) {
    let found = problems(least + wrong.testDescription + "\n")
    #expect(found.contains { $0.line == wrong.line && $0.text.contains(wrong.says) }, "\(found)")
  }

  @Test func `everything that is missing is told at once`() {
    let found = problems("log: {level: info}").map(\.text)
    for key in ["store.url", "store.bodies", "admin.socket", "secret_file", "parameters"] {
      #expect(found.contains("\(key) is required"), "\(found)")
    }
  }

  @Test func `what is no YAML is one problem with its line`() {
    let found = problems("store:\n  url: [1\nx: }")
    #expect(found.contains { $0.text.contains("not valid YAML") })
  }

  @Test func `the environment overrides what stands outside lists`() throws {
    let (read, _) = try Configuration.read(
      least, file: "liaison.yaml",
      environment: ["LIAISON_STORE_URL": "postgres://x/y", "LIAISON_API_LISTEN": "[::1]:0"])
    #expect(read.store.url == "postgres://x/y")
    #expect(read.api.listen == ListenAddress(host: "::1", port: 0))
    let found = problems(least, environment: ["LIAISON_LOG_LEVEL": "loud"])
    #expect(found.first?.text.contains("loud") == true)
  }

  @Test func `a secret is named by file or environment and never stands in the file`() {
    func read(_ text: String, _ environment: [String: String] = [:]) -> (String?, [String]) {
      let reader = ConfigurationReader(yaml: text, file: "f", environment: environment)
      let value = reader.secret("password")
      return (value, reader.context.problems.map(\.text))
    }
    #expect(read("password: hunter2").1.first?.contains("does not stand in this file") == true)
    #expect(!(read("password: hunter2").1.first?.contains("hunter2") ?? true))
    #expect(read("password: {env: PW}", ["PW": "s"]).0 == "s")
    #expect(read("password: {env: PW}").1.first?.contains("PW is not set") == true)
    #expect(read("password: {file: /no/such/file}").1.first?.contains("cannot read") == true)
  }

  @Test func `the shipped wiring is valid, and every key it may have is in it and in the page of keys`() throws {
    let text = try String(contentsOf: root.appendingPathComponent("config/liaison.yaml"), encoding: .utf8)
    let (_, paths) = try Configuration.read(text, file: "liaison.yaml", environment: [:])
    let page = try String(contentsOf: root.appendingPathComponent("config/README.md"), encoding: .utf8)
    for path in paths.sorted() {
      let key = path.split(separator: ".").last.map(String.init) ?? path
      #expect(text.contains("\(key):"), "config/liaison.yaml has no \(path)")
      // What api and public have in common is described once.
      let shared = path.replacing("public.", with: "api.")
      #expect(page.contains("`\(path)`") || page.contains("`\(shared)`"), "config/README.md has no \(path)")
    }
  }

  @Test func `every key of an e-mail channel stands in the shipped wiring, commented out, and in the page of keys`()
    throws
  {
    let text = try String(contentsOf: root.appendingPathComponent("config/liaison.yaml"), encoding: .utf8)
    // The example itself, as somebody would take it over: without the marks of its comment.
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let start = try #require(lines.firstIndex { $0.hasPrefix("  # - kind: email") })
    let secret = NSTemporaryDirectory() + "liaison-secret-" + UUID().uuidString
    try "hush".write(toFile: secret, atomically: true, encoding: .utf8)
    let example = lines[start...].prefix { $0.hasPrefix("  #") && ($0 == lines[start] || !$0.hasPrefix("  # - kind")) }
      .map { "  " + $0.dropFirst(4) }.filter { !$0.contains("secrets/mailbox") }.joined(separator: "\n")
      .replacing(try Regex("\\{file: [^}]*\\}"), with: "{file: \(secret)}")
    let yaml = least + "channels:\n" + example + "\n"
    let (configuration, paths) = try Configuration.read(yaml, file: "liaison.yaml", environment: [:])
    let wiring = try #require(configuration.channels.first?.wiring as? EmailWiring)
    #expect(wiring.mailboxes.first?.grant?.clientSecret == "hush")
    let page = try String(contentsOf: root.appendingPathComponent("config/README.md"), encoding: .utf8)
    for path in paths.sorted() {
      let key = path.split(separator: ".").last.map(String.init) ?? path
      #expect(text.contains("\(key):"), "config/liaison.yaml has no \(path)")
      #expect(page.contains("`\(path)`"), "config/README.md has no \(path)")
    }
  }

  @Test(arguments: [
    ("{kind: email, name: m, mailbox: nobody, delivery: {}}", "nobody is no mail address"),
    ("{kind: email, name: m, mailbox: a+b@c.example, delivery: {}}", "is no mail address"),
    ("{kind: email, name: m, mailbox: a@c.example}", "needs delivery, mailboxes or submission"),
    ("{kind: email, name: m, mailbox: a@c.example, delivery: {require_tls: true}}", "TLS needs a certificate"),
    ("{kind: email, name: m, mailbox: a@c.example, delivery: {wire: uucp}}", "uucp is none of lmtp, smtp"),
    (
      "{kind: email, name: m, mailbox: a@c.example, mailboxes: [{host: h, user: u, address: a@c.example}]}",
      "either password or oauth2"
    ),
    ("{kind: email, name: m, mailbox: a@c.example, submission: {host: h, password: x}}", "does not stand in this file"),
    ("{kind: email, name: m, mailbox: a@c.example, delivery: {}, base_path: /x}", "unknown key channels[].base_path"),
  ])
  func `a wrong e-mail channel is told what is wrong`(_ channel: String, _ says: String) {
    let found = problems(least + "channels: [\(channel)]\n").map(\.text)
    let wanted = says.replacing("[]", with: "")
    #expect(found.contains { $0.contains(wanted) }, "\(found)")
  }

  @Test func `every key of a fax channel stands in the shipped wiring, commented out, and in the page of keys`() throws
  {
    let text = try String(contentsOf: root.appendingPathComponent("config/liaison.yaml"), encoding: .utf8)
    let lines = text.split(separator: "\n").map(String.init)
    let start = try #require(lines.firstIndex { $0.hasPrefix("  # - kind: fax") })
    let example = lines[start...].prefix { $0 == lines[start] || $0.hasPrefix("  #   ") }
      .map { "  " + $0.dropFirst(4) }.joined(separator: "\n")
      .replacing(try Regex("\\{file: [^}]*\\}"), with: "{env: HUSH}")
    let yaml = least + "channels:\n" + example + "\n"
    let (configuration, paths) = try Configuration.read(yaml, file: "liaison.yaml", environment: ["HUSH": "hush"])
    #expect(configuration.channels.first?.wiring is FaxWiring)
    let page = try String(contentsOf: root.appendingPathComponent("config/README.md"), encoding: .utf8)
    for path in paths.sorted() {
      let key = path.split(separator: ".").last.map(String.init) ?? path
      #expect(example.contains("\(key):") || text.contains("\(key):"), "config/liaison.yaml has no \(path)")
      #expect(page.contains("`\(path)`"), "config/README.md has no \(path)")
    }
  }

  @Test(arguments: [
    ("{kind: fax, name: f}", "at least one HylaFAX server"),
    ("{kind: fax, name: f, servers: [{name: A, host: h, user: u}]}", "A is no server name"),
    ("{kind: fax, name: f, servers: [{name: a, host: h, user: u}, {name: a, host: i, user: u}]}", "have one name"),
    ("{kind: fax, name: f, servers: [{name: a, host: h, user: u, password: x}]}", "does not stand in this file"),
    ("{kind: fax, name: f, servers: [{name: a, host: h, user: u}], dial_rules: [x=1]}", "x=1 is no rule"),
    ("{kind: fax, name: f, servers: [{name: a, host: h, user: u}], call_ids: [colour]}", "colour is none of"),
    (
      "{kind: fax, name: f, servers: [{name: a, host: h, user: u}], lines: [{number: \"1\", category: a b}]}",
      "a b is no code"
    ),
  ])
  func `a wrong fax channel is told with its reason`(entry: String, says: String) {
    let found = problems(least + "channels: [\(entry)]\n")
    #expect(found.contains { $0.text.contains(says) }, "\(found)")
  }
}

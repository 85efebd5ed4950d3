import Foundation
import LiaisonForTests
import Testing

@testable import liaison

/// The root of this package.
private let root = URL(fileURLWithPath: TestBank.shippedParameters).deletingLastPathComponent()
  .deletingLastPathComponent()

private let secrets = [
  "SMS_CALLBACK_SECRET": "a-long-secret-path", "SMS_ABROAD_PASSWORD": "p", "SMS_CMCC_SECRET": "s",
  "SMS_KANNEL_PASSWORD": "k",
]

private let least = """
  store: {url: "sqlite:///tmp/x.db", bodies: /tmp/bodies}
  admin: {socket: /tmp/admin.sock}
  secret_file: /tmp/secret
  parameters: /tmp/params
  channels:

  """

private func problems(_ channel: String, environment: [String: String] = secrets) -> [ConfigurationProblem] {
  do {
    _ = try Configuration.read(least + channel, file: "liaison.yaml", environment: environment)
    return []
  } catch {
    return (error as? ConfigurationProblems)?.problems ?? []
  }
}

@Suite struct SMSWiringTests {
  /// The example in the shipped file, without its comment signs.
  private func example() throws -> String {
    let text = try String(contentsOf: root.appendingPathComponent("config/liaison.yaml"), encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let start = try #require(lines.firstIndex { $0 == "  # - kind: sms" })
    return lines[start...].prefix { $0.hasPrefix("  # ") }.map { "  " + $0.dropFirst(4) }.joined(separator: "\n")
  }

  @Test func `the shipped example is valid, has every key, and each is in the page of keys`() throws {
    let text = try example()
    let (read, paths) = try Configuration.read(least + text, file: "liaison.yaml", environment: secrets)
    #expect(read.channels.map(\.name) == ["sms"])
    let page = try String(contentsOf: root.appendingPathComponent("config/README.md"), encoding: .utf8)
    for path in paths.sorted() where path.hasPrefix("channels[]") {
      let key = path.split(separator: ".").last.map(String.init) ?? path
      #expect(text.contains("\(key):"), "the example in config/liaison.yaml has no \(path)")
      #expect(page.contains("`\(path)`"), "config/README.md has no \(path)")
    }
  }

  struct Wrong: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var says: String
  }
  @Test(arguments: [
    Wrong(testDescription: "links: []", says: "at least one link"),
    Wrong(testDescription: "links: [{name: a, protocol: smoke}]", says: "smoke is none of smpp, cmpp, kannel"),
    Wrong(testDescription: "links: [{name: A b, protocol: kannel}]", says: "no name of a link"),
    Wrong(testDescription: "links: [{name: a, protocol: smpp, host: h, system_id: s}]", says: "password is required"),
    Wrong(
      testDescription: "links: [{name: a, protocol: smpp, host: h, system_id: s, password: hunter2}]",
      says: "does not stand in this file"),
    Wrong(
      testDescription: "links: [{name: a, protocol: smpp, host: h, system_id: s, password: {env: SMS_CMCC_SECRET}, "
        + "verdicts: {\"0x412\": sulk}}]", says: "sulk is none of throttle"),
    Wrong(
      testDescription: "links: [{name: a, protocol: smpp, host: h, system_id: s, password: {env: SMS_CMCC_SECRET}, "
        + "enterprise_code: x}]", says: "unknown key channels.links.enterprise_code"),
    Wrong(
      testDescription: "links: [{name: a, protocol: smpp, host: h, system_id: s, password: {env: SMS_CMCC_SECRET}, "
        + "binds: [both]}]", says: "both is none of transceiver"),
    Wrong(
      testDescription: "links: [{name: a, protocol: cmpp, host: h, enterprise_code: \"1\", version: \"4.0\", "
        + "shared_secret: {env: SMS_CMCC_SECRET}}]", says: "4.0 is none of 2.0, 3.0"),
    Wrong(
      testDescription: "links: [{name: a, protocol: kannel, send_url: u, username: u, "
        + "password: {env: SMS_CMCC_SECRET}}]\n    callback_base: http://x", says: "callback_secret: is required"),
    Wrong(testDescription: "callback_secret: {env: SMS_CMCC_SECRET}", says: "at least 16 characters"),
    Wrong(testDescription: "callback_sources: [localhost]", says: "neither an address nor a network"),
    Wrong(testDescription: "commands: [YE]", says: "expected keys and values"),
  ])
  func `a wrong key or value is told with its line and reason, and no secret is shown`(_ wrong: Wrong) {
    let found = problems("  - kind: sms\n    name: sms\n    \(wrong.testDescription)\n")
    #expect(found.contains { $0.line != nil && $0.text.contains(wrong.says) }, "\(found)")
    #expect(!found.contains { $0.text.contains("hunter2") })
  }
}

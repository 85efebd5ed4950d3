import AsyncHTTPClient
import Channels
import Demo
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import SMS
import Store
import Synchronization

/// One message as the desk gets it.
struct Shown: Sendable, Hashable {
  var content: String
  var from: String
  var fromKind: String
  var category: String
  var detail: String
  var late: Bool
  var providerID: String?
}

func contacts(_ bank: TestBank) async throws -> [Shown] {
  try await bank.look { connection in
    try connection.query(
      "SELECT * FROM contact WHERE channel = 'sms' AND direction = 'inbound' ORDER BY contact_id", []
    ).map { row in
      Shown(
        content: try row.text("content"), from: try row.text("from_canonical"), fromKind: try row.text("from_kind"),
        category: try row.text("category"), detail: try row.text("detail"), late: try row.bool("late"),
        providerID: try row.textOrNil("provider_id"))
    }
  }
}

/// Waits until the store shows it: the daemon routes what it has acknowledged a moment later.
func wait<Value: Sendable>(
  _ limit: Duration = .seconds(20), _ what: String = "it", _ find: () async throws -> Value?
) async throws -> Value {
  let deadline = ContinuousClock.now + limit
  while ContinuousClock.now < deadline {
    if let found = try await find() { return found }
    try await Task.sleep(for: .milliseconds(20))
  }
  throw ChildProcess.Failure(description: "\(what) did not come within \(limit)")
}

func smsChannel(_ links: String, keys: [String] = []) -> String {
  """
    - kind: sms
      name: sms
      commands: {YE: statement, 余额: statement}
  \(keys.map { "    " + $0 }.joined(separator: "\n"))
      links:
  \(links)

  """
}

func smppLink(port: Int, name: String = "one", keys: [String] = []) -> String {
  let all =
    [
      "- name: \(name)", "  protocol: smpp", "  host: 127.0.0.1", "  port: \(port)", "  system_id: liaison",
      "  password: {env: SMS_PASSWORD}", "  reconnect_delay: 50ms",
    ] + keys.map { "  " + $0 }
  return all.map { "      " + $0 }.joined(separator: "\n")
}

let smsEnvironment = ["SMS_PASSWORD": "secret", "SMS_CALLBACK": "a-long-secret-path", "KANNEL_PASSWORD": "foobar"]

func untilBound(_ smsc: StandInSMSC) async throws {
  _ = try await wait(.seconds(20), "the bind") { smsc.isBound ? true : nil }
}

/// Plans a short message to one number.
func planShortMessage(_ bank: TestBank, text: String, to: String) async throws -> (status: UInt, text: String) {
  try await callAdmin(
    bank, .POST, "/v1/proactive-jobs",
    body: #"{"purpose": "transaction", "address": {"kind": "phone", "value": "\#(to)"}, "#
      + #""contents": {"sms": {"text": "\#(text)"}}}"#, key: "test-\(text)")
}

func attempts(_ bank: TestBank, _ state: String) async throws -> Int64 {
  try await bank.look { try $0.one("SELECT count(*) AS n FROM attempt WHERE state = $1", [.text(state)]).int("n") }
}

/// How often an SMSC got each text.
final class Texts: Sendable {
  private let texts = Mutex<[[UInt8]: Int]>([:])
  func note(_ submitted: StandInSMSC.Submitted) { texts.withLock { $0[submitted.message.octets, default: 0] += 1 } }
  var counts: [[UInt8]: Int] { texts.withLock { $0 } }
}

/// A call over the admin socket; the status and the JSON's text.
func callAdmin(
  _ bank: TestBank, _ method: HTTPMethod, _ path: String, body: String? = nil, key: String? = nil
) async throws -> (status: UInt, text: String) {
  let host = (bank.directory + "/admin.sock").addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
  var request = HTTPClientRequest(url: "http+unix://\(host)\(path)")
  request.method = method
  // As ASCII: the text of a test may be none.
  if let key { request.headers.add(name: "Idempotency-Key", value: String(key.hashValue, radix: 16)) }
  if let body {
    request.headers.add(name: "Content-Type", value: "application/json")
    request.body = .bytes(ByteBuffer(string: body))
  }
  let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
  return (answer.status.code, String(buffer: try await answer.body.collect(upTo: 1 << 22)))
}

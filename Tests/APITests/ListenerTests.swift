import API
import AsyncHTTPClient
import Channels
import Foundation
import Logging
import NIOCore
import NIOSSL
import Synchronization
import Testing

let echo = Route(
  "echo", .post, "/v1/things/{thing}", summary: "Gives back what it gets", tag: "test", access: .open,
  parameters: [
    .path("thing", .id("thing")), .query("limit", .integer(minimum: 1, maximum: 10)),
    .query("kind", .word(["a", "b"])),
  ],
  body: Route.Body(.input(.required("name", .string(minimum: 1, maximum: 20))), maximumBytes: 1_024),
  answers: [
    .json(
      .output(
        .required("name", .string()), .required("limit", .nullable(.integer())), .required("request", .id("http"))),
      "It")
  ]
) { call in
  .json([
    "name": call.body["name"] ?? .null, "limit": .optional(call.integer("limit")), "request": .string(call.requestID),
  ])
}
let thing = "/v1/things/thing_01jdf3w6a2e9v8x7y6z5t4s3r2"
let json = [("content-type", "application/json")]

@Suite struct ListenerTests {
  @Test func `a good request is answered and a bad one told what is wrong`() async throws {
    try await serve(Site(routes: [echo])) { served in
      let good = try await served.send("POST", thing + "?limit=3", headers: json, body: #"{"name":"李"}"#)
      #expect(good.status == 200 && good["content-type"] == "application/json" && good["cache-control"] == "no-store")
      #expect(try good.json["name"] == "李" && good.json["limit"] == 3)
      #expect(try good["x-request-id"] == good.json["request"]?.string)

      let cases: [(path: String, headers: [(String, String)], body: String, status: Int, type: ProblemType)] = [
        (thing, json, "{", 400, .malformedJSON), (thing, json, "", 400, .malformedJSON),
        (thing, json, #"{"name":""}"#, 422, .invalidInput), (thing, json, #"{"name":"a","x":1}"#, 422, .invalidInput),
        (thing, [("content-type", "text/plain")], #"{"name":"a"}"#, 415, .unsupportedMediaType),
        (thing, json, #"{"name":"\#(String(repeating: "x", count: 2_000))"}"#, 413, .tooLarge),
        (thing + "?limit=11", json, #"{"name":"a"}"#, 422, .invalidInput),
        (thing + "?limit=x", json, #"{"name":"a"}"#, 422, .invalidInput),
        (thing + "?limit=1&limit=2", json, #"{"name":"a"}"#, 422, .invalidInput),
        (thing + "?lmit=1", json, #"{"name":"a"}"#, 422, .invalidInput),
        (thing + "?kind=%ff", json, #"{"name":"a"}"#, 400, .malformedRequest),
        ("/v1/things/other_01jdf3w6a2e9v8x7y6z5t4s3r2", json, #"{"name":"a"}"#, 404, .notFound),
        ("/v1/things/%2e%2e%2fetc", json, "{}", 404, .notFound), ("/v1/things/", json, "{}", 404, .notFound),
        ("/nowhere", json, "{}", 404, .notFound),
        ("/" + String(repeating: "a", count: 9_000), json, "{}", 414, .uriTooLong),
      ]
      for each in cases {
        let answer = try await served.send("POST", each.path, headers: each.headers, body: each.body)
        #expect(answer.status == each.status, "\(each.path.prefix(40)) \(each.body.prefix(40))")
        #expect(answer["content-type"] == "application/problem+json")
        #expect(try answer.json["type"] == .string(each.type.uri))
        #expect(try answer.json["instance"] == .string(answer["x-request-id"] ?? ""))
      }
      let method = try await served.send("DELETE", thing)
      #expect(method.status == 405 && method["allow"] == "POST")
      let odd = try await served.send("PROPFIND", thing)
      #expect(odd.status == 405)

      let chinese = try await served.send(
        "POST", thing, headers: json + [("accept-language", "zh-CN")], body: #"{"name":1,"b":2}"#)
      #expect(chinese["content-language"] == "zh-CN")
      #expect(try chinese.json["title"] == "输入内容不符合要求")
      let errors = try #require(try chinese.json["errors"]?.array)
      #expect(errors.map { $0["pointer"]?.string } == ["#/name", "#/b"])
      #expect(errors.map { $0["code"]?.string } == ["type", "unknown_member"])
    }
  }

  @Test func `roles, tokens and limits guard an operation`() async throws {
    let agent = AccessToken()
    let auditor = AccessToken()
    let expired = AccessToken()
    let tokens = [
      agent.digest: TokenRecord(principal: Principal(id: "t1", roles: [.agent], agent: "1001")),
      auditor.digest: TokenRecord(principal: Principal(id: "t2", roles: [.auditor])),
      expired.digest: TokenRecord(principal: Principal(id: "t3", roles: [.admin]), expiresAt: testTime),
    ]
    let whoami = Route(
      "whoAmI", .get, "/v1/me", summary: "", tag: "test", access: .roles(.agent),
      answers: [.json(.output(.required("id", .string()), .required("phone", .string())), "")]
    ) { call in .json(["id": .string(try call.caller().id), "phone": "+8613812345678", "note": "4111 1111 1111 1111"]) }
    let change = Route(
      "change", .post, "/v1/me", summary: "", tag: "test", access: .roles(.agent), body: .init(.any),
      answers: [.empty("")], needsIdempotencyKey: true, needsCondition: true
    ) { call in
      try call.condition?.require(7)
      return .empty(version: 8)
    }
    let site = Site(
      routes: [whoami, change], authentication: .bearer { tokens[$0] },
      limiter: RateLimiter(.init(quota: 6, window: .seconds(3_600))), clock: { testTime })
    try await serve(site) { served in
      let none = try await served.get("/v1/me")
      #expect(none.status == 401 && none["www-authenticate"] == #"Bearer realm="liaison""#)
      for wrong in ["Basic abc", "Bearer", "Bearer x", "Bearer \(AccessToken().text)", "Bearer \(expired.text)"] {
        let answer = try await served.get("/v1/me", headers: [("authorization", wrong)])
        #expect(answer.status == 401 && answer["www-authenticate"]?.contains("invalid_token") == true, "\(wrong)")
      }
      #expect(try await served.get("/v1/me").status == 429)

      let other = try await served.get("/v1/me", headers: [("authorization", "Bearer \(auditor.text)")])
      #expect(other.status == 403)
      let key = [("authorization", "bearer \(agent.text)")]
      let good = try await served.get("/v1/me", headers: key)
      #expect(good.status == 200 && good["ratelimit-policy"] == #""default";q=6;w=3600"#)
      #expect(good["ratelimit"] == #""default";r=5;t=600"#)
      #expect(try good.json == ["id": "t1", "phone": "+8613812345678", "note": "***1111"])

      let post = key + json
      #expect(
        try await served.send("POST", "/v1/me", headers: post, body: "{}").json["type"]
          == .string(ProblemType.idempotencyKeyMissing.uri))
      let keyed = post + [("idempotency-key", "\"k1\"")]
      #expect(try await served.send("POST", "/v1/me", headers: keyed, body: "{}").status == 428)
      let stale = try await served.send("POST", "/v1/me", headers: keyed + [("if-match", "\"v6\"")], body: "{}")
      #expect(stale.status == 412 && stale["etag"] == "\"v7\"")
      let done = try await served.send("POST", "/v1/me", headers: keyed + [("if-match", "\"v7\"")], body: "{}")
      #expect(done.status == 204 && done["etag"] == "\"v8\"")
      _ = try await served.get("/v1/me", headers: key)
      let refused = try await served.get("/v1/me", headers: key)
      #expect(refused.status == 429 && refused["retry-after"] == "600")
    }
  }

  @Test func `a failure of ours is a 500 that tells nothing`() async throws {
    struct Secret: Error { let text = "select 4111111111111111" }
    let broken = Route("fail", .get, "/v1/fail", summary: "", tag: "test", access: .open, answers: []) { _ in
      throw Secret()
    }
    try await serve(Site(routes: [broken])) { served in
      let answer = try await served.get("/v1/fail")
      #expect(answer.status == 500 && !answer.text.contains("select") && !answer.text.contains("Secret"))
    }
  }

  @Test func `garbage on the wire gets 400 or a closed connection, and harms nobody else`() async throws {
    try await serve(Site(routes: [echo])) { served in
      let garbage: [String] = [
        "\u{16}\u{03}\u{01}", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "POST \(thing) HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST \(thing) HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nZZ\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 100_000))\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nhello this is no request\r\n\r\n", "GET / HTTP/1.1\nHost\0: a\r\n\r\n",
      ]
      for text in garbage {
        let answer = try await within(.seconds(10)) { try await raw(port: served.port, sending: text, finish: true) }
        #expect(answer.isEmpty || answer.hasPrefix("HTTP/1.1 4"), "\(text.prefix(30)) → \(answer.prefix(60))")
      }
      #expect(try await served.send("POST", thing, headers: json, body: #"{"name":"a"}"#).status == 200)
    }
  }

  @Test func `a client that waits for 100 Continue gets it`() async throws {
    try await serve(Site(routes: [echo])) { served in
      let request =
        "POST \(thing) HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}"
      let answer = try await within(.seconds(5)) {
        try await raw(port: served.port, sending: request, finish: true)
      }
      #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"))
    }
  }

  @Test func `the log has one line for a request, with the template and never the path, query or body`() async throws {
    let lines = LogLines()
    let fail = Route(
      "failWith", .get, "/v1/fail/{phone}", summary: "", tag: "t", access: .open,
      parameters: [.path("phone", .string(maximum: 40))], answers: []
    ) { call in throw Quoting(text: call.text("phone") ?? "") }
    try await serve(Site(routes: [echo, fail]), logger: Logger(label: "t") { _ in lines }) { served in
      _ = try await served.send("POST", thing + "?limit=3", headers: json, body: #"{"name":"canary-body"}"#)
      #expect(try await served.get("/v1/fail/13812345678?x=13812345678").status == 422)
      #expect(try await served.get("/v1/fail/13812345678").status == 500)
    }
    let text = lines.text
    #expect(lines.count(of: "request answered") == 3)
    #expect(text.contains("/v1/things/{thing}") && text.contains("/v1/fail/{phone}") && text.contains("request failed"))
    for canary in ["13812345678", "canary", "thing_01", "limit"] { #expect(!text.contains(canary), "\(text)") }
  }

  @Test func `pipelined requests are answered in their order`() async throws {
    try await serve(Site(routes: [echo])) { served in
      let one = "POST \(thing)?limit=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n{\"name\":\"a\"}"
      let answers = try await within(.seconds(10)) {
        try await raw(port: served.port, sending: one + one.replacing("limit=1", with: "limit=2"), finish: true)
      }
      let first = try #require(answers.range(of: "\"limit\":1"))
      let second = try #require(answers.range(of: "\"limit\":2"))
      #expect(first.upperBound < second.lowerBound)
    }
  }

  @Test func `a client that drips its body is cut off with 408, one that sends no head is closed`() async throws {
    var limits = ConnectionLimits()
    limits.requestTimeout = .milliseconds(200)
    // Longer than a busy machine takes from connection to head, so that only the drip runs out of time.
    limits.idleTimeout = .seconds(2)
    try await serve(Site(routes: [echo]), limits: limits) { served in
      let slow = "POST \(thing) HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\nContent-Type: application/json\r\n\r\n{"
      let answer = try await within(.seconds(5)) { try await raw(port: served.port, sending: slow) }
      #expect(answer.hasPrefix("HTTP/1.1 408"))
      let silent = try await within(.seconds(5)) { try await raw(port: served.port, sending: "GET / HT") }
      #expect(silent.isEmpty)
      #expect(try await served.send("POST", thing, headers: json, body: #"{"name":"a"}"#).status == 200)
    }
  }

  @Test func `one address gets only so many connections`() async throws {
    var limits = ConnectionLimits()
    limits.maximumConnectionsPerAddress = 2
    limits.idleTimeout = .seconds(5)
    try await serve(Site(routes: [echo]), limits: limits) { served in
      let ends = try await within(.seconds(30)) {
        try await withThrowingTaskGroup(of: Duration.self) { group in
          for _ in 0..<6 {
            group.addTask {
              let start = ContinuousClock.now
              _ = try await raw(port: served.port, sending: "G")
              return .now - start
            }
          }
          return try await group.reduce(into: []) { $0.append($1) }
        }
      }
      // Those turned away do not wait for the idle time.
      #expect(ends.filter { $0 < .seconds(5) }.count == 4)
      #expect(try await served.send("POST", thing, headers: json, body: #"{"name":"a"}"#).status == 200)
    }
  }

  @Test func `a mounted function gets the whole request and nothing of the API is beside it`() async throws {
    let mount = Mount(prefix: "/forms", maximumBodyBytes: 100) { request in
      MountedResponse(
        status: 201,
        headers: [
          HeaderField("X-Seen", "\(request.method) \(request.path) \(request.query ?? "-")"),
          HeaderField("Bad Name", "x"),
        ],
        body: request.body + Array((request.header("content-type") ?? "").utf8)
          + Array((request.remoteAddress ?? "?").utf8))
    }
    try await serve(Site(mounts: [mount])) { served in
      let answer = try await served.send(
        "POST", "/forms/a%20b?x=1", headers: [("Content-Type", "text/x")], body: "hello ")
      #expect(
        answer.status == 201 && answer["x-seen"] == "POST /forms/a%20b x=1" && answer.text == "hello text/x127.0.0.1")
      #expect(try await served.send("POST", "/forms", body: String(repeating: "x", count: 101)).status == 413)
      for path in ["/formsx", "/", "/livez", "/v1/customers", "/openapi.json"] {
        #expect(try await served.get(path).status == 404, "\(path)")
      }
    }
  }

  @Test func `the admin socket belongs to its file, and a second daemon does not steal it`() async throws {
    let path = try temporaryFolder().appending(path: "s").path
    let whoami = Route("me", .get, "/v1/me", summary: "", tag: "t", access: .roles(), answers: []) { call in
      .json(["id": .string(try call.caller().id)])
    }
    let site = Site(routes: [whoami], authentication: .socketPermission)
    try await serve(site, socketPath: path) { served in
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
      #expect(mode == 0o600)
      let url = "http+unix://\(path.replacing("/", with: "%2F"))/v1/me"
      let answer = try await Answer(testClient.execute(HTTPClientRequest(url: url), timeout: .seconds(5)))
      #expect(answer.text == #"{"id":"admin-socket"}"#)
      await #expect(throws: ListenerError.self) { try await serve(site, socketPath: path) { _ in } }
    }
    #expect(!FileManager.default.fileExists(atPath: path))
    // What a killed daemon leaves is no obstacle.
    try leaveSocket(path)
    try await serve(site, socketPath: path) { _ in }
  }

  @Test func `a port in use is a clear error`() async throws {
    try await serve(Site()) { served in
      let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
      let second = Listener(
        ListenerConfiguration(name: "api", address: .network(host: "127.0.0.1", port: served.port)), site: Site(),
        logger: logger)
      await #expect(throws: ListenerError.self) { try await second.run() }
    }
  }
}

@Suite struct CertificateTests {
  static let openssl = FileManager.default.isExecutableFile(atPath: "/usr/bin/openssl")

  private func make(_ name: String, in folder: URL) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
    process.arguments = [
      "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
      "/CN=\(name)", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
      folder.appending(path: "key.pem").path, "-out", folder.appending(path: "cert.pem").path,
    ]
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }

  private func subject(port: Int) async throws -> String {
    // `openssl s_client` shows what a peer of ours sees.
    let process = Process()
    let out = Pipe()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = [
      "-c", "openssl s_client -connect 127.0.0.1:\(port) </dev/null 2>/dev/null | openssl x509 -noout -subject",
    ]
    process.standardOutput = out
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = out.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return String(decoding: data, as: UTF8.self)
  }

  @Test(.enabled(if: openssl, "needs /usr/bin/openssl"))
  func `a new certificate is taken without a restart, and a broken one leaves the old in force`() async throws {
    let folder = try temporaryFolder()
    try make("first", in: folder)
    let files = CertificateFiles(
      chain: folder.appending(path: "cert.pem").path, key: folder.appending(path: "key.pem").path)
    let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let store = try CertificateStore(files, logger: logger)
    try await serve(Site(routes: [echo]), certificates: store) { served in
      #expect(try await subject(port: served.port).contains("first"))
      let oldKey = try Data(contentsOf: folder.appending(path: "key.pem"))
      try make("second", in: folder)
      let newKey = try Data(contentsOf: folder.appending(path: "key.pem"))
      try oldKey.write(to: folder.appending(path: "key.pem"))
      #expect(store.reload() == false)
      #expect(try await subject(port: served.port).contains("first"))
      try newKey.write(to: folder.appending(path: "key.pem"))
      #expect(store.reload() == true)
      #expect(try await subject(port: served.port).contains("second"))
      try Data("garbage".utf8).write(to: folder.appending(path: "cert.pem"))
      #expect(store.reload() == false)
      #expect(try await subject(port: served.port).contains("second"))
      var configuration = HTTPClient.Configuration()
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.certificateVerification = .none
      configuration.tlsConfiguration = tls
      try await HTTPClient.withHTTPClient(configuration: configuration) { client in
        let answer = try await Answer(
          client.execute(HTTPClientRequest(url: served.url("/nowhere", scheme: "https")), timeout: .seconds(5)))
        #expect(answer.status == 404)
      }
    }
    #expect(throws: CertificateError.self) { try CertificateStore(files, logger: logger) }
  }
}

/// A socket's file as a killed process leaves it.
private func leaveSocket(_ path: String) throws {
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8) + [0]) }
  let bound = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  close(descriptor)
  try #require(bound == 0)
}

private struct Quoting: Error { var text: String }

/// Keeps what is logged.
private final class LogLines: LogHandler, Sendable {
  private let lines = Mutex<[String]>([])
  private let kept = Mutex<Logger.Metadata>([:])
  var logLevel: Logger.Level {
    get { .debug }
    set {}
  }
  var metadata: Logger.Metadata {
    get { kept.withLock { $0 } }
    set { kept.withLock { $0 = newValue } }
  }
  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { kept.withLock { $0[key] } }
    set { kept.withLock { $0[key] = newValue } }
  }
  func log(event: LogEvent) {
    lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
  }
  var text: String { lines.withLock { $0.joined(separator: "\n") } }
  func count(of message: String) -> Int { lines.withLock { $0.filter { $0.hasPrefix(message) }.count } }
}

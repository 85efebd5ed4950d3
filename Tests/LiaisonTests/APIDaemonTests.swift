import AsyncHTTPClient
import Channels
import Crypto
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store
import Testing

/// The API of the real program: its command line, its configuration, and what stays over a restart.
@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct APIDaemonTests {
  /// A command against the daemon's admin socket, and how it ended.
  private func run(_ bank: TestBank, _ words: String...) async throws -> (exit: ChildProcess.Exit, text: String) {
    let child = try ChildProcess([Liaison.program] + words + ["--config", bank.configurationFile])
    let exit = try await child.ended(within: .seconds(60))
    return (exit, child.lines.joined(separator: "\n"))
  }

  private func get(_ url: String, _ token: String?) async throws -> (status: UInt, text: String) {
    var request = HTTPClientRequest(url: url)
    if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
    let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
    return (answer.status.code, String(buffer: try await answer.body.collect(upTo: 1 << 22)))
  }

  @Test func `a file is imported, who saw a customer is told, and an altered row is found with and without a daemon`()
    async throws
  {
    let bank = try TestBank()
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    let file = bank.directory + "/customers.csv"
    try "customer_no,type,name,phone\nX1,retail,王小明,13912345678\nX2,none,李四,\nX3,retail,赵六,\n"
      .write(toFile: file, atomically: true, encoding: .utf8)
    let rehearsed = try await run(bank, "import", "customers", file, "--dry-run")
    #expect(rehearsed.text.contains("3 rows: 2 would be added, 0 changed, 1 refused."), "\(rehearsed)")
    let imported = try await run(bank, "import", "customers", file)
    #expect(imported.exit == .code(1) && imported.text.contains("3 rows: 2 were added, 0 changed, 1 refused."))
    #expect(imported.text.contains("row 2: unknown_reference type"), "\(imported)")
    let wrong = try await run(bank, "import", "accounts", file)
    #expect(wrong.exit == .code(65) && wrong.text.contains("missing_column account_no"), "\(wrong)")
    let nonsense = try await run(bank, "import", "nonsense", file)
    #expect(nonsense.exit == .code(1), "\(nonsense)")

    let token = try await run(bank, "token", "make", "lin", "--role", "supervisor").text
    let seen = try await get("\(bound.api)/v1/customers/X1", token)
    #expect(seen.status == 200 && seen.text.contains("13912345678"))
    let who = try await run(bank, "audit", "who", "X1")
    #expect(who.exit == .code(0) && who.text.contains("lin") && who.text.contains("import.customers"), "\(who)")
    let nobody = try await run(bank, "audit", "who", "X1", "--until", "2020-01-01")
    #expect(nobody.text == "Nobody.", "\(nobody)")
    let whole = try await run(bank, "audit", "verify")
    #expect(whole.exit == .code(0) && whole.text.contains("whole"), "\(whole)")
    let last = whole.text.split(separator: " ").last.map(String.init) ?? ""
    let export = try await run(bank, "audit", "export")
    #expect(export.text.contains("\"customer_no\":\"X1\""), "\(export)")
    let list = try await run(bank, "webhooks", "list")
    #expect(list.exit == .code(0), "\(list)")
    #expect(try await daemon.stop() == .code(0))

    let offline = try await run(bank, "audit", "who", "X1", "--offline")
    #expect(offline.text.contains("lin"), "\(offline)")
    #expect(try await run(bank, "audit", "verify", "--offline", "--last", last).exit == .code(0))
    // Whoever alters the store with other tools is found.
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations, now: Timestamp(seconds: 0))
    try await database.write { transaction in
      try transaction.execute(script: "DROP TRIGGER audit_no_update")
      try transaction.execute("UPDATE audit SET actor = 'somebody else' WHERE actor = 'lin'")
    }
    await database.close()
    let altered = try await run(bank, "audit", "verify", "--offline")
    #expect(altered.exit == .code(1) && altered.text.contains("altered"), "\(altered)")
    bank.remove()
  }

  @Test func `a paused channel takes nothing, stays paused over a restart, and works again`() async throws {
    let bank = try TestBank()
    var daemon = try bank.start()
    var bound = try await daemon.ready()
    let token = try await run(bank, "token", "make", "chief", "--role", "supervisor").text
    func steer(_ word: String) async throws -> UInt {
      var request = HTTPClientRequest(url: "\(bound.api)/v1/channels/web/\(word)")
      request.method = .POST
      request.headers.add(name: "Authorization", value: "Bearer \(token)")
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(string: #"{"reason": "works on the line"}"#))
      return try await HTTPClient.shared.execute(request, timeout: .seconds(20)).status.code
    }
    func post() async throws -> UInt {
      var request = HTTPClientRequest(url: "\(bound.public)/forms/zh/consultation")
      request.method = .POST
      request.headers.add(name: "Content-Type", value: "application/json")
      request.headers.add(name: "Accept", value: "application/json")
      request.headers.add(name: "Idempotency-Key", value: UUID().uuidString)
      request.body = .bytes(
        ByteBuffer(
          string: """
            {"fields": {"name": "王伟", "phone": "+8610017000001", "topic": "deposit", "question": "请问三年期定期存款的利率是多少？"},
             "consents": {"personal_data": true}, "reply_by": "phone"}
            """))
      let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
      _ = try await answer.body.collect(upTo: 1 << 20)
      return answer.status.code
    }
    #expect(try await post() == 202)
    #expect(try await steer("pause") == 200)
    #expect(try await post() == 503)
    #expect(try await daemon.stop() == .code(0))
    daemon = try bank.start()
    bound = try await daemon.ready()
    #expect(try await post() == 503)
    #expect(try await get("\(bound.api)/v1/channels", token).text.contains("paused"))
    #expect(try await steer("resume") == 200)
    #expect(try await post() == 202)
    let audit = try await run(bank, "audit", "export", "--act", "channel.pause")
    #expect(audit.text.contains("works on the line"), "\(audit)")
    #expect(try await daemon.stop() == .code(0))
    bank.remove()
  }

  @Test func `tokens of an identity provider are taken as the configuration says, forged ones are not`() async throws {
    let bank = try TestBank()
    let provider = Provider()
    let jwks = bank.directory + "/jwks.json"
    try provider.jwks.write(toFile: jwks, atomically: true, encoding: .utf8)
    let yaml =
      bank.configuration + """
        access:
          oauth2:
            issuer: https://id.bank.example
            audience: liaison
            keys: \(jwks)
            algorithms: [ES256]
            roles: [contact-centre-chiefs=supervisor]
          masks:
            supervisor: [phone, email, identity, account, card]

        """
    let daemon = try bank.start(yaml)
    let bound = try await daemon.ready()
    let file = bank.directory + "/customers.csv"
    try "customer_no,type,name,phone\nX1,retail,王小明,13912345678\n"
      .write(toFile: file, atomically: true, encoding: .utf8)
    #expect(try await run(bank, "import", "customers", file).exit == .code(0))
    let address = "\(bound.api)/v1/customers/X1"
    let seen = try await get(address, try provider.token())
    #expect(seen.status == 200 && seen.text.contains("***5678") && !seen.text.contains("13912345678"), "\(seen)")
    for (member, value) in [
      ("aud", "another"), ("iss", "https://evil.example"), ("exp", 1), ("roles", ["unheard-of"]),
      ("department", NSNull()),
    ] as [(String, Any)] {
      let answer = try await get(address, try provider.token([member: value]))
      #expect(answer.status == 401, "\(member): \(answer)")
    }
    let stranger = Provider()
    for token in [
      try stranger.token(["roles": ["admin"]]), try stranger.token(["roles": ["admin"]], key: "k2"),
      try provider.token(["roles": ["admin"]], algorithm: "none"),
    ] {
      let answer = try await get(address, token)
      #expect(answer.status == 401, "\(answer)")
    }
    #expect(try await daemon.stop() == .code(0))
    // No line of the log has the number either.
    #expect(!daemon.child.lines.contains { $0.contains("13912345678") })
    bank.remove()
  }
}

/// An identity provider with one key.
private struct Provider {
  private let key = P256.Signing.PrivateKey()

  var jwks: String {
    let point = key.publicKey.x963Representation
    return """
      {"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
        "x": "\(url(point.dropFirst().prefix(32)))", "y": "\(url(point.suffix(32)))"}]}
      """
  }

  func token(_ change: [String: Any] = [:], key name: String = "k1", algorithm: String = "ES256") throws -> String {
    let claims: [String: Any] = [
      "iss": "https://id.bank.example", "aud": "liaison", "sub": "chen",
      "exp": Int(Date.now.timeIntervalSince1970) + 300, "roles": ["contact-centre-chiefs"], "department": "*",
    ].merging(change) { $1 }
    let header = try JSONSerialization.data(withJSONObject: ["alg": algorithm, "kid": name])
    let signed = url(header) + "." + url(try JSONSerialization.data(withJSONObject: claims))
    return signed + "." + url(try key.signature(for: Data(signed.utf8)).rawRepresentation)
  }
}

private func url(_ data: some DataProtocol) -> String {
  Data(data).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

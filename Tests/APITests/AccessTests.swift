import API
import Channels
import Crypto
import Foundation
import Synchronization
import Testing

/// An identity provider that signs whatever a test wants; made with the bare primitives, not with what verifies.
struct Provider {
  let key = P256.Signing.PrivateKey()
  let edKey = Curve25519.Signing.PrivateKey()

  var jwks: [UInt8] {
    let point = key.publicKey.x963Representation
    let ec: JSONValue = [
      "kty": "EC", "crv": "P-256", "kid": "ec1", "alg": "ES256", "use": "sig",
      "x": .string(url(point[1..<33])), "y": .string(url(point[33..<65])),
    ]
    let ed: JSONValue = [
      "kty": "OKP", "crv": "Ed25519", "kid": "ed1", "alg": "EdDSA",
      "x": .string(url(edKey.publicKey.rawRepresentation)),
    ]
    let secret: JSONValue = ["kty": "oct", "kid": "oct1", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"]
    return (["keys": [ec, ed, secret, ["kty": "weird", "kid": "w"], ["kty": "EC"]]] as JSONValue).encoded
  }

  func token(_ claims: JSONValue, header: JSONValue = ["alg": "ES256", "kid": "ec1", "typ": "at+jwt"]) throws -> String
  {
    let signed = url(header.encoded) + "." + url(claims.encoded)
    let signature: Data
    switch header["alg"] {
    case "EdDSA": signature = try edKey.signature(for: Data(signed.utf8))
    case "HS256":
      // The classic confusion: the public key used as a shared secret.
      signature = Data(
        HMAC<SHA256>.authenticationCode(
          for: Data(signed.utf8), using: SymmetricKey(data: key.publicKey.x963Representation)))
    case "none": signature = Data()
    default: signature = try key.signature(for: Data(signed.utf8)).rawRepresentation
    }
    return signed + "." + url(signature)
  }

  static func claims(_ change: (inout JSONObject) -> Void = { _ in }) -> JSONValue {
    var object = JSONObject([
      .init(name: "iss", value: "https://id.bank.example"), .init(name: "aud", value: ["other", "liaison"]),
      .init(name: "sub", value: "li.wei"), .init(name: "exp", value: .integer(testTime.seconds + 300)),
      .init(name: "roles", value: ["agent", "unheard-of"]), .init(name: "department", value: "cards"),
      .init(name: "agent", value: "1001"),
    ])
    change(&object)
    return .object(object)
  }
}

private func url(_ bytes: some Sequence<UInt8>) -> String {
  Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
}

@Suite struct AccessTests {
  private let provider = Provider()
  private let policy = WebTokenVerifier.Policy(
    issuer: "https://id.bank.example", audience: "liaison", skew: .seconds(60))

  private func verifier() -> WebTokenVerifier {
    let jwks = provider.jwks
    return WebTokenVerifier(policy) { jwks }
  }

  @Test func `a token has its form, and only its hash is known`() {
    let token = AccessToken()
    #expect(token.text.hasPrefix("lsn_") && token.text.utf8.count == 56)
    #expect(AccessToken(token.text)?.digest == token.digest)
    #expect(TokenDigest(token.digest.description) == token.digest)
    #expect(AccessToken().text != token.text)
    for wrong in [
      "", "lsn_", "lsn_" + String(repeating: "i", count: 52), String(token.text.dropLast()), token.text + "0",
    ] {
      #expect(AccessToken(wrong) == nil)
    }
    #expect(TokenDigest("ABC") == nil)
  }

  @Test func `a well signed token says who comes`() async throws {
    let verifier = verifier()
    let principal = try await verifier.verify(try provider.token(Provider.claims()), at: testTime)
    #expect(principal == Principal(id: "li.wei", roles: [.agent], department: "cards", agent: "1001"))
    let ed = try provider.token(Provider.claims(), header: ["alg": "EdDSA", "kid": "ed1"])
    #expect(try await verifier.verify(ed, at: testTime).id == "li.wei")
    let program = Provider.claims {
      $0["sub"] = nil
      $0["client_id"] = "crm"
      $0["roles"] = "integration marketing"
    }
    #expect(try await verifier.verify(try provider.token(program), at: testTime).roles == [.integration, .marketing])
  }

  @Test func `each forgery is refused for its own reason`() async throws {
    let verifier = verifier()
    let good = try provider.token(Provider.claims())
    let parts = good.split(separator: ".").map(String.init)
    let foreign = Provider()
    var cases: [(String, WebTokenVerifier.Refusal)] = [
      ("", .malformed), ("a.b", .malformed), ("a.b.c", .malformed), (parts[0] + "." + parts[1] + ".", .signature),
      (try provider.token(Provider.claims(), header: ["alg": "none", "kid": "ec1"]), .algorithm),
      (try provider.token(Provider.claims(), header: ["alg": "HS256", "kid": "ec1"]), .algorithm),
      (try provider.token(Provider.claims(), header: ["alg": "ES256", "kid": "oct1"]), .unknownKey),
      (try provider.token(Provider.claims(), header: ["alg": "ES256", "kid": "new"]), .unknownKey),
      (try provider.token(Provider.claims(), header: ["alg": "ES256"]), .unknownKey),
      (try provider.token(Provider.claims(), header: ["alg": "ES256", "kid": "ec1", "crit": ["x"]]), .malformed),
      (try foreign.token(Provider.claims()), .signature),
      (parts[0] + "." + url(Provider.claims { $0["roles"] = ["admin"] }.encoded) + "." + parts[2], .signature),
    ]
    for (change, refusal) in [
      ({ $0["iss"] = "https://evil.example" }, .issuer), ({ $0["aud"] = "other" }, .audience),
      ({ $0["aud"] = nil }, .audience),
      ({ $0["exp"] = .integer(testTime.seconds - 61) }, .expired), ({ $0["exp"] = nil }, .malformed),
      ({ $0["nbf"] = .integer(testTime.seconds + 61) }, .notYetValid), ({ $0["sub"] = nil }, .subject),
      ({ $0["roles"] = ["boss"] }, .role), ({ $0["roles"] = nil }, .role),
    ] as [((inout JSONObject) -> Void, WebTokenVerifier.Refusal)] {
      cases.append((try provider.token(Provider.claims(change)), refusal))
    }
    for (token, refusal) in cases {
      await #expect(throws: refusal) { try await verifier.verify(token, at: testTime) }
    }
    // Within the skew both ends hold.
    let late = Provider.claims {
      $0["exp"] = .integer(testTime.seconds - 59)
      $0["nbf"] = .integer(testTime.seconds + 59)
    }
    #expect(try await verifier.verify(try provider.token(late), at: testTime).id == "li.wei")
  }

  @Test func `a new key is found by reading the set again, at most once a minute`() async throws {
    let old = Provider().jwks
    let new = provider.jwks
    let counter = Box(reads: 0)
    let verifier = WebTokenVerifier(policy) { counter.next() == 1 ? old : new }
    let token = try provider.token(Provider.claims { $0["exp"] = .integer(testTime.seconds + 3_600) })
    await #expect(throws: WebTokenVerifier.Refusal.signature) { try await verifier.verify(token, at: testTime) }
    let rotated = try provider.token(Provider.claims(), header: ["alg": "ES256", "kid": "ec2"])
    for _ in 0..<5 {
      await #expect(throws: WebTokenVerifier.Refusal.unknownKey) { try await verifier.verify(rotated, at: testTime) }
    }
    #expect(counter.count == 1)
    await #expect(throws: WebTokenVerifier.Refusal.unknownKey) {
      try await verifier.verify(rotated, at: testTime + .seconds(61))
    }
    #expect(counter.count == 2)
    #expect(try await verifier.verify(token, at: testTime + .seconds(62)).id == "li.wei")
  }

  @Test func `none and shared secrets cannot be allowed by configuration`() {
    let policy = WebTokenVerifier.Policy(issuer: "a", audience: "b", algorithms: ["none", "HS256", "ES256"])
    #expect(policy.algorithms == ["ES256"])
  }
}

private final class Box: Sendable {
  private let reads: Mutex<Int>
  init(reads: Int) { self.reads = Mutex(reads) }
  func next() -> Int {
    reads.withLock {
      $0 += 1
      return $0
    }
  }
  var count: Int { reads.withLock { $0 } }
}

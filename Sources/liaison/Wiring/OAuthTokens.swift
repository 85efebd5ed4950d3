import AsyncHTTPClient
import Channels
import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import Store

/// How access tokens for a mailbox are got.
struct OAuthGrant: Sendable {
  var tokenURL: String
  var clientID: String
  var clientSecret: String?
  /// The first one; later ones come from the server and are kept in the store.
  var refreshToken: String
  var scope: String?
}

/// Access tokens for one mailbox, renewed a minute before they end. Source: RFC 6749 §6.
///
/// A server may give a new refresh token with each answer and let the old one die: it is in the store, sealed with the
/// daemon's secret, before the access token is used. A refresh token put into the configuration anew wins over a kept
/// one, so that an operator can mend a grant that was revoked.
actor OAuthTokens {
  private let grant: OAuthGrant
  private let channel: ContactChannel
  private let database: Database
  private let key: SymmetricKey
  private let now: @Sendable () -> Timestamp
  private let cursorName: String
  private var current: (token: String, until: Timestamp)?

  init(
    _ grant: OAuthGrant, mailbox: String, channel: ContactChannel, database: Database, key: [UInt8],
    now: @escaping @Sendable () -> Timestamp
  ) {
    self.grant = grant
    self.channel = channel
    self.database = database
    self.key = SymmetricKey(data: key)
    self.now = now
    cursorName = "oauth2 " + mailbox
  }

  private struct Kept: Codable {
    /// Digest of the configured token this one descends from.
    var root: String
    var token: String
  }
  private struct Answer: Decodable {
    var access_token: String
    var expires_in: Int?
    var refresh_token: String?
  }
  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  func access() async throws -> String {
    if let current, current.until > now() + .seconds(60) { return current.token }
    let root = SHA256.hash(data: Data(grant.refreshToken.utf8)).map { String(format: "%02x", $0) }.joined()
    let refresh = try await kept(from: root) ?? grant.refreshToken
    var fields = [("grant_type", "refresh_token"), ("client_id", grant.clientID), ("refresh_token", refresh)]
    if let secret = grant.clientSecret { fields.append(("client_secret", secret)) }
    if let scope = grant.scope { fields.append(("scope", scope)) }
    var request = HTTPClientRequest(url: grant.tokenURL)
    request.method = .POST
    request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
    request.headers.add(name: "Accept", value: "application/json")
    request.body = .bytes(
      ByteBuffer(string: fields.map { "\($0.0)=\(Self.escaped($0.1))" }.joined(separator: "&")))
    let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
    let body = Data(try await response.body.collect(upTo: 1 << 20).readableBytesView)
    guard response.status == .ok else {
      // The server's words name the fault (invalid_grant) and no secret.
      throw Failure(
        description:
          "the token server answered \(response.status.code): \(String(decoding: body.prefix(200), as: UTF8.self))")
    }
    let answer = try JSONDecoder().decode(Answer.self, from: body)
    if let next = answer.refresh_token, next != refresh { try await keep(Kept(root: root, token: next)) }
    current = (answer.access_token, now() + .seconds(Int64(answer.expires_in ?? 300)))
    return answer.access_token
  }

  private func kept(from root: String) async throws -> String? {
    let (name, channel) = (cursorName, channel)
    let text: String? = try await database.read { try $0.cursor(named: name, of: channel) }
    guard let text, let sealed = Data(base64Encoded: text) else { return nil }
    // Sealed with a secret that is gone: the configured token is all there is.
    guard let open = try? ChaChaPoly.open(ChaChaPoly.SealedBox(combined: sealed), using: key) else { return nil }
    let kept = try JSONDecoder().decode(Kept.self, from: open)
    return kept.root == root ? kept.token : nil
  }

  private func keep(_ kept: Kept) async throws {
    let sealed = try ChaChaPoly.seal(JSONEncoder().encode(kept), using: key).combined.base64EncodedString()
    let (name, channel, time) = (cursorName, channel, now())
    try await database.write { try $0.setCursor(sealed, named: name, of: channel, at: time) }
  }

  private static func escaped(_ text: String) -> String {
    text.utf8.map { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: String(UnicodeScalar(byte))
      default: String(format: "%%%02X", byte)
      }
    }.joined()
  }
}

import Crypto
import Foundation

/// Where the next page begins: opaque to clients, signed, and bound to the query that made it.
///
/// A cursor holds the sort keys of the last row given, so that paging costs the same on page 1,000 as on page 1 and
/// rows inserted meanwhile are neither skipped nor doubled. Its tag covers the keys and the query (operation, filter
/// and order), so a cursor of another query, or one made by hand, is refused rather than misread.
/// Source: AIP-158; specs/api.md "pages".
public struct CursorSigner: Sendable {
  private let key: SymmetricKey

  /// `secret`: at least 32 random bytes, the same on all daemons of one store and over restarts.
  public init(secret: [UInt8]) {
    precondition(secret.count >= 32, "a cursor secret has at least 32 bytes")
    key = SymmetricKey(data: SHA256.hash(data: Array("liaison cursor v1".utf8) + secret))
  }

  /// `query` is the canonical text of operation, filter and order.
  public func cursor(after keys: [JSONValue], query: String) -> String {
    let body = JSONValue.array(keys).encoded
    return Base64URL.encode(tag(body, query) + body)
  }

  /// The sort keys of the last row given. Throws `invalid-cursor` for any other query's or a forged one.
  public func keys(in cursor: String, query: String) throws(Problem) -> [JSONValue] {
    guard cursor.utf8.count <= 1_024, let bytes = Base64URL.decode(cursor), bytes.count > tagLength else {
      throw Problem(.invalidCursor)
    }
    let body = Array(bytes[tagLength...])
    let expected = tag(body, query)
    // Compared in constant time, so that a tag cannot be guessed byte by byte.
    // A body under a valid tag is ours; that it cannot be read can only be a change of version.
    guard zip(expected, bytes).reduce(UInt8(0), { $0 | ($1.0 ^ $1.1) }) == 0,
      let value = try? JSONReader.read(body),
      let keys = value.array
    else { throw Problem(.invalidCursor) }
    return keys
  }

  private func tag(_ body: [UInt8], _ query: String) -> [UInt8] {
    let code = HMAC<SHA256>.authenticationCode(for: Array("\(query.utf8.count):\(query)".utf8) + body, using: key)
    return Array(code.prefix(tagLength))
  }
}

private let tagLength = 16

/// Base 64 with the alphabet safe in URLs, without padding (RFC 4648 §5).
enum Base64URL {
  static func encode(_ bytes: [UInt8]) -> String {
    Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }
  static func decode(_ text: String) -> [UInt8]? {
    guard !text.utf8.contains(where: { $0 == 0x2b || $0 == 0x2f || $0 == 0x3d }) else { return nil }
    let padded =
      text.replacing("-", with: "+").replacing("_", with: "/")
      + String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
    return Data(base64Encoded: padded).map { Array($0) }
  }
}

import Channels
import Crypto
import Foundation

/// What a rendered form carries so that a double click is one request: a name nobody can guess, the form's version
/// and the time of rendering, signed. It authorises nothing.
///
/// 12 random bytes · 6 bytes milliseconds since 1970 · 4 bytes version · HMAC-SHA256 of these and the form's id; as
/// base64url, 72 characters.
struct SubmissionToken: Hashable, Sendable {
  var nonce: [UInt8]
  var issued: Timestamp
  var version: Int

  init(version: Int, at now: Timestamp) {
    var generator = SystemRandomNumberGenerator()
    nonce = (0..<12).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    issued = Timestamp(milliseconds: max(0, now.milliseconds))
    self.version = version
  }

  /// Nil unless signed with one of `keys` for this form.
  init?(_ text: String, form: String, keys: [[UInt8]]) {
    guard text.utf8.count == 72, let bytes = base64URLDecoded(text), bytes.count == 54 else { return nil }
    let payload = Array(bytes[..<22])
    guard
      keys.contains(where: { key in
        HMAC<SHA256>.isValidAuthenticationCode(
          bytes[22...], authenticating: Self.signed(payload, form), using: SymmetricKey(data: key))
      })
    else { return nil }
    nonce = Array(payload[..<12])
    issued = Timestamp(milliseconds: payload[12..<18].reduce(Int64(0)) { $0 << 8 | Int64($1) })
    version = payload[18..<22].reduce(0) { $0 << 8 | Int($1) }
  }

  func text(form: String, key: [UInt8]) -> String {
    var payload = nonce
    for shift in stride(from: 40, through: 0, by: -8) {
      payload.append(UInt8(truncatingIfNeeded: issued.milliseconds >> Int64(shift)))
    }
    for shift in stride(from: 24, through: 0, by: -8) { payload.append(UInt8(truncatingIfNeeded: version >> shift)) }
    let code = HMAC<SHA256>.authenticationCode(for: Self.signed(payload, form), using: SymmetricKey(data: key))
    return base64URLEncoded(payload + Array(code))
  }

  private static func signed(_ payload: [UInt8], _ form: String) -> [UInt8] {
    Array("liaison form token 1\0".utf8) + payload + Array(form.utf8)
  }
}

private func base64URLEncoded(_ bytes: [UInt8]) -> String {
  String(
    Data(bytes).base64EncodedString().compactMap { character -> Character? in
      switch character {
      case "+": "-"
      case "/": "_"
      case "=": nil
      default: character
      }
    })
}

private func base64URLDecoded(_ text: String) -> [UInt8]? {
  var plain = ""
  for character in text {
    switch character {
    case "-": plain.append("+")
    case "_": plain.append("/")
    case "+", "/", "=": return nil
    default: plain.append(character)
    }
  }
  while plain.utf8.count % 4 != 0 { plain.append("=") }
  return Data(base64Encoded: plain).map { Array($0) }
}

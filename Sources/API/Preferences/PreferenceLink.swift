import Channels
import ContactModel
import Crypto
import Foundation

/// The secret part of a customer's own address on the public listener: names him and says until when, and cannot be made
/// by anybody else.
///
/// A key of 32 bytes signs number and last day; whoever holds the link may see and change what this customer allows, and
/// nothing else. It shows neither name nor address. Source: RFC 2104; RFC 8058 §3.1 "unguessable".
public struct PreferenceLink: Sendable {
  private let key: SymmetricKey
  /// How long a link holds from the day it is made.
  public var lifetimeDays: Int64

  /// `secret`: at least 32 random bytes, the same over restarts.
  public init(secret: [UInt8], lifetimeDays: Int64 = 400) {
    precondition(secret.count >= 32, "a link secret has at least 32 bytes")
    key = SymmetricKey(data: SHA256.hash(data: Array("liaison preference link v1".utf8) + secret))
    self.lifetimeDays = lifetimeDays
  }

  public func token(for customer: CustomerNumber, at now: Timestamp) -> String {
    let day = now.microseconds / 86_400_000_000 + lifetimeDays
    let body = Array("\(day).\(customer)".utf8)
    return Base64URL.encode(tag(body) + body)
  }

  /// Whose link it is; nil for one that was not made here or is too old.
  public func customer(of token: String, at now: Timestamp) -> CustomerNumber? {
    guard token.utf8.count <= 200, let bytes = Base64URL.decode(token), bytes.count > 18 else { return nil }
    let body = Array(bytes[18...])
    // In constant time, so that a tag cannot be guessed byte by byte.
    guard zip(tag(body), bytes).reduce(UInt8(0), { $0 | ($1.0 ^ $1.1) }) == 0,
      let text = String(validating: body, as: UTF8.self)
    else { return nil }
    let parts = text.split(separator: ".", maxSplits: 1)
    guard parts.count == 2, let day = Int64(parts[0]), day >= now.microseconds / 86_400_000_000 else { return nil }
    return CustomerNumber(String(parts[1]))
  }

  private func tag(_ body: [UInt8]) -> [UInt8] {
    Array(HMAC<SHA256>.authenticationCode(for: body, using: key).prefix(18))
  }
}

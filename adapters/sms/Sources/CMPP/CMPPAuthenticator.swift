import Crypto

/// The MD5 proofs of CMPP_CONNECT and its response. Source: specs/sms.md §8.
public enum CMPPAuthenticator {
  /// `timestamp` is MMDDHHMMSS as a number; its leading zero belongs into the digest though not into the field.
  public static func client(source: String, secret: String, timestamp: UInt32) -> [UInt8] {
    let digits = String(timestamp)
    var input: [UInt8] = []
    input.append(padded: source, 6)
    input.append(contentsOf: repeatElement(0, count: 9))
    input.append(contentsOf: secret.utf8)
    input.append(contentsOf: (String(repeating: "0", count: max(0, 10 - digits.count)) + digits).utf8)
    return Array(Insecure.MD5.hash(data: input))
  }

  /// What an honest gateway answers. Gateways disagree whether the status is hashed as 1 or 4 octets, so both count.
  public static func gatewayCandidates(status: UInt32, client: [UInt8], secret: String) -> [[UInt8]] {
    var long: [UInt8] = []
    long.append(integer: status)
    let short = [UInt8(truncatingIfNeeded: status)]
    return [short, long].map { Array(Insecure.MD5.hash(data: $0 + client + Array(secret.utf8))) }
  }
}

import Channels

/// When a delivery that failed is tried again, and when it is given up.
///
/// The waits are those of specs/api.md "events out", 75 hours in all, each made up to a tenth longer by chance so that
/// receivers of one outage do not all come back at once. Retry-After of 429 and 503 makes a wait longer, at most a day.
public enum WebhookPolicy {
  public static let waits: [Duration] = [
    .seconds(5), .seconds(5 * 60), .seconds(30 * 60), .seconds(2 * 3_600), .seconds(5 * 3_600), .seconds(10 * 3_600),
    .seconds(14 * 3_600), .seconds(20 * 3_600), .seconds(24 * 3_600),
  ]

  public enum Verdict: Hashable, Sendable {
    case delivered
    case again(at: Timestamp, fault: String)
    /// Tried as often as it is tried.
    case exhausted(fault: String)
    /// 410: the receiver wants nothing more.
    case gone
  }

  /// `attempts`: those made before this one. `chance` in 0..<1.
  public static func judge(
    status: Int?, fault: String?, retryAfter: Duration?, attempts: Int, chance: Double, at now: Timestamp
  ) -> Verdict {
    if let status, (200...299).contains(status) { return .delivered }
    if status == 410 { return .gone }
    let text = fault ?? status.map { "status \($0)" } ?? "no answer"
    guard attempts < waits.count else { return .exhausted(fault: text) }
    let wait = waits[attempts]
    var micros = wait.wholeMicroseconds + Int64(Double(wait.wholeMicroseconds) * 0.1 * chance)
    if let retryAfter, status == 429 || status == 503 {
      micros = max(micros, min(retryAfter, .seconds(86_400)).wholeMicroseconds)
    }
    return .again(at: now + .microseconds(micros), fault: text)
  }
}

/// Whether an address is one inside the bank, where a webhook must not reach unless it is allowed to.
///
/// Refused are loopback, private, shared, link-local, unique-local, multicast, documentation and unspecified addresses
/// (RFC 6890), and IPv4 ones inside IPv6.
public enum InternalAddress {
  public static func isInternal(_ text: String) -> Bool {
    if let v4 = ipv4(text) { return isInternal(v4: v4) }
    let lower = text.lowercased()
    if lower.hasPrefix("::ffff:"), let v4 = ipv4(String(lower.dropFirst(7))) { return isInternal(v4: v4) }
    guard lower.contains(":") else { return true }
    if lower == "::" || lower == "::1" { return true }
    let first =
      UInt16(lower.split(separator: ":", omittingEmptySubsequences: false).first.map(String.init) ?? "", radix: 16) ?? 0
    // fc00::/7, fe80::/10, ff00::/8, 64:ff9b::/96 (an IPv4 one behind NAT64) and 2001:db8::/32.
    return first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 || first == 0x0064
      || first == 0 || lower.hasPrefix("2001:db8:")
  }

  private static func ipv4(_ text: String) -> [UInt8]? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
    guard parts.count == 4, !parts.contains(nil) else { return nil }
    return parts.compactMap(\.self)
  }
  private static func isInternal(v4 a: [UInt8]) -> Bool {
    switch (a[0], a[1]) {
    case (0, _), (10, _), (127, _), (169, 254), (192, 168), (172, 16...31), (100, 64...127), (198, 18...19): true
    case (192, 0), (198, 51), (203, 0): a[2] == 2 || a[2] == 100 || a[2] == 113 || (a[1] == 0 && a[2] == 0)
    case (224...255, _): true
    default: false
    }
  }
}

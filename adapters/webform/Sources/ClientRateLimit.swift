import Channels
import Foundation
import Synchronization

/// How often one client may do something: a bucket of `burst` that fills by one each `interval`.
public struct RatePolicy: Sendable, Hashable {
  public var burst: Int
  public var interval: Duration
  public init(burst: Int, interval: Duration) {
    self.burst = burst
    self.interval = interval
  }
}

/// A token bucket per client in a table of bounded size.
///
/// The table has two halves: who is seen moves to the young half; when that is full the old half is forgotten and the
/// young one becomes it. So a client is forgotten only after `capacity / 2` others were seen since, work is constant,
/// and a flood of addresses costs no more memory. An IPv6 client is its /64.
final class ClientRateLimit: Sendable {
  private let policy: RatePolicy?
  private let capacity: Int
  private let table = Mutex(Table())

  private struct Bucket {
    var tokens: Double
    var seen: Timestamp
  }
  private struct Table {
    var young: [String: Bucket] = [:]
    var old: [String: Bucket] = [:]
  }

  /// Nil: no limit.
  init(_ policy: RatePolicy?, capacity: Int) {
    self.policy = policy
    self.capacity = max(2, capacity)
  }

  /// Takes one from the client's bucket: nil, or how long until there is one again.
  func take(_ client: String, at now: Timestamp) -> Duration? {
    guard let policy else { return nil }
    let key = Self.key(client)
    let interval = Double(max(1, policy.interval.wholeMicroseconds))
    return table.withLock { table in
      var bucket = table.young[key] ?? table.old[key] ?? Bucket(tokens: Double(policy.burst), seen: now)
      // A clock set back must not empty a bucket.
      let elapsed = Double(max(0, (now - bucket.seen).wholeMicroseconds))
      bucket.tokens = min(Double(policy.burst), bucket.tokens + elapsed / interval)
      bucket.seen = now
      let wait: Duration? =
        bucket.tokens >= 1 ? nil : .microseconds(Int64(((1 - bucket.tokens) * interval).rounded(.up)))
      if wait == nil { bucket.tokens -= 1 }
      if table.young[key] == nil, table.young.count >= capacity / 2 {
        table.old = table.young
        table.young = [:]
      }
      table.young[key] = bucket
      return wait
    }
  }

  /// Clients in the table, for its bound to be tested.
  var count: Int { table.withLock { $0.young.count + $0.old.count } }

  /// The first four groups of an IPv6 address; an IPv4 address as it is, also when written `::ffff:192.0.2.1`.
  static func key(_ client: String) -> String {
    guard client.contains(":") else { return client }
    if let dotted = client.split(separator: ":").last, dotted.contains(".") { return String(dotted) }
    let address = client.split(separator: "%")[0].lowercased()
    guard let gap = address.range(of: "::") else {
      return address.split(separator: ":").prefix(4).map(unpadded).joined(separator: ":")
    }
    let head = address[..<gap.lowerBound].split(separator: ":").map(unpadded)
    let tail = address[gap.upperBound...].split(separator: ":").map(unpadded)
    let zeros = [String](repeating: "0", count: max(0, 8 - head.count - tail.count))
    return (head + zeros + tail).prefix(4).joined(separator: ":")
  }

  private static func unpadded(_ group: Substring) -> String {
    let digits = group.drop { $0 == "0" }
    return digits.isEmpty ? "0" : String(digits)
  }
}

import Channels
import Synchronization

/// How many requests one client may make: a token bucket each, of `quota` requests that refill over `window`.
///
/// The table is bounded: a bucket that is full again says nothing and is dropped; when more than
/// `maximumClients` are in use at once the newcomers share one bucket, so that an attacker with many addresses slows
/// other newcomers at worst, never the clients already known.
/// Source: draft-ietf-httpapi-ratelimit-headers-09.
public final class RateLimiter: Sendable {
  public struct Policy: Hashable, Sendable {
    public var name: String
    public var quota: Int
    public var window: Duration
    public init(name: String = "default", quota: Int, window: Duration) {
      self.name = name
      self.quota = max(1, quota)
      self.window = max(window, .milliseconds(1))
    }
    var header: HeaderField {
      HeaderField("RateLimit-Policy", "\"\(name)\";q=\(quota);w=\(max(1, window.components.seconds))")
    }
  }
  public struct Verdict: Hashable, Sendable {
    public var allowed: Bool
    public var remaining: Int
    /// Until one more request is allowed, or, while some are left, until the bucket is full.
    public var reset: Duration
  }

  public let policy: Policy
  private let maximumClients: Int
  private let buckets = Mutex<[String: Bucket]>([:])

  private struct Bucket {
    /// In requests; fractions refill.
    var level: Double
    var at: Timestamp
  }

  public init(_ policy: Policy, maximumClients: Int = 100_000) {
    self.policy = policy
    self.maximumClients = maximumClients
  }

  /// Takes one request from the client's bucket at `now`.
  public func take(_ client: String, at now: Timestamp) -> Verdict {
    let rate = Double(policy.quota) / Double(policy.window.wholeMicroseconds)
    return buckets.withLock { table in
      var client = client
      if table[client] == nil, table.count >= maximumClients {
        table = table.filter { self.level(of: $0.value, rate, now) < Double(policy.quota) }
        if table.count >= maximumClients { client = "" }
      }
      var level = table[client].map { self.level(of: $0, rate, now) } ?? Double(policy.quota)
      // A thousandth of a request is forgiven: fractions of a refill do not add up to exactly one.
      let allowed = level > 0.999
      if allowed { level = max(0, level - 1) }
      table[client] = Bucket(level: level, at: now)
      let missing = level >= 1 ? Double(policy.quota) - level : 1 - level
      return Verdict(
        allowed: allowed, remaining: Int(level), reset: .microseconds(Int64((missing / rate).rounded(.up))))
    }
  }

  private func level(of bucket: Bucket, _ rate: Double, _ now: Timestamp) -> Double {
    let passed = Double(max(0, (now - bucket.at).wholeMicroseconds))
    return min(Double(policy.quota), bucket.level + passed * rate)
  }

  func headers(_ verdict: Verdict) -> [HeaderField] {
    let seconds = (verdict.reset.wholeMicroseconds + 999_999) / 1_000_000
    return [policy.header, HeaderField("RateLimit", "\"\(policy.name)\";r=\(verdict.remaining);t=\(seconds)")]
  }
}

import Foundation
import Synchronization

/// An IANA time zone as pieces of constant offset, so that wall-clock questions cost a search in a short array.
///
/// Covers the years 2000 to 2100 exactly; before and after, the first and the last offset hold.
public final class Zone: Hashable, Sendable, CustomStringConvertible {
  /// The IANA name.
  public let description: String
  /// When each piece begins, microseconds UTC; the first is the beginning of time.
  private let starts: [Int64]
  /// Wall clock minus UTC of each piece, microseconds.
  private let offsets: [Int64]

  /// Nil unless `name` is an IANA name with an area (`Asia/Shanghai`), or `UTC`: abbreviations are ambiguous.
  fileprivate init?(named name: String) {
    guard name == "UTC" || name.contains("/"), let zone = TimeZone(identifier: name) else { return nil }
    func offset(_ second: Int64) -> Int64 {
      Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(second))))
    }
    let first: Int64 = 946_684_800  // 2000-01-01
    let last: Int64 = 4_102_444_800  // 2100-01-01
    var starts = [Int64.min]
    var offsets = [offset(first)]
    var second = first
    // No zone changes its offset twice within two days.
    while second < last {
      let next = second + 172_800
      let value = offset(next)
      if value != offsets[offsets.count - 1] {
        var (low, high) = (second, next)
        while high - low > 1 {
          let middle = (low + high) / 2
          if offset(middle) == value { high = middle } else { low = middle }
        }
        starts.append(high)
        offsets.append(value)
      }
      second = next
    }
    description = name
    self.starts = starts.map { $0 == .min ? .min : $0 * 1_000_000 }
    self.offsets = offsets.map { $0 * 1_000_000 }
  }

  public static func == (a: Zone, b: Zone) -> Bool { a === b || a.description == b.description }
  public func hash(into hasher: inout Hasher) { hasher.combine(description) }

  private func piece(at instant: Int64) -> Int {
    var (low, high) = (0, starts.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= instant { low = middle } else { high = middle }
    }
    return low
  }

  /// The reading of the wall clock, microseconds since 1970 on that clock.
  func wall(at instant: Int64) -> Int64 { instant + offsets[piece(at: instant)] }

  /// The first instant in `instant ... limit` whose reading `next` accepts; nil if there is none.
  ///
  /// `next` maps a reading to the first acceptable one not before it. A reading the clock skips is met at the end of
  /// the gap if the reading there is acceptable; one the clock shows twice is met at the first.
  func first(from instant: Int64, through limit: Int64, where next: (Int64) -> Int64?) -> Int64? {
    var index = piece(at: instant)
    var instant = instant
    while instant <= limit {
      let end = index + 1 < starts.count ? starts[index + 1] : Int64.max
      if let wall = next(instant + offsets[index]), wall - offsets[index] < end {
        let found = wall - offsets[index]
        return found <= limit ? found : nil
      }
      instant = end
      index += 1
      if index == starts.count { return nil }
    }
    return nil
  }
}

/// The zones in use, each computed once.
public final class ZoneCatalog: Sendable {
  private let zones = Mutex<[String: Zone]>([:])

  public init() {}

  /// Nil for a name that is no IANA zone: the caller must then assume the bank's own zones, never "always open".
  public func zone(named name: String) -> Zone? {
    if let known = zones.withLock({ $0[name] }) { return known }
    guard name.utf8.count <= 64, let made = Zone(named: name) else { return nil }
    return zones.withLock { zones in
      let zone = zones[name] ?? made
      zones[name] = zone
      return zone
    }
  }
}

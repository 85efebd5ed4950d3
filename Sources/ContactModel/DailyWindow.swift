/// A stretch of the day on the wall clock, half-open [from, to), on chosen days of the week.
///
/// One that ends at or before it begins runs on into the next day and belongs to the day it began: 06:00 on Saturday
/// lies in Friday's 22:00–07:30.
public struct DailyWindow: Hashable, Sendable {
  /// Minutes after midnight, 0 ..< 1440.
  public let from: Int
  /// Minutes after midnight, 1 ... 1440.
  public let to: Int
  /// Bit 0 is Monday, bit 6 Sunday.
  private let mask: UInt8

  /// ISO 8601: 1 is Monday, 7 is Sunday.
  public var days: [Int] { (1...7).filter { mask >> UInt8($0 - 1) & 1 == 1 } }

  /// Nil if a time is out of range or no day is left. `days` are ISO 8601: 1 is Monday, 7 is Sunday.
  public init?(from: Int, to: Int, days: [Int] = [1, 2, 3, 4, 5, 6, 7]) {
    guard (0..<1_440).contains(from), (0...1_440).contains(to) else { return nil }
    guard !days.isEmpty, days.allSatisfy((1...7).contains) else { return nil }
    self.from = from
    self.to = to
    mask = days.reduce(0) { $0 | 1 << UInt8($1 - 1) }
  }

  /// Reads `HH:MM`; 24:00 is the end of the day. Nil for anything else.
  public static func minutes(_ text: String) -> Int? {
    let bytes = Array(text.utf8)
    guard bytes.count == 5, bytes[2] == 0x3a else { return nil }
    let digits = [bytes[0], bytes[1], bytes[3], bytes[4]].map { Int($0) - 48 }
    guard digits.allSatisfy((0...9).contains) else { return nil }
    let hour = digits[0] * 10 + digits[1]
    let minute = digits[2] * 10 + digits[3]
    return (hour < 24 && minute < 60) || (hour == 24 && minute == 0) ? hour * 60 + minute : nil
  }

  /// The first reading not before `wall` that lies within; `wall` counts microseconds on the wall clock since 1970.
  package func opening(from wall: Int64) -> Int64? {
    let today = WallClock.day(of: wall)
    for day in (today - 1)...(today + 7) where begins(on: day) {
      let (start, end) = bounds(on: day)
      if wall < end { return max(wall, start) }
    }
    return nil
  }

  /// The reading at which the stretch covering `wall` ends; nil if none covers it.
  package func ending(covering wall: Int64) -> Int64? {
    let today = WallClock.day(of: wall)
    for day in (today - 1)...today where begins(on: day) {
      let (start, end) = bounds(on: day)
      if wall >= start, wall < end { return end }
    }
    return nil
  }

  private func begins(on day: Int64) -> Bool { mask >> UInt8(WallClock.weekday(of: day)) & 1 == 1 }

  private func bounds(on day: Int64) -> (start: Int64, end: Int64) {
    let midnight = day * WallClock.day
    let end = to > from ? to : to + 1_440
    return (midnight + Int64(from) * WallClock.minute, midnight + Int64(end) * WallClock.minute)
  }
}

/// Arithmetic on readings of a wall clock, in microseconds since 1970-01-01T00:00 of that clock.
package enum WallClock {
  package static let minute: Int64 = 60_000_000
  package static let day: Int64 = 86_400_000_000

  package static func day(of wall: Int64) -> Int64 { wall >= 0 ? wall / day : (wall - day + 1) / day }
  /// 0 is Monday; 1970-01-01 was a Thursday.
  package static func weekday(of day: Int64) -> Int64 {
    let remainder = (day + 3) % 7
    return remainder < 0 ? remainder + 7 : remainder
  }
}

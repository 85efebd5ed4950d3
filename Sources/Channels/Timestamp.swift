/// An instant in UTC, counted in whole microseconds since 1970-01-01T00:00:00Z.
///
/// The one form of time inside Liaison: stored as an integer in both databases, shown as RFC 3339 with
/// milliseconds and `Z`. Zones are IANA names and belong to whoever displays or plans, never to a stored instant.
public struct Timestamp: Hashable, Comparable, Sendable, Codable, CustomStringConvertible {
  public var microseconds: Int64

  public init(microseconds: Int64) { self.microseconds = microseconds }
  public init(milliseconds: Int64) { self.microseconds = milliseconds * 1_000 }
  public init(seconds: Int64) { self.microseconds = seconds * 1_000_000 }

  public var milliseconds: Int64 { microseconds.flooredDivision(by: 1_000) }
  public var seconds: Int64 { microseconds.flooredDivision(by: 1_000_000) }

  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

  /// Later by `duration`; precise to the microsecond.
  public static func + (time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(microseconds: time.microseconds + duration.wholeMicroseconds)
  }
  public static func - (time: Timestamp, duration: Duration) -> Timestamp {
    Timestamp(microseconds: time.microseconds - duration.wholeMicroseconds)
  }
  public static func - (later: Timestamp, earlier: Timestamp) -> Duration {
    .microseconds(later.microseconds - earlier.microseconds)
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let text = try container.decode(String.self)
    guard let value = Timestamp(text) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "not an RFC 3339 instant: \(text)")
    }
    self = value
  }
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}

// MARK: RFC 3339

extension Timestamp {
  /// `2026-11-24T15:04:31.000Z`; milliseconds are cut, not rounded, so that a shown time is never in the future.
  public var description: String {
    let days = seconds.flooredDivision(by: 86_400)
    let secondOfDay = seconds - days * 86_400
    let (year, month, day) = civil(fromDays: days)
    guard (0...9_999).contains(year) else {
      return "\(year)-\(month)-\(day)T\(secondOfDay / 3_600):\(secondOfDay / 60 % 60):\(secondOfDay % 60)Z"
    }
    let second = Int(secondOfDay)
    let fraction = Int(milliseconds - seconds * 1_000)
    return String(unsafeUninitializedCapacity: 24) { buffer in
      var index = 0
      func put(_ byte: UInt8) {
        buffer[index] = byte
        index += 1
      }
      func put(_ value: Int, _ width: Int) {
        var divisor = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
          put(UInt8(truncatingIfNeeded: value / divisor % 10) + 0x30)
          divisor /= 10
        }
      }
      put(year, 4)
      put(0x2d)
      put(month, 2)
      put(0x2d)
      put(day, 2)
      put(0x54)
      put(second / 3_600, 2)
      put(0x3a)
      put(second / 60 % 60, 2)
      put(0x3a)
      put(second % 60, 2)
      put(0x2e)
      put(fraction, 3)
      put(0x5a)
      return index
    }
  }

  /// Reads an RFC 3339 date-time with `Z` or a numeric offset and up to nine fractional digits (those past the
  /// sixth are cut). Nil for anything else, also for a date that does not exist and for a leap second.
  public init?(_ text: String) {
    var scan = Scanner(Array(text.utf8))
    guard let year = scan.digits(4), scan.skip("-"), let month = scan.digits(2), scan.skip("-"),
      let day = scan.digits(2), scan.skip("T") || scan.skip("t") || scan.skip(" "),
      let hour = scan.digits(2), scan.skip(":"), let minute = scan.digits(2), scan.skip(":"),
      let second = scan.digits(2)
    else { return nil }
    guard (1...12).contains(month), (1...daysIn(month: month, year: year)).contains(day), hour < 24, minute < 60,
      second < 60
    else { return nil }
    var micros: Int64 = 0
    if scan.skip(".") {
      guard let fraction = scan.fraction(maximumDigits: 9) else { return nil }
      micros = fraction
    }
    var offset: Int64 = 0
    if !(scan.skip("Z") || scan.skip("z")) {
      let sign: Int64
      if scan.skip("+") { sign = 1 } else if scan.skip("-") { sign = -1 } else { return nil }
      guard let h = scan.digits(2), scan.skip(":"), let m = scan.digits(2), h < 24, m < 60 else { return nil }
      offset = sign * Int64(h * 3_600 + m * 60)
    }
    guard scan.atEnd else { return nil }
    let total = days(fromCivil: year, month, day) * 86_400 + Int64(hour * 3_600 + minute * 60 + second) - offset
    self.init(microseconds: total * 1_000_000 + micros)
  }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
/// Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil.
private func days(fromCivil year: Int, _ month: Int, _ day: Int) -> Int64 {
  let y = Int64(month <= 2 ? year - 1 : year)
  let era = y.flooredDivision(by: 400)
  let yearOfEra = y - era * 400
  let dayOfYear = Int64((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1)
  let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

private func civil(fromDays days: Int64) -> (year: Int, month: Int, day: Int) {
  let z = days + 719_468
  let era = z.flooredDivision(by: 146_097)
  let dayOfEra = z - era * 146_097
  let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
  let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  let mp = (5 * dayOfYear + 2) / 153
  let month = Int(mp < 10 ? mp + 3 : mp - 9)
  return (Int(yearOfEra + era * 400) + (month <= 2 ? 1 : 0), month, Int(dayOfYear - (153 * mp + 2) / 5 + 1))
}

private func daysIn(month: Int, year: Int) -> Int {
  switch month {
  case 2: return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
  case 4, 6, 9, 11: return 30
  default: return 31
  }
}

private struct Scanner {
  let bytes: [UInt8]
  var index = 0
  init(_ bytes: [UInt8]) { self.bytes = bytes }
  var atEnd: Bool { index == bytes.count }

  mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard index < bytes.count, UInt32(bytes[index]) == character.value else { return false }
    index += 1
    return true
  }
  mutating func digits(_ count: Int) -> Int? {
    guard index + count <= bytes.count else { return nil }
    var value = 0
    for byte in bytes[index..<index + count] {
      guard (48...57).contains(byte) else { return nil }
      value = value * 10 + Int(byte - 48)
    }
    index += count
    return value
  }
  mutating func fraction(maximumDigits: Int) -> Int64? {
    var value: Int64 = 0
    var count = 0
    while index < bytes.count, (48...57).contains(bytes[index]) {
      count += 1
      guard count <= maximumDigits else { return nil }
      if count <= 6 { value = value * 10 + Int64(bytes[index] - 48) }
      index += 1
    }
    guard count > 0 else { return nil }
    for _ in 0..<max(0, 6 - count) { value *= 10 }
    return value
  }
}

extension Int64 {
  fileprivate func flooredDivision(by divisor: Int64) -> Int64 {
    let quotient = self / divisor
    return self % divisor < 0 ? quotient - 1 : quotient
  }
}

extension Duration {
  /// Whole microseconds, cut towards zero.
  public var wholeMicroseconds: Int64 {
    components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
  }
  /// Whole milliseconds, cut towards zero: the unit of every duration in the API.
  public var wholeMilliseconds: Int64 { wholeMicroseconds / 1_000 }
}

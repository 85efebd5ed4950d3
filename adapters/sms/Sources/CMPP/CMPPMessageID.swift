import Channels

/// CMPP's Msg_Id, which says when its gateway made it: month 4 bits, day 5, hour 5, minute 6, second 6, gateway 22,
/// sequence 16. It names no year. Source: specs/sms.md §8.
struct CMPPMessageID: Hashable, Sendable {
  let rawValue: UInt64

  init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// The latest such instant that is not after `now`, give or take five minutes of the gateway's clock; nil if it is no
  /// date, or months ago: then the gateway numbers its messages otherwise.
  func time(utcOffsetSeconds: Int, before now: Timestamp) -> Timestamp? {
    func field(_ shift: UInt64, _ bits: UInt64) -> String {
      let value = rawValue >> shift & (1 << bits - 1)
      return value < 10 ? "0\(value)" : "\(value)"
    }
    let local = (now + .seconds(utcOffsetSeconds + 300)).description
    guard let year = Int(local.prefix(4)) else { return nil }
    let rest = "-\(field(60, 4))-\(field(55, 5))T\(field(50, 5)):\(field(44, 6)):\(field(38, 6))Z"
    let found = [year, year - 1].lazy.compactMap { Timestamp("\($0)\(rest)") }.first {
      $0 <= now + .seconds(utcOffsetSeconds + 300)
    }
    guard let found else { return nil }
    let time = found - .seconds(utcOffsetSeconds)
    return now - time < .seconds(60 * 86_400) ? min(time, now) : nil
  }
}

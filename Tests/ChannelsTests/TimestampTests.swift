import Channels
import Testing

@Suite struct TimestampTests {
  @Test(arguments: [
    ("1970-01-01T00:00:00Z", Int64(0)),
    ("2000-02-29T23:59:59.999999Z", 951_868_799_999_999),
    ("1969-12-31T23:59:59.5Z", -500_000),
    ("2026-11-24T15:04:31+08:00", 1_795_503_871_000_000),
    ("2026-11-24t15:04:31.123456789-05:30", 1_795_552_471_123_456),
  ])
  func `an RFC 3339 instant is read to the microsecond`(text: String, microseconds: Int64) {
    #expect(Timestamp(text)?.microseconds == microseconds)
  }

  @Test(arguments: [
    "", "2026-11-24", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-11-24T24:00:00Z", "2026-11-24T15:04:60Z",
    "2026-11-24T15:04:31", "2026-11-24T15:04:31.Z", "2026-11-24T15:04:31.1234567890Z", "2026-11-24T15:04:31Zx",
    "２０26-11-24T15:04:31Z",
  ])
  func `what is no instant is not read`(text: String) { #expect(Timestamp(text) == nil) }

  @Test func `every shown instant reads back, cut to the millisecond`() {
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<2_000 {
      let time = Timestamp(
        microseconds: Int64.random(in: -60_000_000_000_000_000...200_000_000_000_000_000, using: &generator))
      let back = Timestamp(time.description)
      #expect(back?.milliseconds == time.milliseconds, "\(time.microseconds)")
    }
  }
}

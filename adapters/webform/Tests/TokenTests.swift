import Channels
import Testing

@testable import WebForms

@Suite struct TokenTests {
  let now = Timestamp(seconds: 1_790_000_000)
  let key = [UInt8](repeating: 1, count: 32)

  @Test func `a token says what it was given`() throws {
    let token = SubmissionToken(version: 70_000, at: now)
    let text = token.text(form: "note", key: key)
    #expect(text.utf8.count == 72)
    #expect(SubmissionToken(text, form: "note", keys: [key]) == token)
  }

  @Test func `an old key still verifies, another form's token does not`() {
    let text = SubmissionToken(version: 1, at: now).text(form: "note", key: key)
    #expect(SubmissionToken(text, form: "note", keys: [[UInt8](repeating: 2, count: 32), key]) != nil)
    #expect(SubmissionToken(text, form: "note", keys: [[UInt8](repeating: 2, count: 32)]) == nil)
    #expect(SubmissionToken(text, form: "complaint", keys: [key]) == nil)
  }

  @Test func `no changed character and no prefix verifies`() {
    let text = Array(SubmissionToken(version: 1, at: now).text(form: "note", key: key).utf8)
    for place in text.indices {
      #expect(SubmissionToken(String(decoding: text[..<place], as: UTF8.self), form: "note", keys: [key]) == nil)
      for other in Array("Az0-_+=.".utf8) where other != text[place] {
        var changed = text
        changed[place] = other
        #expect(SubmissionToken(String(decoding: changed, as: UTF8.self), form: "note", keys: [key]) == nil)
      }
    }
  }
}

@Suite struct ReferenceNumberTests {
  let key = [UInt8](repeating: 3, count: 32)

  @Test func `a number is the same for the same arrival and reads back`() throws {
    let id = ArrivalID(at: Timestamp(seconds: 1_790_000_000))
    let number = ReferenceNumber(for: id, key: key)
    #expect(number == ReferenceNumber(for: id, key: key))
    #expect(number != ReferenceNumber(for: id, key: [UInt8](repeating: 4, count: 32)))
    let shown = number.description
    #expect(shown.utf8.count == 13)
    #expect(ReferenceNumber(shown) == number)
    let sloppy = " " + shown.lowercased().replacing("-", with: " ").replacing("1", with: "l").replacing("0", with: "o")
    #expect(ReferenceNumber(sloppy) == number)
    let wide = String(String.UnicodeScalarView(shown.unicodeScalars.map { Unicode.Scalar($0.value + 0xfee0)! }))
    #expect(ReferenceNumber(wide) == number)
  }

  @Test func `every single slip and every exchange of two characters is found`() {
    let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    for second in 0..<20 {
      let shown = ReferenceNumber(for: ArrivalID(at: Timestamp(seconds: Int64(second))), key: key).description
      let digits = Array(shown.filter { $0 != "-" })
      for place in digits.indices {
        for other in alphabet where other != digits[place] {
          var slip = digits
          slip[place] = other
          #expect(ReferenceNumber(String(slip)) == nil)
        }
        for other in digits.indices where digits[other] != digits[place] {
          var exchanged = digits
          exchanged.swapAt(place, other)
          #expect(ReferenceNumber(String(exchanged)) == nil)
        }
      }
    }
  }

  @Test(arguments: ["", "7K3M", "7K3MQ9XW2PDD", "UUUU-UUUU-UUU", "你好", "0000-0000-000\u{0}"])
  func `what is no number is none`(_ text: String) { #expect(ReferenceNumber(text) == nil) }
}

@Suite struct ClientRateLimitTests {
  let start = Timestamp(seconds: 1_000)

  @Test func `a bucket empties and fills with time`() {
    let limit = ClientRateLimit(RatePolicy(burst: 2, interval: .seconds(10)), capacity: 100)
    #expect(limit.take("a", at: start) == nil)
    #expect(limit.take("a", at: start) == nil)
    #expect(limit.take("b", at: start) == nil)
    let wait = limit.take("a", at: start + .seconds(4))
    #expect(wait.map { $0 > .seconds(5.9) && $0 < .seconds(6.1) } == true)
    #expect(limit.take("a", at: start + .seconds(10.1)) == nil)
    #expect(limit.take("a", at: start + .seconds(10.2)) != nil)
    #expect(limit.take("a", at: start + .seconds(1_000)) == nil)
  }

  @Test func `a clock set back neither fills nor breaks a bucket`() {
    let limit = ClientRateLimit(RatePolicy(burst: 1, interval: .seconds(10)), capacity: 100)
    #expect(limit.take("a", at: start) == nil)
    #expect(limit.take("a", at: start - .seconds(3_600)) != nil)
  }

  @Test func `a flood of clients does not grow the table, and who is active is not forgotten`() {
    let limit = ClientRateLimit(RatePolicy(burst: 1, interval: .seconds(3_600)), capacity: 100)
    _ = limit.take("busy", at: start)
    for number in 0..<10_000 {
      _ = limit.take("client \(number)", at: start)
      if number % 20 == 0 { #expect(limit.take("busy", at: start) != nil) }
      #expect(limit.count <= 100)
    }
  }

  @Test func `without a policy there is no limit`() {
    let limit = ClientRateLimit(nil, capacity: 10)
    for _ in 0..<1_000 { #expect(limit.take("a", at: start) == nil) }
  }

  @Test(arguments: [
    ("192.0.2.7", "192.0.2.7"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2"), ("2001:DB8:1:2::6", "2001:db8:1:2"),
    ("2001:db8::1", "2001:db8:0:0"), ("::1", "0:0:0:0"), ("::ffff:192.0.2.7", "192.0.2.7"),
    ("fe80::1%eth0", "fe80:0:0:0"),
    ("2001:0db8:0001:0002::", "2001:db8:1:2"), ("", ""), (":", ""), ("%", "%"),
  ])
  func `a client is an IPv4 address or an IPv6 network`(_ address: String, _ key: String) {
    #expect(ClientRateLimit.key(address) == key)
  }
}

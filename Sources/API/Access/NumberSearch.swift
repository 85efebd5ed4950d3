/// Finds the numbers in a text that identify somebody: payment cards, accounts, resident identity numbers,
/// telephones.
///
/// A candidate is a run of digits, also full-width ones, with single spaces, dots or hyphens between them, that no
/// letter or further digit touches. It is a card if it has 13 to 19 digits and passes Luhn (ISO/IEC 7812-1 Annex B);
/// an identity number if it has 17 digits and a check character (GB 11643-1999 §4.4); a telephone if it has the form
/// of a mainland mobile number, or `+` and 8 to 15 digits; an account if it is none of these and has 16 to 19 digits in one
/// piece or in fours. The beginning of a card at the very end of a text is taken
/// for a card that was cut. Instants (RFC 3339) have the wrong lengths for all three.
enum NumberSearch {
  struct Found: Hashable {
    /// In UTF-8 offsets.
    var range: Range<Int>
    var kind: FieldMask.Kind
  }

  static func find(in text: String) -> [Found] {
    var text = text
    guard text.withUTF8(hasDigit) else { return [] }
    var found: [Found] = []
    let bytes = Array(text.utf8)
    var index = 0
    while index < bytes.count {
      guard digit(at: index, in: bytes) != nil else {
        index += 1
        continue
      }
      if index > 0, isWord(bytes[index - 1]) {
        index = endOfWord(from: index, in: bytes)
        continue
      }
      let groups = groups(from: index, in: bytes)
      var first = 0
      while first < groups.count {
        // The longest run of groups that is a number; "6222 0212…" is one card, two telephones in a row are two.
        var next = first + 1
        for last in (first..<min(groups.count, first + 8)).reversed() {
          let digits = groups[first...last].flatMap(\.digits)
          var end = groups[last].range.upperBound
          // One number, or written by fours.
          let isWhole = groups[first..<last].allSatisfy { $0.digits.count == 4 }
          guard let kind = kind(digits, isWhole, from: groups[first].range.lowerBound, to: &end, in: bytes) else {
            continue
          }
          let start = groups[first].range.lowerBound
          let plus = start > 0 && bytes[start - 1] == UInt8(ascii: "+")
          found.append(Found(range: (plus ? start - 1 : start)..<end, kind: kind))
          next = last + 1
          break
        }
        first = next
      }
      index = endOfWord(from: groups[groups.count - 1].range.upperBound, in: bytes)
    }
    return found
  }

  /// Most texts have none. Without a way out of the loop, so that many bytes are looked at in one step.
  private static func hasDigit(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var ascii = false
    for byte in bytes { ascii = ascii || byte &- 0x30 < 10 }
    if ascii || bytes.count < 3 { return ascii }
    var full = false
    for index in 2..<bytes.count {
      full = full || (bytes[index] &- 0x90 < 10 && bytes[index - 1] == 0xbc && bytes[index - 2] == 0xef)
    }
    return full
  }

  private struct Group {
    var digits: [UInt8]
    var range: Range<Int>
  }

  /// The groups of digits that one separator each joins, from `index` on.
  private static func groups(from index: Int, in bytes: [UInt8]) -> [Group] {
    var groups: [Group] = []
    var start = index
    while true {
      var end = start
      var digits: [UInt8] = []
      while let next = digit(at: end, in: bytes) {
        digits.append(next.value)
        end += next.length
      }
      groups.append(Group(digits: digits, range: start..<end))
      guard end < bytes.count, separators.contains(bytes[end]), digit(at: end + 1, in: bytes) != nil else {
        return groups
      }
      start = end + 1
    }
  }

  private static func kind(
    _ digits: [UInt8], _ isWhole: Bool, from start: Int, to end: inout Int, in bytes: [UInt8]
  ) -> FieldMask.Kind? {
    guard digits.count <= 19 else { return nil }
    if digits.count == 17, end < bytes.count, bytes[end] | 0x20 == UInt8(ascii: "x"),
      end + 1 == bytes.count || !isWord(bytes[end + 1]), isIdentity(digits, check: 10)
    {
      end += 1
      return .identity
    }
    guard end == bytes.count || !isWord(bytes[end]) else { return nil }
    if digits.count == 18, isIdentity(Array(digits.prefix(17)), check: digits[17]) { return .identity }
    let plus = start > 0 && bytes[start - 1] == UInt8(ascii: "+")
    if plus, (8...15).contains(digits.count) { return .phone }
    if digits.count == 11, digits[0] == 1, digits[1] >= 3 { return .phone }
    if digits.count == 13, digits.starts(with: [8, 6, 1]) { return .phone }
    // After the telephones: one in ten of those in international form passes Luhn.
    if (13...19).contains(digits.count), isLuhn(digits) { return .card }
    // Where a text ends a card may have been cut off: a summary is the beginning of what was written.
    if end == bytes.count, (9...18).contains(digits.count), (3...6).contains(digits[0]) { return .card }
    // The numbers of accounts have no common form but their length.
    if isWhole, (16...19).contains(digits.count) { return .account }
    return nil
  }

  static func isLuhn(_ digits: [UInt8]) -> Bool {
    var sum = 0
    for (position, digit) in digits.reversed().enumerated() {
      let value = position % 2 == 1 ? Int(digit) * 2 : Int(digit)
      sum += value > 9 ? value - 9 : value
    }
    return sum > 0 && sum % 10 == 0
  }

  private static func isIdentity(_ digits: [UInt8], check: UInt8) -> Bool {
    let sum = zip(digits, identityWeights).reduce(0) { $0 + Int($1.0) * $1.1 }
    return (12 - sum % 11) % 11 == Int(check)
  }

  /// ASCII, or full width (U+FF10 to U+FF19: EF BC 90 to EF BC 99).
  private static func digit(at index: Int, in bytes: [UInt8]) -> (value: UInt8, length: Int)? {
    guard index < bytes.count else { return nil }
    if (0x30...0x39).contains(bytes[index]) { return (bytes[index] - 0x30, 1) }
    guard index + 2 < bytes.count, bytes[index] == 0xef, bytes[index + 1] == 0xbc,
      (0x90...0x99).contains(bytes[index + 2])
    else { return nil }
    return (bytes[index + 2] - 0x90, 3)
  }

  /// Letters of ASCII and `_`: what would make the number part of an identifier. Chinese may touch a number.
  private static func isWord(_ byte: UInt8) -> Bool {
    (0x61...0x7a).contains(byte | 0x20) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: "_")
  }

  private static func endOfWord(from index: Int, in bytes: [UInt8]) -> Int {
    var index = index
    while index < bytes.count, isWord(bytes[index]) { index += 1 }
    return index
  }
}

private let separators: Set<UInt8> = [UInt8(ascii: " "), UInt8(ascii: "-"), UInt8(ascii: ".")]
private let identityWeights = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]

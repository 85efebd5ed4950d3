import Crypto

/// What tells whether two faxed pages show the same sheet.
///
/// A peer lost on the last page makes the sender repeat a fax that we have whole, and a retry begins again at the first
/// unconfirmed page (specs/fax.md traps 7 and 27). The repeated picture is the same bit for bit except for the header
/// line, which the sending machine prints with its clock into the first 6 mm, and for white at the end, which receivers
/// chop. So both are left out of `exact`. `coarse` also survives damaged rows.
public struct PageFingerprint: Hashable, Sendable, Codable {
  /// 128 bits in hexadecimal over the rows between the header line and the last black row.
  public var exact: String
  /// 16 × 16 fields of the page, 1 where darker than the mean; 64 hexadecimal digits.
  public var coarse: String
  /// Nothing black below the header: all blank pages are alike and prove nothing.
  public var isBlank: Bool

  public init(_ image: PageImage) {
    let header = min(image.height, Int(image.yResolution * 6 / 25.4))
    let stride = image.stride
    var last = image.height
    while last > header, image.bits[(last - 1) * stride..<last * stride].allSatisfy({ $0 == 0 }) { last -= 1 }
    isBlank = last <= header
    let digest = SHA256.hash(data: image.bits[header * stride..<max(header, last) * stride])
    exact = hexadecimal(digest.prefix(16))
    coarse = PageFingerprint.coarse(image, rows: header..<max(header, last))
  }

  /// Fields that differ, of 256.
  public func distance(to other: PageFingerprint) -> Int {
    zip(coarse, other.coarse).reduce(0) { sum, pair in
      sum + ((pair.0.hexDigitValue ?? 0) ^ (pair.1.hexDigitValue ?? 0)).nonzeroBitCount
    }
  }

  /// The same sheet, allowing for some damaged rows.
  public func shows(_ other: PageFingerprint) -> Bool {
    !isBlank && !other.isBlank && (exact == other.exact || distance(to: other) <= 4)
  }

  private static func coarse(_ image: PageImage, rows: Range<Int>) -> String {
    var ink = [Int](repeating: 0, count: 256)
    guard !rows.isEmpty else { return String(repeating: "0", count: 64) }
    for y in rows {
      let field = (y - rows.lowerBound) * 16 / rows.count * 16
      for column in 0..<image.stride {
        let count = image.bits[y * image.stride + column].nonzeroBitCount
        if count > 0 { ink[field + column * 16 / image.stride] += count }
      }
    }
    let mean = max(1, ink.reduce(0, +) / 256)
    return hexadecimal(
      (0..<32).map { byte in
        (0..<8).reduce(UInt8(0)) { $0 << 1 | (ink[byte * 8 + $1] > mean ? 1 : 0) }
      })
  }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}

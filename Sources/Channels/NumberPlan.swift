/// What a number on the wire is: a subscriber anywhere (E.164), a service number of ours or another's, or a name.
///
/// Every room that reads a number reads it by this plan, so that one line written in many ways is one address.
///
/// Checks run in this order, because a general parser takes service codes for subscribers (95588 "is" +8695588, and
/// 1065795588 a landline in Beijing): letters → name; 3–6 digits, 106…, 95…/96… → service code; then mobile, landline
/// and international forms. What fits none keeps its raw text as canonical. Pure.
/// Source: ITU-T E.164 §6.1; specs/sms.md §9; specs/fax.md §8 (`55550199` at home in area 10).
public struct NumberPlan: Hashable, Sendable {
  /// Without `+`, for example `86`.
  public var countryCode: String
  /// Added to numbers of 7 or 8 digits, without the trunk prefix, for example `10`; nil leaves such numbers as they are.
  public var areaCode: String?
  /// What is dialled before an area code at home, usually `0`; empty if the country has none.
  public var trunkPrefix: String
  /// What is dialled before a country code.
  public var internationalPrefix: String
  /// Further service codes, each a prefix of the national number.
  public var serviceCodePrefixes: [String]

  public init(
    countryCode: String = "86", areaCode: String? = nil, trunkPrefix: String = "0", internationalPrefix: String = "00",
    serviceCodePrefixes: [String] = ["106", "95", "96"]
  ) {
    self.countryCode = countryCode
    self.areaCode = areaCode
    self.trunkPrefix = trunkPrefix
    self.internationalPrefix = internationalPrefix
    self.serviceCodePrefixes = serviceCodePrefixes
  }

  public static let china = NumberPlan()

  /// The E.164 form with `+`; nil for service numbers, names, and what has none.
  public func e164(_ raw: String) -> String? {
    let address = address(raw)
    return address.kind == .phone && address.canonical.hasPrefix("+") ? address.canonical : nil
  }

  /// A number at which a fax machine answers, or answers perhaps.
  public func faxAddress(_ raw: String) -> Address {
    Address(kind: .fax, canonical: e164(raw) ?? raw, raw: raw)
  }

  /// `international` is what the wire itself says (TON 1).
  public func address(_ raw: String, international: Bool = false) -> Address {
    let folded = Self.folded(raw)
    guard !folded.isEmpty else { return Address(kind: .other, canonical: raw, raw: raw) }
    let plus = folded.first == "+"
    let digits = plus ? String(folded.dropFirst()) : folded
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      // A name in letters has no number; compared as written but for its case.
      let name = raw.trimmingBlanks
      return Address(kind: .shortCode, canonical: name.isEmpty ? raw : name.lowercased(), raw: raw)
    }
    var national = digits
    var abroad = false
    // What is written with a prefix is meant as a full number, also where its area is not known here.
    var isFull = false
    if plus {
      (national, abroad) = split(digits)
      isFull = true
    } else if !internationalPrefix.isEmpty, digits.hasPrefix(internationalPrefix), digits.count > 8 {
      (national, abroad) = split(String(digits.dropFirst(internationalPrefix.count)))
      isFull = true
    } else if digits.hasPrefix(countryCode), isNational(String(digits.dropFirst(countryCode.count))) {
      national = String(digits.dropFirst(countryCode.count))
    } else if international, !isServiceCode(digits), !isNational(digits) {
      (national, abroad) = split(digits)
      isFull = true
    } else if digits.hasPrefix(countryCode), (10...11).contains(digits.count - countryCode.count), !isNational(digits) {
      // Our code before a number in no range we know: ranges grow.
      national = String(digits.dropFirst(countryCode.count))
      isFull = true
    }
    if abroad {
      guard (7...15).contains(national.count), national.first != "0" else {
        return Address(kind: .phone, canonical: raw, raw: raw)
      }
      return Address(kind: .phone, canonical: "+" + national, raw: raw)
    }
    if isServiceCode(national) { return Address(kind: .shortCode, canonical: national, raw: raw) }
    if let subscriber = subscriber(national) {
      return Address(kind: .phone, canonical: "+" + countryCode + subscriber, raw: raw)
    }
    if let areaCode, !isFull, (7...8).contains(national.count), let first = national.first, ("2"..."9").contains(first)
    {
      return Address(kind: .phone, canonical: "+" + countryCode + areaCode + national, raw: raw)
    }
    let hasTrunk = !trunkPrefix.isEmpty && national.hasPrefix(trunkPrefix)
    let bare = hasTrunk ? String(national.dropFirst(trunkPrefix.count)) : national
    if isFull || hasTrunk, (8...15).contains(countryCode.count + bare.count), bare.first != "0" {
      return Address(kind: .phone, canonical: "+" + countryCode + bare, raw: raw)
    }
    // Too long for this country and not marked: a full international number, as SMPP peers often send it bare.
    if (11...15).contains(digits.count), digits.first != "0", !digits.hasPrefix(countryCode) {
      return Address(kind: .phone, canonical: "+" + digits, raw: raw)
    }
    return Address(kind: .phone, canonical: raw, raw: raw)
  }

  /// Takes the country code off; `abroad` if it is another country's.
  private func split(_ digits: String) -> (national: String, abroad: Bool) {
    digits.hasPrefix(countryCode) ? (String(digits.dropFirst(countryCode.count)), false) : (digits, true)
  }

  private func isNational(_ digits: String) -> Bool { isServiceCode(digits) || subscriber(digits) != nil }

  func isServiceCode(_ digits: String) -> Bool {
    if (3...6).contains(digits.count) { return digits.first != "0" }
    return (7...21).contains(digits.count) && serviceCodePrefixes.contains { digits.hasPrefix($0) }
  }

  /// The significant national number; nil if it is none.
  private func subscriber(_ digits: String) -> String? {
    guard countryCode == "86" else {
      let bare =
        !trunkPrefix.isEmpty && digits.hasPrefix(trunkPrefix) ? String(digits.dropFirst(trunkPrefix.count)) : digits
      return (6...12).contains(bare.count) && bare.first != "0" && (bare != digits || digits.count <= 10) ? bare : nil
    }
    let bare = digits.hasPrefix("0") ? String(digits.dropFirst()) : digits
    let octets = Array(bare.utf8)
    guard let first = octets.first else { return nil }
    // Mobile: 1[3-9] and nine digits, also with the 0 some people still write before it.
    if octets.count == 11, first == 0x31, (0x33...0x39).contains(octets[1]) { return bare }
    if octets.count == 10, bare.hasPrefix("400") || bare.hasPrefix("800") { return bare }
    // Landline: 10 or 2x and eight digits, else a three-digit area and seven or eight.
    let twoDigitArea = first == 0x32 || bare.hasPrefix("10")
    if twoDigitArea { return octets.count == 10 && octets[2] >= 0x32 ? bare : nil }
    if (0x33...0x39).contains(first), (10...11).contains(octets.count), octets[3] >= 0x32 { return bare }
    return nil
  }

  /// Full-width characters made narrow, grouping and blanks taken out.
  static func folded(_ raw: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in raw.unicodeScalars {
      var value = scalar.value
      if (0xff01...0xff5e).contains(value) { value -= 0xfee0 }
      switch value {
      case 0x20, 0x09, 0x0a, 0x0d, 0x00, 0xa0, 0x3000, 0x2d, 0x2e, 0x28, 0x29, 0x2f, 0x2010...0x2015, 0x2212, 0x200b,
        0x202a...0x202e, 0xfeff:
        continue
      default: if let narrow = Unicode.Scalar(value) { out.append(narrow) }
      }
    }
    return String(out)
  }
}

extension String {
  /// Without blanks at either end.
  public var trimmingBlanks: String {
    var view = self[...]
    while let first = view.first, first.isWhitespace { view = view.dropFirst() }
    while let last = view.last, last.isWhitespace { view = view.dropLast() }
    return String(view)
  }
}

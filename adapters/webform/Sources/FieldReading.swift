import Channels

/// The text of one field: normalised, or what is wrong with it. Pure.
enum FieldReading {
  struct Wrong: Error { var kind: FieldProblem.Kind }

  static func text(_ raw: String, _ field: FormDefinition.Field, _ now: Timestamp) -> Result<String, Wrong> {
    func wrong(_ kind: FieldProblem.Kind) -> Result<String, Wrong> { .failure(Wrong(kind: kind)) }
    let value = trimmed(withLineFeeds(raw))
    if value.isEmpty { return field.required ? wrong(.missing) : .success("") }
    for scalar in value.unicodeScalars where scalar.properties.generalCategory == .control {
      if scalar == "\n" {
        if field.kind != .multiLine { return wrong(.lineBreak) }
      } else if scalar != "\t" {
        return wrong(.controlCharacter)
      }
    }
    let length = value.utf16.count
    if length > field.maximumLength { return wrong(.tooLong(field.maximumLength)) }
    if length < field.minimumLength { return wrong(.tooShort(field.minimumLength)) }
    let narrow = halfWidth(value)
    switch field.kind {
    case .text:
      if let pattern = field.pattern, !pattern.matches(value) { return wrong(.pattern(field.patternMessage)) }
      return .success(value)
    case .multiLine: return .success(value)
    case .email: return isMailbox(narrow) ? .success(narrow) : wrong(.notEmail)
    case .phone: return PhoneText.isPlausible(narrow) ? .success(narrow) : wrong(.notPhone)
    case .select: return field.options.contains { $0.value == value } ? .success(value) : wrong(.notOption)
    case .date: return date(narrow, field, now)
    case .number: return number(narrow, field)
    case .identityTail:
      let tail = narrow.uppercased()
      let digits = tail.hasSuffix("X") ? tail.dropLast() : tail[...]
      return (4...6).contains(tail.utf8.count) && isDigits(digits) ? .success(tail) : wrong(.notIdentityTail)
    case .accountTail:
      return (4...6).contains(narrow.utf8.count) && isDigits(narrow[...]) ? .success(narrow) : wrong(.notAccountTail)
    case .customerNo:
      let number = narrow.uppercased()
      if let pattern = field.pattern, !pattern.matches(number) { return wrong(.pattern(field.patternMessage)) }
      let fits = number.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || $0 == 0x2d || $0 == 0x5f
      }
      return fits ? .success(number) : wrong(.notCustomerNo)
    case .file: return wrong(.notAFile)
    }
  }

  /// CR LF and CR are one line feed, as HTML counts and we keep them.
  static func withLineFeeds(_ text: String) -> String {
    guard text.utf8.contains(13) else { return text }
    var out = String.UnicodeScalarView()
    var afterReturn = false
    for scalar in text.unicodeScalars {
      if scalar == "\n", afterReturn {
        afterReturn = false
        continue
      }
      afterReturn = scalar == "\r"
      out.append(afterReturn ? "\n" : scalar)
    }
    return String(out)
  }

  /// Full-width ASCII, as Chinese input methods give it, in its usual width.
  static func halfWidth(_ text: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar.value {
      case 0xff01...0xff5e: out.append(Unicode.Scalar(UInt8(scalar.value - 0xfee0)))
      case 0x3000: out.append(" ")
      default: out.append(scalar)
      }
    }
    return String(out)
  }

  private static func isDigits(_ text: Substring) -> Bool {
    !text.isEmpty && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  /// One mailbox that can be written to: not RFC 5322 in full, which no bank wants typed into a form.
  static func isMailbox(_ text: String) -> Bool {
    let halves = text.split(separator: "@", omittingEmptySubsequences: false)
    guard halves.count == 2, (1...64).contains(halves[0].utf8.count), text.utf8.count <= 254 else { return false }
    let labels = halves[1].split(separator: ".", omittingEmptySubsequences: false)
    let local = halves[0].split(separator: ".", omittingEmptySubsequences: false)
    return labels.count >= 2
      && labels.allSatisfy { label in
        (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
          && label.unicodeScalars.allSatisfy { $0 == "-" || $0.properties.isAlphabetic || ("0"..."9").contains($0) }
      }
      && local.allSatisfy { part in
        !part.isEmpty
          && part.unicodeScalars.allSatisfy {
            $0.value > 0x7f && !$0.properties.isWhitespace || ("0"..."9").contains($0) || $0.properties.isAlphabetic
              || "!#$%&'*+-/=?^_`{|}~".unicodeScalars.contains($0)
          }
      }
  }

  /// "Today" is any day that is today somewhere on Earth: the adapter does not know where the customer is.
  private static func date(_ text: String, _ field: FormDefinition.Field, _ now: Timestamp) -> Result<String, Wrong> {
    guard text.utf8.count == 10, let day = Timestamp(text + "T00:00:00Z") else {
      return .failure(Wrong(kind: .notDate))
    }
    func bound(_ bound: FormDefinition.DateBound, _ shift: Duration) -> (Timestamp, String) {
      let shown: String
      switch bound {
      case .today: shown = String((now + shift).description.prefix(10))
      case .day(let text): shown = text
      }
      return (Timestamp(shown + "T00:00:00Z") ?? now, shown)
    }
    if let earliest = field.earliest {
      let (limit, shown) = bound(earliest, .seconds(-12 * 3_600))
      if day < limit { return .failure(Wrong(kind: .tooEarly(shown))) }
    }
    if let latest = field.latest {
      let (limit, shown) = bound(latest, .seconds(14 * 3_600))
      if day > limit { return .failure(Wrong(kind: .tooLate(shown))) }
    }
    return .success(text)
  }

  private static func number(_ text: String, _ field: FormDefinition.Field) -> Result<String, Wrong> {
    let plain = text.filter { $0 != "," && $0 != " " }
    let body = plain.hasPrefix("-") ? plain.dropFirst() : plain[...]
    let halves = body.split(separator: ".", omittingEmptySubsequences: false)
    guard halves.count <= 2, halves.allSatisfy(isDigits), let value = Double(plain) else {
      return .failure(Wrong(kind: .notNumber))
    }
    if let minimum = field.minimum, value < minimum { return .failure(Wrong(kind: .tooSmall(shown(minimum)))) }
    if let maximum = field.maximum, value > maximum { return .failure(Wrong(kind: .tooGreat(shown(maximum)))) }
    return .success(plain)
  }

  static func shown(_ number: Double) -> String {
    number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
  }
}

/// A telephone number as people write it.
enum PhoneText {
  /// Digits with the usual marks between them, 5 to 15 digits (ITU-T E.164 §6.1), at most one `+` in front.
  static func isPlausible(_ text: String) -> Bool {
    let digits = text.utf8.filter { (0x30...0x39).contains($0) }.count
    let rest = text.hasPrefix("+") ? text.dropFirst() : text[...]
    return (5...15).contains(digits)
      && rest.utf8.allSatisfy { (0x30...0x39).contains($0) || "-() ./".utf8.contains($0) }
  }
}

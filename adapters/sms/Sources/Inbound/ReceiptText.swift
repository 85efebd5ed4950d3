/// The delivery receipt as SMSCs write it into short_message: `id:… sub:… dlvrd:… submit date:… done date:… stat:… err:… text:…`.
///
/// Vendors vary it in every way; read are keys in any case and order, blanks or line ends around values, missing fields,
/// and dates of 10, 12 or 14 digits. Everything from `text:` on is the customer's text and is not read: it may itself
/// hold `id:… stat:…`. Of a key given twice the first counts. Source: SMPP 3.4 appendix B, specs/sms.md §5.5.
public struct ReceiptText: Hashable, Sendable {
  public var id: String?
  public var submitted: String?
  public var delivered: String?
  public var submitDate: String?
  public var doneDate: String?
  public var stat: String?
  public var error: String?
  public var text: String?

  private enum Key: CaseIterable {
    case id, sub, dlvrd, submitDate, doneDate, stat, err, text
    var spellings: [String] {
      switch self {
      case .id: ["id"]
      case .sub: ["sub"]
      case .dlvrd: ["dlvrd"]
      case .submitDate: ["submit date", "submit_date", "submitdate"]
      case .doneDate: ["done date", "done_date", "donedate"]
      case .stat: ["stat", "status"]
      case .err: ["err", "error"]
      case .text: ["text"]
      }
    }
  }

  /// `octets` are read as ASCII, not as GSM septets (ids hold `_` and `@`), except UCS-2 by its coding. Nil if neither an id nor a
  /// state is in it.
  public init?(_ octets: [UInt8], coding: TextCoding) {
    let whole = coding == .ucs2 ? UTF16Text.decode(octets).text : String(latin1: octets)
    self.init(whole)
  }

  public init?(_ whole: String) {
    let characters = Array(whole.unicodeScalars)
    var found: [(key: Key, start: Int, valueStart: Int)] = []
    var index = 0
    scan: while index < characters.count {
      if index == 0 || !Self.isWord(characters[index - 1]) {
        for key in Key.allCases {
          if let end = Self.match(key, in: characters, at: index) {
            if !found.contains(where: { $0.key == key }) { found.append((key, index, end)) }
            if key == .text { break scan }
            index = end
            continue scan
          }
        }
      }
      index += 1
    }
    guard !found.isEmpty else { return nil }
    for (position, entry) in found.enumerated() {
      let end = entry.key == .text || position + 1 == found.count ? characters.count : found[position + 1].start
      var view = String.UnicodeScalarView()
      view.append(contentsOf: characters[entry.valueStart..<max(entry.valueStart, end)])
      let value = String(view)
      if entry.key == .text {
        text = value
        continue
      }
      let token = Self.firstToken(value)
      guard !token.isEmpty else { continue }
      switch entry.key {
      case .id: id = token
      case .sub: submitted = token
      case .dlvrd: delivered = token
      case .submitDate: submitDate = token
      case .doneDate: doneDate = token
      case .stat: stat = token
      case .err: error = token
      case .text: break
      }
    }
    guard id != nil || stat != nil else { return nil }
  }

  /// Whether a message that is not marked as a receipt is one all the same: it must begin with its id and hold the state
  /// and at least one field a person would not write.
  var isUnmistakable: Bool {
    id != nil && stat != nil && (submitDate != nil || doneDate != nil || (submitted != nil && delivered != nil))
  }

  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isAlphabetic || scalar.properties.numericType != nil || scalar == "_"
  }

  /// The index after the key's colon; nil if the key is not at `index`.
  private static func match(_ key: Key, in characters: [Unicode.Scalar], at index: Int) -> Int? {
    for spelling in key.spellings {
      var position = index
      var matched = true
      for expected in spelling.unicodeScalars {
        if expected == " " {
          // At least one blank, perhaps a line end, between the two words.
          guard position < characters.count, isBlank(characters[position]) else {
            matched = false
            break
          }
          while position < characters.count, isBlank(characters[position]) { position += 1 }
          continue
        }
        guard position < characters.count, lowered(characters[position]) == expected else {
          matched = false
          break
        }
        position += 1
      }
      guard matched else { continue }
      while position < characters.count, characters[position] == " " { position += 1 }
      if position < characters.count, characters[position] == ":" { return position + 1 }
    }
    return nil
  }

  private static func lowered(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
    (0x41...0x5a).contains(scalar.value) ? Unicode.Scalar(scalar.value + 0x20) ?? scalar : scalar
  }

  private static func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar.value <= 0x20 || scalar.value == 0xa0 }

  private static func firstToken(_ value: String) -> String {
    var out = String.UnicodeScalarView()
    for scalar in value.unicodeScalars {
      let separates = isBlank(scalar) || scalar == "," || scalar == ";"
      if separates, out.isEmpty { continue }
      if separates { break }
      out.append(scalar)
    }
    return String(out)
  }
}

/// What of a customer a role does not see: the one function through which every value passes that leaves Liaison, in
/// answers, streams, events, exports and logs.
///
/// A member is judged by its name; an address (an object with `kind`, `canonical`, `raw`) by its kind; every other
/// text is searched for what is hidden: card numbers by Luhn, numbers that are telephone, identity or account numbers by
/// their form, mailboxes by theirs. Identifiers of ours, codes and instants are left alone.
///
/// Hidden is said, not silent: what stays are the last four digits of a number, the first letter and the domain of a
/// mailbox, nothing of an identity number.
public struct FieldMask: Hashable, Sendable {
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    case phone, email
    /// Resident identity, passport, business registration.
    case identity
    case account
    /// Payment cards in free text. PCI DSS 4.0 §3.4.1 lets nobody see them without a need.
    case card
    /// Attachments and originals that are no text: what is in them cannot be searched, so they are not given at all.
    case file
  }
  public var hidden: Set<Kind>

  public init(hiding hidden: Set<Kind>) { self.hidden = hidden }

  /// Nothing is hidden: for the store's own use, never for a principal.
  public static let none = FieldMask(hiding: [])

  /// A value as JSON, masked: what goes into every answer, stream, export and webhook.
  public func written(_ value: JSONValue) -> [UInt8] {
    var writer = MaskedWriter(self)
    writer.write(value)
    return writer.bytes
  }

  /// Free text, outside JSON: a line of a log.
  public func apply(to text: String) -> String { hidden.isEmpty ? text : maskedText(text) }

  enum Meaning { case text, exempt, field(Kind) }

  /// A text as this mask lets it be seen.
  func shown(_ text: String, as meaning: Meaning) -> String {
    if hidden.isEmpty { return text }
    switch meaning {
    case .exempt: return text
    case .text: return maskedText(text)
    case .field(let kind):
      return hidden.contains(kind) ? conceal(text, kind) : kind == .phone ? text : maskedText(text)
    }
  }

  /// Of an object's address members, by its `kind`; nil if it is no address.
  static func addressMeaning(kind: String?) -> Meaning? {
    switch kind {
    case "phone", "fax", "mobile", "landline": .field(.phone)
    case "email": .field(.email)
    case "account": .field(.account)
    case "identity": .field(.identity)
    default: nil
    }
  }

  static func isAddressPart(_ name: String) -> Bool {
    name == "canonical" || name == "raw" || name == "value" || name == "display"
  }

  static func meaning(of name: String) -> Meaning {
    switch name {
    case "phone", "phones", "mobile", "fax", "caller", "callee", "msisdn", "telephone", "caller_number": .field(.phone)
    case "email", "emails", "mailbox": .field(.email)
    case "identity_no", "identity_number", "id_number", "passport_no", "registration_no": .field(.identity)
    case "account_no", "account_number", "accounts_no", "iban": .field(.account)
    case "card_no", "card_number": .field(.card)
    case "id", "type", "kind", "status", "state", "code", "version", "customer_no", "etag", "next_cursor", "direction",
      "channel", "operation_id", "trace_id":
      .exempt
    default:
      if name.hasSuffix("_id") || name.hasSuffix("_at") || name.hasSuffix("_code") || name.hasSuffix("_version") {
        .exempt
      } else {
        .text
      }
    }
  }

  private func conceal(_ text: String, _ kind: Kind) -> String {
    switch kind {
    case .phone, .account, .card:
      let digits = text.unicodeScalars.filter { $0.properties.numericType != nil }
      guard digits.count >= 8 else { return "***" }
      return "***" + String(String.UnicodeScalarView(digits.suffix(4)))
    case .identity, .file: return "***"
    case .email:
      guard let at = text.lastIndex(of: "@"), let first = text.first, first != "@" else { return "***" }
      return "\(first)***\(text[at...])"
    }
  }

  private func maskedText(_ text: String) -> String {
    var text = text
    let numbers = NumberSearch.find(in: text)
    if !numbers.isEmpty {
      var utf8 = Array(text.utf8)
      for found in numbers.reversed() where hidden.contains(found.kind) {
        let digits = String(decoding: utf8[found.range], as: UTF8.self)
        utf8.replaceSubrange(found.range, with: Array(conceal(digits, found.kind).utf8))
      }
      text = String(decoding: utf8, as: UTF8.self)
    }
    guard hidden.contains(.email), text.utf8.contains(UInt8(ascii: "@")) else { return text }
    return text.replacing(mailbox) { conceal(String($0.output), .email) }
  }
}

// Regex is not Sendable; this one is never mutated after its initialisation.
nonisolated(unsafe) private let mailbox = /[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]+\.[A-Za-z]{2,}/

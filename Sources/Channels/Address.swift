/// Where a party can be reached, or claims to be: a telephone number, a mailbox, a fax number.
public struct Address: Hashable, Sendable, Codable {
  public enum Kind: String, Hashable, Sendable, Codable, CaseIterable {
    case phone, email, fax
    /// A short service number or an alphanumeric sender: no E.164 form exists.
    case shortCode = "short_code"
    /// Anything an open channel brings; compared by its canonical text alone.
    case other
  }

  public var kind: Kind
  /// The form that is compared and stored: E.164 for numbers, lower case for mailboxes. Equal to `raw` when no
  /// normal form could be made.
  public var canonical: String
  /// As the wire gave it, unchanged.
  public var raw: String

  public init(kind: Kind, canonical: String, raw: String) {
    self.kind = kind
    self.canonical = canonical
    self.raw = raw
  }
}

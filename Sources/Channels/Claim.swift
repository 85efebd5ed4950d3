/// One statement of a sender about who he is. Source: specs/identity.md §1.4.
public struct Claim: Hashable, Sendable, Codable {
  public enum Fact: String, Hashable, Sendable, Codable, CaseIterable {
    case customerNo = "customer_no"
    case name
    case identityNo = "identity_no"
    /// The last 4 to 6 characters of an identity number.
    case identityNoTail = "identity_no_tail"
    case accountNo = "account_no"
    /// The last 4 to 6 digits of an account number.
    case accountNoTail = "account_no_tail"
    case birthDate = "birth_date"
    case phone
    case email
    case company
  }
  public enum Source: String, Hashable, Sendable, Codable, CaseIterable {
    /// The network delivered it: caller number, envelope sender, CSID.
    case wire
    /// The customer keyed it at a prompt.
    case keyed
    /// The customer filled it into a field made for it.
    case field
    /// Found in free text.
    case text
    /// An agent took it down.
    case agent
    /// Whoever owns the line or machine has set it there: a fax's TSI, a displayed caller name. Agreement counts less,
    /// disagreement not at all.
    case device
    /// Read from a picture by a program: a hint to whom to ask, never one of two proofs.
    case recognised
  }
  public var fact: Fact
  /// As given, trimmed, never empty; of phones and mailboxes the canonical form where one can be made, as in `Address`.
  public var value: String
  public var source: Source

  public init(_ fact: Fact, _ value: String, source: Source) {
    self.fact = fact
    self.value = value
    self.source = source
  }
}

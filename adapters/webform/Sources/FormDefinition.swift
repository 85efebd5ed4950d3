import Channels

/// One version of one form: what is asked, of whom, and what becomes of the answer.
///
/// A business parameter of the bank, written in YAML (`FormDefinition.read`), never changed once in force: a change is
/// a new version. Every submission records the version it was filled in on.
public struct FormDefinition: Sendable, Hashable {
  /// `[a-z][a-z0-9-]{1,39}`; part of the address.
  public var id: String
  public var version: Int
  /// In force from then on, until a higher version is.
  public var effective: Timestamp
  /// The category of the service request; an option may name a better one.
  public var categoryCode: String?
  public var title: LocalizedText
  public var introduction: LocalizedText?
  /// Shown with the reference number; nil: the usual words.
  public var confirmation: LocalizedText?
  public var fields: [Field]
  public var reply: Reply?
  public var consents: [ConsentBox]

  public struct Field: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
      case text, email, phone, select, date, file, number
      case multiLine = "multi-line"
      /// The last 4 to 6 characters of an identity number.
      case identityTail = "identity-tail"
      /// The last 4 to 6 digits of an account number.
      case accountTail = "account-tail"
      case customerNo = "customer-no"
    }
    /// `[a-z][a-z0-9_]{0,39}`, unique in the form.
    public var name: String
    public var kind: Kind
    public var label: LocalizedText
    public var help: LocalizedText?
    public var required: Bool
    /// In UTF-16 units as HTML counts them, a line break being one.
    public var minimumLength: Int
    public var maximumLength: Int
    public var pattern: FieldPattern?
    /// What a value must look like, said when the pattern does not fit.
    public var patternMessage: LocalizedText?
    /// For `select`.
    public var options: [Option]
    /// For `number`.
    public var minimum: Double?
    public var maximum: Double?
    /// For `date`.
    public var earliest: DateBound?
    public var latest: DateBound?
    /// For `file`: how many, how large each, and of which sniffed types.
    public var maximumFiles: Int
    public var maximumFileBytes: Int
    public var mediaTypes: [String]
    /// What the value says about the sender; nil if nothing.
    public var claim: Claim.Fact?
    /// The HTML autofill token (`name`, `tel`, `email`, …); nil: `off`.
    public var autocomplete: String?
  }

  public struct Option: Sendable, Hashable {
    public var value: String
    public var label: LocalizedText
    /// The category of the request when this is chosen; nil leaves the form's.
    public var categoryCode: String?
  }

  public enum DateBound: Sendable, Hashable {
    case today
    /// `YYYY-MM-DD`.
    case day(String)
  }

  /// By which channel the customer wishes to be answered.
  public struct Reply: Sendable, Hashable {
    public enum Channel: String, Sendable, Hashable, CaseIterable {
      case phone, sms, email
      /// No answer is wanted; `none` in YAML and on the wire.
      case noReply = "none"
    }
    public var channels: [Channel]
    public var required: Bool
  }

  /// One consent, never ticked beforehand. What was answered is recorded with the version of its notice.
  public struct ConsentBox: Sendable, Hashable {
    /// `[a-z][a-z0-9_]{0,39}`, unique in the form.
    public var purpose: String
    public var noticeVersion: String
    public var text: LocalizedText
    /// The form cannot be sent without it.
    public var required: Bool
  }

  var hasFiles: Bool { fields.contains { $0.kind == .file } }
}

/// What a customer wrote, read by the adapter: the payload of mail, SMS, fax and forms.
public struct InboundMessage: Hashable, Sendable, Codable {
  public var subject: String?
  /// The text a person reads: of a mail the part its author wrote, of a form its fields as lines. Empty if there is none.
  public var text: String
  /// The whole text when `text` is only the part the author wrote now (quotes and signature cut); else nil.
  public var fullText: String?
  /// Sanitised for display: allow-listed elements, no remote content. Nil when there is none.
  public var html: String?
  /// BCP 47, for example `zh-Hans`; nil if unknown.
  public var language: String?
  public var attachments: [Attachment]
  /// What the sender says about himself. Evidence for identity, never proof.
  public var claims: [Claim]
  public var thread: Thread
  /// The category the wire itself determines (the form's, a keyword's); nil leaves it to classification.
  public var categoryCode: String?
  /// Consents given with this message, each with the notice shown.
  public var consents: [Consent]
  /// True for out-of-office answers and other machines' mail: never answered automatically, reopens nothing.
  public var isAutomatic: Bool
  /// Further facts the adapter knows, free keys, ordered as given: form fields, TSI, DID, headers worth keeping.
  public var properties: [Property]

  public init(
    subject: String? = nil, text: String, fullText: String? = nil, html: String? = nil, language: String? = nil,
    attachments: [Attachment] = [], claims: [Claim] = [], thread: Thread = Thread(), categoryCode: String? = nil,
    consents: [Consent] = [], isAutomatic: Bool = false, properties: [Property] = []
  ) {
    self.subject = subject
    self.text = text
    self.fullText = fullText
    self.html = html
    self.language = language
    self.attachments = attachments
    self.claims = claims
    self.thread = thread
    self.categoryCode = categoryCode
    self.consents = consents
    self.isAutomatic = isAutomatic
    self.properties = properties
  }

  public struct Attachment: Hashable, Sendable, Codable {
    /// As the sender named it, decoded; nil if unnamed. Never used as a path.
    public var name: String?
    /// Sniffed from the bytes where they tell, else as declared; lower case without parameters.
    public var mediaType: String
    public var bytes: [UInt8]
    /// For a part shown within the text, its Content-ID without brackets.
    public var contentID: String?
    /// `contentID` is written so that it also reads back from snake case.
    private enum CodingKeys: String, CodingKey {
      case name, mediaType, bytes
      case contentID = "contentId"
    }
    public init(name: String?, mediaType: String, bytes: [UInt8], contentID: String? = nil) {
      self.name = name
      self.mediaType = mediaType
      self.bytes = bytes
      self.contentID = contentID
    }
  }

  /// How the message says it belongs to an earlier one. The strongest that can be followed wins.
  public struct Thread: Hashable, Sendable, Codable {
    /// A token of ours that came back with a valid signature (plus-address); names a service request.
    public var signedToken: String?
    /// The peer's ids of earlier messages, nearest first: In-Reply-To, then References from the last.
    public var references: [String]
    /// A token found in text or subject: counts only from a sender known to that request.
    public var claimedToken: String?
    /// This message's own id, which later ones will refer to.
    public var ownID: String?
    /// `ownID` is written so that it also reads back from snake case.
    private enum CodingKeys: String, CodingKey {
      case signedToken, references, claimedToken
      case ownID = "ownId"
    }
    public init(
      signedToken: String? = nil, references: [String] = [], claimedToken: String? = nil, ownID: String? = nil
    ) {
      self.signedToken = signedToken
      self.references = references
      self.claimedToken = claimedToken
      self.ownID = ownID
    }
  }

  /// A consent box as it stood when it was answered. An unticked box is recorded too.
  public struct Consent: Hashable, Sendable, Codable {
    public var purpose: String
    public var granted: Bool
    /// Version of the notice shown beside the box.
    public var noticeVersion: String
    public init(purpose: String, granted: Bool, noticeVersion: String) {
      self.purpose = purpose
      self.granted = granted
      self.noticeVersion = noticeVersion
    }
  }

  public struct Property: Hashable, Sendable, Codable {
    public var key: String
    public var value: String
    public init(_ key: String, _ value: String) {
      self.key = key
      self.value = value
    }
  }
}

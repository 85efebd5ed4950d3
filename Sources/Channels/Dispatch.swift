/// One attempt to reach a customer, ready for an adapter: what is submitted.
public struct Dispatch: Hashable, Sendable {
  /// The same on every attempt of one job, for peers that recognise repeats.
  public var key: String
  public var attempt: AttemptID
  /// What this attempt is called on the wire (Message-ID, user_message_reference, ActionID, job tag). Derived from
  /// `attempt` by `ChannelAdapter.wireIdentity(of:)` and committed before the first byte leaves.
  public var wireIdentity: String
  public var to: Address
  public var from: Address?
  public var content: Content
  /// Nobody wants it after this instant; an adapter passes it on where the wire can carry it.
  public var expires: Timestamp?

  public init(
    key: String, attempt: AttemptID, wireIdentity: String, to: Address, from: Address?, content: Content,
    expires: Timestamp?
  ) {
    self.key = key
    self.attempt = attempt
    self.wireIdentity = wireIdentity
    self.to = to
    self.from = from
    self.content = content
    self.expires = expires
  }

  public struct Content: Hashable, Sendable, Codable {
    public var subject: String?
    public var text: String
    public var html: String?
    public var attachments: [InboundMessage.Attachment]
    /// BCP 47; chooses fixed words such as signatures and cover pages. Nil: the channel's default.
    public var language: String?
    /// The ids of the messages answered, nearest first.
    public var references: [String]
    /// Adapter-specific instructions, documented in the adapter's README; unknown keys are ignored.
    public var options: [String: String]
    public init(
      subject: String? = nil, text: String, html: String? = nil, attachments: [InboundMessage.Attachment] = [],
      language: String? = nil, references: [String] = [], options: [String: String] = [:]
    ) {
      self.subject = subject
      self.text = text
      self.html = html
      self.attachments = attachments
      self.language = language
      self.references = references
      self.options = options
    }
  }
}

/// What one submission came to. Four outcomes, never three: a caller must act differently on each.
public enum Submission: Sendable, Hashable {
  /// The peer has taken it over.
  case accepted(Receipt)
  /// Surely not sent; may be tried again, not before `retryAfter` if the peer said so.
  case deferred(Fault, retryAfter: Duration?)
  /// Surely not sent, and trying the same again is useless.
  case rejected(Fault)
  /// Nobody knows. To be inquired about, never repeated blindly.
  case inDoubt(Fault)
}

/// The peer's word that it has taken a dispatch.
public struct Receipt: Hashable, Sendable, Codable {
  /// The peer's own id, by which its reports will name the dispatch; nil if it gives none.
  public var peerID: String?
  public var at: Timestamp
  /// How many chargeable parts it was sent as; 1 where the channel has no parts.
  public var parts: Int
  /// The peer's id of each part, in order, where it names them one by one and a report may come under any of them; the
  /// first is `peerID`. Empty for everything sent in one piece.
  public var partIDs: [String]
  /// The ids are written so that they also read back from snake case.
  private enum CodingKeys: String, CodingKey {
    case peerID = "peerId"
    case at, parts
    case partIDs = "partIds"
  }
  public init(peerID: String?, at: Timestamp, parts: Int = 1, partIDs: [String] = []) {
    self.peerID = peerID
    self.at = at
    self.parts = parts
    self.partIDs = partIDs
  }
}

/// Why something did not work: a bounded code to act on and count, the peer's own words to read.
public struct Fault: Error, Hashable, Sendable, Codable {
  public enum Code: String, Hashable, Sendable, Codable, CaseIterable {
    case connection, timeout, throttled, authentication, protocolViolation = "protocol_violation"
    case badAddress = "bad_address"
    case unknownRecipient = "unknown_recipient"
    case recipientBusy = "recipient_busy"
    case noAnswer = "no_answer"
    case notAFax = "not_a_fax"
    case contentRefused = "content_refused"
    case tooLarge = "too_large"
    case policy, expired, cancelled
    case peerFailure = "peer_failure"
    case unsupported
    case internalError = "internal"
  }
  public var code: Code
  /// The peer's code as it wrote it: `5.1.1`, `0x0000000b`, `17`. Nil if none was given.
  public var peerCode: String?
  public var text: String
  public init(_ code: Code, peerCode: String? = nil, text: String) {
    self.code = code
    self.peerCode = peerCode
    self.text = text
  }
}

import Channels

/// Everything Liaison makes of one mail, before it knows what for.
public struct ReadMail: Sendable {
  public struct Attachment: Sendable {
    /// As the sender named it; empty if unnamed.
    public var name: String
    /// Sniffed where the bytes tell, else as declared.
    public var mediaType: String
    public var bytes: [UInt8]
    public var contentID: String?
    /// What was found inside a `winmail.dat`; empty for anything else.
    public var contained: [Attachment] = []
  }

  /// The first mailbox of From as written; empty if there is none.
  public var from = ""
  public var fromName = ""
  public var replyTo = ""
  /// To and Cc.
  public var recipients: [String] = []
  public var subject = ""
  /// The whole text: text/plain where there is any, else read from the HTML.
  public var text = ""
  /// What the author wrote now.
  public var replyText = ""
  /// Sanitised; nil if the mail has no HTML.
  public var html: String?
  /// The charset label of the first text part as written; empty if none.
  public var charset = ""
  public var attachments: [Attachment] = []
  /// Without brackets; empty if none.
  public var messageID = ""
  /// As written, white space folded.
  public var inReplyTo = ""
  public var references = ""
  public var inReplyToIDs: [String] = []
  public var referenceIDs: [String] = []
  /// The Date field as written.
  public var date = ""
  public var contentLanguage: String?
  public var isBounce = false
  public var bouncedRecipients: [BouncedRecipient] = []
  /// An answer a machine gave: out of office, receipt of a request.
  public var isAutomaticAnswer = false
  public var isListMail = false
  public var isReadReceipt = false
  /// An abuse report about a mail of ours (RFC 5965).
  public var isComplaint = false
  /// Why this mail must not be answered automatically; nil if it may.
  public var noAnswerReason: String?
  /// Headers worth keeping beside the message, in order.
  public var properties: [InboundMessage.Property] = []
  /// Whom the complaint concerns and which mail of ours, as far as the report says.
  public var complaint: (address: String, messageID: String)?
  /// Why this is no mail: empty, or without a single header field. Nil for everything that can be shown.
  public var unreadableReason: String?

  public init() {}
}

/// One recipient a delivery report speaks of. Source: RFC 3464 §2.3.
public struct BouncedRecipient: Sendable, Hashable {
  public enum Action: String, Sendable { case failed, delayed, delivered, relayed, expanded }
  public var address: String
  public var action: Action
  /// RFC 3463; one of class x.0.9xx where the peer gave none and the words had to tell.
  public var status: String
  /// What it comes to, a bounded word: `userunknown`, `mailboxfull`, `hostunknown`, `expired`, …
  public var reason: String
  /// The address itself is bad.
  public var condemnsAddress: Bool
  /// The peer's own words.
  public var diagnostic: String
  /// Message-ID of the mail that bounced, without brackets; empty if the report does not carry it.
  public var originalMessageID: String
  /// The reason alone says the address will never work; what bounce lists call a hard bounce.
  public var isHard: Bool
  /// The report named the action; else it was told from the words.
  var actionWasGiven: Bool
}

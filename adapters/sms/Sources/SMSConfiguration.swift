import Channels

/// One SMS channel: its links and what all of them share.
public struct SMSConfiguration: Sendable {
  public struct Link: Sendable {
    public enum Kind: Sendable {
      case smpp(SMPPSettings, LinkEndpoint, binds: [SMPPSettings.Bind])
      case cmpp(CMPPSettings, LinkEndpoint, connections: Int)
      case kannel(KannelSettings)
    }

    /// `[a-z0-9-]{1,40}`, unique within the channel; scopes message ids.
    public var name: String
    public static func isName(_ text: String) -> Bool {
      (1...40).contains(text.utf8.count)
        && text.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
    }
    /// Share of the traffic among links that are up; 0: only when no other is.
    public var weight: Int
    public var kind: Kind
    public var profile: TextProfile
    public var settings: LinkSettings
    public var receipts: ReceiptReader
    public var messageIDs: MessageIDRule
    /// Receipt error codes and CMPP stat words that mean the number itself is bad, upper case: `MK:0001`.
    public var condemningCodes: Set<String>
    public var reportsDelivery: Bool
    /// The sender of a dispatch that names none.
    public var defaultSender: String

    /// Messages of one part that may be on the wire at once. What is submitted beyond waits here, out of reach of a STOP.
    public var places: Int {
      switch kind {
      case .smpp(_, _, let binds): settings.window * max(1, binds.count)
      case .cmpp(_, _, let connections): settings.window * max(1, connections)
      case .kannel(let kannel): kannel.concurrency
      }
    }

    public init(
      name: String, weight: Int = 1, kind: Kind, profile: TextProfile = TextProfile(),
      settings: LinkSettings = LinkSettings(), receipts: ReceiptReader = ReceiptReader(),
      messageIDs: MessageIDRule = MessageIDRule(), condemningCodes: Set<String> = ["MK:0000", "MK:0001"],
      reportsDelivery: Bool = true, defaultSender: String = ""
    ) {
      self.name = name
      self.weight = weight
      self.kind = kind
      self.profile = profile
      self.settings = settings
      self.receipts = receipts
      self.messageIDs = messageIDs
      self.condemningCodes = condemningCodes
      self.reportsDelivery = reportsDelivery
      self.defaultSender = defaultSender
    }
  }

  public var links: [Link]
  public var numbers: NumberPlan
  public var keywords: KeywordTable
  /// After this a long message is given out without its missing parts.
  public var partTimeLimit: Duration
  /// How long the answer to a part is held back for the rest of its message; then the part is kept by itself, so that a
  /// peer that sends one at a time goes on.
  public var partHold: Duration
  /// Secret path component of the HTTP callbacks; empty: none are taken.
  public var callbackSecret: String
  /// Addresses or IPv4 networks the callbacks may come from; empty: any.
  public var callbackSources: [String]
  public var submissionsPerSecond: Int?

  public init(
    links: [Link], numbers: NumberPlan = .china, keywords: KeywordTable = KeywordTable(),
    partTimeLimit: Duration = .seconds(1_800), partHold: Duration = .seconds(3), callbackSecret: String = "",
    callbackSources: [String] = [], submissionsPerSecond: Int? = nil
  ) {
    self.links = links
    self.numbers = numbers
    self.keywords = keywords
    self.partTimeLimit = partTimeLimit
    self.partHold = partHold
    self.callbackSecret = callbackSecret
    self.callbackSources = callbackSources
    self.submissionsPerSecond = submissionsPerSecond
  }
}

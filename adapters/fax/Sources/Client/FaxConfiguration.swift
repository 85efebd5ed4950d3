import Channels

/// Everything an operator decides about the fax channel.
public struct FaxConfiguration: Sendable {
  public var channel: ContactChannel
  public var servers: [FaxServer]
  public var plan = NumberPlan(areaCode: "10")
  /// What the CallIDPattern lines of the modems mean.
  public var callIDs = CallIDOrder.standard
  /// Of what lists show of a received fax.
  public var language = Language.zh
  public enum Language: String, Hashable, Sendable, CaseIterable { case zh, en }
  /// What our own numbers are for, by their canonical form.
  public var lines: [String: FaxLine] = [:]
  /// How a number is dialled; the first that fits.
  public var dialRules: [DialRule] = []
  /// Whether what bears this wire key is durable already, so that it need not be fetched and read again after a
  /// restart. Nil: everything in the queues is offered again and recognised then.
  public var isKept: (@Sendable (String) async -> Bool)?
  /// Largest fax taken from recvq.
  public var maximumBytes = 16 << 20
  /// How often the queues are looked at without an event.
  public var sweepInterval = Duration.seconds(60)
  /// How long a received fax waits for the word of hook or journal about how it ended; then it is offered without.
  public var receiveGrace = Duration.seconds(10)
  /// Delete from recvq what is durable here. Needs administrator rights; faxcron does it otherwise.
  public var deleteReceived = false
  /// Previews, at most for so many pages.
  public var previewPages = 50
  /// Nil: faxes are not read as text.
  public var recognition: TextRecognition?
  public var documents = OutboundDocument.Settings()
  /// Calls, and calls that connected, per submission. Liaison repeats by itself.
  public var dials = 1
  public var tries = 1
  /// When the dispatch has no end of its own.
  public var lifetime = Duration.seconds(3 * 3_600)
  /// How long the servers keep ended jobs in doneq at least (faxqclean; Debian: hourly, jobs older than 15 minutes).
  public var doneRetention = Duration.seconds(900)
  /// How young a dispatch must be for "not in any queue" to mean "not yet": a dead connection's last command may still
  /// be on its way.
  public var settleDelay = Duration.seconds(30)

  public init(channel: ContactChannel, servers: [FaxServer]) {
    self.channel = channel
    self.servers = servers
  }
}

/// What one of our fax numbers is for: the strongest that is known of a fax (specs/fax.md §8).
public struct FaxLine: Hashable, Sendable {
  /// The category of what arrives on it; nil leaves it to classification.
  public var category: String?
  /// The customer to whom alone this number was given; nil for a number of everybody.
  public var customerNo: String?

  public init(category: String? = nil, customerNo: String? = nil) {
    self.category = category
    self.customerNo = customerNo
  }
}

/// How a number is dialled from the server's exchange: what replaces its beginning. `+8610` → nothing for local calls.
///
/// HylaFAX has rules of its own (DialStringRules), which apply to what this leaves.
public struct DialRule: Hashable, Sendable {
  public var prefix: String
  public var replacement: String

  /// Reads `PREFIX=REPLACEMENT`; nil if either holds anything but digits and a leading `+`.
  public init?(_ text: String) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else { return nil }
    for part in parts {
      let digits = part.hasPrefix("+") ? part.dropFirst() : part
      guard digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    }
    prefix = String(parts[0])
    replacement = String(parts[1])
  }

  /// `number` as the first rule that fits makes it; unchanged if none does.
  static func apply(_ rules: [DialRule], to number: String) -> String {
    guard let rule = rules.first(where: { number.hasPrefix($0.prefix) }) else { return number }
    return rule.replacement + number.dropFirst(rule.prefix.count)
  }
}

import Channels

/// Everything an operator decides about the fax channel.
public struct FaxConfiguration: Sendable {
  public var channel: ContactChannel
  public var servers: [FaxServer]
  public var plan = NumberPlan(areaCode: "10")
  /// What the CallIDPattern lines of the modems mean.
  public var callIDs = CallIDOrder.standard
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

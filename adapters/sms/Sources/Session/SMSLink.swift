import Channels

/// One way to the mobile network among several behind one channel: an SMSC, a gateway, a Kannel.
protocol SMSLink: Sendable {
  var name: String { get }
  /// Share of the traffic among links that are up; 0 is used only when no other is.
  var weight: Int { get }
  var reportsDelivery: Bool { get }
  var answersQueries: Bool { get }
  /// How its message ids compare.
  var idRule: MessageIDRule { get }
  var status: LinkStatus { get }

  /// Serves the link until drained or cancelled.
  func run(sink: @escaping @Sendable (LinkArrival) -> Void) async
  func submit(_ dispatch: Dispatch, to: Address, from: Address?) async -> LinkSubmission
  /// What became of one part, by the peer's id for it as it gave it.
  func query(messageID: String) async -> DeliveryReport.State?
  func beginDrain()
}

struct LinkStatus: Sendable, Hashable {
  enum State: Sendable, Hashable { case up, degraded, down }
  var state: State
  var since: Timestamp
  var text: String?
}

/// What a link brings; `answer` tells the peer, once, what became of it.
struct LinkArrival: Sendable {
  enum Content: Sendable {
    case reading(InboundReading)
    /// The answer to a part that was in doubt.
    case late(wireIdentity: String, part: Int, PartAnswer)
  }
  var link: String
  var content: Content
  var frame: [UInt8]
  var receivedAt: Timestamp
  var names = InboundNames()
  var answer: @Sendable (LinkAnswer) -> Void
}

/// What a wire says of an inbound PDU besides its content.
struct InboundNames: Sendable {
  /// The peer's own id for it, scoped to the link.
  var wireKey: String?
  /// user_message_reference, of a receipt.
  var reference: UInt16?
  /// Since when the peer has had it.
  var since: Timestamp?
  /// It came soon after a session began, and has no id of the peer's: it may be one whose answer was lost.
  var mayRepeat = false
}

/// What one link made of a dispatch.
struct LinkSubmission: Sendable {
  var submission: Submission
  /// The peer's ids as it gave them, one a part, nil where it gave none or gave no answer.
  var ids: [String?]
  /// For matching a receipt when the answer was lost.
  var reference: UInt16?
  /// Parts whose answer is outstanding.
  var hasUnknown: Bool

  init(_ submission: Submission, ids: [String?] = [], reference: UInt16? = nil, hasUnknown: Bool = false) {
    self.submission = submission
    self.ids = ids
    self.reference = reference
    self.hasUnknown = hasUnknown
  }
}

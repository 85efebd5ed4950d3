/// One thing that reached the bank through a channel, as the wire gave it: what Intake is offered.
///
/// An adapter makes an arrival as soon as it has the whole of it and offers it before it answers the wire.
public struct Arrival: Sendable {
  public var channel: ContactChannel
  /// The peer's own identity of this arrival (mailbox+UIDVALIDITY+UID, SMSC message id, a form's submission token).
  /// The same key again on the same channel is the same arrival. Nil if the wire gives none: never invent one.
  public var wireKey: String?
  public var from: Address?
  public var to: Address?
  /// When the adapter had the whole of it.
  public var receivedAt: Timestamp
  /// Since when it lay at the peer, if the peer says; what lay there long is marked as late.
  public var waitingSince: Timestamp?
  public var payload: Payload
  /// Every byte as received; kept whatever becomes of the payload. Bounded by the adapter's size limit.
  public var raw: [UInt8]

  public init(
    channel: ContactChannel, wireKey: String?, from: Address?, to: Address?, receivedAt: Timestamp,
    waitingSince: Timestamp? = nil, payload: Payload, raw: [UInt8]
  ) {
    self.channel = channel
    self.wireKey = wireKey
    self.from = from
    self.to = to
    self.receivedAt = receivedAt
    self.waitingSince = waitingSince
    self.payload = payload
    self.raw = raw
  }

  public enum Payload: Sendable {
    case message(InboundMessage)
    case call(CallEvent)
    case presence(AgentPresence)
    case report(DeliveryReport)
    /// The adapter could not read it. Intake keeps it, quarantines it with this reason and answers as for any other.
    case unreadable(Unreadable)
  }

  public struct Unreadable: Hashable, Sendable, Codable {
    /// Bounded set of words fit for a metric label, for example `bad-mime`, `truncated`.
    public var code: String
    /// What is wrong and where, for the person who mends it.
    public var text: String
    public init(code: String, text: String) {
      self.code = code
      self.text = text
    }
  }
}

/// What became of an offered arrival; the adapter tells the wire accordingly. Returned only after the commit.
public enum Acceptance: Sendable, Hashable {
  /// Durable. 250, ESME_ROK, 202.
  case stored(ArrivalID)
  /// The wire repeated itself; the first one is durable. Answered like `stored`.
  case duplicate(of: ArrivalID)
  /// Not kept; the peer shall offer it again. 451, ESME_RMSGQFUL 0x14, 503 with Retry-After.
  case busy(retryAfter: Duration)
  /// Not kept and will never be: the peer shall not offer it again. 554, ESME_RX_P_APPN 0x65, 422. Ledgered.
  case refused(Refusal)
}

/// Why an arrival is not taken.
public struct Refusal: Hashable, Sendable, Codable {
  public enum Code: String, Hashable, Sendable, Codable, CaseIterable {
    case tooLarge = "too_large"
    case malformed
    case notPermitted = "not_permitted"
    case unknownRecipient = "unknown_recipient"
    case rateExceeded = "rate_exceeded"
    case loop
  }
  public var code: Code
  public var text: String
  public init(code: Code, text: String) {
    self.code = code
    self.text = text
  }
}

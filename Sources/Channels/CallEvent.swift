/// One change of one call, with the whole call as it stands after it: the payload of telephony.
///
/// Because each event carries the whole state, whoever keeps calls can apply events idempotently, and what
/// happened while the adapter was away is told by one event of change `.reconciled`.
/// Free of any switch's words, so that adapters for other switches give the same.
public struct CallEvent: Hashable, Sendable, Codable {
  public enum Change: String, Hashable, Sendable, Codable, CaseIterable {
    case began, identified, queued, offered
    case offerEnded = "offer_ended"
    case answered, held, resumed, consulting, transferred, conferenced, parked
    case partyChanged = "party_changed"
    case recordingChanged = "recording_changed"
    case ended
    /// Learned from a snapshot after a reconnection, not from a live event.
    case reconciled
  }
  public var change: Change
  /// The device concerned (`PJSIP/1001`), nil when the call as a whole is.
  public var device: String?
  public var at: Timestamp
  public var call: CallState

  public init(change: Change, device: String?, at: Timestamp, call: CallState) {
    self.change = change
    self.device = device
    self.at = at
    self.call = call
  }
}

/// A call between a customer and the bank, however many devices it passes.
public struct CallState: Hashable, Sendable, Codable {
  public enum Direction: String, Hashable, Sendable, Codable, CaseIterable { case inbound, outbound, `internal` }

  /// The switch that carries it; ids are unique only there and only until it restarts.
  public var server: String
  public var callID: String
  public var direction: Direction
  /// The customer's number; nil if withheld.
  public var caller: Address?
  public var callerName: String?
  /// The number of ours that was dialled.
  public var dialled: Address?
  /// Keyed by the customer or set by the dial plan; a claim, not proof.
  public var customerNo: String?
  public var queue: String?
  public var offers: [Offer]
  public var legs: [Leg]
  public var transfers: [Transfer]
  public var holds: [Hold]
  public var recordings: [Recording]
  /// Calls an agent made to a colleague about this one, whatever came of them.
  public var consultations: [Consultation]
  /// The order to originate that began it, as it was named when it was given; nil if none is known.
  public var job: String?
  /// The switch's own word on that order; nil if it gave none.
  public var jobReason: String?
  /// True if its beginning was not seen: it was found in a list of what exists.
  public var isFromSnapshot: Bool
  /// The call this one turned out to be part of, once it has ended as `merged` (a consultation after the transfer).
  public var mergedInto: String?
  /// `answered`, `abandoned`, `cancelled`, `busy`, `no-answer`, … nil while the call lives.
  public var disposition: String?
  /// `caller`, `agent`, `customer`, `network`; nil while it lives or when unknown.
  public var endedBy: String?
  public var created: Timestamp
  public var queued: Timestamp?
  public var connected: Timestamp?
  public var ended: Timestamp?
  /// Key/value facts of the dial plan worth keeping, in the order they appeared.
  public var variables: [InboundMessage.Property]

  /// `callID` is written so that it also reads back from snake case.
  private enum CodingKeys: String, CodingKey {
    case server
    case callID = "callId"
    case direction, caller, callerName, dialled, customerNo, queue, offers, legs, transfers, holds, recordings
    case consultations, job, jobReason, isFromSnapshot, mergedInto, disposition, endedBy, created, queued, connected
    case ended
    case variables
  }

  public init(
    server: String, callID: String, direction: Direction, caller: Address? = nil, callerName: String? = nil,
    dialled: Address? = nil, customerNo: String? = nil, queue: String? = nil, offers: [Offer] = [], legs: [Leg] = [],
    transfers: [Transfer] = [], holds: [Hold] = [], recordings: [Recording] = [], consultations: [Consultation] = [],
    job: String? = nil, jobReason: String? = nil, isFromSnapshot: Bool = false, mergedInto: String? = nil,
    disposition: String? = nil, endedBy: String? = nil, created: Timestamp, queued: Timestamp? = nil,
    connected: Timestamp? = nil,
    ended: Timestamp? = nil, variables: [InboundMessage.Property] = []
  ) {
    self.server = server
    self.callID = callID
    self.direction = direction
    self.caller = caller
    self.callerName = callerName
    self.dialled = dialled
    self.customerNo = customerNo
    self.queue = queue
    self.offers = offers
    self.legs = legs
    self.transfers = transfers
    self.holds = holds
    self.recordings = recordings
    self.consultations = consultations
    self.job = job
    self.jobReason = jobReason
    self.isFromSnapshot = isFromSnapshot
    self.mergedInto = mergedInto
    self.disposition = disposition
    self.endedBy = endedBy
    self.created = created
    self.queued = queued
    self.connected = connected
    self.ended = ended
    self.variables = variables
  }

  public struct Offer: Hashable, Sendable, Codable {
    public var device: String
    public var at: Timestamp
    public var ended: Timestamp?
    /// `answered`, `ring-no-answer`, `busy`, `declined`, `unavailable`, `lost-race`, `caller-gone`; nil while it rings.
    public var outcome: String?
    public init(device: String, at: Timestamp, ended: Timestamp? = nil, outcome: String? = nil) {
      self.device = device
      self.at = at
      self.ended = ended
      self.outcome = outcome
    }
  }

  public struct Leg: Hashable, Sendable, Codable {
    public enum State: String, Hashable, Sendable, Codable, CaseIterable {
      case ringing, talking, held, consult, conference
      case wrapUp = "wrap_up"
    }
    public var device: String
    public var state: State
    public var from: Timestamp
    public var to: Timestamp?
    public init(device: String, state: State, from: Timestamp, to: Timestamp? = nil) {
      self.device = device
      self.state = state
      self.from = from
      self.to = to
    }
  }

  public struct Transfer: Hashable, Sendable, Codable {
    /// `blind` or `attended`.
    public var type: String
    public var by: String
    public var to: String
    public var at: Timestamp
    public init(type: String, by: String, to: String, at: Timestamp) {
      self.type = type
      self.by = by
      self.to = to
      self.at = at
    }
  }

  public struct Consultation: Hashable, Sendable, Codable {
    /// The device that asked.
    public var by: String
    /// The number it dialled.
    public var to: String
    /// The device that was rung.
    public var device: String
    public var at: Timestamp
    public var ended: Timestamp?
    public init(by: String, to: String, device: String, at: Timestamp, ended: Timestamp? = nil) {
      self.by = by
      self.to = to
      self.device = device
      self.at = at
      self.ended = ended
    }
  }

  public struct Hold: Hashable, Sendable, Codable {
    /// `agent` or `caller`.
    public var by: String
    public var from: Timestamp
    public var to: Timestamp?
    public init(by: String, from: Timestamp, to: Timestamp? = nil) {
      self.by = by
      self.from = from
      self.to = to
    }
  }

  public struct Recording: Hashable, Sendable, Codable {
    public var reference: String
    public var from: Timestamp
    public var to: Timestamp?
    public var muted: Bool
    public init(reference: String, from: Timestamp, to: Timestamp? = nil, muted: Bool = false) {
      self.reference = reference
      self.from = from
      self.to = to
      self.muted = muted
    }
  }
}

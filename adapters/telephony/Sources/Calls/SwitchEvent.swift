import Channels

/// What a switch tells about its calls, in no switch's words: the input of `CallBook`.
///
/// An interpreter per switch turns its wire into these, in the order of arrival. They may be incomplete (a login that
/// sees only some classes of events), repeated (a list beside live events) or late; `CallBook` must cope.
public enum SwitchEvent: Hashable, Sendable {
  /// A leg exists; also sent again when something about it changed.
  case leg(LegFacts)
  /// `leg` goes on under the name and the line of `from`, which is only a shell from now on (masquerade, pickup).
  case legReplaced(leg: LegID, from: LegID)
  case legEnded(LegID, cause: Int?)
  /// The leg's own end asked to hang up; `cause` if it gave one.
  case hangupAsked(LegID, cause: Int?)

  /// Two halves of one relay leg (a channel that only connects a dial plan with a device).
  case relayJoined(LegID, LegID)
  case dialling(from: LegID?, to: LegID, number: String?)
  case dialEnded(LegID, DialResult)

  case bridgeEntered(String, LegID, swapping: LegID?, waiting: Bool)
  case bridgeLeft(String, LegID)
  case bridgeMerged(from: String, into: String)
  case bridgeEnded(String)

  case queueJoined(LegID, queue: String)
  case queueLeft(LegID, queue: String)
  /// Found in a list: the leg was put into this queue some time ago and may wait there or not any more.
  case queueFound(LegID, queue: String)
  /// Found in a list: the leg is in no bridge.
  case bridgeFoundEmpty(LegID)
  case held(LegID)
  case resumed(LegID)
  case blindTransfer(by: LegID, of: LegID?, to: String)
  case attendedTransfer(AttendedTransferFacts)
  case pickedUp(by: LegID, target: LegID)
  case parked(LegID, space: String)
  case unparked(LegID, by: LegID?)
  case conferenceJoined(LegID, room: String)
  /// A supervisor's leg listens to `target`; it belongs to no customer's call.
  case spying(LegID, target: LegID?)

  case customerNumber(LegID, String)
  case dialledNumber(LegID, String)
  case variable(LegID, name: String, value: String)
  case recordingStarted(LegID, reference: String?)
  case recordingStopped(LegID)
  case recordingMuted(LegID, Bool)

  /// The result of an order to originate. `callID` is nil when the switch never made a leg for it. `beginsCall` is false
  /// when it only rang somebody for a call that is there, a supervisor or a colleague for a conference.
  case jobEnded(job: String, callID: String?, beginsCall: Bool = true, succeeded: Bool, reason: String?)

  /// The switch begins to list what exists; legs known before and not listed until the end are gone.
  case snapshotBegan
  case snapshotEnded
  /// The switch has been started anew: whatever it carried is gone.
  case restarted
}

/// A leg's identity: unique on one switch until that restarts.
public struct LegID: Hashable, Sendable, CustomStringConvertible {
  public let text: String
  public init(_ text: String) { self.text = text }
  public var description: String { text }
}

/// What a leg ends at.
public struct LegDevice: Hashable, Sendable {
  public enum Kind: Hashable, Sendable {
    /// A person of the bank.
    case station
    /// The public network: customers, and other people outside.
    case trunk
    /// One half of a relay; both halves have the same pair name.
    case relay(pair: String, half: Int)
    /// The switch itself: announcements, recorders, snoops. Never part of a call's state.
    case service
  }
  public var kind: Kind
  /// As agents are known by: `PJSIP/1001`.
  public var name: String
  /// The part a person would dial: `1001`.
  public var number: String
  public init(kind: Kind, name: String, number: String) {
    self.kind = kind
    self.name = name
    self.number = number
  }
  var isRelay: Bool { if case .relay = kind { true } else { false } }
}

public struct LegFacts: Hashable, Sendable {
  public enum Origin: Hashable, Sendable {
    /// The device called the switch.
    case incoming
    /// The switch calls the device.
    case outgoing
  }
  public var id: LegID
  public var device: LegDevice
  /// The call the switch counts it to; changes in a leg's life (specs/telephony.md §5, trap 1).
  public var conversation: String
  /// Nil if not known, as in a list of what exists.
  public var origin: Origin?
  public var isUp: Bool
  public var isRinging: Bool
  public var number: String?
  public var name: String?
  /// The number the leg called when it came in.
  public var dialled: String?
  /// When it came to be, if that was before the event that tells of it.
  public var since: Timestamp?

  public init(
    id: LegID, device: LegDevice, conversation: String, origin: Origin? = nil, isUp: Bool = false,
    isRinging: Bool = false, number: String? = nil, name: String? = nil, dialled: String? = nil,
    since: Timestamp? = nil
  ) {
    self.id = id
    self.device = device
    self.conversation = conversation
    self.origin = origin
    self.isUp = isUp
    self.isRinging = isRinging
    self.number = number
    self.name = name
    self.dialled = dialled
    self.since = since
  }
}

public enum DialResult: Hashable, Sendable {
  case answered, busy, noAnswer, cancelled, congestion, unavailable
}

/// An attended transfer that has happened: the switch has already moved the legs.
public struct AttendedTransferFacts: Hashable, Sendable {
  /// The transferring device's leg to the customer.
  public var first: LegID
  /// Its leg to the one consulted; the same as `first` where one leg did both.
  public var second: LegID?
  public var transferee: LegID?
  public var target: LegID?
  /// The target's number as the switch shows it.
  public var targetNumber: String?
  public init(first: LegID, second: LegID?, transferee: LegID?, target: LegID?, targetNumber: String?) {
    self.first = first
    self.second = second
    self.transferee = transferee
    self.target = target
    self.targetNumber = targetNumber
  }
}

/// ITU-T Q.850 causes the state machine tells apart.
public enum HangupCause {
  public static let unallocated = 1
  public static let normal = 16
  public static let busy = 17
  public static let noUserResponse = 18
  public static let noAnswer = 19
  public static let subscriberAbsent = 20
  public static let rejected = 21
  public static let answeredElsewhere = 26
}

import Channels

/// Which calls one switch carries and what state each is in: a pure state machine over `SwitchEvent`.
///
/// A call is named by the leg that started it and keeps that name whatever the switch renumbers later; a leg belongs
/// to the call in which it was born until it shares a bridge with another call's customer, is transferred, picked
/// up or fetched from a parking place into that one: then the call without a customer of its own dissolves into the
/// one that has him. An agent talks to the customer when their legs are in one bridge, or in bridges joined by relay
/// legs; that, not any answer event, is what "connected" means here. Facts about the customer come from the
/// customer's leg, never from an agent's (specs/telephony.md §5, traps 1–4).
///
/// Each change gives one `CallEvent` with the whole call. Calls that are nobody's business (an agent consulting a
/// colleague, a supervisor listening) give none of their own. While the switch lists what exists, nothing is given;
/// at its end every living call is told once as `.reconciled`, and every one that ended meanwhile too.
///
/// No clock, no I/O. Bounded by what the switch carries at once and by `Limits`.
public struct CallBook: Sendable {
  public struct Limits: Sendable {
    /// Offers kept of one call; the oldest that have ended go first.
    public var offers: Int
    /// Ended calls and legs remembered to recognise latecomers.
    public var remembered: Int
    /// Legs at one time; further ones are not followed.
    public var legs: Int
    public init(offers: Int = 200, remembered: Int = 4_096, legs: Int = 200_000) {
      self.offers = offers
      self.remembered = remembered
      self.legs = legs
    }
  }

  struct Leg: Sendable {
    let id: LegID
    var device: LegDevice
    var call: String?
    var origin: LegFacts.Origin?
    var isUp: Bool
    var number: String?
    var dialled: String?
    var bridge: String?
    /// The other half of a relay.
    var partner: LegID?
    var dialledBy: LegID?
    /// Of a relay: the device last dialled through it.
    var behind: String?
    /// What was dialled to reach it.
    var dialString: String?
    var askedCause: Int?
    var hasAskedHangup = false
    /// The device while this leg's offer is open.
    var offered: String?
    var dialEnded = false
    /// Its name has gone to another leg; what remains is hung up soon.
    var isShell = false
    var isHolding = false
    /// Listens in, sits in a conference of its own, or the like: not a party of any call.
    var isAside = false
    var born: Timestamp
    var snapshot = 0
  }

  struct Call: Sendable {
    var state: CallState
    var legs: [LegID] = []
    /// The leg that started the call, while it lives.
    var root: LegID?
    /// The customer's leg; of an internal call the caller's.
    var party: LegID?
    /// True when `party` is someone of the public network.
    var hasCustomer = false
    var isOriginated = false
    var isAnnounced = false
    /// An agent's second call beside the one named here: told there as a consultation, not on its own.
    var consultationOf: String?
    /// Legs that talk to the party now.
    var talking: [LegID] = []
    var hangup: HangupSide?
    /// The leg whose wish `hangup` is.
    var hangupLeg: LegID?
    var lastDial: DialResult?
    var partyCause: Int?
    var partyRefused = false
    var partyWasUp = false
    var aliases: [String] = []
    var machineAnswered = false
    var recordingReference: [LegID: String] = [:]
    /// Open recordings by leg: indexes into state.recordings.
    var recordings: [LegID: [Int]] = [:]
    /// The agent's leg that a command has sent away from the customer to hold him: leaving the bridge is then no end of
    /// the talk.
    var heldByCommand: LegID?
    /// Known from an earlier run or connection and not seen in a list since.
    var isUnconfirmed = false
    /// Told at the end of a list.
    var isStale = false
  }

  enum HangupSide: Sendable { case party, agent }

  struct Bridge: Sendable {
    var members: [LegID] = []
    /// A place to wait in (parking, hold): its members do not hear one another.
    var waiting = false
  }

  public let server: String
  let limits: Limits
  /// Of the public network.
  let numbering: NumberPlan
  var legs: [LegID: Leg] = [:]
  var calls: [String: Call] = [:]
  var bridges: [String: Bridge] = [:]
  /// Names of calls that were dissolved into others.
  var links: [String: String] = [:]
  /// Legs of each station, to see a device's second call.
  var stationLegs: [String: [LegID]] = [:]
  /// First half seen of relays whose other half has not come yet.
  var lonelyHalves: [String: LegID] = [:]
  var endedCalls: RecentNames
  var endedLegs: RecentNames
  /// Ended calls that an order to originate began: its result may come later than the hang-up.
  var endedJobs: [String: CallState] = [:]
  var endedJobOrder: [String] = []
  var isListing = false
  var listing = 0
  /// Calls that ended unseen, to be told when the list is complete.
  var closedInGap: [CallState] = []
  var now = Timestamp(microseconds: 0)
  var out: [CallEvent] = []

  public init(server: String, numbering: NumberPlan = .china, limits: Limits = Limits()) {
    self.server = server
    self.numbering = numbering
    self.limits = limits
    endedCalls = RecentNames(capacity: limits.remembered)
    endedLegs = RecentNames(capacity: limits.remembered)
  }

  /// A living call with the telephones of ours that have a living leg in it.
  public func live(_ name: String) -> LiveCall? {
    call(named: name).flatMap { calls[$0] }.map(live)
  }
  /// Those that were told of, with their telephones.
  public var live: [LiveCall] { calls.values.filter(\.isAnnounced).map(live) }

  private func live(_ entry: Call) -> LiveCall {
    var devices: [String] = []
    for id in entry.legs {
      guard let leg = legs[id], leg.device.kind == .station, !leg.isShell, !leg.isAside else { continue }
      if !devices.contains(leg.device.name) { devices.append(leg.device.name) }
    }
    return LiveCall(state: entry.state, devices: devices)
  }

  /// Calls that live now, announced or not.
  public var liveCalls: [CallState] { calls.values.map(\.state) }
  public var legCount: Int { legs.count }

  /// True of calls that live, and of those that ended not long ago.
  public func hasHeard(of name: String) -> Bool { call(named: name) != nil || endedCalls.contains(name) }

  /// The customer's leg of a living call; of an internal call the caller's.
  public func partyLeg(of name: String) -> LegID? {
    guard let call = call(named: name), let party = calls[call]?.party, legs[party] != nil else { return nil }
    return party
  }

  /// The leg by which this device takes part in a living call.
  public func leg(of device: String, in name: String) -> LegID? {
    guard let call = call(named: name), let entry = calls[call] else { return nil }
    let own = { (id: LegID) in legs[id]?.device.name == device && legs[id]?.isShell == false }
    return entry.talking.last(where: own) ?? entry.legs.last(where: own)
  }

  /// A command to hold is on its way: when the agent's leg leaves the customer's bridge, that is the hold. `false` takes
  /// it back.
  public mutating func expectHold(of device: String, in name: String, _ isExpected: Bool = true) {
    guard let call = call(named: name) else { return }
    if isExpected {
      let held = leg(of: device, in: name)
      calls[call]?.heldByCommand = held
    } else if let id = calls[call]?.heldByCommand, legs[id]?.isHolding == false {
      calls[call]?.heldByCommand = nil
    }
  }

  /// Applies one event and gives what changed, in order.
  public mutating func apply(_ event: SwitchEvent, at time: Timestamp) -> [CallEvent] {
    now = time
    switch event {
    case .leg(let facts): note(facts)
    case .legReplaced(let leg, let from): replace(from, by: leg)
    case .legEnded(let id, let cause): endLeg(id, cause: cause)
    case .hangupAsked(let id, let cause): askHangup(id, cause: cause)
    case .relayJoined(let one, let two): joinRelay(one, two)
    case .dialling(let from, let to, let number): dial(from: from, to: to, number: number)
    case .dialEnded(let to, let result): endDial(to, result)
    case .bridgeEntered(let bridge, let leg, let swapped, let waiting):
      enter(bridge, leg, swapping: swapped, waiting: waiting)
    case .bridgeLeft(let bridge, let leg): leave(bridge, leg)
    case .bridgeMerged(let from, let into): merge(bridge: from, into: into)
    case .bridgeEnded(let bridge): endBridge(bridge)
    case .queueJoined(let leg, let queue): joinQueue(leg, queue)
    case .queueLeft: break
    case .queueFound(let leg, let queue): noteQueue(leg, queue)
    case .bridgeFoundEmpty(let leg):
      if let bridge = legs[leg]?.bridge { leave(bridge, leg) }
    case .held(let leg): hold(leg)
    case .resumed(let leg): resume(leg)
    case .blindTransfer(let by, let of, let to): transferBlind(by: by, of: of, to: to)
    case .attendedTransfer(let facts): transferAttended(facts)
    case .pickedUp(let by, let target): pickUp(by: by, target: target)
    case .parked(let leg, _): park(leg)
    case .unparked(let leg, let by): unpark(leg, by: by)
    case .conferenceJoined(let leg, _): joinConference(leg)
    case .spying(let leg, _): setAside(leg)
    case .customerNumber(let leg, let number): identify(leg, number)
    case .dialledNumber(let leg, let number): noteDialled(leg, number)
    case .variable(let leg, let name, let value): noteVariable(leg, name, value)
    case .recordingStarted(let leg, let reference): startRecording(leg, reference)
    case .recordingStopped(let leg): stopRecording(leg)
    case .recordingMuted(let leg, let muted): muteRecording(leg, muted)
    case .jobEnded(let job, let callID, let beginsCall, let succeeded, let reason):
      endJob(job, callID: callID, beginsCall: beginsCall, succeeded: succeeded, reason: reason)
    case .snapshotBegan: beginListing()
    case .snapshotEnded: endListing()
    case .restarted: closeAll()
    }
    defer { out.removeAll(keepingCapacity: true) }
    return out
  }

  /// Tells that `call` changed. Nothing is told of calls not announced, nor while the switch lists.
  mutating func tell(_ change: CallEvent.Change, of call: String, device: String? = nil) {
    guard let entry = calls[call], entry.isAnnounced else { return }
    if isListing {
      calls[call]?.isStale = true
    } else {
      out.append(CallEvent(change: change, device: device, at: now, call: entry.state))
    }
  }

  /// From here on the call is somebody's business.
  mutating func announce(_ call: String) {
    guard let entry = calls[call], !entry.isAnnounced else { return }
    calls[call]?.isAnnounced = true
    tell(.began, of: call)
  }

  func isKnown(_ id: LegID) -> Bool { legs[id] != nil }
  func isBridged(_ id: LegID) -> Bool { legs[id]?.bridge != nil }
}

/// The last so many names, to recognise what comes after the end.
struct RecentNames: Sendable {
  private var names: Set<String> = []
  private var order: [String] = []
  private var next = 0
  private let capacity: Int

  init(capacity: Int) { self.capacity = max(1, capacity) }

  func contains(_ name: String) -> Bool { names.contains(name) }

  mutating func insert(_ name: String) {
    guard names.insert(name).inserted else { return }
    if order.count < capacity {
      order.append(name)
    } else {
      names.remove(order[next])
      order[next] = name
      next = (next + 1) % capacity
    }
  }

  mutating func removeAll() {
    names.removeAll()
    order.removeAll()
    next = 0
  }
}

import Channels

/// What comes of one message of the manager interface.
public enum TelephonyUpdate: Hashable, Sendable {
  case call(CallEvent)
  case presence(AgentPresence)
}

/// Turns the messages of one Asterisk into events of `CallBook`, in the order of their arrival.
///
/// Time is the message's own `Timestamp` where it has one (`timestampevents = yes`), else the time given, else that
/// of the message before: lists have none. It is never used for order (trap 15). Nothing is taken from Cdr (trap 11)
/// or from the queue statistics in AgentComplete (traps 8, 9, 21).
/// Source: specs/telephony.md §4; Asterisk main/manager*.c, apps/app_queue.c, res/parking/parking_manager.c.
public struct AsteriskInterpreter: Sendable {
  public struct Settings: Sendable, Hashable {
    public var rules: ChannelName.Rules
    /// Inherited channel variables, without leading underscores, as listed in manager.conf's `channelvars`.
    public var customerVariable: String
    public var dialledVariable: String
    /// Variables kept with the call.
    public var keptVariables: [String]
    /// The dial plan's UserEvent that tells the customer's number, in its header `CustomerNo`.
    public var customerEvent: String
    /// How numbers of the public network are read.
    public var numbering: NumberPlan
    public init(
      rules: ChannelName.Rules = ChannelName.Rules(), customerVariable: String = "CUSTOMER_NO",
      dialledVariable: String = "LIAISON_DID", keptVariables: [String] = [],
      customerEvent: String = "CustomerIdentified", numbering: NumberPlan = .china
    ) {
      self.rules = rules
      self.customerVariable = customerVariable
      self.dialledVariable = dialledVariable
      self.keptVariables = keptVariables
      self.customerEvent = customerEvent
      self.numbering = numbering
    }
  }

  public private(set) var book: CallBook
  /// The latest time seen.
  public private(set) var time = Timestamp(microseconds: 0)
  let settings: Settings
  private var roster: AsteriskRoster
  private var updates: [TelephonyUpdate] = []
  /// Channels in the middle of a masquerade, by the name they gave away.
  private var givenAway: [String: LegID] = [:]
  /// The file a recording about to start on this channel will have.
  var recordingFiles: [LegID: String] = [:]
  /// Orders that the switch refused after trying, without naming the channel.
  private var refusedJobs: [String] = []
  /// What the last `FullyBooted` said, and the first time known after it.
  var uptime: (seconds: Int64, at: Timestamp?)?

  public init(server: String, settings: Settings = Settings(), limits: CallBook.Limits = CallBook.Limits()) {
    self.settings = settings
    book = CallBook(server: server, numbering: settings.numbering, limits: limits)
    roster = AsteriskRoster(server: server)
  }

  public mutating func restore(_ states: [CallState]) { book.restore(states) }

  /// See `CallBook.expectHold`.
  public mutating func expectHold(of device: String, in call: String, _ isExpected: Bool = true) {
    book.expectHold(of: device, in: call, isExpected)
  }

  /// Takes one message; `arrived` is used where the message has no time of its own.
  public mutating func interpret(_ message: AMIMessage, arrived: Timestamp? = nil) -> [TelephonyUpdate] {
    switch message.kind {
    case .event:
      guard let event = AsteriskEvent(message.name) else { return [] }
      if let micros = message.first("Timestamp")?.microseconds {
        time = Timestamp(microseconds: micros)
      } else if let arrived {
        time = arrived
      }
      if uptime != nil, uptime?.at == nil, event != .fullyBooted, time.microseconds > 0 { uptime?.at = time }
      take(event, message)
    case .response:
      if let arrived { time = arrived }
      takeResponse(message)
    case .other:
      return []
    }
    defer { updates.removeAll(keepingCapacity: true) }
    return updates
  }

  /// Nothing more will come: orders that were refused without a channel are told as failed.
  public mutating func finish() -> [TelephonyUpdate] {
    for job in refusedJobs { apply(.jobEnded(job: job, callID: nil, succeeded: false, reason: nil)) }
    refusedJobs.removeAll()
    defer { updates.removeAll() }
    return updates
  }

  /// The switch was restarted while nobody was connected: as `FullyBooted` tells, or as a peer knows.
  public mutating func restarted() -> [TelephonyUpdate] {
    apply(.restarted)
    defer { updates.removeAll() }
    return updates
  }

  mutating func apply(_ event: SwitchEvent) {
    for change in book.apply(event, at: time) {
      var change = change
      if change.change == .ended, change.call.job == nil, change.call.direction == .outbound, !refusedJobs.isEmpty {
        change.call.job = refusedJobs.removeFirst()
      }
      updates.append(.call(change))
    }
  }

  // MARK: Events

  private mutating func take(_ event: AsteriskEvent, _ message: AMIMessage) {
    switch event {
    case .newchannel:
      if let facts = facts(message, "", isNew: true) { apply(.leg(facts)) }
      noteVariables(message, "")
    case .newstate, .newCallerid:
      if let facts = facts(message, "", isNew: false) { apply(.leg(facts)) }
      noteVariables(message, "")
    case .rename: rename(message)
    case .hangup:
      guard let id = leg(message, "") else { return }
      recordingFiles[id] = nil
      apply(.legEnded(id, cause: cause(message)))
    case .hangupRequest:
      guard let id = known(message, "") else { return }
      apply(.hangupAsked(id, cause: cause(message)))
    case .localBridge:
      guard let one = known(message, "LocalOne"), let two = known(message, "LocalTwo") else { return }
      apply(.relayJoined(one, two))
    case .agentCalled, .dialBegin:
      let from = known(message, "")
      guard let to = known(message, "Dest") else { return }
      noteVariables(message, "")
      noteVariables(message, "Dest")
      apply(.dialling(from: from, to: to, number: (message.first("DialString") ?? message.first("Interface"))?.text))
    case .dialEnd:
      guard let to = known(message, "Dest"), let status = message.first("DialStatus") else { return }
      noteVariables(message, "")
      apply(.dialEnded(to, DialResult(asterisk: status)))
    case .agentRingNoAnswer:
      guard let to = known(message, "Dest") else { return }
      apply(.dialEnded(to, .noAnswer))
    case .agentConnect:
      guard let to = known(message, "Dest") else { return }
      apply(.dialEnded(to, .answered))
    case .queueCallerJoin:
      guard let id = known(message, ""), let queue = message.first("Queue") else { return }
      noteVariables(message, "")
      apply(.queueJoined(id, queue: queue.text))
    case .queueCallerLeave:
      guard let id = known(message, ""), let queue = message.first("Queue") else { return }
      apply(.queueLeft(id, queue: queue.text))
    case .bridgeEnter:
      guard let id = known(message, ""), let bridge = message.first("BridgeUniqueid") else { return }
      noteVariables(message, "")
      apply(
        .bridgeEntered(
          bridge.text, id, swapping: message.first("SwapUniqueid")?.known.map(LegID.init),
          waiting: message.first("BridgeTechnology").map { $0 == "holding_bridge" } ?? false))
    case .bridgeLeave:
      guard let id = known(message, ""), let bridge = message.first("BridgeUniqueid") else { return }
      apply(.bridgeLeft(bridge.text, id))
    case .bridgeMerge:
      guard let from = message.first("FromBridgeUniqueid"), let into = message.first("ToBridgeUniqueid") else { return }
      apply(.bridgeMerged(from: from.text, into: into.text))
    case .bridgeDestroy:
      guard let bridge = message.first("BridgeUniqueid") else { return }
      apply(.bridgeEnded(bridge.text))
    case .hold:
      if let id = known(message, "") { apply(.held(id)) }
    case .unhold:
      if let id = known(message, "") { apply(.resumed(id)) }
    case .blindTransfer:
      guard message.first("Result").map({ $0 == "Success" }) ?? true, let by = known(message, "Transferer") else {
        return
      }
      let transferee = known(message, "Transferee")
      apply(.blindTransfer(by: by, of: transferee, to: message.first("Extension")?.text ?? ""))
    case .attendedTransfer: transferAttended(message)
    case .pickup:
      guard let by = known(message, ""), let target = known(message, "Target") else { return }
      apply(.pickedUp(by: by, target: target))
    case .parkedCall:
      guard let id = known(message, "Parkee") else { return }
      apply(.parked(id, space: message.first("ParkingSpace")?.text ?? ""))
    case .unParkedCall:
      guard let id = known(message, "Parkee") else { return }
      apply(.unparked(id, by: known(message, "Retriever")))
    case .confbridgeJoin:
      guard let id = known(message, "") else { return }
      apply(.conferenceJoined(id, room: message.first("Conference")?.text ?? ""))
    case .chanSpyStart:
      guard let id = known(message, "Spyer") else { return }
      apply(.spying(id, target: leg(message, "Spyee")))
    case .mixMonitorStart:
      guard let id = known(message, "") else { return }
      apply(.recordingStarted(id, reference: recordingFiles.removeValue(forKey: id)))
    case .mixMonitorStop:
      if let id = known(message, "") { apply(.recordingStopped(id)) }
    case .mixMonitorMute:
      guard let id = known(message, ""), let state = message.first("State") else { return }
      apply(.recordingMuted(id, state == "1"))
    case .varSet: noteVariable(message)
    case .userEvent:
      guard let name = message.first("UserEvent"), name.text == settings.customerEvent, let id = leg(message, ""),
        let number = message.first("CustomerNo")?.known
      else { return }
      apply(.customerNumber(id, number))
    case .originateResponse:
      guard let job = message.first("ActionID") else { return }
      let channel = message.first("Uniqueid")?.known
      apply(
        .jobEnded(
          job: job.text, callID: channel, beginsCall: !(channel.map(AsteriskOrders.joinsCall) ?? false),
          succeeded: message.first("Response").map { $0 == "Success" } ?? false,
          reason: message.first("Reason")?.text))
    case .status: takeListed(message, application: "Application", data: "Data", bridge: "BridgeID")
    case .coreShowChannel:
      takeListed(message, application: "Application", data: "ApplicationData", bridge: "BridgeId")
    case .queueEntry:
      guard let id = leg(message, ""), let queue = message.first("Queue") else { return }
      let wait = message.first("Wait")?.integer ?? 0
      let now = time
      time = now - .seconds(wait)
      apply(.queueJoined(id, queue: queue.text))
      time = now
    case .statusComplete: apply(.snapshotEnded)
    case .fullyBooted: boot(message)
    case .queueMember:
      if let presence = roster.note(message, event, at: time) { updates.append(.presence(presence)) }
    case .queueMemberRemoved:
      if let presence = roster.note(message, event, at: time) { updates.append(.presence(presence)) }
    }
  }

  private mutating func takeResponse(_ message: AMIMessage) {
    if message.name == "Error", let job = message.responseActionID,
      message.first("Message").map({ $0 == "Originate failed" }) ?? false
    {
      // A synchronous order: the channel's events come after this answer and do not name the order.
      if refusedJobs.count < 16 { refusedJobs.append(job.text) }
    } else if let text = message.first("Message"),
      text == "Channel status will follow" || text == "Channels will follow"
    {
      apply(.snapshotBegan)
    }
  }

  private func cause(_ message: AMIMessage) -> Int? { message.first("Cause")?.integer.map(Int.init) }

  // MARK: Channels

  func leg(_ message: AMIMessage, _ prefix: StaticString) -> LegID? {
    message.first(prefix, "Uniqueid")?.known.map(LegID.init)
  }

  /// The channel of this prefix; one never heard of is taken up as it is described here.
  private mutating func known(_ message: AMIMessage, _ prefix: StaticString) -> LegID? {
    guard let id = leg(message, prefix) else { return nil }
    if !book.isKnown(id), let facts = facts(message, prefix, isNew: false) { apply(.leg(facts)) }
    return id
  }

  private func facts(_ message: AMIMessage, _ prefix: StaticString, isNew: Bool) -> LegFacts? {
    guard let id = leg(message, prefix), let channel = message.first(prefix, "Channel")?.known else { return nil }
    let context = isNew ? message.first(prefix, "Context")?.known : nil
    let name = ChannelName(channel, context: context, rules: settings.rules)
    if name.isTransient { return nil }
    let state = message.first(prefix, "ChannelState")?.integer ?? 0
    let conversation = message.first(prefix, "Linkedid")?.known ?? id.text
    var facts = LegFacts(
      id: id, device: name.device, conversation: conversation, isUp: state == 6, isRinging: state == 5)
    facts.number = message.first(prefix, "CallerIDNum")?.known.flatMap { $0.lowercased() == "anonymous" ? nil : $0 }
    facts.name = message.first(prefix, "CallerIDName")?.unescaped
    if isNew {
      facts.origin = state == 0 ? .outgoing : .incoming
      if state != 0 { facts.dialled = message.first(prefix, "Exten")?.known }
    } else if name.device.kind == .trunk, conversation == id.text, !book.isKnown(id) {
      facts.origin = .incoming
    }
    return facts
  }

  /// Three renames make a masquerade: the giver `X` becomes `X<MASQ>`, the taker becomes `X`, the giver gets the
  /// taker's old name with `<ZOMBIE>` (main/channel.c, channel_do_masquerade).
  private mutating func rename(_ message: AMIMessage) {
    guard let id = leg(message, ""), let new = message.first("Newname")?.known else { return }
    if new.hasSuffix("<MASQ>") {
      if givenAway.count > 1_000 { givenAway.removeAll() }
      givenAway[String(new.dropLast(6))] = id
    } else if !new.hasSuffix("<ZOMBIE>"), let giver = givenAway.removeValue(forKey: new) {
      apply(.legReplaced(leg: id, from: giver))
    }
  }

  private mutating func transferAttended(_ message: AMIMessage) {
    guard message.first("Result").map({ $0 == "Success" }) ?? true, let first = known(message, "OrigTransferer") else {
      return
    }
    var number = message.first("TransferTargetCallerIDNum")?.known
    if let target = message.first("TransferTargetChannel")?.known {
      let name = ChannelName(target, context: nil, rules: settings.rules)
      if name.device.isRelay { number = name.device.number }
    }
    let second = known(message, "SecondTransferer")
    let transferee = known(message, "Transferee")
    let target = known(message, "TransferTarget")
    apply(
      .attendedTransfer(
        AttendedTransferFacts(
          first: first, second: second, transferee: transferee, target: target, targetNumber: number)))
  }
}

extension DialResult {
  init(asterisk status: AMIValue) {
    self =
      status == "ANSWER"
      ? .answered
      : status == "BUSY"
        ? .busy
        : status == "NOANSWER"
          ? .noAnswer
          : status == "CONGESTION"
            ? .congestion
            : status == "CHANUNAVAIL" ? .unavailable : .cancelled
  }
}

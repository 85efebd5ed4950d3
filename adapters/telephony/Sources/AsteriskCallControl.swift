import Channels
import Synchronization

/// Call control by manager actions. Channels are named by their Uniqueid, which every action takes for a name
/// (main/channel.c, ast_channel_get_by_name), so a channel renamed meanwhile is still the right one.
///
/// Source: Asterisk main/manager.c, res/res_mixmonitor, apps/app_queue.c; README.md "Call control" for what the dial
/// plan must have.
extension TelephonyAdapter: CallControl {
  public var servers: [String] { links.map(\.server.name) }

  public func callID(ofCommand id: String) -> String { "liaison-\(id)" }

  public func liveCall(_ callID: String, on server: String) -> LiveCall? {
    links.first { $0.server.name == server }?.state.withLock { $0.interpreter.book.live(callID) }
  }

  public func liveCalls(on server: String) -> [LiveCall] {
    links.first { $0.server.name == server }?.state.withLock { $0.interpreter.book.live } ?? []
  }

  public func perform(_ command: CallCommand) async -> CallCommandResult {
    guard let link = links.first(where: { $0.server.name == command.server }) else {
      return .rejected(Fault(.badAddress, text: "no switch is called \(command.server)"))
    }
    let isName = { (byte: UInt8) in
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x2d
        || byte == 0x5f
    }
    guard (1...64).contains(command.id.utf8.count), command.id.utf8.allSatisfy(isName) else {
      return .rejected(Fault(.badAddress, text: "a command id is 1 to 64 letters, digits, hyphens and underscores"))
    }
    let orders: [Order]
    do throws(Fault) {
      orders = try link.orders(for: command)
    } catch {
      return .rejected(error)
    }
    guard case .hold(let call, let device) = command.action else { return await link.carryOut(orders, of: command) }
    // The events come with the answer or before it.
    link.state.withLock { $0.interpreter.expectHold(of: device, in: call) }
    let result = await link.carryOut(orders, of: command)
    if case .rejected = result { link.state.withLock { $0.interpreter.expectHold(of: device, in: call, false) } }
    return result
  }
}

/// One action of a command.
private struct Order {
  var action: AMIAction
  /// The ActionID, where later events shall name it.
  var id: String?
  /// The call it begins, if any.
  var callID: String?

  /// The refusal of what is so already (apps/app_queue.c, manager_add_queue_member and manager_remove_queue_member).
  func isAsWished(_ reply: AMIReply) -> Bool {
    switch action.name {
    case "QueueAdd": reply.message.hasSuffix("Already there")
    case "QueueRemove": reply.message.hasSuffix("Not there")
    default: false
    }
  }
}

extension AMILink {
  fileprivate func carryOut(_ orders: [Order], of command: CallCommand) async -> CallCommandResult {
    let callID = orders.compactMap(\.callID).first
    // A command heard before has been carried out, or is in doubt: never a second time.
    let earlier = state.withLock { state -> CallCommandResult? in
      if let result = state.commands[command.id] { return result }
      if let callID, state.interpreter.book.hasHeard(of: callID) { return .accepted(callID: callID) }
      state.remember(.inDoubt(Fault(.timeout, text: "under way")), of: command.id)
      return nil
    }
    if let earlier { return earlier }
    let result = await send(orders, callID: callID)
    state.withLock { state in
      if case .rejected = result { state.commands[command.id] = nil } else { state.commands[command.id] = result }
    }
    return result
  }

  private func send(_ orders: [Order], callID: String?) async -> CallCommandResult {
    for (index, order) in orders.enumerated() {
      switch await send(order.action, id: order.id) {
      case nil:
        let fault = Fault(.connection, text: "\(server.name) is not connected")
        return index == 0 ? .rejected(fault) : .inDoubt(fault)
      case .reply(let reply)?:
        guard reply.succeeded || order.isAsWished(reply) else {
          return .rejected(Fault(.peerFailure, text: "\(order.action.name): \(reply.message)"))
        }
      case .lost?:
        return .inDoubt(Fault(.connection, text: "the connection was lost after \(order.action.name)"))
      case .timedOut?:
        return .inDoubt(Fault(.timeout, text: "no answer to \(order.action.name)"))
      }
    }
    return .accepted(callID: callID)
  }

  fileprivate func orders(for command: CallCommand) throws(Fault) -> [Order] {
    let plan = server.dialPlan
    switch command.action {
    case .originate(let device, let to, let showing, let customerNo):
      let callID = "liaison-\(command.id)"
      var headers = [
        ("Channel", device), ("Context", plan.outbound), ("Exten", to), ("Priority", "1"),
        ("CallerID", "\"\(to)\" <\(to)>"), ("Timeout", "30000"), ("Async", "true"), ("ChannelId", callID),
        ("OtherChannelId", "\(callID)-b"),
      ]
      if let customerNo { headers.append(("Variable", "__\(server.settings.customerVariable)=\(customerNo)")) }
      if let showing { headers.append(("Variable", "__LIAISON_SHOWING=\(showing)")) }
      return [try order("Originate", headers, id: command.id, callID: callID)]
    case .answer(let call, let device):
      return [try order("PJSIPNotify", [("Channel", try leg(of: device, in: call)), ("Variable", "Event=talk")])]
    case .hold(let call, let device):
      return [
        try order(
          "Redirect",
          [
            ("Channel", try party(of: call)), ("Context", plan.hold), ("Exten", "hold"), ("Priority", "1"),
            ("ExtraChannel", try leg(of: device, in: call)), ("ExtraContext", plan.hold), ("ExtraExten", "wait"),
            ("ExtraPriority", "1"),
          ])
      ]
    case .resume(let call, let device):
      return [
        try order(
          "Bridge", [("Channel1", try party(of: call)), ("Channel2", try leg(of: device, in: call)), ("Tone", "no")])
      ]
    case .blindTransfer(let call, let device, let to):
      return [
        try order(
          "BlindTransfer",
          [("Channel", try leg(of: device, in: call)), ("Context", plan.transfers), ("Exten", to)])
      ]
    case .attendedTransfer(let call, let device, let to):
      return [
        try order(
          "Atxfer", [("Channel", try leg(of: device, in: call)), ("Context", plan.transfers), ("Exten", to)])
      ]
    case .cancelTransfer(let call, let device):
      return [try order("CancelAtxfer", [("Channel", try leg(of: device, in: call))])]
    case .conference(let call, let device, let with):
      let room = conferenceRoom(call)
      return [
        try order(
          "Redirect",
          [
            ("Channel", try party(of: call)), ("Context", plan.conference), ("Exten", room), ("Priority", "1"),
            ("ExtraChannel", try leg(of: device, in: call)), ("ExtraContext", plan.conference), ("ExtraExten", room),
            ("ExtraPriority", "1"),
          ]),
        try order(
          "Originate",
          [
            ("Channel", with), ("Context", plan.conference), ("Exten", room), ("Priority", "1"), ("Timeout", "30000"),
            ("Async", "true"), ("ChannelId", AsteriskOrders.conference + command.id),
          ], id: command.id),
      ]
    case .hangUp(let call, let device):
      let channel: String
      if let device { channel = try leg(of: device, in: call) } else { channel = try party(of: call) }
      return [try order("Hangup", [("Channel", channel), ("Cause", "16")])]
    case .park(let call):
      return [try order("Park", [("Channel", try party(of: call))])]
    case .startRecording(let call, let reference):
      return [try order("MixMonitor", [("Channel", try party(of: call)), ("File", reference)])]
    case .muteRecording(let call, let muted):
      return [
        try order(
          "MixMonitorMute", [("Channel", try party(of: call)), ("Direction", "both"), ("State", muted ? "1" : "0")])
      ]
    case .stopRecording(let call):
      return [try order("StopMixMonitor", [("Channel", try party(of: call))])]
    case .monitor(let call, let device, let by, let kind):
      _ = try leg(of: device, in: call)
      let options =
        switch kind {
        case .listen: "qE"
        case .whisper: "qwE"
        case .barge: "qBE"
        }
      // ChanSpy takes the beginning of a channel's name; the hyphen keeps PJSIP/10 from meaning PJSIP/1001.
      return [
        try order(
          "Originate",
          [
            ("Channel", by), ("Application", "ChanSpy"), ("Data", "\(device)-,\(options)"), ("Timeout", "30000"),
            ("Async", "true"), ("ChannelId", AsteriskOrders.supervisor + command.id),
          ], id: command.id)
      ]
    case .setPaused(let device, let queue, let paused, let reason):
      var headers = [("Interface", device), ("Paused", paused ? "true" : "false")]
      if let queue { headers.append(("Queue", queue)) }
      if let reason { headers.append(("Reason", reason)) }
      return [try order("QueuePause", headers)]
    case .joinQueue(let device, let queue, let name):
      var headers = [("Queue", queue), ("Interface", device), ("StateInterface", device)]
      if let name { headers.append(("MemberName", name)) }
      return [try order("QueueAdd", headers)]
    case .leaveQueue(let device, let queue):
      return [try order("QueueRemove", [("Queue", queue), ("Interface", device)])]
    }
  }

  private func order(
    _ name: String, _ headers: [(String, String)], id: String? = nil, callID: String? = nil
  ) throws(Fault) -> Order {
    do {
      return Order(action: try AMIAction(name, headers.map { (key: $0.0, value: $0.1) }), id: id, callID: callID)
    } catch {
      throw Fault(.contentRefused, text: "cannot be sent to the switch: \(error)")
    }
  }

  private func party(of call: String) throws(Fault) -> String {
    guard let leg = state.withLock({ $0.interpreter.book.partyLeg(of: call) }) else {
      throw Fault(.unknownRecipient, text: "no such call: \(call)")
    }
    return leg.text
  }

  private func leg(of device: String, in call: String) throws(Fault) -> String {
    guard let leg = state.withLock({ $0.interpreter.book.leg(of: device, in: call) }) else {
      throw Fault(.unknownRecipient, text: "\(device) has no part in the call \(call)")
    }
    return leg.text
  }

  /// The same room for the same call, in digits, so that an extension pattern matches it (FNV-1a).
  private func conferenceRoom(_ call: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in call.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return String(hash)
  }
}

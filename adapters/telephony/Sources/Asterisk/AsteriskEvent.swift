/// The events that say something about calls and agents: 19 % of what an Asterisk sends. The rest is not read.
enum AsteriskEvent: String, CaseIterable {
  case newchannel = "Newchannel"
  case newstate = "Newstate"
  case newCallerid = "NewCallerid"
  case rename = "Rename"
  case hangup = "Hangup"
  case hangupRequest = "HangupRequest"
  case localBridge = "LocalBridge"
  case agentCalled = "AgentCalled"
  case dialBegin = "DialBegin"
  case dialEnd = "DialEnd"
  case agentRingNoAnswer = "AgentRingNoAnswer"
  case agentConnect = "AgentConnect"
  case queueCallerJoin = "QueueCallerJoin"
  case queueCallerLeave = "QueueCallerLeave"
  case bridgeEnter = "BridgeEnter"
  case bridgeLeave = "BridgeLeave"
  case bridgeMerge = "BridgeMerge"
  case bridgeDestroy = "BridgeDestroy"
  case hold = "Hold"
  case unhold = "Unhold"
  case blindTransfer = "BlindTransfer"
  case attendedTransfer = "AttendedTransfer"
  case pickup = "Pickup"
  case parkedCall = "ParkedCall"
  case unParkedCall = "UnParkedCall"
  case confbridgeJoin = "ConfbridgeJoin"
  case chanSpyStart = "ChanSpyStart"
  case mixMonitorStart = "MixMonitorStart"
  case mixMonitorStop = "MixMonitorStop"
  case mixMonitorMute = "MixMonitorMute"
  case varSet = "VarSet"
  case userEvent = "UserEvent"
  case originateResponse = "OriginateResponse"
  case status = "Status"
  case statusComplete = "StatusComplete"
  case coreShowChannel = "CoreShowChannel"
  case queueEntry = "QueueEntry"
  case fullyBooted = "FullyBooted"
  /// QueueMember, QueueMemberAdded, QueueMemberStatus, QueueMemberPause, QueueMemberPenalty: all say the whole state.
  case queueMember = "QueueMember"
  case queueMemberRemoved = "QueueMemberRemoved"

  init?(_ name: AMIValue) {
    guard name.count < AsteriskEvent.byLength.count else { return nil }
    for (bytes, event) in AsteriskEvent.byLength[name.count] where bytes.elementsEqual(name.bytes) {
      self = event
      return
    }
    return nil
  }

  private static let byLength: [[(bytes: [UInt8], event: AsteriskEvent)]] = {
    var table = [[(bytes: [UInt8], event: AsteriskEvent)]](repeating: [], count: 32)
    for event in allCases { table[event.rawValue.utf8.count].append((Array(event.rawValue.utf8), event)) }
    let end = "CoreShowChannelsComplete"
    table[end.utf8.count].append((Array(end.utf8), .statusComplete))
    for name in ["QueueMemberAdded", "QueueMemberStatus", "QueueMemberPause", "QueueMemberPenalty"] {
      table[name.utf8.count].append((Array(name.utf8), .queueMember))
    }
    return table
  }()
}

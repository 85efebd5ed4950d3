import Channels

/// The members of an Asterisk's queues as last heard, so that only changes are told.
///
/// `QueueMemberStatus` and `QueueMemberPause` come once per queue of the member, and again with every change of the
/// device whether or not it means anything here.
struct AsteriskRoster: Sendable {
  private struct Key: Hashable {
    var queue: String
    var member: String
  }
  let server: String
  private var members: [Key: AgentPresence] = [:]

  init(server: String) { self.server = server }

  /// What changed, or nil.
  mutating func note(_ message: AMIMessage, _ event: AsteriskEvent, at time: Timestamp) -> AgentPresence? {
    // A list says Location and Name where the events say Interface and MemberName.
    guard let queue = message.first("Queue")?.known,
      let member = (message.first("Interface") ?? message.first("Location"))?.known
    else { return nil }
    let isRemoved = event == .queueMemberRemoved
    let presence = AgentPresence(
      server: server, device: message.first("StateInterface")?.known ?? member, member: member,
      name: (message.first("MemberName") ?? message.first("Name"))?.known, queue: queue, isMember: !isRemoved,
      state: state(message.first("Status")?.integer ?? 0), isPaused: message.first("Paused").map { $0 == "1" } ?? false,
      pauseReason: message.first("PausedReason")?.known,
      isInCall: message.first("InCall").map { $0 == "1" } ?? false, at: time)
    let key = Key(queue: queue, member: member)
    if isRemoved {
      members[key] = nil
      return presence
    }
    if var old = members[key] {
      old.at = time
      if old == presence { return nil }
    } else if members.count >= 100_000 {
      return nil
    }
    members[key] = presence
    return presence
  }

  /// AST_DEVICE_* of include/asterisk/devicestate.h.
  private func state(_ number: Int64) -> AgentPresence.State {
    switch number {
    case 1: .available
    case 2, 3: .busy
    case 6, 7: .ringing
    case 8: .onHold
    default: .unavailable
    }
  }
}

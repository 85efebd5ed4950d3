import Channels
import ContactModel
import Store

/// Which calls a principal may see and act on: an agent those his own telephone takes part in, a supervisor those of
/// his department, by their queue and by the agents in them.
struct CallScope {
  private let principal: Principal
  private let connection: any Connection
  private let scope: Scope
  let isSupervisor: Bool
  /// The telephone the principal sits at; nil for programs and for who has not logged in.
  let device: String?

  init(_ call: Call, _ connection: any Connection) throws {
    principal = try call.caller()
    self.connection = connection
    scope = try Scope(call, connection)
    isSupervisor = !principal.roles.isDisjoint(with: [.supervisor, .admin])
    device = try principal.agent.flatMap(AgentID.init).flatMap { try connection.agent($0) }?.device
  }

  func includes(_ call: LiveCall) throws -> Bool {
    if let device, call.devices.contains(device) { return true }
    guard isSupervisor else { return false }
    var departments: [Code] = []
    if let queue = call.state.queue.flatMap(Code.init), let department = try connection.department(ofQueue: queue) {
      if let department { departments.append(department) }
    }
    for device in call.devices {
      guard let agent = try connection.agent(at: device).flatMap({ try connection.agent($0) }) else { continue }
      if let department = agent.department { departments.append(department) }
    }
    return departments.isEmpty || departments.contains { scope.includes(department: $0) }
  }

  /// The device an act is for: the one named, else the principal's own. An agent may name no other than his own.
  func device(_ named: String?) throws -> String {
    if let named {
      guard isSupervisor || named == device else { throw Problem(.forbidden) }
      return named
    }
    guard let device else {
      throw Problem(
        .conflict, LocalizedText(zh: "您没有登录任何话机", en: "you are not logged in at any telephone"))
    }
    return device
  }

  /// A telephone that an agent of ours sits at; for supervisors, one of their department.
  func requireTelephone(_ device: String, at pointer: String) throws {
    guard let id = try connection.agent(at: device), let agent = try connection.agent(id) else {
      throw Problem.unknown(pointer, "the telephone of an agent")
    }
    guard device == self.device || !isSupervisor || scope.includes(department: agent.department) else {
      throw Problem(.forbidden)
    }
  }

  /// The telephone a supervisor listens at: his own, or one nobody sits at. It is rung.
  func listeningDevice(_ named: String?) throws -> String {
    guard let named else { return try device(nil) }
    guard isDevice(named) else { throw Problem.unknown("#/by", "PJSIP/1009") }
    if named != device, let other = try connection.agent(at: named), other.description != principal.agent,
      try connection.agent(other)?.state != .offline
    {
      throw Problem(
        .conflict, LocalizedText(zh: "该话机有坐席登录", en: "an agent is logged in at that telephone"))
    }
    return named
  }
}

/// A telephone as switches name it: technology and name. No relay: those would run the dial plan at will.
func isDevice(_ text: String) -> Bool {
  let parts = text.split(separator: "/", omittingEmptySubsequences: false)
  guard parts.count == 2, ["PJSIP", "SIP", "IAX2", "DAHDI", "SCCP", "UNISTIM", "MGCP"].contains(parts[0]) else {
    return false
  }
  return (1...64).contains(parts[1].utf8.count)
    && parts[1].utf8.allSatisfy {
      (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || "_.-+".utf8.contains($0)
    }
}

/// What may be dialled: digits, letters of short codes, `+`, `*`, `#`. Nothing a dial plan would take for more.
func isDialable(_ text: String) -> Bool {
  (1...40).contains(text.utf8.count)
    && text.utf8.allSatisfy {
      (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || "+*#".utf8.contains($0)
    }
}

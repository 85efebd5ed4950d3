import Channels
import ContactModel
import Desk
import Store

/// Calls as they are now, what may be done to them, and what became of what was ordered.
///
/// Every act is a command: it is durable and has its id when the 202 is given, the switch is told afterwards, and what
/// came of it arrives as `call_command.changed` on the agent's stream and stands in the command.
public struct CallResources: Sendable {
  let database: Database
  let commander: CallCommander
  let router: CallRouter

  public init(database: Database, commander: CallCommander, router: CallRouter) {
    self.database = database
    self.commander = commander
    self.router = router
  }

  public var routes: [Route] {
    [list, get, originate] + acts + [monitor, command, commandsOfCall, routing] + loginRoutes
  }

  // MARK: Looking

  private static let place: [Route.Parameter] = [
    .path("server", .string(minimum: 1, maximum: 40), "The switch"),
    .path("call_id", .string(minimum: 1, maximum: 200), "The call's name there"),
  ]

  private var list: Route {
    Route(
      "listCalls", .get, "/v1/calls", summary: "Calls that live now: an agent's own, a supervisor's department's",
      tag: "calls", access: .roles(.agent, .supervisor),
      parameters: [.query("device", .string(minimum: 1, maximum: 80), "Only those this telephone has a part in")],
      answers: [.json(.output(.required("items", .array(LiveCall.schema))), "Longest first, at most 1,000")]
    ) { call in
      let device = call.text("device")
      let live = commander.liveCalls().filter { device == nil || $0.devices.contains(device ?? "") }
      return try await database.look(call, purpose: "contact") { connection in
        let scope = try CallScope(call, connection)
        let shown = try live.filter(scope.includes).sorted { $0.state.created < $1.state.created }.prefix(1_000)
        return (
          Reply.json(["items": .array(try shown.map { try $0.json() })]),
          seen: shown.compactMap { live in
            live.state.customerNo.flatMap(CustomerNumber.init).map { Sight(customer: $0, subject: live.state.callID) }
          }
        )
      }
    }
  }

  private var get: Route {
    Route(
      "getCall", .get, "/v1/calls/{server}/{call_id}", summary: "A call that lives now", tag: "calls",
      access: .roles(.agent, .supervisor), parameters: Self.place, answers: [.json(LiveCall.schema, "The call")]
    ) { call in
      let live = try liveCall(call)
      return try await database.look(call, purpose: "contact") { connection in
        guard try CallScope(call, connection).includes(live) else { throw Problem(.forbidden) }
        let customer = live.state.customerNo.flatMap(CustomerNumber.init)
        return (
          Reply.json(try live.json()), seen: customer.map { [Sight(customer: $0, subject: live.state.callID)] } ?? []
        )
      }
    }
  }

  private var command: Route {
    Route(
      "getCallCommand", .get, "/v1/call-commands/{command}", summary: "What became of a command", tag: "calls",
      access: .roles(.agent, .supervisor, .auditor), parameters: [.path("command", .id("command"))],
      answers: [.json(CallCommandRecord.schema, "The command as it stands")]
    ) { call in
      let id: CallCommandID = try call.path("command")
      return try await database.look { connection in
        guard let record = try connection.callCommand(id) else { throw Problem(.notFound) }
        guard try maySee(record, call, connection) else { throw Problem(.notFound) }
        return .json(record.json, version: Int64(record.version))
      }
    }
  }

  private var commandsOfCall: Route {
    Route(
      "listCallCommands", .get, "/v1/calls/{server}/{call_id}/commands",
      summary: "What was ordered of a call, in order",
      tag: "calls", access: .roles(.agent, .supervisor, .auditor), parameters: Self.place,
      answers: [.json(.output(.required("items", .array(CallCommandRecord.schema))), "At most 1,000")]
    ) { call in
      let (server, callID) = (call.text("server") ?? "", call.text("call_id") ?? "")
      return try await database.look { connection in
        let records = try connection.callCommands(of: callID, on: server, limit: 1_000)
          .filter { try maySee($0, call, connection) }
        return .json(["items": .array(records.map(\.json))])
      }
    }
  }

  /// His own, or of an agent he supervises.
  private func maySee(_ record: CallCommandRecord, _ call: Call, _ connection: any Connection) throws -> Bool {
    let principal = try call.caller()
    if record.actor == principal.id || principal.agent != nil && record.agent?.description == principal.agent {
      return true
    }
    guard !principal.roles.isDisjoint(with: [.supervisor, .auditor, .admin]) else { return false }
    let scope = try Scope(call, connection)
    let concerned = try record.agent ?? record.device.flatMap { try connection.agent(at: $0) }
    guard let concerned, let agent = try connection.agent(concerned) else { return true }
    return scope.includes(department: agent.department)
  }

  // MARK: Acting

  private static let device = Schema.Member.optional(
    "device", .string(minimum: 1, maximum: 80), "The telephone concerned; the agent's own if not given")
  private static let reason = Schema.Member.optional("reason", .string(maximum: 500), "For the audit")
  private static let to = Schema.Member.required(
    "to", .string(minimum: 1, maximum: 40), "A number or extension: letters, digits, +, * and #")
  private static let accepted: [Route.Answer] = [
    .json(
      CallCommandRecord.schema, "Durable, and on its way to the switch; ask `Location`, or wait for the event",
      status: 202)
  ]

  private var originate: Route {
    Route(
      "originateCall", .post, "/v1/calls", summary: "Ring an agent, then call a number for him", tag: "calls",
      access: .roles(.agent, .supervisor),
      body: .init(
        .input(
          Self.to, Self.device,
          .optional("server", .string(minimum: 1, maximum: 40), "If there is more than one switch"),
          .optional("showing", .string(minimum: 1, maximum: 40), "The number of ours the called person sees"),
          .optional("customer_no", .string(minimum: 1, maximum: 32)), Self.reason)),
      answers: Self.accepted, needsIdempotencyKey: true
    ) { call in
      let to = try dialable(call, "to")
      let showing = call.body["showing"] == nil ? nil : try dialable(call, "showing")
      let customer: CustomerNumber? = try call.member("customer_no")
      let servers = commander.servers
      let server = call.body["server"]?.string ?? (servers.count == 1 ? servers.first : nil)
      guard let server, let control = commander.control(of: server) else {
        guard !servers.isEmpty else { throw noTelephony }
        throw Problem.unknown("#/server", servers.joined(separator: ", "))
      }
      let id = CallCommandID(at: call.now)
      return try await give(call, id) { transaction in
        let scope = try CallScope(call, transaction)
        let device = try scope.device(call.body["device"]?.string)
        try scope.requireTelephone(device, at: "#/device")
        if let customer {
          guard let known = try transaction.customer(customer) else { throw Problem.unknown("#/customer_no") }
          guard try Scope(call, transaction).includes(known) else { throw Problem(.forbidden) }
        }
        return (
          CallCommand(
            id: id.description, server: server,
            action: .originate(device: device, to: to, showing: showing, customerNo: customer?.description)),
          callID: control.callID(ofCommand: id.description), customer
        )
      }
    }
  }

  private var acts: [Route] {
    [
      act("answerCall", "answer", "Let the telephone that rings answer") { .answer(callID: $1, device: $2) },
      act("holdCall", "hold", "Put the customer on hold") { .hold(callID: $1, device: $2) },
      act("resumeCall", "resume", "Take the customer back from hold") { .resume(callID: $1, device: $2) },
      act("transferCallBlind", "blind-transfer", "Pass the customer on without asking", [Self.to]) {
        .blindTransfer(callID: $1, device: $2, to: try dialable($0, "to"))
      },
      act(
        "transferCallAttended", "attended-transfer",
        "Ask a colleague while the customer waits; hanging up then passes the customer on", [Self.to]
      ) { .attendedTransfer(callID: $1, device: $2, to: try dialable($0, "to")) },
      act("cancelTransfer", "cancel-transfer", "End the consultation and take the customer back") {
        .cancelTransfer(callID: $1, device: $2)
      },
      act(
        "conferenceCall", "conference", "Let a colleague join: all three hear one another",
        [.required("with", .string(minimum: 1, maximum: 80), "The colleague's telephone")]
      ) { .conference(callID: $1, device: $2, with: $0.body["with"]?.string ?? "") },
      act(
        "hangUpCall", "hang-up", "Hang up a telephone, or the whole call",
        [
          .optional("whole_call", .boolean, "For everybody in it")
        ]
      ) { .hangUp(callID: $1, device: $0.body["whole_call"]?.bool == true ? nil : $2) },
      act("parkCall", "park", "Park the customer, for anybody to take back") { call, id, _ in .park(callID: id) },
      act("startRecording", "start-recording", "Record the call; the command's `detail.reference` names the recording")
      {
        call, id, _ in .startRecording(callID: id, reference: "liaison-\(call.requestID).wav")
      },
      act(
        "muteRecording", "mute-recording", "Leave a part of the call out of its recording, a card number say",
        [
          .required("muted", .boolean)
        ]
      ) { call, id, _ in .muteRecording(callID: id, call.body["muted"]?.bool ?? true) },
      act("stopRecording", "stop-recording", "Stop recording") { call, id, _ in .stopRecording(callID: id) },
    ]
  }

  private func act(
    _ operationID: String, _ path: String, _ summary: String, _ members: [Schema.Member] = [],
    _ action: @escaping @Sendable (_ call: Call, _ callID: String, _ device: String) throws -> CallCommand.Action
  ) -> Route {
    Route(
      operationID, .post, "/v1/calls/{server}/{call_id}/\(path)", summary: summary, tag: "calls",
      access: .roles(.agent, .supervisor), parameters: Self.place,
      body: .init(.object(.init(members: members + [Self.device, Self.reason], closed: true))),
      answers: Self.accepted, needsIdempotencyKey: true
    ) { call in
      let live = try liveCall(call)
      let server = live.state.server
      let id = CallCommandID(at: call.now)
      return try await give(call, id) { transaction in
        let scope = try CallScope(call, transaction)
        guard try scope.includes(live) else { throw Problem(.forbidden) }
        let named = call.body["device"]?.string
        // A supervisor has no part in the call himself: of two telephones in it he must say which.
        let device = named ?? (live.devices.contains(scope.device ?? "") ? scope.device : only(live.devices))
        guard let device else {
          throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/device"), .required)])
        }
        if named != nil { _ = try scope.device(named) }
        guard live.devices.contains(device) else {
          throw Problem.unknown("#/device", live.devices.sorted().joined(separator: ", "))
        }
        let action = try action(call, live.state.callID, device)
        if case .conference(_, _, let with) = action {
          guard isDevice(with), try transaction.agent(at: with) != nil else {
            throw Problem.unknown("#/with", "the telephone of an agent")
          }
        }
        return (
          CallCommand(id: id.description, server: server, action: action), callID: live.state.callID,
          live.state.customerNo.flatMap(CustomerNumber.init)
        )
      }
    }
  }

  private var monitor: Route {
    Route(
      "monitorCall", .post, "/v1/calls/{server}/{call_id}/monitor",
      summary: "A supervisor listens to an agent, speaks to him alone, or to everybody", tag: "calls",
      access: .roles(.supervisor), parameters: Self.place,
      body: .init(
        .input(
          .required("mode", .word(CallCommand.Monitoring.allCases.map(\.rawValue))),
          .optional(
            "device", .string(minimum: 1, maximum: 80), "The agent's telephone, if there are several in the call"),
          .optional(
            "by", .string(minimum: 1, maximum: 80), "The supervisor's telephone, which is rung; his own if not given"),
          .required("reason", .string(minimum: 1, maximum: 500), "For the audit"))),
      answers: Self.accepted, needsIdempotencyKey: true
    ) { call in
      let live = try liveCall(call)
      guard let mode = call.body["mode"]?.string.flatMap(CallCommand.Monitoring.init) else {
        throw Problem(.invalidInput)
      }
      let id = CallCommandID(at: call.now)
      return try await give(call, id) { transaction in
        let scope = try CallScope(call, transaction)
        guard try scope.includes(live) else { throw Problem(.forbidden) }
        let by = try scope.listeningDevice(call.body["by"]?.string)
        guard let device = call.body["device"]?.string ?? only(live.devices.filter { $0 != by }) else {
          throw Problem(.invalidInput, violations: [Violation(.body(pointer: "#/device"), .required)])
        }
        guard live.devices.contains(device), device != by else {
          throw Problem.unknown("#/device", live.devices.filter { $0 != by }.sorted().joined(separator: ", "))
        }
        try scope.requireTelephone(device, at: "#/device")
        return (
          CallCommand(
            id: id.description, server: live.state.server,
            action: .monitor(callID: live.state.callID, device: device, by: by, mode)),
          callID: live.state.callID, live.state.customerNo.flatMap(CustomerNumber.init)
        )
      }
    }
  }

  // MARK: Parts

  private func liveCall(_ call: Call) throws -> LiveCall {
    guard let live = commander.liveCall(call.text("call_id") ?? "", on: call.text("server") ?? "") else {
      throw Problem(.notFound)
    }
    return live
  }

  /// Trying again would not help: 409 and not 503.
  private var noTelephony: Problem {
    Problem(.conflict, LocalizedText(zh: "没有配置电话渠道", en: "no channel of this daemon has telephone calls"))
  }

  private func dialable(_ call: Call, _ member: String) throws -> String {
    guard let text = call.body[member]?.string, isDialable(text) else {
      throw Problem(
        .invalidInput,
        violations: [Violation(.body(pointer: "#/\(member)"), .format, expected: "^[0-9A-Za-z+*#]{1,40}$")])
    }
    return text
  }

  private func only(_ devices: [String]) -> String? { devices.count == 1 ? devices.first : nil }

  /// Keeps the command with its audit in one transaction; the commander sends it after the commit.
  private func give(
    _ call: Call, _ id: CallCommandID,
    _ make:
      @escaping @Sendable (WriteTransaction) throws -> (CallCommand, callID: String, customer: CustomerNumber?)
  ) async throws -> Reply {
    let principal = try call.caller()
    return try await database.act(call) { transaction, actor in
      let (command, callID, customer) = try make(transaction)
      // A keyed number that names nobody is no customer's.
      let known = try customer.flatMap { try transaction.customer($0)?.customerNo }
      let record = CallCommandRecord(
        commandId: id, command: command, callId: callID, agent: principal.agent.flatMap(AgentID.init),
        customerNo: known, actor: actor.label, at: call.now)
      try transaction.give(record, command, trace: actor.trace)
      try transaction.audit(
        "call.\(record.action)", "\(command.server)/\(callID)", customer: known,
        reason: call.body["reason"]?.string, after: record.json, by: actor, at: call.now)
      return .json(
        record.json, status: 202, version: 1, headers: [HeaderField("Location", "/v1/call-commands/\(id)")])
    }
  }
}

import Channels
import ContactModel
import Store

/// The small screen events of a call: what happened to it; the screen itself was shown when it rang.
struct CallNotice: Hashable, Sendable, Codable {
  var contactId: ContactID
  var requestId: ServiceRequestID?
  var server: String
  var callID: String
  var device: String
  /// What the agent's device does in the call now; nil if nothing.
  var part: String?
  /// Why or how: an outcome, a disposition, who hung up, to whom it went.
  var outcome: String?
  var endedBy: String?
  var to: String?

  private enum CodingKeys: String, CodingKey {
    case contactId, requestId, server
    case callID = "callId"
    case device, part, outcome, endedBy, to
  }
}

extension Desk {
  /// Puts what changed of a call on the screens of the agents concerned, in the transaction of the change.
  ///
  /// Whoever is rung, consulted or handed the call gets the whole pop: the original caller, the chain and the notes,
  /// also where his telephone shows a colleague's number. The others get a notice.
  public static func show(_ change: CallChange, in transaction: WriteTransaction) throws {
    var screens = callScreens(from: change.before, to: change.after)
    let parts = parts(change.after)
    if change.isIdentified {
      for device in parts.keys.sorted() where !screens.contains(where: { $0.device == device }) {
        screens.append((device, .updated))
      }
    }
    guard !screens.isEmpty else { return }
    let agents = try transaction.agents(at: Set(screens.map(\.device)))
    var whole: ScreenPop?
    for (device, screen) in screens {
      guard let agent = agents[device] else { continue }
      var notice = CallNotice(
        contactId: change.contact.id, requestId: change.request?.id, server: change.after.server,
        callID: change.after.callID, device: device, part: parts[device]?.rawValue)
      let type: EventType
      var isWhole = true
      switch screen {
      case .ringing: type = .popRinging
      case .consulting: type = .popConsulting
      case .answered: type = .popAnswered
      case .received: type = .popTransferred
      case .conferenced: type = .popConferenced
      case .updated: type = .popUpdated
      case .asking(let to, let isBack):
        (type, isWhole, notice.to) = (.popConsulting, isBack, to)
      case .held: (type, isWhole) = (.popHeld, false)
      case .resumed: (type, isWhole) = (.popResumed, false)
      case .withdrawn(let outcome):
        (type, isWhole, notice.outcome) = (.popWithdrawn, false, outcome)
      case .passed(let to):
        (type, isWhole, notice.to) = (.popTransferred, false, to)
      case .left:
        (type, isWhole, notice.outcome) = (.popEnded, false, "left")
      case .ended(let disposition, let by):
        (type, isWhole, notice.outcome, notice.endedBy) = (.popEnded, false, disposition, by)
      }
      let body: String
      if isWhole {
        if whole == nil {
          whole = try transaction.wholeScreenPop(of: change.contact, in: change.request, call: change.after)
        }
        guard var pop = whole else { continue }
        pop.call?.device = device
        pop.call?.part = parts[device]?.rawValue
        pop.allowedActions += pop.call.map { callActions($0.part) } ?? []
        body = try pop.fitting().text
      } else {
        body = try JSONText.encode(notice)
      }
      try transaction.append(
        EventRecord(
          at: change.at, type: type, subject: change.contact.id.description, contact: change.contact.id,
          request: change.request?.id, customerNo: change.contact.customerNo, channel: change.contact.channel.name,
          agent: agent, actor: "liaison", body: body))
    }
  }
}

/// What the agent may do with the call now, in the words of call control.
func callActions(_ part: String?) -> [String] {
  switch part.flatMap(CallPart.init) {
  case .ringing?, .consulted?: ["answer", "hang_up"]
  case .talking?:
    ["hold", "blind_transfer", "attended_transfer", "conference", "park", "start_recording", "hang_up"]
  case .held?: ["resume", "hang_up"]
  case nil: []
  }
}

extension ScreenPop {
  /// The call behind a pop: how it came here, step by step.
  public struct CallView: Sendable, Hashable, Codable {
    public var server: String
    public var callID: String
    /// The device of the agent this is shown to, and what it does in the call; nil where it is shown to nobody in
    /// particular.
    public var device: String?
    public var part: String?
    public var callerName: String?
    public var dialled: Address?
    /// As the customer keyed it: a claim.
    public var keyedCustomerNo: String?
    public var queue: String?
    public var createdAt: Timestamp
    public var queuedAt: Timestamp?
    public var connectedAt: Timestamp?
    public var endedAt: Timestamp?
    /// Everyone who was rung, talked or was consulted, in order; the last 20.
    public var steps: [Step]
    public var transfers: [CallState.Transfer]
    public var consultations: [CallState.Consultation]
    public var holds: Int
    public var isRecorded: Bool
    public var variables: [InboundMessage.Property]

    private enum CodingKeys: String, CodingKey {
      case server
      case callID = "callId"
      case device, part, callerName, dialled, keyedCustomerNo, queue, createdAt, queuedAt, connectedAt, endedAt, steps
      case transfers, consultations, holds, isRecorded, variables
    }

    public struct Step: Sendable, Hashable, Codable {
      public var device: String
      public var agent: AgentID?
      public var state: CallState.Leg.State
      public var from: Timestamp
      public var to: Timestamp?
      public var outcome: String?
    }
  }
}

extension ScreenPop.CallView {
  init(_ call: CallState, answerQueue: String? = nil, agents: [String: AgentID]) {
    self.init(
      server: call.server, callID: call.callID, callerName: call.callerName, dialled: call.dialled,
      keyedCustomerNo: call.customerNo, queue: call.queue ?? answerQueue, createdAt: call.created,
      queuedAt: call.queued, connectedAt: call.connected, endedAt: call.ended,
      steps: call.legs.suffix(20).map { leg in
        Step(
          device: leg.device, agent: agents[leg.device], state: leg.state, from: leg.from, to: leg.to,
          outcome: leg.state == .ringing
            ? call.offers.last { $0.device == leg.device && $0.at == leg.from }?.outcome : nil)
      }, transfers: call.transfers.suffix(10), consultations: call.consultations.suffix(10),
      holds: call.holds.count { $0.by == "agent" },
      isRecorded: call.recordings.contains { $0.to == nil && !$0.muted }, variables: Array(call.variables.prefix(16)))
  }

  /// Every text at most so many bytes long.
  func cut(to line: Int) -> Self {
    var view = self
    view.callID = callID.cut(to: 200)
    view.callerName = callerName?.cut(to: line)
    view.dialled = dialled.map {
      Address(kind: $0.kind, canonical: $0.canonical.cut(to: line), raw: $0.raw.cut(to: line))
    }
    view.keyedCustomerNo = keyedCustomerNo?.cut(to: line)
    view.queue = queue?.cut(to: line)
    view.steps = steps.map { step in
      var step = step
      step.device = step.device.cut(to: line)
      return step
    }
    view.transfers = transfers.map {
      .init(type: $0.type, by: $0.by.cut(to: line), to: $0.to.cut(to: line), at: $0.at)
    }
    view.consultations = consultations.map {
      .init(
        by: $0.by.cut(to: line), to: $0.to.cut(to: line), device: $0.device.cut(to: line), at: $0.at, ended: $0.ended)
    }
    view.variables = variables.map { .init($0.key.cut(to: line), $0.value.cut(to: line)) }
    return view
  }
}

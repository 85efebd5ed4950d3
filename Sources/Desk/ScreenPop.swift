import Channels
import ContactModel
import Store

/// What an agent sees when a contact reaches him. Source: specs/desk.md "Screen pop".
///
/// At most 16 KiB as JSON, whatever a customer wrote: long texts are cut and say so. Every field can be masked by role. `tieZone` says how sure the
/// tie to the customer is; it opens the screen and is no authentication.
public struct ScreenPop: Sendable, Hashable, Codable {
  public var contact: ContactView
  public var originalCaller: Address?
  public var chain: [ContactID]
  public var customer: CustomerView?
  public var tieZone: IdentityZone
  public var candidates: [CandidateView]
  public var reason: String
  /// Nil for a call that has not asked for a person, and for the bank's own calls.
  public var request: RequestView?
  /// Of a call: how it came here; nil on other channels.
  public var call: CallView?
  public var openRequests: [RequestView]
  /// The last five contacts over all channels, newest first, without this one.
  public var lastContacts: [ContactView]
  public var notes: [NoteRecord]
  public var doNotContact: [String]
  /// What the agent may do now.
  public var allowedActions: [String]
  public var nextDeadline: Timestamp?

  static let mostBytes = 16_384

  public struct ContactView: Sendable, Hashable, Codable {
    public var contactId: ContactID
    public var channelKind: ChannelKind
    public var channel: String
    public var direction: Contact.Direction
    public var from: Address?
    public var to: Address?
    public var language: String?
    public var summary: String
    public var content: String
    /// True when `content` was cut to fit.
    public var contentCut: Bool
    public var category: Code?
    public var late: Bool
    public var receivedAt: Timestamp
    public var endedAt: Timestamp?
    public var attachments: Int
  }
  public struct RequestView: Sendable, Hashable, Codable {
    public var requestId: ServiceRequestID
    public var reference: String?
    public var summary: String
    public var status: ServiceRequest.Status
    public var category: Code
    public var severity: Int
    public var urgency: Int
    public var queue: Code?
    public var owner: AgentID?
    public var startedAt: Timestamp
    public var nextDeadline: Timestamp?
    public var version: Int
  }
  public struct CustomerView: Sendable, Hashable, Codable {
    public var customerNo: CustomerNumber
    public var name: String
    public var type: Code
    public var status: Customer.Status
    public var level: Int
    public var language: String?
    public var manager: AgentID?
    public var phones: [String]
    public var emails: [String]
    public var confirmed: Bool
  }
  public struct CandidateView: Sendable, Hashable, Codable {
    public var customerNo: CustomerNumber
    public var name: String
    public var level: Int
    public var score: Double
    public var reason: String
  }
}

extension Connection {
  /// The pop of a contact as it stands now, to one agent if it is a call and one is given; nil if the contact is
  /// unknown, or is no call and belongs to no request.
  public func screenPop(of id: ContactID, to agent: Agent? = nil) throws -> ScreenPop? {
    guard let contact = try contact(id) else { return nil }
    let request = try requests(of: id).first
    let call = contact.channel.kind == .telephony ? try call(of: id)?.state() : nil
    guard request != nil || call != nil else { return nil }
    var pop = try wholeScreenPop(of: contact, in: request, call: call)
    if let call, let device = agent?.device {
      pop.call?.device = device
      pop.call?.part = parts(call)[device]?.rawValue
      pop.allowedActions += callActions(pop.call?.part)
    }
    return try pop.fitting().pop
  }

  /// Cut to the first budget of text with which the whole keeps its limit.
  func screenPop(of contact: Contact, in request: ServiceRequest) throws -> ScreenPop {
    try wholeScreenPop(of: contact, in: request, call: nil).fitting().pop
  }

  /// What those may see who are shown a pop: it is one for all agents of a queue, so it holds what the queue's department
  /// sees and not what each of them may see besides. Nil where the queue, or else the agent, is the whole bank's.
  private func popScope(of contact: Contact) throws -> DepartmentScope? {
    let department =
      if let queue = contact.queue {
        try self.department(ofQueue: queue) ?? nil
      } else {
        try contact.agent.flatMap { try agent($0)?.department }
      }
    return try department.map {
      DepartmentScope(departments: try departments(under: $0), queues: Set([contact.queue].compactMap(\.self)))
    }
  }

  func wholeScreenPop(of contact: Contact, in request: ServiceRequest?, call: CallState?) throws -> ScreenPop {
    let decision = try identityDecision(contact.identity.decision)
    let customer = try contact.customerNo.flatMap { try customerRecord($0) }
    let chain = try request.map { try contacts(of: $0.id).map(\.id) } ?? [contact.id]
    let candidates = try (decision?.candidates ?? []).prefix(8).compactMap { candidate -> ScreenPop.CandidateView? in
      guard let known = try self.customer(candidate.customerNo) else { return nil }
      return .init(
        customerNo: known.customerNo, name: known.name, level: known.level, score: candidate.score,
        reason: candidate.reason)
    }
    let scope = try popScope(of: contact)
    var openRequests: [ServiceRequest] = []
    var lastContacts: [Contact] = []
    if let customer = contact.customerNo {
      var requests = RequestFilter()
      requests.customerNo = customer
      requests.statuses = ServiceRequest.Status.allCases.filter(\.isLive)
      requests.scope = scope
      openRequests = try serviceRequests(matching: requests, after: nil, limit: 10)
      var contacts = ContactFilter()
      contacts.customerNo = customer
      contacts.scope = scope
      lastContacts = try self.contacts(matching: contacts, after: nil, limit: 6)
    }
    let attachments = try contact.arrival.map {
      try one("SELECT count(*) AS n FROM attachment WHERE arrival_id = $1", [.id($0)]).count("n")
    }
    let agents = try call.map { try self.agents(at: Set($0.legs.suffix(20).map(\.device))) } ?? [:]
    return ScreenPop(
      contact: .init(contact, contentLimit: 2_000, attachments: attachments ?? 0),
      originalCaller: call.map(\.caller) ?? contact.from,
      chain: Array(chain.suffix(20)),
      customer: customer.map { .init($0, confirmed: contact.identity.confirmedBy != nil) },
      tieZone: contact.identity.zone, candidates: candidates, reason: decision?.reason ?? "",
      request: request.map { .init($0) }, call: call.map { .init($0, agents: agents) },
      openRequests: openRequests.filter { $0.id != request?.id }.prefix(5).map { .init($0) },
      lastContacts: lastContacts.filter { $0.id != contact.id }.prefix(5).map {
        .init($0, contentLimit: 0, attachments: 0)
      },
      notes: try (request.map { try notes(on: $0.id) } ?? []).suffix(5).map { note in
        var note = note
        note.text = String(note.text.prefix(400))
        return note
      },
      doNotContact: [], allowedActions: allowedActions(contact, request), nextDeadline: request?.nextDeadline)
  }

  /// An identity decision by its id; nil if unknown.
  public func identityDecision(_ id: DecisionID) throws -> IdentityDecision? {
    guard let row = try first("SELECT body FROM decision WHERE decision_id = $1 AND act IN ('tie', 'merge')", [.id(id)])
    else { return nil }
    return try JSONText.decode(IdentityDecision.self, from: try row.text("body"))
  }
}

extension ScreenPop {
  /// Cut to the first budget of text with which the whole keeps its limit, and as JSON.
  func fitting() throws -> (pop: ScreenPop, text: String) {
    for budget in [6_000, 3_000, 1_200, 500, 160] {
      let cut = cut(to: budget)
      let text = try JSONText.encode(cut)
      if text.utf8.count <= ScreenPop.mostBytes { return (cut, text) }
    }
    let cut = cut(to: 60)
    return (cut, try JSONText.encode(cut))
  }

  /// The text of the contact at most so many bytes long, all other texts in proportion.
  func cut(to bytes: Int) -> ScreenPop {
    var pop = self
    let (line, note) = (max(40, min(600, bytes / 10)), max(40, min(1_200, bytes / 8)))
    func cut(_ address: Address?) -> Address? {
      address.map { Address(kind: $0.kind, canonical: $0.canonical.cut(to: line), raw: $0.raw.cut(to: line)) }
    }
    pop.originalCaller = cut(originalCaller)
    pop.contact.from = cut(contact.from)
    pop.contact.to = cut(contact.to)
    pop.contact.summary = contact.summary.cut(to: line)
    pop.contact.content = contact.content.cut(to: bytes)
    pop.contact.contentCut = contact.contentCut || pop.contact.content != contact.content
    pop.customer?.name = (customer?.name ?? "").cut(to: line)
    pop.candidates = candidates.map { candidate in
      var candidate = candidate
      candidate.name = candidate.name.cut(to: line)
      candidate.reason = candidate.reason.cut(to: line)
      return candidate
    }
    pop.reason = reason.cut(to: line)
    pop.request?.summary = (request?.summary ?? "").cut(to: line)
    pop.call = call?.cut(to: line)
    pop.openRequests = openRequests.map { open in
      var open = open
      open.summary = open.summary.cut(to: line)
      return open
    }
    pop.lastContacts = lastContacts.map { last in
      var last = last
      last.summary = last.summary.cut(to: line)
      last.from = cut(last.from)
      last.to = cut(last.to)
      return last
    }
    pop.notes = notes.map { written in
      var written = written
      written.text = written.text.cut(to: note)
      return written
    }
    return pop
  }
}

extension String {
  /// At most so many bytes of UTF-8 as JSON writes it, never within a character; one that is longer by itself goes.
  func cut(to bytes: Int) -> String {
    var left = bytes
    var end = startIndex
    while end < endIndex {
      let next = index(after: end)
      // Control characters are six bytes in JSON, quotation marks and backslashes two.
      let cost = self[end..<next].utf8.reduce(0) { $0 + ($1 < 0x20 ? 6 : $1 == 0x22 || $1 == 0x5c ? 2 : 1) }
      guard cost <= left else { return String(self[..<end]) }
      left -= cost
      end = next
    }
    return self
  }
}

private func allowedActions(_ contact: Contact, _ request: ServiceRequest?) -> [String] {
  var out: [String] = []
  if let request {
    guard request.status.isLive else { return request.status == .resolved ? ["reopen", "close", "note"] : [] }
    out = request.owner == nil ? ["take"] : ["note", "status", "requeue", "resolve"]
  }
  if contact.customerNo == nil {
    out += ["attach_customer", "create_prospect"]
  } else if contact.identity.confirmedBy == nil {
    out.append("confirm_customer")
  }
  return out
}

extension ScreenPop.ContactView {
  init(_ contact: Contact, contentLimit: Int, attachments: Int) {
    self.init(
      contactId: contact.id, channelKind: contact.channel.kind, channel: contact.channel.name,
      direction: contact.direction, from: contact.from, to: contact.to, language: contact.language,
      summary: String(contact.summary.prefix(200)), content: String(contact.content.prefix(contentLimit)),
      contentCut: contact.content.count > contentLimit, category: contact.category, late: contact.late,
      receivedAt: contact.times.received, endedAt: contact.times.ended, attachments: attachments)
  }
}

extension ScreenPop.RequestView {
  init(_ request: ServiceRequest) {
    self.init(
      requestId: request.id, reference: request.reference, summary: String(request.summary.prefix(200)),
      status: request.status, category: request.category, severity: request.severity, urgency: request.urgency,
      queue: request.queue, owner: request.owner, startedAt: request.start, nextDeadline: request.nextDeadline,
      version: request.version)
  }
}

extension ScreenPop.CustomerView {
  init(_ record: CustomerRecord, confirmed: Bool) {
    let customer = record.customer
    self.init(
      customerNo: customer.customerNo, name: customer.name, type: customer.type, status: customer.status,
      level: customer.level, language: customer.language, manager: customer.manager,
      phones: record.contactPoints.filter { $0.address.kind == .phone }.prefix(5).map(\.address.canonical),
      emails: record.contactPoints.filter { $0.address.kind == .email }.prefix(5).map(\.address.canonical),
      confirmed: confirmed)
  }
}

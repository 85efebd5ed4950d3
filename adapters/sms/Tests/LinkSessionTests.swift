import Channels
import Testing

@testable import SMS

/// Transcripts of sessions: what comes in, what must go out.
@Suite struct LinkSessionTests {
  typealias Session = LinkSession<SMPPDialect>
  private let start = ContinuousClock.now

  private func session(
    _ settings: LinkSettings = LinkSettings(window: 3), bind: SMPPSettings.Bind = .transceiver,
    smpp: SMPPSettings = SMPPSettings(systemID: "u", password: "p")
  ) -> Session {
    Session(dialect: SMPPDialect(bind: bind, settings: smpp, profile: TextProfile()), settings: settings)
  }

  private func bound(
    _ settings: LinkSettings = LinkSettings(window: 3), smpp: SMPPSettings = SMPPSettings(systemID: "u", password: "p")
  ) -> Session {
    var session = session(settings, smpp: smpp)
    _ = session.connected(at: start, wallClock: Timestamp(seconds: 0))
    var actions: [Session.Action] = []
    session.received(
      SMPPPDU(.bindTransceiver.response, sequence: 1, body: .boundAs(systemID: "x")), at: start, into: &actions)
    #expect(session.isUp)
    return session
  }

  private func part(_ text: String) -> OutboundPart {
    OutboundPart(
      from: "95588", to: "8613800138000", toIsInternational: true, octets: GSMAlphabet.encode(text) ?? [],
      hasHeader: false, coding: .gsm7, concatenation: nil, method: .udh8, wantsReport: true, messageClass: nil,
      priority: 0, validFor: nil, reference: 7)
  }

  private func sent(_ actions: [Session.Action]) -> [SMPPPDU] {
    actions.compactMap { if case .send(let pdu) = $0 { pdu } else { nil } }
  }
  private func texts(_ actions: [Session.Action]) -> [String] {
    sent(actions).compactMap { pdu in
      guard case .message(let message) = pdu.body else { return nil }
      return GSMAlphabet.decode(message.octets).text
    }
  }
  private func finished(_ actions: [Session.Action]) -> [UInt64: [PartResult]] {
    var out: [UInt64: [PartResult]] = [:]
    for case .finished(let ticket, let results) in actions { out[ticket] = results }
    return out
  }
  private func answer(_ sequence: UInt32, _ status: SMPPStatus = .ok, id: String = "1") -> SMPPPDU {
    SMPPPDU(.submitSM.response, status: status, sequence: sequence, body: status == .ok ? .messageID(id) : .empty)
  }

  @Test func `it binds as told, and a refused bind ends it with the reason`() {
    for (bind, command) in [
      (SMPPSettings.Bind.transceiver, SMPPCommand.bindTransceiver), (.transmitter, .bindTransmitter),
      (.receiver, .bindReceiver),
    ] {
      var session = session(bind: bind)
      let first = session.connected(at: start, wallClock: Timestamp(seconds: 0))
      #expect(sent(first).map(\.command) == [command])
      var actions: [Session.Action] = []
      session.received(SMPPPDU(command.response, status: .invalidPassword, sequence: 1), at: start, into: &actions)
      guard case .close(let fault?)? = actions.last else { return #expect(Bool(false), "close") }
      #expect(fault.code == .authentication)
      #expect(fault.peerCode == "0x0000000e")
      #expect(session.isOver)
    }
  }

  @Test func `no more than the window leaves, and order is kept`() {
    var session = bound()
    var actions: [Session.Action] = []
    for ticket in 1...5 { session.submit([part("\(ticket)")], as: UInt64(ticket), at: start, into: &actions) }
    #expect(texts(actions) == ["1", "2", "3"])
    #expect(session.unanswered == 3)
    #expect(session.waiting == 2)
    actions = []
    session.received(answer(3, id: "b"), at: start, into: &actions)
    #expect(finished(actions) == [2: [.accepted(id: "b")]])
    #expect(texts(actions) == ["4"])
    actions = []
    session.received(answer(2, id: "a"), at: start, into: &actions)
    session.received(answer(4, id: "c"), at: start, into: &actions)
    session.received(answer(4, id: "again"), at: start, into: &actions)
    session.received(answer(999, id: "stranger"), at: start, into: &actions)
    #expect(finished(actions) == [1: [.accepted(id: "a")], 3: [.accepted(id: "c")]])
    #expect(texts(actions) == ["5"])
    #expect(sent(actions).allSatisfy { $0.command == .submitSM }, "an unsolicited answer is not answered")
  }

  @Test func `the peer is answered while the window is full`() {
    var session = bound(LinkSettings(window: 1))
    var actions: [Session.Action] = []
    session.submit([part("1"), part("2")], as: 1, at: start, into: &actions)
    actions = []
    session.received(SMPPPDU(.enquireLink, sequence: 44), at: start, into: &actions)
    session.received(
      SMPPPDU(
        .deliverSM, sequence: 45, body: .message(SMPPMessage(source: SMPPAddress("1"), destination: SMPPAddress("2")))),
      at: start, into: &actions)
    #expect(sent(actions).map(\.command) == [.enquireLink.response])
    #expect(sent(actions).first?.sequence == 44)
    guard case .offer(_, let handle)? = actions.last else { return #expect(Bool(false), "offer") }
    actions = []
    session.answered(handle: handle, with: .busy, into: &actions)
    #expect(sent(actions).first?.status == .messageQueueFull)
    #expect(sent(actions).first?.sequence == 45)
    session.answered(handle: handle, with: .taken, into: &actions)
    #expect(actions.count == 1, "answered once")
  }

  @Test func `more inbound than the bound is told to come again`() {
    var session = bound(LinkSettings(inboundLimit: 2))
    var actions: [Session.Action] = []
    for sequence in 1...3 {
      session.received(
        SMPPPDU(
          .deliverSM, sequence: UInt32(sequence),
          body: .message(SMPPMessage(source: SMPPAddress("1"), destination: SMPPAddress("2")))),
        at: start, into: &actions)
    }
    #expect(sent(actions).map(\.status) == [.messageQueueFull])
  }

  @Test func `an answer that never comes leaves the part unknown, and a late one is still told`() {
    var session = bound(LinkSettings(window: 1, responseTimeout: .seconds(5)))
    var actions: [Session.Action] = []
    session.submit([part("1")], as: 1, at: start, into: &actions)
    session.submit([part("2")], as: 2, at: start, into: &actions)
    actions = []
    session.tick(at: start + .seconds(4.9), into: &actions)
    #expect(finished(actions).isEmpty)
    session.tick(at: start + .seconds(5), into: &actions)
    guard case .unknown(let fault)? = finished(actions)[1]?.first else { return #expect(Bool(false), "unknown") }
    #expect(fault.code == .timeout)
    #expect(texts(actions) == ["2"])
    actions = []
    session.received(answer(2, id: "late"), at: start + .seconds(6), into: &actions)
    guard case .late(let ticket, let index, let said)? = actions.first else { return #expect(Bool(false), "late") }
    #expect(ticket == 1)
    #expect(index == 0)
    #expect(said == .accepted(id: "late"))
  }

  @Test func `throttling pauses the link, keeps the order and fails nothing`() {
    var session = bound(LinkSettings(window: 4, throttlePause: .seconds(1)))
    var actions: [Session.Action] = []
    for ticket in 1...6 { session.submit([part("\(ticket)")], as: UInt64(ticket), at: start, into: &actions) }
    #expect(texts(actions) == ["1", "2", "3", "4"])
    actions = []
    session.received(answer(4, .throttled), at: start, into: &actions)
    session.received(answer(5, .messageQueueFull), at: start, into: &actions)
    session.received(answer(2, id: "a"), at: start, into: &actions)
    session.received(answer(3, .throttled), at: start, into: &actions)
    #expect(finished(actions) == [1: [.accepted(id: "a")]])
    #expect(texts(actions).isEmpty)
    #expect(session.isThrottled)
    actions = []
    session.tick(at: start + .seconds(0.9), into: &actions)
    #expect(texts(actions).isEmpty)
    session.tick(at: start + .seconds(1), into: &actions)
    #expect(texts(actions) == ["2", "3", "4"], "half the window, one more for the answer that came, in the old order")
    actions = []
    for sequence in 6...8 {
      session.received(answer(UInt32(sequence), id: "\(sequence)"), at: start + .seconds(1), into: &actions)
    }
    #expect(finished(actions).keys.sorted() == [2, 3, 4])
    #expect(texts(actions) == ["5", "6"])
  }

  @Test func `a peer that stays full defers what waits too long, and only that`() {
    var session = bound(
      LinkSettings(
        window: 1, queueTimeout: .seconds(3), throttlePause: .seconds(10), throttlePauseMaximum: .seconds(10)))
    var actions: [Session.Action] = []
    session.submit([part("1")], as: 1, at: start, into: &actions)
    session.received(answer(2, .throttled), at: start, into: &actions)
    session.submit([part("2")], as: 2, at: start + .seconds(2), into: &actions)
    actions = []
    session.tick(at: start + .seconds(3), into: &actions)
    guard case .notSent(let fault)? = finished(actions)[1]?.first else { return #expect(Bool(false), "not sent") }
    #expect(fault.code == .throttled)
    #expect(finished(actions)[2] == nil)
  }

  @Test func `a lost connection leaves what left in doubt and what waited unsent`() {
    var session = bound(LinkSettings(window: 2))
    var actions: [Session.Action] = []
    for ticket in 1...4 { session.submit([part("\(ticket)")], as: UInt64(ticket), at: start, into: &actions) }
    actions = []
    session.disconnected(Fault(.connection, text: "gone"), into: &actions)
    let results = finished(actions)
    for ticket in [UInt64(1), 2] {
      guard case .unknown? = results[ticket]?.first else { return #expect(Bool(false), "unknown") }
    }
    for ticket in [UInt64(3), 4] {
      guard case .notSent? = results[ticket]?.first else { return #expect(Bool(false), "not sent") }
    }
    actions = []
    session.submit([part("5")], as: 5, at: start, into: &actions)
    guard case .notSent? = finished(actions)[5]?.first else { return #expect(Bool(false), "not sent") }
  }

  @Test func `a nack for a request refuses it, one for nobody ends the session`() {
    var session = bound()
    var actions: [Session.Action] = []
    session.submit([part("1")], as: 1, at: start, into: &actions)
    session.submit([part("2")], as: 2, at: start, into: &actions)
    actions = []
    session.received(SMPPPDU(.genericNack, status: .invalidCommandID, sequence: 2), at: start, into: &actions)
    guard case .refused(.reject(.protocolViolation), _)? = finished(actions)[1]?.first else {
      return #expect(Bool(false), "refused")
    }
    session.received(SMPPPDU(.genericNack, status: .invalidCommandLength, sequence: 77), at: start, into: &actions)
    #expect(session.isUp)
    session.received(SMPPPDU(.genericNack, status: .invalidMessageLength, sequence: 0), at: start, into: &actions)
    guard case .unknown? = finished(actions)[2]?.first, case .close? = actions.last else {
      return #expect(Bool(false), "unknown, then close")
    }
  }

  @Test func `what is unknown is nacked by its number, and a strange answer is not`() {
    var session = bound()
    var actions: [Session.Action] = []
    session.received(SMPPPDU(SMPPCommand(rawValue: 0x777), sequence: 12), at: start, into: &actions)
    session.received(SMPPPDU(SMPPCommand(rawValue: 0x8000_0777), sequence: 13), at: start, into: &actions)
    session.received(SMPPPDU(.alertNotification, sequence: 14), at: start, into: &actions)
    #expect(sent(actions) == [SMPPPDU(.genericNack, status: .invalidCommandID, sequence: 12)])
  }

  @Test func `silence is asked about, and more silence ends the session`() {
    var session = bound(LinkSettings(keepaliveInterval: .seconds(10), keepaliveTimeout: .seconds(5)))
    var actions: [Session.Action] = []
    session.tick(at: start + .seconds(9), into: &actions)
    #expect(actions.isEmpty)
    session.tick(at: start + .seconds(10), into: &actions)
    #expect(sent(actions).map(\.command) == [.enquireLink])
    actions = []
    session.received(SMPPPDU(.enquireLink.response, sequence: 2), at: start + .seconds(11), into: &actions)
    session.tick(at: start + .seconds(20), into: &actions)
    #expect(actions.isEmpty)
    session.tick(at: start + .seconds(21), into: &actions)
    session.tick(at: start + .seconds(26), into: &actions)
    guard case .close(let fault?)? = actions.last else { return #expect(Bool(false), "close") }
    #expect(fault.code == .timeout)
  }

  @Test func `a peer that unbinds is answered; answers after it still count`() {
    var session = bound(LinkSettings(window: 1, drainTimeout: .seconds(5)))
    var actions: [Session.Action] = []
    session.submit([part("1"), part("2")], as: 1, at: start, into: &actions)
    actions = []
    session.received(SMPPPDU(.unbind, sequence: 9), at: start, into: &actions)
    #expect(sent(actions).map(\.command) == [.unbind.response])
    session.received(answer(2, id: "after"), at: start + .seconds(1), into: &actions)
    guard case .accepted(id: "after")? = finished(actions)[1]?.first, case .notSent? = finished(actions)[1]?.last else {
      return #expect(Bool(false), "accepted, not sent")
    }
  }

  @Test func `draining finishes what is in hand, says goodbye and takes no more`() {
    var session = bound()
    var actions: [Session.Action] = []
    session.submit([part("1")], as: 1, at: start, into: &actions)
    session.drain(at: start, into: &actions)
    session.submit([part("2")], as: 2, at: start, into: &actions)
    guard case .notSent? = finished(actions)[2]?.first else { return #expect(Bool(false), "not sent") }
    actions = []
    session.received(answer(2, id: "x"), at: start + .seconds(1), into: &actions)
    session.tick(at: start + .seconds(1), into: &actions)
    #expect(sent(actions).map(\.command) == [.unbind])
    session.received(SMPPPDU(.unbind.response, sequence: 3), at: start + .seconds(1), into: &actions)
    guard case .close(nil)? = actions.last else { return #expect(Bool(false), "close") }
  }

  @Test func `a wrong bind state sends nothing twice and ends the session`() {
    var session = bound()
    var actions: [Session.Action] = []
    session.submit([part("1")], as: 1, at: start, into: &actions)
    session.received(answer(2, .invalidBindStatus), at: start, into: &actions)
    guard case .notSent? = finished(actions)[1]?.first, case .close? = actions.last else {
      return #expect(Bool(false), "not sent, then close")
    }
  }

  @Test func `a cancelled submission takes back what has not left`() {
    var session = bound(LinkSettings(window: 1))
    var actions: [Session.Action] = []
    session.submit([part("1"), part("2")], as: 1, at: start, into: &actions)
    actions = []
    session.cancel(1, into: &actions)
    guard case .unknown? = finished(actions)[1]?.first, case .notSent? = finished(actions)[1]?.last else {
      return #expect(Bool(false), "unknown, not sent")
    }
    actions = []
    session.received(answer(2), at: start, into: &actions)
    guard case .late? = actions.first else { return #expect(Bool(false), "late") }
    #expect(texts(actions).isEmpty)
  }

  @Test func `an SMSC's own codes mean what the link says`() {
    let smpp = SMPPSettings(
      systemID: "u", password: "p", verdicts: [0x412: .reject(.unknownRecipient), 0x413: .throttle])
    var session = bound(smpp: smpp)
    var actions: [Session.Action] = []
    session.submit([part("1")], as: 1, at: start, into: &actions)
    session.submit([part("2")], as: 2, at: start, into: &actions)
    session.received(answer(2, SMPPStatus(rawValue: 0x412)), at: start, into: &actions)
    session.received(answer(3, SMPPStatus(rawValue: 0x413)), at: start, into: &actions)
    guard case .refused(.reject(.unknownRecipient), let fault)? = finished(actions)[1]?.first else {
      return #expect(Bool(false), "refused")
    }
    #expect(fault.peerCode == "0x00000412")
    #expect(finished(actions)[2] == nil)
    #expect(session.isThrottled)
  }

  @Test func `a query is asked and answered, or not`() {
    var session = bound(smpp: SMPPSettings(systemID: "u", password: "p", asksQueries: true))
    var actions: [Session.Action] = []
    session.query(messageID: "abc", as: 5, at: start, into: &actions)
    #expect(sent(actions).first?.body == .query(messageID: "abc", source: SMPPAddress("")))
    actions = []
    session.received(
      SMPPPDU(
        .querySM.response, sequence: 2, body: .queryResult(messageID: "abc", finalDate: "", state: 2, errorCode: 0)),
      at: start, into: &actions)
    guard case .queried(5, .delivered?)? = actions.first else { return #expect(Bool(false), "queried") }
    actions = []
    session.query(messageID: "abc", as: 6, at: start, into: &actions)
    session.received(SMPPPDU(.genericNack, status: .invalidCommandID, sequence: 3), at: start, into: &actions)
    guard case .queried(6, nil)? = actions.last else { return #expect(Bool(false), "queried") }
    var deaf = bound()
    actions = []
    deaf.query(messageID: "abc", as: 7, at: start, into: &actions)
    guard case .queried(7, nil)? = actions.first else { return #expect(Bool(false), "queried") }
  }

  @Test func `numbers wrap before the highest bit`() {
    var session = bound(LinkSettings(window: 10))
    var actions: [Session.Action] = []
    for ticket in 0..<5 { session.submit([part("x")], as: UInt64(ticket), at: start, into: &actions) }
    #expect(sent(actions).map(\.sequence) == [2, 3, 4, 5, 6])
  }

  @Test func `reconnecting waits longer each time, to a bound, and a wrong password waits a minute`() {
    var policy = ReconnectPolicy(LinkSettings(reconnectDelay: .seconds(1), reconnectDelayMaximum: .seconds(8)))
    let delays = (0..<6).map { _ in policy.delay(refusedLogin: false, chance: 0.5) }
    #expect(delays == [1, 2, 4, 8, 8, 8].map { .seconds($0) })
    #expect(policy.delay(refusedLogin: true, chance: 0) == .seconds(45))
    policy.succeeded()
    #expect(policy.delay(refusedLogin: false, chance: 1) == .seconds(1.25))
  }

  @Test func `a part's fields are written as its link wants them`() {
    let dialect = SMPPDialect(
      bind: .transceiver, settings: SMPPSettings(systemID: "u", password: "p"), profile: TextProfile(method: .sar))
    var outbound = part("hi")
    outbound.from = "MyBank"
    outbound.coding = .ucs2
    outbound.messageClass = 0
    outbound.method = .sar
    outbound.concatenation = Concatenation(reference: 0x1234, wide: true, total: 2, number: 1)
    let pdu = dialect.submit(outbound, sequence: 1)
    guard case .message(let message) = pdu.body else { return #expect(Bool(false), "message") }
    #expect(message.source == SMPPAddress(ton: 5, npi: 0, "MyBank"))
    #expect(message.destination == SMPPAddress(ton: 1, npi: 1, "8613800138000"))
    #expect(message.dataCoding == 0x18)
    #expect(pdu.parameters[.sarReference]?.integer == 0x1234)
    #expect(pdu.parameters[.sarNumber]?.integer == 1)
    outbound.octets = Array(repeating: 0x41, count: 300)
    let long = dialect.submit(outbound, sequence: 2)
    #expect(long.parameters[.messagePayload]?.value.count == 300)
  }

  @Test func `the outcome of a message is that of its parts`() {
    func combined(_ results: [PartResult]) -> Submission {
      PartResults(results, expected: results.count).combined(
        link: "l", charged: results.count, reference: 1, at: Timestamp(seconds: 0), throttlePause: .seconds(1)
      ).submission
    }
    let fault = Fault(.contentRefused, text: "no")
    #expect(
      combined([.accepted(id: "1"), .accepted(id: nil)])
        == .accepted(Receipt(peerID: nil, at: Timestamp(seconds: 0), parts: 2)))
    #expect(combined([.refused(.reject(.contentRefused), fault), .notSent(fault)]) == .rejected(fault))
    #expect(combined([.notSent(fault)]) == .deferred(fault, retryAfter: nil))
    #expect(combined([.refused(.retry(.peerFailure), fault)]) == .deferred(fault, retryAfter: nil))
    guard case .inDoubt = combined([.accepted(id: "1"), .refused(.reject(.contentRefused), fault)]) else {
      return #expect(Bool(false), "in doubt")
    }
    guard case .inDoubt = combined([.unknown(fault), .notSent(fault)]) else { return #expect(Bool(false), "in doubt") }
    guard
      case .inDoubt = PartResults([], expected: 1).combined(
        link: "l", charged: 1, reference: 1, at: Timestamp(seconds: 0), throttlePause: .seconds(1)
      ).submission
    else { return #expect(Bool(false), "in doubt") }
  }
}

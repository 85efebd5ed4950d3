import Channels
import Logging
import Synchronization

/// The channel SMS: several links (SMPP, CMPP, Kannel) behind one seam.
///
/// A dispatch goes to one of the links that are up, chosen by weight. Only when a link has *rejected* it — surely not
/// sent, and not for a reason that lies in the message — the next is tried; never after in doubt or deferred.
/// What the links bring is answered on the wire after `accept` has returned. `inquire` tells what late answers have
/// told. HTTP callbacks of a Kannel come in through `receive`, which the composition root mounts.
public final class SMSAdapter: ChannelAdapter {
  private struct Lifecycle {
    var isRunning = false
    var isDraining = false
    var hasEnded = false
    var since: Timestamp
    /// HTTP calls being answered; `run` does not return before they are.
    var calls = 0
    var whenIdle: CheckedContinuation<Void, Never>?
  }

  private struct Balance {
    var current: [String: Int] = [:]
  }

  public let channel: ContactChannel
  public let capabilities: Capabilities
  private let configuration: SMSConfiguration
  private let links: [any SMSLink]
  private let taker: InboundTaker
  private let wallClock: @Sendable () -> Timestamp
  private let accept = Mutex<Accept?>(nil)
  private let balance = Mutex(Balance())
  private let lifecycle: Mutex<Lifecycle>
  private let gate: CallbackGate

  public init(
    channel: ContactChannel, configuration: SMSConfiguration, logger: Logger,
    wallClock: @escaping @Sendable () -> Timestamp
  ) {
    self.channel = channel
    self.configuration = configuration
    self.wallClock = wallClock
    let numbers = configuration.numbers
    let links = configuration.links.map { Self.make($0, numbers: numbers, wallClock: wallClock, logger: logger) }
    self.links = links
    taker = InboundTaker(channel: channel, configuration: configuration, wallClock: wallClock)
    capabilities = Capabilities(
      abilities: [.receives, .submits], maximumArrivalBytes: 255 * 1_024,
      reportsDelivery: links.contains { $0.reportsDelivery }, answersInquiry: true, dedupesOnKey: false,
      submissionsPerSecond: configuration.submissionsPerSecond)
    lifecycle = Mutex(Lifecycle(since: wallClock()))
    gate = CallbackGate(secret: configuration.callbackSecret, sources: configuration.callbackSources)
  }

  private static func make(
    _ link: SMSConfiguration.Link, numbers: NumberPlan, wallClock: @escaping @Sendable () -> Timestamp, logger: Logger
  ) -> any SMSLink {
    switch link.kind {
    case .smpp(let settings, let endpoint, let binds):
      let description = WireLink<SMPPDialect>.Description(
        name: link.name, weight: link.weight, endpoint: endpoint, settings: link.settings, profile: link.profile,
        reportsDelivery: link.reportsDelivery, answersQueries: settings.asksQueries, idRule: link.messageIDs,
        defaultSender: link.defaultSender, nationalCode: nil,
        dialects: binds.map { SMPPDialect(bind: $0, settings: settings, profile: link.profile) })
      return WireLink(description, wallClock: wallClock, logger: logger) { pdu in
        guard let reading = pdu.inbound(on: link.profile, receipts: link.receipts) else { return nil }
        let reference = pdu.parameters[.userMessageReference]?.integer.map { UInt16(truncatingIfNeeded: $0) }
        return (reading, .init(reference: reference))
      }
    case .cmpp(let settings, let endpoint, let connections):
      let profile = profile(of: link)
      let description = WireLink<CMPPDialect>.Description(
        name: link.name, weight: link.weight, endpoint: endpoint, settings: link.settings, profile: profile,
        reportsDelivery: link.reportsDelivery, answersQueries: false, idRule: link.messageIDs,
        defaultSender: link.defaultSender, nationalCode: numbers.countryCode,
        dialects: (0..<max(1, connections)).map { _ in CMPPDialect(settings: settings, wallClock: wallClock) })
      return WireLink(description, wallClock: wallClock, logger: logger) { pdu in
        guard let reading = pdu.inbound(receipts: link.receipts) else { return nil }
        guard case .deliver(let deliver) = pdu.body, deliver.messageID != 0 else { return (reading, .init()) }
        let since = CMPPMessageID(deliver.messageID).time(
          utcOffsetSeconds: settings.utcOffsetSeconds, before: wallClock())
        return (
          reading,
          .init(wireKey: "\(link.name)/\([UInt8](messageID: deliver.messageID).hex)", since: since)
        )
      }
    case .kannel(let settings):
      return KannelLink(
        name: link.name, weight: link.weight, settings: settings, profile: link.profile,
        defaultSender: link.defaultSender, wallClock: wallClock)
    }
  }

  /// As the link's protocol can write it: CMPP has numbers only for some codings, and what it cannot say is not chosen.
  private static func profile(of link: SMSConfiguration.Link) -> TextProfile {
    guard case .cmpp = link.kind else { return link.profile }
    var profile = link.profile
    profile.defaultAlphabet = .ascii
    profile.codings = link.profile.codings.filter { CMPPFormat.format(of: $0) != nil }
    if profile.codings.isEmpty { profile.codings = [.ascii, .ucs2] }
    if profile.method != .udh16 { profile.method = .udh8 }
    return profile
  }

  // MARK: Life

  public func run(accept: @escaping Accept) async throws {
    self.accept.withLock { $0 = accept }
    lifecycle.withLock { state in
      state.isRunning = true
      state.since = wallClock()
    }
    let (arrivals, inbox) = AsyncStream<LinkArrival>.makeStream()
    let taker = taker
    let links = links
    await withTaskGroup(of: Bool.self) { group in
      group.addTask {
        await withDiscardingTaskGroup { group in
          for link in links { group.addTask { await link.run { inbox.yield($0) } } }
        }
        inbox.finish()
        return false
      }
      group.addTask {
        // Bounded by the links: each offers at most `inboundLimit` undecided PDUs.
        await withDiscardingTaskGroup { group in
          for await arrival in arrivals { group.addTask { await taker.take(arrival, accept: accept) } }
        }
        return true
      }
      group.addTask {
        while !Task.isCancelled {
          await taker.tick(accept: accept)
          // Ends with the run: cancelled below.
          do { try await Task.sleep(for: .milliseconds(200)) } catch { return false }
        }
        return false
      }
      for await consumerIsDone in group where consumerIsDone { group.cancelAll() }
    }
    await withCheckedContinuation { continuation in
      let isIdle = lifecycle.withLock { state in
        // No further call is begun: those that come now are told to come again.
        state.isRunning = false
        if state.calls > 0 { state.whenIdle = continuation }
        return state.calls == 0
      }
      if isIdle { continuation.resume() }
    }
    await taker.finish(accept: accept)
    self.accept.withLock { $0 = nil }
    lifecycle.withLock { state in
      state.isRunning = false
      state.hasEnded = true
      state.since = wallClock()
    }
  }

  public func beginDrain() {
    lifecycle.withLock { state in
      if !state.isDraining { state.since = wallClock() }
      state.isDraining = true
    }
    taker.beginDrain()
    for link in links { link.beginDrain() }
  }

  public var health: Health {
    get async {
      let life = lifecycle.withLock { $0 }
      let since = life.since
      let last = taker.lastArrivalAt
      if !life.isRunning {
        return Health(state: life.hasEnded || life.isDraining ? .stopped : .starting, since: since, lastArrivalAt: last)
      }
      if life.isDraining { return Health(state: .draining, since: since, lastArrivalAt: last) }
      let states = links.map(\.status)
      let text = states.compactMap(\.text).joined(separator: "; ")
      let changed = max(since, states.map(\.since).max() ?? since)
      let state: Health.State =
        if states.allSatisfy({ $0.state == .up }) { .up } else if states.allSatisfy({ $0.state == .down }) {
          .down
        } else {
          .degraded
        }
      return Health(state: state, since: changed, text: text.isEmpty ? nil : text, lastArrivalAt: last)
    }
  }

  // MARK: Out

  public func wireIdentity(of attempt: AttemptID) -> String { attempt.description }

  public func submit(_ dispatch: Dispatch) async -> Submission {
    if lifecycle.withLock({ $0.isDraining }) {
      return .deferred(Fault(.connection, text: "the channel is being stopped"), retryAfter: nil)
    }
    guard let to = Self.recipient(dispatch.to, configuration.numbers) else {
      return .rejected(Fault(.badAddress, text: "no number that a short message can be sent to"))
    }
    var last: Submission?
    for link in candidates(dispatch.content.options["sms.link"]) {
      taker.submissionBegan()
      let result = await link.submit(dispatch, to: to, from: dispatch.from)
      var submission = result.submission
      if !result.ids.isEmpty {
        let ids = taker.note(result, of: dispatch, link: link.name, recipient: to)
        if case .accepted(var receipt) = submission {
          receipt.peerID = ids.first
          receipt.partIDs = ids.count > 1 ? ids : []
          submission = .accepted(receipt)
        }
      }
      taker.submissionEnded()
      guard case .rejected(let fault) = submission, Self.anotherLinkMayTake(fault) else { return submission }
      last = submission
    }
    return last ?? .deferred(Fault(.connection, text: "no link has that name, or there is none"), retryAfter: nil)
  }

  private static func recipient(_ address: Address, _ numbers: NumberPlan) -> Address? {
    guard address.kind == .phone || address.kind == .shortCode || address.kind == .other else { return nil }
    let known = numbers.address(address.canonical)
    let digits = known.canonical.hasPrefix("+") ? known.canonical.dropFirst() : known.canonical[...]
    guard (3...20).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      return nil
    }
    return known
  }

  /// Of a rejected dispatch: whether the reason lies with the link rather than with the message.
  private static func anotherLinkMayTake(_ fault: Fault) -> Bool {
    switch fault.code {
    case .badAddress, .unknownRecipient, .tooLarge, .expired: false
    default: true
    }
  }

  /// The links in the order they are tried: by smooth weighted round robin among those that are up, then those that are
  /// not (whose refusal then says why).
  private func candidates(_ wanted: String?) -> [any SMSLink] {
    if let wanted { return links.filter { $0.name == wanted } }
    guard links.count > 1 else { return links }
    let isUp = links.map { $0.status.state != .down }
    let first = balance.withLock { balance -> Int? in
      var total = 0
      var best: Int?
      let weighted = links.indices.contains { isUp[$0] && links[$0].weight > 0 }
      for index in links.indices where isUp[index] && (links[index].weight > 0 || !weighted) {
        let weight = max(1, links[index].weight)
        total += weight
        let current = (balance.current[links[index].name] ?? 0) + weight
        balance.current[links[index].name] = current
        if best.map({ current > (balance.current[links[$0].name] ?? 0) }) ?? true { best = index }
      }
      if let best { balance.current[links[best].name, default: 0] -= total }
      return best
    }
    guard let first else { return links }
    let others = links.indices.filter { $0 != first }
    return [links[first]] + others.filter { isUp[$0] }.sorted { links[$0].weight > links[$1].weight }.map { links[$0] }
  }

  public func inquire(about dispatch: Dispatch) async -> Submission {
    guard let answers = taker.answers(about: dispatch.wireIdentity) else {
      if let to = Self.recipient(dispatch.to, configuration.numbers) {
        taker.expect(dispatch, on: links.map { ($0.name, parts(of: dispatch, on: $0.name)) }, recipient: to)
      }
      return .inDoubt(Fault(.unsupported, text: "nothing is known of it; only its receipt can tell"))
    }
    var ids: [String] = []
    var reject: Fault?
    var retry: Fault?
    for answer in answers {
      switch answer {
      case .accepted(let id)?: ids.append(id ?? "")
      case .refused(.reject, let fault)?: reject = reject ?? fault
      case .refused(_, let fault)?: retry = retry ?? fault
      case nil: return .inDoubt(Fault(.timeout, text: "not every part has been answered"))
      }
    }
    if ids.count == answers.count {
      let named = ids.filter { !$0.isEmpty }
      return .accepted(
        Receipt(peerID: named.first, at: wallClock(), parts: answers.count, partIDs: named.count > 1 ? named : []))
    }
    guard ids.isEmpty else { return .inDoubt(Fault(.peerFailure, text: "some of its parts were taken, others not")) }
    if let reject { return .rejected(reject) }
    return .deferred(retry ?? Fault(.peerFailure, text: "refused"), retryAfter: nil)
  }

  /// How many parts it was sent as by this link.
  private func parts(of dispatch: Dispatch, on link: String) -> Int {
    let withOptOut = dispatch.content.options["sms.opt_out_line"] == "true"
    do { return try preview(dispatch.content.text, link: link, optOutLine: withOptOut)?.parts ?? 1 } catch {
      // It cannot have left by this one.
      return 1
    }
  }

  /// What the SMSC says of a message it accepted under `peerID` (as in `Receipt.peerID`), by query_sm; nil if it or the link
  /// cannot say.
  public func state(of peerID: String) async -> DeliveryReport.State? {
    let halves = peerID.split(separator: "/", maxSplits: 1)
    guard halves.count == 2, let link = links.first(where: { $0.name == halves[0] }), link.answersQueries else {
      return nil
    }
    return await link.query(messageID: String(halves[1]))
  }

  // MARK: HTTP callbacks and preview

  /// Kannel's MO and DLR calls: 200 only after the commit, 503 to come again, 403 for strangers, 404 for other paths.
  public func receive(_ request: CallbackRequest) async -> CallbackResponse {
    guard gate.admits(request) else { return CallbackResponse(status: 403) }
    let kannels = configuration.links.filter { if case .kannel = $0.kind { true } else { false } }
    let components = request.path.split(separator: "/").map(String.init)
    guard let link = kannels.first(where: { components.contains($0.name) }) ?? kannels.first,
      let reading = KannelCallbacks.read(
        request, link: link.name, numbers: configuration.numbers, receipts: link.receipts)
    else { return CallbackResponse(status: 404) }
    let isTaken = lifecycle.withLock { state in
      guard state.isRunning, !state.isDraining else { return false }
      state.calls += 1
      return true
    }
    guard isTaken else { return CallbackResponse(status: 503, retryAfter: 5) }
    defer {
      let idle = lifecycle.withLock { state -> CheckedContinuation<Void, Never>? in
        state.calls -= 1
        guard state.calls == 0 else { return nil }
        defer { state.whenIdle = nil }
        return state.whenIdle
      }
      idle?.resume()
    }
    guard let accept = accept.withLock({ $0 }) else { return CallbackResponse(status: 503, retryAfter: 5) }
    taker.noteArrival(at: wallClock())
    let from = reading.from.isEmpty ? nil : configuration.numbers.address(reading.from)
    let payload: Arrival.Payload
    switch reading.content {
    case .unreadable(let reason): payload = .unreadable(reason)
    case .report(var report):
      let codes = [report.fault?.peerCode, report.fault?.text].compactMap { $0?.uppercased() }
      if codes.contains(where: { link.condemningCodes.contains($0) }) { report.condemnsAddress = true }
      payload = .report(report)
    case .message(let text, let defects, let properties):
      var message = InboundMessage(text: text, properties: properties)
      if let from, from.kind == .phone { message.claims = [Claim(.phone, from.canonical, source: .wire)] }
      if defects > 0 { message.properties.append(.init("sms.undecodable", String(defects))) }
      SMSKeywords.mark(&message, configuration.keywords)
      payload = .message(message)
    }
    let acceptance = await accept(
      Arrival(
        channel: channel, wireKey: reading.wireKey, from: from,
        to: reading.to.isEmpty ? nil : configuration.numbers.address(reading.to), receivedAt: wallClock(),
        waitingSince: reading.since, payload: payload,
        raw: Array((request.query.isEmpty ? "" : request.query + "\n").utf8) + request.body))
    switch acceptance {
    // An empty body: Kannel would send any other to the customer.
    case .stored, .duplicate: return CallbackResponse(status: 200)
    case .busy(let retryAfter):
      return CallbackResponse(status: 503, retryAfter: Int(max(1, retryAfter.components.seconds)))
    case .refused(let refusal): return CallbackResponse(status: 422, body: refusal.code.rawValue)
    }
  }

  /// What `text` costs on the named link, or on the first; nil if there is no such link.
  public func preview(
    _ text: String, link name: String? = nil, optOutLine: Bool = false
  ) throws(Segmentation.Failure) -> TextPreview? {
    guard let link = name == nil ? configuration.links.first : configuration.links.first(where: { $0.name == name })
    else { return nil }
    return try TextPreview(of: text, on: Self.profile(of: link), link: link.name, optOutLine: optOutLine)
  }
}

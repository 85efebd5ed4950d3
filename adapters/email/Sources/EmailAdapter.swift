import Channels
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// What an e-mail channel is made of.
public struct EmailSettings: Sendable {
  /// The channel's name, unique among all.
  public var name: String
  /// `service@bank.example`, display name, id host, bounce mailbox.
  public var composer: Composer.Settings
  /// Further addresses of ours for which mail is taken; the mailbox and the bounce mailbox are always ours.
  public var addresses: [String]
  /// Secrets of signed addresses; the first signs, all verify.
  public var signingKeys: [[UInt8]]
  public var listener: MailListenerSettings?
  public var mailboxes: [MailboxSettings]
  public var submission: MailSubmissionSettings?
  public var maximumMessageBytes: Int
  /// `Health` is `degraded` when a mailbox has had no successful fetch for so long.
  public var alarmAfter: Duration
  /// Submissions a second the server is known to take; nil: unlimited.
  public var submissionsPerSecond: Int?

  public init(
    name: String, composer: Composer.Settings, addresses: [String] = [], signingKeys: [[UInt8]],
    listener: MailListenerSettings? = nil, mailboxes: [MailboxSettings] = [], submission: MailSubmissionSettings? = nil,
    maximumMessageBytes: Int = 30 << 20, alarmAfter: Duration = .seconds(900), submissionsPerSecond: Int? = nil
  ) {
    self.name = name
    self.composer = composer
    self.addresses = addresses
    self.signingKeys = signingKeys
    self.listener = listener
    self.mailboxes = mailboxes
    self.submission = submission
    self.maximumMessageBytes = maximumMessageBytes
    self.alarmAfter = alarmAfter
    self.submissionsPerSecond = submissionsPerSecond
  }
}

/// The e-mail channel: in by LMTP, SMTP, IMAP and POP3, out by SMTP.
///
/// One dead mailbox does not stop the listener nor the other mailboxes; only a port that cannot be bound makes `run`
/// throw. Source: specs/email.md, adapters/email/README.md.
public final class EmailAdapter: ChannelAdapter {
  public let channel: ContactChannel
  public let capabilities: Capabilities

  private let settings: EmailSettings
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let composer: Composer
  private let maker: ArrivalMaker
  private let listener: MailListener?
  private let fetchers: [MailboxFetcher]
  private let submitter: MailSubmitter?
  private struct State {
    var started: Timestamp?
    var stopped = false
    var draining = false
    var health: Health?
    var lastArrival: Timestamp?
    var lastSubmissionFault: Fault?
    /// Ends the wait of a channel that only sends.
    var waiting: AsyncStream<Void>.Continuation?
  }
  private let state = Mutex(State())

  /// - Parameter cursors: where the fetchers' cursors are kept; durable at the composition root.
  /// - Parameter refused: told of what the listener refused before it became an arrival.
  public init(
    settings: EmailSettings, cursors: MailboxCursors = .none, logger: Logger = Logger(label: "email"),
    group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    refused: @escaping @Sendable (Refusal.Code) -> Void = { _ in },
    now: @escaping @Sendable () -> Timestamp = systemTime
  ) {
    self.settings = settings
    self.now = now
    self.logger = logger
    channel = ContactChannel(kind: .email, name: settings.name)
    let signer = SignedAddress(keys: settings.signingKeys)
    composer = Composer(settings: settings.composer, signer: signer)
    let own = ([settings.composer.mailbox, settings.composer.bounceMailbox] + settings.addresses).map {
      $0.lowercased()
    }
    maker = ArrivalMaker(channel: channel, signer: signer, ownAddresses: own, idHost: settings.composer.idHost)
    let ours = Set(own)
    listener = settings.listener.map {
      MailListener(settings: $0, group: group, logger: logger, now: now, refused: refused) {
        ours.contains(baseAddress($0))
      }
    }
    fetchers = settings.mailboxes.map {
      MailboxFetcher(
        settings: $0, cursors: cursors, maximumBytes: settings.maximumMessageBytes, logger: logger, now: now)
    }
    submitter = settings.submission.map { MailSubmitter(settings: $0, now: now) }
    var abilities: Set<Capabilities.Ability> = []
    if listener != nil || !fetchers.isEmpty { abilities.insert(.receives) }
    if submitter != nil { abilities.insert(.submits) }
    capabilities = Capabilities(
      abilities: abilities,
      maximumArrivalBytes: min(settings.maximumMessageBytes, settings.listener?.maximumMessageBytes ?? .max),
      reportsDelivery: true, answersInquiry: false, dedupesOnKey: false,
      submissionsPerSecond: settings.submissionsPerSecond)
  }

  /// The listener's port once it is bound.
  public var listenerPort: Int? { listener?.port }

  public func run(accept: @escaping Accept) async throws {
    let started = now()
    state.withLock { state in
      state.started = started
      state.stopped = false
    }
    defer { state.withLock { $0.stopped = true } }
    do {
      try await receive(accept)
    } catch {
      // A cancelled listener has no fault of its own.
      if !Task.isCancelled { throw error }
    }
    // Cancelled to be run again, it goes on sending; drained, it has sent its last.
    if state.withLock({ $0.draining }) { await submitter?.stop() }
  }

  private func receive(_ accept: @escaping Accept) async throws {
    let maker = maker
    let now = now
    try await withThrowingTaskGroup(of: Void.self) { group in
      if let listener {
        group.addTask {
          try await listener.run { envelope, message in
            await self.deliver(envelope, message, accept: accept)
          }
        }
      }
      for fetcher in fetchers {
        group.addTask {
          let address = fetcher.settings.address
          await fetcher.run { fetched in
            let arrival = await maker.arrival(
              raw: fetched.raw, wireKey: fetched.wireKey, envelope: nil, mailbox: address, tooLarge: fetched.tooLarge,
              receivedAt: now(), waitingSince: fetched.waitingSince)
            return await self.noting(accept, arrival)
          }
        }
      }
      if listener == nil, fetchers.isEmpty { group.addTask { await self.drained() } }
      try await group.waitForAll()
    }
  }

  /// A channel that only sends runs until it is told to drain, or cancelled.
  private func drained() async {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    let isDraining = state.withLock { state in
      state.waiting = continuation
      return state.draining
    }
    if !isDraining { for await _ in stream {} }
  }

  public func beginDrain() {
    let waiting = state.withLock { state in
      state.draining = true
      return state.waiting
    }
    listener?.beginDrain()
    for fetcher in fetchers { fetcher.beginDrain() }
    waiting?.finish()
  }

  // MARK: In

  /// What a mail makes as an arrival, without its wire: for bytes that are read anew.
  public func read(_ raw: [UInt8], to mailbox: String) async -> Arrival {
    await maker.arrival(raw: raw, wireKey: nil, envelope: nil, mailbox: mailbox, tooLarge: nil, receivedAt: now())
  }

  /// Each recipient is an arrival of its own: two mailboxes of one bank, one mail, two answers.
  private func deliver(_ envelope: MailSession.Envelope, _ message: [UInt8], accept: @escaping Accept) async
    -> [MailSession.Outcome]
  {
    let receivedAt = now()
    var outcomes: [MailSession.Outcome] = []
    for recipient in envelope.recipients {
      let arrival = await maker.arrival(
        raw: message, wireKey: ArrivalMaker.contentKey(message, recipient: recipient), envelope: envelope,
        mailbox: recipient, tooLarge: nil, receivedAt: receivedAt)
      switch await noting(accept, arrival) {
      case .stored, .duplicate: outcomes.append(.stored)
      case .busy: outcomes.append(.busy)
      case .refused(let refusal): outcomes.append(.refused(refusal.text))
      }
    }
    return outcomes
  }

  private func noting(_ accept: Accept, _ arrival: Arrival) async -> Acceptance {
    let acceptance = await accept(arrival)
    state.withLock { $0.lastArrival = arrival.receivedAt }
    return acceptance
  }

  // MARK: Out

  public func wireIdentity(of attempt: AttemptID) -> String { composer.messageID(of: attempt) }

  public func submit(_ dispatch: Dispatch) async -> Submission {
    guard let submitter else { return .rejected(Fault(.unsupported, text: "this channel does not send")) }
    guard dispatch.to.kind == .email, dispatch.to.canonical.utf8.contains(0x40) else {
      return .rejected(Fault(.badAddress, text: "not an e-mail address"))
    }
    let time = now()
    if let expires = dispatch.expires, expires <= time {
      return .rejected(Fault(.expired, text: "nobody wants it any more"))
    }
    let mail = composer.compose(dispatch, at: time)
    guard mail.bytes.count <= settings.maximumMessageBytes else {
      return .rejected(Fault(.tooLarge, text: "\(mail.bytes.count) bytes"))
    }
    let letter = ESMTPSession.Letter(
      from: mail.envelopeFrom, to: dispatch.to.canonical, envelopeID: dispatch.attempt.description, bytes: mail.bytes)
    let outcome = await submitter.send(letter).outcome
    state.withLock {
      switch outcome {
      case .accepted, .rejected: $0.lastSubmissionFault = nil
      case .deferred(let fault, _), .inDoubt(let fault):
        $0.lastSubmissionFault = [.connection, .timeout, .authentication].contains(fault.code) ? fault : nil
      }
    }
    return outcome
  }

  /// SMTP cannot be asked. What is known comes by itself: a bounce, a delivery report, a reply.
  public func inquire(about dispatch: Dispatch) async -> Submission {
    guard submitter != nil else { return .rejected(Fault(.unsupported, text: "this channel does not send")) }
    return .inDoubt(Fault(.unsupported, text: "a mail server cannot be asked what became of a mail"))
  }

  // MARK: Health

  public var health: Health {
    get async {
      let time = now()
      let statuses = fetchers.map { ($0.settings, $0.status) }
      let alarmAfter = settings.alarmAfter
      return state.withLock { state in
        let started = state.started
        var worst: Health.State = started == nil ? .starting : .up
        var texts: [String] = []
        for (mailbox, status) in statuses {
          let last = status.lastSuccess ?? started ?? time
          if time - last >= alarmAfter {
            worst = .degraded
            texts.append("no successful fetch from \(mailbox.host) since \(last)")
          } else if let failure = status.failure {
            worst = .degraded
            texts.append("\(mailbox.host): \(failure.text)")
          }
        }
        if !statuses.isEmpty, texts.count == statuses.count, settings.listener == nil { worst = .down }
        if let fault = state.lastSubmissionFault {
          if worst == .up { worst = .degraded }
          texts.append("submission: \(fault.text)")
        }
        if state.draining { worst = .draining }
        if state.stopped { worst = .stopped }
        let arrivals = (statuses.compactMap { $0.1.lastArrival } + [state.lastArrival].compactMap { $0 }).max()
        let text = texts.isEmpty ? nil : texts.joined(separator: "; ")
        let since = state.health.flatMap { $0.state == worst ? $0.since : nil } ?? time
        let health = Health(state: worst, since: since, text: text, lastArrivalAt: arrivals)
        state.health = health
        return health
      }
    }
  }
}

/// The address without its plus-tag, in lower case.
func baseAddress(_ address: String) -> String {
  let lower = address.lowercased()
  guard let at = lower.lastIndex(of: "@"), let plus = lower[..<at].firstIndex(of: "+") else { return lower }
  return String(lower[..<plus] + lower[at...])
}

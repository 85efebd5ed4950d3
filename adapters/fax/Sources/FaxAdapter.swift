import Channels
import Logging
import NIOCore
import NIOPosix

/// Fax through one or several HylaFAX servers: the channel's one door.
///
/// Receiving and settling live in `ServerWatch`, one for each server; a submission opens a session of its own, as
/// HylaFAX's own
/// clients do. A job is found again by its JOBINFO, which is the attempt's wire identity and is committed before the
/// first byte leaves: so a submission whose answer was lost is looked up in queues and journal, never repeated.
/// Success comes only from STATE and STATUS, never from an event (specs/fax.md trap 1).
public final class FaxAdapter: ChannelAdapter {
  public let channel: ContactChannel
  public let capabilities: Capabilities
  private let configuration: FaxConfiguration
  private let watches: [ServerWatch]
  private let group: any EventLoopGroup
  private let work: NIOThreadPool
  private let logger: Logger
  private let clock: @Sendable () -> Timestamp

  /// `group` and `work` are the caller's to shut down; `work` gives the threads for decoding and child processes.
  public init(
    _ configuration: FaxConfiguration, group: any EventLoopGroup, work: NIOThreadPool, logger: Logger,
    clock: @escaping @Sendable () -> Timestamp
  ) {
    channel = configuration.channel
    self.configuration = configuration
    self.group = group
    self.work = work
    self.logger = logger
    self.clock = clock
    capabilities = Capabilities(
      abilities: [.receives, .submits], maximumArrivalBytes: configuration.maximumBytes, reportsDelivery: true,
      answersInquiry: true, dedupesOnKey: false)
    watches = configuration.servers.map {
      ServerWatch($0, configuration, group: group, work: work, logger: logger, clock: clock)
    }
  }

  public func run(accept: @escaping Accept) async throws {
    await withTaskGroup { tasks in
      for watch in watches { tasks.addTask { await watch.run(accept: accept) } }
    }
  }

  public func beginDrain() {
    for watch in watches { watch.drain() }
  }

  /// The worst of the servers, but down only when all are.
  public var health: Health {
    get async {
      var all: [(String, Health)] = []
      for watch in watches { all.append((watch.server.name, await watch.health)) }
      guard let first = all.first?.1 else { return Health(state: .down, since: clock(), text: "no server configured") }
      let states = Set(all.map(\.1.state))
      var overall = first
      if states.count > 1 { overall.state = .degraded }
      overall.since = all.map(\.1.since).max() ?? first.since
      overall.lastArrivalAt = all.compactMap(\.1.lastArrivalAt).max()
      let texts = all.compactMap { name, health in health.text.map { "\(name): \($0)" } }
      overall.text = texts.isEmpty ? nil : texts.joined(separator: "; ")
      return overall
    }
  }

  /// What the faxrcvd hook posts; the answer is what the hook is told.
  public func received(_ notice: ReceiveNotice) async -> NoticeAnswer {
    guard let watch = watches.first(where: { $0.server.name == notice.server }) else { return .unknownServer }
    return await watch.notice(notice)
  }

  // MARK: Sending

  public func wireIdentity(of attempt: AttemptID) -> String { attempt.description }

  public func submit(_ dispatch: Dispatch) async -> Submission {
    guard let number = FaxJob.dialable(dispatch.to.canonical) ?? FaxJob.dialable(dispatch.to.raw) else {
      return .rejected(Fault(.badAddress, text: "not a number that may be dialled"))
    }
    guard let dialled = FaxJob.dialable(DialRule.apply(configuration.dialRules, to: number)) else {
      return .rejected(Fault(.badAddress, text: "the dial rules leave nothing that may be dialled"))
    }
    let now = clock()
    let lifetime = dispatch.expires.map { $0 - now } ?? configuration.lifetime
    guard lifetime > .zero else { return .rejected(Fault(.expired, text: "expired before it was submitted")) }
    let document: OutboundDocument
    do {
      let settings = configuration.documents
      document = try await work.runIfActive {
        try OutboundDocument.prepare(dispatch.content, to: number, settings: settings, at: now)
      }
    } catch let fault as Fault {
      return fault.code == .internalError ? .deferred(fault, retryAfter: .seconds(60)) : .rejected(fault)
    } catch {
      return .deferred(Fault(.internalError, text: "\(error)"), retryAfter: nil)
    }
    let options = dispatch.content.options
    var last = Fault(.connection, text: "no server configured")
    // A server that cannot be reached or does not let us in has taken nothing: the next one may.
    for watch in order(for: dispatch.attempt) {
      let server = watch.server
      let job = FaxJob(
        number: dialled, external: number, tag: dispatch.wireIdentity, pages: document.pages, isFine: document.isFine,
        lifetime: lifetime,
        dials: configuration.dials, tries: configuration.tries, modem: options["fax.modem"] ?? server.modem,
        sender: configuration.documents.senderName.isEmpty ? nil : configuration.documents.senderName,
        headerLine: options["fax.header"])
      let result: SubmissionSession.Result
      do {
        result = try await ServerSession.with(server, on: group) { await $0.submit(job, document: document.tiff) }
      } catch {
        last = error as? Fault ?? Fault(.cancelled, text: "\(error)")
        if error is CancellationError { return .deferred(last, retryAfter: nil) }
        continue
      }
      switch result {
      case .submitted(let id):
        return .accepted(Receipt(peerID: "\(server.name)/\(id)", at: clock(), parts: document.pages))
      case .refused(let id, let fault):
        return await refusal(id, on: server, fault)
      case .failed(let fault):
        if fault.code == .contentRefused { return .rejected(fault) }
        if [.connection, .timeout].contains(fault.code), !Task.isCancelled {
          last = fault
          continue
        }
        return .deferred(fault, retryAfter: nil)
      case .inDoubt(_, let fault):
        return .inDoubt(fault)
      }
    }
    return .deferred(last, retryAfter: nil)
  }

  /// Servers in turn, the healthy ones first; the attempt decides where the turn begins.
  private func order(for attempt: AttemptID) -> [ServerWatch] {
    guard watches.count > 1 else { return watches }
    let start = attempt.description.utf8.reduce(0) { ($0 &* 31 &+ Int($1)) & 0xffff } % watches.count
    return Array(watches[start...]) + Array(watches[..<start])
  }

  /// JSUBM said no: surely not sent. The reason is in the job's STATUS, to be read in a new session (trap 10).
  private func refusal(_ id: JobID, on server: FaxServer, _ fault: Fault) async -> Submission {
    let told: (state: JobState, status: String)?
    do {
      told = try await ServerSession.with(server, on: group) { try await $0.job(id) }
    } catch {
      return .deferred(fault, retryAfter: nil)
    }
    guard let told, told.state == .failed else { return .deferred(fault, retryAfter: .seconds(60)) }
    let outcome = JobOutcome(state: told.state, status: told.status, pagesSent: 0, pagesTotal: 0)
    let report = outcome?.report(wireIdentity: nil, peerID: nil, recipient: nil, status: told.status, happenedAt: nil)
    return .rejected(report?.fault ?? Fault(.peerFailure, text: told.status))
  }

  /// Looks for the wire identity in the queues of every server, then in their journals.
  public func inquire(about dispatch: Dispatch) async -> Submission {
    var unreachable: Fault?
    var isSure = true
    for watch in watches {
      let server = watch.server
      do {
        let trace = try await ServerSession.with(server, on: group) { try await $0.trace(of: dispatch.wireIdentity) }
        switch trace {
        case .queued(let row): return verdict(row, server)
        case .journalled(let job): return .accepted(Receipt(peerID: "\(server.name)/\(job)", at: clock()))
        case .absent(let journalRead): isSure = isSure && journalRead
        }
      } catch {
        unreachable = error as? Fault ?? Fault(.internalError, text: "\(error)")
      }
    }
    if let unreachable { return .inDoubt(unreachable) }
    guard let age = AttemptAge.of(dispatch.attempt, at: clock()) else {
      return .inDoubt(Fault(.internalError, text: "the attempt has no time"))
    }
    if age < configuration.settleDelay {
      return .inDoubt(Fault(.timeout, text: "no server knows it yet; it is too young to tell"))
    }
    if isSure || age < configuration.doneRetention {
      return .deferred(Fault(.connection, text: "no server has taken it"), retryAfter: nil)
    }
    return .inDoubt(Fault(.peerFailure, text: "in no queue, and the journal cannot be read to be sure"))
  }

  private func verdict(_ row: JobRow, _ server: FaxServer) -> Submission {
    if row.state == .failed, row.dials == 0, row.status.hasPrefix("REJECT") {
      return .rejected(Fault(.policy, peerCode: "refused", text: row.status))
    }
    return .accepted(Receipt(peerID: "\(server.name)/\(row.id)", at: clock(), parts: max(1, row.pagesTotal)))
  }

  /// What became of a withdrawal.
  public enum Withdrawal: Hashable, Sendable {
    /// The server will do nothing more; its report tells how far it had come.
    case withdrawn
    /// It cannot be stopped: it is in a call with another job (specs/fax.md trap 7), or over.
    case tooLate(String)
    case unknown(Fault)
  }

  /// Stops a job. Of a running one the page in hand is finished first: this can take minutes.
  public func withdraw(peerID: String) async -> Withdrawal {
    let parts = peerID.split(separator: "/")
    guard parts.count == 2, let id = JobID(parts[1]),
      let watch = watches.first(where: { $0.server.name == parts[0] })
    else { return .unknown(Fault(.badAddress, text: "no such job")) }
    do {
      let reply = try await ServerSession.with(watch.server, on: group) { try await $0.kill(id) }
      await watch.look()
      return reply.isSuccess ? .withdrawn : .tooLate(reply.text)
    } catch {
      return .unknown(error as? Fault ?? Fault(.cancelled, text: "\(error)"))
    }
  }
}

/// How old an attempt is: its id is a UUIDv7 and begins with the millisecond it was made.
enum AttemptAge {
  static func of(_ attempt: AttemptID, at now: Timestamp) -> Duration? {
    let digits = Array("0123456789abcdefghjkmnpqrstvwxyz")
    guard let text = attempt.description.split(separator: "_").last, text.count == 26 else { return nil }
    // 26 digits of 5 bits are 130 bits, 2 of them padding: the first 10 digits hold the 48 bits of time.
    var millis: Int64 = 0
    for character in text.prefix(10) {
      guard let value = digits.firstIndex(of: character) else { return nil }
      millis = millis << 5 | Int64(value)
    }
    return now - Timestamp(milliseconds: millis)
  }
}

import AsyncHTTPClient
import Channels
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// Where a Kannel takes messages and how it calls us back. Source: specs/sms.md §3.
public struct KannelSettings: Hashable, Sendable {
  /// `http://127.0.0.1:13013/cgi-bin/sendsms`.
  public var sendURL: String
  public var username: String
  public var password: String
  /// One of Kannel's smsc-ids; nil lets it choose.
  public var smsc: String?
  /// Under which our public listener is reached, with the secret path: `https://bank.example/sms/kannel/<secret>`; nil
  /// asks for no receipts.
  public var callbackURL: String?
  /// 31 asks for all of: delivered, failed, buffered, accepted and refused by the SMSC.
  public var reportMask: Int
  public var timeout: Duration
  /// Requests under way at a time.
  public var concurrency: Int

  public init(
    sendURL: String, username: String, password: String, smsc: String? = nil, callbackURL: String? = nil,
    reportMask: Int = 31, timeout: Duration = .seconds(20), concurrency: Int = 32
  ) {
    self.sendURL = sendURL
    self.username = username
    self.password = password
    self.smsc = smsc
    self.callbackURL = callbackURL
    self.reportMask = reportMask
    self.timeout = timeout
    self.concurrency = max(1, concurrency)
  }
}

/// A link through a real Kannel's sendsms. Kannel cuts long texts by itself, keeps what it accepted only in memory unless
/// it has a store, and answers without a message id: our own name for the attempt goes into the dlr-url and comes back.
final class KannelLink: SMSLink {
  private struct State {
    var link: LinkStatus
    var free: Int
    /// There while the link is run.
    var client: HTTPClient?
    var waiting = FIFO<CheckedContinuation<Void, Never>>()
  }

  let name: String
  let weight: Int
  private let settings: KannelSettings
  private let profile: TextProfile
  private let defaultSender: String
  private let wallClock: @Sendable () -> Timestamp
  private let state: Mutex<State>
  private let drainSignal = DrainSignal()

  init(
    name: String, weight: Int, settings: KannelSettings, profile: TextProfile, defaultSender: String,
    wallClock: @escaping @Sendable () -> Timestamp
  ) {
    self.name = name
    self.weight = weight
    self.settings = settings
    self.profile = profile
    self.defaultSender = defaultSender
    self.wallClock = wallClock
    state = Mutex(
      State(link: LinkStatus(state: .down, since: wallClock(), text: "\(name): not run"), free: settings.concurrency))
  }

  var reportsDelivery: Bool { settings.callbackURL != nil }
  var answersQueries: Bool { false }
  var idRule: MessageIDRule { MessageIDRule() }
  /// As the last request found it; there is no connection to watch.
  var status: LinkStatus { state.withLock { $0.link } }

  func run(sink: @escaping @Sendable (LinkArrival) -> Void) async {
    var configuration = HTTPClient.Configuration()
    // One attempt to connect: whether anything was sent must be known, and trying again is not ours.
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.timeout.connect = .seconds(5)
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    state.withLock {
      $0.client = client
      $0.link = LinkStatus(state: .up, since: wallClock(), text: nil)
    }
    await drainSignal.wait()
    // Submissions under way hold the places; when all are free none is left.
    for _ in 0..<settings.concurrency { await acquire() }
    state.withLock { $0.client = nil }
    for _ in 0..<settings.concurrency { release() }
    // A client that does not close cleanly is gone all the same.
    try? await client.shutdown()
  }
  func beginDrain() { drainSignal.raise() }
  func query(messageID: String) async -> DeliveryReport.State? { nil }

  func submit(_ dispatch: Dispatch, to: Address, from: Address?) async -> LinkSubmission {
    let now = wallClock()
    var minutes: Int64?
    if let expires = dispatch.expires {
      guard expires > now else { return LinkSubmission(.rejected(Fault(.expired, text: "nobody wants it any more"))) }
      minutes = max(1, (expires - now).components.seconds / 60)
    }
    let options = dispatch.content.options
    let (sent, counted) = profile.compose(dispatch.content.text, optOutLine: options["sms.opt_out_line"] == "true")
    let cut: Segmentation
    do throws(Segmentation.Failure) {
      // Only to count and to choose the coding: Kannel cuts.
      cut = try Segmentation(
        text: sent, counted: counted, codings: profile.codings, method: .udh8, reference: 0,
        maximumParts: profile.maximumParts)
    } catch {
      switch error {
      case .tooManyParts(let count):
        return LinkSubmission(
          .rejected(Fault(.tooLarge, text: "\(count) parts, but the link allows \(profile.maximumParts)")))
      case .notEncodable:
        return LinkSubmission(.rejected(Fault(.contentRefused, text: "no coding of the link has all characters")))
      }
    }
    var query: [(String, String)] = [
      ("username", settings.username), ("password", settings.password), ("to", to.canonical),
      ("from", from?.canonical ?? defaultSender), ("text", sent), ("charset", "UTF-8"),
      ("coding", cut.coding == .ucs2 ? "2" : "0"),
    ]
    if let smsc = settings.smsc { query.append(("smsc", smsc)) }
    if let minutes { query.append(("validity", String(minutes))) }
    if let flash = options["sms.class"] { query.append(("mclass", flash)) }
    if let priority = options["sms.priority"] { query.append(("priority", priority)) }
    if let callback = settings.callbackURL {
      query.append(("dlr-mask", String(settings.reportMask)))
      query.append(
        ("dlr-url", KannelCallbacks.reportURL(base: callback, wireIdentity: dispatch.wireIdentity)))
    }
    await acquire()
    defer { release() }
    let outcome = await send(query, parts: cut.chargedParts)
    note(outcome)
    return LinkSubmission(outcome, hasUnknown: { if case .inDoubt = outcome { true } else { false } }())
  }

  private func send(_ query: [(String, String)], parts: Int) async -> Submission {
    guard let client = state.withLock({ $0.client }) else {
      return .deferred(Fault(.connection, text: "the link is not run"), retryAfter: nil)
    }
    let text = query.map { "\($0.0)=\(PercentCoding.encode($0.1))" }.joined(separator: "&")
    var request = HTTPClientRequest(url: settings.sendURL + "?" + text)
    // A kept connection that Kannel closes at this moment would leave a doubt that a new one does not.
    request.headers.add(name: "Connection", value: "close")
    let response: HTTPClientResponse
    let body: String
    do {
      response = try await client.execute(
        request, timeout: .milliseconds(settings.timeout.wholeMilliseconds))
      body = String(buffer: try await response.body.collect(upTo: 4_096)).trimmed
    } catch let error as NIOConnectionError {
      return .deferred(Fault(.connection, text: "\(error)"), retryAfter: .seconds(2))
    } catch let error as IOError where Self.unreachable.contains(error.errnoCode) {
      return .deferred(Fault(.connection, text: "\(error)"), retryAfter: .seconds(2))
    } catch let error as HTTPClientError where error == .connectTimeout || error == .alreadyShutdown {
      return .deferred(Fault(.connection, text: "\(error)"), retryAfter: .seconds(2))
    } catch {
      // The request may have been read before the connection broke.
      return .inDoubt(Fault(error is CancellationError ? .cancelled : .connection, text: "\(error)"))
    }
    let code = Int(response.status.code)
    return Self.outcome(status: code, body: body, parts: parts, at: wallClock())
  }

  /// Nothing was sent when connecting ends so.
  private static let unreachable: Set<CInt> = [ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EHOSTDOWN, ENETDOWN]

  /// Kannel's replies, exactly as seen. Source: specs/sms.md §3.
  static func outcome(status: Int, body: String, parts: Int, at now: Timestamp) -> Submission {
    func fault(_ code: Fault.Code) -> Fault { Fault(code, peerCode: String(status), text: body) }
    switch status {
    // `0: Accepted for delivery` or `3: Queued for later delivery`: in both cases Kannel has it, and names no id.
    case 200..<300: return .accepted(Receipt(peerID: nil, at: now, parts: parts))
    case 503: return .deferred(fault(.peerFailure), retryAfter: .seconds(2))
    case 401, 403: return .rejected(fault(.authentication))
    case 404: return .rejected(fault(.unsupported))
    case 400:
      if body.hasPrefix("Number(s)") || body.hasPrefix("Missing receiver") { return .rejected(fault(.badAddress)) }
      return .rejected(fault(.contentRefused))
    case 500...: return .deferred(fault(.peerFailure), retryAfter: .seconds(2))
    default: return .rejected(fault(.protocolViolation))
    }
  }

  private func note(_ outcome: Submission) {
    state.withLock { state in
      var next = LinkStatus(state: .up, since: state.link.since, text: nil)
      switch outcome {
      case .deferred(let fault, _), .inDoubt(let fault):
        next = LinkStatus(state: .down, since: state.link.since, text: "\(name): \(fault.text)")
      case .rejected(let fault) where fault.code == .authentication:
        next = LinkStatus(state: .degraded, since: state.link.since, text: "\(name): \(fault.text)")
      case .accepted, .rejected: break
      }
      if next.state != state.link.state { next.since = wallClock() }
      state.link = next
    }
  }

  // MARK: At most `concurrency` at a time

  private func acquire() async {
    await withCheckedContinuation { continuation in
      let immediately = state.withLock { state in
        if state.free > 0 {
          state.free -= 1
          return true
        }
        state.waiting.append(continuation)
        return false
      }
      if immediately { continuation.resume() }
    }
  }

  private func release() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      if let waiter = state.waiting.popFirst() { return waiter }
      state.free += 1
      return nil
    }
    next?.resume()
  }
}

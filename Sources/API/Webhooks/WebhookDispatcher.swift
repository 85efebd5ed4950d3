import AsyncHTTPClient
import Channels
import ContactModel
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Store
import Synchronization

/// Tells receivers outside what happened.
///
/// Each receiver has a task of its own: it fills his outbox from the event log up to its durable cursor, delivers what
/// is due, events of one subject in order and different subjects side by side, and sleeps until an event is committed
/// or the next attempt is due. So a receiver that hangs holds up no other, and what a crash interrupted is in the
/// outbox still: a delivery may come twice with the same `webhook-id`, never not at all.
public final class WebhookDispatcher: Service {
  public struct Options: Sendable {
    public var timeout: Duration = .seconds(15)
    /// Deliveries to one receiver at once, each of another subject.
    public var width = 8
    /// Delivered ones are kept in the log for this long.
    public var retention: Duration = .seconds(30 * 86_400)
    public init() {}
  }
  private let database: Database
  private let masks: MaskPolicy
  private let options: Options
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let wakers = Mutex<[WebhookID: AsyncStream<Void>.Continuation]>([:])
  private let changes: AsyncStream<Void>
  private let changed: AsyncStream<Void>.Continuation

  public init(
    database: Database, masks: MaskPolicy = .shipped, options: Options = Options(),
    now: @escaping @Sendable () -> Timestamp, logger: Logger
  ) {
    self.database = database
    self.masks = masks
    self.options = options
    self.now = now
    self.logger = logger
    (changes, changed) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// A subscription was made or changed: it is looked at anew.
  public func reload() { changed.yield() }

  /// Delivers until cancelled or shut down; attempts under way are cut off and made again later.
  public func run() async throws {
    let observation = database.observe { [self] values in
      guard values.contains(where: { $0 is EventRecord }) else { return }
      for waker in wakers.withLock({ Array($0.values) }) { waker.yield() }
    }
    defer { observation.cancel() }
    changed.yield()
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup(of: WebhookID?.self) { group in
        var running = Set<WebhookID>()
        group.addTask { [self] in
          for await _ in changes {
            if Task.isCancelled { break }
            return nil
          }
          return nil
        }
        // The first task stands for the next change; the others are receivers and end when theirs is over.
        while let ended = await group.next() {
          if Task.isCancelled { break }
          if let ended {
            running.remove(ended)
            continue
          }
          for webhook in await active() {
            if running.insert(webhook.id).inserted {
              group.addTask { [self] in
                await serve(webhook.id)
                return webhook.id
              }
            } else {
              wakers.withLock { $0[webhook.id] }?.yield()
            }
          }
          group.addTask { [self] in
            for await _ in changes { return nil }
            return nil
          }
        }
        group.cancelAll()
      }
    }
  }

  private func active() async -> [Webhook] {
    do {
      let webhooks = try await database.read { try $0.webhooks() }
      return webhooks.filter { $0.state == .active }
    } catch {
      logger.error("Webhooks could not be read.", metadata: ["fault.text": "\(error)"])
      return []
    }
  }

  /// One receiver, until his subscription is no longer active or the task is cancelled.
  private func serve(_ id: WebhookID) async {
    defer { wakers.withLock { $0[id] = nil } }
    while !Task.isCancelled {
      // A new one for each round, in place before it begins: a stream whose reader was cancelled is over.
      let (wakes, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
      wakers.withLock { $0[id] = waker }
      do {
        guard let next = try await round(of: id) else { return }
        await wait(for: wakes, until: next.date)
      } catch is CancellationError {
        return
      } catch {
        logger.error(
          "A webhook's outbox could not be worked on.", metadata: ["webhook.id": "\(id)", "fault.text": "\(error)"])
        await wait(for: wakes, until: now() + .seconds(5))
      }
    }
  }

  struct Next: Sendable {
    /// Nil: nothing waits but the next event.
    var date: Timestamp?
  }

  /// Fills the outbox and delivers all that is due. Nil when the subscription is not active any more.
  func round(of id: WebhookID) async throws -> Next? {
    while try await database.write(.bulk, { [now] in try $0.fillOutbox(of: id, limit: 200, at: now()) }) == 200 {}
    while !Task.isCancelled {
      let time = now()
      guard let webhook = try await database.read(.live, { try $0.webhook(id) }), webhook.state == .active else {
        return nil
      }
      let due = try await database.read { [options] in try $0.dueDeliveries(of: id, at: time, limit: options.width * 4)
      }
      guard !due.isEmpty else { break }
      try await deliver(due, to: webhook)
    }
    return Next(date: try await database.read { try $0.nextDelivery(of: id) })
  }

  private func wait(for wakes: AsyncStream<Void>, until date: Timestamp?) async {
    await withTaskGroup(of: Void.self) { group in
      group.addTask { for await _ in wakes { return } }
      if let date {
        let delay = max(.milliseconds(1), date - now())
        group.addTask {
          // Cancelled when woken before: then there is nothing more to wait for.
          try? await Task.sleep(for: delay)
        }
      }
      await group.next()
      group.cancelAll()
    }
  }

  // MARK: One batch

  private func deliver(_ due: [WebhookDelivery], to webhook: Webhook) async throws {
    let client: HTTPClient
    switch await address(of: webhook) {
    case .refused(let reason):
      try await disable(webhook.id, reason)
      return
    case .unknown(let fault):
      for delivery in due { try await settle(delivery, shown: [], status: nil, fault: fault, retryAfter: nil) }
      return
    case .found(let host, let ip):
      var configuration = HTTPClient.Configuration()
      configuration.redirectConfiguration = .disallow
      // The address that was judged is the one that is called: a name that answers differently next time gains nothing.
      configuration.dnsOverride = [host: ip]
      configuration.timeout = .init(
        connect: .nanoseconds(min(options.timeout, .seconds(10)).wholeMicroseconds * 1_000))
      client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }
    do {
      var waiting = due[...]
      try await withThrowingTaskGroup(of: Void.self) { group in
        for _ in 0..<options.width {
          guard let delivery = waiting.popFirst() else { break }
          group.addTask { [self] in try await attempt(delivery, webhook, client) }
        }
        while try await group.next() != nil {
          if let delivery = waiting.popFirst() {
            group.addTask { [self] in try await attempt(delivery, webhook, client) }
          }
        }
      }
    } catch {
      try await client.shutdown()
      throw error
    }
    try await client.shutdown()
  }

  private func attempt(_ delivery: WebhookDelivery, _ webhook: Webhook, _ client: HTTPClient) async throws {
    guard let event = try await database.read(.live, { try $0.event(delivery.seq) }) else {
      try await settle(delivery, shown: [], status: nil, fault: "the event is gone", retryAfter: nil)
      return
    }
    let role = Role(rawValue: webhook.role).map { Set([$0]) } ?? []
    let message = WebhookMessage(
      event, secrets: webhook.secrets.compactMap { WebhookSecret($0) },
      mask: masks.mask(for: Principal(id: webhook.label, roles: role)), at: now())
    // On record with what came of it: an attempt that failed may have told the receiver all the same.
    let shown = event.seen.map {
      AuditEntry(
        $0, by: Actor(label: "webhook \(webhook.label)", agent: nil, role: webhook.role, trace: event.trace),
        purpose: "webhook", at: now())
    }
    var request = HTTPClientRequest(url: webhook.url)
    request.method = .POST
    for field in message.headers { request.headers.add(name: field.name, value: field.value) }
    request.body = .bytes(ByteBuffer(bytes: message.body))
    do {
      let response = try await client.execute(
        request, timeout: .nanoseconds(options.timeout.wholeMicroseconds * 1_000))
      let retryAfter = response.headers.first(name: "Retry-After").flatMap { Int64($0) }.map { Duration.seconds($0) }
      try await settle(
        delivery, shown: shown, status: Int(response.status.code), fault: nil, retryAfter: retryAfter)
    } catch let error as HTTPClientError where error == .cancelled {
      throw CancellationError()
    } catch let error as DatabaseError {
      throw error
    } catch {
      if Task.isCancelled { throw CancellationError() }
      try await settle(
        delivery, shown: shown, status: nil, fault: String("\(error)".prefix(200)), retryAfter: nil)
    }
  }

  private func settle(
    _ delivery: WebhookDelivery, shown: [AuditEntry], status: Int?, fault: String?, retryAfter: Duration?
  ) async throws {
    let time = now()
    let verdict = WebhookPolicy.judge(
      status: status, fault: fault, retryAfter: retryAfter, attempts: delivery.attempts,
      chance: Double.random(in: 0..<1), at: time)
    let retention = options.retention
    try await database.write { transaction in
      for entry in shown { try transaction.audit(entry) }
      switch verdict {
      case .delivered:
        try transaction.settleDelivery(
          of: delivery.seq, to: delivery.webhook, status: status, fault: nil, nextAt: nil, at: time)
        if delivery.seq % 256 == 0 { try transaction.forgetDeliveries(before: time - retention) }
      case .again(let next, let fault):
        try transaction.settleDelivery(
          of: delivery.seq, to: delivery.webhook, status: status, fault: fault, nextAt: next, at: time)
      case .exhausted(let fault):
        try transaction.settleDelivery(
          of: delivery.seq, to: delivery.webhook, status: status, fault: fault, nextAt: nil, at: time)
      case .gone:
        // It stays pending: should somebody enable the subscription again, nothing is missing.
        try transaction.settleDelivery(
          of: delivery.seq, to: delivery.webhook, status: status, fault: "410 Gone", nextAt: time, at: time)
        guard var webhook = try transaction.webhook(delivery.webhook) else { return }
        webhook.state = .disabled
        webhook.stateReason = "the receiver answered 410 Gone"
        try transaction.update(webhook, at: time)
      }
    }
  }

  private func disable(_ id: WebhookID, _ reason: String) async throws {
    let time = now()
    try await database.write { transaction in
      guard var webhook = try transaction.webhook(id) else { return }
      webhook.state = .disabled
      webhook.stateReason = reason
      try transaction.update(webhook, at: time)
    }
    logger.warning("A webhook was disabled.", metadata: ["webhook.id": "\(id)", "fault.text": "\(reason)"])
  }

  private enum Target: Sendable { case found(host: String, ip: String), refused(String), unknown(String) }

  /// Where the receiver is; refused when it is inside and the subscription may not go there.
  private func address(of webhook: Webhook) async -> Target {
    guard let url = HTTPClientRequest.parse(webhook.url) else { return .refused("the URL has no host") }
    do {
      let addresses = try await NIOThreadPool.singleton.runIfActive {
        try resolve(url.host, port: url.port)
      }
      guard let first = addresses.first else { return .unknown("the name has no address") }
      if !webhook.allowsInternal, addresses.contains(where: InternalAddress.isInternal) {
        return .refused("the address is inside the bank")
      }
      return .found(host: url.host, ip: first)
    } catch {
      return .unknown(String("\(error)".prefix(200)))
    }
  }
}

/// Every address of a name. Blocks.
private func resolve(_ host: String, port: Int) throws -> [String] {
  let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
  let address = try SocketAddress.makeAddressResolvingHost(bare, port: port)
  return [address.ipAddress].compactMap(\.self)
}

extension HTTPClientRequest {
  /// Scheme, host and port of an absolute http or https URL; nil for anything else.
  static func parse(_ url: String) -> (isSecure: Bool, host: String, port: Int)? {
    let isSecure = url.lowercased().hasPrefix("https://")
    guard isSecure || url.lowercased().hasPrefix("http://") else { return nil }
    let rest = url.dropFirst(isSecure ? 8 : 7).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard !rest.isEmpty, !rest.contains("@") else { return nil }
    var host = String(rest)
    var port = isSecure ? 443 : 80
    if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("]") {
      guard let number = Int(rest[rest.index(after: colon)...]), (1...65_535).contains(number) else { return nil }
      host = String(rest[..<colon])
      port = number
    }
    return host.isEmpty ? nil : (isSecure, host, port)
  }
}

import API
import Channels
import ContactModel
import CoreMetrics
import Customers
import Desk
import Foundation
import Intake
import Logging
import NIOCore
import NIOPosix
import Outbound
import ServiceLifecycle
import Store
import UnixSignals
import WebForms

/// The composition root: the one place where the rooms meet.
///
/// Everything is made here by hand, from the configuration, in the order of its needs, and handed to one service
/// group. On SIGTERM the group stops in reverse: listeners first, then channels, intake and desk, the store last.
struct Daemon {
  let configuration: Configuration
  let logger: Logger
  /// Told once everything listens.
  var onReady: @Sendable (Bound) async -> Void = { _ in }
  /// Run beside the daemon from the moment it is ready: the demo's traffic.
  var companions: [@Sendable (Bound) async -> Void] = []
  var extraMounts: [Mount] = []
  var now: @Sendable () -> Timestamp = systemTime
  var environment: [String: String] = ProcessInfo.processInfo.environment

  /// Where it can be reached.
  struct Bound: Sendable {
    var api: String
    var publicBase: String
    var database: Database
  }

  func run() async throws {
    let time = now()
    let crash = CrashPoints(environment: environment)
    var options = Database.Options()
    if let crash {
      options.atCommit = { point in
        switch point {
        case .before: crash.pass(.beforeCommit)
        case .after: crash.pass(.afterCommit)
        }
      }
    }
    let (database, bodies) = try openStore(configuration.store, options: options, now: time)
    if !database.migrated.isEmpty {
      logger.notice("The database was brought up to date.", metadata: ["migrations": "\(database.migrated)"])
    }
    let secrets = try Secrets(file: configuration.secretFile)
    try await applyShippedParameters(to: database, at: time)
    let parameters = try await ParametersInForce(database: database, now: now, logger: logger)

    let referenceKey = secrets.key(for: "reference")
    var intakeOptions = Intake.Options()
    intakeOptions.lateAfter = configuration.intake.lateAfter
    intakeOptions.lanes = configuration.intake.lanes
    intakeOptions.automaticPerHour = configuration.intake.automaticPerHour
    let intake = Intake(
      database: database, bodies: bodies, parameters: { parameters.intake },
      reference: { id, channel in
        channel.kind == .webform || channel.kind == .email
          ? ReferenceNumber(for: id, key: referenceKey).description : nil
      }, show: { try Desk.show($0, in: $1) }, now: now, options: intakeOptions, logger: logger)
    let desk = Desk(database: database, now: now, logger: logger)

    let work = NIOThreadPool(numberOfThreads: 4)
    work.start()
    let house = House(
      database: database, bodies: bodies, secrets: secrets, parameters: parameters, intake: intake, desk: desk,
      group: MultiThreadedEventLoopGroup.singleton, work: work, logger: logger, now: now)
    var channels: [WiredChannel] = []
    for channel in configuration.channels {
      channels.append(try await channel.wiring.wire(channel.name, with: house))
    }
    let commander = CallCommander(
      database: database, switches: channels.compactMap(\.callControl), now: now, logger: logger)
    let wrapUps = WrapUpKeeper(
      database: database, commander: commander, rules: { parameters.callRouting }, now: now, logger: logger)
    let accept: ChannelAdapter.Accept = { arrival in
      let acceptance = await intake.accept(arrival)
      switch arrival.payload {
      case .call(let event):
        commander.note(event)
        wrapUps.note(event)
      case .presence(let presence): wrapUps.note(presence)
      case .message, .report, .unreadable: break
      }
      crash?.pass(.beforeAnswer)
      return acceptance
    }
    let supervisors = channels.map { ChannelSupervisor($0.adapter, accept: accept, now: now, logger: logger) }
    // A paused channel is given nothing to send, and nobody is called by it.
    let held = { (link: OutboundLink) in
      var link = link
      if let supervisor = supervisors.first(where: { $0.adapter.channel == link.adapter.channel }) {
        link.isHeld = { supervisor.isPaused }
      }
      return link
    }
    let links = channels.flatMap(\.outbound).map(held)
    let dispatcher = makeDispatcher(links, house, crash)
    let health = HealthWatch(supervisors, database: database, now: now, logger: logger)

    // What was paused stays so over a restart.
    for supervisor in supervisors {
      let channel = supervisor.adapter.channel
      let word = try await database.read(.live) { try $0.cursor(named: "paused", of: channel) }
      if word == "yes" { supervisor.setPaused(true) }
    }

    let registry = OpenMetricsRegistry()
    MetricsSystem.bootstrap(registry)
    let hub = StreamHub()
    let tokens = TokenLookup(database: database, now: now)
    let bridge = EventBridge(hub: hub)
    let streaming = database.observe { bridge.publish($0) }
    let access = configuration.access
    let verifier = access.oauth2?.verifier()
    let webhooks = WebhookDispatcher(database: database, masks: access.masks, now: now, logger: logger)
    var routes = makeRoutes(
      registry: registry, database: database, bodies: bodies, hub: hub, tokens: tokens, intake: intake,
      supervisors: supervisors,
      rereading: { [channels] channel, raw, to in
        await channels.first { $0.adapter.channel == channel }?.reread?(raw, to)
      })
    let cursors = CursorSigner(secret: secrets.key(for: "cursor"))
    routes += CustomerResources(database: database, cursors: cursors).routes
    routes += RecordResources(database: database, cursors: cursors).routes
    routes +=
      OutboundResources(
        database: database, bodies: bodies, cursors: cursors, links: channels.flatMap(\.outbound),
        profile: { parameters.purposes }, templates: { parameters.templates }
      ).routes
    let proactive = ProactiveRooms(
      configuration.preferences, database: database, secrets: secrets, cursors: cursors, parameters: parameters,
      channels: channels, now: now, logger: logger)
    routes += proactive.routes
    let diallers = channels.compactMap(\.dialLine).map { line in
      var line = line
      line.link = held(line.link)
      return Dialler(database: database, dispatcher: dispatcher, line: line, clock: now, logger: logger)
    }
    routes +=
      DialResources(
        database: database, cursors: cursors, diallers: diallers, results: { parameters.callResults }
      ).routes
    let importer = Importer(database: database, now: now)
    let imports = try ImportRunner(
      importer: importer, database: database, directory: configuration.store.bodyDirectory + "/imports", now: now,
      logger: logger)
    routes += ImportResources(importer: importer).routes
    routes += ImportJobResources(database: database, runner: imports, cursors: cursors).routes
    routes += ContentResources(database: database, bodies: bodies).routes
    routes +=
      WebhookResources(
        database: database, dispatcher: webhooks, mayAllowInternal: configuration.webhooksMayBeInternal
      ).routes
    routes +=
      SMSPreviewResources(
        channels: channels.compactMap { wired in wired.textCosts.map { (wired.adapter.channel.name, $0) } }
      ).routes
    routes += CallResources(database: database, commander: commander, router: house.callRouter()).routes
    routes.append(Description.serving(version: liaisonVersion, routes: routes))
    let metrics = RequestMetrics(registry)
    let ready = ReadyGate(listeners: 3, now: now)
    let api = try listener(
      "api", configuration.api,
      site: Site(
        routes: routes, mounts: extraMounts,
        authentication: .bearer(webTokens: verifier, lookup: { try await tokens.record($0) }), masks: access.masks,
        limiter: configuration.api.requestsPerMinute.map {
          RateLimiter(RateLimiter.Policy(quota: $0, window: .seconds(60)))
        }, metrics: metrics, clock: now), ready)
    var whenAnswered: (@Sendable () -> Void)?
    if let crash { whenAnswered = { crash.pass(.afterAnswer) } }
    let forms = try listener(
      "public", configuration.publicListener,
      site: Site(
        mounts: channels.flatMap(\.publicMounts) + proactive.publicMounts,
        limiter: configuration.publicListener.requestsPerMinute.map {
          RateLimiter(RateLimiter.Policy(quota: $0, window: .seconds(60)))
        }, metrics: metrics, logsRemoteAddress: false, clock: now), ready, onAnswered: whenAnswered)
    let admin = Listener(
      ListenerConfiguration(name: "admin", address: .unixSocket(path: configuration.admin.socket, mode: 0o600)),
      site: Site(
        routes: routes, mounts: channels.flatMap(\.adminMounts), authentication: .socketPermission,
        masks: access.masks, clock: now),
      logger: logger,
      onBound: { _ in await ready.bound("admin", port: nil) })

    var services: [any Service] = [
      Running("store") {
        try await gracefulShutdown()
      } atEnd: {
        await database.close()
        work.shutdownGracefully { _ in }  // Nothing waits for it: every channel has ended.
      },
      Running("parameters") {
        await parameters.run()
      } onShutdown: {
        parameters.stop()
      },
      hub, webhooks, imports,
      Running("search") {
        await cancelWhenGracefulShutdown { await indexSearchBacklog(of: database, logger: logger) }
      },
      Running("desk") {
        await desk.run()
      } onShutdown: {
        desk.beginDrain()
      },
      Running("call commands") {
        await commander.run()
      } onShutdown: {
        commander.beginDrain()
      },
      Running("wrap-ups") {
        await wrapUps.run()
      } onShutdown: {
        wrapUps.beginDrain()
      },
      Running("intake") {
        await intake.run()
      } onShutdown: {
        intake.beginDrain()
      },
    ]
    services += supervisors
    services.append(
      Running("dispatcher") {
        try await dispatcher.run()
      } onShutdown: {
        dispatcher.beginDrain()
      })
    for dialler in diallers {
      services.append(
        Running("dialler") {
          await dialler.run()
        } onShutdown: {
          dialler.beginDrain()
        })
    }
    services.append(proactive.service)
    services.append(
      Running("health") {
        await health.run()
      } onShutdown: {
        health.stop()
      })
    services += [api.certificates, forms.certificates].compactMap { $0 }
    services += [admin, api.listener, forms.listener]
    let onReady = onReady
    let companions = companions
    let scheme = configuration.api.tls == nil ? "http" : "https"
    let publicScheme = configuration.publicListener.tls == nil ? "http" : "https"
    let hosts = (configuration.api.listen.host, configuration.publicListener.listen.host)
    services.append(
      Running("companions") {
        let ports = await ready.ports()
        guard ports["api"] != nil, ports["public"] != nil else { return }  // it ends before it serves
        let bound = Bound(
          api: "\(scheme)://\(hosts.0):\(ports["api"] ?? 0)",
          publicBase: "\(publicScheme)://\(hosts.1):\(ports["public"] ?? 0)", database: database)
        await onReady(bound)
        try await cancelWhenGracefulShutdown {
          await withTaskGroup(of: Void.self) { group in
            for companion in companions { group.addTask { await companion(bound) } }
          }
          try await gracefulShutdown()
        }
      } onShutdown: {
        ready.stop()
      })

    var group = ServiceGroupConfiguration(
      services: services.map { .init(service: $0, successTerminationBehavior: .ignore) },
      gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    group.maximumGracefulShutdownDuration = .seconds(10)
    do {
      try await ServiceGroup(configuration: group).run()
    } catch let error as ListenerError {
      throw DaemonError.unavailable("\(error)")
    }
    streaming.cancel()
    logger.notice("Liaison has stopped.")
  }

  private func makeDispatcher(_ links: [OutboundLink], _ house: House, _ crash: CrashPoints?) -> Dispatcher {
    var options = Dispatcher.Options()
    if let crash { options.atHandOver = { crash.pass(CrashPoints.Place($0)) } }
    let (parameters, bodies) = (house.parameters, house.bodies)
    return Dispatcher(
      database: house.database, links: links, zones: ZoneCatalog(), profile: { parameters.purposes },
      document: { part in
        guard let digest = BodyDigest(part.sha256) else {
          throw DatabaseError(.unreadable, "\(part.sha256) is no name of a body")
        }
        return try await bodies.read(digest)
      }, clock: now, logger: logger, options: options)
  }

  private func makeRoutes(
    registry: OpenMetricsRegistry, database: Database, bodies: BodyStore, hub: StreamHub, tokens: TokenLookup,
    intake: Intake, supervisors: [ChannelSupervisor], rereading: @escaping Intake.Rereading
  ) -> [Route] {
    var routes = operationalRoutes(metrics: registry) {
      var checks: [Readiness.Check] = []
      do {
        _ = try await database.write { try $0.query("SELECT 1 AS one") }
        checks.append(.init(name: "store", ok: true, isVital: true))
      } catch {
        checks.append(.init(name: "store", ok: false, isVital: true, detail: "\(error)"))
      }
      for supervisor in supervisors {
        let health = await supervisor.health
        checks.append(
          .init(
            name: "channel \(supervisor.adapter.channel.name)", ok: health.state == .up, isVital: false,
            detail: health.text ?? health.state.rawValue))
      }
      return Readiness(checks: checks)
    }
    routes += DeskResources(database: database, hub: hub, now: now).routes
    routes +=
      OperatorResources(
        database: database, hub: hub, bodies: bodies, tokens: tokens,
        actions: OperatorResources.Actions(
          channels: {
            var out: [(channel: ContactChannel, health: Health)] = []
            for supervisor in supervisors { out.append((supervisor.adapter.channel, await supervisor.health)) }
            return out
          },
          reprocess: { id, mended, actor in
            try await intake.reprocess(id, mended: mended, by: actor, rereading: rereading)
          },
          apply: { documents, isRehearsal, actor in
            try await apply(documents, to: database, rehearsal: isRehearsal, by: actor, at: now())
          },
          steer: { channel, pause in
            guard let supervisor = supervisors.first(where: { $0.adapter.channel == channel }) else { return false }
            try await database.write { try $0.setCursor(pause ? "yes" : "no", named: "paused", of: channel, at: now()) }
            supervisor.setPaused(pause)
            return true
          }), startedAt: now(), version: liaisonVersion
      ).routes
    return routes
  }

  private func listener(
    _ name: String, _ wiring: Configuration.ListenerWiring, site: Site, _ ready: ReadyGate,
    onAnswered: (@Sendable () -> Void)? = nil
  ) throws -> (listener: Listener, certificates: CertificateStore?) {
    var limits = ConnectionLimits()
    limits.maximumConnections = wiring.maximumConnections
    limits.maximumConnectionsPerAddress = wiring.maximumConnectionsPerAddress
    limits.requestTimeout = wiring.requestTimeout
    limits.idleTimeout = wiring.idleTimeout
    var certificates: CertificateStore?
    if let tls = wiring.tls {
      do {
        certificates = try CertificateStore(
          CertificateFiles(
            chain: tls.chain, key: tls.key, clientAuthorities: tls.clientAuthorities,
            clientCertificates: .init(rawValue: tls.clientCertificates) ?? .none), logger: logger)
      } catch {
        throw DaemonError.configuration("\(name).tls: \(error)")
      }
    }
    var configuration = ListenerConfiguration(
      name: name, address: .network(host: wiring.listen.host, port: wiring.listen.port), limits: limits)
    configuration.onAnswered = onAnswered
    return (
      Listener(
        configuration, site: site, certificates: certificates, logger: logger,
        onBound: { await ready.bound(name, port: $0) }), certificates
    )
  }

  /// A new database gets the shipped business parameters; one that has any is left as the bank made it.
  private func applyShippedParameters(to database: Database, at time: Timestamp) async throws {
    guard try await database.read(.live, { try $0.first("SELECT 1 AS one FROM parameter LIMIT 1") == nil }) else {
      return
    }
    let drafts = try shippedParameters(in: configuration.parameterDirectory)
    guard !drafts.isEmpty else { return }
    try await database.write { transaction in
      for case .refused(let reason) in try transaction.apply(drafts, actor: .liaison, at: time) {
        throw DaemonError.configuration("shipped parameters: \(reason)")
      }
    }
    logger.notice("The shipped business parameters were applied.", metadata: ["count": "\(drafts.count)"])
  }
}

/// Every parameter of the YAML files below a directory; throws for the first file that is wrong.
func shippedParameters(in directory: String) throws -> [ParameterDraft] {
  guard let names = FileManager.default.enumerator(atPath: directory) else {
    throw DaemonError.configuration("parameters: cannot read the directory \(directory)")
  }
  let files = names.compactMap { $0 as? String }.filter { $0.hasSuffix(".yaml") }.sorted()
  return try files.flatMap { name in
    let path = (directory as NSString).appendingPathComponent(name)
    return try ParameterFile.read(try String(contentsOfFile: path, encoding: .utf8), file: path)
  }
}

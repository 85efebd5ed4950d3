import Foundation
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization

/// One listener: a socket, its TLS, and the site behind it. Runs until shut down.
///
/// On SIGTERM it takes no new connection, closes idle ones, lets requests finish, ends the streams, and after
/// `drainTime` cuts off what is left, so that the process is gone within two seconds whatever clients do.
public struct Listener: Service, CustomStringConvertible {
  private let configuration: ListenerConfiguration
  private let site: Site
  private let certificates: CertificateStore?
  private let logger: Logger
  private let onBound: @Sendable (Int?) async -> Void

  /// `onBound` is told the port once the listener takes connections; nil for a Unix socket.
  public init(
    _ configuration: ListenerConfiguration, site: Site, certificates: CertificateStore? = nil, logger: Logger,
    onBound: @escaping @Sendable (Int?) async -> Void = { _ in }
  ) {
    self.configuration = configuration
    self.site = site
    self.certificates = certificates
    var logger = logger
    logger[metadataKey: "listener"] = .string(configuration.name)
    self.logger = logger
    self.onBound = onBound
  }

  /// Short: the service group logs it.
  public var description: String { "listener \(configuration.name)" }

  public func run() async throws {
    let table = ConnectionTable(maximumPerAddress: configuration.limits.maximumConnectionsPerAddress)
    if case .unixSocket(let path, _) = configuration.address { try await refuseIfInUse(path) }
    let isBound = Atomic<Bool>(false)
    let application = application(table) { isBound.store(true, ordering: .relaxed) }
    let drainTime = configuration.limits.drainTime
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await application.run() }
        group.addTask {
          // Ended by the shutdown, or cancelled with the group when the server ends by itself.
          try? await gracefulShutdown()  // throws only if cancelled: then there is nothing to cut off
          try? await Task.sleep(for: drainTime)  // the same
          table.closeAll()
        }
        try await group.next()
        group.cancelAll()
      }
    } catch  where !isBound.load(ordering: .relaxed) && !(error is CancellationError) {
      throw ListenerError.cannotListen(listener: configuration.name, address: address, reason: "\(error)")
    }
    if case .unixSocket(let path, _) = configuration.address {
      // Left over it would only be stale; if it cannot be removed the next start does so.
      try? FileManager.default.removeItem(atPath: path)
    }
  }

  /// Hummingbird's application for this listener; tests run it with a client.
  func application(
    _ table: ConnectionTable, whenBound: @escaping @Sendable () -> Void
  ) -> Application<SiteResponder> {
    var http = HTTP1Channel.Configuration(
      additionalChannelHandlers: [
        ConnectionGuard(table: table, limits: configuration.limits, onAnswered: configuration.onAnswered)
      ],
      idleTimeout: TimeAmount(configuration.limits.idleTimeout))
    http.httpDecoder.maxHeaderFieldSize = configuration.limits.maximumHeaderBytes
    http.httpDecoder.maxHeaderListSize = configuration.limits.maximumHeaderBytes
    http.httpDecoder.maxHeaderFieldCount = 100
    let settings = http
    let certificates = certificates
    let server = HTTPServerBuilder { responder in
      let base = HTTP1Channel(responder: responder, configuration: settings)
      if let certificates { return TLSListenerChannel(base: base, certificates: certificates) }
      return base
    }
    let bind: BindAddress
    switch configuration.address {
    case .network(let host, let port): bind = .hostname(host, port: port)
    case .unixSocket(let path, _): bind = .unixDomainSocket(path: path)
    }
    // Hummingbird tells of each start at info; ours says the same with the listener's name.
    var quiet = logger
    quiet.logLevel = max(logger.logLevel, .warning)
    return Application(
      responder: SiteResponder(
        site: site, listener: configuration.name, isSecure: certificates != nil,
        maximumTargetBytes: configuration.limits.maximumTargetBytes, logger: logger),
      server: server,
      configuration: ApplicationConfiguration(
        address: bind, serverName: nil, backlog: 1_024,
        availableConnectionsDelegate: MaximumAvailableConnections(
          configuration.limits.maximumConnections, logger: quiet)),
      onServerRunning: { channel in
        whenBound()
        await bound(channel)
      }, logger: quiet)
  }

  private func bound(_ channel: any Channel) async {
    if case .unixSocket(let path, let mode) = configuration.address {
      do {
        try FileManager.default.setAttributes([.posixPermissions: Int(mode)], ofItemAtPath: path)
      } catch {
        // Without its permissions the socket would be open to others: it is closed again.
        logger.error("socket permissions cannot be set", metadata: ["path": "\(path)", "error": "\(error)"])
        channel.close(promise: nil)
      }
    }
    logger.notice("listening", metadata: ["address": "\(channel.localAddress?.description ?? address)"])
    await onBound(channel.localAddress?.port)
  }

  private var address: String {
    switch configuration.address {
    case .network(let host, let port): "\(host):\(port)"
    case .unixSocket(let path, _): path
    }
  }

  /// A socket's file that answers belongs to a living daemon; one that does not is a leftover, and is replaced.
  private func refuseIfInUse(_ path: String) async throws {
    guard FileManager.default.fileExists(atPath: path) else { return }
    let peer: any Channel
    do {
      peer = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(unixDomainSocketPath: path).get()
    } catch { return }
    try await peer.close()
    throw ListenerError.cannotListen(
      listener: configuration.name, address: path, reason: "another process is listening there")
  }
}

public enum ListenerError: Error, Hashable, Sendable, CustomStringConvertible {
  case cannotListen(listener: String, address: String, reason: String)
  public var description: String {
    switch self {
    case .cannotListen(let listener, let address, let reason):
      "the listener \(listener) cannot listen on \(address): \(reason)"
    }
  }
}

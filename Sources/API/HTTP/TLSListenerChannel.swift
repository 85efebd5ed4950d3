import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOSSL

/// An HTTP/1.1 connection under TLS whose certificate is asked for anew for each connection.
///
/// Hummingbird's own TLS channel makes its context once, at start: with it a certificate could only be changed by a
/// restart.
struct TLSListenerChannel: ServerChildChannel {
  let base: HTTP1Channel
  let certificates: CertificateStore

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
    channel.eventLoop.makeCompletedFuture {
      try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: certificates.context))
    }.flatMap { base.setup(channel: channel, logger: logger) }
  }

  func handle(value: HTTP1Channel.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}

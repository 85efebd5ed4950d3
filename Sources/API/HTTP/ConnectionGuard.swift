import HTTPTypes
import NIOCore
import NIOHTTPTypes

/// Keeps one slow or greedy client from holding a connection: admission by address, the deadline of a request's
/// arrival, the deadline of a stalled write.
///
/// The idle time-out of the server covers a head that does not come; it begins anew with each part of a body, so a
/// body dripped byte by byte would hold the connection for ever: here a whole request has one deadline. On its expiry
/// 408 is answered if no answer has begun, and the connection is closed either way.
/// Source: RFC 9110 §15.5.9 (408).
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private let table: ConnectionTable
  private let requestTimeout: TimeAmount
  private let writeTimeout: TimeAmount
  private let onAnswered: (@Sendable () -> Void)?
  private var address: String?
  private var requestDeadline: Scheduled<Void>?
  private var writeDeadline: Scheduled<Void>?
  private var answerBegun = false
  /// Of the body since the deadline was last set.
  private var received = 0
  private var cutOff = false

  init(table: ConnectionTable, limits: ConnectionLimits, onAnswered: (@Sendable () -> Void)? = nil) {
    self.table = table
    self.onAnswered = onAnswered
    requestTimeout = TimeAmount(limits.requestTimeout)
    writeTimeout = TimeAmount(limits.writeTimeout)
  }

  func handlerAdded(context: ChannelHandlerContext) {
    address = context.channel.remoteAddress?.ipAddress
    guard table.admit(context.channel) else { return context.close(promise: nil) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    requestDeadline?.cancel()
    writeDeadline?.cancel()
    table.release(context.channel, address: address)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !cutOff else { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      answerBegun = false
      if head.headerFields[.expect]?.lowercased() == "100-continue" {
        // Some clients wait for ever, most for a second, before they send their body (RFC 9110 §10.1.1).
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
      expectRest(context)
    case .body(let part):
      // Whoever sends a large file keeps sending: each 64 KiB earns the time anew, so that no rate below that holds a
      // connection for long.
      received += part.readableBytes
      if received >= 65_536 { expectRest(context) }
    case .end:
      requestDeadline?.cancel()
      requestDeadline = nil
    }
    context.fireChannelRead(data)
  }

  private func expectRest(_ context: ChannelHandlerContext) {
    requestDeadline?.cancel()
    received = 0
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    requestDeadline = context.eventLoop.scheduleTask(in: requestTimeout) {
      let (handler, context) = bound.value
      handler.requestIsLate(context)
    }
  }

  private func requestIsLate(_ context: ChannelHandlerContext) {
    cutOff = true
    requestDeadline = nil
    if !answerBegun {
      let fields: HTTPFields = [.connection: "close", .contentLength: "0"]
      context.write(wrapOutboundOut(.head(HTTPResponse(status: .requestTimeout, headerFields: fields))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
    context.close(promise: nil)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    guard !cutOff else { return promise?.fail(ChannelError.ioOnClosedChannel) ?? () }
    let part = unwrapOutboundIn(data)
    if case .head = part { answerBegun = true }
    var promise = promise
    if let onAnswered, case .end = part {
      let written = promise ?? context.eventLoop.makePromise()
      written.futureResult.whenSuccess { onAnswered() }
      promise = written
    }
    context.write(data, promise: promise)
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    writeDeadline?.cancel()
    writeDeadline = nil
    if !context.channel.isWritable {
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      writeDeadline = context.eventLoop.scheduleTask(in: writeTimeout) { bound.value.close(promise: nil) }
    }
    context.fireChannelWritabilityChanged()
  }
}

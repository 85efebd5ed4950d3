import Channels
import NIOCore
import NIOPosix

/// One TCP connection to port 4559: a command goes out, its replies come back in order.
///
/// Used by one task at a time. A cancelled wait closes the connection, so that the server forgets an unsubmitted job.
final class ControlConnection: Sendable {
  private let channel: any Channel
  private let replies: NIOLoopBound<ReplyHandler>
  /// Host and port as configured; data connections go to the same host.
  let host: String

  private init(channel: any Channel, replies: NIOLoopBound<ReplyHandler>, host: String) {
    self.channel = channel
    self.replies = replies
    self.host = host
  }

  static func connect(host: String, port: Int, timeout: Duration, on group: any EventLoopGroup) async throws
    -> ControlConnection
  {
    do {
      let (channel, replies) = try await ClientBootstrap(group: group)
        .connectTimeout(TimeAmount(timeout))
        .channelOption(.socketOption(.so_keepalive), value: 1)
        .connect(host: host, port: port) { channel in
          channel.eventLoop.makeCompletedFuture {
            let handler = ReplyHandler()
            try channel.pipeline.syncOperations.addHandler(handler)
            return (channel, NIOLoopBound(handler, eventLoop: channel.eventLoop))
          }
        }
      return ControlConnection(channel: channel, replies: replies, host: host)
    } catch let error as CancellationError {
      throw error
    } catch {
      throw Fault(.connection, text: "\(host):\(port): \(error)")
    }
  }

  func send(_ command: Command) async throws {
    var buffer = channel.allocator.buffer(capacity: command.line.utf8.count + 2)
    buffer.writeString(command.line)
    buffer.writeStaticString("\r\n")
    do {
      try await channel.writeAndFlush(buffer)
    } catch {
      throw Fault(.connection, text: "writing \(command.verb): \(error)")
    }
  }

  /// The next reply. After `timeout` the connection is closed: an answer that comes later would be taken for another's.
  func next(within timeout: Duration) async throws -> Reply {
    let promise = channel.eventLoop.makePromise(of: Reply.self)
    let channel = channel
    let replies = replies
    channel.eventLoop.execute { replies.value.wait(promise, TimeAmount(timeout), channel) }
    return try await withTaskCancellationHandler {
      try await promise.futureResult.get()
    } onCancel: {
      channel.close(promise: nil)
    }
  }

  func close() { channel.close(promise: nil) }
}

/// Bytes to replies, and replies to those who wait for them. Lives on its channel's event loop.
private final class ReplyHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private static let unclaimedLimit = 64

  private var parser = ReplyParser()
  private var waiting: CircularBuffer<(promise: EventLoopPromise<Reply>, timer: Scheduled<Void>)> = []
  private var unclaimed: CircularBuffer<Reply> = []
  private var ended: Fault?

  func wait(_ promise: EventLoopPromise<Reply>, _ timeout: TimeAmount, _ channel: any Channel) {
    if let reply = unclaimed.popFirst() { return promise.succeed(reply) }
    if let ended { return promise.fail(ended) }
    let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
    let timer = channel.eventLoop.scheduleTask(in: timeout) {
      bound.value.end(Fault(.timeout, text: "no reply within \(timeout.nanoseconds / 1_000_000_000) s"))
      channel.close(promise: nil)
    }
    waiting.append((promise, timer))
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    do throws(ReplyParser.Failure) {
      for reply in try parser.feed(buffer.readableBytesView) {
        if let next = waiting.popFirst() {
          next.timer.cancel()
          next.promise.succeed(reply)
        } else {
          unclaimed.append(reply)
        }
      }
      guard unclaimed.count > ReplyHandler.unclaimedLimit else { return }
      end(Fault(.protocolViolation, text: "the server talks without being asked"))
    } catch {
      end(Fault(.protocolViolation, text: "\(error)"))
    }
    context.close(promise: nil)
  }

  func channelInactive(context: ChannelHandlerContext) {
    end(Fault(.connection, text: "the server closed the connection"))
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(Fault(.connection, text: "\(error)"))
    context.close(promise: nil)
  }

  private func end(_ fault: Fault) {
    if ended == nil { ended = fault }
    while let next = waiting.popFirst() {
      next.timer.cancel()
      next.promise.fail(fault)
    }
  }
}

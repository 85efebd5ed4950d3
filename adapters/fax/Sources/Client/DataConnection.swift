import Channels
import NIOCore
import NIOPosix

/// One data connection of a session, opened by us (passive mode: an active one would leave from the server's port 4558
/// and
/// two servers on one host block each other, specs/fax.md trap 9).
final class DataConnection: Sendable {
  private let channel: any Channel
  private let received: EventLoopFuture<[UInt8]>

  private init(channel: any Channel, received: EventLoopFuture<[UInt8]>) {
    self.channel = channel
    self.received = received
  }

  /// What arrives is kept up to `limit` bytes, or, when `sink` is given, handed to it piece by piece on the event loop.
  static func connect(
    host: String, port: Int, timeout: Duration, limit: Int, on group: any EventLoopGroup,
    sink: (@Sendable ([UInt8]) -> Void)? = nil
  ) async throws -> DataConnection {
    do {
      let (channel, received) = try await ClientBootstrap(group: group)
        .connectTimeout(TimeAmount(timeout))
        .channelOption(.socketOption(.so_keepalive), value: 1)
        .connect(host: host, port: port) { channel in
          channel.eventLoop.makeCompletedFuture {
            let promise = channel.eventLoop.makePromise(of: [UInt8].self)
            try channel.pipeline.syncOperations.addHandler(CollectHandler(promise, limit: limit, sink: sink))
            return (channel, promise.futureResult)
          }
        }
      return DataConnection(channel: channel, received: received)
    } catch let error as CancellationError {
      throw error
    } catch {
      throw Fault(.connection, text: "data connection to \(host):\(port): \(error)")
    }
  }

  /// Sends everything and closes: the end of the connection is the end of the document.
  func send(_ bytes: [UInt8], within timeout: Duration) async throws {
    let channel = channel
    let timer = channel.eventLoop.scheduleTask(in: TimeAmount(timeout)) { channel.close(promise: nil) }
    defer { timer.cancel() }
    do {
      try await withTaskCancellationHandler {
        try await channel.writeAndFlush(ByteBuffer(bytes: bytes))
        try await channel.close()
      } onCancel: {
        channel.close(promise: nil)
      }
    } catch {
      throw Fault(.connection, text: "sending the document: \(error)")
    }
  }

  /// Everything until the server closes.
  func receiveAll(within timeout: Duration) async throws -> [UInt8] {
    let channel = channel
    let timer = channel.eventLoop.scheduleTask(in: TimeAmount(timeout)) { channel.close(promise: nil) }
    defer { timer.cancel() }
    return try await withTaskCancellationHandler {
      try await received.get()
    } onCancel: {
      channel.close(promise: nil)
    }
  }

  func close() { channel.close(promise: nil) }
}

private final class CollectHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let promise: EventLoopPromise<[UInt8]>
  private let limit: Int
  private let sink: (@Sendable ([UInt8]) -> Void)?
  private var bytes: [UInt8] = []
  private var fault: Fault?

  init(_ promise: EventLoopPromise<[UInt8]>, limit: Int, sink: (@Sendable ([UInt8]) -> Void)?) {
    self.promise = promise
    self.limit = limit
    self.sink = sink
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let buffer = unwrapInboundIn(data)
    if let sink { return sink(Array(buffer.readableBytesView)) }
    guard bytes.count + buffer.readableBytes <= limit else {
      fault = Fault(.tooLarge, text: "more than \(limit) bytes")
      return context.close(promise: nil)
    }
    bytes.append(contentsOf: buffer.readableBytesView)
  }

  func channelInactive(context: ChannelHandlerContext) {
    if let fault { promise.fail(fault) } else { promise.succeed(bytes) }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    fault = fault ?? Fault(.connection, text: "\(error)")
    context.close(promise: nil)
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    // A second completion of a promise is ignored; a first one is due when the channel never became active.
    promise.fail(fault ?? Fault(.connection, text: "the data connection ended"))
  }
}

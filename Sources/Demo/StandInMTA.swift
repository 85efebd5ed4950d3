import Channels
import Email
import Logging
import NIOPosix

/// A mail server on the loopback that takes what the bank sends to its customers, for the demo, tests and benchmarks.
///
/// It is the protocol of the real listener with nothing behind it. Nothing is stored; what is taken is told.
public final class StandInMTA: Sendable {
  public struct Taken: Sendable {
    public var from: String
    public var recipients: [String]
    public var bytes: [UInt8]
  }
  public enum Answer: Sendable { case taken, later, never(String) }

  private let listener: MailListener

  /// - Parameter serves: whether a recipient is known here; others are told 550.
  public init(
    port: Int = 0, now: @escaping @Sendable () -> Timestamp,
    serves: @escaping @Sendable (String) -> Bool = { _ in true }
  ) {
    listener = MailListener(
      settings: MailListenerSettings(wire: .smtp, port: port, hostName: "mx.mail.example", maximumConnections: 256),
      group: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "mta"), now: now, serves: serves)
  }

  /// Serves until `stop` or cancelled.
  public func run(
    bound: @Sendable (Int) -> Void = { _ in }, take: @escaping @Sendable (Taken) async -> Answer
  ) async throws {
    try await listener.run(bound: bound) { envelope, bytes in
      let answer = await take(Taken(from: envelope.from, recipients: envelope.recipients, bytes: bytes))
      return envelope.recipients.map { _ in
        switch answer {
        case .taken: .stored
        case .later: .busy
        case .never(let text): .refused(text)
        }
      }
    }
  }

  public func stop() { listener.beginDrain() }
}

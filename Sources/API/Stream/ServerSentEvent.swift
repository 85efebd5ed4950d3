import Channels
import NIOCore

/// The wire form of server-sent events.
/// Source: WHATWG HTML §9.2.5, §9.2.6.
enum ServerSentEvent {
  static let mediaType = "text/event-stream"

  static func bytes(of event: StreamEvent, mask: FieldMask) -> ByteBuffer {
    let data = mask.written(event.data)
    var buffer = ByteBuffer()
    buffer.reserveCapacity(data.count + 64)
    buffer.writeString("id: \(event.sequence)\nevent: \(event.type)\ndata: ")
    buffer.writeBytes(data)
    buffer.writeStaticString("\n\n")
    return buffer
  }

  /// How long a browser waits before it connects again, and that the stream is open: proxies flush on it.
  static func opening(retry: Duration) -> ByteBuffer {
    ByteBuffer(string: "retry: \(max(1, retry.wholeMilliseconds))\n: open\n\n")
  }

  static let keepAlive = ByteBuffer(string: ":\n\n")

  /// What was missed cannot be given: read the snapshot, then go on from here.
  static func reset(to sequence: Int64, reason: String) -> ByteBuffer {
    let data: JSONValue = ["reason": .string(reason)]
    return bytes(of: StreamEvent(sequence: sequence, type: "reset", data: data), mask: .none)
  }
}

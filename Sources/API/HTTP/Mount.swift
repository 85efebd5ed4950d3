import Channels

/// A plain function behind a path prefix: how forms, gateway callbacks and hooks are served without their adapter
/// knowing an HTTP server, or this target knowing the adapter.
public struct Mount: Sendable {
  /// Begins with `/`, ends without; the longest prefix that a path continues at a `/` wins.
  public var prefix: String
  /// Larger bodies are answered 413 before the handler is called.
  public var maximumBodyBytes: Int
  public var handle: @Sendable (MountedRequest) async -> MountedResponse

  public init(
    prefix: String, maximumBodyBytes: Int = 1 << 20,
    handle: @escaping @Sendable (MountedRequest) async -> MountedResponse
  ) {
    self.prefix = prefix
    self.maximumBodyBytes = maximumBodyBytes
    self.handle = handle
  }

  func matches(_ path: String) -> Bool {
    path.hasPrefix(prefix)
      && (path.utf8.count == prefix.utf8.count || prefix == "/"
        || path.utf8.dropFirst(prefix.utf8.count).first == UInt8(ascii: "/"))
  }
}

/// A request as it arrived, whole.
public struct MountedRequest: Sendable {
  public var method: String
  /// The whole path as sent, percent-encoded, with the prefix.
  public var path: String
  /// Without the `?`, as sent; nil if there is none.
  public var query: String?
  public var headers: [HeaderField]
  public var body: [UInt8]
  /// The peer's address without its port; nil on a Unix socket. What a proxy claims is in the headers.
  public var remoteAddress: String?
  public var isSecure: Bool
  public var receivedAt: Timestamp
  /// Names this request in the logs; a reference to give to a person.
  public var requestID: String

  public init(
    method: String, path: String, query: String? = nil, headers: [HeaderField] = [], body: [UInt8] = [],
    remoteAddress: String? = nil, isSecure: Bool = false, receivedAt: Timestamp, requestID: String = ""
  ) {
    self.method = method
    self.path = path
    self.query = query
    self.headers = headers
    self.body = body
    self.remoteAddress = remoteAddress
    self.isSecure = isSecure
    self.receivedAt = receivedAt
    self.requestID = requestID
  }

  /// The first field of this name, in any case.
  public func header(_ name: String) -> String? {
    headers.first { $0.name.lowercased() == name.lowercased() }?.value
  }
}

public struct MountedResponse: Sendable {
  public var status: Int
  public var headers: [HeaderField]
  public var body: [UInt8]
  public init(status: Int, headers: [HeaderField] = [], body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// One action for the manager interface, ready to be sent.
///
/// Asterisk reads lines of at most 1,024 bytes and 128 headers (main/manager.c, `inbuf[1025]`; specs/telephony.md §5,
/// trap 14), and a line end inside a value would be a header of the value's author: such actions are not made.
public struct AMIAction: Hashable, Sendable {
  public enum Problem: Error, Hashable, Sendable { case lineTooLong(String), lineBreak(String), tooManyHeaders }

  public let name: String
  public let headers: [(key: String, value: String)]

  public init(_ name: String, _ headers: [(key: String, value: String)]) throws(Problem) {
    guard headers.count <= 120 else { throw .tooManyHeaders }
    for (key, value) in headers {
      guard key.utf8.count + value.utf8.count + 2 < 1_024 else { throw .lineTooLong(key) }
      let isClean = (key + value).utf8.allSatisfy { $0 != 0x0d && $0 != 0x0a && $0 != 0 }
      guard isClean else { throw .lineBreak(key) }
    }
    self.name = name
    self.headers = headers
  }

  /// As sent, under this ActionID.
  public func bytes(id: String) -> [UInt8] {
    var text = "Action: \(name)\r\nActionID: \(id)\r\n"
    for (key, value) in headers { text += "\(key): \(value)\r\n" }
    return Array((text + "\r\n").utf8)
  }

  public static func == (a: AMIAction, b: AMIAction) -> Bool {
    a.name == b.name && a.headers.elementsEqual(b.headers) { $0.key == $1.key && $0.value == $1.value }
  }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(name)
    for (key, value) in headers {
      hasher.combine(key)
      hasher.combine(value)
    }
  }
}

/// The answer to one action.
public struct AMIReply: Hashable, Sendable {
  public var succeeded: Bool
  public var message: String
  public init(succeeded: Bool, message: String) {
    self.succeeded = succeeded
    self.message = message
  }
}

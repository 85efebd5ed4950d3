/// What `faxrcvd` was told about one received fax: the fields the hook program posts.
///
/// The error text is in no queue of port 4559: a fax that was cut off looks whole there (specs/fax.md trap 5).
/// Source: man faxrcvd; `recvq/faxNNN.tif devid commid error-msg callid1 callid2 …`.
public struct ReceiveNotice: Hashable, Sendable {
  /// The configured name of the server it comes from.
  public var server: String
  /// Without `recvq/`.
  public var file: String
  public var device: String
  public var communication: String
  /// Empty when the fax came in well.
  public var error: String
  public var callIDs: [String]

  public init(
    server: String, file: String, device: String = "", communication: String = "", error: String = "",
    callIDs: [String] = []
  ) {
    self.server = server
    self.file = file
    self.device = device
    self.communication = communication
    self.error = error
    self.callIDs = callIDs
  }

  public enum Failure: Error, Hashable, Sendable {
    case tooLarge
    case missing(String)
    case badFileName
  }
  public static let maximumBytes = 16_384

  /// Reads an `application/x-www-form-urlencoded` body with the fields `server`, `file`, `device`, `communication`,
  /// `error` and any number of `callid`, in order.
  public init(form body: [UInt8]) throws(Failure) {
    guard body.count <= ReceiveNotice.maximumBytes else { throw .tooLarge }
    var fields: [String: [String]] = [:]
    for pair in body.split(separator: UInt8(ascii: "&")).prefix(64) {
      let parts = pair.split(separator: UInt8(ascii: "="), maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count > 1 ? ReceiveNotice.decoded(parts[1]) : ""
      fields[ReceiveNotice.decoded(parts[0]), default: []].append(value)
    }
    guard let server = fields["server"]?.first, !server.isEmpty else { throw .missing("server") }
    guard let path = fields["file"]?.first, !path.isEmpty else { throw .missing("file") }
    let file = path.split(separator: "/").last.map(String.init) ?? ""
    guard path == file || path == "recvq/\(file)", !file.hasPrefix("."),
      file.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
    else { throw .badFileName }
    self.server = server
    self.file = file
    device = fields["device"]?.first ?? ""
    communication = fields["communication"]?.first ?? ""
    error = fields["error"]?.first ?? ""
    callIDs = fields["callid"] ?? []
  }

  private static func decoded(_ bytes: some Collection<UInt8>) -> String {
    var out: [UInt8] = []
    var rest = Array(bytes)[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "+") {
        out.append(0x20)
      } else if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        out.append(value)
        rest.removeFirst(2)
      } else {
        out.append(byte)
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}

/// What the hook is told.
public enum NoticeAnswer: Hashable, Sendable {
  /// The fax is durable. 200.
  case stored
  /// Liaison knows of the fax but could not take it yet; the hook shall ask again. 503.
  case later
  /// No such server is configured. 404.
  case unknownServer
}

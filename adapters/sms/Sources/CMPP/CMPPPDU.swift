/// One CMPP 2.0 or 3.0 protocol data unit. Source: specs/sms.md §8 (layout as in bigwhite/gocmpp).
public struct CMPPPDU: Hashable, Sendable {
  /// Open: an unknown command is kept.
  public struct Command: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public static let connect = Command(rawValue: 1)
    public static let terminate = Command(rawValue: 2)
    public static let submit = Command(rawValue: 4)
    public static let deliver = Command(rawValue: 5)
    public static let query = Command(rawValue: 6)
    public static let cancel = Command(rawValue: 7)
    public static let activeTest = Command(rawValue: 8)

    public var isResponse: Bool { rawValue & 0x8000_0000 != 0 }
    public var response: Command { Command(rawValue: rawValue | 0x8000_0000) }
    public var request: Command { Command(rawValue: rawValue & 0x7fff_ffff) }

    private static let names: [UInt32: String] = [
      1: "CMPP_CONNECT", 2: "CMPP_TERMINATE", 4: "CMPP_SUBMIT", 5: "CMPP_DELIVER", 6: "CMPP_QUERY", 7: "CMPP_CANCEL",
      8: "CMPP_ACTIVE_TEST", 9: "CMPP_FWD",
    ]
    public var name: String {
      guard let name = Self.names[request.rawValue] else { return "command_" + rawValue.hexLiteral }
      return isResponse ? name + "_RESP" : name
    }
  }

  /// Field sizes differ: numbers have 21 or 32 octets, results 1 or 4.
  public enum Version: UInt8, Hashable, Sendable, Codable, CaseIterable {
    case v20 = 0x20
    case v30 = 0x30
  }

  public var command: Command
  public var sequence: UInt32
  public var body: Body
  public var defects: [String]

  public init(_ command: Command, sequence: UInt32, body: Body = .empty, defects: [String] = []) {
    self.command = command
    self.sequence = sequence
    self.body = body
    self.defects = defects
  }

  public enum Body: Hashable, Sendable {
    case empty
    case connect(source: String, authenticator: [UInt8], version: UInt8, timestamp: UInt32)
    case connected(status: UInt32, authenticator: [UInt8], version: UInt8)
    case submit(CMPPSubmit)
    /// CMPP_SUBMIT_RESP and CMPP_DELIVER_RESP.
    case result(messageID: UInt64, result: UInt32)
    case deliver(CMPPDeliver)
    /// CMPP_CANCEL.
    case messageID(UInt64)
    /// CMPP_ACTIVE_TEST_RESP.
    case reserved(UInt8)
    case opaque([UInt8])
  }
}

public struct CMPPSubmit: Hashable, Sendable {
  public var messageID: UInt64 = 0
  public var total: UInt8 = 1
  public var number: UInt8 = 1
  public var registeredDelivery: UInt8 = 1
  public var level: UInt8 = 1
  public var serviceID = ""
  public var feeUserType: UInt8 = 2
  public var feeTerminalID = ""
  public var feeTerminalType: UInt8 = 0
  public var protocolID: UInt8 = 0
  public var headerIndicator: UInt8 = 0
  public var format: UInt8 = 8
  public var source = ""
  public var feeType = "01"
  public var feeCode = "0"
  public var validTime = ""
  public var atTime = ""
  public var sourceID = ""
  public var destinations: [String] = []
  public var destinationType: UInt8 = 0
  public var content: [UInt8] = []
  public var linkID = ""
  public init() {}
}

public struct CMPPDeliver: Hashable, Sendable {
  public var messageID: UInt64 = 0
  public var destination = ""
  public var serviceID = ""
  public var protocolID: UInt8 = 0
  public var headerIndicator: UInt8 = 0
  public var format: UInt8 = 0
  public var source = ""
  public var sourceType: UInt8 = 0
  public var registeredDelivery: UInt8 = 0
  public var content: [UInt8] = []
  public var linkID = ""
  public init() {}

  /// What the content says if it is a status report; nil if it is not or is too short.
  public var report: CMPPReport? { registeredDelivery == 1 ? CMPPReport(content) : nil }
}

/// The content of a status report. By length, not version: 60 octets (21 of number) or 71 (32), as gateways mix them.
public struct CMPPReport: Hashable, Sendable {
  public var messageID: UInt64
  public var state: String
  public var submitTime: String
  public var doneTime: String
  public var destination: String
  public var smscSequence: UInt32

  public init?(_ content: [UInt8]) {
    let numberLength = content.count - 39
    var reader = OctetReader(content)
    guard numberLength >= 1, let id = reader.uint64(), let state = reader.padded(7),
      let submitted = reader.padded(10), let done = reader.padded(10), let number = reader.padded(numberLength),
      let sequence = reader.uint32()
    else { return nil }
    messageID = id
    self.state = state.trimmed
    submitTime = submitted.trimmed
    doneTime = done.trimmed
    destination = number.trimmed
    smscSequence = sequence
  }

  public init(messageID: UInt64, state: String, submitTime: String, doneTime: String, destination: String) {
    self.messageID = messageID
    self.state = state
    self.submitTime = submitTime
    self.doneTime = doneTime
    self.destination = destination
    smscSequence = 0
  }

  public func encoded(version: CMPPPDU.Version) -> [UInt8] {
    var out: [UInt8] = []
    out.append(integer: messageID)
    out.append(padded: state, 7)
    out.append(padded: submitTime, 10)
    out.append(padded: doneTime, 10)
    out.append(padded: destination, version == .v30 ? 32 : 21)
    out.append(integer: smscSequence)
    return out
  }
}

extension String {
  /// Without blanks, tabs and line ends at either end.
  var trimmed: String {
    let blanks: Set<UInt8> = [0x20, 0x09, 0x0a, 0x0d, 0x0b, 0x0c, 0x00]
    let bytes = Array(utf8)
    guard let first = bytes.firstIndex(where: { !blanks.contains($0) }),
      let last = bytes.lastIndex(where: { !blanks.contains($0) })
    else { return "" }
    return String(decoding: bytes[first...last], as: UTF8.self)
  }
}

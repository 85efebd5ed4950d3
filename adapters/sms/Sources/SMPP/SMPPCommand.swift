/// What a PDU asks or answers. Open: an unknown one is kept and answered with generic_nack. Source: SMPP 3.4 §5.1.2.1.
public struct SMPPCommand: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let genericNack = SMPPCommand(rawValue: 0x8000_0000)
  public static let bindReceiver = SMPPCommand(rawValue: 0x01)
  public static let bindTransmitter = SMPPCommand(rawValue: 0x02)
  public static let querySM = SMPPCommand(rawValue: 0x03)
  public static let submitSM = SMPPCommand(rawValue: 0x04)
  public static let deliverSM = SMPPCommand(rawValue: 0x05)
  public static let unbind = SMPPCommand(rawValue: 0x06)
  public static let replaceSM = SMPPCommand(rawValue: 0x07)
  public static let cancelSM = SMPPCommand(rawValue: 0x08)
  public static let bindTransceiver = SMPPCommand(rawValue: 0x09)
  public static let outbind = SMPPCommand(rawValue: 0x0b)
  public static let enquireLink = SMPPCommand(rawValue: 0x15)
  public static let submitMulti = SMPPCommand(rawValue: 0x21)
  public static let alertNotification = SMPPCommand(rawValue: 0x102)
  public static let dataSM = SMPPCommand(rawValue: 0x103)

  public var isResponse: Bool { rawValue & 0x8000_0000 != 0 }
  public var response: SMPPCommand { SMPPCommand(rawValue: rawValue | 0x8000_0000) }
  /// Of a response, what it answers.
  public var request: SMPPCommand { SMPPCommand(rawValue: rawValue & 0x7fff_ffff) }

  private static let names: [UInt32: String] = [
    0x01: "bind_receiver", 0x02: "bind_transmitter", 0x03: "query_sm", 0x04: "submit_sm", 0x05: "deliver_sm",
    0x06: "unbind", 0x07: "replace_sm", 0x08: "cancel_sm", 0x09: "bind_transceiver", 0x0b: "outbind",
    0x15: "enquire_link", 0x21: "submit_multi", 0x102: "alert_notification", 0x103: "data_sm",
    0x111: "broadcast_sm", 0x112: "query_broadcast_sm", 0x113: "cancel_broadcast_sm",
  ]

  /// As the specification writes it; `command_0x00000777` if it does not know it.
  public var name: String {
    if self == .genericNack { return "generic_nack" }
    if let name = Self.names[request.rawValue] { return isResponse ? name + "_resp" : name }
    return "command_" + rawValue.hexLiteral
  }
}

extension UInt32 {
  /// `0x0000000b`.
  var hexLiteral: String {
    let digits = String(self, radix: 16)
    return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
  }
}

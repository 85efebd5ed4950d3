/// One optional parameter. Unknown tags are kept as they are and never an error. Source: SMPP 3.4 §5.3.
public struct SMPPParameter: Hashable, Sendable {
  /// A parameter's tag. Open.
  public struct Tag: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let receiptedMessageID = Tag(rawValue: 0x001e)
    public static let userMessageReference = Tag(rawValue: 0x0204)
    public static let sarReference = Tag(rawValue: 0x020c)
    public static let sarTotal = Tag(rawValue: 0x020e)
    public static let sarNumber = Tag(rawValue: 0x020f)
    public static let interfaceVersion = Tag(rawValue: 0x0210)
    public static let networkErrorCode = Tag(rawValue: 0x0423)
    public static let messagePayload = Tag(rawValue: 0x0424)
    public static let moreMessagesToSend = Tag(rawValue: 0x0426)
    public static let messageState = Tag(rawValue: 0x0427)

    private static let names: [UInt16: String] = [
      0x0005: "dest_addr_subunit", 0x0006: "dest_network_type", 0x0007: "dest_bearer_type",
      0x0008: "dest_telematics_id", 0x000d: "source_addr_subunit", 0x000e: "source_network_type",
      0x000f: "source_bearer_type", 0x0010: "source_telematics_id", 0x0017: "qos_time_to_live",
      0x0019: "payload_type", 0x001d: "additional_status_info_text", 0x001e: "receipted_message_id",
      0x0030: "ms_msg_wait_facilities", 0x0201: "privacy_indicator", 0x0202: "source_subaddress",
      0x0203: "dest_subaddress", 0x0204: "user_message_reference", 0x0205: "user_response_code",
      0x020a: "source_port", 0x020b: "destination_port", 0x020c: "sar_msg_ref_num", 0x020d: "language_indicator",
      0x020e: "sar_total_segments", 0x020f: "sar_segment_seqnum", 0x0210: "sc_interface_version",
      0x0302: "callback_num_pres_ind", 0x0303: "callback_num_atag", 0x0304: "number_of_messages",
      0x0381: "callback_num", 0x0420: "dpf_result", 0x0421: "set_dpf", 0x0422: "ms_availability_status",
      0x0423: "network_error_code", 0x0424: "message_payload", 0x0425: "delivery_failure_reason",
      0x0426: "more_messages_to_send", 0x0427: "message_state", 0x0428: "congestion_state",
      0x0501: "ussd_service_op", 0x1201: "display_time", 0x1203: "sms_signal", 0x1204: "ms_validity",
      0x130c: "alert_on_message_delivery", 0x1380: "its_reply_type", 0x1383: "its_session_info",
    ]

    /// As the specification writes it; nil if it does not know it.
    public var name: String? { Self.names[rawValue] }
  }

  public var tag: Tag
  public var value: [UInt8]

  public init(_ tag: Tag, _ value: [UInt8]) {
    self.tag = tag
    self.value = value
  }

  /// The value as a number; nil unless 1, 2 or 4 octets.
  public var integer: UInt32? {
    guard [1, 2, 4].contains(value.count) else { return nil }
    return value.reduce(0) { $0 << 8 | UInt32($1) }
  }

  /// The value as text up to its NUL, if it has one.
  public var string: String { String(latin1: value.prefix { $0 != 0 }) }
}

extension [SMPPParameter] {
  /// The last of several: as with a user data header.
  public subscript(tag: SMPPParameter.Tag) -> SMPPParameter? { last { $0.tag == tag } }
}

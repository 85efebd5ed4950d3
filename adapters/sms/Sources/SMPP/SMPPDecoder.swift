extension SMPPPDU {
  /// The shortest PDU: its header.
  public static let headerLength = 16

  /// `frame` is one whole PDU of at least 16 octets, its command_length already obeyed by the framing.
  public init(frame: [UInt8]) {
    var reader = OctetReader(frame, at: 4)
    command = SMPPCommand(rawValue: reader.uint32() ?? 0)
    status = SMPPStatus(rawValue: reader.uint32() ?? 0)
    sequence = reader.uint32() ?? 0
    body = .empty
    parameters = []
    defects = frame.count < Self.headerLength ? ["header: \(frame.count) octets"] : []
    guard reader.remaining > 0 else {
      if !command.isResponse, Self.needsBody.contains(command) { defects.append("body missing") }
      return
    }
    let start = reader
    do throws(Missing) {
      body = try Self.readBody(of: command, from: &reader, defects: &defects)
      if case .opaque = body { return }
      readParameters(from: &reader)
    } catch {
      // A mandatory field does not read; of a message its earlier fields are of no use without the later ones.
      defects.append("\(error.field): missing or unterminated")
      var whole = start
      body = .opaque(whole.rest())
    }
  }

  private static let needsBody: Set<SMPPCommand> = [
    .bindReceiver, .bindTransmitter, .bindTransceiver, .outbind, .submitSM, .deliverSM, .dataSM, .querySM, .cancelSM,
    .replaceSM, .submitMulti, .alertNotification,
  ]

  /// A mandatory field that the octets do not hold.
  private struct Missing: Error { var field: String }

  private static func readBody(
    of command: SMPPCommand, from reader: inout OctetReader, defects: inout [String]
  ) throws(Missing) -> Body {
    switch command {
    case .bindReceiver, .bindTransmitter, .bindTransceiver:
      return .bind(
        SMPPBind(
          systemID: try text("system_id", &reader), password: try text("password", &reader),
          systemType: try text("system_type", &reader), interfaceVersion: try octet("interface_version", &reader),
          addressTON: try octet("addr_ton", &reader), addressNPI: try octet("addr_npi", &reader),
          addressRange: try text("address_range", &reader)))
    case .bindReceiver.response, .bindTransmitter.response, .bindTransceiver.response:
      return .boundAs(systemID: unterminated("system_id", &reader, &defects))
    case .submitSM, .deliverSM:
      return .message(try readMessage(&reader, &defects))
    case .dataSM:
      var message = SMPPMessage(
        serviceType: try text("service_type", &reader), source: try address("source_addr", &reader),
        destination: try address("destination_addr", &reader))
      message.esmClass = try octet("esm_class", &reader)
      message.registeredDelivery = try octet("registered_delivery", &reader)
      message.dataCoding = try octet("data_coding", &reader)
      return .data(message)
    case .submitMulti:
      return try readMulti(&reader, &defects)
    case .submitSM.response, .deliverSM.response, .dataSM.response:
      return .messageID(unterminated("message_id", &reader, &defects))
    case .submitMulti.response:
      let id = unterminated("message_id", &reader, &defects)
      // no_unsuccess and its list are of no use to anyone here; they must not be taken for parameters.
      _ = reader.rest()
      return .messageID(id)
    case .querySM:
      return .query(messageID: try text("message_id", &reader), source: try address("source_addr", &reader))
    case .querySM.response:
      return .queryResult(
        messageID: try text("message_id", &reader), finalDate: try text("final_date", &reader),
        state: try octet("message_state", &reader), errorCode: try octet("error_code", &reader))
    case .cancelSM:
      return .cancel(
        serviceType: try text("service_type", &reader), messageID: try text("message_id", &reader),
        source: try address("source_addr", &reader), destination: try address("destination_addr", &reader))
    case .replaceSM:
      let id = try text("message_id", &reader)
      let source = try address("source_addr", &reader)
      var message = SMPPMessage(source: source, destination: SMPPAddress(""))
      message.scheduleDeliveryTime = try text("schedule_delivery_time", &reader)
      message.validityPeriod = try text("validity_period", &reader)
      message.registeredDelivery = try octet("registered_delivery", &reader)
      message.defaultMessageID = try octet("sm_default_msg_id", &reader)
      message.octets = try shortMessage(&reader, &defects)
      return .replace(messageID: id, source: source, message: message)
    case .alertNotification:
      return .alert(source: try address("source_addr", &reader), esme: try address("esme_addr", &reader))
    case .outbind:
      return .outbind(systemID: try text("system_id", &reader), password: try text("password", &reader))
    case .enquireLink, .enquireLink.response, .unbind, .unbind.response, .genericNack, .cancelSM.response,
      .replaceSM.response:
      // Nothing belongs here; what a peer adds is read as parameters where it can be.
      return .empty
    default:
      return .opaque(reader.rest())
    }
  }

  private static func readMessage(_ reader: inout OctetReader, _ defects: inout [String]) throws(Missing) -> SMPPMessage
  {
    var message = SMPPMessage(
      serviceType: try text("service_type", &reader), source: try address("source_addr", &reader),
      destination: try address("destination_addr", &reader))
    try readMiddle(of: &message, &reader)
    message.octets = try shortMessage(&reader, &defects)
    return message
  }

  private static func readMulti(_ reader: inout OctetReader, _ defects: inout [String]) throws(Missing) -> Body {
    var message = SMPPMessage(
      serviceType: try text("service_type", &reader), source: try address("source_addr", &reader),
      destination: SMPPAddress(""))
    let count = try octet("number_of_dests", &reader)
    var destinations: [SMPPDestination] = []
    for _ in 0..<count {
      switch try octet("dest_flag", &reader) {
      case 1: destinations.append(.address(try address("destination_addr", &reader)))
      case 2: destinations.append(.list(try text("dl_name", &reader)))
      default: throw Missing(field: "dest_flag")
      }
    }
    try readMiddle(of: &message, &reader)
    message.octets = try shortMessage(&reader, &defects)
    return .multi(message, destinations: destinations)
  }

  /// esm_class to sm_default_msg_id.
  private static func readMiddle(of message: inout SMPPMessage, _ reader: inout OctetReader) throws(Missing) {
    message.esmClass = try octet("esm_class", &reader)
    message.protocolID = try octet("protocol_id", &reader)
    message.priority = try octet("priority_flag", &reader)
    message.scheduleDeliveryTime = try text("schedule_delivery_time", &reader)
    message.validityPeriod = try text("validity_period", &reader)
    message.registeredDelivery = try octet("registered_delivery", &reader)
    message.replaceIfPresent = try octet("replace_if_present_flag", &reader)
    message.dataCoding = try octet("data_coding", &reader)
    message.defaultMessageID = try octet("sm_default_msg_id", &reader)
  }

  private static func shortMessage(_ reader: inout OctetReader, _ defects: inout [String]) throws(Missing) -> [UInt8] {
    let length = Int(try octet("sm_length", &reader))
    if let octets = reader.take(length) { return octets }
    defects.append("sm_length: \(length), but \(reader.remaining) octets follow")
    return reader.rest()
  }

  private mutating func readParameters(from reader: inout OctetReader) {
    while reader.remaining > 0 {
      let before = reader
      guard let tag = reader.uint16(), let length = reader.uint16(), let value = reader.take(Int(length)) else {
        var rest = before
        defects.append("optional parameters: cut short, left over \(rest.rest().hex)")
        return
      }
      parameters.append(SMPPParameter(.init(rawValue: tag), value))
    }
  }

  private static func octet(_ field: String, _ reader: inout OctetReader) throws(Missing) -> UInt8 {
    guard let value = reader.uint8() else { throw Missing(field: field) }
    return value
  }

  private static func text(_ field: String, _ reader: inout OctetReader) throws(Missing) -> String {
    guard let value = reader.cString() else { throw Missing(field: field) }
    return value
  }

  private static func address(_ field: String, _ reader: inout OctetReader) throws(Missing) -> SMPPAddress {
    SMPPAddress(
      ton: try octet(field + "_ton", &reader), npi: try octet(field + "_npi", &reader), try text(field, &reader))
  }

  /// Real peers forget the NUL of a response's only field: all that is left is the value then.
  private static func unterminated(_ field: String, _ reader: inout OctetReader, _ defects: inout [String]) -> String {
    if let value = reader.cString() { return value }
    defects.append("\(field): unterminated")
    return String(latin1: reader.rest())
  }
}

import Channels

/// One SMPP PDU in the specification's field names, with what Liaison reads out of its text.
struct SMPPDescription {
  private(set) var members: [(String, JSONText)] = []

  init(_ pdu: SMPPPDU, length: Int, options: Inspection.Options, side: Recording.Side) {
    members = [
      ("record", .string("pdu")), ("command_length", .int(length)), ("command_id", .string(pdu.command.name)),
      ("command_id_hex", .string(pdu.command.rawValue.hexLiteral)), ("command_status", .int(Int(pdu.status.rawValue))),
      ("command_status_name", .string(pdu.status.name)), ("sequence_number", .int(Int(pdu.sequence))),
    ]
    body(pdu)
    for parameter in pdu.parameters { flatten(parameter) }
    text(of: pdu, options: options, side: side)
    if !pdu.parameters.isEmpty {
      add(
        "tlvs",
        .array(
          pdu.parameters.map { parameter in
            .object([
              ("tag", .string("0x" + [UInt8](tag: parameter.tag.rawValue).hex)),
              ("name", parameter.tag.name.map { .string($0) } ?? .null), ("length", .int(parameter.value.count)),
              ("value", .string(parameter.value.hex)),
            ])
          }))
    }
    if !pdu.defects.isEmpty { add("defects", .array(pdu.defects.map { .string($0) })) }
  }

  private mutating func add(_ name: String, _ value: JSONText) { members.append((name, value)) }
  private mutating func add(_ name: String, _ value: String) { members.append((name, .string(value))) }
  private mutating func add(_ name: String, _ value: UInt8) { members.append((name, .int(Int(value)))) }

  private mutating func add(_ address: SMPPAddress, ton: String, npi: String, name: String) {
    add(ton, address.ton)
    add(npi, address.npi)
    add(name, address.digits)
  }

  private mutating func body(_ pdu: SMPPPDU) {
    switch pdu.body {
    case .empty: break
    case .bind(let bind):
      add("system_id", bind.systemID)
      // A recording may be real: what opens the link is not printed.
      add("password", bind.password.isEmpty ? "" : "•••")
      add("system_type", bind.systemType)
      add("interface_version", bind.interfaceVersion)
      add("addr_ton", bind.addressTON)
      add("addr_npi", bind.addressNPI)
      add("address_range", bind.addressRange)
    case .boundAs(let systemID): add("system_id", systemID)
    case .message(let message):
      add("service_type", message.serviceType)
      addresses(message)
      rest(message)
    case .data(let message):
      add("service_type", message.serviceType)
      addresses(message)
      add("esm_class", message.esmClass)
      add("registered_delivery", message.registeredDelivery)
      add("data_coding", message.dataCoding)
    case .multi(let message, let destinations):
      add("service_type", message.serviceType)
      add(message.source, ton: "source_addr_ton", npi: "source_addr_npi", name: "source_addr")
      add("number_of_dests", .int(destinations.count))
      add(
        "dest_address",
        .array(
          destinations.map { destination in
            switch destination {
            case .address(let address):
              .object([
                ("dest_addr_ton", .int(Int(address.ton))), ("dest_addr_npi", .int(Int(address.npi))),
                ("destination_addr", .string(address.digits)),
              ])
            case .list(let name): .object([("dl_name", .string(name))])
            }
          }))
      rest(message)
    case .messageID(let id): add("message_id", id)
    case .query(let id, let source):
      add("message_id", id)
      add(source, ton: "source_addr_ton", npi: "source_addr_npi", name: "source_addr")
    case .queryResult(let id, let date, let state, let error):
      add("message_id", id)
      add("final_date", date)
      add("message_state", state)
      add("message_state_name", ReceiptReader.word(ofNumber: UInt32(state)) ?? "")
      add("error_code", error)
    case .cancel(let serviceType, let id, let source, let destination):
      add("service_type", serviceType)
      add("message_id", id)
      add(source, ton: "source_addr_ton", npi: "source_addr_npi", name: "source_addr")
      add(destination, ton: "dest_addr_ton", npi: "dest_addr_npi", name: "destination_addr")
    case .replace(let id, let source, let message):
      add("message_id", id)
      add(source, ton: "source_addr_ton", npi: "source_addr_npi", name: "source_addr")
      add("schedule_delivery_time", message.scheduleDeliveryTime)
      add("validity_period", message.validityPeriod)
      add("registered_delivery", message.registeredDelivery)
      add("sm_default_msg_id", message.defaultMessageID)
      add("sm_length", .int(message.octets.count))
      add("short_message", message.octets.hex)
    case .alert(let source, let esme):
      add(source, ton: "source_addr_ton", npi: "source_addr_npi", name: "source_addr")
      add(esme, ton: "esme_addr_ton", npi: "esme_addr_npi", name: "esme_addr")
    case .outbind(let systemID, let password):
      add("system_id", systemID)
      add("password", password.isEmpty ? "" : "•••")
    case .opaque(let octets): add("body", octets.hex)
    }
  }

  private mutating func addresses(_ message: SMPPMessage) {
    add(message.source, ton: "source_addr_ton", npi: "source_addr_npi", name: "source_addr")
    add(message.destination, ton: "dest_addr_ton", npi: "dest_addr_npi", name: "destination_addr")
  }

  private mutating func rest(_ message: SMPPMessage) {
    add("esm_class", message.esmClass)
    add("protocol_id", message.protocolID)
    add("priority_flag", message.priority)
    add("schedule_delivery_time", message.scheduleDeliveryTime)
    add("validity_period", message.validityPeriod)
    add("registered_delivery", message.registeredDelivery)
    add("replace_if_present_flag", message.replaceIfPresent)
    add("data_coding", message.dataCoding)
    add("sm_default_msg_id", message.defaultMessageID)
    add("sm_length", .int(message.octets.count))
    add("short_message", message.octets.hex)
  }

  private mutating func flatten(_ parameter: SMPPParameter) {
    guard let name = parameter.tag.name, !members.contains(where: { $0.0 == name }) else { return }
    switch parameter.tag {
    case .receiptedMessageID: add(name, parameter.string)
    case .messageState:
      add(name, parameter.integer.map { .int(Int($0)) } ?? .string(parameter.value.hex))
      if let word = parameter.integer.flatMap({ ReceiptReader.word(ofNumber: $0) }) { add("message_state_name", word) }
    default:
      if let value = parameter.integer { add(name, .int(Int(value))) } else { add(name, parameter.value.hex) }
    }
  }

  private mutating func text(of pdu: SMPPPDU, options: Inspection.Options, side: Recording.Side) {
    let reader = ReceiptReader()
    guard let read = pdu.inbound(on: options.profile, receipts: reader) else { return }
    switch read {
    case .unreadable(let reason):
      add("unreadable", .object([("code", .string(reason.code)), ("text", .string(reason.text))]))
    case .message(let short): members += ShortMessageDescription.members(of: short)
    case .receipt(let receipt, let short):
      members += ShortMessageDescription.members(of: short)
      // What a client submits is no receipt, whatever it says.
      if side == .server { members += ShortMessageDescription.members(of: receipt) }
    }
  }
}

extension [UInt8] {
  init(tag: UInt16) {
    self = []
    append(integer: tag)
  }
}

/// What of a short message and a receipt is shown alike for every wire.
enum ShortMessageDescription {
  static func members(of short: ShortMessage) -> [(String, JSONText)] {
    var out: [(String, JSONText)] = []
    if let header = short.header { out.append(("udh", .string(header.encoded.hex))) }
    if let concatenation = short.concatenation {
      out.append(
        (
          "concatenation",
          .object([
            ("reference", .int(Int(concatenation.reference))), ("total", .int(concatenation.total)),
            ("number", .int(concatenation.number)),
          ])
        ))
    }
    if let port = short.header?.destinationPort { out.append(("udh_destination_port", .int(Int(port)))) }
    out.append(("coding", .string(short.coding.rawValue)))
    let decoded = short.coding == .gsm7 ? short.text : short.coding.decode(short.octets)
    out.append(("text", .string(decoded.text)))
    if decoded.defects > 0 { out.append(("undecodable", .int(decoded.defects))) }
    return out
  }

  static func members(of receipt: ReceiptReading) -> [(String, JSONText)] {
    var members: [(String, JSONText)] = [
      ("id", receipt.rawID.map { .string($0) } ?? .null), ("state", .string(receipt.state.rawValue)),
      ("final", .bool(receipt.state != .pending)),
    ]
    if let word = receipt.word { members.append(("stat", .string(word))) }
    if let text = receipt.text {
      for (name, value) in [
        ("sub", text.submitted), ("dlvrd", text.delivered), ("submit_date", text.submitDate),
        ("done_date", text.doneDate), ("err", text.error), ("text", text.text),
      ] {
        if let value { members.append((name, .string(value))) }
      }
    } else if let error = receipt.errorCode {
      members.append(("err", .string(error)))
    }
    if let other = receipt.otherID { members.append(("receipted_message_id", .string(other))) }
    if receipt.intermediate { members.append(("intermediate", .bool(true))) }
    if receipt.agreement == .contradict { members.append(("contradiction", .bool(true))) }
    if let done = receipt.doneAt { members.append(("done_at", .string(done.description))) }
    return [("receipt", .object(members))]
  }
}

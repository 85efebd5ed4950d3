import Channels

/// One CMPP PDU in the names of specs/sms.md §8, with what Liaison reads out of its text.
struct CMPPDescription {
  private(set) var members: [(String, JSONText)] = []

  init(_ pdu: CMPPPDU, length: Int, options: Inspection.Options) {
    members = [
      ("record", .string("pdu")), ("Total_Length", .int(length)), ("Command_Id", .string(pdu.command.name)),
      ("Command_Id_hex", .string(pdu.command.rawValue.hexLiteral)), ("Sequence_Id", .int(Int(pdu.sequence))),
    ]
    body(pdu)
    if let read = pdu.inbound(receipts: ReceiptReader()) {
      switch read {
      case .unreadable(let reason):
        add("unreadable", .object([("code", .string(reason.code)), ("text", .string(reason.text))]))
      case .message(let short):
        members += ShortMessageDescription.members(of: short)
        let notes = short.defects.filter { !pdu.defects.contains($0) }
        if !notes.isEmpty { add("notes", .array(notes.map { .string($0) })) }
      case .receipt(let receipt, _): members += ShortMessageDescription.members(of: receipt)
      }
    }
    if !pdu.defects.isEmpty { add("defects", .array(pdu.defects.map { .string($0) })) }
  }

  private mutating func add(_ name: String, _ value: JSONText) { members.append((name, value)) }
  private mutating func add(_ name: String, _ value: String) { members.append((name, .string(value))) }
  private mutating func add(_ name: String, _ value: UInt8) { members.append((name, .int(Int(value)))) }
  private mutating func add(messageID value: UInt64) { add("Msg_Id", [UInt8](messageID: value).hex) }

  private mutating func body(_ pdu: CMPPPDU) {
    switch pdu.body {
    case .empty: break
    case .connect(let source, let authenticator, let version, let timestamp):
      add("Source_Addr", source)
      add("AuthenticatorSource", authenticator.hex)
      add("Version", version)
      add("Timestamp", .int(Int(timestamp)))
    case .connected(let status, let authenticator, let version):
      add("Status", .int(Int(status)))
      add("Status_name", CMPPConnectStatus.name(status))
      add("AuthenticatorISMG", authenticator.hex)
      add("Version", version)
    case .submit(let submit):
      add(messageID: submit.messageID)
      add("Pk_total", submit.total)
      add("Pk_number", submit.number)
      add("Registered_Delivery", submit.registeredDelivery)
      add("Msg_level", submit.level)
      add("Service_Id", submit.serviceID)
      add("Fee_UserType", submit.feeUserType)
      add("Fee_terminal_Id", submit.feeTerminalID)
      add("TP_pId", submit.protocolID)
      add("TP_udhi", submit.headerIndicator)
      add("Msg_Fmt", submit.format)
      add("Msg_src", submit.source)
      add("FeeType", submit.feeType)
      add("FeeCode", submit.feeCode)
      add("Valid_Time", submit.validTime)
      add("At_Time", submit.atTime)
      add("Src_Id", submit.sourceID)
      add("DestUsr_tl", .int(submit.destinations.count))
      add("Dest_terminal_Id", .array(submit.destinations.map { .string($0) }))
      add("Msg_Length", .int(submit.content.count))
      add("Msg_Content", submit.content.hex)
    case .result(let id, let result):
      add(messageID: id)
      add("Result", .int(Int(result)))
      add("Result_name", CMPPResult.name(result))
    case .deliver(let deliver):
      add(messageID: deliver.messageID)
      add("Dest_Id", deliver.destination)
      add("Service_Id", deliver.serviceID)
      add("TP_pid", deliver.protocolID)
      add("TP_udhi", deliver.headerIndicator)
      add("Msg_Fmt", deliver.format)
      add("Src_terminal_Id", deliver.source)
      add("Registered_Delivery", deliver.registeredDelivery)
      add("Msg_Length", .int(deliver.content.count))
      add("Msg_Content", deliver.content.hex)
      if let report = deliver.report {
        add(
          "report",
          .object([
            ("Msg_Id", .string([UInt8](messageID: report.messageID).hex)), ("Stat", .string(report.state)),
            ("Submit_time", .string(report.submitTime)), ("Done_time", .string(report.doneTime)),
            ("Dest_terminal_Id", .string(report.destination)), ("SMSC_sequence", .int(Int(report.smscSequence))),
          ]))
      }
    case .messageID(let id): add(messageID: id)
    case .reserved(let octet): add("Reserved", octet)
    case .opaque(let octets): add("body", octets.hex)
    }
  }
}

import Channels

/// One short message as a link brought it, free of SMPP's and CMPP's words: a part, or all of it.
public struct ShortMessage: Hashable, Sendable {
  public var from: String
  /// The wire marks the sender's number as international.
  public var fromIsInternational: Bool
  public var to: String
  public var toIsInternational: Bool
  public var coding: TextCoding
  /// Text octets without the user data header.
  public var octets: [UInt8]
  public var header: UserDataHeader?
  public var concatenation: Concatenation?
  /// What is odd but does not prevent reading.
  public var defects: [String]

  /// National tables of the GSM alphabet, where the header names some.
  public var tables: NationalTables { coding == .gsm7 ? header?.tables ?? .none : .none }

  /// Of this part alone; places that could not be read are U+FFFD and counted.
  public var text: (text: String, defects: Int) {
    if coding == .gsm7 { return tables.decode(octets) }
    return coding.decode(coding == .ucs2 ? UTF16Text.withoutMark(octets) : octets)
  }
}

/// What a deliver_sm, data_sm or CMPP_DELIVER turns out to be.
public enum InboundReading: Sendable {
  case message(ShortMessage)
  case receipt(ReceiptReading, ShortMessage)
  case unreadable(Arrival.Unreadable)
}

extension SMPPPDU {
  /// Nil for a PDU that carries no short message.
  public func shortMessage(on profile: TextProfile) -> Result<ShortMessage, Unreadable>? {
    let message: SMPPMessage
    switch body {
    case .message(let m), .data(let m): message = m
    case .multi(let m, let destinations):
      var first = m
      if case .address(let address)? = destinations.first { first.destination = address }
      message = first
    case .opaque where [.submitSM, .deliverSM, .dataSM, .submitMulti].contains(command):
      return .failure(Unreadable(code: "bad-pdu", text: defects.joined(separator: "; ")))
    case .empty where [.submitSM, .deliverSM, .dataSM, .submitMulti].contains(command):
      return .failure(Unreadable(code: "bad-pdu", text: defects.joined(separator: "; ")))
    default: return nil
    }
    var defects = defects
    if defects.contains(where: { $0.hasPrefix("sm_length") }) {
      return .failure(Unreadable(code: "bad-length", text: defects.joined(separator: "; ")))
    }
    var octets = message.octets
    if let payload = parameters[.messagePayload]?.value {
      // Both at once is against §5.3.2.32; short_message is then taken, as Kannel takes it, and the payload stays in raw.
      if octets.isEmpty {
        octets = payload
      } else if !payload.isEmpty {
        defects.append("short_message and message_payload")
      }
    }
    let coding = DataCoding.coding(message.dataCoding, on: profile)
    var short = ShortMessage(
      from: message.source.digits, fromIsInternational: message.source.ton == 1, to: message.destination.digits,
      toIsInternational: message.destination.ton == 1, coding: coding, octets: octets, header: nil,
      concatenation: nil, defects: defects)
    if message.esmClass & 0x40 != 0 {
      guard let (header, rest) = UserDataHeader.split(octets) else {
        let head = Array(octets.prefix(8)).hex
        return .failure(Unreadable(code: "bad-udh", text: "user data header longer than the message: \(head)…"))
      }
      short.header = header
      short.octets = rest
      short.concatenation = header.concatenation
      if header.concatenation == nil, header.elements.contains(where: { $0.id == 0x00 || $0.id == 0x08 }) {
        short.defects.append("concatenation: contradicts itself")
      }
    }
    if short.concatenation == nil, let reference = parameters[.sarReference]?.integer,
      let total = parameters[.sarTotal]?.integer, let number = parameters[.sarNumber]?.integer
    {
      short.concatenation = Concatenation(
        reference: UInt16(truncatingIfNeeded: reference), wide: true, total: UInt8(truncatingIfNeeded: total),
        number: UInt8(truncatingIfNeeded: number))
      if short.concatenation == nil { short.defects.append("sar_segment_seqnum: \(number) of \(total)") }
    }
    return .success(short)
  }

  public struct Unreadable: Error, Hashable, Sendable {
    public var code: String
    public var text: String
  }

  /// Of a PDU from the SMSC; nil if it carries nothing from a customer or about a message of ours.
  public func inbound(on profile: TextProfile, receipts: ReceiptReader) -> InboundReading? {
    guard let read = shortMessage(on: profile) else { return nil }
    switch read {
    case .failure(let failure): return .unreadable(.init(code: failure.code, text: failure.text))
    case .success(let short):
      let esmClass: UInt8 =
        switch body {
        case .message(let m), .data(let m), .multi(let m, _): m.esmClass
        default: 0
        }
      if let receipt = receipts.read(
        esmClass: esmClass, octets: short.octets, coding: short.coding, parameters: parameters)
      {
        return .receipt(receipt, short)
      }
      return .message(short)
    }
  }
}

extension CMPPPDU {
  /// Nil for a PDU that carries no short message.
  public var shortMessage: Result<ShortMessage, SMPPPDU.Unreadable>? {
    switch body {
    case .submit(let submit):
      return Self.short(
        from: submit.sourceID, to: submit.destinations.first ?? "", format: submit.format,
        hasHeader: submit.headerIndicator == 1, content: submit.content, defects: defects
      ).map { short in
        var short = short
        // Pk_total and Pk_number without a header: the gateway makes the header; nothing names the message then.
        if submit.headerIndicator != 1, submit.total > 1 { short.defects.append("Pk_total without TP_udhi") }
        return short
      }
    case .deliver(let deliver):
      return Self.short(
        from: deliver.source, to: deliver.destination, format: deliver.format,
        hasHeader: deliver.headerIndicator == 1, content: deliver.content, defects: defects)
    case .opaque where command == .submit || command == .deliver:
      return .failure(.init(code: "bad-pdu", text: defects.joined(separator: "; ")))
    default: return nil
    }
  }

  private static func short(
    from: String, to: String, format: UInt8, hasHeader: Bool, content: [UInt8], defects: [String]
  ) -> Result<ShortMessage, SMPPPDU.Unreadable> {
    var short = ShortMessage(
      from: from.trimmed, fromIsInternational: false, to: to.trimmed, toIsInternational: false,
      coding: CMPPFormat.coding(format), octets: content, header: nil, concatenation: nil, defects: defects)
    if hasHeader {
      guard let (header, rest) = UserDataHeader.split(content) else {
        let head = Array(content.prefix(8)).hex
        return .failure(.init(code: "bad-udh", text: "user data header longer than the message: \(head)…"))
      }
      short.header = header
      short.octets = rest
      short.concatenation = header.concatenation
    }
    // Some gateways write GB texts under Msg_Fmt 0. Octets that are no ASCII but sound GB18030 can only be that.
    if short.coding == .ascii, short.octets.contains(where: { $0 > 0x7f }) {
      let decoded = TextCoding.gb18030.decode(short.octets)
      if decoded.defects == 0 {
        short.coding = .gb18030
        short.defects.append("Msg_Fmt: 0, but the text is GB18030")
      }
    }
    return .success(short)
  }

  public func inbound(receipts: ReceiptReader) -> InboundReading? {
    if case .deliver(let deliver) = body, deliver.registeredDelivery == 1 {
      guard let report = deliver.report else {
        return .unreadable(.init(code: "bad-report", text: "status report of \(deliver.content.count) octets"))
      }
      let short = ShortMessage(
        from: report.destination.isEmpty ? deliver.source : report.destination, fromIsInternational: false,
        to: deliver.destination, toIsInternational: false, coding: .ascii, octets: deliver.content, header: nil,
        concatenation: nil, defects: defects)
      return .receipt(receipts.read(report), short)
    }
    guard let read = shortMessage else { return nil }
    switch read {
    case .failure(let failure): return .unreadable(.init(code: failure.code, text: failure.text))
    case .success(let short): return .message(short)
    }
  }
}

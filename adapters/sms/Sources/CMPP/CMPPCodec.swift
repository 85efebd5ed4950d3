extension CMPPPDU {
  public static let headerLength = 12

  /// `frame` is one whole PDU. Where its length fits only the other version's layout, that one is read: gateways
  /// answer in 2.0 to a 3.0 connect, and recordings may begin in the middle.
  public init(frame: [UInt8], version: Version) {
    self.init(frame: frame, exactly: version)
    guard !defects.isEmpty else { return }
    let other = CMPPPDU(frame: frame, exactly: version == .v20 ? .v30 : .v20)
    if other.defects.isEmpty { self = other }
  }

  private init(frame: [UInt8], exactly version: Version) {
    var reader = OctetReader(frame, at: 4)
    command = Command(rawValue: reader.uint32() ?? 0)
    sequence = reader.uint32() ?? 0
    body = .empty
    defects = frame.count < Self.headerLength ? ["header: \(frame.count) octets"] : []
    let start = reader
    if let read = Self.readBody(of: command, version: version, from: &reader, defects: &defects) {
      body = read
      if reader.remaining > 0 { defects.append("left over: \(reader.rest().hex)") }
    } else {
      var whole = start
      body = .opaque(whole.rest())
      defects.append("body: \(frame.count - Self.headerLength) octets do not hold \(command.name)")
    }
  }

  private static func readBody(
    of command: Command, version: Version, from reader: inout OctetReader, defects: inout [String]
  ) -> Body? {
    switch command {
    case .connect:
      guard let source = reader.padded(6), let authenticator = reader.take(16), let version = reader.uint8(),
        let timestamp = reader.uint32()
      else { return nil }
      return .connect(source: source, authenticator: authenticator, version: version, timestamp: timestamp)
    case .connect.response:
      // The status is 1 octet in 2.0 and 4 in 3.0; the length tells, whatever version was agreed.
      guard let status = reader.remaining >= 21 ? reader.uint32() : reader.uint8().map(UInt32.init),
        let authenticator = reader.take(16), let version = reader.uint8()
      else { return nil }
      return .connected(status: status, authenticator: authenticator, version: version)
    case .submit: return readSubmit(version: version, from: &reader)
    case .submit.response, .deliver.response:
      guard let id = reader.uint64(),
        let result = reader.remaining >= 4 ? reader.uint32() : reader.uint8().map(UInt32.init)
      else { return nil }
      return .result(messageID: id, result: result)
    case .deliver: return readDeliver(version: version, from: &reader)
    case .cancel: return reader.uint64().map { .messageID($0) }
    case .cancel.response: return .opaque(reader.rest())
    case .activeTest.response:
      // Some gateways leave the reserved octet out.
      return reader.uint8().map { .reserved($0) } ?? .empty
    case .activeTest, .terminate, .terminate.response: return .empty
    default: return .opaque(reader.rest())
    }
  }

  private static func readSubmit(version: Version, from reader: inout OctetReader) -> Body? {
    var submit = CMPPSubmit()
    let numberLength = version == .v30 ? 32 : 21
    guard let id = reader.uint64(), let total = reader.uint8(), let number = reader.uint8(),
      let registered = reader.uint8(), let level = reader.uint8(), let service = reader.padded(10),
      let feeUserType = reader.uint8(), let feeTerminal = reader.padded(numberLength)
    else { return nil }
    submit.messageID = id
    submit.total = total
    submit.number = number
    submit.registeredDelivery = registered
    submit.level = level
    submit.serviceID = service
    submit.feeUserType = feeUserType
    submit.feeTerminalID = feeTerminal
    if version == .v30 {
      guard let type = reader.uint8() else { return nil }
      submit.feeTerminalType = type
    }
    guard let protocolID = reader.uint8(), let indicator = reader.uint8(), let format = reader.uint8(),
      let source = reader.padded(6), let feeType = reader.padded(2), let feeCode = reader.padded(6),
      let validTime = reader.padded(17), let atTime = reader.padded(17), let sourceID = reader.padded(21),
      let count = reader.uint8()
    else { return nil }
    submit.protocolID = protocolID
    submit.headerIndicator = indicator
    submit.format = format
    submit.source = source
    submit.feeType = feeType
    submit.feeCode = feeCode
    submit.validTime = validTime
    submit.atTime = atTime
    submit.sourceID = sourceID
    for _ in 0..<count {
      guard let destination = reader.padded(numberLength) else { return nil }
      submit.destinations.append(destination)
    }
    if version == .v30 {
      guard let type = reader.uint8() else { return nil }
      submit.destinationType = type
    }
    guard let length = reader.uint8(), let content = reader.take(Int(length)),
      let link = reader.padded(version == .v30 ? 20 : 8)
    else { return nil }
    submit.content = content
    submit.linkID = link
    return .submit(submit)
  }

  private static func readDeliver(version: Version, from reader: inout OctetReader) -> Body? {
    var deliver = CMPPDeliver()
    guard let id = reader.uint64(), let destination = reader.padded(21), let service = reader.padded(10),
      let protocolID = reader.uint8(), let indicator = reader.uint8(), let format = reader.uint8(),
      let source = reader.padded(version == .v30 ? 32 : 21)
    else { return nil }
    deliver.messageID = id
    deliver.destination = destination
    deliver.serviceID = service
    deliver.protocolID = protocolID
    deliver.headerIndicator = indicator
    deliver.format = format
    deliver.source = source
    if version == .v30 {
      guard let type = reader.uint8() else { return nil }
      deliver.sourceType = type
    }
    guard let registered = reader.uint8(), let length = reader.uint8(), let content = reader.take(Int(length)),
      let link = reader.padded(version == .v30 ? 20 : 8)
    else { return nil }
    deliver.registeredDelivery = registered
    deliver.content = content
    deliver.linkID = link
    return .deliver(deliver)
  }

  public func encoded(version: Version) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(256)
    out.append(integer: UInt32(0))
    out.append(integer: command.rawValue)
    out.append(integer: sequence)
    switch body {
    case .empty: break
    case .connect(let source, let authenticator, let version, let timestamp):
      out.append(padded: source, 6)
      out.append(contentsOf: authenticator.prefix(16))
      out.append(version)
      out.append(integer: timestamp)
    case .connected(let status, let authenticator, let own):
      if version == .v30 { out.append(integer: status) } else { out.append(UInt8(truncatingIfNeeded: status)) }
      out.append(contentsOf: authenticator.prefix(16))
      out.append(own)
    case .submit(let submit): encode(submit, version: version, into: &out)
    case .result(let id, let result):
      out.append(integer: id)
      if version == .v30 { out.append(integer: result) } else { out.append(UInt8(truncatingIfNeeded: result)) }
    case .deliver(let deliver): encode(deliver, version: version, into: &out)
    case .messageID(let id): out.append(integer: id)
    case .reserved(let octet): out.append(octet)
    case .opaque(let octets): out.append(contentsOf: octets)
    }
    let length = UInt32(truncatingIfNeeded: out.count)
    for index in 0..<4 { out[index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index)) }
    return out
  }

  private func encode(_ submit: CMPPSubmit, version: Version, into out: inout [UInt8]) {
    let numberLength = version == .v30 ? 32 : 21
    out.append(integer: submit.messageID)
    out.append(submit.total)
    out.append(submit.number)
    out.append(submit.registeredDelivery)
    out.append(submit.level)
    out.append(padded: submit.serviceID, 10)
    out.append(submit.feeUserType)
    out.append(padded: submit.feeTerminalID, numberLength)
    if version == .v30 { out.append(submit.feeTerminalType) }
    out.append(submit.protocolID)
    out.append(submit.headerIndicator)
    out.append(submit.format)
    out.append(padded: submit.source, 6)
    out.append(padded: submit.feeType, 2)
    out.append(padded: submit.feeCode, 6)
    out.append(padded: submit.validTime, 17)
    out.append(padded: submit.atTime, 17)
    out.append(padded: submit.sourceID, 21)
    out.append(UInt8(truncatingIfNeeded: min(submit.destinations.count, 255)))
    for destination in submit.destinations.prefix(255) { out.append(padded: destination, numberLength) }
    if version == .v30 { out.append(submit.destinationType) }
    out.append(UInt8(truncatingIfNeeded: min(submit.content.count, 255)))
    out.append(contentsOf: submit.content.prefix(255))
    out.append(padded: submit.linkID, version == .v30 ? 20 : 8)
  }

  private func encode(_ deliver: CMPPDeliver, version: Version, into out: inout [UInt8]) {
    out.append(integer: deliver.messageID)
    out.append(padded: deliver.destination, 21)
    out.append(padded: deliver.serviceID, 10)
    out.append(deliver.protocolID)
    out.append(deliver.headerIndicator)
    out.append(deliver.format)
    out.append(padded: deliver.source, version == .v30 ? 32 : 21)
    if version == .v30 { out.append(deliver.sourceType) }
    out.append(deliver.registeredDelivery)
    out.append(UInt8(truncatingIfNeeded: min(deliver.content.count, 255)))
    out.append(contentsOf: deliver.content.prefix(255))
    out.append(padded: deliver.linkID, version == .v30 ? 20 : 8)
  }
}

extension SMPPPDU {
  /// The PDU as octets, command_length first. Text longer than its field is cut to it; octets beyond 255 of a
  /// short_message have no place in it: put them in message_payload.
  public var encoded: [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity(128)
    out.append(integer: UInt32(0))
    out.append(integer: command.rawValue)
    out.append(integer: status.rawValue)
    out.append(integer: sequence)
    encodeBody(into: &out)
    for parameter in parameters {
      out.append(integer: parameter.tag.rawValue)
      out.append(integer: UInt16(truncatingIfNeeded: parameter.value.count))
      out.append(contentsOf: parameter.value.prefix(0xffff))
    }
    let length = UInt32(truncatingIfNeeded: out.count)
    for index in 0..<4 { out[index] = UInt8(truncatingIfNeeded: length >> UInt32(24 - 8 * index)) }
    return out
  }

  private func encodeBody(into out: inout [UInt8]) {
    switch body {
    case .empty: break
    case .bind(let bind):
      out.append(cString: bind.systemID, maximum: 16)
      out.append(cString: bind.password, maximum: 9)
      out.append(cString: bind.systemType, maximum: 13)
      out.append(bind.interfaceVersion)
      out.append(bind.addressTON)
      out.append(bind.addressNPI)
      out.append(cString: bind.addressRange, maximum: 41)
    case .boundAs(let systemID): out.append(cString: systemID, maximum: 16)
    case .message(let message):
      out.append(cString: message.serviceType, maximum: 6)
      encode(message.source, into: &out)
      encode(message.destination, into: &out)
      encodeRest(of: message, into: &out)
    case .data(let message):
      out.append(cString: message.serviceType, maximum: 6)
      encode(message.source, maximum: 65, into: &out)
      encode(message.destination, maximum: 65, into: &out)
      out.append(message.esmClass)
      out.append(message.registeredDelivery)
      out.append(message.dataCoding)
    case .multi(let message, let destinations):
      out.append(cString: message.serviceType, maximum: 6)
      encode(message.source, into: &out)
      out.append(UInt8(truncatingIfNeeded: destinations.count))
      for destination in destinations.prefix(255) {
        switch destination {
        case .address(let address):
          out.append(1)
          encode(address, into: &out)
        case .list(let name):
          out.append(2)
          out.append(cString: name, maximum: 21)
        }
      }
      encodeRest(of: message, into: &out)
    case .messageID(let id): out.append(cString: id, maximum: 65)
    case .query(let id, let source):
      out.append(cString: id, maximum: 65)
      encode(source, into: &out)
    case .queryResult(let id, let date, let state, let error):
      out.append(cString: id, maximum: 65)
      out.append(cString: date, maximum: 17)
      out.append(state)
      out.append(error)
    case .cancel(let serviceType, let id, let source, let destination):
      out.append(cString: serviceType, maximum: 6)
      out.append(cString: id, maximum: 65)
      encode(source, into: &out)
      encode(destination, into: &out)
    case .replace(let id, let source, let message):
      out.append(cString: id, maximum: 65)
      encode(source, into: &out)
      out.append(cString: message.scheduleDeliveryTime, maximum: 17)
      out.append(cString: message.validityPeriod, maximum: 17)
      out.append(message.registeredDelivery)
      out.append(message.defaultMessageID)
      out.append(UInt8(truncatingIfNeeded: min(message.octets.count, 255)))
      out.append(contentsOf: message.octets.prefix(255))
    case .alert(let source, let esme):
      encode(source, maximum: 65, into: &out)
      encode(esme, maximum: 65, into: &out)
    case .outbind(let systemID, let password):
      out.append(cString: systemID, maximum: 16)
      out.append(cString: password, maximum: 9)
    case .opaque(let octets): out.append(contentsOf: octets)
    }
  }

  /// The address field is 21 octets with its NUL in most PDUs, 65 in data_sm. A longer one is sent whole: the SMSC shall
  /// refuse it (0x0b) rather than another subscriber receive it.
  private func encode(_ address: SMPPAddress, maximum: Int = 65, into out: inout [UInt8]) {
    out.append(address.ton)
    out.append(address.npi)
    out.append(cString: address.digits, maximum: maximum)
  }

  private func encodeRest(of message: SMPPMessage, into out: inout [UInt8]) {
    out.append(message.esmClass)
    out.append(message.protocolID)
    out.append(message.priority)
    out.append(cString: message.scheduleDeliveryTime, maximum: 17)
    out.append(cString: message.validityPeriod, maximum: 17)
    out.append(message.registeredDelivery)
    out.append(message.replaceIfPresent)
    out.append(message.dataCoding)
    out.append(message.defaultMessageID)
    out.append(UInt8(truncatingIfNeeded: min(message.octets.count, 255)))
    out.append(contentsOf: message.octets.prefix(255))
  }
}

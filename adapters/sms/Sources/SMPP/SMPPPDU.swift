/// One SMPP 3.4 protocol data unit, in either direction.
///
/// Decoding never fails once the frame is whole: what does not read is named in `defects`, what was read before it is
/// kept, and the rest stays in `body` as octets. So a session can answer, a recording be shown, and a customer's
/// message with a broken tail be quarantined with its reason. Source: SMPP 3.4 §3.2, §4.
public struct SMPPPDU: Hashable, Sendable {
  public var command: SMPPCommand
  public var status: SMPPStatus
  public var sequence: UInt32
  public var body: Body
  public var parameters: [SMPPParameter]
  /// What is wrong with it, in the order found; empty for a sound PDU.
  public var defects: [String]

  public init(
    _ command: SMPPCommand, status: SMPPStatus = .ok, sequence: UInt32, body: Body = .empty,
    parameters: [SMPPParameter] = [], defects: [String] = []
  ) {
    self.command = command
    self.status = status
    self.sequence = sequence
    self.body = body
    self.parameters = parameters
    self.defects = defects
  }

  public enum Body: Hashable, Sendable {
    /// No octets after the header (and perhaps parameters): enquire_link, unbind, and error responses of real peers.
    case empty
    case bind(SMPPBind)
    /// bind_*_resp.
    case boundAs(systemID: String)
    /// submit_sm, deliver_sm.
    case message(SMPPMessage)
    /// data_sm: as `message`, without the fields data_sm lacks.
    case data(SMPPMessage)
    case multi(SMPPMessage, destinations: [SMPPDestination])
    /// submit_sm_resp, deliver_sm_resp, data_sm_resp, submit_multi_resp.
    case messageID(String)
    case query(messageID: String, source: SMPPAddress)
    case queryResult(messageID: String, finalDate: String, state: UInt8, errorCode: UInt8)
    case cancel(serviceType: String, messageID: String, source: SMPPAddress, destination: SMPPAddress)
    case replace(messageID: String, source: SMPPAddress, message: SMPPMessage)
    case alert(source: SMPPAddress, esme: SMPPAddress)
    case outbind(systemID: String, password: String)
    /// Unknown command, or a body that does not read.
    case opaque([UInt8])
  }
}

public struct SMPPAddress: Hashable, Sendable {
  public var ton: UInt8
  public var npi: UInt8
  public var digits: String
  public init(ton: UInt8 = 0, npi: UInt8 = 0, _ digits: String) {
    self.ton = ton
    self.npi = npi
    self.digits = digits
  }
}

public enum SMPPDestination: Hashable, Sendable {
  case address(SMPPAddress)
  case list(String)
}

/// The body of bind_receiver, bind_transmitter, bind_transceiver. Source: SMPP 3.4 §4.1.
public struct SMPPBind: Hashable, Sendable {
  public var systemID: String
  public var password: String
  public var systemType: String
  public var interfaceVersion: UInt8
  public var addressTON: UInt8
  public var addressNPI: UInt8
  public var addressRange: String
  public init(
    systemID: String, password: String, systemType: String = "", interfaceVersion: UInt8 = 0x34,
    addressTON: UInt8 = 0, addressNPI: UInt8 = 0, addressRange: String = ""
  ) {
    self.systemID = systemID
    self.password = password
    self.systemType = systemType
    self.interfaceVersion = interfaceVersion
    self.addressTON = addressTON
    self.addressNPI = addressNPI
    self.addressRange = addressRange
  }
}

/// The mandatory fields of submit_sm and deliver_sm. Source: SMPP 3.4 §4.4.1, §4.6.1.
public struct SMPPMessage: Hashable, Sendable {
  public var serviceType: String
  public var source: SMPPAddress
  public var destination: SMPPAddress
  public var esmClass: UInt8
  public var protocolID: UInt8
  public var priority: UInt8
  public var scheduleDeliveryTime: String
  public var validityPeriod: String
  public var registeredDelivery: UInt8
  public var replaceIfPresent: UInt8
  public var dataCoding: UInt8
  public var defaultMessageID: UInt8
  /// short_message: with the user data header if esm_class says so.
  public var octets: [UInt8]

  public init(
    serviceType: String = "", source: SMPPAddress, destination: SMPPAddress, esmClass: UInt8 = 0,
    protocolID: UInt8 = 0, priority: UInt8 = 0, scheduleDeliveryTime: String = "", validityPeriod: String = "",
    registeredDelivery: UInt8 = 0, replaceIfPresent: UInt8 = 0, dataCoding: UInt8 = 0, defaultMessageID: UInt8 = 0,
    octets: [UInt8] = []
  ) {
    self.serviceType = serviceType
    self.source = source
    self.destination = destination
    self.esmClass = esmClass
    self.protocolID = protocolID
    self.priority = priority
    self.scheduleDeliveryTime = scheduleDeliveryTime
    self.validityPeriod = validityPeriod
    self.registeredDelivery = registeredDelivery
    self.replaceIfPresent = replaceIfPresent
    self.dataCoding = dataCoding
    self.defaultMessageID = defaultMessageID
    self.octets = octets
  }
}

import Channels

/// How an SMPP 3.4 link logs in and writes its submits. Source: SMPP 3.4 §4.
public struct SMPPSettings: Hashable, Sendable {
  public enum Bind: String, Hashable, Sendable, Codable, CaseIterable { case transceiver, transmitter, receiver }

  public var systemID: String
  public var password: String
  public var systemType: String
  public var interfaceVersion: UInt8
  public var addressRange: String
  public var serviceType: String
  /// Of senders that are service codes; letters always go as 5/0, E.164 as 1/1.
  public var shortCodeTON: UInt8
  public var shortCodeNPI: UInt8
  /// data_sm instead of submit_sm, for SMSCs that want it.
  public var usesDataSM: Bool
  /// Sends user_message_reference, by which some SMSCs let a receipt be matched even when the answer was lost.
  public var sendsReference: Bool
  public var asksQueries: Bool
  /// What the SMSC's own codes mean, before the specification's.
  public var verdicts: [UInt32: Verdict]

  public init(
    systemID: String, password: String, systemType: String = "", interfaceVersion: UInt8 = 0x34,
    addressRange: String = "", serviceType: String = "", shortCodeTON: UInt8 = 0, shortCodeNPI: UInt8 = 1,
    usesDataSM: Bool = false, sendsReference: Bool = true, asksQueries: Bool = false, verdicts: [UInt32: Verdict] = [:]
  ) {
    self.systemID = systemID
    self.password = password
    self.systemType = systemType
    self.interfaceVersion = interfaceVersion
    self.addressRange = addressRange
    self.serviceType = serviceType
    self.shortCodeTON = shortCodeTON
    self.shortCodeNPI = shortCodeNPI
    self.usesDataSM = usesDataSM
    self.sendsReference = sendsReference
    self.asksQueries = asksQueries
    self.verdicts = verdicts
  }
}

struct SMPPDialect: LinkDialect {
  static var headerLength: Int { SMPPPDU.headerLength }

  let bind: SMPPSettings.Bind
  let settings: SMPPSettings
  let profile: TextProfile

  var submits: Bool { bind != .receiver }

  func decode(_ frame: [UInt8]) -> SMPPPDU { SMPPPDU(frame: frame) }
  func encode(_ pdu: SMPPPDU) -> [UInt8] { pdu.encoded }

  func login(sequence: UInt32, at now: Timestamp) -> SMPPPDU {
    let command: SMPPCommand =
      switch bind {
      case .transceiver: .bindTransceiver
      case .transmitter: .bindTransmitter
      case .receiver: .bindReceiver
      }
    return SMPPPDU(
      command, sequence: sequence,
      body: .bind(
        SMPPBind(
          systemID: settings.systemID, password: settings.password, systemType: settings.systemType,
          interfaceVersion: settings.interfaceVersion, addressRange: settings.addressRange)))
  }

  func classify(_ pdu: SMPPPDU) -> LinkIncoming {
    switch pdu.command {
    case .bindTransceiver.response, .bindTransmitter.response, .bindReceiver.response:
      return .loginAnswer(pdu.status == .ok ? nil : fault(pdu.status))
    case .submitSM.response, .dataSM.response:
      guard pdu.status == .ok else { return .submitAnswer(sequence: pdu.sequence, refused(pdu.status)) }
      var id: String?
      if case .messageID(let text) = pdu.body, !text.trimmed.isEmpty { id = text.trimmed }
      return .submitAnswer(sequence: pdu.sequence, .accepted(id: id))
    case .querySM.response:
      guard pdu.status == .ok, case .queryResult(_, _, let state, _) = pdu.body else {
        return .queryAnswer(sequence: pdu.sequence, nil)
      }
      return .queryAnswer(sequence: pdu.sequence, ReceiptReader.state(ofNumber: UInt32(state)))
    case .enquireLink: return .keepalive
    case .enquireLink.response: return .keepaliveAnswer
    case .unbind: return .logout
    case .unbind.response: return .logoutAnswer
    case .deliverSM, .dataSM: return .inbound
    case .genericNack: return .nack(sequence: pdu.sequence, refused(pdu.status))
    // These have no response (SMPP 3.4 §4.12, §4.1.7).
    case .alertNotification, .outbind: return .ignored
    default: return pdu.command.isResponse ? .ignored : .unknownRequest
    }
  }

  private func refused(_ status: SMPPStatus) -> PartAnswer {
    .refused(settings.verdicts[status.rawValue] ?? status.verdict, fault(status))
  }

  private func fault(_ status: SMPPStatus) -> Fault {
    let code: Fault.Code =
      switch settings.verdicts[status.rawValue] ?? status.verdict {
      case .throttle: .throttled
      case .retry(let code), .reject(let code), .reconnect(let code): code
      }
    return Fault(code, peerCode: status.rawValue.hexLiteral, text: status.name)
  }

  func submit(_ part: OutboundPart, sequence: UInt32) -> SMPPPDU {
    var message = SMPPMessage(
      serviceType: settings.serviceType, source: source(part.from),
      destination: part.toIsInternational ? SMPPAddress(ton: 1, npi: 1, part.to) : SMPPAddress(ton: 0, npi: 1, part.to))
    message.esmClass = part.hasHeader ? 0x40 : 0
    message.priority = part.priority
    message.validityPeriod = part.validFor.map(Self.relativeTime) ?? ""
    message.registeredDelivery = part.wantsReport ? 1 : 0
    message.dataCoding = dataCoding(of: part)
    var parameters: [SMPPParameter] = []
    if part.method == .sar, let concatenation = part.concatenation {
      parameters.append(SMPPParameter(.sarReference, [UInt8](tag: concatenation.reference)))
      parameters.append(SMPPParameter(.sarTotal, [UInt8(truncatingIfNeeded: concatenation.total)]))
      parameters.append(SMPPParameter(.sarNumber, [UInt8(truncatingIfNeeded: concatenation.number)]))
    }
    if settings.usesDataSM || part.octets.count > 254 {
      parameters.append(SMPPParameter(.messagePayload, part.octets))
    } else {
      message.octets = part.octets
    }
    if settings.sendsReference {
      parameters.append(SMPPParameter(.userMessageReference, [UInt8](tag: part.reference)))
    }
    return SMPPPDU(
      settings.usesDataSM ? .dataSM : .submitSM, sequence: sequence,
      body: settings.usesDataSM ? .data(message) : .message(message), parameters: parameters)
  }

  private func source(_ from: String) -> SMPPAddress {
    if from.hasPrefix("+") { return SMPPAddress(ton: 1, npi: 1, String(from.dropFirst())) }
    let digitsOnly = from.utf8.allSatisfy { (0x30...0x39).contains($0) }
    if from.isEmpty { return SMPPAddress("") }
    return digitsOnly
      ? SMPPAddress(ton: settings.shortCodeTON, npi: settings.shortCodeNPI, from) : SMPPAddress(ton: 5, npi: 0, from)
  }

  private func dataCoding(of part: OutboundPart) -> UInt8 {
    let flash = part.messageClass.map { $0 & 3 }
    if part.coding == profile.defaultAlphabet.coding { return flash.map { 0xf0 | $0 } ?? 0 }
    switch part.coding {
    case .ucs2: return flash.map { 0x18 | $0 } ?? profile.ucs2DataCoding
    case .latin1: return 3
    case .ascii: return 1
    case .gb18030: return 15
    case .cyrillic: return 6
    case .hebrew: return 7
    default: return 0
    }
  }

  /// `YYMMDDhhmmss000R`: relative, so that nobody's clock or zone matters. At most 30 days. Source: SMPP 3.4 §7.1.1.
  static func relativeTime(_ duration: Duration) -> String {
    let seconds = min(max(duration.components.seconds, 1), 30 * 86_400)
    func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
    return "0000" + two(seconds / 86_400) + two(seconds / 3_600 % 24) + two(seconds / 60 % 60) + two(seconds % 60)
      + "000R"
  }

  func query(messageID: String, sequence: UInt32) -> SMPPPDU? {
    guard settings.asksQueries, submits else { return nil }
    return SMPPPDU(.querySM, sequence: sequence, body: .query(messageID: messageID, source: SMPPAddress("")))
  }

  func keepalive(sequence: UInt32) -> SMPPPDU { SMPPPDU(.enquireLink, sequence: sequence) }
  func keepaliveAnswer(to pdu: SMPPPDU) -> SMPPPDU { SMPPPDU(.enquireLink.response, sequence: pdu.sequence) }
  func logout(sequence: UInt32) -> SMPPPDU { SMPPPDU(.unbind, sequence: sequence) }
  func logoutAnswer(to pdu: SMPPPDU) -> SMPPPDU { SMPPPDU(.unbind.response, sequence: pdu.sequence) }

  func answer(to pdu: SMPPPDU, with answer: LinkAnswer) -> SMPPPDU {
    let status: SMPPStatus =
      switch answer {
      case .taken: .ok
      case .busy: .messageQueueFull
      case .refused: .permanentAppError
      }
    return SMPPPDU(pdu.command.response, status: status, sequence: pdu.sequence, body: .messageID(""))
  }

  func refusal(of pdu: SMPPPDU) -> SMPPPDU? {
    SMPPPDU(.genericNack, status: .invalidCommandID, sequence: pdu.sequence)
  }
}

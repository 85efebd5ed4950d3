import Channels

/// How a CMPP link logs in and writes its submits. Source: specs/sms.md §8.
public struct CMPPSettings: Hashable, Sendable {
  /// Source_Addr: the six digits of the enterprise (SP) code.
  public var enterpriseCode: String
  public var sharedSecret: String
  public var version: CMPPPDU.Version
  public var serviceID: String
  public var feeUserType: UInt8
  public var feeType: String
  public var feeCode: String
  /// Checks AuthenticatorISMG. Off by default: gateways hash it differently.
  public var verifiesGateway: Bool
  /// Of the gateway's clock, for the login's timestamp and Valid_Time.
  public var utcOffsetSeconds: Int
  /// What the gateway's own results mean, before the specification's.
  public var verdicts: [UInt32: Verdict]

  public init(
    enterpriseCode: String, sharedSecret: String, version: CMPPPDU.Version = .v20, serviceID: String = "",
    feeUserType: UInt8 = 2, feeType: String = "01", feeCode: String = "0", verifiesGateway: Bool = false,
    utcOffsetSeconds: Int = 8 * 3_600, verdicts: [UInt32: Verdict] = [:]
  ) {
    self.enterpriseCode = enterpriseCode
    self.sharedSecret = sharedSecret
    self.version = version
    self.serviceID = serviceID
    self.feeUserType = feeUserType
    self.feeType = feeType
    self.feeCode = feeCode
    self.verifiesGateway = verifiesGateway
    self.utcOffsetSeconds = utcOffsetSeconds
    self.verdicts = verdicts
  }
}

struct CMPPDialect: LinkDialect {
  static var headerLength: Int { CMPPPDU.headerLength }

  let settings: CMPPSettings
  /// What both sides speak: as asked, or lower if the gateway answers so.
  private var version: CMPPPDU.Version
  /// Ours, of the login: the gateway's own proof is built on it.
  private var proof: [UInt8] = []
  private let wallClock: @Sendable () -> Timestamp

  init(settings: CMPPSettings, wallClock: @escaping @Sendable () -> Timestamp) {
    self.settings = settings
    version = settings.version
    self.wallClock = wallClock
  }

  var submits: Bool { true }

  func decode(_ frame: [UInt8]) -> CMPPPDU { CMPPPDU(frame: frame, version: version) }
  func encode(_ pdu: CMPPPDU) -> [UInt8] { pdu.encoded(version: version) }

  mutating func login(sequence: UInt32, at now: Timestamp) -> CMPPPDU {
    let stamp = Self.loginStamp(now + .seconds(settings.utcOffsetSeconds))
    proof = CMPPAuthenticator.client(
      source: settings.enterpriseCode, secret: settings.sharedSecret, timestamp: stamp)
    return CMPPPDU(
      .connect, sequence: sequence,
      body: .connect(
        source: settings.enterpriseCode, authenticator: proof, version: settings.version.rawValue, timestamp: stamp))
  }

  /// MMDDHHMMSS as a number.
  static func loginStamp(_ local: Timestamp) -> UInt32 {
    let digits = local.description.utf8.filter { (0x30...0x39).contains($0) }
    return digits[4..<14].reduce(0) { $0 &* 10 &+ UInt32($1 - 0x30) }
  }

  mutating func classify(_ pdu: CMPPPDU) -> LinkIncoming {
    switch pdu.body {
    case .connected(let status, let authenticator, let answered):
      guard status == 0 else {
        let code: Fault.Code = status == 2 || status == 3 ? .authentication : .protocolViolation
        return .loginAnswer(
          Fault(code, peerCode: String(status), text: "CMPP_CONNECT: " + CMPPConnectStatus.name(status)))
      }
      if settings.verifiesGateway {
        let honest = CMPPAuthenticator.gatewayCandidates(status: status, client: proof, secret: settings.sharedSecret)
        guard honest.contains(authenticator) else {
          return .loginAnswer(
            Fault(.authentication, text: "AuthenticatorISMG is wrong: not the gateway we share a secret with"))
        }
      }
      if answered > 0, answered < 0x30 { version = .v20 }
      return .loginAnswer(nil)
    case .result(let id, let result):
      guard pdu.command == .submit.response else { return .ignored }
      if result == 0 {
        return .submitAnswer(sequence: pdu.sequence, .accepted(id: id == 0 ? nil : [UInt8](messageID: id).hex))
      }
      let verdict = settings.verdicts[result] ?? CMPPResult.verdict(result)
      let code: Fault.Code =
        switch verdict {
        case .throttle: .throttled
        case .retry(let code), .reject(let code), .reconnect(let code): code
        }
      return .submitAnswer(
        sequence: pdu.sequence, .refused(verdict, Fault(code, peerCode: String(result), text: CMPPResult.name(result))))
    default: break
    }
    switch pdu.command {
    case .deliver: return .inbound
    case .activeTest: return .keepalive
    case .activeTest.response: return .keepaliveAnswer
    case .terminate: return .logout
    case .terminate.response: return .logoutAnswer
    case .submit.response:
      // It answers, but its result does not read: the message may have been taken.
      return .ignored
    case .connect.response:
      return .loginAnswer(Fault(.protocolViolation, text: "CMPP_CONNECT_RESP does not read"))
    default: return pdu.command.isResponse ? .ignored : .unknownRequest
    }
  }

  func submit(_ part: OutboundPart, sequence: UInt32) -> CMPPPDU {
    var submit = CMPPSubmit()
    submit.total = UInt8(truncatingIfNeeded: part.concatenation?.total ?? 1)
    submit.number = UInt8(truncatingIfNeeded: part.concatenation?.number ?? 1)
    submit.registeredDelivery = part.wantsReport ? 1 : 0
    submit.level = part.priority
    submit.serviceID = settings.serviceID
    submit.feeUserType = settings.feeUserType
    submit.headerIndicator = part.hasHeader ? 1 : 0
    submit.format = CMPPFormat.format(of: part.coding) ?? 8
    submit.source = settings.enterpriseCode
    submit.feeType = settings.feeType
    submit.feeCode = settings.feeCode
    submit.validTime = part.validFor.map { validTime($0) } ?? ""
    submit.sourceID = part.from
    submit.destinations = [part.to]
    submit.content = part.octets
    return CMPPPDU(.submit, sequence: sequence, body: .submit(submit))
  }

  /// `YYMMDDhhmmss0nn+` with the offset in quarters of an hour: absolute, as CMPP knows no other.
  private func validTime(_ duration: Duration) -> String {
    let local = wallClock() + duration + .seconds(settings.utcOffsetSeconds)
    let digits = String(local.description.filter(\.isWholeNumber).dropFirst(2).prefix(12))
    let quarters = abs(settings.utcOffsetSeconds) / 900
    return digits + "0" + (quarters < 10 ? "0" : "") + String(quarters) + (settings.utcOffsetSeconds < 0 ? "-" : "+")
  }

  /// CMPP_QUERY only counts messages of a day; it knows none by its id.
  func query(messageID: String, sequence: UInt32) -> CMPPPDU? { nil }

  func keepalive(sequence: UInt32) -> CMPPPDU { CMPPPDU(.activeTest, sequence: sequence) }
  func keepaliveAnswer(to pdu: CMPPPDU) -> CMPPPDU {
    CMPPPDU(.activeTest.response, sequence: pdu.sequence, body: .reserved(0))
  }
  func logout(sequence: UInt32) -> CMPPPDU { CMPPPDU(.terminate, sequence: sequence) }
  func logoutAnswer(to pdu: CMPPPDU) -> CMPPPDU { CMPPPDU(.terminate.response, sequence: pdu.sequence) }

  func answer(to pdu: CMPPPDU, with answer: LinkAnswer) -> CMPPPDU {
    let result: UInt32 =
      switch answer {
      case .taken: 0
      case .busy: 8
      case .refused: 9
      }
    var id: UInt64 = 0
    if case .deliver(let deliver) = pdu.body { id = deliver.messageID }
    // Of a deliver that does not read, its Msg_Id still stands at the front.
    if case .opaque(let octets) = pdu.body {
      var reader = OctetReader(octets)
      id = reader.uint64() ?? 0
    }
    return CMPPPDU(.deliver.response, sequence: pdu.sequence, body: .result(messageID: id, result: result))
  }

  func refusal(of pdu: CMPPPDU) -> CMPPPDU? { nil }
}

import Channels

/// What a response says. Source: SMPP 3.4 §5.1.3; what each means for a sender: specs/sms.md §5.7.
public struct SMPPStatus: RawRepresentable, Hashable, Sendable {
  public let rawValue: UInt32
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  public static let ok = SMPPStatus(rawValue: 0x00)
  public static let invalidMessageLength = SMPPStatus(rawValue: 0x01)
  public static let invalidCommandLength = SMPPStatus(rawValue: 0x02)
  public static let invalidCommandID = SMPPStatus(rawValue: 0x03)
  public static let invalidBindStatus = SMPPStatus(rawValue: 0x04)
  public static let alreadyBound = SMPPStatus(rawValue: 0x05)
  public static let systemError = SMPPStatus(rawValue: 0x08)
  public static let invalidDestination = SMPPStatus(rawValue: 0x0b)
  public static let bindFailed = SMPPStatus(rawValue: 0x0d)
  public static let invalidPassword = SMPPStatus(rawValue: 0x0e)
  public static let invalidSystemID = SMPPStatus(rawValue: 0x0f)
  public static let messageQueueFull = SMPPStatus(rawValue: 0x14)
  public static let submitFailed = SMPPStatus(rawValue: 0x45)
  public static let throttled = SMPPStatus(rawValue: 0x58)
  public static let invalidExpiry = SMPPStatus(rawValue: 0x62)
  public static let temporaryAppError = SMPPStatus(rawValue: 0x64)
  public static let permanentAppError = SMPPStatus(rawValue: 0x65)

  private static let names: [UInt32: String] = [
    0x00: "ESME_ROK", 0x01: "ESME_RINVMSGLEN", 0x02: "ESME_RINVCMDLEN", 0x03: "ESME_RINVCMDID",
    0x04: "ESME_RINVBNDSTS", 0x05: "ESME_RALYBND", 0x06: "ESME_RINVPRTFLG", 0x07: "ESME_RINVREGDLVFLG",
    0x08: "ESME_RSYSERR", 0x0a: "ESME_RINVSRCADR", 0x0b: "ESME_RINVDSTADR", 0x0c: "ESME_RINVMSGID",
    0x0d: "ESME_RBINDFAIL", 0x0e: "ESME_RINVPASWD", 0x0f: "ESME_RINVSYSID", 0x11: "ESME_RCANCELFAIL",
    0x13: "ESME_RREPLACEFAIL", 0x14: "ESME_RMSGQFUL", 0x15: "ESME_RINVSERTYP", 0x33: "ESME_RINVNUMDESTS",
    0x34: "ESME_RINVDLNAME", 0x40: "ESME_RINVDESTFLAG", 0x42: "ESME_RINVSUBREP", 0x43: "ESME_RINVESMCLASS",
    0x44: "ESME_RCNTSUBDL", 0x45: "ESME_RSUBMITFAIL", 0x48: "ESME_RINVSRCTON", 0x49: "ESME_RINVSRCNPI",
    0x50: "ESME_RINVDSTTON", 0x51: "ESME_RINVDSTNPI", 0x53: "ESME_RINVSYSTYP", 0x54: "ESME_RINVREPFLAG",
    0x55: "ESME_RINVNUMMSGS", 0x58: "ESME_RTHROTTLED", 0x61: "ESME_RINVSCHED", 0x62: "ESME_RINVEXPIRY",
    0x63: "ESME_RINVDFTMSGID", 0x64: "ESME_RX_T_APPN", 0x65: "ESME_RX_P_APPN", 0x66: "ESME_RX_R_APPN",
    0x67: "ESME_RQUERYFAIL", 0xc0: "ESME_RINVOPTPARSTREAM", 0xc1: "ESME_ROPTPARNOTALLWD", 0xc2: "ESME_RINVPARLEN",
    0xc3: "ESME_RMISSINGOPTPARAM", 0xc4: "ESME_RINVOPTPARAMVAL", 0xfe: "ESME_RDELIVERYFAILURE",
    0xff: "ESME_RUNKNOWNERR",
  ]

  /// As the specification writes it; `vendor_0x00000412` for 0x400–0x4ff, else `status_0x…`.
  public var name: String {
    if let name = Self.names[rawValue] { return name }
    return (0x400...0x4ff).contains(rawValue) ? "vendor_" + rawValue.hexLiteral : "status_" + rawValue.hexLiteral
  }
}

/// What a sender does about a refused request; a link may say otherwise for its SMSC's vendor codes.
public enum Verdict: Hashable, Sendable {
  /// The link is asked to slow down: the message keeps its place and is sent again, no attempt is lost.
  case throttle
  /// Surely not sent; may be tried again later.
  case retry(Fault.Code)
  /// Surely not sent, and of no use to try again.
  case reject(Fault.Code)
  /// The session itself is of no use; the message was surely not sent.
  case reconnect(Fault.Code)

  /// The word of a configuration file: `throttle`, `retry`, `reject`, `bad-address`, `content`, `reconnect`.
  public init?(word: String) {
    switch word {
    case "throttle": self = .throttle
    case "retry": self = .retry(.peerFailure)
    case "reject": self = .reject(.policy)
    case "bad-address": self = .reject(.badAddress)
    case "unknown-recipient": self = .reject(.unknownRecipient)
    case "content": self = .reject(.contentRefused)
    case "reconnect": self = .reconnect(.protocolViolation)
    default: return nil
    }
  }
}

extension SMPPStatus {
  /// Of a submit's status other than ok. Codes unknown to the specification are tried again.
  public var verdict: Verdict {
    switch rawValue {
    case 0x14, 0x58: .throttle
    case 0x08, 0x64, 0x66, 0xfe, 0xff: .retry(.peerFailure)
    case 0x04, 0x05: .reconnect(.protocolViolation)
    case 0x0d, 0x0e, 0x0f: .reconnect(.authentication)
    case 0x0a, 0x0b, 0x33, 0x34, 0x48, 0x49, 0x50, 0x51: .reject(.badAddress)
    case 0x01: .reject(.tooLarge)
    case 0x61, 0x62: .reject(.expired)
    case 0x45, 0x65: .reject(.contentRefused)
    case 0x02, 0x03, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4: .reject(.protocolViolation)
    case 0x06, 0x07, 0x0c, 0x11, 0x13, 0x15, 0x40, 0x42, 0x43, 0x44, 0x53, 0x54, 0x55, 0x63, 0x67: .reject(.unsupported)
    default: .retry(.peerFailure)
    }
  }
}

import Channels

/// What one wire protocol tells a `LinkSession`: how its PDUs look and what an incoming one is.
///
/// Two conformers: SMPP 3.4 and CMPP. A dialect knows no state but what was agreed at login.
protocol LinkDialect: Sendable {
  associatedtype PDU: Sendable

  static var headerLength: Int { get }
  /// Whether messages may be submitted on this session (a receiver bind may not).
  var submits: Bool { get }

  func decode(_ frame: [UInt8]) -> PDU
  func encode(_ pdu: PDU) -> [UInt8]
  /// `now` is the wall clock: CMPP's proof of identity contains it.
  mutating func login(sequence: UInt32, at now: Timestamp) -> PDU
  mutating func classify(_ pdu: PDU) -> LinkIncoming
  func submit(_ part: OutboundPart, sequence: UInt32) -> PDU
  /// Nil if the protocol or the link cannot ask.
  func query(messageID: String, sequence: UInt32) -> PDU?
  func keepalive(sequence: UInt32) -> PDU
  func keepaliveAnswer(to pdu: PDU) -> PDU
  func logout(sequence: UInt32) -> PDU
  func logoutAnswer(to pdu: PDU) -> PDU
  func answer(to pdu: PDU, with answer: LinkAnswer) -> PDU
  /// Says that a request is unknown; nil where the protocol has no word for it.
  func refusal(of pdu: PDU) -> PDU?
}

/// What the peer is told about something it brought.
enum LinkAnswer: Sendable, Hashable {
  /// It is kept: ESME_ROK.
  case taken
  /// To be brought again: ESME_RMSGQFUL.
  case busy
  /// Never to be brought again: ESME_RX_P_APPN.
  case refused

  init(_ acceptance: Acceptance) {
    switch acceptance {
    case .stored, .duplicate: self = .taken
    case .busy: self = .busy
    case .refused: self = .refused
    }
  }
}

/// What an incoming PDU is to a session.
enum LinkIncoming: Sendable {
  /// Nil fault: logged in.
  case loginAnswer(Fault?)
  case submitAnswer(sequence: UInt32, PartAnswer)
  /// Nil if the peer cannot say.
  case queryAnswer(sequence: UInt32, DeliveryReport.State?)
  case keepalive
  case keepaliveAnswer
  case logout
  case logoutAnswer
  /// A short message or receipt, to be answered once it is kept.
  case inbound
  /// The peer did not understand the request of this sequence number; 0 names none.
  case nack(sequence: UInt32, PartAnswer)
  case unknownRequest
  /// Answers nobody asked for, notices nobody needs.
  case ignored
}

/// What the peer said to one part.
enum PartAnswer: Sendable, Hashable {
  /// Its id for the part; nil if it gave none.
  case accepted(id: String?)
  case refused(Verdict, Fault)
}

/// One short message ready for any wire.
struct OutboundPart: Sendable, Hashable {
  /// Digits as this wire wants them, or letters of a sender.
  var from: String
  var to: String
  /// True if `to` is written with its country code.
  var toIsInternational: Bool
  /// With the user data header, if `hasHeader`.
  var octets: [UInt8]
  var hasHeader: Bool
  var coding: TextCoding
  var concatenation: Concatenation?
  var method: Segmentation.Method
  var wantsReport: Bool
  /// 0 to 3; nil for an ordinary message.
  var messageClass: UInt8?
  /// 0 to 3.
  var priority: UInt8
  /// What is left until nobody wants it; nil without a limit.
  var validFor: Duration?
  /// The same on all parts of one attempt; for user_message_reference.
  var reference: UInt16
}

/// What became of one part on one session.
enum PartResult: Sendable, Hashable {
  case accepted(id: String?)
  /// Surely not sent, the peer said so.
  case refused(Verdict, Fault)
  /// Surely not sent: it never left.
  case notSent(Fault)
  /// It left and no answer came.
  case unknown(Fault)
}

import Channels

/// An HTTP request that reached our listener, as the composition root gives it: the adapter serves no HTTP itself.
public struct CallbackRequest: Sendable {
  public var method: String
  /// Path without the query.
  public var path: String
  /// Undecoded, without `?`.
  public var query: String
  public var body: [UInt8]
  /// Of the connection, numeric, without port: `127.0.0.1`, `::1`.
  public var sourceAddress: String

  public init(method: String, path: String, query: String, body: [UInt8] = [], sourceAddress: String) {
    self.method = method
    self.path = path
    self.query = query
    self.body = body
    self.sourceAddress = sourceAddress
  }
}

public struct CallbackResponse: Sendable, Hashable {
  public var status: Int
  public var body: String
  /// Seconds, for Retry-After.
  public var retryAfter: Int?
  public init(status: Int, body: String = "", retryAfter: Int? = nil) {
    self.status = status
    self.body = body
    self.retryAfter = retryAfter
  }
}

/// What Kannel's MO and DLR calls say. Pure.
///
/// To be configured in Kannel (README): the MO get-url asks for `from`, `to`, `text` (%b), `charset`, `coding`, `id`,
/// `smsc`; our own dlr-url names the attempt and lets Kannel fill in `d` (one bit), `reply`, `p` (the recipient: %p is that
/// in a DLR), `id`, `t`. Source: specs/sms.md §3.
public enum KannelCallbacks {
  static func reportURL(base: String, wireIdentity: String) -> String {
    "\(base)/dlr?attempt=\(PercentCoding.encode(wireIdentity))&d=%d&reply=%A&p=%p&id=%I&smsc=%i&t=%T&err=%B&fid=%F"
  }

  /// The post-url (the text is the body, of any length) or, with `&text=%b`, the get-url of Kannel's sms-service.
  public static func messageURL(base: String) -> String {
    "\(base)/mo?from=%q&to=%P&charset=%C&coding=%c&udh=%u&id=%I&smsc=%i&t=%T"
  }

  enum Content: Sendable {
    case message(text: String, defects: Int, properties: [InboundMessage.Property])
    case report(DeliveryReport)
    case unreadable(Arrival.Unreadable)
  }

  struct Reading: Sendable {
    var content: Content
    var from: String
    var to: String
    var wireKey: String?
    /// When Kannel had it, of a message; nil if it does not say.
    var since: Timestamp?
  }

  /// Nil if the path ends neither in `/mo` nor `/dlr`.
  static func read(_ request: CallbackRequest, link: String, numbers: NumberPlan, receipts: ReceiptReader) -> Reading? {
    var fields = PercentCoding.query(request.query)
    // With post-url the text is the body and the rest are headers or query; a form body is read as a query.
    if request.method == "POST", !request.body.isEmpty, fields["text"] == nil {
      fields["text"] = request.body
    }
    func text(_ name: String) -> String? {
      fields[name].map { String(decoding: $0, as: UTF8.self).trimmed }.flatMap { $0.isEmpty ? nil : $0 }
    }
    if request.path.hasSuffix("/mo") { return message(fields, text, link: link) }
    if request.path.hasSuffix("/dlr") { return report(text, link: link, numbers: numbers, receipts: receipts) }
    return nil
  }

  private static func message(_ fields: [String: [UInt8]], _ text: (String) -> String?, link: String) -> Reading {
    let octets = fields["text"] ?? []
    let coding = text("coding")
    let charset = text("charset")?.uppercased()
    let decoded: (text: String, defects: Int)
    if coding == "1" {
      decoded = ("", 0)
    } else if charset == "UTF-16BE" || charset == "UCS-2" || charset == "UTF-16" {
      decoded = UTF16Text.decode(octets)
    } else if charset == "GB18030" || charset == "GBK" || charset == "GB2312" {
      decoded = TextCoding.gb18030.decode(octets)
    } else if charset == "ISO-8859-1" || charset == "LATIN1" {
      decoded = TextCoding.latin1.decode(octets)
    } else {
      decoded = TextCoding.utf8.decode(octets)
    }
    let from = text("from") ?? ""
    let reading: Content
    if from.isEmpty {
      reading = .unreadable(.init(code: "bad-callback", text: "no `from` in Kannel's call"))
    } else if coding == "1" {
      reading = .unreadable(.init(code: "binary", text: "a binary message of \(octets.count) octets"))
    } else {
      var properties = [InboundMessage.Property("sms.link", link)]
      if let smsc = text("smsc") { properties.append(.init("sms.smsc", smsc)) }
      reading = .message(text: decoded.text, defects: decoded.defects, properties: properties)
    }
    return Reading(
      content: reading, from: from, to: text("to") ?? "", wireKey: text("id").map { "\(link)/mo/\($0)" },
      since: text("t").flatMap { Int64($0) }.flatMap { $0 > 0 ? Timestamp(seconds: $0) : nil })
  }

  private static func report(
    _ text: (String) -> String?, link: String, numbers: NumberPlan, receipts: ReceiptReader
  ) -> Reading {
    let recipient = text("p") ?? ""
    let bits = text("d").flatMap { Int($0) }
    let reply = text("reply") ?? ""
    let key = text("id").map { "\(link)/dlr/\($0)/\(bits.map { String($0) } ?? "")" }
    guard let bits, text("attempt") != nil || text("fid") != nil else {
      return Reading(
        content: .unreadable(.init(code: "bad-callback", text: "no `d` or no `attempt` in Kannel's call")),
        from: recipient,
        to: "", wireKey: key)
    }
    // The SMSC's own receipt text stands in %A; `ACK/`, `NACK/0x0000000b/…` are Kannel's.
    let quoted = ReceiptText(reply)
    var state: DeliveryReport.State
    var fault: Fault?
    switch bits {
    case 1: state = .delivered
    case 2:
      let known = quoted?.stat.flatMap { receipts.state(ofWord: $0) }
      state = known == .expired ? .expired : .undelivered
      fault = Fault(.peerFailure, peerCode: quoted?.error ?? text("err"), text: quoted?.stat ?? reply)
    case 4, 8: state = .pending
    case 16:
      state = .undelivered
      let code = reply.split(separator: "/").dropFirst().first.map(String.init)
      let status = code.flatMap { $0.hasPrefix("0x") ? UInt32($0.dropFirst(2), radix: 16) : UInt32($0) }
      let verdict = status.map { SMPPStatus(rawValue: $0).verdict }
      var faultCode = Fault.Code.peerFailure
      if case .reject(let precise)? = verdict { faultCode = precise }
      fault = Fault(faultCode, peerCode: code, text: reply.isEmpty ? "refused by the SMSC" : reply)
    default:
      state = .pending
      fault = Fault(.protocolViolation, peerCode: String(bits), text: "not one of Kannel's report bits")
    }
    return Reading(
      content: .report(
        DeliveryReport(
          wireIdentity: text("attempt"), peerID: nil,
          recipient: recipient.isEmpty ? nil : numbers.address(recipient), state: state, fault: fault,
          condemnsAddress: fault?.code == .badAddress,
          happenedAt: text("t").flatMap { Int64($0) }.flatMap { $0 > 0 ? Timestamp(seconds: $0) : nil })),
      from: recipient, to: "", wireKey: key)
  }
}

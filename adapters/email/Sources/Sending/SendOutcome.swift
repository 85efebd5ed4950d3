import Channels

/// What is known of one message after a session with a mail server, and what it comes to.
///
/// libesmtp says 1 (success) of a session that was dropped, refused TLS or never greeted; so nothing is believed but
/// the replies themselves. The order: a final reply to the data decides; then whether the final dot can have left;
/// only if it cannot is the message surely not sent. Source: specs/email.md §2, RFC 5321 §4.2.5, RFC 3463.
struct SendTrace: Sendable, Hashable {
  struct Reply: Sendable, Hashable {
    /// 0: none came.
    var code = 0
    /// `5.1.1`; empty if none was given.
    var enhanced = ""
    var text = ""
  }
  /// Reply to MAIL.
  var mail = Reply()
  /// Reply to RCPT.
  var recipient = Reply()
  /// Reply to the data; libesmtp also puts a refusal of MAIL or DATA here.
  var transfer = Reply()
  /// All of the message was handed to the transport, so that the final dot may have reached the peer.
  var wasHandedOver = false
  /// What went wrong with the session as a whole; empty if nothing is known.
  var sessionError = ""
  /// When the session ended, for the receipt.
  var at: Timestamp

  var outcome: Submission {
    if isClass(4, recipient) || isClass(5, recipient) { return refused(recipient, atRecipient: true) }
    if isClass(2, transfer), isClass(2, recipient), wasHandedOver {
      return .accepted(Receipt(peerID: queueID(transfer.text), at: at))
    }
    if isClass(4, transfer) || isClass(5, transfer) { return refused(transfer, atRecipient: false) }
    if isClass(4, mail) || isClass(5, mail) { return refused(mail, atRecipient: false) }
    if wasHandedOver, isClass(2, recipient) {
      return .inDoubt(
        Fault(.connection, text: "the connection ended after the message was handed over and before it was answered"))
    }
    let text = sessionError.isEmpty ? "the connection ended before the message was handed over" : sessionError
    return .deferred(Fault(faultOfSession, text: text), retryAfter: nil)
  }

  private func isClass(_ digit: Int, _ reply: Reply) -> Bool { reply.code / 100 == digit }

  private var faultOfSession: Fault.Code {
    let lower = sessionError.lowercased()
    if lower.has("timed out") || lower.has("timeout") { return .timeout }
    if lower.has("auth") { return .authentication }
    return .connection
  }

  private func refused(_ reply: Reply, atRecipient: Bool) -> Submission {
    let code = faultCode(reply, atRecipient: atRecipient)
    let fault = Fault(
      code, peerCode: reply.enhanced.isEmpty ? String(reply.code) : reply.enhanced, text: "\(reply.code) \(reply.text)")
    // Our own set-up is wrong, not the mail: it waits until that is mended.
    let isOurs = [530, 534, 535, 538].contains(reply.code)
    if reply.code / 100 == 4 || isOurs { return .deferred(fault, retryAfter: nil) }
    return .rejected(fault)
  }

  private func faultCode(_ reply: Reply, atRecipient: Bool) -> Fault.Code {
    switch reply.enhanced {
    case "5.1.1", "5.1.2", "5.1.6", "5.1.10": return .unknownRecipient
    case "5.1.0", "5.1.3", "5.1.7", "5.1.8": return .badAddress
    case "5.2.2", "4.2.2", "5.2.1", "4.2.1": return .recipientBusy
    case "5.3.4", "5.2.3": return .tooLarge
    case "5.6.7": return .unsupported
    default: break
    }
    switch reply.code {
    case 421, 450, 451: return reply.enhanced.hasPrefix("4.7") ? .policy : .throttled
    case 452: return .throttled
    case 530, 534, 535, 538: return .authentication
    case 550, 551: return reply.enhanced.hasPrefix("5.7") ? .policy : atRecipient ? .unknownRecipient : .contentRefused
    case 552: return .tooLarge
    case 553: return .badAddress
    case 554: return reply.enhanced.hasPrefix("5.7") ? .policy : .contentRefused
    default: return .peerFailure
    }
  }

  /// `2.0.0 Ok: queued as ABC123`: the name under which the server's log knows it.
  private func queueID(_ text: String) -> String? {
    guard let offset = text.firstOffset(of: "queued as ") else { return nil }
    let id = String(decoding: text.utf8.dropFirst(offset + 10), as: UTF8.self)
      .prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }
    return id.isEmpty ? nil : String(id)
  }
}

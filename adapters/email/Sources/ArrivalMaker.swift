import Channels
import Crypto

/// From a mail as the wire gave it to the arrival Intake is offered: message, delivery report or unreadable.
///
/// A report about a mail of ours settles an attempt and opens nothing; it is known by its VERP recipient, else by the
/// Message-ID it returns. Everything else is a message; what is no mail at all stays visible as unreadable.
struct ArrivalMaker: Sendable {
  let channel: ContactChannel
  let signer: SignedAddress
  /// Lower case, without tags.
  let ownAddresses: [String]
  let idHost: String
  private let reader = MailReader()

  init(channel: ContactChannel, signer: SignedAddress, ownAddresses: [String], idHost: String) {
    self.channel = channel
    self.signer = signer
    self.ownAddresses = ownAddresses
    self.idHost = idHost
  }

  /// Message-ID, content and recipient: never the Message-ID alone, for senders use one twice. Source: specs/email.md §4.
  static func contentKey(_ raw: [UInt8], recipient: String) -> String {
    let (headers, _) = raw.withUnsafeBufferPointer { HeaderBlock.parse($0) }
    let id = headers.first("message-id").flatMap { MessageID.own(in: $0) } ?? ""
    return "\(recipient.lowercased());\(contentHash(raw));\(id.prefix(200))"
  }

  static func contentHash(_ raw: [UInt8]) -> String {
    hex(SHA256.hash(data: raw))
  }

  /// What a mail says, by digest: the same in every mailbox it reached, whatever servers on the way put above it or how
  /// they encoded it. Nil without a Message-ID: then two equal mails may be two.
  static func contentIdentity(_ mail: ReadMail) -> String? {
    guard !mail.messageID.isEmpty else { return nil }
    var hash = SHA256()
    for part in [mail.messageID, mail.from.lowercased(), mail.date, mail.subject, mail.text, mail.html ?? ""] {
      let bytes = Array(part.utf8)
      hash.update(data: Array("\(bytes.count):".utf8))
      hash.update(data: bytes)
    }
    for attachment in mail.attachments {
      hash.update(data: Array("\(attachment.bytes.count):\(attachment.name):".utf8))
      hash.update(data: attachment.bytes)
    }
    return hex(hash.finalize())
  }

  private static func hex(_ digest: SHA256.Digest) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
  }

  func arrival(
    raw: [UInt8], wireKey: String?, envelope: MailSession.Envelope?, mailbox: String, tooLarge: Int?,
    receivedAt: Timestamp, waitingSince: Timestamp? = nil
  ) async -> Arrival {
    var arrival = Arrival(
      channel: channel, wireKey: wireKey, from: nil, to: Self.address(mailbox), receivedAt: receivedAt,
      waitingSince: waitingSince,
      payload: .unreadable(.init(code: "bad-mime", text: "not read")), raw: raw)
    if let envelope, !envelope.from.isEmpty { arrival.from = Self.address(envelope.from) }
    let mail: ReadMail
    do { mail = try await reader.read(raw) } catch {
      arrival.payload = .unreadable(.init(code: "internal", text: "\(error)"))
      return arrival
    }
    if !mail.from.isEmpty { arrival.from = Self.address(mail.from) }
    if let reason = mail.unreadableReason {
      arrival.payload = .unreadable(.init(code: raw.isEmpty ? "empty" : "bad-mime", text: reason))
    } else if let size = tooLarge {
      arrival.payload = .unreadable(
        .init(
          code: "too-large",
          text: "\(size) bytes, more than is taken; only the header is kept. Subject: \(mail.subject)"))
    } else if mail.isBounce {
      arrival.payload = .report(report(mail, envelope: envelope, mailbox: mailbox))
    } else {
      arrival.payload = .message(message(mail, raw: raw, envelope: envelope, mailbox: mailbox))
    }
    return arrival
  }

  static func address(_ text: String) -> Address { Address(kind: .email, canonical: text.lowercased(), raw: text) }

  // MARK: Report

  private func report(_ mail: ReadMail, envelope: MailSession.Envelope?, mailbox: String) -> DeliveryReport {
    let recipients = candidates(mail, envelope: envelope, mailbox: mailbox)
    let attempt = recipients.lazy.compactMap { signer.token(.bounce, in: $0) }.first
    let original = mail.bouncedRecipients.lazy.map(\.originalMessageID).first { !$0.isEmpty }
    // An id of ours without a signed recipient still names the attempt; Intake sees whether it exists.
    let identity = attempt.map { "\($0)@\(idHost)" } ?? original
    let bounced = mail.bouncedRecipients.first { $0.action == .failed } ?? mail.bouncedRecipients.first
    var report = DeliveryReport(
      wireIdentity: identity, peerID: nil, recipient: bounced.map { Self.address($0.address) }, state: .undelivered)
    guard let bounced else {
      report.fault = Fault(.peerFailure, text: String(mail.text.prefix(500)))
      return report
    }
    switch bounced.action {
    case .delivered, .relayed, .expanded:
      report.state = bounced.action == .delivered ? .delivered : .unknown
    case .delayed:
      report.state = .pending
      report.fault = fault(bounced)
    case .failed:
      report.state = bounced.reason == "expired" ? .expired : .undelivered
      report.fault = fault(bounced)
      report.condemnsAddress = bounced.condemnsAddress
    }
    return report
  }

  private func fault(_ bounced: BouncedRecipient) -> Fault {
    let code: Fault.Code =
      switch bounced.reason {
      case "userunknown", "hasmoved", "hostunknown": .unknownRecipient
      case "mailboxfull", "suspend": .recipientBusy
      case "mesgtoobig": .tooLarge
      case "expired": .expired
      case "networkerror": .connection
      case "spamdetected", "authfailure", "policyviolation", "securityerror", "norelaying", "requireptr": .policy
      case "filtered", "notcompliantrfc": .contentRefused
      default: .peerFailure
      }
    let words = bounced.diagnostic.isEmpty ? bounced.reason : bounced.diagnostic
    return Fault(code, peerCode: bounced.status, text: String(foldBlanks(words).prefix(500)))
  }

  private func candidates(_ mail: ReadMail, envelope: MailSession.Envelope?, mailbox: String) -> [String] {
    [mailbox] + (envelope?.recipients ?? []) + mail.recipients
  }

  // MARK: Message

  private func message(_ mail: ReadMail, raw: [UInt8], envelope: MailSession.Envelope?, mailbox: String)
    -> InboundMessage
  {
    let isCut = mail.replyText != mail.text
    var message = InboundMessage(
      subject: mail.subject.isEmpty ? nil : mail.subject, text: mail.replyText, fullText: isCut ? mail.text : nil,
      html: mail.html, language: mail.contentLanguage)
    message.attachments = mail.attachments.flatMap { attachment -> [InboundMessage.Attachment] in
      // What Outlook packed is shown unpacked; the pack itself is in the raw bytes.
      let shown = attachment.contained.isEmpty ? [attachment] : attachment.contained
      return shown.map {
        InboundMessage.Attachment(
          name: $0.name.isEmpty ? nil : $0.name, mediaType: $0.mediaType, bytes: $0.bytes, contentID: $0.contentID)
      }
    }
    message.isAutomatic =
      mail.isAutomaticAnswer || mail.isReadReceipt || mail.isComplaint || mail.noAnswerReason == "auto-submitted"
      || mail.noAnswerReason == "loop" && ownAddresses.contains(baseAddress(mail.from))
    var seen: Set<String> = []
    let references = mail.inReplyToIDs + mail.referenceIDs.reversed()
    message.thread = InboundMessage.Thread(
      signedToken: candidates(mail, envelope: envelope, mailbox: mailbox).lazy.compactMap {
        self.signer.token(.reply, in: $0)
      }.first,
      references: references.filter { seen.insert($0).inserted },
      claimedToken: SubjectToken.find(in: mail.subject), ownID: mail.messageID.isEmpty ? nil : mail.messageID)
    message.claims = claims(mail, envelope: envelope)
    message.properties = properties(mail, raw: raw, envelope: envelope)
    return message
  }

  private func claims(_ mail: ReadMail, envelope: MailSession.Envelope?) -> [Claim] {
    var claims: [Claim] = []
    if mail.from.utf8.contains(0x40) {
      // Header and envelope agree: as good as the network's word gets without DKIM.
      let agrees = envelope.map { $0.from.lowercased() == mail.from.lowercased() } ?? false
      claims.append(Claim(.email, mail.from.lowercased(), source: agrees ? .wire : .text))
    }
    if !mail.fromName.isEmpty { claims.append(Claim(.name, mail.fromName, source: .text)) }
    for number in CustomerNumberClaim.find(in: mail.subject + "\n" + mail.replyText) {
      claims.append(Claim(.customerNo, number, source: .text))
    }
    return claims
  }

  private func properties(_ mail: ReadMail, raw: [UInt8], envelope: MailSession.Envelope?) -> [InboundMessage.Property]
  {
    var properties: [InboundMessage.Property] = []
    if let envelope {
      properties.append(.init("envelope.from", envelope.from))
      properties.append(.init("envelope.to", envelope.recipients.joined(separator: ", ")))
    }
    properties.append(.init("content.sha256", Self.contentHash(raw)))
    if let identity = Self.contentIdentity(mail) { properties.append(.init("content.identity", identity)) }
    if let reason = mail.noAnswerReason { properties.append(.init("no_answer", reason)) }
    if mail.isListMail { properties.append(.init("list", "true")) }
    if mail.isReadReceipt { properties.append(.init("read_receipt", "true")) }
    if let complaint = mail.complaint {
      properties.append(.init("complaint.recipient", complaint.address))
      properties.append(.init("complaint.message_id", complaint.messageID))
    }
    let recipients = mail.recipients.prefix(50).joined(separator: ", ")
    if !recipients.isEmpty { properties.append(.init("header.recipients", recipients)) }
    return properties + mail.properties
  }
}

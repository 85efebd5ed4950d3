import API
import Channels
import ContactModel
import Email
import Foundation
import Intake
import Logging
import NIOCore
import Outbound
import Store

/// E-mail: delivered to us by the bank's mail server, fetched from mailboxes, sent through the server's submission.
struct EmailWiring: ChannelWiring {
  var mailbox: String
  var displayName: String?
  var addresses: [String]
  var idHost: String?
  var bounceMailbox: String?
  var maximumMessageBytes: Int
  var alarmAfter: Duration
  var delivery: MailListenerSettings?
  var mailboxes: [Mailbox]
  var submission: MailSubmissionSettings?
  var submissionsPerSecond: Int

  /// A mailbox and, where its server wants XOAUTH2, how access tokens are got.
  struct Mailbox: Sendable {
    var settings: MailboxSettings
    var grant: OAuthGrant?
  }

  init(_ reader: ConfigurationReader) {
    mailbox = reader.string("mailbox")
    if !mailbox.isEmpty, !Self.isAddress(mailbox) { reader.problem(at: "mailbox", "\(mailbox) is no mail address") }
    displayName = reader.optionalString("display_name")
    addresses = reader.strings("addresses")
    for address in addresses where !Self.isAddress(address) {
      reader.problem(at: "addresses", "\(address) is no mail address")
    }
    idHost = reader.optionalString("id_host")
    bounceMailbox = reader.optionalString("bounce_mailbox")
    if let bounceMailbox, !Self.isAddress(bounceMailbox) {
      reader.problem(at: "bounce_mailbox", "\(bounceMailbox) is no mail address")
    }
    maximumMessageBytes = reader.integer("maximum_message_bytes", default: 31_457_280, in: 65_536...1_073_741_824)
    alarmAfter = reader.duration("alarm_after", default: .seconds(900))
    let most = maximumMessageBytes
    delivery = reader.optionalSection("delivery") { Self.delivery($0, maximumMessageBytes: most) }
    mailboxes = reader.list("mailboxes", Self.mailbox)
    submission = reader.optionalSection("submission", Self.submission)
    submissionsPerSecond = reader.integer("submissions_per_second", default: 0, in: 0...100_000)
    if delivery == nil, mailboxes.isEmpty, submission == nil {
      reader.problem(at: "delivery", "an e-mail channel needs delivery, mailboxes or submission")
    }
    let names = mailboxes.map(\.settings.name)
    for name in Set(names) where names.filter({ $0 == name }).count > 1 {
      reader.problem(at: "mailboxes", "\(name) is there twice")
    }
  }

  private static func isAddress(_ text: String) -> Bool {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { !$0.isEmpty } && !text.contains(where: \.isWhitespace)
      && !parts[0].contains("+")
  }

  private static func delivery(_ reader: ConfigurationReader, maximumMessageBytes: Int) -> MailListenerSettings {
    let listen = reader.listener("listen", default: ListenAddress(host: "127.0.0.1", port: 8024))
    let wire = reader.string("wire", default: "lmtp", allowed: ["lmtp", "smtp"])
    let perMinute = reader.integer("messages_per_minute", default: 0, in: 0...10_000_000)
    let settings = MailListenerSettings(
      wire: .init(rawValue: wire) ?? .lmtp, host: listen.host, port: listen.port,
      hostName: reader.string("host_name", default: "liaison"),
      certificateFile: reader.optionalString("certificate"), keyFile: reader.optionalString("certificate_key"),
      requiresTLS: reader.bool("require_tls", default: false), maximumMessageBytes: maximumMessageBytes,
      maximumRecipients: reader.integer("maximum_recipients", default: 100, in: 1...10_000),
      maximumConnections: reader.integer("maximum_connections", default: 64, in: 1...10_000),
      messagesPerMinute: perMinute == 0 ? nil : perMinute,
      idleSeconds: max(1, reader.duration("idle_timeout", default: .seconds(300)).wholeMilliseconds / 1_000))
    if (settings.certificateFile == nil) != (settings.keyFile == nil) {
      reader.problem(at: "certificate", "certificate and certificate_key belong together")
    }
    if settings.requiresTLS, settings.certificateFile == nil {
      reader.problem(at: "require_tls", "TLS needs a certificate")
    }
    return settings
  }

  private static func mailbox(_ reader: ConfigurationReader) -> Mailbox? {
    let wire = reader.string("wire", default: "imap", allowed: MailboxSettings.Wire.allCases.map(\.rawValue))
    let tls = reader.string("tls", default: "implicit", allowed: MailboxSettings.TLS.allCases.map(\.rawValue))
    let standard = wire == "pop3" ? (tls == "implicit" ? 995 : 110) : (tls == "implicit" ? 993 : 143)
    var settings = MailboxSettings(
      wire: .init(rawValue: wire) ?? .imap, host: reader.string("host"),
      port: reader.integer("port", default: standard, in: 1...65_535), tls: .init(rawValue: tls) ?? .implicit,
      caFile: reader.optionalString("authorities"), user: reader.string("user"), password: reader.secret("password"),
      folder: reader.string("folder", default: "INBOX"), failedFolder: reader.optionalString("failed_folder"),
      address: reader.string("address"),
      pollSeconds: seconds(reader.duration("poll_interval", default: .seconds(60))),
      idleSeconds: seconds(reader.duration("idle_interval", default: .seconds(1_500))),
      timeoutSeconds: seconds(reader.duration("timeout", default: .seconds(30))))
    let moveTo = reader.optionalString("move_to")
    switch reader.string("after", default: "seen", allowed: ["seen", "move", "delete"]) {
    case "move":
      if let moveTo {
        settings.after = .move(folder: moveTo)
      } else {
        reader.problem(at: "after", "move needs move_to, the folder")
      }
    case "delete": settings.after = .delete
    default: settings.after = .markSeen
    }
    let grant = reader.optionalSection("oauth2") { section in
      OAuthGrant(
        tokenURL: section.string("token_url"), clientID: section.string("client_id"),
        clientSecret: section.secret("client_secret"), refreshToken: section.secret("refresh_token") ?? "",
        scope: section.optionalString("scope"))
    }
    if (settings.password == nil) == (grant == nil) {
      reader.problem(at: "user", "a mailbox needs either password or oauth2")
    }
    return Mailbox(settings: settings, grant: grant)
  }

  private static func submission(_ reader: ConfigurationReader) -> MailSubmissionSettings {
    let tls = reader.string("tls", default: "starttls", allowed: MailSubmissionSettings.TLS.allCases.map(\.rawValue))
    return MailSubmissionSettings(
      host: reader.string("host"),
      port: reader.integer("port", default: tls == "implicit" ? 465 : 587, in: 1...65_535),
      hostName: reader.string("host_name", default: "liaison"), tls: .init(rawValue: tls) ?? .starttls,
      caFile: reader.optionalString("authorities"), user: reader.optionalString("user"),
      password: reader.secret("password"), sessions: reader.integer("sessions", default: 4, in: 1...64),
      batch: reader.integer("batch", default: 20, in: 1...1_000),
      timeoutSeconds: seconds(reader.duration("timeout", default: .seconds(60))),
      transferTimeoutSeconds: seconds(reader.duration("transfer_timeout", default: .seconds(600))))
  }

  /// At least one: every wait ends.
  private static func seconds(_ duration: Duration) -> Int { max(1, Int(duration.wholeMilliseconds / 1_000)) }

  func wire(_ name: String, with house: House) throws -> WiredChannel {
    let channel = ContactChannel(kind: .email, name: name)
    let key = house.secrets.key(for: "oauth2 tokens")
    let settings = EmailSettings(
      name: name,
      composer: .init(
        mailbox: mailbox, displayName: displayName, idHost: idHost, bounceMailbox: bounceMailbox),
      addresses: addresses, signingKeys: [house.secrets.key(for: "mail addresses")], listener: delivery,
      mailboxes: mailboxes.map { mailbox in
        guard let grant = mailbox.grant else { return mailbox.settings }
        var settings = mailbox.settings
        let tokens = OAuthTokens(
          grant, mailbox: settings.name, channel: channel, database: house.database, key: key, now: house.now)
        settings.accessToken = { try await tokens.access() }
        return settings
      }, submission: submission, maximumMessageBytes: maximumMessageBytes, alarmAfter: alarmAfter,
      submissionsPerSecond: submissionsPerSecond == 0 ? nil : submissionsPerSecond)
    let intake = house.intake
    let adapter = EmailAdapter(
      settings: settings, cursors: durableCursors(of: channel, house), logger: house.logger, group: house.group,
      refused: { code in
        // Counted beside the answer; the intake logs it if that fails. Ends by itself after one write.
        Task { await intake.countRefusal(Refusal(code: code, text: "refused by the listener"), on: channel) }
      }, now: house.now)
    var links: [OutboundLink] = []
    if let submission {
      links.append(
        OutboundLink(
          channel: .email, adapter: adapter, from: Address(kind: .email, canonical: mailbox.lowercased(), raw: mailbox),
          window: submission.sessions * submission.batch, memory: .seconds(5 * 86_400), inquiryEvery: .seconds(3_600)))
    }
    let mailbox = mailbox
    return WiredChannel(
      adapter: adapter, outbound: links, reread: { raw, to in await adapter.read(raw, to: to?.raw ?? mailbox).payload })
  }

  /// Cursors in the store. One that cannot be read or kept costs a second look at mail that is then recognised.
  private func durableCursors(of channel: ContactChannel, _ house: House) -> MailboxCursors {
    let (database, now, logger) = (house.database, house.now, house.logger)
    return MailboxCursors(
      load: { mailbox in
        do {
          let text = try await database.read { try $0.cursor(named: mailbox, of: channel) }
          return try text.map { try JSONDecoder().decode(MailboxCursor.self, from: Data($0.utf8)) }
        } catch {
          logger.warning(
            "A mailbox is read from its beginning because its cursor cannot be read.",
            metadata: ["channel": "\(channel.name)", "fault.text": "\(error)"])
          return nil
        }
      },
      save: { mailbox, cursor in
        do {
          let text = String(decoding: try JSONEncoder().encode(cursor), as: UTF8.self)
          let time = now()
          try await database.write { try $0.setCursor(text, named: mailbox, of: channel, at: time) }
        } catch {
          logger.warning(
            "A mailbox's cursor could not be kept.",
            metadata: ["channel": "\(channel.name)", "fault.text": "\(error)"])
        }
      })
  }
}

import Channels

/// A mailbox that is fetched, for banks whose server delivers nowhere else.
public struct MailboxSettings: Sendable {
  public enum Wire: String, Sendable, CaseIterable { case imap, pop3 }
  public enum TLS: String, Sendable, CaseIterable { case none, starttls, implicit }
  /// What becomes of a mail on the server once it is durable here; never before.
  public enum After: Sendable, Hashable {
    case markSeen
    case move(folder: String)
    case delete
  }
  public var wire: Wire
  public var host: String
  public var port: Int
  public var tls: TLS
  /// PEM; nil: the system's authorities.
  public var caFile: String?
  public var user: String
  public var password: String?
  /// Called at each login when the server wants XOAUTH2: the composition root gives the present access token and
  /// stores a rotated refresh token itself.
  public var accessToken: (@Sendable () async throws -> String)?
  public var folder: String
  public var after: After
  /// Where refused mail goes; nil leaves it in place, flagged.
  public var failedFolder: String?
  /// The mailbox's own address, the `to` of what is fetched.
  public var address: String
  /// Between looks where the server has no IDLE, and for POP3.
  public var pollSeconds: Int
  /// IDLE is renewed after so long (RFC 2177: under 29 minutes).
  public var idleSeconds: Int
  public var timeoutSeconds: Int

  public init(
    wire: Wire = .imap, host: String, port: Int, tls: TLS = .implicit, caFile: String? = nil, user: String,
    password: String? = nil, accessToken: (@Sendable () async throws -> String)? = nil, folder: String = "INBOX",
    after: After = .markSeen, failedFolder: String? = nil, address: String, pollSeconds: Int = 60,
    idleSeconds: Int = 1_500, timeoutSeconds: Int = 30
  ) {
    self.wire = wire
    self.host = host
    self.port = port
    self.tls = tls
    self.caFile = caFile
    self.user = user
    self.password = password
    self.accessToken = accessToken
    self.folder = folder
    self.after = after
    self.failedFolder = failedFolder
    self.address = address
    self.pollSeconds = pollSeconds
    self.idleSeconds = idleSeconds
    self.timeoutSeconds = timeoutSeconds
  }

  /// Names this mailbox in wire keys and cursors.
  public var name: String { "\(wire.rawValue)://\(user)@\(host)/\(folder)" }
}

/// How far a mailbox has been read. Durable at the composition root; losing it costs a second look at old mail, which
/// is then recognised by its wire key, never a loss.
public struct MailboxCursor: Sendable, Hashable, Codable {
  /// RFC 9051 §2.3.1.1: when it changes, UIDs mean other mails and reading starts anew.
  public var uidValidity: UInt32
  public var lastUID: UInt32
  public init(uidValidity: UInt32, lastUID: UInt32) {
    self.uidValidity = uidValidity
    self.lastUID = lastUID
  }
}

/// Where cursors are kept between runs.
public struct MailboxCursors: Sendable {
  public var load: @Sendable (_ mailbox: String) async -> MailboxCursor?
  /// Returns when it is durable.
  public var save: @Sendable (_ mailbox: String, MailboxCursor) async -> Void
  public init(
    load: @escaping @Sendable (_ mailbox: String) async -> MailboxCursor?,
    save: @escaping @Sendable (_ mailbox: String, MailboxCursor) async -> Void
  ) {
    self.load = load
    self.save = save
  }
  /// Nothing is kept: every start reads the mailbox from its beginning.
  public static let none = MailboxCursors(load: { _ in nil }, save: { _, _ in })
}

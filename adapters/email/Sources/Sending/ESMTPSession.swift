import CEsmtp
import Channels
import Glibc

/// Where and how mail is handed to the bank's server.
public struct MailSubmissionSettings: Sendable {
  public enum TLS: String, Sendable, CaseIterable { case none, starttls, implicit }
  public var host: String
  public var port: Int
  /// The name given in EHLO.
  public var hostName: String
  /// Refused TLS or a wrong certificate means nothing is sent. `implicit`: from the first byte on, as on port 465.
  public var tls: TLS
  /// PEM; nil: the system's authorities.
  public var caFile: String?
  public var user: String?
  public var password: String?
  /// Sessions at a time.
  public var sessions: Int
  /// Messages handed over in one session at most.
  public var batch: Int
  /// How long one reply may take; RFC 5321 §4.5.3.2 names minutes, ten after the final dot.
  public var timeoutSeconds: Int
  public var transferTimeoutSeconds: Int

  public init(
    host: String, port: Int, hostName: String = "liaison", tls: TLS = .starttls, caFile: String? = nil,
    user: String? = nil, password: String? = nil, sessions: Int = 4, batch: Int = 20, timeoutSeconds: Int = 60,
    transferTimeoutSeconds: Int = 600
  ) {
    self.host = host
    self.port = port
    self.hostName = hostName
    self.tls = tls
    self.caFile = caFile
    self.user = user
    self.password = password
    self.sessions = sessions
    self.batch = batch
    self.timeoutSeconds = timeoutSeconds
    self.transferTimeoutSeconds = transferTimeoutSeconds
  }
}

/// One session of libesmtp with some messages: blocking, on a thread of its own.
///
/// libesmtp takes all messages before it connects, sends them, quits, and keeps nothing open. Each message here has
/// one recipient. The bytes go out as composed: libesmtp would add Message-ID and Date if they were missing.
enum ESMTPSession {
  struct Letter: Sendable {
    /// Empty for `<>`.
    var from: String
    var to: String
    /// RFC 3461: comes back in delivery reports.
    var envelopeID: String
    var bytes: [UInt8]
  }

  /// Sends and returns a trace per letter, in order. Never throws: what went wrong is in the traces.
  static func send(_ letters: [Letter], settings: MailSubmissionSettings, now: @escaping () -> Timestamp) -> [SendTrace]
  {
    let failure = { (text: String) in letters.map { _ in SendTrace(sessionError: text, at: now()) } }
    guard let session = smtp_create_session() else { return failure("no session could be made") }
    defer { smtp_destroy_session(session) }
    smtp_set_server(session, "\(settings.host):\(settings.port)")
    smtp_set_hostname(session, settings.hostName)
    let override = Int32(Timeout_OVERRIDE_RFC2822_MINIMUM)
    for which in [Timeout_GREETING, Timeout_ENVELOPE, Timeout_DATA] {
      smtp_set_timeout(session, Int32(which.rawValue) | override, settings.timeoutSeconds * 1_000)
    }
    smtp_set_timeout(session, Int32(Timeout_TRANSFER.rawValue) | override, settings.timeoutSeconds * 1_000)
    smtp_set_timeout(session, Int32(Timeout_DATA2.rawValue) | override, settings.transferTimeoutSeconds * 1_000)

    var context: OpaquePointer?
    defer { if let context { SSL_CTX_free(context) } }
    if settings.tls == .starttls {
      context = cesmtp_tls_context(settings.caFile)
      guard context != nil else {
        return failure("the authorities in \(settings.caFile ?? "the system") cannot be read")
      }
      smtp_starttls_enable(session, Starttls_REQUIRED)
      smtp_starttls_set_ctx(session, context)
    } else {
      smtp_starttls_enable(session, Starttls_DISABLED)
    }
    let credentials = Credentials(user: settings.user ?? "", password: settings.password ?? "")
    defer { credentials.free() }
    var authentication: auth_context_t?
    defer { if let authentication { auth_destroy_context(authentication) } }
    if settings.user != nil {
      auth_client_init()
      authentication = auth_create_context()
      auth_set_mechanism_flags(authentication, UInt32(AUTH_PLUGIN_PLAIN), 0)
      auth_set_interact_cb(authentication, answerChallenge, credentials.pointer)
      smtp_auth_set_context(session, authentication)
    }

    var sources: [UnsafeMutablePointer<Source>] = []
    var handles: [(message: OpaquePointer, recipient: OpaquePointer)?] = []
    defer { for source in sources { source.free() } }
    for letter in letters {
      guard let message = smtp_add_message(session),
        letter.to.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), letter.from.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
      else {
        handles.append(nil)
        sources.append(Source.make([]))
        continue
      }
      let source = Source.make(letter.bytes)
      sources.append(source)
      smtp_set_reverse_path(message, letter.from.isEmpty ? nil : letter.from)
      smtp_set_messagecb(message, giveMessage, source)
      smtp_size_set_estimate(message, UInt(letter.bytes.count))
      smtp_dsn_set_envid(message, letter.envelopeID)
      smtp_dsn_set_ret(message, Ret_HDRS)
      guard let recipient = smtp_add_recipient(message, letter.to) else {
        handles.append(nil)
        continue
      }
      smtp_dsn_set_notify(recipient, notify_flags(Notify_FAILURE.rawValue | Notify_DELAY.rawValue))
      handles.append((message, recipient))
    }
    let result = BrokenPipe.watched { smtp_start_session(session) }
    var error = ""
    if result == 0 {
      var text = [CChar](repeating: 0, count: 256)
      let number = smtp_errno()
      if smtp_strerror(number, &text, text.count) != nil {
        error = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      }
      if error.isEmpty { error = "error \(number)" }
    }
    return zip(handles, sources).map { handle, source in
      var trace = SendTrace(sessionError: error, at: now())
      guard let handle else {
        trace.mail = .init(
          code: 553, enhanced: "5.6.7", text: "the address is not ASCII, which this server is not asked to take")
        return trace
      }
      trace.mail = reply(smtp_reverse_path_status(handle.message).pointee)
      trace.recipient = reply(smtp_recipient_status(handle.recipient).pointee)
      trace.transfer = reply(smtp_message_transfer_status(handle.message).pointee)
      trace.wasHandedOver = source.pointee.isExhausted && !source.pointee.isBroken
      return trace
    }
  }

  private static func reply(_ status: smtp_status_t) -> SendTrace.Reply {
    var reply = SendTrace.Reply(code: Int(status.code))
    if status.enh_class != 0 { reply.enhanced = "\(status.enh_class).\(status.enh_subject).\(status.enh_detail)" }
    if let text = status.text { reply.text = String(String(cString: text).trimmedBlanks.prefix(500)) }
    return reply
  }

  // MARK: What libesmtp does not say

  /// libesmtp goes on asking for data after a failed write and reports nothing. But a write to a connection the peer
  /// has reset raises SIGPIPE on the writing thread: blocked there, it stays pending and can be looked for.
  private enum BrokenPipe {
    static func watched<T>(_ body: () -> T) -> T {
      var before = sigset_t()
      var pipe = set
      pthread_sigmask(SIG_BLOCK, &pipe, &before)
      defer {
        _ = happened()
        pthread_sigmask(SIG_SETMASK, &before, nil)
      }
      return body()
    }

    /// True once for each time it was raised since the last look.
    static func happened() -> Bool {
      var pending = sigset_t()
      sigpending(&pending)
      guard sigismember(&pending, SIGPIPE) == 1 else { return false }
      var pipe = set
      var zero = timespec()
      sigtimedwait(&pipe, nil, &zero)
      return true
    }

    private static var set: sigset_t {
      var set = sigset_t()
      sigemptyset(&set)
      sigaddset(&set, SIGPIPE)
      return set
    }
  }

  // MARK: What libesmtp calls

  /// The bytes of one message as libesmtp asks for them.
  fileprivate struct Source {
    var start: UnsafeMutablePointer<UInt8>
    var count: Int
    var offset: Int
    /// The end was read: the final dot follows at once.
    var isExhausted: Bool
    /// A write failed before the end was read: the final dot cannot have left.
    var isBroken = false

    static func make(_ bytes: [UInt8]) -> UnsafeMutablePointer<Source> {
      let start = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
      start.initialize(from: bytes, count: bytes.count)
      let source = UnsafeMutablePointer<Source>.allocate(capacity: 1)
      source.initialize(to: Source(start: start, count: bytes.count, offset: 0, isExhausted: false))
      return source
    }
  }

  private static let giveMessage: smtp_messagecb_t = { _, length, argument in
    guard let source = argument?.assumingMemoryBound(to: Source.self) else { return nil }
    if BrokenPipe.happened() { source.pointee.isBroken = true }
    guard let length else {
      source.pointee.offset = 0
      source.pointee.isExhausted = false
      return nil
    }
    let left = source.pointee.count - source.pointee.offset
    guard left > 0 else {
      length.pointee = 0
      source.pointee.isExhausted = true
      return nil
    }
    let piece = min(left, 65_536)
    let start = source.pointee.start + source.pointee.offset
    source.pointee.offset += piece
    length.pointee = Int32(piece)
    return UnsafePointer(UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self))
  }

  /// User and password in C memory for the length of a session.
  private struct Credentials {
    let pointer: UnsafeMutablePointer<(user: UnsafeMutablePointer<CChar>?, password: UnsafeMutablePointer<CChar>?)>
    init(user: String, password: String) {
      pointer = .allocate(capacity: 1)
      pointer.initialize(to: (strdup(user), strdup(password)))
    }
    func free() {
      Glibc.free(pointer.pointee.user)
      if let password = pointer.pointee.password {
        memset(password, 0, strlen(password))
        Glibc.free(password)
      }
      pointer.deinitialize(count: 1)
      pointer.deallocate()
    }
  }

  private static let answerChallenge: auth_interact_t = { request, result, fields, argument in
    guard let request, let result,
      let pair = argument?.assumingMemoryBound(
        to: (user: UnsafeMutablePointer<CChar>?, password: UnsafeMutablePointer<CChar>?).self)
    else { return 0 }
    for index in 0..<Int(fields) {
      let flags = request[index].flags
      if flags & UInt32(AUTH_PASS) != 0 {
        result[index] = pair.pointee.password
      } else if flags & UInt32(AUTH_USER) != 0 {
        result[index] = pair.pointee.user
      } else {
        result[index] = nil
      }
    }
    return 1
  }
}

extension UnsafeMutablePointer {
  fileprivate func free() where Pointee == ESMTPSession.Source {
    pointee.start.deallocate()
    deinitialize(count: 1)
    deallocate()
  }
}

import CCurl
import CCurlShims
import Glibc
import Synchronization

/// Why a conversation with a mailbox server ended.
struct MailboxFailure: Error, Sendable, Hashable {
  enum Code: String, Sendable { case connection, authentication, timeout, protocolViolation, tooLarge, woken }
  var code: Code
  var text: String
}

/// Wakes a thread that waits on a socket. Any thread may `signal`; the signal stays until `clear`.
final class Wakeup: Sendable {
  let readEnd: Int32
  private let writeEnd: Int32

  init() {
    var ends: [Int32] = [-1, -1]
    // Without descriptors nothing works at all; a wait then only lasts its full time.
    if pipe(&ends) == 0 {
      for end in ends {
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
        _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      }
    }
    readEnd = ends[0]
    writeEnd = ends[1]
  }
  deinit {
    close(readEnd)
    close(writeEnd)
  }
  func signal() {
    var byte: UInt8 = 1
    _ = write(writeEnd, &byte, 1)
  }
  /// Forgets what was signalled.
  func clear() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(readEnd, &bytes, bytes.count) > 0 {}
  }
  /// Blocks until signalled or `milliseconds` have passed; true if signalled.
  func wait(milliseconds: Int) -> Bool {
    var descriptor = pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
    return poll(&descriptor, 1, Int32(clamping: milliseconds)) > 0
  }
}

/// A connection made by libcurl (TCP, TLS, STARTTLS, greeting, login) and then driven by us byte by byte.
///
/// libcurl's own IMAP gives only the first line of a FETCH and its URL form sets \Seen before we have stored the mail:
/// hence CONNECT_ONLY. Blocking; every wait has a deadline and ends at once when `wakeup` is signalled.
/// `@unchecked Sendable`: the owner touches it on one thread at a time, that of its pool of one.
final class CurlConnection: @unchecked Sendable {
  private let handle: UnsafeMutableRawPointer
  private let wakeup: Wakeup
  private let timeoutMilliseconds: Int
  private var buffer = [UInt8](repeating: 0, count: 65_536)

  /// curl_global_init is not safe among threads: once, before the first handle.
  private static let isInitialised: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

  /// What libcurl is told.
  struct Target {
    var url: String
    /// Nil: nobody logs in.
    var user: String?
    var password: String?
    /// Of XOAUTH2, instead of a password.
    var token: String?
    /// STARTTLS or nothing.
    var demandsTLS: Bool
    var caFile: String?
    var timeoutSeconds: Int
  }

  convenience init(_ settings: MailboxSettings, token: String?, wakeup: Wakeup) throws(MailboxFailure) {
    let scheme = settings.wire.rawValue + (settings.tls == .implicit ? "s" : "")
    try self.init(
      Target(
        url: "\(scheme)://\(settings.host):\(settings.port)/", user: settings.user, password: settings.password,
        token: token, demandsTLS: settings.tls == .starttls, caFile: settings.caFile,
        timeoutSeconds: settings.timeoutSeconds), wakeup: wakeup)
  }

  init(_ target: Target, wakeup: Wakeup) throws(MailboxFailure) {
    guard Self.isInitialised, let handle = curl_easy_init() else {
      throw MailboxFailure(code: .connection, text: "libcurl could not be initialised")
    }
    self.handle = handle
    self.wakeup = wakeup
    timeoutMilliseconds = target.timeoutSeconds * 1_000
    curl_shim_set_string(handle, CURLOPT_URL, target.url)
    curl_shim_set_long(handle, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2)
    curl_shim_set_long(handle, CURLOPT_CONNECT_ONLY, 1)
    curl_shim_set_long(handle, CURLOPT_NOSIGNAL, 1)
    curl_shim_set_long(handle, CURLOPT_TCP_KEEPALIVE, 1)
    curl_shim_set_long(handle, CURLOPT_CONNECTTIMEOUT_MS, timeoutMilliseconds)
    curl_shim_set_long(handle, CURLOPT_TIMEOUT_MS, timeoutMilliseconds)
    curl_shim_set_string(handle, CURLOPT_PROXY, "")
    if let user = target.user {
      curl_shim_set_string(handle, CURLOPT_USERNAME, user)
      if let token = target.token {
        curl_shim_set_string(handle, CURLOPT_XOAUTH2_BEARER, token)
      } else {
        curl_shim_set_string(handle, CURLOPT_PASSWORD, target.password ?? "")
      }
    }
    if target.demandsTLS { curl_shim_set_long(handle, CURLOPT_USE_SSL, Int(CURLUSESSL_ALL.rawValue)) }
    if let file = target.caFile { curl_shim_set_string(handle, CURLOPT_CAINFO, file) }
    let result = curl_easy_perform(handle)
    guard result == CURLE_OK else {
      let words = String(cString: curl_easy_strerror(result))
      let code: MailboxFailure.Code =
        result == CURLE_LOGIN_DENIED ? .authentication : result == CURLE_OPERATION_TIMEDOUT ? .timeout : .connection
      throw MailboxFailure(code: code, text: words)
    }
  }

  deinit { curl_easy_cleanup(handle) }

  func send(_ bytes: [UInt8]) throws(MailboxFailure) {
    var offset = 0
    while offset < bytes.count {
      var sent = 0
      let result = bytes.withUnsafeBytes {
        curl_easy_send(handle, $0.baseAddress! + offset, bytes.count - offset, &sent)
      }
      switch result {
      case CURLE_OK: offset += sent
      case CURLE_AGAIN: try waitFor(POLLOUT, milliseconds: timeoutMilliseconds, wakes: false)
      default: throw MailboxFailure(code: .connection, text: String(cString: curl_easy_strerror(result)))
      }
    }
  }

  /// What has come, at least one byte. Throws `.timeout` after `milliseconds` (nil: the connection's own), `.woken` if
  /// `wakes` and the owner was signalled.
  func receive(milliseconds: Int? = nil, wakes: Bool = false) throws(MailboxFailure) -> ArraySlice<UInt8> {
    while true {
      var received = 0
      let size = buffer.count
      let result = buffer.withUnsafeMutableBytes { curl_easy_recv(handle, $0.baseAddress, size, &received) }
      switch result {
      case CURLE_OK:
        guard received > 0 else { throw MailboxFailure(code: .connection, text: "the server closed the connection") }
        return buffer[..<received]
      case CURLE_AGAIN: try waitFor(POLLIN, milliseconds: milliseconds ?? timeoutMilliseconds, wakes: wakes)
      default: throw MailboxFailure(code: .connection, text: String(cString: curl_easy_strerror(result)))
      }
    }
  }

  private func waitFor(_ event: Int32, milliseconds: Int, wakes: Bool) throws(MailboxFailure) {
    var descriptors = [
      pollfd(fd: curl_shim_active_socket(handle), events: Int16(event), revents: 0),
      pollfd(fd: wakeup.readEnd, events: Int16(POLLIN), revents: 0),
    ]
    let ready = poll(&descriptors, wakes ? 2 : 1, Int32(clamping: milliseconds))
    if ready == 0 { throw MailboxFailure(code: .timeout, text: "the server was silent for \(milliseconds) ms") }
    if wakes, descriptors[1].revents != 0 { throw MailboxFailure(code: .woken, text: "woken") }
  }
}

import Channels
import Logging
import NIOPosix
import Synchronization

/// Keeps one mailbox empty of unread news: fetches what is new, offers it, and only then marks it on the server.
///
/// The cursor (UIDVALIDITY, last UID) advances after `accept` has returned; a mail that is refused or cannot be read
/// does not block the next; one that finds Liaison busy is offered again later and nothing is skipped. After an outage
/// reading goes on at the cursor, without any window of time. Errors are answered by reconnecting after 1, 2, 4 … 60
/// seconds, for ever; `Health` tells when no fetch has succeeded for too long.
final class MailboxFetcher: Sendable {
  typealias Offer = @Sendable (Fetched) async -> Acceptance

  struct Fetched: Sendable {
    /// mailbox + UIDVALIDITY + UID, or mailbox + UIDL.
    var wireKey: String
    var raw: [UInt8]
    /// The mail was larger than the limit: `raw` is its header.
    var tooLarge: Int?
    /// Since when the server has had it, if it says.
    var waitingSince: Timestamp?
  }

  struct Status: Sendable {
    var lastSuccess: Timestamp?
    var lastArrival: Timestamp?
    var failure: MailboxFailure?
  }

  let settings: MailboxSettings
  private let cursors: MailboxCursors
  private let maximumBytes: Int
  private let logger: Logger
  private let now: @Sendable () -> Timestamp
  private let wakeup = Wakeup()
  private let pool = NIOThreadPool(numberOfThreads: 1)
  private struct State {
    /// For good.
    var draining = false
    /// This run was cancelled; the next begins anew.
    var isCancelled = false
    var status = Status()
    /// Mails of a POP3 server that stay there, refused or too large, so that they are not fetched for ever.
    var leftInPlace: Set<String> = []
  }
  private let state = Mutex(State())

  init(
    settings: MailboxSettings, cursors: MailboxCursors, maximumBytes: Int, logger: Logger,
    now: @escaping @Sendable () -> Timestamp
  ) {
    self.settings = settings
    self.cursors = cursors
    self.maximumBytes = maximumBytes
    var logger = logger
    logger[metadataKey: "mailbox.name"] = "\(settings.name)"
    self.logger = logger
    self.now = now
  }

  var status: Status { state.withLock { $0.status } }

  func beginDrain() {
    state.withLock { $0.draining = true }
    wakeup.signal()
  }

  private var isDraining: Bool { state.withLock { $0.draining || $0.isCancelled } }

  /// Returns when drained or cancelled.
  func run(offer: @escaping Offer) async {
    state.withLock { $0.isCancelled = false }
    if !isDraining { wakeup.clear() }
    pool.start()
    await withTaskCancellationHandler {
      var pause = 1_000
      while !isDraining, !Task.isCancelled {
        do {
          switch settings.wire {
          case .imap: try await imapSession(offer) { pause = 1_000 }
          case .pop3:
            try await pop3Session(offer)
            pause = 1_000
            await wait(milliseconds: settings.pollSeconds * 1_000)
          }
        } catch {
          if isDraining { break }
          let failure = error as? MailboxFailure ?? MailboxFailure(code: .connection, text: "\(error)")
          state.withLock { $0.status.failure = failure }
          logger.warning(
            "fetching mail failed",
            metadata: ["fault.code": "\(failure.code.rawValue)", "fault.text": "\(failure.text)"])
          await wait(milliseconds: pause)
          pause = min(pause * 2, 60_000)
        }
      }
    } onCancel: {
      state.withLock { $0.isCancelled = true }
      wakeup.signal()
    }
    // The pool has no work left; an error would only say that it never ran.
    try? await pool.shutdownGracefully()
  }

  private func wait(milliseconds: Int) async {
    let wakeup = wakeup
    // An error means that the pool is down: there is nothing to wait for.
    _ = try? await pool.runIfActive { wakeup.wait(milliseconds: milliseconds) }
  }

  private func succeeded() {
    let time = now()
    state.withLock {
      $0.status.lastSuccess = time
      $0.status.failure = nil
    }
  }

  // MARK: IMAP

  private func imapSession(_ offer: Offer, connected: () -> Void) async throws {
    let token = try await settings.accessToken?()
    let settings = settings
    let wakeup = wakeup
    let maximumBytes = maximumBytes
    let client = try await pool.runIfActive {
      try IMAPClient(settings, token: token, wakeup: wakeup, maximumBytes: maximumBytes)
    }
    let selected = try await pool.runIfActive { try client.select(settings.folder) }
    connected()
    var cursor = await cursors.load(settings.name) ?? MailboxCursor(uidValidity: selected.uidValidity, lastUID: 0)
    if cursor.uidValidity != selected.uidValidity {
      logger.notice("the mailbox was renumbered and is read from its beginning")
      cursor = MailboxCursor(uidValidity: selected.uidValidity, lastUID: 0)
    }
    let hasIdle = client.capabilities.contains("IDLE")
    while !isDraining, !Task.isCancelled {
      let last = cursor.lastUID
      let uids = try await pool.runIfActive { try client.uids(above: last) }
      succeeded()
      for uid in uids {
        if isDraining || Task.isCancelled { break }
        guard try await take(uid, client, validity: cursor.uidValidity, offer) else { break }
        cursor.lastUID = uid
        await cursors.save(settings.name, cursor)
      }
      if isDraining || Task.isCancelled { break }
      if uids.isEmpty || cursor.lastUID == uids.last {
        if hasIdle {
          try await pool.runIfActive { try client.idle(seconds: settings.idleSeconds) }
        } else {
          await wait(milliseconds: settings.pollSeconds * 1_000)
          try await pool.runIfActive { try client.noop() }
        }
      }
    }
    try await pool.runIfActive { client.logout() }
  }

  /// One mail from the server to its end. False if it shall be offered again later, before any after it.
  private func take(_ uid: UInt32, _ client: IMAPClient, validity: UInt32, _ offer: Offer) async throws -> Bool {
    let maximumBytes = maximumBytes
    let fetched: Fetched? = try await pool.runIfActive {
      guard let (size, since) = try client.facts(of: uid) else { return nil }
      let isTooLarge = size > maximumBytes
      guard let raw = try client.body(of: uid, headerOnly: isTooLarge) else { return nil }
      return Fetched(
        wireKey: "\(self.settings.name);\(validity);\(uid)", raw: raw, tooLarge: isTooLarge ? size : nil,
        waitingSince: since)
    }
    // Gone since it was listed: somebody else removed it.
    guard let fetched else { return true }
    let acceptance = await offer(fetched)
    switch acceptance {
    case .stored, .duplicate:
      let time = now()
      state.withLock { $0.status.lastArrival = time }
      await mark(uid, client, stored: true)
      return true
    case .refused:
      await mark(uid, client, stored: false)
      return true
    case .busy(let retryAfter):
      await wait(milliseconds: max(100, Int(min(retryAfter, .seconds(60)).wholeMilliseconds)))
      return false
    }
  }

  /// The mail is durable: what fails here costs a mark, and the cursor goes on.
  private func mark(_ uid: UInt32, _ client: IMAPClient, stored: Bool) async {
    let settings = settings
    do {
      try await pool.runIfActive {
        if stored {
          switch settings.after {
          case .markSeen: try client.markSeen(uid)
          case .move(let folder): try client.move(uid, to: folder)
          case .delete: try client.delete(uid)
          }
        } else if let folder = settings.failedFolder {
          try client.move(uid, to: folder)
        } else {
          try client.flag(uid)
        }
      }
    } catch {
      logger.warning("a stored mail could not be marked on the server", metadata: ["error": "\(error)"])
    }
  }

  // MARK: POP3

  private func pop3Session(_ offer: Offer) async throws {
    let token = try await settings.accessToken?()
    let settings = settings
    let wakeup = wakeup
    let maximumBytes = maximumBytes
    let client = try await pool.runIfActive {
      try POP3Client(settings, token: token, wakeup: wakeup, maximumBytes: maximumBytes)
    }
    let entries = try await pool.runIfActive { try client.list() }
    succeeded()
    let leftInPlace = state.withLock { state in
      state.leftInPlace.formIntersection(entries.map(\.uid))
      return state.leftInPlace
    }
    for entry in entries where !leftInPlace.contains(entry.uid) {
      if isDraining || Task.isCancelled { break }
      let isTooLarge = entry.size > maximumBytes
      let raw = try await pool.runIfActive {
        isTooLarge ? try client.header(entry.number) : try client.retrieve(entry.number)
      }
      let acceptance = await offer(
        Fetched(wireKey: "\(settings.name);\(entry.uid)", raw: raw, tooLarge: isTooLarge ? entry.size : nil))
      switch acceptance {
      case .stored, .duplicate:
        let time = now()
        state.withLock { $0.status.lastArrival = time }
        if isTooLarge {
          state.withLock { _ = $0.leftInPlace.insert(entry.uid) }
        } else {
          // POP3 has no marks: what is durable here is deleted there.
          try await pool.runIfActive { try client.delete(entry.number) }
        }
      case .refused: state.withLock { _ = $0.leftInPlace.insert(entry.uid) }
      case .busy:
        // What was taken before is deleted by QUIT; the rest is found again at the next look.
        try await pool.runIfActive { try client.quit() }
        return
      }
    }
    try await pool.runIfActive { try client.quit() }
  }
}

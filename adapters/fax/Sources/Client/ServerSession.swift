import Channels
import NIOCore

/// A logged-in control connection and what is done over it, one thing at a time.
struct ServerSession: Sendable {
  let server: FaxServer
  private let control: ControlConnection
  private let group: any EventLoopGroup

  /// Opens, logs in, runs `body`, says goodbye. The connection is closed however `body` ends.
  static func with<Value: Sendable>(
    _ server: FaxServer, on group: any EventLoopGroup, _ body: @Sendable (ServerSession) async throws -> Value
  ) async throws -> Value {
    let control = try await ControlConnection.connect(
      host: server.host, port: server.port, timeout: server.timeouts.connect, on: group)
    defer { control.close() }
    let session = ServerSession(server: server, control: control, group: group)
    try await session.logIn()
    let value = try await body(session)
    // Best effort: clients close without QUIT and the server does not mind (specs/fax.md trap 21).
    try? await control.send(.fixed("QUIT"))
    return value
  }

  private func logIn() async throws {
    var login = Login(server.account)
    while true {
      switch login.receive(try await control.next(within: server.timeouts.reply)) {
      case .send(let command): try await control.send(command)
      case .wait: continue
      case .ready: return
      case .failed(let fault): throw fault
      }
    }
  }

  /// The final reply to a command.
  func ask(_ command: Command, within timeout: Duration? = nil) async throws -> Reply {
    try await control.send(command)
    return try await finalReply(within: timeout ?? server.timeouts.reply)
  }

  private func finalReply(within timeout: Duration) async throws -> Reply {
    while true {
      let reply = try await control.next(within: timeout)
      if !reply.isPreliminary { return reply }
    }
  }

  private func expect(_ command: Command) async throws -> Reply {
    let reply = try await ask(command)
    guard reply.isSuccess else { throw Fault(.peerFailure, peerCode: String(reply.code), text: reply.text) }
    return reply
  }

  // MARK: Transfers

  private func openData(limit: Int, sink: (@Sendable ([UInt8]) -> Void)? = nil) async throws -> DataConnection {
    var reply = try await ask(.fixed("EPSV"))
    if [500, 502, 504].contains(reply.code) { reply = try await ask(.fixed("PASV")) }
    guard let port = PassiveReply.port(reply) else {
      throw Fault(.protocolViolation, peerCode: String(reply.code), text: reply.text)
    }
    return try await DataConnection.connect(
      host: control.host, port: port, timeout: server.timeouts.connect, limit: limit, on: group, sink: sink)
  }

  private func download(_ command: Command, limit: Int, from offset: Int = 0) async throws -> [UInt8] {
    let data = try await openData(limit: limit)
    defer { data.close() }
    // Any command between REST and RETR, EPSV too, makes hfaxd forget the offset.
    if offset > 0 { _ = try await expect(try .word("REST", String(offset))) }
    try await control.send(command)
    let first = try await control.next(within: server.timeouts.reply)
    guard first.isPreliminary else { throw Fault(.peerFailure, peerCode: String(first.code), text: first.text) }
    let bytes = try await data.receiveAll(within: server.timeouts.transfer)
    let last = try await finalReply(within: server.timeouts.reply)
    guard last.isSuccess else { throw Fault(.peerFailure, peerCode: String(last.code), text: last.text) }
    return bytes
  }

  /// `sendq` or `doneq`. 8 MB is some 40,000 jobs.
  func jobs(_ queue: StaticString) async throws -> [JobRow] {
    _ = try await expect(.format("JOBFMT", JobRow.format.text))
    let bytes = try await download(try .word("LIST", "\(queue)"), limit: 8 << 20)
    return JobRow.format.rows(bytes).compactMap(JobRow.init)
  }

  func received() async throws -> [ReceivedRow] {
    _ = try await expect(.format("RCVFMT", ReceivedRow.format.text))
    let bytes = try await download(.fixed("LIST recvq"), limit: 8 << 20)
    return ReceivedRow.format.rows(bytes).compactMap(ReceivedRow.init)
  }

  /// Files in recvq that LIST passes over, because hfaxd takes them for no fax: a reception that broke before its page
  /// directory was written. `listed` must have been asked for after `names`.
  func unlisted(_ names: [String], listed: [ReceivedRow]) async throws -> [ReceivedRow] {
    var rows: [ReceivedRow] = []
    for name in names.prefix(1_000) where name.hasSuffix(".tif") && !listed.contains(where: { $0.file == name }) {
      let size = try await ask(try .path("SIZE", "recvq", name))
      let time = try await ask(try .path("MDTM", "recvq", name))
      guard size.code == 213, let bytes = Int(size.text.trimmed) else { continue }  // gone, or not ours
      rows.append(ReceivedRow(unlisted: name, bytes: bytes, receivedAt: time.code == 213 ? time.text.trimmed : nil))
    }
    return rows
  }

  func receivedNames() async throws -> [String] {
    let bytes = try await download(.fixed("NLST recvq"), limit: 8 << 20)
    return bytes.split(separator: 0x0a).map { String(decoding: $0, as: UTF8.self).trimmed }
  }

  func retrieve(_ file: String, limit: Int) async throws -> [UInt8] {
    _ = try await expect(.fixed("TYPE I"))
    return try await download(try .path("RETR", "recvq", file), limit: limit)
  }

  /// Needs administrator rights.
  func deleteReceived(_ file: String) async throws { _ = try await expect(try .path("DELE", "recvq", file)) }

  /// The journal from `offset` on, or its last `limit` bytes; nil if this account may not read it.
  func journal(from offset: Int?, limit: Int) async throws -> (entries: [JournalEntry], end: Int)? {
    let size = try await ask(.fixed("SIZE log/xferfaxlog"))
    guard size.code == 213, let bytes = Int(size.text.trimmed) else { return nil }
    // Rotated since: from the beginning.
    let wanted = offset.map { $0 > bytes ? 0 : $0 } ?? 0
    let start = max(wanted, bytes - limit)
    guard start < bytes else { return ([], bytes) }
    _ = try await expect(.fixed("TYPE I"))
    do {
      let text = try await download(.fixed("RETR log/xferfaxlog"), limit: limit + 65_536, from: start)
      // A line still being written is read again next time.
      guard let end = text.lastIndex(of: 0x0a) else { return ([], start) }
      return (JournalEntry.entries(Array(text[...end])), start + end + 1)
    } catch let fault as Fault where fault.peerCode == "550" {
      return nil
    }
  }

  /// Lines of SITE TRIGGER until the connection ends; `received` runs on the event loop. J jobs, S sends, R receptions,
  /// M modems.
  func follow(_ received: @escaping @Sendable ([UInt8]) -> Void, started: @Sendable () async -> Void)
    async throws
  {
    _ = try await ask(.fixed("IDLE 7200"))
    let data = try await openData(limit: 0, sink: received)
    defer { data.close() }
    try await control.send(.fixed("SITE TRIGGER J*S*M*R*"))
    let first = try await control.next(within: server.timeouts.reply)
    guard first.isPreliminary else { throw Fault(.peerFailure, peerCode: String(first.code), text: first.text) }
    await started()
    // No bound: it lasts until either connection ends.
    _ = try await data.receiveAll(within: .seconds(86_400))
    throw Fault(.connection, text: "the event stream ended")
  }

  // MARK: Jobs

  func submit(_ job: FaxJob, document: [UInt8]) async -> SubmissionSession.Result {
    var session = SubmissionSession(job)
    var data: DataConnection?
    defer { data?.close() }
    do {
      var action = session.begin()
      while true {
        switch action {
        case .send(let command):
          try await control.send(command)
          action = session.receive(try await control.next(within: server.timeouts.reply))
        case .openData(let port):
          data = try await DataConnection.connect(
            host: control.host, port: port, timeout: server.timeouts.connect, limit: 0, on: group)
          action = session.dataConnected()
        case .upload:
          try await data?.send(document, within: server.timeouts.transfer)
          action = session.receive(try await control.next(within: server.timeouts.transfer))
        case .wait:
          action = session.receive(try await control.next(within: server.timeouts.reply))
        case .finish(let result):
          return result
        }
      }
    } catch let fault as Fault {
      return session.connectionLost(fault)
    } catch {
      return session.connectionLost(Fault(.cancelled, text: "\(error)"))
    }
  }

  /// STATE and STATUS of a job. After `JOB n` the answers are about it; other users' jobs answer 503.
  func job(_ id: JobID) async throws -> (state: JobState, status: String)? {
    let selected = try await ask(.job("JOB", id))
    guard selected.isSuccess else { return nil }
    let state = try await ask(.query("STATE"))
    let status = try await ask(.query("STATUS"))
    guard state.code == 213, let value = JobState(word: state.text.trimmed) else { return nil }
    return (value, status.code == 213 ? status.text.trimmed : "")
  }

  /// Where a job of ours is known.
  enum Trace: Sendable {
    case queued(JobRow)
    /// In no queue any more, but a call was made for it.
    case journalled(JobID)
    /// Not known; `journalRead` says whether the journal, too, was asked.
    case absent(journalRead: Bool)
  }

  func trace(of tag: String) async throws -> Trace {
    // doneq second: a job moves from sendq to doneq, never back.
    for queue in ["sendq", "doneq"] as [StaticString] {
      if let row = try await jobs(queue).first(where: { $0.tag == tag }) { return .queued(row) }
    }
    guard let (entries, _) = try await journal(from: nil, limit: 4 << 20) else { return .absent(journalRead: false) }
    if let job = entries.last(where: { $0.tag == tag })?.job { return .journalled(job) }
    return .absent(journalRead: true)
  }

  func kill(_ id: JobID) async throws -> Reply {
    try await ask(.job("JKILL", id), within: server.timeouts.kill)
  }
}

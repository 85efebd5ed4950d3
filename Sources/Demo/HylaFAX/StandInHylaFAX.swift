import Channels
import Fax
import NIOCore
import NIOPosix
import Synchronization

/// A HylaFAX server on loopback that speaks port 4559, for the demo and tests: takes jobs and "sends" them, and lets
/// faxes of make-believe customers come in.
///
/// What becomes of a job is decided by how its number begins behind country and area code, as on the exchange of the
/// real test line: 90 is busy, 91 rings, 92 is answered by a person, 94 is refused; every other number takes the fax.
/// Calls last a few seconds. Nothing is stored; ended jobs and received faxes are forgotten after some hundreds.
public final class StandInHylaFAX: Sendable {
  public struct Options: Sendable {
    /// From the submission to the call.
    public var dialling: Duration = .seconds(2)
    public var page: Duration = .seconds(2)
    public var password = "demo"
    public init() {}
  }

  /// Who sends a fax, as exchange and machine say it.
  public struct Caller: Sendable {
    public var number: String
    public var name: String?
    public var station: String?
    public init(number: String, name: String? = nil, station: String? = nil) {
      self.number = number
      self.name = name
      self.station = station
    }
  }

  struct Job: Sendable {
    var id: Int
    var parameters: [String: String] = [:]
    var document: [UInt8] = []
    var pages = 0
    /// As `LIST` says it: `?` not submitted, W, R, D, F.
    var state: Character = "?"
    var sent = 0
    var status = ""
    var dueAt = Timestamp(microseconds: 0)
    var endedAt: Timestamp?
    var isOver: Bool { state == "D" || state == "F" }
  }
  struct Received: Sendable {
    var file: String
    var bytes: [UInt8]
    var pages: Int
    var caller: Caller
    var dialled: String
    var at: Timestamp
  }
  private struct State {
    var jobs: [Int: Job] = [:]
    var received: [Received] = []
    var journal: [UInt8] = []
    var nextJob = 1
    var nextFax = 1
    var nextCall = 1
    var nextDocument = 1
    var documents: [String: [UInt8]] = [:]
    var listeners: [Int: AsyncStream<String>.Continuation] = [:]
    var nextListener = 1
  }

  let options: Options
  let clock: @Sendable () -> Timestamp
  private let state = Mutex(State())
  private let server: NIOAsyncChannel<NIOAsyncChannel<ByteBuffer, ByteBuffer>, Never>
  public let port: Int
  private static let most = 500

  /// Listens; `run` serves.
  public static func start(
    host: String = "127.0.0.1", port: Int = 0, options: Options = Options(), clock: @escaping @Sendable () -> Timestamp
  ) async throws -> StandInHylaFAX {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .bind(host: host, port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    return StandInHylaFAX(server, options, clock)
  }

  private init(
    _ server: NIOAsyncChannel<NIOAsyncChannel<ByteBuffer, ByteBuffer>, Never>, _ options: Options,
    _ clock: @escaping @Sendable () -> Timestamp
  ) {
    self.server = server
    self.options = options
    self.clock = clock
    port = server.channel.localAddress?.port ?? 0
  }

  /// Serves until cancelled.
  public func run() async throws {
    try await server.executeThenClose { connections in
      try await withThrowingDiscardingTaskGroup { group in
        group.addTask {
          while !Task.isCancelled {
            try await Task.sleep(for: .milliseconds(100))
            self.advance()
          }
        }
        for try await connection in connections {
          group.addTask { await StandInSession(self).serve(connection) }
        }
      }
    }
  }

  /// Every job ever submitted and not yet forgotten: its number as dialled, its tag, its state.
  public var submitted: [(number: String, tag: String, state: Character)] {
    state.withLock { state in
      state.jobs.values.filter { $0.state != "?" }.sorted { $0.id < $1.id }.map {
        ($0.parameters["DIALSTRING"] ?? "", $0.parameters["JOBINFO"] ?? "", $0.state)
      }
    }
  }

  // MARK: Faxes of customers

  /// A fax comes in. `error` is what the journal says of a reception that broke.
  public func receive(_ tiff: [UInt8], from caller: Caller, dialled: String, error: String = "") {
    let now = clock()
    let pages = FaxReading(tiff).pages.count
    state.withLock { state in
      let file = "fax\(padded(state.nextFax, 9)).tif"
      state.nextFax += 1
      state.received.append(
        Received(file: file, bytes: tiff, pages: pages, caller: caller, dialled: dialled, at: now))
      if state.received.count > Self.most { state.received.removeFirst() }
      let call = nextCall(&state)
      record(
        [
          "RECV", call, "ttyDemo", "recvq/\(file)", "\"\"", "fax", "\"\(dialled)\"", "\"\(caller.station ?? "")\"",
          "2220072", String(pages), "0:00:20", "0:00:20", "\"\(error)\"", "\"\(caller.name ?? "<NONE>")\"",
          "\"\(caller.number)\"", "\"<NONE>::\(dialled)\"", "\"\"", "\"00\"",
        ], at: now, &state)
      tell(135, "RECV FAX: (com \(call)), file recvq/\(file)", at: now, state)
      tell(136, "RECV FAX: session end (com \(call))", at: now, state)
    }
  }

  // MARK: Jobs

  func newJob() -> Int {
    state.withLock { state in
      let id = state.nextJob
      state.nextJob += 1
      state.jobs[id] = Job(id: id)
      if state.jobs.count > Self.most, let oldest = state.jobs.values.filter(\.isOver).map(\.id).min() {
        state.jobs[oldest] = nil
      }
      return id
    }
  }
  func forget(_ id: Int) { state.withLock { if $0.jobs[id]?.state == "?" { $0.jobs[id] = nil } } }

  func set(_ name: String, to value: String, of id: Int) -> Bool {
    state.withLock { state in
      guard state.jobs[id]?.state == "?" else { return false }
      state.jobs[id]?.parameters[name] = value
      return true
    }
  }
  func attach(_ path: String, to id: Int) -> Bool {
    state.withLock { state in
      guard state.jobs[id]?.state == "?", let bytes = state.documents.removeValue(forKey: path) else { return false }
      state.jobs[id]?.document = bytes
      return true
    }
  }
  func job(_ id: Int) -> Job? { state.withLock { $0.jobs[id] } }

  /// Nil: taken; else why not.
  func submit(_ id: Int) -> String? {
    let now = clock()
    let bytes = state.withLock { $0.jobs[id]?.document ?? [] }
    let pages = FaxReading(bytes).pages.count
    return state.withLock { state in
      guard var job = state.jobs[id], job.state == "?" else { return "504 Job \(id) cannot be submitted." }
      guard job.parameters["DIALSTRING"] != nil else { return "504 Cannot submit job; null or missing DIALSTRING." }
      guard pages > 0, job.parameters["LASTTIME"] != nil else {
        return "460 Failed to submit job \(id): Unspecified reason (scheduler NAK'd request)."
      }
      job.pages = pages
      job.state = "W"
      job.dueAt = now + options.dialling
      state.jobs[id] = job
      tell(100, "JOB \(id) (dest \(job.parameters["EXTERNAL"] ?? "")): Job created", at: now, state)
      return nil
    }
  }

  func kill(_ id: Int) -> Bool {
    let now = clock()
    return state.withLock { state in
      guard var job = state.jobs[id], !job.isOver, job.state != "?" else { return false }
      end(&job, "F", "Job aborted by request", at: now, &state)
      return true
    }
  }

  /// Moves on every call whose time has come.
  private func advance() {
    let now = clock()
    state.withLock { state in
      for id in state.jobs.keys.sorted() {
        guard var job = state.jobs[id], job.dueAt <= now else { continue }
        switch job.state {
        case "W":
          let number = job.parameters["DIALSTRING"] ?? ""
          job.parameters["TOTDIALS"] = "1"
          let failure = Self.failure(of: number)
          if let failure {
            end(&job, "F", failure + "; too many attempts to dial", at: now, &state)
          } else {
            job.state = "R"
            job.dueAt = now + options.page
            state.jobs[id] = job
            tell(107, "JOB \(id) (dest \(number)): Job activated", at: now, state)
          }
        case "R":
          job.sent += 1
          job.dueAt = now + options.page
          state.jobs[id] = job
          if job.sent >= job.pages { end(&job, "D", "", at: now, &state) }
        default: continue
        }
      }
    }
  }

  private static func failure(of number: String) -> String? {
    var local = number
    for prefix in ["+8610", "+86", "010", "0"] where local.hasPrefix(prefix) {
      local = String(local.dropFirst(prefix.count))
      break
    }
    switch local.prefix(2) {
    case "90": return "Busy signal detected"
    case "91": return "No answer from remote"
    case "92": return "No carrier detected"
    case "94": return "No local dialtone"
    default: return nil
    }
  }

  private func end(_ job: inout Job, _ letter: Character, _ status: String, at now: Timestamp, _ state: inout State) {
    job.state = letter
    job.status = status
    job.endedAt = now
    state.jobs[job.id] = job
    record(
      [
        "SEND", nextCall(&state), "ttyDemo", String(job.id), job.parameters["JOBINFO"] ?? "", "demo",
        "\"\(job.parameters["EXTERNAL"] ?? "")\"", "\"\"", "2220072", String(job.sent), "0:00:20", "0:00:20",
        "\"\(status)\"", "\"\"", "\"\"", "\"\"", "\"\"", "\"00\"",
      ], at: now, &state)
    tell(126, "JOB \(job.id): Job completed successfully", at: now, state)  // Of failed ones, too: so does HylaFAX.
  }

  // MARK: What sessions read

  func keep(_ bytes: [UInt8]) -> String {
    state.withLock { state in
      let path = "/tmp/doc\(state.nextDocument).tif"
      state.nextDocument += 1
      state.documents[path] = bytes
      if state.documents.count > 50, let first = state.documents.keys.min() { state.documents[first] = nil }
      return path
    }
  }
  func fill(_ path: String, with bytes: [UInt8]) { state.withLock { $0.documents[path] = bytes } }
  func jobs(over: Bool) -> [Job] {
    state.withLock { state in
      state.jobs.values.filter { $0.state != "?" && $0.isOver == over }.sorted { $0.id < $1.id }
    }
  }
  var faxes: [Received] { state.withLock { $0.received } }
  func delete(_ file: String) -> Bool {
    state.withLock { state in
      let before = state.received.count
      state.received.removeAll { $0.file == file }
      return state.received.count < before
    }
  }
  /// `recvq/NAME` and the journal.
  func file(_ path: String) -> (bytes: [UInt8], at: Timestamp)? {
    let now = clock()
    return state.withLock { state in
      if path == "log/xferfaxlog" { return (state.journal, now) }
      guard path.hasPrefix("recvq/") else { return nil }
      return state.received.first { $0.file == path.dropFirst(6) }.map { ($0.bytes, $0.at) }
    }
  }

  /// The lines of SITE TRIGGER, until cancelled.
  func events() -> AsyncStream<String> {
    let (stream, continuation) = AsyncStream.makeStream(of: String.self, bufferingPolicy: .bufferingNewest(256))
    let number = state.withLock { state in
      state.nextListener += 1
      state.listeners[state.nextListener] = continuation
      return state.nextListener
    }
    continuation.onTermination = { [weak self] _ in
      _ = self?.state.withLock { $0.listeners.removeValue(forKey: number) }
    }
    return stream
  }

  // MARK: Parts

  private func tell(_ number: Int, _ text: String, at now: Timestamp, _ state: State) {
    let time = String(now.description.dropFirst(11).prefix(8).filter { $0 != ":" })
    for listener in state.listeners.values { listener.yield("\(time) \(number) \(text)\n") }
  }

  private func record(_ fields: [String], at now: Timestamp, _ state: inout State) {
    let text = now.description
    let part = { (from: Int, count: Int) in String(text.dropFirst(from).prefix(count)) }
    let date = "\(part(5, 2))/\(part(8, 2))/\(part(2, 2)) \(part(11, 5))"
    state.journal += Array((([date] + fields).joined(separator: "\t") + "\n").utf8)
    if state.journal.count > 1 << 20 { state.journal = [] }
  }

  private func nextCall(_ state: inout State) -> String {
    defer { state.nextCall += 1 }
    return padded(state.nextCall, 9)
  }
}

/// With zeros in front.
func padded(_ number: Int, _ width: Int) -> String {
  let digits = String(number)
  return String(repeating: "0", count: max(0, width - digits.count)) + digits
}

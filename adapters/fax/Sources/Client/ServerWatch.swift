import Channels
import Logging
import NIOCore
import NIOPosix

/// Watches one server: its event stream wakes, its queues tell.
///
/// A sweep lists recvq and doneq, offers every fax that is complete and a report for every job of ours that has ended,
/// and remembers what was taken. Everything that can be lost with this process is found again by the first sweep of
/// the next: the queues are the truth, what is offered twice is recognised by its wire key.
actor ServerWatch {
  nonisolated let server: FaxServer
  private let configuration: FaxConfiguration
  private let group: any EventLoopGroup
  private let work: NIOThreadPool
  private let logger: Logger
  private let clock: @Sendable () -> Timestamp

  private static let journalBytes = 1 << 20
  private static let journalLines = 20_000

  /// Taken, and still in the queue: what has left it is forgotten, so that the queues bound this memory.
  private var takenFaxes: Set<String> = []
  private var takenJobs: Set<String> = []
  /// Of the faxes taken, those that are known as cut: nobody needs to be told again.
  private var knownCut: Set<String> = []
  private var firstSeen: [String: Timestamp] = [:]
  private var notices: [String: ReceiveNotice] = [:]
  /// Hooks that wait for an answer, with the number of sweeps that had begun when they came.
  private var waiters: [String: [(since: Int, continuation: CheckedContinuation<NoticeAnswer, Never>)]] = [:]
  private var sweeps = 0
  private var journal: [String: JournalEntry] = [:]
  private var journalEnd: Int?
  private var journalReadable = true
  private var recent = RecentFaxes()
  private var nextSweep: Timestamp
  private var draining = false
  /// Ends the wait of the run in progress; nil between runs.
  private var wake: AsyncStream<Void>.Continuation?

  private var following = false
  private var sweepFault: Fault?
  private var followFault: Fault?
  private(set) var health: Health

  init(
    _ server: FaxServer, _ configuration: FaxConfiguration, group: any EventLoopGroup, work: NIOThreadPool,
    logger: Logger, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.server = server
    self.configuration = configuration
    self.group = group
    self.work = work
    self.logger = logger
    self.clock = clock
    nextSweep = clock()
    health = Health(state: .starting, since: clock())
  }

  func look() { wake?.yield() }

  /// Until drained or cancelled; may be run again after a cancelled run.
  func run(accept: @escaping ChannelAdapter.Accept) async {
    let (wakes, wake) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))
    self.wake = wake
    (following, sweepFault, followFault) = (false, nil, nil)
    if draining { wake.finish() } else { setHealth(.starting, nil) }
    await withTaskGroup { tasks in
      tasks.addTask { await self.followEvents(wake) }
      tasks.addTask { await self.keepTime(wake) }
      wake.yield()
      for await _ in wakes {
        if draining || Task.isCancelled { break }
        await sweep(accept)
      }
      tasks.cancelAll()
    }
    self.wake = nil
    for file in waiters.keys { answer(file, .later) }
    setHealth(.stopped, nil)
  }

  nonisolated func drain() {
    // Ends by itself at once; nobody has to cancel it.
    Task { await self.beginDraining() }
  }
  private func beginDraining() {
    draining = true
    setHealth(.draining, nil)
    wake?.finish()
  }

  // MARK: Waking

  private func keepTime(_ wake: AsyncStream<Void>.Continuation) async {
    while !Task.isCancelled {
      // Ended by cancellation only, which the loop's condition sees.
      try? await Task.sleep(for: .milliseconds(500))
      if clock() >= nextSweep { wake.yield() }
    }
  }

  private func followEvents(_ wake: AsyncStream<Void>.Continuation) async {
    var pause = Duration.seconds(1)
    while !Task.isCancelled {
      let lines = EventLines(wake: wake)
      do {
        try await ServerSession.with(server, on: group) { session in
          try await session.follow({ lines.feed($0) }, started: { await self.followingBegan() })
        }
      } catch {
        if Task.isCancelled { return }
        let fault = error as? Fault ?? Fault(.internalError, text: "\(error)")
        if following { pause = .seconds(1) }
        followingEnded(fault)
      }
      try? await Task.sleep(for: pause)  // cancellation ends the loop
      pause = min(pause * 2, .seconds(30))
    }
  }

  private func followingBegan() {
    following = true
    followFault = nil
    judge()
    look()  // at what happened while nobody listened
  }
  private func followingEnded(_ fault: Fault) {
    if following { logger.warning("fax event stream ended", metadata: ["fault.code": "\(fault.code.rawValue)"]) }
    following = false
    followFault = fault
    judge()
  }

  private func judge() {
    if draining { return }
    switch (following, sweepFault) {
    case (true, nil): setHealth(.up, nil)
    case (false, nil): setHealth(.degraded, followFault.map { "no event stream: \($0.text)" })
    case (true, let fault?): setHealth(.degraded, "queues cannot be read: \(fault.text)")
    case (false, let fault?): setHealth(.down, fault.text)
    }
  }
  private func setHealth(_ state: Health.State, _ text: String?) {
    guard health.state != state || health.text != text else { return }
    health = Health(
      state: state, since: health.state == state ? health.since : clock(), text: text,
      lastArrivalAt: health.lastArrivalAt)
  }

  // MARK: The hook

  /// What faxrcvd says about a fax. Returns when the fax is durable, or when it could not be taken now.
  func notice(_ notice: ReceiveNotice) async -> NoticeAnswer {
    if wake == nil || draining || notices.count > 1_000 { return .later }
    notices[notice.file] = notice
    return await withCheckedContinuation { continuation in
      waiters[notice.file, default: []].append((sweeps, continuation))
      look()
    }
  }

  private func answer(_ file: String, _ answer: NoticeAnswer) {
    for waiter in waiters.removeValue(forKey: file) ?? [] { waiter.continuation.resume(returning: answer) }
  }

  // MARK: Sweeping

  private func sweep(_ accept: ChannelAdapter.Accept) async {
    nextSweep = clock() + configuration.sweepInterval
    let before = sweeps
    sweeps += 1
    do {
      try await ServerSession.with(server, on: group) { session in
        try await self.sweepQueues(session, accept)
      }
      sweepFault = nil
    } catch {
      if Task.isCancelled { return }
      let fault = error as? Fault ?? Fault(.internalError, text: "\(error)")
      sweepFault = fault
      nextSweep = min(nextSweep, clock() + .seconds(5))
      logger.warning("fax queues cannot be read", metadata: ["fault.code": "\(fault.code.rawValue)"])
    }
    judge()
    // A hook that came before this sweep, for a file it has not found or could not take, asks again later.
    for (file, waiting) in waiters where waiting.contains(where: { $0.since <= before }) {
      if firstSeen[file] == nil || sweepFault != nil { answer(file, .later) }
    }
    if journal.count > ServerWatch.journalLines { journal = [:] }
  }

  private func sweepQueues(_ session: ServerSession, _ accept: ChannelAdapter.Accept) async throws {
    try await readJournal(session)
    let names = try await session.receivedNames()
    var rows = try await session.received()
    rows += try await session.unlisted(names, listed: rows)
    firstSeen = firstSeen.filter { name, _ in rows.contains { $0.file == name } }
    takenFaxes.formIntersection(rows.map { ReceivedFax.wireKey(server: server.name, row: $0) })
    knownCut.formIntersection(takenFaxes)
    for row in rows {
      if draining { return }
      try await take(row, session, accept)
    }
    let jobs = try await session.jobs("doneq")
    takenJobs.formIntersection(jobs.compactMap(reportKey))
    for row in jobs {
      if draining { return }
      await report(row, accept)
    }
  }

  private func readJournal(_ session: ServerSession) async throws {
    guard let (entries, end) = try await session.journal(from: journalEnd, limit: ServerWatch.journalBytes) else {
      journalReadable = false
      return
    }
    journalReadable = true
    journalEnd = end
    for entry in entries {
      if entry.kind == .receive, let file = entry.file { journal[file] = entry }
    }
  }

  private func take(_ row: ReceivedRow, _ session: ServerSession, _ accept: ChannelAdapter.Accept) async throws {
    let key = ReceivedFax.wireKey(server: server.name, row: row)
    if takenFaxes.contains(key) { return await takeLateWord(row, key, accept) }
    let seen = firstSeen[row.file] ?? clock()
    firstSeen[row.file] = seen
    guard !row.isReceiving else { return }
    if await isKept(key) {
      let notice = notices[row.file]
      try await recall(row, key, session)
      notices[row.file] = notice
      return await takeLateWord(row, key, accept)
    }
    // How it ended is known from hook or journal a moment after the file is there.
    let told = notices[row.file] != nil || journal[row.file] != nil
    if !told, clock() < seen + configuration.receiveGrace {
      nextSweep = min(nextSweep, seen + configuration.receiveGrace, clock() + .seconds(1))
      return
    }
    let isTooLarge = row.bytes.map { $0 > configuration.maximumBytes } ?? false
    var bytes: [UInt8] = []
    do {
      if !isTooLarge { bytes = try await session.retrieve(row.file, limit: configuration.maximumBytes) }
    } catch let fault as Fault where fault.peerCode == "550" {
      return  // gone since, or not ours to read
    }
    let fax = ReceivedFax(
      server: server.name, row: row, bytes: bytes, notice: notices[row.file], journal: journal[row.file],
      order: configuration.callIDs, plan: configuration.plan, lines: configuration.lines,
      language: configuration.language, receivedAt: clock())
    let arrival =
      isTooLarge ? fax.tooLarge(configuration.channel, configuration.maximumBytes) : try await read(fax, key)
    switch await accept(arrival) {
    case .stored, .duplicate:
      takenFaxes.insert(key)
      if fax.isComplete == false { knownCut.insert(key) }
      notices[row.file] = nil
      health.lastArrivalAt = clock()
      answer(row.file, .stored)
      // What was not fetched is the only copy: it stays.
      if configuration.deleteReceived, !isTooLarge {
        try await session.deleteReceived(row.file)
        takenFaxes.remove(key)
      }
    case .busy(let pause):
      nextSweep = min(nextSweep, clock() + pause)
      answer(row.file, .later)
    case .refused(let refusal):
      takenFaxes.insert(key)
      notices[row.file] = nil
      answer(row.file, .stored)
      logger.notice("fax refused", metadata: ["refusal.code": "\(refusal.code.rawValue)", "fax.file": "\(row.file)"])
    }
  }

  /// The hook speaks of a fax that was taken before it did. That it was cut off is news, and follows the fax into its
  /// request; everything else is known.
  private func takeLateWord(_ row: ReceivedRow, _ key: String, _ accept: ChannelAdapter.Accept) async {
    guard let notice = notices[row.file], !notice.error.isEmpty, !knownCut.contains(key) else {
      notices[row.file] = nil
      return answer(row.file, .stored)
    }
    let fax = ReceivedFax(
      server: server.name, row: row, bytes: [], notice: notice, journal: journal[row.file],
      order: configuration.callIDs, plan: configuration.plan, lines: configuration.lines,
      language: configuration.language, receivedAt: clock())
    switch await accept(fax.lateWord(on: configuration.channel)) {
    case .stored, .duplicate, .refused:
      knownCut.insert(key)
      notices[row.file] = nil
      answer(row.file, .stored)
    case .busy(let pause):
      nextSweep = min(nextSweep, clock() + pause)
      answer(row.file, .later)
    }
  }

  private func isKept(_ key: String) async -> Bool { await configuration.isKept?(key) ?? false }

  /// A fax that an earlier run has stored: not read again, only remembered, if it is of the last day, for what may repeat
  /// it.
  private func recall(_ row: ReceivedRow, _ key: String, _ session: ServerSession) async throws {
    takenFaxes.insert(key)
    let isTooLarge = row.bytes.map { $0 > configuration.maximumBytes } ?? false
    if isTooLarge { return }
    if let time = ReceivedFax.time(row), time > clock() - RecentFaxes.span {
      let bytes = try await session.retrieve(row.file, limit: configuration.maximumBytes)
      let fax = ReceivedFax(
        server: server.name, row: row, bytes: bytes, notice: nil, journal: journal[row.file],
        order: configuration.callIDs, plan: configuration.plan, receivedAt: clock())
      let configuration = configuration
      let reading = try await work.runIfActive {
        var limits = TIFFLimits()
        limits.bytes = configuration.maximumBytes
        return FaxReading(bytes, limits: limits, order: configuration.callIDs)
      }
      let sender = fax.origin(reading).caller ?? fax.origin(reading).tsi
      _ = recent.note(
        key, sender: sender.map { configuration.plan.faxAddress($0).canonical }, at: time,
        pages: reading.pages.compactMap(\.fingerprint), isCut: fax.isComplete == false || !reading.isWhole)
    }
    if configuration.deleteReceived {
      try await session.deleteReceived(row.file)
      takenFaxes.remove(key)
    }
  }

  /// Pages, previews and text, on a thread of its own.
  private func read(_ fax: ReceivedFax, _ key: String) async throws -> Arrival {
    let configuration = configuration
    let (reading, extras) = try await work.runIfActive {
      FaxPreparation.prepare(fax.bytes, configuration)
    }
    var all = extras
    let sender = fax.origin(reading).caller ?? fax.origin(reading).tsi
    let earlier = recent.note(
      key, sender: sender.map { configuration.plan.faxAddress($0).canonical },
      at: ReceivedFax.time(fax.row) ?? fax.receivedAt,
      pages: reading.pages.compactMap(\.fingerprint), isCut: fax.isComplete == false || !reading.isWhole)
    (all.repeats, all.continues) = (earlier.repeats, earlier.continues)
    return fax.arrival(on: configuration.channel, reading: reading, extras: all)
  }

  /// Nil for jobs that are not Liaison's.
  private func reportKey(_ row: JobRow) -> String? {
    guard let tag = row.tag, AttemptID(tag) != nil else { return nil }
    return "\(server.name)/job/\(row.id)/\(tag)"
  }

  private func report(_ row: JobRow, _ accept: ChannelAdapter.Accept) async {
    guard let tag = row.tag, let key = reportKey(row), !takenJobs.contains(key), let outcome = JobOutcome(row)
    else { return }
    if await isKept(key) {
      takenJobs.insert(key)
      return
    }
    let ended = row.time.map { Timestamp(seconds: $0) }
    let report = outcome.report(
      wireIdentity: tag, peerID: "\(server.name)/\(row.id)",
      recipient: row.external.isEmpty ? nil : configuration.plan.faxAddress(row.external), status: row.status,
      happenedAt: ended)
    let raw =
      "job \(row.id) state \(row.state.rawValue) pages \(row.pagesSent)/\(row.pagesTotal) dials \(row.dials) "
      + "tries \(row.tries) communication \(row.communication ?? "-") status \(row.status)"
    let arrival = Arrival(
      channel: configuration.channel, wireKey: key, from: report.recipient, to: nil, receivedAt: clock(),
      payload: .report(report), raw: Array(raw.utf8))
    switch await accept(arrival) {
    case .stored, .duplicate:
      takenJobs.insert(key)
      health.lastArrivalAt = clock()
    case .refused: takenJobs.insert(key)
    case .busy(let pause): nextSweep = min(nextSweep, clock() + pause)
    }
  }
}

/// Event lines as they come in pieces; each that matters wakes the sweep. Used on one event loop only.
private final class EventLines: @unchecked Sendable {
  // @unchecked: `feed` is called by one channel's handler, on that channel's event loop, and by nobody else.
  private var rest: [UInt8] = []
  private let wake: AsyncStream<Void>.Continuation
  init(wake: AsyncStream<Void>.Continuation) { self.wake = wake }

  func feed(_ bytes: [UInt8]) {
    rest.append(contentsOf: bytes)
    while let end = rest.firstIndex(of: 0x0a) {
      let event = TriggerEvent(String(decoding: rest[..<end], as: UTF8.self).trimmed)
      rest.removeFirst(end + 1)
      if event?.asksForSweep == true { wake.yield() }
    }
    // No event is this long: whatever it is, the queues know.
    if rest.count > 8_192 {
      rest = []
      wake.yield()
    }
  }
}

/// Reading one received fax: pages, previews, PDF and text. Blocking.
enum FaxPreparation {
  static func prepare(_ bytes: [UInt8], _ configuration: FaxConfiguration) -> (FaxReading, ReceivedFax.Extras) {
    var limits = TIFFLimits()
    limits.bytes = configuration.maximumBytes
    var extras = ReceivedFax.Extras()
    var texts: [String] = []
    let deadline = configuration.recognition.map { ContinuousClock.now + $0.timeLimit }
    let reading = FaxReading(bytes, limits: limits, order: configuration.callIDs) { number, image in
      guard number <= configuration.previewPages else { return }
      var square = image.squared()
      if let recognition = configuration.recognition, let deadline, number <= recognition.maximumPages,
        ContinuousClock.now < deadline
      {
        do throws(TextRecognition.Failure) {
          let page = try recognition.read(square)
          texts.append(page.text)
          extras.rotations[number] = page.rotation
          square = square.rotated(page.rotation)
        } catch {
          texts.append("")  // text is a suggestion; the picture is the fax
        }
      }
      extras.previews.append(
        .init(name: "page-\(number).png", mediaType: "image/png", bytes: square.png()))
    }
    let text = texts.filter { !$0.isEmpty }.joined(separator: "\n\n")
    extras.text = text.isEmpty ? nil : text
    extras.pdf = FaxPDF(bytes, limits: limits)?.bytes
    return (reading, extras)
  }
}

import Channels

/// Follows one recorded connection command by command; its fields are what `SessionInspection` shows.
struct SessionReader {
  var serverVersion: String?
  var user: String?
  var administrator = false
  var commandCount = 0
  var replyCount = 0
  var jobs: [Int: SessionInspection.Job] = [:]
  var faxes: [SessionInspection.Fax] = []
  var transfers: [SessionInspection.Transfer] = []
  var events: [SessionInspection.Event] = []
  var modems: [SessionInspection.Modem] = []
  var deleted: [String] = []
  var problems: [SessionInspection.Problem] = []
  var closedBy: String?

  private var parser = ReplyParser()
  /// The command whose reply is awaited, or that a running transfer belongs to.
  private var pending: String?
  private var currentJob: Int?
  private var jobFormat: ListFormat?
  private var receiveFormat: ListFormat?
  private var compressed = false
  private var data: [Int: (side: Recording.Side, bytes: [UInt8]?, count: Int, command: String?, opened: Double)] = [:]
  private var eventRest: [UInt8] = []
  private var callIDs: [String] = []

  mutating func read(_ moment: Recording.Moment, attachment: (String) -> [UInt8]?) {
    switch moment.entry {
    case .line(.client, let bytes): command(String(decoding: bytes, as: UTF8.self).trimmed)
    case .line(.server, let bytes):
      do throws(ReplyParser.Failure) {
        for reply in try parser.feed(bytes) { answer(reply) }
      } catch {
        problem("protocol-violation", pending, "a reply longer than any server sends: \(error)")
        parser = ReplyParser()
      }
    case .dataOpened(let number, _):
      data[number] = (.server, [], 0, pending, moment.seconds)
    case .data(let number, let side, let count, let bytes):
      var open = data[number] ?? (side, [], 0, pending, moment.seconds)
      open.side = side
      open.count += count
      if let bytes { open.bytes?.append(contentsOf: bytes) } else { open.bytes = nil }
      if open.command == nil { open.command = pending }
      data[number] = open
      if let bytes, isTrigger(open.command) { trigger(bytes, at: moment.seconds) }
    case .dataStored(let number, let side, let count, let file):
      transfer(number, side: side, count: count, bytes: attachment(file))
    case .dataClosed(let number, _):
      guard let open = data[number] else { return }
      if isTrigger(open.command) {
        data[number] = nil
      } else if let bytes = open.bytes {
        transfer(number, side: open.side, count: open.count, bytes: bytes)
      }
    case .closed(let side):
      if closedBy == nil { closedBy = side == .client ? "client" : "server" }
    }
  }

  mutating func finish() {
    for number in data.keys.sorted() where !isTrigger(data[number]?.command) && data[number]?.count ?? 0 > 0 {
      guard let open = data[number] else { continue }
      transfer(number, side: open.side, count: open.count, bytes: open.bytes)
    }
    if let pending, !isTrigger(pending) {
      problem("no-reply", pending, "the server never answered")
    }
    if parser.skipped > 0 {
      let last = parser.lastSkipped.map { $0.isEmpty ? "an empty line" : $0 } ?? ""
      problem("line-outside-reply", nil, "\(parser.skipped) lines belong to no reply, the last: \(last)")
    }
    for (id, job) in jobs {
      guard let state = job.state.flatMap(JobState.init(word:)) else { continue }
      let outcome = JobOutcome(
        state: state, status: job.status ?? "", pagesSent: job.pagesSent ?? 0, pagesTotal: job.pagesTotal ?? 0)
      jobs[id]?.outcome = outcome?.code
      jobs[id]?.settledAs =
        outcome?.report(
          wireIdentity: nil, peerID: nil, recipient: nil, status: "", happenedAt: nil
        ).state.rawValue
    }
  }

  private mutating func problem(_ code: String, _ command: String?, _ text: String) {
    let shown = command.map { $0.hasPrefix("PASS") || $0.hasPrefix("ADMIN") ? "\($0.prefix { $0 != " " }) …" : $0 }
    problems.append(.init(code: code, command: shown, text: text))
  }

  private func isTrigger(_ command: String?) -> Bool {
    command?.uppercased().hasPrefix("SITE TRIGGER") ?? false
  }

  // MARK: Commands and replies

  private mutating func command(_ line: String) {
    commandCount += 1
    if let pending, !isTrigger(pending) {
      problem("no-reply", pending, "the next command was sent before an answer")
    }
    pending = line
  }

  private mutating func answer(_ reply: Reply) {
    replyCount += 1
    guard let line = pending else {
      if reply.code == 220 {
        serverVersion = Login.version(reply.text)
      } else if reply.code == 421 || reply.code == 221 {
        problem("server-closed", nil, reply.text)
      }
      return
    }
    if reply.isPreliminary { return }
    pending = nil
    let words = line.split(separator: " ", maxSplits: 2).map(String.init)
    let verb = (words.first ?? "").uppercased()
    if !reply.isSuccess {
      problem("refused-\(reply.code)", line, reply.text)
    }
    switch verb {
    case "USER": user = words.count > 1 ? words[1] : nil
    case "ADMIN": administrator = reply.isSuccess
    case "MODE": if reply.isSuccess { compressed = words.last?.uppercased() == "Z" }
    case "JOBFMT": if reply.isSuccess { jobFormat = format(line, reply) }
    case "RCVFMT": if reply.isSuccess { receiveFormat = format(line, reply) }
    case "JNEW":
      if let id = SubmissionSession.jobID(reply.text)?.number {
        currentJob = id
        jobs[id] = .init(id)
      }
    case "JOB":
      currentJob = reply.isSuccess ? SubmissionSession.jobID(reply.text)?.number : nil
    case "JSUBM":
      if let id = currentJob { jobs[id, default: .init(id)].submitted = reply.isSuccess }
    case "JKILL", "JDELE":
      let id = words.count > 1 ? Int(words[1]) : currentJob
      if let id { jobs[id, default: .init(id)].killed = reply.text }
    case "JWAIT": currentJob = nil  // the default job again (trap 24)
    case "DELE": if reply.isSuccess, words.count > 1 { deleted.append(words[1]) }
    case "JPARM": parameter(words, reply)
    default: break
    }
  }

  private func format(_ line: String, _ reply: Reply) -> ListFormat {
    guard let open = line.firstIndex(of: "\""), let close = line.lastIndex(of: "\""), open < close else {
      return ListFormat(reply.text)  // asked for without one: the reply is the format in force
    }
    return ListFormat(String(line[line.index(after: open)..<close]))
  }

  private mutating func parameter(_ words: [String], _ reply: Reply) {
    guard words.count > 1, let id = currentJob, reply.isSuccess else { return }
    let name = words[1].uppercased()
    var job = jobs[id, default: .init(id)]
    defer { jobs[id] = job }
    if words.count > 2 {
      let value = words[2].hasPrefix("\"") && words[2].count > 1 ? String(words[2].dropFirst().dropLast()) : words[2]
      switch name {
      case "DIALSTRING", "EXTERNAL": job.number = value
      case "JOBINFO": job.tag = value
      case "DOCUMENT": job.document = value
      default: job.parameters[name] = value
      }
      return
    }
    let value = reply.text.trimmed
    switch name {
    case "STATE": job.state = value
    case "STATUS": job.status = value
    case "STATUSCODE": job.statusCode = value
    case "NPAGES": job.pagesSent = Int(value)
    case "TOTPAGES": job.pagesTotal = Int(value)
    case "TOTDIALS": job.dials = Int(value)
    case "TOTTRIES": job.tries = Int(value)
    case "JOBINFO": job.tag = value.isEmpty ? job.tag : value
    case "DIALSTRING", "EXTERNAL": job.number = value.isEmpty ? job.number : value
    default: if !value.isEmpty { job.parameters[name] = value }
    }
  }

  // MARK: Data connections

  private mutating func transfer(_ number: Int, side: Recording.Side, count: Int, bytes: [UInt8]?) {
    guard let open = data.removeValue(forKey: number) else { return }
    let command = open.command ?? ""
    let words = command.split(separator: " ").map(String.init)
    switch (words.first?.uppercased(), words.count > 1 ? words[1] : "") {
    case ("LIST", let queue): list(queue, bytes ?? [])
    case ("NLST", _): break
    default:
      let document = bytes.flatMap { bytes -> DocumentInspection? in
        let plain = compressed ? inflated(bytes, limit: TIFFLimits().bytes) : bytes
        guard let plain else {
          problem("bad-compression", command, "what was sent in MODE Z cannot be decompressed")
          return nil
        }
        let isTIFF = plain.starts(with: [0x49, 0x49]) || plain.starts(with: [0x4d, 0x4d])
        return isTIFF ? DocumentInspection(file: command, bytes: plain) : nil
      }
      transfers.append(
        .init(
          command: command, direction: side == .client ? "upload" : "download", bytes: count, compressed: compressed,
          document: document))
    }
  }

  private mutating func list(_ queue: String, _ bytes: [UInt8]) {
    switch queue {
    case "sendq", "doneq":
      guard let format = jobFormat else { return }
      for row in format.rows(bytes).compactMap(JobRow.init) {
        var job = jobs[row.id.number, default: .init(row.id.number)]
        job.state = row.state.rawValue.uppercased()
        job.number = row.external.isEmpty ? job.number : row.external
        job.tag = row.tag ?? job.tag
        // A status cut at 25 characters (the default format) must not replace the whole one.
        if job.status == nil || row.status.count > (job.status ?? "").count { job.status = row.status }
        (job.pagesSent, job.pagesTotal) = (row.pagesSent, row.pagesTotal)
        (job.dials, job.tries) = (row.dials, row.tries)
        jobs[row.id.number] = job
      }
    case "recvq":
      guard let format = receiveFormat else { return }
      for row in format.rows(bytes).compactMap(ReceivedRow.init) {
        faxes.append(
          .init(
            file: row.file, pages: row.pages, tsi: row.tsi, caller: row.caller, callerName: row.callerName,
            receiving: row.isReceiving, bytes: row.bytes, error: row.error))
      }
    case "status":
      for line in String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isNewline)
      where line.hasPrefix("Modem ") {
        let words = line.split(separator: " ", maxSplits: 2)
        let status = line.ranges(of: "): ").first.map { String(line[$0.upperBound...]) } ?? String(words.last ?? "")
        modems.append(.init(modem: String(words.count > 1 ? words[1] : ""), status: status))
      }
    default: break
    }
  }

  // MARK: Events

  private mutating func trigger(_ bytes: [UInt8], at seconds: Double) {
    eventRest.append(contentsOf: bytes)
    while let end = eventRest.firstIndex(of: 0x0a) {
      let line = String(decoding: eventRest[..<end], as: UTF8.self).trimmed
      eventRest.removeFirst(end + 1)
      guard let event = TriggerEvent(line) else {
        problem("bad-event", nil, line)
        continue
      }
      note(event, at: seconds)
    }
  }

  private mutating func note(_ event: TriggerEvent, at seconds: Double) {
    var shown = SessionInspection.Event(
      seconds: seconds, time: event.time, number: event.number, name: event.kind.map { "\($0)" }, text: event.text)
    switch event.subject {
    case .job(let id):
      shown.job = id.number
      jobs[id.number, default: .init(id.number)].events.append(event.number)
    case .modem(let name): shown.modem = name
    case .reception, nil: break
    }
    events.append(shown)
    if event.kind == .callerID { callIDs = event.callIDs }
    if event.kind == .receiveBegan, callIDs.isEmpty { callIDs = [] }
    guard event.kind == .documentReceived else { return }
    var origin = FaxOrigin()
    origin.take(callIDs, order: .standard)
    // `RECV FAX: From +86 10 55550199 (com 000000001), 1 pages in 0:00:18, file recvq/fax000000001.tif`
    let from = event.text.ranges(ofText: "From ").first.map { event.text[$0.upperBound...] }
    let sender = from.flatMap { text in text.ranges(of: " (com").first.map { String(text[..<$0.lowerBound]) } }
    let pages = event.text.ranges(ofText: "), ").first.flatMap { range in
      Int(event.text[range.upperBound...].prefix { $0.isNumber })
    }
    faxes.append(
      .init(
        file: event.receivedFile, pages: pages, tsi: FaxOrigin.given(sender), caller: origin.caller,
        callerName: origin.callerName, did: origin.did, communication: event.communication))
  }
}

import Channels
import NIOCore
import NIOPosix

/// One client's control connection to the stand-in: the commands that HylaFAX's clients use, passive transfers only.
struct StandInSession {
  private typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>
  private typealias Out = NIOAsyncChannelOutboundWriter<ByteBuffer>
  private struct Gone: Error {}

  private let server: StandInHylaFAX
  private var isLoggedIn = false
  private var isAdministrator = false
  private var jobFormat = ""
  private var receiveFormat = ""
  private var offset = 0
  /// The last job made or chosen.
  private var job: Int?
  private var listener: NIOAsyncChannel<Connection, Never>?

  init(_ server: StandInHylaFAX) { self.server = server }

  func serve(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async {
    var session = self
    do {
      try await connection.executeThenClose { inbound, outbound in
        try await session.say("220 demo server (HylaFAX (tm) Version 6.0.7) ready.", outbound)
        var rest: [UInt8] = []
        for try await buffer in inbound {
          rest += buffer.readableBytesView
          while let end = rest.firstIndex(of: 0x0a) {
            let line = String(decoding: rest[..<end], as: UTF8.self).filter { $0 != "\r" && $0 != "\r\n" }
            rest.removeFirst(end + 1)
            try await session.obey(line, outbound)
          }
          guard rest.count < 8_192 else { return }
        }
      }
    } catch {}  // A client that has gone is none of a stand-in's business.
    if let listener = session.listener { try? await listener.channel.close() }  // Closed twice is closed.
    if let job = session.job { server.forget(job) }
  }

  private func say(_ text: String, _ outbound: Out) async throws {
    try await outbound.write(ByteBuffer(string: text + "\r\n"))
  }

  private mutating func obey(_ line: String, _ outbound: Out) async throws {
    let words = line.split(separator: " ", maxSplits: 1)
    let verb = words.first.map { $0.uppercased() } ?? ""
    let argument = words.count > 1 ? String(words[1]) : ""
    switch verb {
    case "USER": return try await say("331 Password required for \(argument).", outbound)
    case "PASS":
      isLoggedIn = argument == server.options.password
      return try await say(isLoggedIn ? "230 User logged in." : "530 Login incorrect.", outbound)
    case "QUIT":
      try await say("221 Goodbye.", outbound)
      throw Gone()
    default: break
    }
    guard isLoggedIn else { return try await say("530 Please login with USER and PASS.", outbound) }
    switch verb {
    case "ADMIN":
      isAdministrator = argument == server.options.password
      try await say(isAdministrator ? "230 Administrative privileges established." : "530 Login incorrect.", outbound)
    case "TZONE", "FORM", "TYPE", "MODE", "NOOP": try await say("200 \(verb) command successful.", outbound)
    case "IDLE": try await say("213 Idle timeout set.", outbound)
    case "JOBFMT":
      jobFormat = Self.unquoted(argument)
      try await say("200 Job format set.", outbound)
    case "RCVFMT":
      receiveFormat = Self.unquoted(argument)
      try await say("200 Receive format set.", outbound)
    case "EPSV", "PASV": try await openListener(extended: verb == "EPSV", outbound)
    case "REST":
      offset = Int(argument) ?? 0
      try await say("350 Restarting at \(offset).", outbound)
    case "LIST", "NLST": try await list(argument, namesOnly: verb == "NLST", outbound)
    case "RETR": try await retrieve(argument, outbound)
    case "STOT": try await store(outbound)
    case "SIZE":
      let file = server.file(argument)
      try await say(file.map { "213 \($0.bytes.count)" } ?? "550 \(argument): No such file.", outbound)
    case "MDTM":
      let file = server.file(argument)
      try await say(
        file.map { "213 \($0.at.description.prefix(19).filter(\.isNumber))" } ?? "550 \(argument): No such file.",
        outbound)
    case "DELE":
      let isGone = isAdministrator && argument.hasPrefix("recvq/") && server.delete(String(argument.dropFirst(6)))
      try await say(isGone ? "250 DELE command successful." : "550 \(argument): Operation not permitted.", outbound)
    case "SITE": try await trigger(outbound)
    case "JNEW":
      let id = server.newJob()
      job = id
      try await say("200 New job created: jobid: \(id) groupid: \(id).", outbound)
    case "JOB":
      guard let id = Int(argument), server.job(id) != nil else { return try await say("500 No such job.", outbound) }
      job = id
      try await say("200 Current job: \(id).", outbound)
    case "JPARM": try await parameter(argument, outbound)
    case "JSUBM":
      let refusal = job.map { server.submit($0) } ?? "504 No current job."
      try await say(refusal ?? "200 Job \(job ?? 0) submitted.", outbound)
    case "JKILL":
      let isKilled = Int(argument).map { server.kill($0) } ?? false
      try await say(isKilled ? "200 Job \(argument) killed." : "504 Job \(argument) cannot be killed.", outbound)
    default: try await say("500 \(verb): Command not recognized.", outbound)
    }
  }

  private func parameter(_ argument: String, _ outbound: Out) async throws {
    guard let job, let current = server.job(job) else { return try await say("504 No current job.", outbound) }
    let parts = argument.split(separator: " ", maxSplits: 1)
    let name = parts.first.map(String.init) ?? ""
    guard parts.count > 1 else {
      let words: [Character: String] = ["?": "UNDEFINED", "W": "READY", "R": "ACTIVE", "D": "DONE", "F": "FAILED"]
      switch name {
      case "STATE": return try await say("213 \(words[current.state] ?? "UNDEFINED")", outbound)
      case "STATUS": return try await say("213 \(current.status)", outbound)
      default: return try await say("213 \(current.parameters[name] ?? "")", outbound)
      }
    }
    let value = Self.unquoted(String(parts[1]))
    if name == "DOCUMENT" {
      let isThere = server.attach(value, to: job)
      return try await say(isThere ? "200 Added document \(value)." : "550 \(value): No such document.", outbound)
    }
    let isSet = server.set(name, to: value, of: job)
    try await say(isSet ? "213 \(name) set to \"\(value)\"." : "504 Job \(job) cannot be changed.", outbound)
  }

  // MARK: Transfers

  private mutating func openListener(extended: Bool, _ outbound: Out) async throws {
    if let listener { try? await listener.channel.close() }  // Closed twice is closed.
    let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .bind(host: "127.0.0.1", port: 0) { channel in
        channel.eventLoop.makeCompletedFuture { try Connection(wrappingChannelSynchronously: channel) }
      }
    self.listener = listener
    let port = listener.channel.localAddress?.port ?? 0
    try await say(
      extended
        ? "229 Entering Extended Passive Mode (|||\(port)|)"
        : "227 Entering Passive Mode (127,0,0,1,\(port >> 8),\(port & 255))", outbound)
  }

  /// Says 150 and gives `body` the data connection; what it answers is said when that is closed.
  private mutating func transfer(
    _ opening: String, _ outbound: Out, _ body: (NIOAsyncChannelInboundStream<ByteBuffer>, Out) async throws -> String
  ) async throws {
    guard let listener else { return try await say("425 No data connection.", outbound) }
    self.listener = nil
    try await say(opening, outbound)
    let ending = try await listener.executeThenClose { connections in
      for try await connection in connections {
        return try await connection.executeThenClose { try await body($0, $1) }
      }
      throw Gone()
    }
    try await say(ending, outbound)
  }

  private mutating func list(_ queue: String, namesOnly: Bool, _ outbound: Out) async throws {
    var rows: [String]
    switch queue {
    case "sendq", "doneq":
      rows = server.jobs(over: queue == "doneq").map { Self.row(jobFormat, Self.values($0)) }
    case "recvq":
      rows = server.faxes.map { namesOnly ? $0.file : Self.row(receiveFormat, Self.values($0)) }
    default: return try await say("550 \(queue): No such directory.", outbound)
    }
    let text = rows.map { $0 + "\r\n" }.joined()
    try await transfer("150 Opening new data connection for \"\(queue)\".", outbound) { _, data in
      try await data.write(ByteBuffer(string: text))
      return "226 Transfer complete."
    }
  }

  private mutating func retrieve(_ path: String, _ outbound: Out) async throws {
    guard let file = server.file(path) else { return try await say("550 \(path): No such file.", outbound) }
    let bytes = Array(file.bytes.dropFirst(offset))
    offset = 0
    try await transfer("150 Opening new data connection for \(path) (\(bytes.count) bytes).", outbound) { _, data in
      try await data.write(ByteBuffer(bytes: bytes))
      return "226 Transfer complete."
    }
  }

  private mutating func store(_ outbound: Out) async throws {
    let path = server.keep([])
    try await transfer("150 FILE: \(path) (Opening new data connection).", outbound) { [server] inbound, _ in
      var bytes: [UInt8] = []
      for try await part in inbound {
        bytes += part.readableBytesView
        guard bytes.count < 64 << 20 else { throw Gone() }
      }
      server.fill(path, with: bytes)
      return "226 Transfer complete (FILE: \(path))."
    }
  }

  /// Event lines until the client closes its data connection.
  private mutating func trigger(_ outbound: Out) async throws {
    let events = server.events()
    try await transfer("150 Opening new data connection for \"SITE TRIGGER\".", outbound) { inbound, data in
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          do { for try await _ in inbound {} } catch {}  // Its end is all that is waited for.
        }
        group.addTask {
          do { for await line in events { try await data.write(ByteBuffer(string: line)) } } catch {}  // It has gone.
        }
        await group.next()
        group.cancelAll()
      }
      return "226 Transfer complete."
    }
  }

  // MARK: Formats

  private static func unquoted(_ text: String) -> String {
    guard text.hasPrefix("\""), text.hasSuffix("\""), text.utf8.count >= 2 else { return text }
    return String(text.dropFirst().dropLast())
  }

  private static func values(_ job: StandInHylaFAX.Job) -> [Character: String] {
    let parameters = job.parameters
    return [
      "j": String(job.id), "a": String(job.state), "o": "demo", "e": parameters["EXTERNAL"] ?? "",
      "p": String(job.sent), "y": String(job.pages), "d": parameters["TOTDIALS"] ?? "0",
      "t": job.sent > 0 ? "1" : "0", "Z": String((job.endedAt ?? job.dueAt).seconds),
      "J": parameters["JOBINFO"] ?? "", "W": "", "m": "ttyDemo", "L": parameters["TOLOCATION"] ?? "", "s": job.status,
    ]
  }

  private static func values(_ fax: StandInHylaFAX.Received) -> [Character: String] {
    let text = fax.at.description
    let date = text.prefix(10).replacing("-", with: "/")
    let time = text.dropFirst(11).prefix(8).replacing(":", with: ".")
    return [
      "f": fax.file, "p": String(fax.pages), "n": String(fax.bytes.count), "Y": "\(date) \(time)", "z": " ",
      "j": fax.caller.number, "e": "", "i": fax.caller.name ?? "", "s": fax.caller.station ?? "",
    ]
  }

  /// `\037` is one byte, `%j` a value; widths are passed over.
  private static func row(_ format: String, _ values: [Character: String]) -> String {
    var out = ""
    var rest = Substring(format)
    while let character = rest.popFirst() {
      if character == "\\" {
        let digits = rest.prefix(3).prefix { ("0"..."7").contains($0) }
        rest.removeFirst(digits.count)
        if let code = UInt8(digits, radix: 8) { out.unicodeScalars.append(Unicode.Scalar(code)) }
      } else if character == "%" {
        rest = rest.drop { $0.isNumber || $0 == "-" || $0 == "." }
        if let letter = rest.popFirst() { out += letter == "%" ? "%" : values[letter] ?? "" }
      } else {
        out.append(character)
      }
    }
    return out
  }
}

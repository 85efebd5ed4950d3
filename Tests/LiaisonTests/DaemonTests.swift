import AsyncHTTPClient
import Channels
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Store
import Testing

private struct Received: Decodable { var reference: String }

/// Posts a consultation as a program does; the status, and the reference number where there is one.
private func post(
  to base: String, key: String, question: String = "请问三年期定期存款的利率是多少？", type: String = "application/json",
  form: String = "consultation"
) async throws -> (status: UInt, reference: String?, text: String) {
  let body = """
    {"fields": {"name": "王伟", "phone": "+8610017000001", "topic": "deposit", "question": "\(question)"},
     "consents": {"personal_data": true}, "reply_by": "phone"}
    """
  return try await post(Array(body.utf8), to: base, key: key, type: type, form: form)
}

private func post(
  _ body: [UInt8], to base: String, key: String, type: String = "application/json", form: String = "consultation"
) async throws -> (status: UInt, reference: String?, text: String) {
  var request = HTTPClientRequest(url: "\(base)/forms/zh/\(form)")
  request.method = .POST
  request.headers.add(name: "Content-Type", value: type)
  request.headers.add(name: "Accept", value: "application/json")
  request.headers.add(name: "Idempotency-Key", value: key)
  request.body = .bytes(ByteBuffer(bytes: body))
  let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
  let bytes = Data(try await answer.body.collect(upTo: 1 << 22).readableBytesView)
  // Only an answer of 202 has a reference number.
  let received = try? JSONDecoder().decode(Received.self, from: bytes)
  return (answer.status.code, received?.reference, String(decoding: bytes, as: UTF8.self))
}

/// Starts it, and expects that it ends by itself so.
private func expectEnd(
  _ code: Int32, saying text: String, _ bank: TestBank, _ yaml: String? = nil, before: [String] = [],
  environment: [String: String] = [:], sourceLocation: SourceLocation = #_sourceLocation
) async throws {
  let daemon = try bank.start(yaml, before: before, environment: environment)
  let exit = try await daemon.child.ended(within: .seconds(20))
  #expect(exit == .code(code), "\(daemon.child.tail)", sourceLocation: sourceLocation)
  #expect(daemon.child.tail.contains(text), "\(daemon.child.tail)", sourceLocation: sourceLocation)
}

/// What comes back on a connection on which `bytes` are sent, until the daemon closes it. Blocks, so not on the pool.
private func exchange(port: Int, _ bytes: [UInt8], keepOpen: Bool = false) async -> String {
  await withCheckedContinuation { continuation in
    Thread.detachNewThread {
      let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      defer { close(socket) }
      var limit = timeval(tv_sec: 20, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_port = in_port_t(port).bigEndian
      address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
      let isConnected = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
      }
      guard isConnected else { return continuation.resume(returning: "not connected") }
      _ = send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL))
      if !keepOpen { shutdown(socket, Int32(SHUT_WR)) }
      var out: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        guard count > 0 else {
          if count < 0, errno == EAGAIN { out += Array("(still open after 20 s)".utf8) }
          break
        }
        out += buffer[..<count]
      }
      continuation.resume(returning: String(decoding: out, as: UTF8.self))
    }
  }
}

@Suite(.enabled(if: FileManager.default.isExecutableFile(atPath: Liaison.program), "liaison is not built"))
struct DaemonTests {
  // MARK: Starts that must fail

  @Test func `a wrong wiring ends it with 78, file, line and the nearest key`() async throws {
    let bank = try TestBank()
    let yaml = bank.configuration.replacing("admin:", with: "admn:")
    try await expectEnd(78, saying: "liaison.yaml:", bank, yaml)
    try await expectEnd(78, saying: "unknown key admn; did you mean admin?", bank, yaml)
    bank.remove()
  }

  @Test func `a port in use ends it with 69`() async throws {
    let first = try TestBank()
    let running = try first.start()
    let port = try await running.ready().api.split(separator: ":").last ?? ""
    var second = try TestBank()
    second.apiListen = "127.0.0.1:\(port)"
    try await expectEnd(69, saying: "cannot listen on 127.0.0.1:\(port)", second)
    #expect(try await running.stop() == .code(0))
    first.remove()
    second.remove()
  }

  @Test func `a second daemon on the same store ends with 73 and names the first`() async throws {
    let bank = try TestBank()
    let first = try bank.start()
    _ = try await first.ready()
    try await expectEnd(73, saying: "is in use by process \(first.child.pid)", bank)
    #expect(first.child.exit == nil)
    #expect(try await first.stop() == .code(0))
    bank.remove()
  }

  @Test func `a database of a newer version ends it with 73 and is left as it is`() async throws {
    let bank = try TestBank()
    let next = Migration(migrations.count + 1, "from the future", "CREATE TABLE future (x {{int}}) {{opt}};")
    let database = try Database.open(
      StoreURL("sqlite://\(bank.database)"), migrations: migrations + [next], now: Timestamp(seconds: 1))
    await database.close()
    try await expectEnd(73, saying: "newer", bank)
    bank.remove()
  }

  @Test func `a file that is no database ends it with 73`() async throws {
    let bank = try TestBank()
    try String(repeating: "no database at all\n", count: 100)
      .write(toFile: bank.database, atomically: true, encoding: .utf8)
    try await expectEnd(73, saying: bank.database, bank)
    bank.remove()
  }

  @Test(.enabled(if: getuid() == 0, "only root may mount"))
  func `a read-only disk ends it with 74`() async throws {
    let bank = try TestBank()
    let mount = "mkdir -p $0/ro; mount -t tmpfs -o ro,size=1m none $0/ro && shift 0 && exec \"$@\""
    let yaml = bank.configuration.replacing("\(bank.directory)/liaison.db", with: "\(bank.directory)/ro/liaison.db")
      .replacing("\(bank.directory)/bodies", with: "\(bank.directory)/ro/bodies")
    try await expectEnd(
      74, saying: "ro", bank, yaml, before: ["/usr/bin/unshare", "-m", "/bin/sh", "-c", mount, bank.directory])
    bank.remove()
  }

  @Test(.enabled(if: getuid() == 0, "only root may mount"))
  func `a disk too small for the store ends it with 74`() async throws {
    let bank = try TestBank()
    let mount = "mkdir -p $0/full; mount -t tmpfs -o size=64k none $0/full && exec \"$@\""
    let yaml = bank.configuration.replacing("\(bank.directory)/liaison.db", with: "\(bank.directory)/full/liaison.db")
    try await expectEnd(
      74, saying: "full", bank, yaml, before: ["/usr/bin/unshare", "-m", "/bin/sh", "-c", mount, bank.directory])
    bank.remove()
  }

  @Test(.enabled(if: getuid() == 0, "only root may mount"))
  func `a disk that fills up turns posts away with 503, loses nothing, and the daemon goes on`() async throws {
    let bank = try TestBank()
    let mount = "mkdir -p $0/small; mount -t tmpfs -o size=6m none $0/small && exec \"$@\""
    let yaml = bank.configuration.replacing("\(bank.directory)/liaison.db", with: "\(bank.directory)/small/liaison.db")
    let daemon = try bank.start(
      yaml, before: ["/usr/bin/unshare", "-m", "/bin/sh", "-c", mount, bank.directory])
    let base = try await daemon.ready().public
    let long = String(repeating: "字", count: 1_900)
    var references: Set<String> = []
    var isFull = false
    for number in 0..<2_000 where !isFull {
      let answer = try await post(to: base, key: "full-\(number)", question: long)
      if answer.status == 503 {
        isFull = true
      } else {
        #expect(answer.status == 202)
        references.insert(answer.reference ?? "")
      }
    }
    #expect(isFull && references.count > 5)
    #expect(daemon.child.exit == nil)
    // What was acknowledged is still told the same.
    let again = try await post(to: base, key: "full-0", question: long)
    #expect(again.status == 503 || references.contains(again.reference ?? ""))
    #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
    bank.remove()
  }

  // MARK: Serving

  @Test func `a form posted over HTTP has its reference number only once it is stored`() async throws {
    let bank = try TestBank()
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    for number in 0..<5 {
      let answer = try await post(to: bound.public, key: "k\(number)")
      #expect(answer.status == 202)
      let reference = try #require(answer.reference)
      #expect(try await bank.look { try $0.arrival(reference: reference) } != nil)
    }
    #expect(try await daemon.stop() == .code(0))
    bank.remove()
  }

  @Test func `a double click is one request with one reference number`() async throws {
    let bank = try TestBank()
    let daemon = try bank.start()
    let base = try await daemon.ready().public
    let answers = try await withThrowingTaskGroup(of: String?.self) { group in
      for _ in 0..<10 { group.addTask { try await post(to: base, key: "click").reference } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(answers).count == 1 && answers[0] != nil)
    #expect(try await daemon.stop() == .code(0))
    let counts = try await bank.look {
      (
        try $0.one("SELECT count(*) AS n FROM arrival").int("n"),
        try $0.one("SELECT count(*) AS n FROM service_request").int("n")
      )
    }
    #expect(counts == (1, 1))
    bank.remove()
  }

  @Test func `SIGTERM with open connections and posts under way ends it within two seconds with 0`() async throws {
    let bank = try TestBank()
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    // Idle, half a head, half a body.
    let open = [
      [], Array("GET /forms HTTP/1.1\r\nHost: x\r\n".utf8),
      Array("POST /forms/zh/consultation HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{".utf8),
    ]
    try await withThrowingTaskGroup(of: Void.self) { group in
      for bytes in open { group.addTask { _ = await exchange(port: bound.publicPort, bytes, keepOpen: true) } }
      _ = try await post(to: bound.public, key: "before")
      let start = ContinuousClock.now
      #expect(try await daemon.stop() == .code(0), "\(daemon.child.tail)")
      // The thread sanitizer slows everything about tenfold.
      let isSanitized = ProcessInfo.processInfo.environment["TSAN_OPTIONS"] != nil
      #expect(ContinuousClock.now - start < .seconds(isSanitized ? 20 : 2))
      try await group.waitForAll()
    }
    bank.remove()
  }

  @Test func `a new form is served without a restart while posts go on, and a broken one changes nothing`() async throws
  {
    let bank = try TestBank()
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    let source = try String(contentsOfFile: TestBank.shippedParameters + "/forms/consultation.yaml", encoding: .utf8)
    let changed = source.replacing("id: consultation", with: "id: question").replacing("业务咨询, en", with: "新的表单, en")
    let file = bank.directory + "/question.yaml"
    try changed.write(toFile: file, atomically: true, encoding: .utf8)
    let broken = bank.directory + "/broken.yaml"
    try changed.replacing("kind: phone", with: "kind: telepathy").write(
      toFile: broken, atomically: true, encoding: .utf8)

    func apply(_ file: String) async throws -> (ChildProcess.Exit, String) {
      let command = try ChildProcess([
        Liaison.program, "params", "apply", "--socket", bank.directory + "/admin.sock", file,
      ])
      return (try await command.ended(within: .seconds(20)), command.tail)
    }
    try await withThrowingTaskGroup(of: [UInt].self) { group in
      group.addTask {
        var seen: [UInt] = []
        for number in 0..<200 { seen.append(try await post(to: bound.public, key: "during-\(number)").status) }
        return seen
      }
      #expect(try await post(to: bound.public, key: "a", form: "question").status == 404)
      let (refused, reason) = try await apply(broken)
      #expect(refused == .code(65) && reason.contains("broken.yaml:") && reason.contains("telepathy"), "\(reason)")
      let (applied, text) = try await apply(file)
      #expect(applied == .code(0), "\(text)")
      // Served as soon as the daemon has seen its own commit.
      let deadline = ContinuousClock.now + .seconds(5)
      var status: UInt = 0
      while status != 202, ContinuousClock.now < deadline {
        status = try await post(to: bound.public, key: "b", form: "question").status
      }
      #expect(status == 202)
      for try await seen in group { #expect(seen.allSatisfy { $0 == 202 }) }
    }
    #expect(try await daemon.stop() == .code(0))
    bank.remove()
  }

  @Test func `bad input at the public listener gets an error or a closed connection and harms nobody`() async throws {
    var bank = try TestBank()
    bank.publicKeys = ["request_timeout: 1s", "idle_timeout: 1s"]
    bank.formKeys.append("maximum_body_bytes: 65536")
    let daemon = try bank.start()
    let bound = try await daemon.ready()
    let base = bound.public
    #expect(try await post(Array("{".utf8), to: base, key: "a").status == 400)
    #expect(try await post(Array("[1]".utf8), to: base, key: "b").status == 400)
    #expect(try await post([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d], to: base, key: "c").status == 400)
    #expect(
      try await post(Array("x=%FF%FE".utf8), to: base, key: "d", type: "application/x-www-form-urlencoded").status
        == 400)
    #expect(try await post(Array("x".utf8), to: base, key: "e", type: "text/plain").status == 415)
    #expect(try await post(Array(repeating: 0x20, count: 70_000), to: base, key: "f").status == 413)
    #expect(try await post(to: base, key: "g", question: "").status == 422)
    #expect(try await post(to: base, key: "h", form: "nonsense").status == 404)

    let slow = await exchange(
      port: bound.publicPort,
      Array("POST /forms/zh/consultation HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{".utf8), keepOpen: true)
    #expect(slow.hasPrefix("HTTP/1.1 408") || slow.isEmpty, "\(slow)")
    let silent = await exchange(port: bound.publicPort, Array("GET /forms HT".utf8), keepOpen: true)
    #expect(silent.isEmpty || silent.hasPrefix("HTTP/1.1 4"), "\(silent)")
    let garbage = await exchange(
      port: bound.publicPort, Array("GET /forms/zh HTTP/1.1\r\nHost: x\r\n\r\n\u{1}\u{2}\u{3} garbage\r\n\r\n".utf8))
    #expect(garbage.hasPrefix("HTTP/1.1 200") && garbage.contains("HTTP/1.1 400"), "\(garbage.suffix(200))")
    let long = await exchange(
      port: bound.publicPort, Array("GET /forms?\(String(repeating: "x", count: 100_000)) HTTP/1.1\r\n\r\n".utf8))
    #expect(long.isEmpty || long.hasPrefix("HTTP/1.1 4"), "\(long.prefix(100))")

    #expect(try await post(to: base, key: "after").status == 202)
    #expect(try await daemon.stop() == .code(0))
    bank.remove()
  }
}

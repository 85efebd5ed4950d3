import Channels
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Telephony
import Testing

/// A request as Asterisk 22 sends it (res/res_agi.c, `setup_env`).
private let request = """
  agi_network: yes
  agi_network_script: route
  agi_request: agi://127.0.0.1:4573/route
  agi_channel: PJSIP/trunk-0000009c
  agi_language: en
  agi_type: PJSIP
  agi_uniqueid: 1795382265.168
  agi_version: 22.10.1
  agi_callerid: +41791112233
  agi_calleridname: Meier Anna
  agi_callingpres: 0
  agi_callingani2: 0
  agi_callington: 0
  agi_callingtns: 0
  agi_dnid: +41445550100
  agi_rdnis: unknown
  agi_context: from-trunk
  agi_extension: +41445550100
  agi_priority: 3
  agi_enhanced: 0.0
  agi_accountcode: \n\
  agi_threadid: 139704\n\n
  """

private let variables = [
  AGIVariable("LIAISON_QUEUE", "retail-zh"), AGIVariable("LIAISON_NOTE", "say \"hi\" \\ now\nHANGUP"),
  AGIVariable("bad name)", "x"),
]

@Suite struct AGISessionTests {
  private func text(_ step: AGISession.Step?) -> String {
    if case .send(let bytes)? = step { String(decoding: bytes, as: UTF8.self) } else { "" }
  }

  @Test func `a request is read, variables are set one by one, then the dial plan goes on`() {
    var session = AGISession()
    guard case .ask(let asked)? = session.feed(request.utf8).first else {
      Issue.record("the request was not understood")
      return
    }
    #expect(asked.script == "route" && asked.caller == "+41791112233" && asked.dialled == "+41445550100")
    #expect(asked.callID == "1795382265.168" && asked.customerNo == nil)
    #expect(text(session.answer(variables).first) == "SET VARIABLE LIAISON_QUEUE \"retail-zh\"\n")
    // Quoted so that nothing in a value becomes a command of its own.
    #expect(
      text(session.feed("200 result=1\n".utf8).first)
        == "SET VARIABLE LIAISON_NOTE \"say \\\"hi\\\" \\\\ now HANGUP\"\n")
    #expect(session.feed("200 result=1\n".utf8) == [.finish])
    #expect(session.feed("200 result=1\n".utf8) == [])
  }

  @Test func `arguments come before what the channel says, a withheld number is none`() {
    let text =
      "agi_request: x\nagi_callerid: unknown\nagi_dnid: unknown\nagi_extension: s\n"
      + "agi_arg_2: +8610\nagi_arg_2: twice\nagi_arg_3: 7001234\nagi_uniqueid: 1.1\nagi_arg_4: 1.0\n\n"
    var session = AGISession()
    guard case .ask(let asked)? = session.feed(text.utf8).first else {
      Issue.record("the request was not understood")
      return
    }
    #expect(asked.caller == nil && asked.dialled == "+8610" && asked.customerNo == "7001234" && asked.callID == "1.0")
  }

  @Test func `it comes to the same in whatever pieces it arrives`() {
    let bytes = Array(request.replacing("\n", with: "\r\n").utf8)
    for size in [1, 2, 3, 7, 64] {
      var session = AGISession()
      var steps: [AGISession.Step] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        steps += session.feed(bytes[start..<min(bytes.count, start + size)])
      }
      #expect(steps.count == 1)
      if case .ask(let asked)? = steps.first { #expect(asked.caller == "+41791112233") }
    }
  }

  @Test func `every prefix of a request waits, none is answered before its end`() {
    let bytes = Array(request.utf8)
    for end in 0..<bytes.count {
      var session = AGISession()
      #expect(session.feed(bytes[..<end]) == [])
      #expect(session.answer(variables) == [])
    }
  }

  @Test(arguments: [
    "GET / HTTP/1.1\r\n", "\n", "agi_request\n", "request: x\n", "agi_x: y\n\n", String(repeating: "a", count: 5_000),
    String(repeating: "agi_v: \(String(repeating: "x", count: 1_000))\n", count: 60),
    String(repeating: "agi_v: x\n", count: 300), "\u{16}\u{3}\u{1}\n",
  ])
  func `what is no request ends the dialogue within bounds`(_ text: String) {
    var session = AGISession()
    let steps = session.feed(text.utf8)
    guard case .fail? = steps.last else {
      Issue.record("\(text.prefix(40)) was taken: \(steps)")
      return
    }
    #expect(session.feed(request.utf8) == [])
  }

  @Test(arguments: [
    "HANGUP\n", "510 Invalid or unknown command\n", "511 Command Not Permitted on a dead channel\n",
    "520-Invalid command syntax.  Proper usage follows:\nUsage: SET VARIABLE\n520 End of proper usage.\n", "nonsense\n",
  ])
  func `a refusal or a hang-up ends the dialogue`(_ reply: String) {
    var session = AGISession()
    _ = session.feed(request.utf8)
    _ = session.answer(variables)
    guard case .fail? = session.feed(reply.utf8).last else {
      Issue.record("\(reply) was taken for success")
      return
    }
  }

  @Test func `ten thousand mutilated requests neither crash nor pass for more than they are`() {
    var random = SystemRandomNumberGenerator()
    let bytes = Array(request.utf8)
    for _ in 0..<10_000 {
      var mutated = bytes
      for _ in 0..<Int.random(in: 1...8, using: &random) {
        let place = Int.random(in: 0..<mutated.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: mutated[place] = UInt8.random(in: 0...255, using: &random)
        case 1: mutated.remove(at: place)
        default: mutated.insert(UInt8.random(in: 0...255, using: &random), at: place)
        }
      }
      var session = AGISession()
      let asks = session.feed(mutated).filter { if case .ask = $0 { true } else { false } }
      #expect(asks.count <= 1)
    }
  }
}

/// Returns when it is so; the test's time limit ends what never comes.
func eventually(_ isSo: @Sendable () async -> Bool) async throws {
  while !(await isSo()) { try await Task.sleep(for: .milliseconds(5)) }
}

@Suite(.timeLimit(.minutes(1))) struct AGIListenerTests {
  private func with(
    _ configuration: AGIListener.Configuration, answer: @escaping AGIListener.Answer = { _ in variables },
    _ body: @Sendable @escaping (AGIListener, Int) async throws -> Void
  ) async throws {
    let listener = AGIListener(configuration: configuration, answer: answer)
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await listener.run() }
      try await eventually { listener.port != nil }
      try await body(listener, listener.port ?? 0)
      group.cancelAll()
    }
  }

  /// Speaks as Asterisk does: waits for each command and answers it. Gives the commands received.
  private func dialogue(
    _ port: Int, _ text: String, reply: String = "200 result=1\n", keepsReplying: Bool = true
  ) async throws -> [String] {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
        }
      }
    let commands = Mutex<[String]>([])
    do {
      try await channel.executeThenClose { inbound, outbound in
        try await outbound.write(ByteBuffer(string: text))
        for try await buffer in inbound {
          commands.withLock { $0 += String(buffer: buffer).split(separator: "\n").map(String.init) }
          if keepsReplying { try await outbound.write(ByteBuffer(string: reply)) }
        }
      }
    } catch {
      // Closed by the other side: that is what is looked at.
    }
    return commands.withLock { $0 }
  }

  @Test func `a dial plan gets its variables over TCP, many at once`() async throws {
    try await with(.init(port: 0, timeLimit: .seconds(40))) { listener, port in
      try await withThrowingTaskGroup(of: [String].self) { group in
        for _ in 0..<50 { group.addTask { try await dialogue(port, request) } }
        for try await commands in group {
          #expect(commands.count == 2 && commands.first == "SET VARIABLE LIAISON_QUEUE \"retail-zh\"")
        }
      }
      try await eventually { listener.counts.answered == 50 }
      #expect(listener.counts.failed == 0 && listener.counts.turnedAway == 0)
    }
  }

  @Test func `who sends nothing, stops in the middle, or never answers is let go after the limit`() async throws {
    try await with(.init(port: 0, timeLimit: .milliseconds(1_500))) { listener, port in
      async let silent = dialogue(port, "")
      async let half = dialogue(port, String(request.prefix(200)))
      async let mute = dialogue(port, request, keepsReplying: false)
      let heard = try await (silent, half, mute)
      #expect(heard.0 == [] && heard.1 == [] && heard.2.count == 1)
      #expect(try await dialogue(port, "GET / HTTP/1.1\r\n\r\n") == [])
      try await eventually { listener.counts.failed >= 4 }
      #expect(listener.counts.answered == 0)
    }
  }

  @Test func `an answer that never comes lets the dial plan go on`() async throws {
    let slow: AGIListener.Answer = { _ in
      do { try await Task.sleep(for: .seconds(600)) } catch {}
      return []
    }
    try await with(.init(port: 0, timeLimit: .milliseconds(200)), answer: slow) { listener, port in
      let heard = try await dialogue(port, request)
      #expect(heard == [])
      try await eventually { listener.counts.failed >= 1 }
    }
  }

  @Test func `connections beyond the limit are turned away at once`() async throws {
    try await with(.init(port: 0, timeLimit: .seconds(3), maximumConnections: 1)) { listener, port in
      async let first = dialogue(port, "")
      async let second = dialogue(port, "")
      _ = try await (first, second)
      #expect(listener.counts.turnedAway > 0)
    }
  }

  @Test func `a place that is taken is tried again until it is free`() async throws {
    let taken = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: 0)
      .get()
    let port = taken.localAddress?.port ?? 0
    let listener = AGIListener(configuration: .init(port: port)) { _ in variables }
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { await listener.run() }
      try await eventually { listener.problem != nil }
      try await taken.close()
      try await eventually { listener.port != nil }
      #expect(listener.problem == nil)
      #expect(try await dialogue(port, request).count == 2)
      group.cancelAll()
    }
  }
}

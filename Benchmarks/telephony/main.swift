import Channels
import Foundation
import Telephony

// Manager events over loopback: how many are decoded, and how many turned into calls, a second on one core.
//
//   telephony-benchmark REPEAT FILE.ami…       serves the recordings REPEAT times to itself over TCP, two ways
//   telephony-benchmark serve REPEAT FILE.ami… serves them to whoever connects first and logs in, and prints the port
//
// Each repetition is another epoch in every Uniqueid and Linkedid, so that its calls are new ones. What the recordings
// have of logins and answers is left out; whoever is served gets an answer to his own.
// The server is a thread that only writes; the figures are events by the reader's own processor time and by the clock.

private func listen() -> (socket: Int32, port: UInt16) {
  let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  var length = socklen_t(MemoryLayout<sockaddr_in>.size)
  withUnsafeMutablePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      precondition(bind(server, $0, length) == 0 && Glibc.listen(server, 1) == 0, "no port")
      _ = getsockname(server, $0, &length)
    }
  }
  return (server, UInt16(bigEndian: address.sin_port))
}

/// The events alone, one recording after another.
private func events(of files: [String]) throws -> [UInt8] {
  var out: [UInt8] = []
  for file in files {
    let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
    var decoder = AMIDecoder()
    decoder.feed(bytes) { message in
      guard message.kind == .event, !(message.name == "Shutdown"), !(message.name == "FullyBooted") else { return }
      out += Array(message.bytes)
      if !out.suffix(4).elementsEqual([0x0d, 0x0a, 0x0d, 0x0a]) { out += [0x0d, 0x0a, 0x0d, 0x0a] }
    }
  }
  return out
}

/// The places of the epoch's first six digits, in which repetitions differ.
private func epochs(in bytes: [UInt8]) -> [Int] {
  let mark = Array("179538".utf8)
  return bytes.indices.dropLast(mark.count).filter { bytes[$0] == mark[0] && bytes[$0..<$0 + 6].elementsEqual(mark) }
}

/// Reads one action and answers it.
private func answerLogin(_ peer: Int32) {
  var held: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 4_096)
  _ = "Asterisk Call Manager/11.0.0\r\n".withCString { send(peer, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
  while held.firstRange(of: Array("\r\n\r\n".utf8)) == nil {
    let count = recv(peer, &buffer, buffer.count, 0)
    guard count > 0 else { return }
    held += buffer[..<count]
  }
  let lines = String(decoding: held, as: UTF8.self).components(separatedBy: "\r\n")
  let id = lines.first { $0.hasPrefix("ActionID:") } ?? "ActionID: 1"
  let answer = "Response: Success\r\n\(id)\r\nMessage: Authentication accepted\r\n\r\n"
  _ = answer.withCString { send(peer, $0, strlen($0), Int32(MSG_NOSIGNAL)) }
}

private func serve(_ server: Int32, _ original: [UInt8], times: Int, login: Bool = false) {
  let peer = accept(server, nil, nil)
  if login { answerLogin(peer) }
  var bytes = original
  let places = epochs(in: bytes)
  for round in 0..<times {
    let epoch = Array(String(100_000 + round).utf8)
    for place in places { bytes.replaceSubrange(place..<place + 6, with: epoch) }
    var offset = 0
    while offset < bytes.count {
      let sent = bytes.withUnsafeBytes {
        send(peer, $0.baseAddress! + offset, min(262_144, bytes.count - offset), Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { break }
      offset += sent
    }
  }
  close(peer)
  close(server)
}

private func threadSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

private func measure(_ name: String, _ bytes: [UInt8], times: Int, _ take: (UnsafeRawBufferPointer) -> Int) {
  let (server, port) = listen()
  let thread = Thread { serve(server, bytes, times: times) }
  thread.start()
  let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  let isConnected = withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(client, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
    }
  }
  precondition(isConnected, "not connected")
  var buffer = [UInt8](repeating: 0, count: 262_144)
  let start = Date()
  let used = threadSeconds()
  var messages = 0
  while true {
    let count = recv(client, &buffer, buffer.count, 0)
    guard count > 0 else { break }
    messages = buffer.withUnsafeBytes { take(UnsafeRawBufferPointer(rebasing: $0[0..<count])) }
  }
  let wall = Date().timeIntervalSince(start)
  let processor = threadSeconds() - used
  close(client)
  print(
    "\(name): \(messages) messages, \(Int(Double(messages) / wall)) /s by the clock, \(Int(Double(messages) / processor)) /s of one core, \(residentKilobytes()) kB resident"
  )
}

private func residentKilobytes() -> Int {
  // Absent outside Linux.
  let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
  let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
  return line.flatMap { Int($0.filter(\.isNumber)) } ?? 0
}

var arguments = Array(CommandLine.arguments.dropFirst())
let isServing = arguments.first == "serve"
if isServing { arguments.removeFirst() }
guard arguments.count > 1, let times = Int(arguments.removeFirst()), times > 0 else {
  print("usage: telephony-benchmark [serve] REPEAT FILE.ami…")
  exit(64)
}
let bytes = try events(of: arguments)
if isServing {
  let (server, port) = listen()
  print(port)
  fflush(nil)
  serve(server, bytes, times: times, login: true)
} else {
  var decoder = AMIDecoder()
  measure("decode", bytes, times: times) { piece in
    decoder.feed(piece) { _ in }
    return decoder.messages
  }
  var second = AMIDecoder()
  var interpreter = AsteriskInterpreter(server: "benchmark")
  var updates = 0
  var ended = 0
  measure("decode and call state", bytes, times: times) { piece in
    second.feed(piece) { message in
      for update in interpreter.interpret(message) {
        updates += 1
        if case .call(let event) = update, event.change == .ended { ended += 1 }
      }
    }
    return second.messages
  }
  print("changes told: \(updates), calls ended: \(ended), still open: \(interpreter.book.liveCalls.count)")
}

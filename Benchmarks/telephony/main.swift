import Channels
import Foundation
import Telephony

// Manager events over loopback: how many are decoded, and how many turned into calls, a second on one core.
//
//   telephony-benchmark FILE.ami [REPEAT]     serves the recording REPEAT times to itself over TCP, three ways
//   telephony-benchmark serve FILE.ami REPEAT serves it to whoever connects first, and prints the port (for the peer)
//
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

private func serve(_ server: Int32, _ bytes: [UInt8], times: Int) {
  let peer = accept(server, nil, nil)
  for _ in 0..<times {
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
if arguments.first == "serve", arguments.count == 3, let times = Int(arguments[2]) {
  let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: arguments[1])))
  let (server, port) = listen()
  print(port)
  fflush(nil)
  serve(server, bytes, times: times)
} else if let file = arguments.first {
  let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: file)))
  let times = arguments.count > 1 ? Int(arguments[1]) ?? 20 : 20
  var decoder = AMIDecoder()
  measure("decode", bytes, times: times) { piece in
    decoder.feed(piece) { _ in }
    return decoder.messages
  }
  var second = AMIDecoder()
  var interpreter = AsteriskInterpreter(server: "benchmark")
  var updates = 0
  measure("decode and call state", bytes, times: times) { piece in
    second.feed(piece) { updates += interpreter.interpret($0).count }
    return second.messages
  }
  print("changes told: \(updates), calls still open: \(interpreter.book.liveCalls.count)")
} else {
  print("usage: telephony-benchmark [serve] FILE.ami [REPEAT]")
  exit(64)
}

import Foundation
import Glibc
import Synchronization

/// A wire between Liaison and a real HylaFAX that can be cut at a word: every byte passes as it is, until the client says
/// a given command. What is then to happen is the test's: a process dies before the word has passed, or after it.
///
/// Data connections do not pass here: the server names a port of its own for them.
public final class FaxTap: Sendable {
  public enum Moment: Sendable { case before, after }
  public struct Trap: Sendable {
    public var word: String
    public var moment: Moment
    /// On the thread of that connection; nothing passes before it returns. Then both ends are cut.
    public var spring: @Sendable () -> Void
    public init(_ word: String, _ moment: Moment, _ spring: @escaping @Sendable () -> Void) {
      self.word = word
      self.moment = moment
      self.spring = spring
    }
  }
  public let port: Int
  private let target: Int
  private let listener: Int32
  private let trap = Mutex<Trap?>(nil)

  public init(to target: Int) throws {
    self.target = target
    let listening = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = Self.address(0)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listening, $0, length) == 0 && listen(listening, 64) == 0 && getsockname(listening, $0, &length) == 0
      }
    }
    guard bound else { throw HylaFAXPeer.StartFailure(text: "no port for the tap") }
    _ = fcntl(listening, F_SETFD, FD_CLOEXEC)
    listener = listening
    port = Int(UInt16(bigEndian: address.sin_port))
    Thread.detachNewThread { [self] in
      while true {
        let client = accept(listening, nil, nil)
        guard client >= 0 else { return }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        Thread.detachNewThread { self.serve(client) }
      }
    }
  }

  /// Ends with the test's process otherwise.
  public func close() {
    shutdown(listener, Int32(SHUT_RDWR))
    _ = Glibc.close(listener)
  }

  /// Springs once.
  public func set(_ trap: Trap) { self.trap.withLock { $0 = trap } }
  public var isSprung: Bool { trap.withLock { $0 == nil } }

  private func serve(_ client: Int32) {
    let server = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    _ = fcntl(server, F_SETFD, FD_CLOEXEC)
    var address = Self.address(target)
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(server, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
    defer {
      Glibc.close(client)
      Glibc.close(server)
    }
    guard connected else { return }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      var ends = [
        pollfd(fd: client, events: Int16(POLLIN), revents: 0), pollfd(fd: server, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&ends, 2, -1) > 0 else { return }
      for (from, to) in [(0, server), (1, client)] where ends[from].revents != 0 {
        let count = read(ends[from].fd, &buffer, buffer.count)
        guard count > 0 else { return }
        let bytes = Array(buffer[..<count])
        let sprung = from == 0 ? take(bytes) : nil
        if let sprung, sprung.moment == .before {
          sprung.spring()
          return
        }
        guard Self.write(bytes, to: to) else { return }
        if let sprung {
          // The server has answered, so it has done it; the answer goes no further.
          _ = read(server, &buffer, buffer.count)
          sprung.spring()
          return
        }
      }
    }
  }

  private func take(_ bytes: [UInt8]) -> Trap? {
    let text = String(decoding: bytes, as: UTF8.self)
    return trap.withLock { trap in
      guard let set = trap, text.hasPrefix(set.word) || text.contains("\n" + set.word) else { return nil }
      trap = nil
      return set
    }
  }

  private static func write(_ bytes: [UInt8], to socket: Int32) -> Bool {
    var offset = 0
    while offset < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(socket, $0.baseAddress! + offset, bytes.count - offset, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      offset += count
    }
    return true
  }

  private static func address(_ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return address
  }
}

import Channels
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A stand-in for an Asterisk's manager interface: it speaks the wire, logs clients in, lists what exists, and either
/// replays a recording or lives through calls of its own (`StandInCalls`).
///
/// For `serve --demo`, tests and benchmarks; no substitute for trying the adapter on a real switch.
public final class AsteriskStandIn: Sendable {
  /// What a client gets to see after its login.
  public enum Programme: Sendable {
    /// Calls made up as they go.
    case calls
    /// One recording per connection, in this order; from the last one on nothing more. What was recorded before the
    /// first event is left out: the stand-in does its own login.
    case recordings([[UInt8]])
  }

  struct Peer: Sendable {
    var channel: any Channel
    var isLoggedIn = false
  }

  struct State: Sendable {
    var peers: [ObjectIdentifier: Peer] = [:]
    var connections = 0
    /// Lines of `Status` for what exists now, by Uniqueid.
    var rows: [String: String] = [:]
    var actions: [String] = []
    var orders: [[String: String]] = []
    var switchboard: StandInSwitchboard?
  }

  public let username: String
  public let secret: String
  private let programme: Programme
  /// Recorded bytes are sent in pieces of this size; nil sends all at once.
  private let piece: Int?
  /// Closes the first connection after so many recorded bytes.
  private let cut: Int?
  /// After a cut the next connection lists what lives and goes on behind it.
  private let resumes: Bool
  /// Whether `Status` is answered with an empty list, or left to the recording.
  private let answersStatus: Bool
  private let tls: NIOSSLContext?
  /// Orders that get no answer, as from a switch that is stuck.
  private let silentOn: Set<String>
  let state = Mutex(State())
  private let began = ContinuousClock.now

  public init(
    programme: Programme = .calls, username: String = "liaison", secret: String = "demo", piece: Int? = nil,
    cut: Int? = nil, resumes: Bool = false, answersStatus: Bool = true, tls: NIOSSLContext? = nil,
    silentOn: Set<String> = []
  ) {
    self.programme = programme
    self.username = username
    self.secret = secret
    self.piece = piece
    self.cut = cut
    self.resumes = resumes
    self.answersStatus = answersStatus
    self.tls = tls
    self.silentOn = silentOn
  }

  /// Listens until cancelled; tells the port it got.
  public func run(
    host: String = "127.0.0.1", port: Int = 0, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    listening: @Sendable (Int) -> Void
  ) async throws {
    let server = try await ServerBootstrap(group: group)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          if let tls = self.tls {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
          }
          try channel.pipeline.syncOperations.addHandler(StandInHandler(standIn: self))
        }
      }
      .bind(host: host, port: port).get()
    listening(server.localAddress?.port ?? 0)
    await withTaskCancellationHandler {
      // It closes when the task is cancelled, and for no other reason that matters.
      try? await server.closeFuture.get()
    } onCancel: {
      server.close(promise: nil)
    }
    for peer in state.withLock({ Array($0.peers.values) }) { peer.channel.close(promise: nil) }
  }

  /// The names of the actions received so far.
  public var actions: [String] { state.withLock { $0.actions } }
  /// The actions that are orders, with their headers (of those that repeat, the last).
  public var orders: [[String: String]] { state.withLock { $0.orders } }
  public var connections: Int { state.withLock { $0.connections } }

  /// Lets orders have their effects.
  func obey(_ switchboard: StandInSwitchboard) { state.withLock { $0.switchboard = switchboard } }

  /// Closes every connection, as a switch does that is stopped at once.
  public func hangUpOnEverybody() {
    for peer in state.withLock({ Array($0.peers.values) }) { peer.channel.close(promise: nil) }
  }

  /// Nothing exists any more, as after a switch was started anew.
  public func forget() { state.withLock { $0.rows = [:] } }

  /// One event to everybody who is logged in.
  public func tell(_ event: String, _ headers: [(String, String)]) {
    let now = Date().timeIntervalSince1970
    var text = "Event: \(event)\r\nPrivilege: call,all\r\nTimestamp: \(String(format: "%.6f", now))\r\n"
    for (key, value) in headers { text += "\(key): \(value)\r\n" }
    text += "\r\n"
    for peer in state.withLock({ $0.peers.values.filter(\.isLoggedIn) }) {
      peer.channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
    }
  }

  // MARK: One connection

  fileprivate func opened(_ channel: any Channel) {
    state.withLock { state in
      state.connections += 1
      state.peers[ObjectIdentifier(channel)] = Peer(channel: channel)
    }
    channel.writeAndFlush(ByteBuffer(string: "Asterisk Call Manager/11.0.0\r\n"), promise: nil)
  }

  fileprivate func closed(_ channel: any Channel) {
    state.withLock { $0.peers[ObjectIdentifier(channel)] = nil }
  }

  fileprivate func take(_ action: [(key: String, value: String)], from channel: any Channel) {
    let value = { (key: String) in action.first { $0.key.lowercased() == key.lowercased() }?.value }
    let name = value("Action") ?? ""
    let id = value("ActionID") ?? ""
    state.withLock { state in
      if state.actions.count < 10_000 { state.actions.append(name) }
    }
    let answer = { (word: String, message: String, more: String) in
      channel.writeAndFlush(
        ByteBuffer(string: "Response: \(word)\r\nActionID: \(id)\r\nMessage: \(message)\r\n\(more)\r\n"), promise: nil)
    }
    let isLoggedIn = state.withLock { $0.peers[ObjectIdentifier(channel)]?.isLoggedIn ?? false }
    switch name {
    case "Challenge":
      channel.writeAndFlush(
        ByteBuffer(string: "Response: Success\r\nActionID: \(id)\r\nChallenge: 160743694\r\n\r\n"), promise: nil)
    case "Login":
      let isRight = value("Username") == username && (value("Secret") == secret || value("Key") != nil)
      guard isRight else { return answer("Error", "Authentication failed", "") }
      answer("Success", "Authentication accepted", "")
      let uptime = 100 + (ContinuousClock.now - began).components.seconds
      channel.writeAndFlush(
        ByteBuffer(
          string:
            "Event: FullyBooted\r\nPrivilege: system,all\r\nUptime: \(uptime)\r\nLastReload: \(uptime)\r\nStatus: Fully Booted\r\n\r\n"
        ),
        promise: nil)
      let number = state.withLock { state in
        state.peers[ObjectIdentifier(channel)]?.isLoggedIn = true
        return state.connections
      }
      if case .recordings(let all) = programme, !answersStatus { replay(all, number, to: channel) }
    case _ where !isLoggedIn:
      answer("Error", "Permission denied", "")
    case "Status":
      guard answersStatus else { return }
      if resumes, case .recordings(let all) = programme, state.withLock({ $0.connections }) == 2, let cut {
        let bytes = played(all[0])
        if cut < bytes.count {
          let listing = StandInListing(of: bytes[..<eventEnd(after: cut, in: bytes)])
          state.withLock { $0.rows = listing.rows }
        }
      }
      let rows = state.withLock { Array($0.rows.values) }
      var text =
        "Response: Success\r\nActionID: \(id)\r\nEventList: start\r\nMessage: Channel status will follow\r\n\r\n"
      for row in rows { text += "Event: Status\r\nPrivilege: Call\r\n\(row)ActionID: \(id)\r\n\r\n" }
      text += "Event: StatusComplete\r\nActionID: \(id)\r\nEventList: Complete\r\nListItems: \(rows.count)\r\n\r\n"
      channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
      if case .recordings(let all) = programme { replay(all, state.withLock { $0.connections }, to: channel) }
    case "Ping":
      channel.writeAndFlush(
        ByteBuffer(string: "Response: Success\r\nActionID: \(id)\r\nPing: Pong\r\n\r\n"), promise: nil)
    case "Logoff":
      answer("Goodbye", "Thanks for all the fish.", "")
      channel.close(promise: nil)
    default:
      let headers = Dictionary(action.map { ($0.key, $0.value) }, uniquingKeysWith: { $1 })
      let switchboard = state.withLock { state in
        if !inquiries.contains(name), state.orders.count < 10_000 { state.orders.append(headers) }
        return state.switchboard
      }
      if silentOn.contains(name) { return }
      if let refusal = switchboard?.refusal(of: name, headers) { return answer("Error", refusal, "") }
      answer("Success", "\(name) taken", "")
      switchboard?.carryOut(name, headers)
    }
  }

  private func replay(_ recordings: [[UInt8]], _ connection: Int, to channel: any Channel) {
    let isRest = resumes && cut != nil && connection == 2
    guard connection >= 1, isRest || connection <= recordings.count else { return }
    var bytes = played(recordings[isRest ? 0 : connection - 1])
    let isCut = cut.map { $0 < bytes.count } ?? false && connection == 1
    if let cut, isCut { bytes.removeSubrange(cut...) }
    if let cut, isRest { bytes.removeSubrange(..<(cut < bytes.count ? eventEnd(after: cut, in: bytes) : bytes.count)) }
    let size = piece ?? max(1, bytes.count)
    var offset = 0
    while offset < bytes.count {
      let end = min(bytes.count, offset + size)
      channel.writeAndFlush(ByteBuffer(bytes: bytes[offset..<end]), promise: nil)
      offset = end
    }
    if isCut { channel.close(promise: nil) }
  }

  /// What of a recording is played: the stand-in does its own greeting and login.
  private func played(_ recording: [UInt8]) -> [UInt8] {
    var bytes = recording
    if let start = bytes.firstRange(of: Array("Event: FullyBooted".utf8)),
      let end = bytes[start.upperBound...].firstRange(of: Array("\r\n\r\n".utf8))
    {
      bytes.removeSubrange(0..<end.upperBound)
    } else if bytes.starts(with: Array("Asterisk".utf8)), let end = bytes.firstIndex(of: 0x0a) {
      bytes.removeSubrange(...end)
    }
    return bytes
  }

  /// Where the message ends that `place` is in.
  private func eventEnd(after place: Int, in bytes: [UInt8]) -> Int {
    bytes[max(0, place - 3)...].firstRange(of: Array("\r\n\r\n".utf8))?.upperBound ?? bytes.count
  }
}

/// What a client asks after its login without wanting anything done.
private let inquiries: Set<String> = ["Filter", "QueueStatus", "CoreShowChannels", "BridgeList", "BridgeInfo"]

/// Cuts a client's bytes into actions; confined to its event loop.
private final class StandInHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  private let standIn: AsteriskStandIn
  private var held: [UInt8] = []

  init(standIn: AsteriskStandIn) { self.standIn = standIn }

  func channelActive(context: ChannelHandlerContext) { standIn.opened(context.channel) }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    held += Array(buffer: unwrapInboundIn(data))
    if held.count > 65_536 { return context.close(promise: nil) }
    while let end = held.firstRange(of: Array("\r\n\r\n".utf8)) {
      let text = String(decoding: held[..<end.lowerBound], as: UTF8.self)
      held.removeSubrange(..<end.upperBound)
      let headers = text.components(separatedBy: "\r\n").compactMap { line -> (key: String, value: String)? in
        guard let colon = line.firstIndex(of: ":") else { return nil }
        return (String(line[..<colon]), line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces))
      }
      standIn.take(headers, from: context.channel)
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    standIn.closed(context.channel)
    context.fireChannelInactive()
  }
}

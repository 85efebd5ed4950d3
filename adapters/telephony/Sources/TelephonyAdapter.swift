import Channels
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Telephony through the manager interfaces of one or several Asterisk servers.
///
/// Every change of a call and of an agent's place in a queue is offered as one arrival, with the bytes of the message
/// that told it; changes that come together before anybody is rung are one (`ArrivalLane`). Changes of one call are offered in order, those of different calls side by side. The wire gives an
/// event no identity, so arrivals have no wire key; each carries the whole state of its call, so applying one twice
/// does no harm. After a loss of the connection the switch lists what exists, and each call that lived, began or
/// ended meanwhile is told as `.reconciled`.
public final class TelephonyAdapter: ChannelAdapter {
  public let channel: ContactChannel
  public let capabilities: Capabilities

  let links: [AMILink]
  private let configuration: TelephonyConfiguration
  private let known: @Sendable (String) async -> [CallState]
  /// Answers dial plans while the channel runs; nil where nobody asks.
  private let agi: AGIListener?
  private let logger: Logger
  private let drain = DrainSignal()
  /// Changes that wait for `accept`, and all that ever did.
  let backlog = Atomic<Int>(0)
  let offered = Atomic<Int>(0)
  private static let lanes = 16

  /// `known` gives the calls of a server that were open when the process ended, so that they can be closed or
  /// resumed; it is asked once per server, before the first connection.
  public init(
    configuration: TelephonyConfiguration, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
    logger: Logger = Logger(label: "liaison.telephony"), agi: AGIListener? = nil,
    known: @escaping @Sendable (String) async -> [CallState] = { _ in [] }
  ) {
    self.configuration = configuration
    self.known = known
    self.agi = agi
    self.logger = logger
    channel = ContactChannel(kind: .telephony, name: configuration.channel)
    capabilities = Capabilities(
      abilities: [.receives, .calls], maximumArrivalBytes: configuration.limits.messageBytes)
    links = configuration.servers.map {
      AMILink(server: $0, configuration: configuration, group: group, logger: logger)
    }
  }

  public func run(accept: @escaping Accept) async throws {
    let lanes = (0..<Self.lanes).map { _ in ArrivalLane() }
    await withTaskGroup(of: Void.self) { group in
      for lane in lanes {
        group.addTask {
          while let item = await lane.next() {
            await self.offer(item.arrival, to: accept)
            self.backlog.subtract(item.count, ordering: .relaxed)
          }
        }
      }
      await withTaskGroup(of: Void.self) { connections in
        for link in self.links {
          connections.addTask { await self.keep(link) { arrivals in self.enqueue(arrivals, in: lanes) } }
        }
        if let agi = self.agi { connections.addTask { await agi.run() } }
        connections.addTask { await self.drain.wait() }
        // Whichever comes first, a drain or the end of all connections, ends the rest.
        await connections.next()
        connections.cancelAll()
      }
      for lane in lanes { lane.finish() }
    }
  }

  /// Keeps one server connected until cancelled.
  private func keep(_ link: AMILink, enqueue: @escaping @Sendable ([Arrival]) -> Bool) async {
    var delay = configuration.reconnectDelay
    let channel = self.channel
    while !Task.isCancelled {
      let start = Timestamp.now
      do {
        try await link.serve(known: known) { messages, time in
          enqueue(
            messages.flatMap { updates, raw in
              updates.map { Arrival($0, channel: channel, raw: raw, at: time) }
            })
        }
      } catch {
        link.failed(error)
      }
      if Task.isCancelled { return }
      // A connection that held for a while begins the series anew.
      if Timestamp.now - start > .seconds(10) { delay = configuration.reconnectDelay }
      do {
        repeat {
          try await Task.sleep(for: delay)
        } while backlog.load(ordering: .relaxed) > configuration.maximumBacklog / 2
      } catch { return }
      delay = min(delay * 2, configuration.longestReconnectDelay)
    }
  }

  /// False when too much waits; the arrivals themselves are kept all the same.
  private func enqueue(_ arrivals: [Arrival], in lanes: [ArrivalLane]) -> Bool {
    var byLane: [Int: [Arrival]] = [:]
    for arrival in arrivals {
      let key: String
      switch arrival.payload {
      case .call(let event): key = event.call.callID
      case .presence(let presence): key = presence.device
      case .message, .report, .unreadable: key = ""
      }
      byLane[Int(UInt(bitPattern: key.hashValue) % UInt(lanes.count)), default: []].append(arrival)
    }
    offered.add(arrivals.count, ordering: .relaxed)
    let waiting = backlog.add(arrivals.count, ordering: .relaxed).newValue
    for (lane, arrivals) in byLane { lanes[lane].append(arrivals) }
    return waiting < configuration.maximumBacklog
  }

  private func offer(_ arrival: Arrival, to accept: Accept) async {
    while true {
      switch await accept(arrival) {
      case .stored, .duplicate: return
      case .busy(let retryAfter):
        // When cancelled, the list after the next start tells it again.
        do { try await Task.sleep(for: retryAfter) } catch { return }
      case .refused(let refusal):
        return logger.error(
          "a call event was refused", metadata: ["refusal.code": .string(refusal.code.rawValue)])
      }
    }
  }

  // MARK: Nothing is submitted: calls are made by `CallControl`

  public func wireIdentity(of attempt: AttemptID) -> String { "liaison-\(attempt)" }

  public func submit(_ dispatch: Dispatch) async -> Submission {
    .rejected(Fault(.unsupported, text: "telephony takes no messages; calls are made by call control"))
  }

  public func inquire(about dispatch: Dispatch) async -> Submission {
    .rejected(Fault(.unsupported, text: "telephony takes no messages; calls are made by call control"))
  }

  // MARK: Health

  public var health: Health {
    get async {
      let states = links.map { link in
        link.state.withLock {
          (name: link.server.name, isUp: $0.isUp, since: $0.since, text: $0.text, last: $0.lastArrivalAt)
        }
      }
      let up = states.filter(\.isUp)
      var problems = states.compactMap { state in state.text.map { "\(state.name): \($0)" } }
      var state: Health.State =
        drain.isSet ? .draining : up.count == states.count ? .up : up.isEmpty ? .down : .degraded
      if let problem = agi?.problem {
        problems.append(problem)
        if state == .up { state = .degraded }
      }
      return Health(
        state: state, since: states.map(\.since).max() ?? .now,
        text: problems.isEmpty ? nil : problems.joined(separator: "; "), lastArrivalAt: states.compactMap(\.last).max())
    }
  }

  public func beginDrain() { drain.set() }
}

/// Set once; whoever waits for it goes on.
final class DrainSignal: Sendable {
  private let state = Mutex<(isSet: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

  var isSet: Bool { state.withLock { $0.isSet } }

  func set() {
    let waiting = state.withLock { state in
      state.isSet = true
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Returns when set, or when the task is cancelled.
  func wait() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let goesOn = state.withLock { state in
          if state.isSet || Task.isCancelled { return true }
          state.waiting.append(continuation)
          return false
        }
        if goesOn { continuation.resume() }
      }
    } onCancel: {
      // Frees this wait, and others on the same signal, which look again.
      let waiting = state.withLock { state in
        defer { state.waiting = [] }
        return state.waiting
      }
      for continuation in waiting { continuation.resume() }
    }
  }
}

extension Arrival {
  init(_ update: TelephonyUpdate, channel: ContactChannel, raw: [UInt8], at time: Timestamp) {
    switch update {
    case .call(let event):
      self.init(
        channel: channel, wireKey: nil, from: event.call.caller, to: event.call.dialled, receivedAt: time,
        payload: .call(event), raw: raw)
    case .presence(let presence):
      self.init(
        channel: channel, wireKey: nil, from: nil, to: nil, receivedAt: time, payload: .presence(presence), raw: raw)
    }
  }
}

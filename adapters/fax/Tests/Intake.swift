import Channels
import Foundation
import Logging
import NIOCore
import NIOPosix
import Synchronization

@testable import Fax

/// Keeps what an adapter offers and answers as the store would: the first of a wire key is stored, the next a
/// duplicate.
final class KeptArrivals: Sendable {
  private struct State {
    var kept: [Arrival] = []
    var keys: [String: ArrivalID] = [:]
    var duplicates = 0
    var refusals = 0
    var waiting:
      [(matches: @Sendable (Arrival) -> Bool, continuation: CheckedContinuation<Arrival?, Never>, id: UUID)] = []
  }
  private let state = Mutex(State())
  /// So many offers are answered with busy before any is taken.
  private let busyFirst: Mutex<Int>

  init(busyFirst: Int = 0) { self.busyFirst = Mutex(busyFirst) }

  var all: [Arrival] { state.withLock { $0.kept } }
  var duplicates: Int { state.withLock { $0.duplicates } }

  func accept(_ arrival: Arrival) -> Acceptance {
    let busy = busyFirst.withLock { left in
      left -= 1
      return left >= 0
    }
    if busy { return .busy(retryAfter: .milliseconds(100)) }
    let (acceptance, wake) = state.withLock { state -> (Acceptance, [CheckedContinuation<Arrival?, Never>]) in
      if let key = arrival.wireKey, let first = state.keys[key] {
        state.duplicates += 1
        return (.duplicate(of: first), [])
      }
      let id = ArrivalID(at: arrival.receivedAt)
      if let key = arrival.wireKey { state.keys[key] = id }
      state.kept.append(arrival)
      let wake = state.waiting.filter { $0.matches(arrival) }.map(\.continuation)
      state.waiting.removeAll { $0.matches(arrival) }
      return (.stored(id), wake)
    }
    for continuation in wake { continuation.resume(returning: arrival) }
    return acceptance
  }

  /// The first arrival that matches, kept already or to come; nil after `limit`.
  func first(within limit: Duration = .seconds(20), where matches: @escaping @Sendable (Arrival) -> Bool) async
    -> Arrival?
  {
    let id = UUID()
    return await withTaskGroup { tasks in
      tasks.addTask {
        await withCheckedContinuation { continuation in
          let found = self.state.withLock { state -> Arrival? in
            if let found = state.kept.first(where: matches) { return found }
            state.waiting.append((matches, continuation, id))
            return nil
          }
          if let found { continuation.resume(returning: found) }
        }
      }
      tasks.addTask {
        try? await Task.sleep(for: limit)  // the deadline of the wait, not a pause; ends early by cancellation
        let late = self.state.withLock { state in
          defer { state.waiting.removeAll { $0.id == id } }
          return state.waiting.filter { $0.id == id }.map(\.continuation)
        }
        for continuation in late { continuation.resume(returning: nil) }
        return nil
      }
      let first = await tasks.next() ?? nil
      tasks.cancelAll()
      return first
    }
  }

  /// The fax that came as this file of recvq.
  func fax(_ file: String) async -> Arrival? { await first { $0.wireKey?.contains(file) == true } }

  func report(of wireIdentity: String, within limit: Duration = .seconds(20)) async -> DeliveryReport? {
    let arrival = await first(within: limit) { $0.report?.wireIdentity == wireIdentity }
    return arrival?.report
  }
}

extension Arrival {
  var report: DeliveryReport? {
    if case .report(let report) = payload { return report }
    return nil
  }
  var message: InboundMessage? {
    if case .message(let message) = payload { return message }
    return nil
  }
}
extension InboundMessage {
  func property(_ key: String) -> String? { properties.first { $0.key == key }?.value }
}

@Sendable func systemTime() -> Timestamp { Timestamp(microseconds: Int64(Date().timeIntervalSince1970 * 1_000_000)) }

/// An adapter at work on `servers` while `body` runs; drained and waited for afterwards.
func withAdapter<Value: Sendable>(
  _ servers: [FaxServer], keeping kept: KeptArrivals, change: (inout FaxConfiguration) -> Void = { _ in },
  _ body: @Sendable (FaxAdapter) async throws -> Value
) async throws -> Value {
  var configuration = FaxConfiguration(channel: ContactChannel(kind: .fax, name: "fax"), servers: servers)
  configuration.sweepInterval = .seconds(2)
  configuration.receiveGrace = .seconds(1)
  change(&configuration)
  var logger = Logger(label: "fax-test")
  logger.logLevel = .critical
  let work = NIOThreadPool(numberOfThreads: 2)
  work.start()
  let adapter = FaxAdapter(
    configuration, group: MultiThreadedEventLoopGroup.singleton, work: work, logger: logger, clock: systemTime)
  let result: Result<Value, any Error> = await withTaskGroup { tasks in
    tasks.addTask {
      do {
        try await adapter.run { kept.accept($0) }
      } catch {}  // never throws; the protocol allows it
    }
    let result: Result<Value, any Error>
    do { result = .success(try await body(adapter)) } catch { result = .failure(error) }
    adapter.beginDrain()
    await tasks.waitForAll()
    return result
  }
  try await work.shutdownGracefully()
  return try result.get()
}

func dispatch(
  to number: String, _ attachments: [[UInt8]], attempt: AttemptID = AttemptID(at: systemTime()), text: String = "",
  options: [String: String] = [:], expires: Timestamp? = nil
) -> Dispatch {
  Dispatch(
    key: "job", attempt: attempt, wireIdentity: attempt.description,
    to: Address(kind: .fax, canonical: number, raw: number), from: nil,
    content: Dispatch.Content(
      text: text, attachments: attachments.map { .init(name: nil, mediaType: "image/tiff", bytes: $0) },
      options: options),
    expires: expires)
}

import AsyncHTTPClient
import Foundation
import LiaisonForTests
import NIOCore
import NIOHTTP1
import Synchronization

/// The customers of the crash test: each posts form after form under a key of its own, repeats what was not answered,
/// and now and then what was. What they were told is the list the store is held against.
final class Senders: Sendable {
  struct Key: Sendable {
    /// Every reference number told for it; all must be the same.
    var references: [String] = []
    var posts = 0
  }
  struct Counts: Sendable {
    var posts = 0
    var acknowledged = 0
    var unanswered = 0
    var busy = 0
    var repeated = 0
    var unexpected: [String] = []
  }
  private struct State {
    var keys: [String: Key] = [:]
    var counts = Counts()
    var generation = 0
    var address: String?
    var waiters: [CheckedContinuation<Void, Never>] = []
    var isOver = false
  }
  private let state = Mutex(State())
  private let seed: UInt64
  private let client: HTTPClient

  init(seed: UInt64) {
    self.seed = seed
    // A daemon that is gone is known to be gone at once: its address never comes back.
    var configuration = HTTPClient.Configuration()
    configuration.connectionPool.retryConnectionEstablishment = false
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  var keys: [String: Key] { state.withLock { $0.keys } }
  var counts: Counts { state.withLock { $0.counts } }

  /// The daemon is there again.
  func serve(at address: String) {
    let waiters = state.withLock { state in
      state.address = address
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// The daemon is gone: nobody posts until it is there again.
  func pause() { state.withLock { $0.address = nil } }

  /// Everybody ends with the form in hand.
  func finish() { state.withLock { $0.isOver = true } }

  /// Posts until `finish`, and until every key that was posted is acknowledged.
  func run(_ count: Int) async {
    await withTaskGroup(of: Void.self) { group in
      for number in 0..<count { group.addTask { await self.send(number) } }
    }
    // Nothing is under way any more; what cannot be closed goes with the process.
    try? await client.shutdown()
  }

  private func send(_ number: Int) async {
    var random = SplitMix(state: seed &+ UInt64(number) &* 7_919)
    var form = 0
    while !state.withLock({ $0.isOver }) {
      form += 1
      let key = "s\(number)-\(form)"
      await deliver(key, number, form)
      // A double click: the same once more, as if nobody had answered.
      if random.next() % 6 == 0 {
        state.withLock { $0.counts.repeated += 1 }
        await deliver(key, number, form)
      }
    }
  }

  /// Returns once it is acknowledged.
  private func deliver(_ key: String, _ number: Int, _ form: Int) async {
    while true {
      let address = await address()
      state.withLock { state in
        state.counts.posts += 1
        state.keys[key, default: Key()].posts += 1
      }
      do {
        let (status, reference) = try await post(key, number, form, to: address)
        if status == 202, let reference {
          state.withLock { state in
            state.counts.acknowledged += 1
            state.keys[key]!.references.append(reference)
          }
          return
        }
        let isBusy = status == 503 || status == 429
        state.withLock { state in
          if isBusy { state.counts.busy += 1 } else { state.counts.unexpected.append("\(key): HTTP \(status)") }
        }
        if !isBusy { return }
      } catch {
        state.withLock { $0.counts.unanswered += 1 }
      }
      // Only so that an address that refuses everything is not hammered.
      do { try await Task.sleep(for: .milliseconds(5)) } catch { return }
    }
  }

  private func address() async -> String {
    while true {
      if let address = state.withLock({ $0.address }) { return address }
      await withCheckedContinuation { continuation in
        let isThere = state.withLock { state in
          if state.address == nil { state.waiters.append(continuation) }
          return state.address != nil
        }
        if isThere { continuation.resume() }
      }
    }
  }

  private struct Answer: Decodable { var reference: String }

  private func post(_ key: String, _ number: Int, _ form: Int, to address: String) async throws -> (UInt, String?) {
    var request = HTTPClientRequest(url: address + "/forms/zh/consultation")
    request.method = .POST
    request.headers.add(name: "Content-Type", value: "application/json")
    request.headers.add(name: "Accept", value: "application/json")
    request.headers.add(name: "Idempotency-Key", value: key)
    let body = """
      {"fields": {"name": "寄件人\(number)", "phone": "+8610070\(100_000 + number)", "topic": "deposit",
       "question": "第 \(form) 个问题：三年期定期存款的利率是多少？ \(key)"},
       "consents": {"personal_data": true}, "reply_by": "phone"}
      """
    request.body = .bytes(ByteBuffer(string: body))
    let answer = try await client.execute(request, timeout: .seconds(10))
    let bytes = try await answer.body.collect(upTo: 1 << 20)
    guard answer.status == .accepted else { return (answer.status.code, nil) }
    return (202, try JSONDecoder().decode(Answer.self, from: Data(bytes.readableBytesView)).reference)
  }
}

/// A generator whose sequence its seed fixes (Vigna, "SplitMix64").
struct SplitMix: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }
}

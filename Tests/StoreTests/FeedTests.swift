import Store
import Testing

@Suite struct FeedTests {
  struct Told: Sendable, Equatable { var id: Int64 }

  @Test(arguments: Engine.here)
  func `subscribers hear of commits in their order, and of nothing else`(engine: Engine) async throws {
    struct Undone: Error {}
    let database = try engine.open()
    let heard = Shared<[Int64]>([])
    let observation = database.observe { values in
      heard.withLock { $0 += values.compactMap { ($0 as? Told)?.id } }
    }
    let subscription = database.subscribe(to: Told.self, limit: 10_000)
    let order = Shared<[Int64]>([])
    try await withThrowingTaskGroup(of: Void.self) { group in
      for id in 0..<500 as Range<Int64> {
        group.addTask {
          do {
            try await database.write { tx in
              try tx.execute("INSERT INTO author (id, name) VALUES ($1, $2)", [.int(id), "x"])
              tx.afterCommit(Told(id: id))
              tx.afterCommit("another type")
              try? tx.savepoint {  // its own announcement goes with it
                tx.afterCommit(Told(id: -1))
                throw Undone()
              }
              if id % 5 == 0 { throw Undone() }
              order.withLock { $0.append(id) }
            }
            #expect(heard.withLock { $0.contains(id) }, "observers hear before the writer resumes")
          } catch is Undone {
            #expect(id % 5 == 0)
          }
        }
      }
      try await group.waitForAll()
    }
    await database.close()
    var received: [Int64] = []
    for await element in subscription {
      guard case .value(let told) = element else {
        Issue.record("nothing was missed")
        break
      }
      received.append(told.id)
    }
    #expect(received == order.withLock { $0 })
    #expect(received == heard.withLock { $0 })
    #expect(received.count == 400)
    observation.cancel()
  }

  @Test func `a slow subscriber is told what he missed and goes on with the newest`() async throws {
    let database = try Engine.sqlite.open()
    let subscription = database.subscribe(to: Told.self, limit: 10)
    for id in 0..<25 as Range<Int64> { try await database.write { $0.afterCommit(Told(id: id)) } }
    var iterator = subscription.makeAsyncIterator()
    guard case .missed(let count) = await iterator.next() else {
      Issue.record("the overflow was not told")
      return
    }
    var rest: [Int64] = []
    for _ in count..<25 {
      if case .value(let told) = await iterator.next() { rest.append(told.id) }
    }
    #expect(rest == Array(Int64(count)..<25))
    #expect(count >= 11)
    await database.close()
    #expect(await iterator.next() == nil)
  }

  @Test func `a subscription ends with its task`() async throws {
    let database = try Engine.sqlite.open()
    let subscription = database.subscribe(to: Told.self)
    let task = Task {
      for await _ in subscription {}
      return true
    }
    task.cancel()
    #expect(await task.value)
    await database.close()
    let late = database.subscribe(to: Told.self)
    for await _ in late { Issue.record("a closed store announces nothing") }
  }

  @Test func `a cancelled observer hears no more`() async throws {
    let database = try Engine.sqlite.open()
    let count = Shared(0)
    let observation = database.observe { _ in count.withLock { $0 += 1 } }
    try await database.write { $0.afterCommit(Told(id: 1)) }
    observation.cancel()
    try await database.write { $0.afterCommit(Told(id: 2)) }
    #expect(count.withLock { $0 } == 1)
    await database.close()
  }
}

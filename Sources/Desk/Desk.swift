import Channels
import ContactModel
import Logging
import Store
import Synchronization

/// People at work: shows every contact that needs somebody to the agents who can take it.
///
/// Follows the committed events; whatever waits unseen when the daemon starts is shown then. All that gathered during
/// one commit is offered in the next, so showing costs one fsync however much arrives.
public final class Desk: Sendable {
  private let database: Database
  private let now: @Sendable () -> Timestamp
  private let logger: Logger
  private let waiting = Mutex<[ContactID]>([])
  private let isDraining = Atomic(false)
  private let wake: AsyncStream<Void>
  private let waker: AsyncStream<Void>.Continuation
  /// More than this waiting in memory is left to the search of the store.
  private static let mostWaiting = 10_000

  public init(database: Database, now: @escaping @Sendable () -> Timestamp, logger: Logger) {
    self.database = database
    self.now = now
    self.logger = logger
    (wake, waker) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
  }

  /// Offers until `beginDrain` or cancellation.
  public func run() async {
    let observation = database.observe { [self] values in
      let contacts = values.compactMap { value -> ContactID? in
        guard let event = value as? EventRecord else { return nil }
        switch event.type {
        case .requestOpened, .requestUpdated, .requestReopened: return event.contact
        default: return nil
        }
      }
      guard !contacts.isEmpty else { return }
      waiting.withLock { if $0.count < Self.mostWaiting { $0 += contacts } }
      waker.yield()
    }
    defer { observation.cancel() }
    await searchStore()
    for await _ in wake {
      if Task.isCancelled { break }
      var batch = take()
      let overflowed = batch.count >= Self.mostWaiting
      var isSearchDue = overflowed
      while !batch.isEmpty {
        if await offer(Array(batch.prefix(100))) == nil { isSearchDue = true }
        batch.removeFirst(min(100, batch.count))
      }
      if isSearchDue { await searchStore() }
    }
  }

  public func beginDrain() {
    isDraining.store(true, ordering: .relaxed)
    waker.finish()
  }

  private func take() -> [ContactID] {
    waiting.withLock { waiting in
      defer { waiting = [] }
      return waiting
    }
  }

  /// Offers whatever waits unseen in the store. A store that does not answer is asked again each second, so that
  /// nothing waits for the next start.
  private func searchStore() async {
    while !Task.isCancelled, !isDraining.load(ordering: .relaxed) {
      do {
        let found = try await database.read { try $0.contactsToOffer(limit: 100) }
        guard !found.isEmpty else { return }
        if let shown = await offer(found) {
          guard shown > 0 else { return }
          continue
        }
      } catch {
        logger.error("Contacts waiting to be offered could not be searched.", metadata: ["fault.text": "\(error)"])
      }
      do { try await Task.sleep(for: .seconds(1)) } catch { return }
    }
  }

  /// How many of them were shown; nil if the store could not do it now.
  private func offer(_ contacts: [ContactID]) async -> Int? {
    let time = now()
    let logger = logger
    do {
      return try await database.write { transaction in
        var shown = 0
        for contact in contacts {
          do {
            let isShown = try transaction.savepoint {
              try transaction.offer(contact, at: time) { connection, contact, request in
                try JSONText.encode(try connection.screenPop(of: contact, in: request))
              }
            }
            if isShown { shown += 1 }
          } catch let error as DatabaseError where error.kind != .misuse && error.kind != .check {
            throw error
          } catch {
            logger.error(
              "A contact could not be offered.", metadata: ["contact.id": "\(contact)", "fault.text": "\(error)"])
          }
        }
        return shown
      }
    } catch {
      logger.error("Contacts could not be offered now.", metadata: ["fault.text": "\(error)"])
      return nil
    }
  }
}

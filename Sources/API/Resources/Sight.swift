import Channels
import ContactModel
import Store
import Synchronization

/// A customer who was shown, and in what.
struct Sight: Hashable, Sendable {
  var customer: CustomerNumber?
  var subject: String
}

/// One sight per customer, under the first thing in which it was shown.
func sights(_ shown: some Sequence<(CustomerNumber?, String)>) -> [Sight] {
  var known = Set<CustomerNumber>()
  return shown.compactMap { customer, subject in
    guard let customer, known.insert(customer).inserted else { return nil }
    return Sight(customer: customer, subject: subject)
  }
}

extension JSONValue {
  /// Every customer a value names, wherever in it: nothing is shown that is not on record, whatever the shape.
  var customers: Set<CustomerNumber> {
    var found = Set<CustomerNumber>()
    collect(into: &found)
    return found
  }

  private func collect(into found: inout Set<CustomerNumber>) {
    switch self {
    case .array(let elements): for element in elements { element.collect(into: &found) }
    case .object(let object):
      for member in object.members {
        if let text = member.value.string {
          switch member.name {
          case "customer_no", "customer_no_r", "merged_into":
            if let number = CustomerNumber(text) { found.insert(number) }
          default: break
          }
        } else {
          member.value.collect(into: &found)
        }
      }
    case .null, .bool, .integer, .number, .string: break
    }
  }
}

extension [Sight] {
  /// With those a reply names besides, under `subject`.
  func completed(by value: JSONValue, subject: String) -> [Sight] {
    let known = Set(compactMap(\.customer))
    return self + value.customers.subtracting(known).sorted().map { Sight(customer: $0, subject: subject) }
  }
}

extension AuditEntry {
  init(_ sight: Sight, by actor: Actor, purpose: String, at time: Timestamp) {
    self.init(
      at: time, actor: actor.label, role: actor.role, act: "read", subject: sight.subject, customerNo: sight.customer,
      purpose: purpose)
  }
}

/// Puts on record whom streams showed to whom: what comes while one transaction is written is the next one.
///
/// In the bulk lane and for as long as a turn there lasts, so that a screen pop never waits for the record of another.
final class ReadJournal: Sendable {
  private struct Note {
    var entries: [AuditEntry]
    var continuation: CheckedContinuation<Void, any Error>
  }
  private struct State {
    var waiting: [Note] = []
    var isWriting = false
  }
  /// Rows of one transaction at most, and those written whatever the time.
  private static let batch = 500
  private static let leastBatch = 32
  private let database: Database
  private let state = Mutex(State())

  init(_ database: Database) { self.database = database }

  /// Returns when it is durable. Not cancelled with its caller: what was shown was shown.
  func record(_ entries: [AuditEntry]) async throws {
    guard !entries.isEmpty else { return }
    try await withCheckedThrowingContinuation { continuation in
      let begins = state.withLock { state in
        state.waiting.append(Note(entries: entries, continuation: continuation))
        defer { state.isWriting = true }
        return !state.isWriting
      }
      // Ends by itself when nothing waits; the store's end makes it throw.
      if begins { Task { await writeAll() } }
    }
  }

  private func writeAll() async {
    while let notes = next() {
      do {
        let done = try await database.write(.bulk) { transaction in
          var (done, rows) = (0, 0)
          for note in notes {
            if rows >= Self.leastBatch, transaction.isTimeUp { break }
            for entry in note.entries { try transaction.audit(entry) }
            rows += note.entries.count
            done += 1
          }
          return done
        }
        end(done)
        for note in notes.prefix(done) { note.continuation.resume() }
      } catch {
        end(notes.count)
        for note in notes { note.continuation.resume(throwing: error) }
      }
    }
  }

  private func end(_ count: Int) { state.withLock { $0.waiting.removeFirst(count) } }

  private func next() -> [Note]? {
    state.withLock { state in
      var count = 0
      let taken = state.waiting.prefix { note in
        defer { count += note.entries.count }
        return count < Self.batch
      }
      guard !taken.isEmpty else {
        state.isWriting = false
        return nil
      }
      return Array(taken)
    }
  }
}

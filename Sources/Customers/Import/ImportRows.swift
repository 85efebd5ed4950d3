import Channels
import ContactModel
import Store

/// The rows of one file, read and understood ahead of the writer on a thread of their own.
///
/// Reading is work for a processor, not for the store: here it takes no time of the writer and none of the threads that
/// serve live work, before which it also stands back.
final class ImportRows: @unchecked Sendable {
  // Invariant: `reader` and `seen` are touched on the one thread of `threads` only, after `init`.
  struct Batch: Sendable {
    var rows: [ImportRow]
    /// How much of the file is behind it.
    var bytesRead: Int
    /// Nothing follows.
    var isLast: Bool
  }

  private var reader: TableReader
  private let kind: Importer.Kind
  private let size: Int
  /// Rows up to this one were done by an earlier run.
  private let done: Int
  /// By hash: ten million keys as texts would not fit where their hashes do. Two alike in 10⁷ are one chance in 10⁵.
  private var seen = Set<Int>()
  private let threads = BlockingThreads(1, name: "import", isBulk: true)

  init(_ reader: TableReader, kind: Importer.Kind, size: Int, after done: Int) {
    self.reader = reader
    self.kind = kind
    self.size = size
    self.done = done
  }

  func next(_ count: Int) async throws -> Batch { try await threads.run { [self] in try read(count) } }

  private func read(_ count: Int) throws -> Batch {
    var rows: [ImportRow] = []
    rows.reserveCapacity(count)
    while rows.count < count {
      guard let row = try reader.next() else { return Batch(rows: rows, bytesRead: size, isLast: true) }
      let isFirst = kind.key(of: row).map { seen.insert($0.hashValue).inserted } ?? true
      if row.number <= done { continue }
      rows.append(
        ImportRow(
          number: row.number,
          content: isFirst ? kind.content(of: row) : .fault(ImportFault(.duplicate, kind.requiredColumns[0]))))
    }
    return Batch(rows: rows, bytesRead: min(reader.bytesRead, size), isLast: false)
  }
}

/// A row as far as it can be understood without the store.
struct ImportRow: Sendable {
  var number: Int
  var content: Content
  enum Content: Sendable {
    case customer(CustomerRecord, nameFolded: String)
    case fields(ImportFields)
    case fault(ImportFault)
  }
}

/// Codes the rows of one transaction refer to, each looked up once.
final class ImportReferences {
  private let transaction: WriteTransaction
  private var types: [Code: Bool] = [:]
  private var departments: [Code: Bool] = [:]
  private var agents: [AgentID: Bool] = [:]
  init(_ transaction: WriteTransaction) { self.transaction = transaction }

  func hasType(_ code: Code) throws -> Bool { try known(code, &types, transaction.hasCustomerType) }
  func hasDepartment(_ code: Code) throws -> Bool { try known(code, &departments, transaction.hasDepartment) }
  func hasAgent(_ id: AgentID) throws -> Bool { try known(id, &agents) { try transaction.agent($0) != nil } }

  private func known<Key: Hashable>(
    _ key: Key, _ table: inout [Key: Bool], _ look: (Key) throws -> Bool
  ) throws -> Bool {
    if let answer = table[key] { return answer }
    let answer = try look(key)
    table[key] = answer
    return answer
  }
}

import Channels

/// One page of a list: how many rows, after which, and the cursor of the next.
///
/// One row more than asked for is read, to know whether there is a next page.
struct Page {
  let size: Int
  /// Sort keys of the last row of the page before; empty on the first.
  let after: [JSONValue]
  private let signer: CursorSigner
  private let query: String

  /// The cursor is bound to operation and filters, so that it cannot be used with others.
  init(_ call: Call, _ signer: CursorSigner) throws {
    size = call.pageSize
    self.signer = signer
    let query =
      call.operationID
      + call.parameters.filter { $0.key != "cursor" && $0.key != "page_size" }
      .sorted { $0.key < $1.key }.map { "\n\($0.key)=\($0.value.text)" }.joined()
    self.query = query
    after = try call.text("cursor").map { text in try signer.keys(in: text, query: query) } ?? []
  }

  var limit: Int { size + 1 }

  /// Names the page after a row.
  func cursor(after keys: [JSONValue]) -> String { signer.cursor(after: keys, query: query) }

  func reply<Row>(_ rows: [Row], keys: (Row) -> [JSONValue], json: (Row) throws -> JSONValue) rethrows -> Reply {
    let shown = rows.prefix(size)
    let next = rows.count > size ? shown.last.map { signer.cursor(after: keys($0), query: query) } : nil
    return .page(try shown.map(json), next: next)
  }

  /// The last row's id, where lists are sorted by it alone.
  func last<Value: LosslessStringConvertible>() throws -> Value? {
    guard let key = after.first else { return nil }
    guard let value = key.string.flatMap({ Value($0) }) else { throw Problem(.invalidCursor) }
    return value
  }
}

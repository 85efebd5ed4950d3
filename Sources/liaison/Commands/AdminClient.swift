import ArgumentParser
import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Where the daemon is that a command talks to: its admin socket, whose file permission is the authentication.
struct DaemonLocation: ParsableArguments {
  @Option(name: .long, help: "The daemon's wiring; names the admin socket.")
  var config = "/etc/liaison/liaison.yaml"
  @Flag(name: .long, help: "The daemon started by serve --demo in this folder.")
  var demo = false
  @Option(name: .long, help: "The admin socket itself.")
  var socket: String?

  func client() throws -> AdminClient {
    if let socket { return AdminClient(socket: socket) }
    return AdminClient(socket: try wiring().admin.socket)
  }
  func wiring() throws -> Configuration { demo ? try demoConfiguration([]) : try readConfiguration(config) }
}

/// Calls operations of the running daemon over its admin socket.
struct AdminClient: Sendable {
  let socket: String

  /// One operation; answers its JSON. A refusal is thrown with the words of its problem.
  func call(
    _ method: HTTPMethod, _ path: String, body: JSONObjectText? = nil, query: [String: String?] = [:]
  ) async throws -> JSONTree {
    let bytes = try await bytes(method, path, body: body, query: query)
    return bytes.isEmpty ? JSONTree(value: [String: Any]()) : try JSONTree(bytes)
  }

  func bytes(
    _ method: HTTPMethod, _ path: String, body: JSONObjectText? = nil, query: [String: String?] = [:]
  ) async throws -> [UInt8] {
    let response = try await execute(method, path, body: body, query: query, timeout: .seconds(120))
    let collected = try await response.body.collect(upTo: 1 << 28)
    let bytes = Array(collected.readableBytesView)
    guard (200..<300).contains(response.status.code) else { throw refusal(response.status, bytes) }
    return bytes
  }

  /// A stream of server-sent events: type, id and data of each, until it ends.
  func events(_ path: String, after last: String?, _ each: (String, String, String) async throws -> Void) async throws {
    var headers = HTTPHeaders([("Accept", "text/event-stream")])
    if let last { headers.add(name: "Last-Event-ID", value: last) }
    let response = try await execute(.GET, path, body: nil, query: [:], headers: headers, timeout: .hours(24 * 365))
    guard response.status == .ok else {
      throw refusal(response.status, Array(try await response.body.collect(upTo: 1 << 20).readableBytesView))
    }
    var buffer: [UInt8] = []
    for try await part in response.body {
      buffer += part.readableBytesView
      while let end = buffer.firstRange(of: [10, 10]) {
        let text = String(decoding: buffer[..<end.lowerBound], as: UTF8.self)
        buffer.removeSubrange(..<end.upperBound)
        var fields: [Substring: String] = [:]
        for line in text.split(separator: "\n") {
          guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else { continue }
          let value = line[line.index(after: colon)...].drop { $0 == " " }
          fields[line[..<colon], default: ""] += value
        }
        if let type = fields["event"] { try await each(type, fields["id"] ?? "", fields["data"] ?? "") }
      }
    }
  }

  /// Sends a file as it is, piece by piece; `report` hears how much of it is on its way.
  func upload(
    _ path: String, file: String, mediaType: String, query: [String: String?],
    report: @escaping @Sendable (_ sent: Int, _ size: Int) -> Void
  ) async throws -> JSONTree {
    let handle: FileHandle
    let size: Int
    do {
      handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: file))
      size = Int(try handle.seekToEnd())
      try handle.seek(toOffset: 0)
    } catch {
      throw DaemonError.data("cannot read \(file)")
    }
    let pieces = FilePieces(handle: handle, size: size, report: report)
    let response = try await execute(
      .POST, path, body: nil, query: query,
      headers: HTTPHeaders([("Accept", "application/json"), ("Content-Type", mediaType)]),
      content: .stream(pieces, length: .known(Int64(size))), timeout: .hours(24))
    let bytes = Array(try await response.body.collect(upTo: 1 << 20).readableBytesView)
    guard (200..<300).contains(response.status.code) else { throw refusal(response.status, bytes) }
    return try JSONTree(bytes)
  }

  private func execute(
    _ method: HTTPMethod, _ path: String, body: JSONObjectText?, query: [String: String?],
    headers: HTTPHeaders = HTTPHeaders([("Accept", "application/json")]),
    content: HTTPClientRequest.Body? = nil, timeout: TimeAmount
  ) async throws -> HTTPClientResponse {
    let allowed = CharacterSet.alphanumerics
    let given = query.compactMap { key, value in
      value.map { "\(key)=\($0.addingPercentEncoding(withAllowedCharacters: allowed) ?? "")" }
    }
    let host = socket.addingPercentEncoding(withAllowedCharacters: allowed) ?? ""
    var request = HTTPClientRequest(
      url: "http+unix://\(host)\(path)" + (given.isEmpty ? "" : "?" + given.sorted().joined(separator: "&")))
    request.method = method
    request.headers = headers
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.headers.add(name: "Idempotency-Key", value: UUID().uuidString)
      request.body = .bytes(Array(body.text.utf8))
    }
    if let content { request.body = content }
    // Asked first, because the client would try again until the time is out.
    guard isListening(socket) else {
      throw DaemonError.unavailable("no daemon listens at \(socket); is it running, and may you open its socket?")
    }
    do {
      return try await HTTPClient.shared.execute(request, timeout: timeout)
    } catch {
      throw DaemonError.unavailable("no daemon answers at \(socket): \(error)")
    }
  }

  private func refusal(_ status: HTTPResponseStatus, _ body: [UInt8]) -> DaemonError {
    let problem = try? JSONTree(body)  // No JSON: the status alone is said.
    var text = problem?["detail"].string ?? problem?["title"].string ?? status.reasonPhrase
    for violation in problem?["errors"].array ?? [] {
      text +=
        "\n  \(violation["pointer"].string ?? violation["parameter"].string ?? ""): \(violation["detail"].string ?? "")"
    }
    return status == .notFound ? .finding(text) : .data(text)
  }
}

/// True if somebody accepts connections on a Unix socket.
private func isListening(_ path: String) -> Bool {
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let bytes = Array(path.utf8)
  guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
  withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
  let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
  guard descriptor >= 0 else { return false }
  defer { close(descriptor) }
  let size = socklen_t(MemoryLayout<sockaddr_un>.size)
  return withUnsafePointer(to: &address) { pointer in
    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) == 0 }
  }
}

/// A file as the pieces of a request's body.
private struct FilePieces: AsyncSequence, Sendable {
  typealias Element = ByteBuffer
  let handle: FileHandle
  let size: Int
  let report: @Sendable (Int, Int) -> Void

  struct AsyncIterator: AsyncIteratorProtocol {
    let pieces: FilePieces
    var sent = 0
    mutating func next() async throws -> ByteBuffer? {
      guard let data = try pieces.handle.read(upToCount: 1 << 18), !data.isEmpty else { return nil }
      sent += data.count
      pieces.report(sent, pieces.size)
      return ByteBuffer(bytes: data)
    }
  }
  func makeAsyncIterator() -> AsyncIterator { AsyncIterator(pieces: self) }
}

/// A JSON object ready to be sent.
struct JSONObjectText {
  var text: String
  init(_ members: [String: Any]) throws {
    text = String(decoding: try JSONSerialization.data(withJSONObject: members), as: UTF8.self)
  }
}

/// Read-only access to an answer for people: absent members read as null.
struct JSONTree {
  let value: Any
  init(value: Any) { self.value = value }
  init(_ bytes: [UInt8]) throws {
    value = try JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed])
  }

  subscript(key: String) -> JSONTree { JSONTree(value: (value as? [String: Any])?[key] ?? NSNull()) }
  var string: String? { value as? String }
  var int: Int? { (value as? NSNumber)?.intValue }
  var bool: Bool? { (value as? NSNumber)?.boolValue }
  var array: [JSONTree] { (value as? [Any])?.map(JSONTree.init(value:)) ?? [] }
  /// On one line, keys sorted.
  var text: String {
    let options: JSONSerialization.WritingOptions = [.sortedKeys, .withoutEscapingSlashes, .fragmentsAllowed]
    // What was read as JSON can be written as JSON.
    return (try? JSONSerialization.data(withJSONObject: value, options: options)).map {
      String(decoding: $0, as: UTF8.self)
    } ?? ""
  }
}

/// Rows in columns, the first row a heading; numbers are set to the right.
func table(_ rows: [[String]]) -> String {
  guard let first = rows.first else { return "" }
  let widths = first.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
  let isNumber = first.indices.map { column in rows.dropFirst().allSatisfy { Int($0[column]) != nil } }
  return rows.map { row in
    first.indices.map { column in
      let space = String(repeating: " ", count: widths[column] - row[column].count)
      return isNumber[column] && rows.count > 1 ? space + row[column] : row[column] + space
    }.joined(separator: "  ").trimmingCharacters(in: .whitespaces)
  }.joined(separator: "\n")
}

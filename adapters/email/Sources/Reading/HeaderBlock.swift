/// The header fields of one message or part, in order, as bytes: nothing decoded, only unfolded.
///
/// Tolerant where customers' mail needs it: leading blank lines and an mbox `From ` line do not lose the headers, a
/// blank before the colon is allowed, and a line that is no header ends the block only if no known header follows
/// (a broken gateway line in the middle must not cost the subject). Source: RFC 5322 §2.2, specs/email.md §3.
struct HeaderBlock: Sendable {
  struct Field: Sendable {
    /// Lower case.
    var name: String
    /// Unfolded: line ends removed, the white space that followed them kept. NUL bytes removed.
    var value: [UInt8]
  }
  var fields: [Field] = []

  func first(_ name: String) -> [UInt8]? { fields.first { $0.name == name }?.value }
  func all(_ name: String) -> [[UInt8]] { fields.lazy.filter { $0.name == name }.map(\.value) }
  func has(_ name: String) -> Bool { fields.contains { $0.name == name } }
  /// The first field of that name as trimmed text, for values that are ASCII by definition.
  func text(_ name: String) -> String? {
    first(name).map { String(decoding: $0, as: UTF8.self).trimmedBlanks }
  }

  /// Reads the block at the start of `bytes`; `bodyStart` is the offset of the first byte after the empty line.
  static func parse(_ bytes: UnsafeBufferPointer<UInt8>) -> (block: HeaderBlock, bodyStart: Int) {
    var block = HeaderBlock()
    var offset = 0
    let count = bytes.count
    if count >= 3, bytes[0] == 0xef, bytes[1] == 0xbb, bytes[2] == 0xbf { offset = 3 }
    while offset < count {
      let (end, next) = line(in: bytes, from: offset)
      if isBlank(bytes, offset, end) || isMboxMarker(bytes, offset, end) { offset = next } else { break }
      if offset > 4_096 { break }
    }
    while offset < count {
      let (end, next) = line(in: bytes, from: offset)
      if end == offset { return (block, next) }
      if bytes[offset] == 0x20 || bytes[offset] == 0x09 {
        if isBlank(bytes, offset, end), !followsHeader(bytes, next, count) { return (block, next) }
        if !block.fields.isEmpty { block.fields[block.fields.count - 1].append(bytes, offset, end) }
        offset = next
        continue
      }
      if let colon = colon(in: bytes, offset, end) {
        var nameEnd = colon
        while nameEnd > offset, bytes[nameEnd - 1] == 0x20 || bytes[nameEnd - 1] == 0x09 { nameEnd -= 1 }
        var field = Field(name: lowercaseASCII(bytes, offset, nameEnd), value: [])
        field.append(bytes, colon + 1, end)
        block.fields.append(field)
        if block.fields.count >= maximumFields { return (block, next) }
      } else if !knownHeaderFollows(bytes, next, count) {
        return (block, offset)
      }
      offset = next
    }
    return (block, count)
  }

  /// More fields than any honest mail has; the rest is taken for body.
  private static let maximumFields = 2_000
}

extension HeaderBlock.Field {
  /// What is longer is cut; the raw mail keeps it.
  private static let maximumValueBytes = 64 << 10

  fileprivate mutating func append(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) {
    let last = min(to, from + max(0, Self.maximumValueBytes - value.count))
    value.reserveCapacity(value.count + last - from)
    for index in from..<last where bytes[index] != 0 { value.append(bytes[index]) }
  }
}

/// End of the line that starts at `from` (without CR LF) and where the next begins.
func line(in bytes: UnsafeBufferPointer<UInt8>, from: Int) -> (end: Int, next: Int) {
  var index = from
  let count = bytes.count
  while index < count, bytes[index] != 0x0a { index += 1 }
  let next = min(index + 1, count)
  if index > from, bytes[index - 1] == 0x0d { index -= 1 }
  return (index, next)
}

private func isBlank(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) -> Bool {
  for index in from..<to where bytes[index] != 0x20 && bytes[index] != 0x09 && bytes[index] != 0x0d { return false }
  return true
}

private func isMboxMarker(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) -> Bool {
  let start = from < to && bytes[from] == 0x3e ? from + 1 : from
  let marker: StaticString = "From "
  guard to - start >= 5 else { return false }
  for position in 0..<5 where bytes[start + position] != marker.utf8Start[position] { return false }
  return true
}

/// Where the colon of a header line is: a name of printable ASCII, perhaps blanks, the colon. Nil if it is none.
private func colon(in bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) -> Int? {
  var index = from
  while index < to, bytes[index] > 0x20, bytes[index] < 0x7f, bytes[index] != 0x3a { index += 1 }
  guard index > from, index - from <= 128 else { return nil }
  while index < to, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 }
  return index < to && bytes[index] == 0x3a ? index : nil
}

/// A line of blanks alone inside the block: the block goes on if a folded line or a header comes next.
private func followsHeader(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ count: Int) -> Bool {
  guard from < count else { return false }
  let (end, _) = line(in: bytes, from: from)
  guard end > from else { return false }
  if bytes[from] == 0x20 || bytes[from] == 0x09 { return !isBlank(bytes, from, end) }
  return colon(in: bytes, from, end) != nil && startsWithKnownHeader(bytes, from, end)
}

private func knownHeaderFollows(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ count: Int) -> Bool {
  var offset = from
  for _ in 0..<6 {
    guard offset < count else { return false }
    let (end, next) = line(in: bytes, from: offset)
    if end == offset { return false }
    if startsWithKnownHeader(bytes, offset, end) { return true }
    offset = next
  }
  return false
}

private let knownHeaders: [StaticString] = [
  "from:", "to:", "subject:", "date:", "message-id:", "received:", "content-type:", "mime-version:", "return-path:",
  "reply-to:", "in-reply-to:", "references:", "content-transfer-encoding:", "cc:", "x-mailer:",
]

private func startsWithKnownHeader(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) -> Bool {
  for header in knownHeaders where to - from >= header.utf8CodeUnitCount {
    var matches = true
    for position in 0..<header.utf8CodeUnitCount
    where lowered(bytes[from + position]) != header.utf8Start[position] {
      matches = false
      break
    }
    if matches { return true }
  }
  return false
}

func lowered(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

private func lowercaseASCII(_ bytes: UnsafeBufferPointer<UInt8>, _ from: Int, _ to: Int) -> String {
  String(unsafeUninitializedCapacity: to - from) { out in
    for index in from..<to { out[index - from] = lowered(bytes[index]) }
    return to - from
  }
}

extension String {
  /// Without leading and trailing ASCII white space.
  var trimmedBlanks: String {
    let utf8 = self.utf8
    guard let first = utf8.firstIndex(where: { !isSpace($0) }), let last = utf8.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return String(self[first...last])
  }
}

func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (byte >= 0x09 && byte <= 0x0d) }

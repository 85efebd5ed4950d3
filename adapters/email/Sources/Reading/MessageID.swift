/// Message-ID, In-Reply-To and References (RFC 5322 §3.6.4), as strings without brackets.
enum MessageID {
  /// The ids in a field in their order; what is outside brackets counts only if nothing is inside any.
  static func all(in value: [UInt8], limit: Int = 200) -> [String] {
    var out: [String] = []
    var index = 0
    while index < value.count, out.count < limit {
      guard value[index] == 0x3c else {
        index += 1
        continue
      }
      var inner: [UInt8] = []
      var end = index + 1
      while end < value.count, value[end] != 0x3e, value[end] != 0x3c {
        if !isSpace(value[end]) { inner.append(value[end]) }
        end += 1
      }
      if !inner.isEmpty, inner.count <= 998 { out.append(String(decoding: inner, as: UTF8.self)) }
      index = end < value.count && value[end] == 0x3c ? end : end + 1
    }
    if out.isEmpty {
      out = String(decoding: value, as: UTF8.self).split(whereSeparator: { $0.isWhitespace || $0 == "," })
        .prefix(limit).map(String.init)
    }
    return out
  }

  /// A message's own id.
  static func own(in value: [UInt8]) -> String? {
    let ids = all(in: value, limit: 8)
    return ids.first
  }
}

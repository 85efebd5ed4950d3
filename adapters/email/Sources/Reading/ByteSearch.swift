/// Searching text as bytes. The standard library's `contains(_: String)` compares characters, a hundred times slower;
/// for the fixed words looked for here bytes say the same.
extension StringProtocol {
  func has(_ part: StaticString) -> Bool { firstOffset(of: part) != nil }

  func hasAny(_ parts: [StaticString]) -> Bool { parts.contains { firstOffset(of: $0) != nil } }

  /// Byte offset of the first occurrence.
  func firstOffset(of part: StaticString) -> Int? {
    let needle = UnsafeBufferPointer(start: part.utf8Start, count: part.utf8CodeUnitCount)
    let found = utf8.withContiguousStorageIfAvailable { $0.firstOffset(of: needle) }
    if let found { return found }
    return Array(utf8).withUnsafeBufferPointer { $0.firstOffset(of: needle) }
  }
}

/// The ends of a text as bytes: `hasPrefix` and `hasSuffix` compare characters, and are as slow.
extension StringProtocol {
  func begins(with part: StaticString) -> Bool {
    let count = part.utf8CodeUnitCount
    let fast = utf8.withContiguousStorageIfAvailable { bytes -> Bool in
      guard bytes.count >= count else { return false }
      for index in 0..<count where bytes[index] != part.utf8Start[index] { return false }
      return true
    }
    return fast ?? utf8.starts(with: UnsafeBufferPointer(start: part.utf8Start, count: count))
  }

  func ends(with part: StaticString) -> Bool {
    let count = part.utf8CodeUnitCount
    let fast = utf8.withContiguousStorageIfAvailable { bytes -> Bool in
      let start = bytes.count - count
      guard start >= 0 else { return false }
      for index in 0..<count where bytes[start + index] != part.utf8Start[index] { return false }
      return true
    }
    return fast ?? utf8.reversed().starts(with: UnsafeBufferPointer(start: part.utf8Start, count: count).reversed())
  }

  func beginsWithAny(of parts: [StaticString]) -> Bool { parts.contains { begins(with: $0) } }
}

extension Substring {
  /// The lines of a text, its empty ones too, cut at line feeds alone.
  static func lines(of text: String) -> [Substring] {
    text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).map { Substring($0) }
  }

  /// Without these ASCII bytes at its beginning.
  func droppingFirst(_ unwanted: (UInt8) -> Bool) -> Substring { Substring(utf8.drop(while: unwanted)) }
}

extension UnsafeBufferPointer<UInt8> {
  fileprivate func firstOffset(of needle: UnsafeBufferPointer<UInt8>) -> Int? {
    guard let first = needle.first, needle.count <= count else { return nil }
    let last = count - needle.count
    var index = 0
    while index <= last {
      if self[index] == first {
        var length = 1
        while length < needle.count, self[index + length] == needle[length] { length += 1 }
        if length == needle.count { return index }
      }
      index += 1
    }
    return nil
  }
}

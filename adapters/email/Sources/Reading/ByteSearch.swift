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

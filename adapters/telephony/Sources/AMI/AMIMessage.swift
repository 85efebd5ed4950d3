import Glibc

/// One message of the manager interface as slices of the bytes received. Valid only inside the call that shows it.
///
/// The kind of a message is what its **first** line says, and of repeated headers the first one counts, because a
/// dial plan can write `Event: Newchannel` or `Response: Success` into a UserEvent of its own, and the user's headers
/// come after the channel's (specs/telephony.md §5, trap 12).
public struct AMIMessage {
  struct Line: Sendable {
    var start: UInt32
    /// Offset of the colon; equal to `start` for an empty key, to `end` if the line has none.
    var keyEnd: UInt32
    var valueStart: UInt32
    var end: UInt32

    /// `base[start..<end]` as an offset from `base[message]`. Exactly one blank after the colon is the separator.
    init(base: UnsafeRawPointer, message: Int, start: Int, end: Int) {
      self.start = UInt32(start - message)
      self.end = UInt32(end - message)
      guard let colon = memchr(base + start, 0x3a, end - start) else {
        keyEnd = self.end
        valueStart = self.end
        return
      }
      let position = UnsafeRawPointer(colon) - base
      keyEnd = UInt32(position - message)
      let blank = position + 1 < end && (base + position + 1).load(as: UInt8.self) == 0x20
      valueStart = UInt32(position + (blank ? 2 : 1) - message)
    }
  }

  let base: UnsafeRawPointer
  let lines: UnsafeBufferPointer<Line>

  public enum Kind: Hashable, Sendable { case event, response, other }

  public var kind: Kind {
    if keyIs("Event", at: 0) { return .event }
    if keyIs("Response", at: 0) { return .response }
    return .other
  }

  /// The event's name or the response's word.
  public var name: AMIValue { value(at: 0) }
  public var headerCount: Int { lines.count }

  /// The answered action: only of responses, and only where Asterisk puts it, right after the first line.
  public var responseActionID: AMIValue? {
    guard kind == .response, lines.count > 1, keyIs("ActionID", at: 1) else { return nil }
    return value(at: 1)
  }

  /// The first header of this name; nil if there is none.
  public func first(_ key: StaticString) -> AMIValue? {
    let count = key.utf8CodeUnitCount
    let bytes = key.utf8Start
    for line in lines where Int(line.keyEnd - line.start) == count {
      if memcmp(base + Int(line.start), bytes, count) == 0 { return value(of: line) }
    }
    return nil
  }

  /// The first header whose key is `prefix` followed by `key`, for example `Dest` and `Uniqueid`.
  func first(_ prefix: StaticString, _ key: StaticString) -> AMIValue? {
    let head = prefix.utf8CodeUnitCount
    let count = key.utf8CodeUnitCount
    for line in lines where Int(line.keyEnd - line.start) == head + count {
      let start = base + Int(line.start)
      if memcmp(start, prefix.utf8Start, head) == 0, memcmp(start + head, key.utf8Start, count) == 0 {
        return value(of: line)
      }
    }
    return nil
  }

  /// Each value of a header that may come several times, in order.
  func each(_ prefix: StaticString, _ key: StaticString, _ show: (AMIValue) -> Void) {
    let head = prefix.utf8CodeUnitCount
    let count = key.utf8CodeUnitCount
    for line in lines where Int(line.keyEnd - line.start) == head + count {
      let start = base + Int(line.start)
      if memcmp(start, prefix.utf8Start, head) == 0, memcmp(start + head, key.utf8Start, count) == 0 {
        show(value(of: line))
      }
    }
  }

  /// Headers in order, as text: for logs and for answers to actions.
  public var headers: [(key: String, value: String)] {
    lines.map { (AMIValue(base + Int($0.start), Int($0.keyEnd - $0.start)).text, value(of: $0).text) }
  }

  /// The bytes of the message, without its closing empty line.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: base, count: Int(lines.last?.end ?? 0))
  }

  private func keyIs(_ key: StaticString, at index: Int) -> Bool {
    guard index < lines.count else { return false }
    let line = lines[index]
    let count = key.utf8CodeUnitCount
    return Int(line.keyEnd - line.start) == count && memcmp(base + Int(line.start), key.utf8Start, count) == 0
  }
  private func value(at index: Int) -> AMIValue {
    index < lines.count ? value(of: lines[index]) : AMIValue(base, 0)
  }
  private func value(of line: Line) -> AMIValue {
    AMIValue(base + Int(line.valueStart), max(0, Int(line.end) - Int(line.valueStart)))
  }
}

/// The value of one header, as bytes received. Valid as long as its message.
public struct AMIValue {
  let start: UnsafeRawPointer
  public let count: Int

  init(_ start: UnsafeRawPointer, _ count: Int) {
    self.start = start
    self.count = count
  }

  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
  public var isEmpty: Bool { count == 0 }

  public static func == (value: AMIValue, text: StaticString) -> Bool {
    value.count == text.utf8CodeUnitCount && memcmp(value.start, text.utf8Start, value.count) == 0
  }

  /// As text; bytes that are no UTF-8 become U+FFFD, as Asterisk itself shows them.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  /// As text, nil for empty and for `<unknown>`, which Asterisk writes for none.
  public var known: String? { count == 0 || self == "<unknown>" ? nil : text }

  /// As text with C escapes resolved, nil for none. Only for values Asterisk escapes: CallerIDName,
  /// ConnectedLineName, VarSet's Value and ChanVariable (main/manager_channels.c, ast_escape_c_alloc; trap 13).
  public var unescaped: String? {
    guard memchr(start, 0x5c, count) != nil else { return known }
    var out: [UInt8] = []
    out.reserveCapacity(count)
    var index = 0
    while index < count {
      let byte = self[index]
      if byte == 0x5c, index + 1 < count, let plain = plainCharacter(escapedAs: self[index + 1]) {
        out.append(plain)
        index += 2
      } else {
        out.append(byte)
        index += 1
      }
    }
    return String(decoding: out, as: UTF8.self)
  }

  subscript(index: Int) -> UInt8 { (start + index).load(as: UInt8.self) }

  /// A whole decimal number; nil for anything else, also for one that does not fit.
  public var integer: Int64? {
    guard count > 0, count <= 19 else { return nil }
    var index = 0
    let negative = self[0] == 0x2d
    if negative { index = 1 }
    guard index < count else { return nil }
    var value: Int64 = 0
    while index < count {
      let digit = self[index]
      guard (0x30...0x39).contains(digit) else { return nil }
      let (product, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, over2) = product.addingReportingOverflow(Int64(digit - 0x30))
      guard !over, !over2 else { return nil }
      value = sum
      index += 1
    }
    return negative ? -value : value
  }

  /// `1795382265.168123` as microseconds since 1970; nil if it is not that.
  public var microseconds: Int64? {
    var seconds: Int64 = 0
    var index = 0
    while index < count, (0x30...0x39).contains(self[index]) {
      guard index < 11 else { return nil }
      seconds = seconds * 10 + Int64(self[index] - 0x30)
      index += 1
    }
    guard index > 0 else { return nil }
    var micros: Int64 = 0
    if index < count {
      guard self[index] == 0x2e else { return nil }
      var scale: Int64 = 100_000
      index += 1
      while index < count {
        guard (0x30...0x39).contains(self[index]) else { return nil }
        micros += scale * Int64(self[index] - 0x30)
        scale /= 10
        index += 1
      }
    }
    return seconds * 1_000_000 + micros
  }

  /// This value up to the first `separator`, and what follows it; nil if there is none.
  func split(at separator: UInt8) -> (head: AMIValue, tail: AMIValue)? {
    guard let hit = memchr(start, Int32(separator), count) else { return nil }
    let position = UnsafeRawPointer(hit) - start
    return (AMIValue(start, position), AMIValue(start + position + 1, count - position - 1))
  }
}

/// C's single-character escapes, as ast_escape_c_alloc writes them (main/utils.c, escape_sequences).
private func plainCharacter(escapedAs letter: UInt8) -> UInt8? {
  switch letter {
  case 0x61: 0x07
  case 0x62: 0x08
  case 0x66: 0x0c
  case 0x6e: 0x0a
  case 0x72: 0x0d
  case 0x74: 0x09
  case 0x76: 0x0b
  case 0x5c, 0x27, 0x22, 0x3f: letter
  default: nil
  }
}

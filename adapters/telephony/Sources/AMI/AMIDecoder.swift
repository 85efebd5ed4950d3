import Glibc

/// Cuts the byte stream of the Asterisk Manager Interface into messages and headers.
///
/// A message is a run of `Key: value` lines, each ended by CR LF, closed by an empty line; the stream opens with one
/// banner line. Only CR LF ends a line: the raw output of old `Command` answers has bare LF inside (Asterisk ≤ 13),
/// which stays part of the value. Nothing is copied and no String is made: a message is shown to the caller as slices
/// of the bytes that were fed, and is gone when the call returns.
///
/// Bounded: a message longer than `Limits.messageBytes` is skipped to its end and counted; headers past
/// `Limits.headers` are left out of the view. What was fed incompletely is kept, at most one message.
/// Source: Asterisk main/manager.c; specs/telephony.md §5, traps 12–14.
public struct AMIDecoder: Sendable {
  public struct Limits: Sendable {
    public var messageBytes: Int
    public var headers: Int
    public init(messageBytes: Int = 262_144, headers: Int = 4_096) {
      self.messageBytes = messageBytes
      self.headers = headers
    }
  }

  /// `Asterisk Call Manager/11.0.0`, without line end; nil until it has come.
  public private(set) var banner: String?
  /// Messages skipped because they were too long.
  public private(set) var oversize = 0
  /// Messages shown so far.
  public private(set) var messages = 0

  private let limits: Limits
  /// The unfinished message, from its first byte. Empty between messages.
  private var pending: [UInt8] = []
  /// How far `pending` has been cut into lines.
  private var scanned = 0
  /// Lines of the message being read, as offsets from its first byte.
  private var lines: [AMIMessage.Line] = []
  /// True until the first line has come.
  private var expectsBanner = true
  /// True while the rest of a message that was too long passes by.
  private var skipping = false

  public init(limits: Limits = Limits()) {
    self.limits = limits
    lines.reserveCapacity(64)
  }

  /// Bytes of an unfinished message held back.
  public var pendingBytes: Int { pending.count }

  /// Takes the next bytes of the stream, in pieces of any size, and shows each message they complete.
  public mutating func feed(_ bytes: UnsafeRawBufferPointer, _ show: (AMIMessage) -> Void) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    var offset = 0
    // Complete the unfinished message line by line, then go on in the caller's buffer.
    while offset < bytes.count, !pending.isEmpty {
      guard let newline = memchr(base + offset, 0x0a, bytes.count - offset) else {
        return keep(UnsafeRawBufferPointer(start: base + offset, count: bytes.count - offset))
      }
      let end = UnsafeRawPointer(newline) - base + 1
      keep(UnsafeRawBufferPointer(start: base + offset, count: end - offset))
      offset = end
      var held: [UInt8] = []
      swap(&held, &pending)
      let consumed = held.withUnsafeBytes { cut($0.baseAddress!, $0.count, show) }
      if consumed == held.count {
        held.removeAll(keepingCapacity: true)
        scanned = 0
      }
      swap(&held, &pending)
    }
    guard offset < bytes.count else { return }
    scanned = 0
    let consumed = cut(base + offset, bytes.count - offset, show)
    scanned -= consumed
    offset += consumed
    if offset < bytes.count { keep(UnsafeRawBufferPointer(start: base + offset, count: bytes.count - offset)) }
  }

  public mutating func feed(_ bytes: some Sequence<UInt8>, _ show: (AMIMessage) -> Void) {
    let copy = Array(bytes)
    copy.withUnsafeBytes { feed($0, show) }
  }

  /// Appends to the unfinished message; past the limit only so much of its last line is kept as is needed to see
  /// whether that line is the empty one.
  private mutating func keep(_ bytes: UnsafeRawBufferPointer) {
    pending.append(contentsOf: bytes)
    guard pending.count > limits.messageBytes else { return }
    if !skipping {
      skipping = true
      oversize += 1
    }
    lines.removeAll(keepingCapacity: true)
    let line = pending[scanned...]
    pending = line.count <= 3 ? Array(line) : [0x78] + line.suffix(2)
    scanned = 0
  }

  /// Cuts `base[0..<count]` into lines from `scanned` on and shows what is complete; returns where the unfinished
  /// message begins. On return `scanned` is where its unfinished line begins, counted from `base`.
  private mutating func cut(_ base: UnsafeRawPointer, _ count: Int, _ show: (AMIMessage) -> Void)
    -> Int
  {
    var message = 0
    var line = scanned
    var search = scanned
    while search < count, let hit = memchr(base + search, 0x0a, count - search) {
      let newline = UnsafeRawPointer(hit) - base
      search = newline + 1
      guard newline > 0, (base + newline - 1).load(as: UInt8.self) == 0x0d else { continue }
      let end = newline - 1
      if end <= line {
        if skipping {
          skipping = false
        } else if newline + 1 - message > limits.messageBytes {
          oversize += 1
        } else if !lines.isEmpty {
          messages += 1
          lines.withUnsafeBufferPointer { show(AMIMessage(base: base + message, lines: $0)) }
        }
        lines.removeAll(keepingCapacity: true)
        message = search
      } else if expectsBanner, memchr(base + line, 0x3a, end - line) == nil {
        banner = String(decoding: UnsafeRawBufferPointer(start: base + line, count: end - line), as: UTF8.self)
        message = search
      } else if !skipping, lines.count < limits.headers {
        lines.append(AMIMessage.Line(base: base, message: message, start: line, end: end))
      }
      expectsBanner = false
      line = search
    }
    scanned = line
    return message
  }
}

/// Cuts a stream of octets into PDUs by the length in their first four octets (SMPP and CMPP alike).
///
/// The length is checked against both bounds before anything is kept for it, so a peer that claims two gigabytes costs
/// nothing. A length out of bounds ends the stream: nothing after it can be framed. Pure. Source: SMPP 3.4 §3.2, §5.1.1.
public struct FrameSplitter: Sendable {
  public struct BadLength: Error, Hashable, Sendable {
    public var length: UInt32
  }

  public static let defaultMaximum = 65_536

  private let minimum: Int
  private let maximum: Int
  private var buffer: [UInt8] = []
  private var start = 0

  /// `minimum` is the header's length: 16 in SMPP, 12 in CMPP.
  public init(minimum: Int, maximum: Int = Self.defaultMaximum) {
    self.minimum = minimum
    self.maximum = max(minimum, maximum)
  }

  /// Octets kept that do not make a whole PDU yet; less than `maximum` once `next` has answered nil.
  public var leftOver: [UInt8] { Array(buffer[start...]) }

  public mutating func append(_ octets: some Sequence<UInt8>) {
    if start > 0 {
      buffer.removeFirst(start)
      start = 0
    }
    buffer.append(contentsOf: octets)
  }

  /// The next whole PDU; nil until more octets come.
  public mutating func next() throws(BadLength) -> [UInt8]? {
    guard buffer.count - start >= 4 else { return nil }
    var length: UInt32 = 0
    for octet in buffer[start..<start + 4] { length = length << 8 | UInt32(octet) }
    guard length >= UInt32(minimum), length <= UInt32(maximum) else { throw BadLength(length: length) }
    let end = start + Int(length)
    guard end <= buffer.count else { return nil }
    let frame = Array(buffer[start..<end])
    start = end
    return frame
  }
}

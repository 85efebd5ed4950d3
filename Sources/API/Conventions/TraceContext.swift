/// The trace a request belongs to; carried into the events, jobs and webhooks it causes.
/// Source: W3C Trace Context (Recommendation 2021-11-23) §3.2, §3.3.
public struct TraceContext: Hashable, Sendable {
  /// 32 lower-case hexadecimal digits, not all zero.
  public var traceID: String
  /// Our own span; 16 digits.
  public var spanID: String
  /// The caller's span, nil when the trace begins here.
  public var parentID: String?
  public var sampled: Bool
  /// Handed on unchanged; nil when absent or longer than 512 characters.
  public var state: String?

  /// Continues the trace of `traceparent`, or begins one if it is absent or invalid (§3.2.2.3: then both are ignored).
  public init(traceparent: String?, tracestate: String?) {
    spanID = hex(random() | 1)
    if let traceparent, let parent = Self.parse(traceparent) {
      traceID = parent.trace
      parentID = parent.span
      sampled = parent.sampled
      state = tracestate.flatMap { $0.utf8.count <= 512 ? $0 : nil }
    } else {
      traceID = hex(random() | 1) + hex(random())
      parentID = nil
      sampled = false
      state = nil
    }
  }

  /// What is sent with whatever this request causes.
  public var traceparent: String { "00-\(traceID)-\(spanID)-\(sampled ? "01" : "00")" }

  private static func parse(_ text: String) -> (trace: String, span: String, sampled: Bool)? {
    let bytes = Array(text.utf8)
    guard bytes.count >= 55, bytes[2] == dash, bytes[35] == dash, bytes[52] == dash else { return nil }
    func isHex(_ range: Range<Int>) -> Bool {
      bytes[range].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
    guard isHex(0..<2), isHex(3..<35), isHex(36..<52), isHex(53..<55) else { return nil }
    let version = String(decoding: bytes[0..<2], as: UTF8.self)
    // Version 00 has exactly four fields; a later one may have more after a dash (§3.2.2.1).
    guard version != "ff", version == "00" ? bytes.count == 55 : bytes.count == 55 || bytes[55] == dash else {
      return nil
    }
    let trace = String(decoding: bytes[3..<35], as: UTF8.self)
    let span = String(decoding: bytes[36..<52], as: UTF8.self)
    guard trace.utf8.contains(where: { $0 != 0x30 }), span.utf8.contains(where: { $0 != 0x30 }) else { return nil }
    let flags = UInt8(String(decoding: bytes[53..<55], as: UTF8.self), radix: 16) ?? 0
    return (trace, span, flags & 1 == 1)
  }
}

private let dash = UInt8(ascii: "-")

private func random() -> UInt64 {
  var generator = NamingGenerator()
  return generator.next()
}

private func hex(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.utf8.count) + digits
}

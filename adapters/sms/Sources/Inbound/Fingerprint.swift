import Channels

/// A number made of octets that is the same in every run: FNV-1a, 64 bits. No proof against malice.
///
/// By it a message that the peer may have brought before is compared with what is kept, and a submission is named in
/// user_message_reference so that its receipt is known after a restart. Source: draft-eastlake-fnv; specs/outbound.md §3.
struct Fingerprint {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ octets: some Sequence<UInt8>) {
    for octet in octets { value = (value ^ UInt64(octet)) &* 0x100_0000_01b3 }
    // So that the parts of what is added cannot run into each other.
    value = (value ^ 0xff) &* 0x100_0000_01b3
  }

  /// The sixteen bits a submission is known by on the wire.
  static func reference(of wireIdentity: String) -> UInt16 {
    var print = Fingerprint()
    print.add(wireIdentity.utf8)
    let value = print.value
    return UInt16(truncatingIfNeeded: value ^ value >> 16 ^ value >> 32 ^ value >> 48)
  }

  /// Of a message as the peer brought it: everything that the same message again has, and its sequence number not.
  static func of(_ messages: [ShortMessage], on link: String) -> String {
    var print = Fingerprint()
    print.add(link.utf8)
    for short in messages {
      print.add(short.from.utf8)
      print.add(short.to.utf8)
      print.add(short.coding.rawValue.utf8)
      print.add(short.header?.encoded ?? [])
      if let part = short.concatenation {
        print.add([UInt8(truncatingIfNeeded: part.reference >> 8), UInt8(truncatingIfNeeded: part.reference)])
      }
      print.add(short.octets)
    }
    return String(print.value, radix: 16)
  }
}

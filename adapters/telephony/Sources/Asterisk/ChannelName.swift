import Channels

/// What an Asterisk channel's name says: `PJSIP/1001-000000a2` is the device `PJSIP/1001`,
/// `Local/2002@agents-00000009;2` the second half of a relay. Names are reused after a restart and swapped by a
/// masquerade; they never identify a channel (specs/telephony.md §5, trap 17).
public struct ChannelName: Sendable {
  public var device: LegDevice
  /// A name a channel bears only in the middle or at the end of a masquerade.
  public var isTransient: Bool

  /// Which endpoints are the public network and which are the bank's own telephones.
  public struct Rules: Sendable, Hashable {
    /// Devices (`PJSIP/trunk`); `*` stands for any characters. These are the public network.
    public var trunks: [String]
    /// Devices that are the bank's telephones whatever their name or context looks like.
    public var stations: [String]
    /// Words in an endpoint's name or context that mark the public network, when the lists say nothing.
    public var trunkWords: [String]
    public init(
      trunks: [String] = [], stations: [String] = [],
      trunkWords: [String] = ["trunk", "pstn", "provider", "carrier", "external"]
    ) {
      self.trunks = trunks
      self.stations = stations
      self.trunkWords = trunkWords
    }

    func kind(of device: String, context: String?) -> LegDevice.Kind {
      if stations.contains(where: { matches(device, $0) }) { return .station }
      if trunks.contains(where: { matches(device, $0) }) { return .trunk }
      let name = device.lowercased()
      let context = context?.lowercased() ?? ""
      return trunkWords.contains { name.contains($0) || context.contains($0) } ? .trunk : .station
    }

    /// Greedy match with `*` only.
    private func matches(_ text: String, _ pattern: String) -> Bool {
      let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
      guard parts.count > 1 else { return text == pattern }
      var rest = text[...]
      for (index, part) in parts.enumerated() {
        if index == 0 {
          guard rest.hasPrefix(part) else { return false }
          rest = rest.dropFirst(part.count)
        } else if index == parts.count - 1 {
          return rest.hasSuffix(part)
        } else if !part.isEmpty {
          guard let range = rest.firstRange(of: part) else { return false }
          rest = rest[range.upperBound...]
        }
      }
      return true
    }
  }

  /// `context` is the endpoint's own, as a new channel shows it; nil once a dial plan may have changed it.
  public init(_ name: String, context: String?, rules: Rules) {
    var text = name[...]
    isTransient = false
    for suffix in ["<ZOMBIE>", "<MASQ>"] where text.hasSuffix(suffix) {
      text = text.dropLast(suffix.count)
      isTransient = true
    }
    guard let slash = text.firstIndex(of: "/") else {
      device = LegDevice(kind: .service, name: String(text), number: String(text))
      return
    }
    let technology = text[..<slash]
    switch technology {
    case "Local":
      var pair = text
      var half = 0
      if let mark = text.lastIndex(of: ";") {
        pair = text[..<mark]
        half = Int(text[text.index(after: mark)...]) ?? 0
      }
      let address = withoutSerial(pair)
      let target = address[address.index(after: slash)...]
      let number = target.split(separator: "@", maxSplits: 1).first ?? target
      device = LegDevice(
        kind: .relay(pair: String(pair), half: half), name: String(address), number: String(number))
    case "AsyncGoto":
      // Born to take over another channel's line: until it does, nobody is at its end.
      device = LegDevice(kind: .relay(pair: String(text), half: 0), name: String(text), number: "")
    case "Message", "Announcer", "CBAnn", "CBRec", "Snoop", "Recorder", "Surrogate", "MulticastRTP", "UnicastRTP",
      "AudioSocket", "WebSocket", "Bridge", "Parking":
      device = LegDevice(kind: .service, name: String(text), number: "")
    default:
      let address = withoutSerial(text)
      let endpoint = address[address.index(after: slash)...]
      // Old SIP technologies put the host behind the name.
      let number = endpoint.split(separator: "@", maxSplits: 1).first ?? endpoint
      device = LegDevice(
        kind: rules.kind(of: String(address), context: context), name: String(address), number: String(number))
    }
  }
}

/// `PJSIP/1001` of `PJSIP/1001-000000a2`: what follows the last hyphen is a serial number, if it is hexadecimal.
private func withoutSerial(_ name: Substring) -> Substring {
  guard let hyphen = name.lastIndex(of: "-") else { return name }
  let serial = name[name.index(after: hyphen)...]
  guard serial.count >= 6, serial.allSatisfy({ $0.isHexDigit && $0.isASCII }) else { return name }
  return name[..<hyphen]
}

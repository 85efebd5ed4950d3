/// What `Status` would list after the events of a recording: the channels that live, with bridge, queue and variables.
///
/// A recording that is cut off has no list for the connection that follows; this makes the one a switch would give.
struct StandInListing {
  /// Lines of `Status` by Uniqueid.
  private(set) var rows: [String: String] = [:]

  private struct Channel {
    var headers: [(key: String, value: String)] = []
    var dialled = ""
    var bridge = ""
    var queue = ""
    var variables: [(key: String, value: String)] = []
  }

  init(of bytes: ArraySlice<UInt8>) {
    var channels: [String: Channel] = [:]
    let text = String(decoding: bytes, as: UTF8.self).replacing("\r\n", with: "\n")
    for message in text.split(separator: "\n\n") {
      let headers = message.split(separator: "\n").compactMap { line -> (key: String, value: String)? in
        guard let colon = line.firstIndex(of: ":") else { return nil }
        let value = line[line.index(after: colon)...]
        return (String(line[..<colon]), String(value.hasPrefix(" ") ? value.dropFirst() : value))
      }
      guard headers.first?.key == "Event", let event = headers.first?.value else { continue }
      for prefix in ["", "Dest"] { Self.note(event, headers, prefix, &channels) }
    }
    for (id, channel) in channels {
      var row = ""
      for (key, value) in channel.headers { row += "\(key): \(value)\r\n" }
      row += "DNID: \(channel.dialled)\r\nBridgeID: \(channel.bridge)\r\nSeconds: 1\r\n"
      if !channel.queue.isEmpty { row += "Application: Queue\r\nData: \(channel.queue),,,\r\n" }
      for (name, value) in channel.variables { row += "Variable: \(name)=\(value)\r\n" }
      rows[id] = row
    }
  }

  private static func note(
    _ event: String, _ headers: [(key: String, value: String)], _ prefix: String, _ channels: inout [String: Channel]
  ) {
    func value(_ key: String) -> String? { headers.first { $0.key == prefix + key }?.value }
    guard let id = value("Uniqueid"), value("Channel") != nil, event != "UserEvent" else { return }
    if event == "Hangup" {
      channels[id] = nil
      return
    }
    guard channels[id] != nil || event == "Newchannel" || event == "Status" else { return }
    var channel = channels[id] ?? Channel()
    channel.headers = [
      "Channel", "ChannelState", "CallerIDNum", "CallerIDName", "Context", "Exten", "Uniqueid", "Linkedid",
    ].compactMap { key in value(key).map { (key, $0) } }
    switch event {
    case "Newchannel" where value("ChannelState") != "0": channel.dialled = value("Exten") ?? ""
    case "Status":
      channel.dialled = value("DNID") ?? ""
      channel.bridge = value("BridgeID") ?? ""
      if value("Application") == "Queue" {
        channel.queue = value("Data").map { String($0.prefix { $0 != "," }) } ?? ""
      }
    case "BridgeEnter": channel.bridge = headers.first { $0.key == "BridgeUniqueid" }?.value ?? ""
    case "BridgeLeave": channel.bridge = ""
    case "QueueCallerJoin": channel.queue = headers.first { $0.key == "Queue" }?.value ?? ""
    default: break
    }
    for header in headers where header.key == prefix + "ChanVariable" || header.key == "Variable" {
      let parts = header.value.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, event != "VarSet" else { continue }
      channel.variables.removeAll { $0.key == parts[0] }
      channel.variables.append((parts[0], parts[1]))
    }
    channels[id] = channel
  }
}

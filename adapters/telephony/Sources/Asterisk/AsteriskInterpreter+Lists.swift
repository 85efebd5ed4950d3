import Channels

/// What exists, as the switch lists it after a login, and whether it is still the switch it was.
extension AsteriskInterpreter {
  /// One channel of `Status` or `CoreShowChannels`: a leg as it is, not as it came to be.
  mutating func takeListed(
    _ message: AMIMessage, application: StaticString, data: StaticString, bridge: StaticString
  ) {
    guard let id = leg(message, ""), let channel = message.first("Channel")?.known else { return }
    let name = ChannelName(channel, context: message.first("Context")?.known, rules: settings.rules)
    if name.isTransient { return }
    let state = message.first("ChannelState")?.integer ?? 0
    var facts = LegFacts(
      id: id, device: name.device, conversation: message.first("Linkedid")?.known ?? id.text, isUp: state == 6,
      isRinging: state == 5)
    facts.number = message.first("CallerIDNum")?.known.flatMap { $0.lowercased() == "anonymous" ? nil : $0 }
    facts.name = message.first("CallerIDName")?.unescaped
    // `Status` says what number came in (and nothing for a channel the switch made); the short list does not.
    facts.dialled = (message.first("DNID") ?? message.first("Exten"))?.known
    if let seconds = message.first("Seconds")?.integer, seconds >= 0, seconds < 31_536_000 {
      facts.since = time - .seconds(seconds)
    }
    apply(.leg(facts))
    var found: [(String, String)] = []
    message.each("", "Variable") { value in
      if let (name, tail) = value.split(at: 0x3d), let text = tail.known, text != "(null)" {
        found.append((name.text, text))
      }
    }
    for (name, value) in found { note(id, name, value) }
    if message.first(application).map({ $0 == "Queue" }) ?? false, let text = message.first(data),
      let (queue, _) = text.split(at: 0x2c)
    {
      apply(.queueFound(id, queue: queue.text))
    }
    if let bridge = message.first(bridge)?.known {
      apply(.bridgeEntered(bridge, id, swapping: nil, waiting: false))
    } else if book.isBridged(id) {
      apply(.bridgeFoundEmpty(id))
    }
  }

  /// `FullyBooted` comes after every login; its uptime tells whether the switch is still the one it was (trap 22).
  mutating func boot(_ message: AMIMessage) {
    guard let seconds = message.first("Uptime")?.integer else { return }
    if let before = uptime {
      let passed = before.at.map { (time - $0).wholeMicroseconds / 1_000_000 } ?? 0
      if seconds + 2 < before.seconds + max(0, passed) { apply(.restarted) }
    }
    uptime = (seconds, nil)
  }
}

/// What the dial plan says by channel variables.
extension AsteriskInterpreter {
  /// `ChanVariable: NAME=value` once per variable of `channelvars`, with the prefix of the channel it belongs to.
  mutating func noteVariables(_ message: AMIMessage, _ prefix: StaticString) {
    guard let id = leg(message, prefix), book.isKnown(id) else { return }
    var found: [(String, String)] = []
    message.each(prefix, "ChanVariable") { value in
      guard let (name, tail) = value.split(at: 0x3d), !tail.isEmpty, let text = tail.unescaped else { return }
      found.append((name.text, text))
    }
    for (name, value) in found { note(id, name, value) }
  }

  mutating func noteVariable(_ message: AMIMessage) {
    guard let name = message.first("Variable"), name.count <= 128 else { return }
    var start = 0
    while start < name.count, name[start] == 0x5f { start += 1 }
    let plain = AMIValue(name.start + start, name.count - start)
    let isWanted =
      plain == "MIXMONITOR_FILENAME" || plain == "AMDSTATUS"
      || settings.customerVariable.utf8.elementsEqual(plain.bytes)
      || settings.dialledVariable.utf8.elementsEqual(plain.bytes)
      || settings.keptVariables.contains { $0.utf8.elementsEqual(plain.bytes) }
    guard isWanted, let id = leg(message, ""), book.isKnown(id), let value = message.first("Value")?.unescaped else {
      return
    }
    note(id, plain.text, value)
  }

  mutating func note(_ id: LegID, _ name: String, _ value: String) {
    if name == settings.customerVariable {
      apply(.customerNumber(id, value))
    } else if name == settings.dialledVariable {
      apply(.dialledNumber(id, value))
    } else if name == "MIXMONITOR_FILENAME" {
      if recordingFiles.count < 10_000 { recordingFiles[id] = value }
    } else if name == "AMDSTATUS" || settings.keptVariables.contains(name) {
      apply(.variable(id, name: name, value: value))
    }
  }
}

/// One mailbox of a From, To or Cc field.
struct Mailbox: Hashable, Sendable {
  /// As written, without brackets; may lack an `@` (`MAILER-DAEMON`).
  var address: String
  /// Decoded display name; empty if there is none.
  var name: String
}

/// Address lists (RFC 5322 §3.4) as they come: unquoted names with commas inside encoded words, addresses in the
/// name, groups, comments as names, a whole field hidden in one encoded word.
enum Mailboxes {
  static func parse(_ value: [UInt8], hints: Charset.Hints, limit: Int = 200) -> [Mailbox] {
    let found = scan(value, hints: hints, limit: limit)
    if found.isEmpty || (!found.contains { $0.address.has("@") } && contains(value, "=?")) {
      let decoded = EncodedWords.decode(value, hints: hints)
      if decoded.has("@") {
        let again = scan(Array(decoded.utf8), hints: hints, limit: limit)
        if again.contains(where: { $0.address.has("@") }) { return again }
      }
    }
    return found
  }

  private static func contains(_ value: [UInt8], _ mark: StaticString) -> Bool {
    guard value.count > 1 else { return false }
    for index in 0..<value.count - 1
    where value[index] == mark.utf8Start[0] && value[index + 1] == mark.utf8Start[1] { return true }
    return false
  }

  private static func scan(_ value: [UInt8], hints: Charset.Hints, limit: Int) -> [Mailbox] {
    var out: [Mailbox] = []
    var phrase: [UInt8] = []
    var comment: [UInt8] = []
    var address: [UInt8]?
    var index = 0

    func finish() {
      defer {
        phrase = []
        comment = []
        address = nil
      }
      var name = EncodedWords.folded(phrase, hints: hints)
      let note = EncodedWords.folded(comment, hints: hints)
      var text: String
      if let address {
        text = String(decoding: address.filter { !isSpace($0) }, as: UTF8.self)
        if address.contains(where: { $0 >= 0x80 }) || text.has("=?") {
          text = EncodedWords.folded(address, hints: hints).filter { !$0.isWhitespace }
        }
        if text.hasPrefix("mailto:") { text.removeFirst(7) }
        // A source route: `@a,@b:user@c`.
        if text.hasPrefix("@"), let colon = text.lastIndex(of: ":") { text = String(text[text.index(after: colon)...]) }
        if name.isEmpty { name = note }
      } else {
        // `user@host`, `user@host (Name)`, or words with an address among them.
        text = name
        name = note
        if text.has(" ") {
          let words = text.split(separator: " ")
          if let word = words.first(where: { $0.has("@") && $0.first != "@" && $0.last != "@" }) {
            name = words.filter { $0 != word }.joined(separator: " ")
            text = String(word)
          } else if text.has("@") {
            text = text.filter { $0 != " " }
          } else {
            let bare = text
            text = ""
            name = bare
          }
        }
      }
      while let last = text.last, ",;>.".contains(last) { text.removeLast() }
      while let first = text.first, "<,;".contains(first) { text.removeFirst() }
      if name.count > 1, name.first == "'", name.last == "'" { name = String(name.dropFirst().dropLast()) }
      if !text.isEmpty || !name.isEmpty, out.count < limit { out.append(Mailbox(address: text, name: name)) }
    }

    while index < value.count, out.count < limit {
      let byte = value[index]
      switch byte {
      case 0x22:  // quoted
        index += 1
        while index < value.count, value[index] != 0x22 {
          if value[index] == 0x5c, index + 1 < value.count { index += 1 }
          phrase.append(value[index])
          index += 1
        }
      // A quoted local part is followed at once by `@`.
      case 0x28:  // comment
        var depth = 1
        index += 1
        while index < value.count {
          if value[index] == 0x5c, index + 1 < value.count {
            index += 1
            comment.append(value[index])
          } else if value[index] == 0x28 {
            depth += 1
            comment.append(0x28)
          } else if value[index] == 0x29 {
            depth -= 1
            if depth == 0 { break }
            comment.append(0x29)
          } else {
            comment.append(value[index])
          }
          index += 1
        }
      case 0x3c:  // angle address
        var inner: [UInt8] = []
        index += 1
        while index < value.count, value[index] != 0x3e {
          if value[index] == 0x3c { inner = [] } else { inner.append(value[index]) }
          index += 1
        }
        if address == nil || inner.contains(0x40) { address = inner }
      case 0x2c, 0x3b:  // comma, semicolon
        // An unquoted comma in a name: what is before it has no address yet and an angle address comes later.
        if address == nil, byte == 0x2c, !phrase.contains(0x40), nameGoesOn(value, index + 1) {
          phrase.append(byte)
        } else {
          finish()
        }
      case 0x3a:  // group, unless inside an address or a name
        if address == nil, !phrase.contains(0x40), groupEnds(value, index + 1) {
          phrase = []
        } else {
          phrase.append(byte)
        }
      case 0x3d:  // an encoded word is one token, commas and brackets in it do not count
        if index + 1 < value.count, value[index + 1] == 0x3f, let end = wordEnd(value, index) {
          phrase += value[index..<end]
          index = end - 1
        } else {
          phrase.append(byte)
        }
      default:
        if address == nil || !isSpace(byte) { phrase.append(byte) }
      }
      index += 1
    }
    finish()
    return out
  }

  private static func nameGoesOn(_ value: [UInt8], _ from: Int) -> Bool {
    for index in from..<value.count {
      switch value[index] {
      case 0x3c: return true
      case 0x40, 0x2c, 0x3b, 0x22: return false
      default: continue
      }
    }
    return false
  }

  private static func groupEnds(_ value: [UInt8], _ from: Int) -> Bool { value[from...].contains(0x3b) }

  private static func wordEnd(_ value: [UInt8], _ start: Int) -> Int? {
    var marks = 0
    var index = start + 1
    while index < value.count, index - start < 400 {
      if value[index] == 0x3f {
        marks += 1
        if marks >= 4, index + 1 < value.count, value[index + 1] == 0x3d { return index + 2 }
      }
      index += 1
    }
    return nil
  }
}

/// The part of a mail's text its author wrote now: quoted mail, signatures of devices and reply headers cut off.
///
/// Each line is classed by itself (empty, delimiter, device signature, attribution, mail header, quote, text); the
/// cuts are then rules on the order of classes, because the same line means different things in different places:
/// an attribution with text only below it is a reply under the quote, one with text above is where the reply ends.
/// When everything would be cut, everything is kept: better too much than an empty request.
/// The classes and the order of the rules follow discourse/email_reply_trimmer (MIT); markers of Chinese clients
/// (QQ, 163, Foxmail, Outlook, Gmail, Apple) are ours.
enum ReplyText {
  static func trim(_ text: String, isForward: Bool = false) -> String {
    var source = Preparation.prepared(text)
    if isForward { return source.joinedLines }
    if !source.lines.contains(where: LineClass.mayMark) { return source.joinedLines }
    source.joinAttributions()
    var run = LineRun(source.lines)
    run.cutAtDelimiter()
    run.removeAll(.signature)
    run.keepReplyAtEnd()
    run.cutAtAttributionWithoutQuote()
    run.cutAtAttributionBeforeQuote()
    run.cutTrailingQuote()
    run.removeAll(.attribution)
    run.widenHeaderBlocks()
    run.cutAtHeaders()
    run.removeAll(.header)
    run.cutTrailingQuotesAfterText()
    let result = run.lines.joined(separator: "\n").trimmedBlanks
    return result.isEmpty ? source.original : source.restored(result)
  }
}

// MARK: Rules on the order of classes

/// Lines with their classes, cut together.
private struct LineRun {
  var lines: [Substring]
  var classes: [LineClass]

  init(_ lines: [Substring]) {
    self.lines = lines
    classes = lines.map(LineClass.init)
  }

  mutating func keep(_ count: Int) {
    lines.removeSubrange(count...)
    classes.removeSubrange(count...)
  }

  mutating func removeAll(_ unwanted: LineClass) {
    guard classes.contains(unwanted) else { return }
    let kept = classes.indices.filter { classes[$0] != unwanted }
    lines = kept.map { lines[$0] }
    classes = kept.map { classes[$0] }
  }

  mutating func cutAtDelimiter() {
    if let first = classes.firstIndex(of: .delimiter) { keep(first) }
  }

  /// `^b[^t]+t[te]*$`: attribution first, then no text until the end: the reply is below.
  mutating func keepReplyAtEnd() {
    guard classes.first == .attribution, let start = classes.firstIndex(of: .text), start > 1,
      classes[start...].allSatisfy({ $0 == .text || $0 == .empty })
    else { return }
    lines.removeSubrange(..<start)
    classes = lines.map { _ in .text }
    isSettled = true
  }
  /// The reply was found below the quote; nothing else applies.
  var isSettled = false

  /// `te*b[^q]*$`: an attribution under text with no quote after it.
  mutating func cutAtAttributionWithoutQuote() {
    guard !isSettled else { return }
    for index in classes.indices where classes[index] == .attribution {
      if let text = textBefore(index), !classes[index...].contains(.quote) { return keep(text + 1) }
    }
  }

  /// `te*b[eqbh]*([te]*)$` with fewer than seven lines of text behind.
  mutating func cutAtAttributionBeforeQuote() {
    guard !isSettled else { return }
    for index in classes.indices where classes[index] == .attribution {
      guard let text = textBefore(index) else { continue }
      var at = index + 1
      while at < classes.count, [.empty, .quote, .attribution, .header].contains(classes[at]) { at += 1 }
      let tail = classes[at...]
      if tail.allSatisfy({ $0 == .text || $0 == .empty }), tail.count(where: { $0 == .text }) < 7 {
        return keep(text + 1)
      }
    }
  }

  /// `t?e*[qbe]+$`: quotes down to the end.
  mutating func cutTrailingQuote() {
    guard !isSettled else { return }
    var start = classes.count
    while start > 0, [.quote, .attribution, .empty].contains(classes[start - 1]) { start -= 1 }
    guard start < classes.count else { return }
    keep(start > 0 && classes[start - 1] == .text ? start : min(start + 1, classes.count))
  }

  /// `h+[hte]+h+e`: headers that span lines are headers throughout.
  mutating func widenHeaderBlocks() {
    guard !isSettled, let first = classes.firstIndex(of: .header) else { return }
    var end = first
    while end < classes.count, [.header, .text, .empty].contains(classes[end]) { end += 1 }
    // The longest run that ends in a header and an empty line, with something between.
    var last = end - 1
    while last > first + 2 {
      if classes[last] == .empty, classes[last - 1] == .header { break }
      last -= 1
    }
    guard last > first + 2 else { return }
    for index in first...last { classes[index] = .header }
  }

  /// `t[eq]*h{3,}`.
  mutating func cutAtHeaders() {
    guard !isSettled else { return }
    var index = 0
    while index + 2 < classes.count {
      if classes[index] == .header, classes[index + 1] == .header, classes[index + 2] == .header {
        var before = index - 1
        while before >= 0, classes[before] == .empty || classes[before] == .quote { before -= 1 }
        if before >= 0, classes[before] == .text { return keep(before + 1) }
      }
      index += 1
    }
  }

  mutating func cutTrailingQuotesAfterText() {
    guard !isSettled, classes.contains(.text) else { return }
    var end = classes.count
    while end > 0, classes[end - 1] == .empty || classes[end - 1] == .quote { end -= 1 }
    keep(end)
  }

  /// The line of text before `index` with only empty lines between.
  private func textBefore(_ index: Int) -> Int? {
    var before = index - 1
    while before >= 0, classes[before] == .empty { before -= 1 }
    return before >= 0 && classes[before] == .text ? before : nil
  }
}

// MARK: Before the lines are classed

private struct Preparation {
  var original: String
  var lines: [Substring]
  /// Fenced code, put aside so that its contents are not taken for quotes; each stands as one line of text.
  var code: [(token: String, text: String)] = []

  var joinedLines: String { original }

  static func prepared(_ text: String) -> Preparation {
    var normal = text
    if normal.utf8.contains(0x0d) {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(normal.utf8.count)
      var previous: UInt8 = 0
      for byte in normal.utf8 {
        if byte == 0x0a, previous == 0x0d {
          previous = byte
          continue
        }
        bytes.append(byte == 0x0d ? 0x0a : byte)
        previous = byte
      }
      normal = String(decoding: bytes, as: UTF8.self)
    }
    var lines = Substring.lines(of: normal)
    stripPGP(&lines)
    stripUnsubscribe(&lines)
    var prepared = Preparation(original: "", lines: lines)
    prepared.original = lines.joined(separator: "\n").trimmedBlanks
    prepared.lines = Substring.lines(of: prepared.original)
    prepared.putCodeAside()
    prepared.unfoldEnclosedQuotes()
    for index in prepared.lines.indices { prepared.lines[index] = normalQuoteMarks(prepared.lines[index]) }
    return prepared
  }

  func restored(_ text: String) -> String {
    guard !code.isEmpty else { return text }
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      code.first { $0.token == line }?.text ?? String(line)
    }.joined(separator: "\n")
  }

  private static func stripPGP(_ lines: inout [Substring]) {
    if let first = lines.firstIndex(where: { !$0.isBlank }),
      lines[first].trimmed == "-----BEGIN PGP SIGNED MESSAGE-----"
    {
      lines.removeSubrange(...first)
      if let hash = lines.first, hash.hasPrefix("Hash:") { lines.removeFirst() }
    }
    if let begin = lines.firstIndex(where: {
      $0.has("-----BEGIN PGP SIG") && $0.trimmed == "-----BEGIN PGP SIGNATURE-----"
    }) {
      let end = lines[begin...].firstIndex { $0.trimmed == "-----END PGP SIGNATURE-----" }
      if let end { lines.removeSubrange(begin...end) }
    }
  }

  private static func stripUnsubscribe(_ lines: inout [Substring]) {
    guard let last = lines.lastIndex(where: { !$0.isBlank }) else { return }
    for index in [last, last - 1] where index >= 0 {
      let line = lines[index]
      if line.lowercased().hasPrefix("unsubscribe: "), line.has("@") {
        if index == last || lines[last].has("http:") { lines.removeSubrange(index...) }
        return
      }
    }
  }

  private mutating func putCodeAside() {
    guard lines.contains(where: { $0.begins(with: "```") }) else { return }
    var out: [Substring] = []
    var index = 0
    while index < lines.count {
      let line = lines[index]
      if line.hasPrefix("```"), line.dropFirst(3).allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }),
        let end = lines[(index + 1)...].firstIndex(where: { $0 == "```" })
      {
        let token = "code\u{1}\(code.count)"
        code.append((token, lines[index...end].joined(separator: "\n")))
        out.append(token[...])
        index = end + 1
      } else {
        out.append(line)
        index += 1
      }
    }
    lines = out
  }

  /// `>>> name >>>` … `<<< name <<<` and `>>>>` … `<<<<` round a quote become `> ` before its lines.
  private mutating func unfoldEnclosedQuotes() {
    var index = 0
    while index < lines.count {
      guard lines[index].has(">>>") else {
        index += 1
        continue
      }
      let line = lines[index].trimmed
      guard line.hasPrefix(">>>") else {
        index += 1
        continue
      }
      var closing: String?
      if line.count >= 4, line.allSatisfy({ $0 == ">" }) {
        closing = ""
      } else if line.hasSuffix(">>>"), line.count > 6 {
        closing = line.dropFirst(3).dropLast(3).trimmed
      }
      guard let closing,
        let end = lines[(index + 1)...].firstIndex(where: { candidate in
          let text = candidate.trimmed
          if closing.isEmpty { return text.count >= 4 && text.allSatisfy { $0 == "<" } }
          return text.hasPrefix("<<<") && text.hasSuffix("<<<") && text.count > 6
            && text.dropFirst(3).dropLast(3).trimmed == closing
        })
      else {
        index += 1
        continue
      }
      lines.replaceSubrange(index...end, with: lines[(index + 1)..<end].map { Substring("> " + $0) })
    }
  }

  /// `JB> text`, `| text`, ` >> text`: every quote mark becomes `>`.
  private static func normalQuoteMarks(_ line: Substring) -> Substring {
    guard line.utf8.contains(0x3e) || line.utf8.contains(0x7c) else { return line }
    var rest = line
    var marks = ""
    var found = false
    while true {
      var probe = rest
      var blanks = ""
      while let first = probe.first, first == " " || first == "\t" {
        blanks.append(first)
        probe.removeFirst()
      }
      let initials = probe.prefix { $0.isLetter && $0.isASCII }
      guard initials.count <= 20 else { break }
      let after = probe.dropFirst(initials.count)
      guard let mark = after.first, mark == ">" || (mark == "|" && initials.isEmpty) else { break }
      marks += blanks + ">"
      rest = after.dropFirst()
      found = true
    }
    return found ? Substring(marks + rest) : line
  }

  /// An attribution that its client wrapped over up to four lines becomes one line.
  mutating func joinAttributions() {
    var index = 0
    while index < lines.count {
      defer { index += 1 }
      var matched = Attribution.matches(lines[index])
      guard matched || Attribution.begins(lines[index]) else { continue }
      let quoted = lines[index].trimmed.hasPrefix(">")
      var joined = String(lines[index])
      var last = index
      for extra in 1...4 where index + extra < lines.count {
        let next = lines[index + extra].trimmed
        if matched {
          // Complete already, but its verb may stand alone on the next line.
          if next.isEmpty { continue }
          if Attribution.isBareClosing(next[...]) { last = index + extra }
          break
        }
        if next.isEmpty { continue }
        if next.hasPrefix(">"), !quoted, !next.hasPrefix(">:"), !Attribution.isBareClosing(next[...]) { break }
        if index + extra > last + 2 { break }
        joined += " " + next.drop { $0 == ">" && quoted || $0 == " " }
        last = index + extra
        matched = Attribution.matches(joined[...])
        if matched, joined.hasSuffix(":") || joined.hasSuffix("：") { break }
      }
      if matched, last > index { lines.replaceSubrange(index...last, with: [Substring(joined)]) }
    }
  }
}

extension Substring {
  /// Without ASCII white space at either end.
  var trimmed: String { String(trimmedSlice) }
  var trimmedSlice: Substring {
    let bytes = utf8
    guard let first = bytes.firstIndex(where: { !isSpace($0) }), let last = bytes.lastIndex(where: { !isSpace($0) })
    else { return Substring() }
    return Substring(bytes[first...last])
  }
  var isBlank: Bool {
    guard let first = utf8.first(where: { !isSpace($0) }) else { return true }
    // Nothing that is blank and not ASCII begins otherwise: U+0085 and U+00A0, U+1680 and U+2000 on, U+FEFF.
    guard first == 0xc2 || (first >= 0xe1 && first <= 0xef) else { return false }
    return allSatisfy { $0.isWhitespace || $0 == "\u{feff}" || $0 == "\u{200b}" }
  }
}

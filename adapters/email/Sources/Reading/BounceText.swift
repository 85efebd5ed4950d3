/// What the words of a bounce say: who, why, which mail.
enum BounceText {
  /// RFC 3463 codes of class x.0.9xx for reasons whose report gave no code (the convention of Sisimai, BSD-2-Clause):
  /// such a code says that the reader, not the peer, concluded it.
  static let impliedDetail: [String: String] = [
    "undefined": "900", "onhold": "901", "filtered": "910", "userunknown": "911", "hostunknown": "912",
    "hasmoved": "916", "rejected": "918", "suspend": "921", "mailboxfull": "922", "mesgtoobig": "923",
    "systemerror": "930", "notaccept": "932", "mailererror": "939", "networkerror": "944", "expired": "947",
    "securityerror": "970", "policyviolation": "972", "spamdetected": "980", "authfailure": "970",
  ]

  /// Recipients a text-only report names: first those in the places where such reports put them, else any address
  /// that is neither ours nor the sender's.
  static func recipients(in text: String, excluding own: [String]) -> [BouncedRecipient] {
    let part = explanation(in: text)
    let excluded = Set(own.map { $0.lowercased() })
    var strong: [String] = []
    var weak: [String] = []
    var afterMark = false
    var sinceMark = 0
    for line in part.split(omittingEmptySubsequences: false, whereSeparator: { $0.isNewline }) {
      let bare = line.trimmed
      if bare.isEmpty { continue }
      let found = addresses(in: bare[...]).filter {
        let lower = $0.lowercased()
        return !excluded.contains(lower) && !lower.hasPrefix("postmaster@") && !lower.hasPrefix("mailer-daemon@")
          && !lower.hasPrefix("abuse@")
      }
      let lower = bare.lowercased()
      if afterMark {
        sinceMark += 1
        if found.isEmpty, sinceMark > 3 { afterMark = false }
      }
      let marked = lower.hasAny(marks)
      if marked {
        afterMark = true
        sinceMark = 0
      }
      let placed = placedAddress(bare)
      for address in found {
        if placed || afterMark || marked { append(address, to: &strong) } else { append(address, to: &weak) }
      }
    }
    let chosen = strong.isEmpty ? Array(weak.prefix(5)) : strong
    return chosen.prefix(100).map { BouncedRecipient(address: $0, diagnostic: "") }
  }

  private static func append(_ address: String, to list: inout [String]) {
    if !list.contains(where: { $0.lowercased() == address.lowercased() }), list.count < 100 { list.append(address) }
  }

  /// `<user@host>:`, `user@host: host said`, `<user@host>... User unknown`, `Recipient: user@host`.
  private static func placedAddress(_ line: String) -> Bool {
    let lower = line.lowercased()
    if lower.hasPrefix("<") { return true }
    for label in ["recipient", "to:", "收件人", "收信人", "to <", "user:", "address:", "receiver", "recipients:", "接收人"] {
      if lower.hasPrefix(label) { return true }
    }
    if let at = lower.firstIndex(of: "@"), let colon = lower[at...].firstIndex(of: ":") {
      return !lower[..<colon].has(" ")
    }
    return false
  }

  private static let marks: [StaticString] = [
    "following address", "following recipient", "could not be delivered to", "was not delivered to",
    "unable to deliver",
    "had permanent fatal errors", "had transient non-fatal errors", "failed permanently", "did not reach",
    "not deliver", "unknown user", "user unknown", "deliver to", "cannot be delivered", "undeliverable to", "无法送达",
    "无法发送到", "无法投递到", "不存在", "退信收件人", "收件人邮件地址", "following addresses had", "delivery to", "delivered to",
    "mailbox", "no such user", "recipient rejected",
  ]

  /// The report's own words, without the returned mail below them.
  static func explanation(in text: String) -> String {
    var out: [Substring] = []
    var count = 0
    for line in text.split(omittingEmptySubsequences: false, whereSeparator: { $0.isNewline }) {
      let lower = line.lowercased()
      if count > 0, lower.hasAny(copyMarks) { break }
      if count > 0, lower.hasPrefix("received:") || lower.hasPrefix("return-path:") { break }
      out.append(line)
      count += line.utf8.count
      if count > 16_384 { break }
    }
    return out.joined(separator: "\n")
  }

  private static let copyMarks: [StaticString] = [
    "below this line is a copy", "this is a copy of the message", "original message follows",
    "original message headers",
    "header of the original message", "unsent message below", "message header follows", "headers of the original",
    "--- original message", "original message -----", "message headers follow", "here is a copy of your original",
    "the original message", "copy of the message",
  ]

  /// The line that explains, for reports that have no Diagnostic-Code.
  static func diagnostic(in text: String) -> String {
    let part = explanation(in: text)
    for line in part.split(whereSeparator: { $0.isNewline }) {
      if status(in: line) != nil || line.has("退信原因") || line.has("said:") { return line.trimmed }
    }
    return part
  }

  /// The id of the returned mail where its headers stand in the text.
  static func messageID(in text: String) -> String? {
    for line in text.split(whereSeparator: { $0.isNewline }) {
      var bare = line.trimmed
      while bare.first == ">" || bare.first == " " { bare.removeFirst() }
      guard bare.lowercased().hasPrefix("message-id:") else { continue }
      let value = Array(bare.utf8.dropFirst(11))
      guard value.contains(0x3c) else { continue }
      return MessageID.own(in: value)
    }
    return nil
  }

  /// Addresses in a line; what stands in brackets or bare.
  static func addresses(in line: Substring) -> [String] {
    var out: [String] = []
    let bytes = Array(line.utf8)
    func isPart(_ byte: UInt8) -> Bool {
      switch byte {
      case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: return true
      default: return ".!#$%&'*+-/=?^_`{|}~".utf8.contains(byte)
      }
    }
    var index = 0
    while index < bytes.count, out.count < 50 {
      guard bytes[index] == 0x40 else {
        index += 1
        continue
      }
      var start = index
      while start > 0, isPart(bytes[start - 1]) { start -= 1 }
      var end = index + 1
      while end < bytes.count, isHostByte(bytes[end]) { end += 1 }
      while end > index + 1, bytes[end - 1] == 0x2e || bytes[end - 1] == 0x2d { end -= 1 }
      while start < index, "'`=/".utf8.contains(bytes[start]) { start += 1 }
      if start < index, end > index + 1 {
        var address = String(decoding: bytes[start..<end], as: UTF8.self)
        for prefix in ["mailto:", "rfc822;"] where address.lowercased().hasPrefix(prefix) {
          address.removeFirst(prefix.count)
        }
        out.append(address)
      }
      index = max(end, index + 1)
    }
    return out
  }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    switch byte {
    case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2e, 0x2d, 0x5f: return true
    default: return false
    }
  }

  /// The first RFC 3463 code in a text: class 2, 4 or 5, no part of an address of four numbers.
  static func status(in text: Substring) -> String? {
    let bytes = Array(text.utf8)
    var index = 0
    while index + 4 < bytes.count {
      defer { index += 1 }
      guard bytes[index] == 0x32 || bytes[index] == 0x34 || bytes[index] == 0x35, bytes[index + 1] == 0x2e else {
        continue
      }
      if index > 0 {
        let before = bytes[index - 1]
        if (before >= 0x30 && before <= 0x39) || before == 0x2e || (before | 0x20 >= 0x61 && before | 0x20 <= 0x7a) {
          continue
        }
      }
      var at = index + 2
      let subjectStart = at
      while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39 { at += 1 }
      guard at - subjectStart >= 1, at - subjectStart <= 3, at < bytes.count, bytes[at] == 0x2e else { continue }
      at += 1
      let detailStart = at
      while at < bytes.count, bytes[at] >= 0x30, bytes[at] <= 0x39 { at += 1 }
      guard at - detailStart >= 1, at - detailStart <= 3 else { continue }
      if at + 1 < bytes.count, bytes[at] == 0x2e, bytes[at + 1] >= 0x30, bytes[at + 1] <= 0x39 { continue }
      if at < bytes.count, bytes[at] == 0x2d || bytes[at] | 0x20 >= 0x61 && bytes[at] | 0x20 <= 0x7a { continue }
      return String(decoding: bytes[index..<at], as: UTF8.self)
    }
    return nil
  }

  /// Why it failed, one word of a bounded set.
  static func reason(_ words: String, status: String) -> String {
    let lower = words.lowercased()
    for (reason, phrases) in reasons where lower.hasAny(phrases) { return reason }
    switch status {
    case "5.1.1", "5.1.0", "5.1.3", "5.1.10": return "userunknown"
    case "5.1.2", "5.4.4": return "hostunknown"
    case "5.1.6": return "hasmoved"
    case "5.2.2", "4.2.2": return "mailboxfull"
    case "5.2.1", "4.2.1": return "suspend"
    case "5.2.3", "5.3.4": return "mesgtoobig"
    case "5.2.0", "5.3.0": return "filtered"
    case "4.4.7", "5.4.7": return "expired"
    case "4.4.1", "4.4.2", "4.4.4", "5.4.1", "5.4.6": return "networkerror"
    case "5.5.0": return "userunknown"
    default: break
    }
    if status.hasPrefix("5.7.") { return "policyviolation" }
    return "undefined"
  }

  /// In order: the more telling phrase first.
  private static let reasons: [(String, [StaticString])] = [
    (
      "mailboxfull",
      [
        "mailbox full", "mailbox is full", "over quota", "overquota", "quota exceeded", "exceeded storage",
        "exceeds its quota", "exceeded its storage", "insufficient disk", "mailbox for user is full",
        "not enough space",
        "quota", "信箱已满", "邮箱已满", "邮箱空间不足", "空间已满", "容量已满", "out of storage", "user is over",
      ]
    ),
    (
      "authfailure",
      [
        "dmarc", "spf check", "spf validation", "dkim", "sender policy framework", "fails spf", "does not pass",
        "spf record", "spf: fail", "authentication check",
      ]
    ),
    ("notcompliantrfc", ["rfc 5322", "rfc5322", "not rfc 2822", "not compliant with rfc"]),
    ("requireptr", ["ptr record", "reverse dns", "cannot resolve your", "no ptr", "does not have reverse"]),
    (
      "spamdetected",
      [
        "spam", "junk mail", "垃圾邮件", "banned file", "banned name", "banned content", "unsolicited", "banned",
      ]
    ),
    (
      "hostunknown",
      [
        "host unknown", "unknown host", "host not found", "domain not found", "name service error", "no such domain",
        "dns error", "name or domain is too long", "couldn't find any host", "recipient address rejected: domain",
        "domain does not exist", "域名不存在", "找不到域名", "no mx record", "unrouteable mail domain", "bad destination",
        "host or domain name not found. name service error for name", "domain lookup failure", "there was a dns",
      ]
    ),
    (
      "suspend",
      [
        "suspended", "account disabled", "is disabled", "account inactive", "inactive account", "mailbox disabled",
        "has been disabled", "currently suspended", "禁用", "冻结", "停用", "account is inactive", "user is inactive",
        "temporarily disabled", "not active",
      ]
    ),
    (
      "policyviolation",
      ["policy violation", "blocked by policy", "violates", "policy reasons", "message rejected due"]
    ),
    (
      "userunknown",
      [
        "user unknown", "unknown user", "no such user", "mailbox not found", "user not found", "unknown recipient",
        "recipient unknown", "does not exist", "doesn't exist", "no mailbox", "invalid recipient",
        "mailbox unavailable",
        "not a valid mailbox", "unknown address", "address unknown", "no such mailbox", "mailbox name not allowed",
        "user doesn't have", "not listed in", "unknown or illegal alias", "unrouteable address", "no such recipient",
        "recipient not found", "address rejected", "invalid mailbox", "invalid address", "unknown local part",
        "not our customer", "no such address", "not found in", "不存在", "无此用户", "没有此用户", "用户未找到", "地址错误",
        "地址无效", "无效的收件人", "that email account", "no account by that name", "user account does not",
        "unknown account", "delivery failed: invalid", "is not a known user", "invalid final delivery userid",
        "unable to deliver message to <", "bad destination mailbox",
      ]
    ),
    ("mesgtoobig", ["too large", "message size exceeds", "exceeds size", "too big", "size limit", "邮件过大", "超过大小"]),
    (
      "expired",
      [
        "could not be delivered for", "delivery time expired", "retry timeout", "retry time", "message expired",
        "cannot send message for", "not been able to deliver", "timeout exceeded", "cannot send message within",
        "has been in the queue", "message timed out", "delivery expired", "could not send message for past",
      ]
    ),
    (
      "networkerror",
      [
        "connection timed out", "connection refused", "no route to host", "network is unreachable", "could not connect",
        "connection reset", "lost connection", "conversation with", "host name lookup failure", "connect to",
        "mail forwarding loop", "too many hops",
      ]
    ),
    ("securityerror", ["security policy", "tls required", "must issue a starttls", "authentication required"]),
    ("norelaying", ["relaying denied", "relay access denied", "relay not permitted", "unable to relay"]),
    ("mailererror", ["unknown mailer error", "exited with value", "command failed", "pipe to"]),
    ("hasmoved", ["has moved", "has been moved", "no longer works", "moved to"]),
    ("onhold", ["contact the administrator"]),
    ("filtered", ["filtered", "rejected by recipient", "refused by recipient", "blocked by the recipient"]),
    ("systemerror", ["local configuration error", "system error", "i/o error", "server error", "internal error"]),
  ]
}

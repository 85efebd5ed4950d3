/// The token of a request as it stands in a subject: `[案件 20240506-0017]`, `[Case 20240506-0017]`, `[#request_01h…]`.
/// Found, not believed: it counts only from a sender known to that request.
enum SubjectToken {
  static func find(in subject: String) -> String? {
    var rest = subject[...]
    while let open = rest.firstIndex(where: { $0 == "[" || $0 == "【" || $0 == "［" }) {
      rest = rest[rest.index(after: open)...]
      guard let close = rest.firstIndex(where: { $0 == "]" || $0 == "】" || $0 == "］" }) else { return nil }
      let inner = rest[..<close].trimmed
      for keyword in ["案件", "请求", "工单", "Case", "case", "Request", "request", "Ticket", "ticket", "#", "No.", "编号"] {
        guard inner.hasPrefix(keyword), !inner.hasPrefix("request_") else { continue }
        let token = inner.dropFirst(keyword.count).drop { " :：#".contains($0) }
        if isToken(token) { return String(token) }
      }
      if isToken(inner[...]), inner.has("_") { return inner }
      rest = rest[close...]
    }
    return nil
  }

  private static func isToken(_ text: Substring) -> Bool {
    text.utf8.count >= 4 && text.utf8.count <= 80 && text.contains(where: \.isNumber)
      && text.utf8.allSatisfy {
        ($0 >= 0x30 && $0 <= 0x39) || ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7a) || $0 == 0x2d || $0 == 0x5f || $0 == 0x2e
      }
  }
}

/// Customer numbers a customer wrote into the text: "客户号：62007919". A claim, never proof.
enum CustomerNumberClaim {
  static func find(in text: String) -> [String] {
    var found: [String] = []
    for keyword in keywords {
      var rest = text[...]
      while let offset = rest.firstOffset(of: keyword), found.count < 5 {
        rest = Substring(rest.utf8.dropFirst(offset + keyword.utf8CodeUnitCount))
        let digits = rest.drop { " :：.．为是码#\u{3000}\t".contains($0) }.prefix { $0.isASCII && $0.isNumber }
        if digits.count >= 5, digits.count <= 20, !found.contains(String(digits)) { found.append(String(digits)) }
      }
    }
    return found
  }

  private static let keywords: [StaticString] = [
    "客户号", "客户编号", "客户编码", "客戶編號", "客戶號", "客户号码", "customer no", "customer number", "Customer No",
  ]
}

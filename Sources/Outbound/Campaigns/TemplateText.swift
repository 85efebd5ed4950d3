import Channels
import ContactModel

/// Fills the words of a campaign in for one customer, and says what they will weigh.
public enum TemplateText {
  /// The names between double braces, in order.
  public static func placeholders(in text: String) -> [String] {
    text.split(separator: "{{", omittingEmptySubsequences: false).dropFirst().compactMap { part in
      part.firstRange(of: "}}").map { String(part[..<$0.lowerBound]).trimmed }
    }
  }

  /// `text` with its placeholders filled in; one without a value stays as it is, so that a test sees it.
  public static func fill(_ text: String, _ values: [String: String]) -> String {
    var out = ""
    for (index, part) in text.split(separator: "{{", omittingEmptySubsequences: false).enumerated() {
      guard index > 0 else {
        out += part
        continue
      }
      guard let end = part.firstRange(of: "}}"), let value = values[String(part[..<end.lowerBound]).trimmed] else {
        out += "{{" + part
        continue
      }
      out += value + part[end.upperBound...]
    }
    return out
  }

  /// How many SMS one text is: 160 characters of the GSM alphabet (153 each of several), else 70 of UCS-2 (67 each).
  /// Source: 3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24.1.
  public static func segments(of text: String) -> Int {
    var septets = 0
    var isGSM = true
    for scalar in text.unicodeScalars {
      if gsm.contains(scalar) {
        septets += 1
      } else if gsmExtension.contains(scalar) {
        septets += 2
      } else {
        isGSM = false
      }
    }
    if isGSM { return septets <= 160 ? 1 : (septets + 152) / 153 }
    let units = text.utf16.count
    return units <= 70 ? 1 : (units + 66) / 67
  }

  private static let gsm = Set(
    """
    @£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
    abcdefghijklmnopqrstuvwxyzäöñüà
    """.unicodeScalars)
  private static let gsmExtension = Set("\u{0c}^{}\\[~]|€".unicodeScalars)
}

extension String {
  fileprivate var trimmed: String {
    String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
  }
}

extension CampaignPlan.Arm {
  /// What one customer is told, by channel, in his language where the arm speaks it.
  public func contents(
    for customer: Customer, link: String?, canUnsubscribe: Bool = false
  ) -> [String: Dispatch.Content] {
    var values = ["name": customer.name, "customer_no": customer.customerNo.description]
    values["preference_link"] = link ?? ""
    let wanted = customer.language?.split(separator: "-").first.map(String.init) ?? "zh"
    var out: [String: Dispatch.Content] = [:]
    for (channel, languages) in contents {
      let language = languages[wanted] == nil ? languages.keys.sorted(by: >).first : wanted
      guard let language, let words = languages[language] else { continue }
      var content = Dispatch.Content(
        subject: words.subject.map { TemplateText.fill($0, values) }, text: TemplateText.fill(words.text, values),
        language: language)
      // RFC 8058: the mail program's own button. Only promotional purposes can be unsubscribed from.
      if channel == OutboundChannel.email.rawValue, canUnsubscribe, let link {
        content.options["unsubscribe"] = "\(link)/unsubscribe?c=email"
      }
      out[channel] = content
    }
    return out
  }
}

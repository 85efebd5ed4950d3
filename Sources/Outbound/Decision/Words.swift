import Channels
import ContactModel

/// A language decisions are explained in.
public enum Language: String, Hashable, Sendable, Codable, CaseIterable {
  case zh, en
}

extension Reason {
  /// The reason as a clause a person reads in a record, a list or a log.
  public func words(in language: Language) -> String {
    let (zh, en) = pair
    return language == .zh ? zh : en
  }

  private var pair: (zh: String, en: String) {
    switch self {
    case .badRequest: ("请求有误：用途未知或没有可选渠道", "the request is faulty: unknown purpose or no channel offered")
    case .unknownCustomer: ("查无此客户", "there is no such customer")
    case .expired: ("已过有效期", "its time has passed")
    case .customerBlocked: ("客户已故，转遗产处理", "the customer has died; the estates desk handles this")
    case .legalStop: ("法律或合规要求停止此用途", "a legal stop covers this purpose")
    case .killSwitch: ("全行紧急停发已开启", "the bank has stopped all but critical contacts")
    case .duplicateSent: ("同一事项已发送过", "the same has been sent before")
    case .duplicateInFlight: ("同一事项正在发送", "the same is being sent now")
    case .duplicateInDoubt:
      ("同一事项的上次发送结果不明，须先核实", "whether the same was sent before is in doubt and must be cleared first")
    case .notInGroup: ("客户已不在该客户群", "the customer is no longer in the group")
    case .minor: ("客户未成年，此用途禁止", "the customer is a minor, which this purpose excludes")
    case .minorUseGuardian: ("客户未成年，请联系监护人", "the customer is a minor; his guardian is to be contacted")
    case .holdout: ("客户在对照组", "the customer is in the control group")
    case .householdDuplicate: ("同一家庭已有人收到", "somebody of the same household has had it")
    case .addressDuplicate:
      ("同一地址已联系过本活动的另一位客户", "another customer of the campaign was reached at the same address")
    case .campaignEnded: ("活动已取消", "the campaign was cancelled")
    case .deferPaused: ("活动已暂停", "the campaign is paused")
    case .channelUnknown: ("渠道不存在", "there is no such channel")
    case .channelPolicy: ("此用途不使用该渠道", "this purpose does not use the channel")
    case .noAddress: ("没有该渠道的联系地址", "no address for it is known")
    case .addressBounced: ("该地址曾被退回", "the address has bounced")
    case .addressInvalid: ("该地址无效", "the address is invalid")
    case .addressReassigned: ("该号码已转给他人", "the address belongs to somebody else now")
    case .addressComplaint: ("该地址曾投诉", "the address has complained")
    case .addressStop: ("该地址已退订", "the address has told us to stop")
    case .addressUnverified: ("内容保密而地址未核实", "the content is confidential and the address not verified")
    case .relationshipManagerOnly: ("该客户只由客户经理联系", "only his manager may contact this customer")
    case .preferenceDeny: ("客户不愿通过该渠道接收", "the customer does not want it")
    case .noConsent: ("客户未同意此用途", "the customer has not consented to this purpose")
    case .consentExpired: ("客户的同意已过期", "the customer's consent has run out")
    case .registryDoNotCall: ("号码在谢绝来电名单上", "the number is on a do-not-call register")
    case .deferNotBefore: ("未到约定开始时间", "it is not to go earlier")
    case .deferRequested: ("未到客户要求的时间", "the customer asked for that time")
    case .deferStatutoryWindow: ("不在法定可联系时段", "the law's hours are closed")
    case .deferBankWindow: ("不在本行联系时段", "the bank's hours are closed")
    case .deferDoNotDisturb: ("客户设有免打扰", "the customer does not want to be disturbed then")
    case .deferCap: ("已达联系次数上限", "the cap on contacts is reached")
    case .deferFlood: ("一小时内联系过多", "there were too many contacts within an hour")
    case .deferChannelDown: ("渠道暂不可用", "the channel is down")
    case .noTime: ("可预见的时间内无允许时段", "no time is open within the horizon")
    case .noChannel: ("没有可用渠道", "no channel may be used")
    case .noTimeBeforeExpiry: ("有效期内没有可联系的时间", "no time is open before it expires")
    case .sendPreferred: ("客户首选该渠道", "the customer prefers it")
    case .sendRequested: ("客户要求此次联系", "the customer asked for this contact")
    case .sendLearned: ("客户平时多用该渠道", "he answers there most")
    case .sendDefault: ("按此用途的默认顺序", "it is first in the purpose's order")
    case .sendFallback: ("更优先的渠道等待过久", "the better channel would take too long")
    case .sendCriticalLastResort:
      ("重要通知，别无渠道，虽客户不愿", "it is critical and nothing else is left, though he does not want it")
    case .sendOverride: ("经复核豁免一项行内规则", "a rule of the bank was waived by two people")
    }
  }
}

extension OutboundChannel {
  public func words(in language: Language) -> String {
    switch (self, language) {
    case (.phone, .zh): "电话"
    case (.sms, .zh): "短信"
    case (.email, .zh): "电子邮件"
    case (.fax, .zh): "传真"
    case (.sms, .en): "SMS"
    case (.email, .en): "e-mail"
    default: rawValue
    }
  }
}

extension Decision {
  /// The whole decision in words: what, by which channel, when, why, and why not by the others.
  public func words(in language: Language) -> String {
    let why = reason.words(in: language)
    let others = refused.map { refusal in
      let channel = refusal.channel.words(in: language)
      let text = refusal.reason.words(in: language)
      return language == .zh ? "\(channel)：\(text)" : "\(channel): \(text)"
    }
    var sentence: String
    switch (verdict, language) {
    case (.send(let channel), .zh): sentence = "通过\(channel.words(in: .zh))发送：\(why)"
    case (.send(let channel), .en): sentence = "Send by \(channel.words(in: .en)): \(why)"
    case (.defer(let channel, let until), .zh):
      sentence = "推迟至 \(until)\(channel.map { "（\($0.words(in: .zh))）" } ?? "")：\(why)"
    case (.defer(let channel, let until), .en):
      sentence = "Wait until \(until)\(channel.map { " (\($0.words(in: .en)))" } ?? ""): \(why)"
    case (.refuse, .zh): sentence = "不联系：\(why)"
    case (.refuse, .en): sentence = "Do not contact: \(why)"
    }
    if !others.isEmpty {
      sentence +=
        language == .zh ? "。不用 " + others.joined(separator: "；") : ". Not by " + others.joined(separator: "; ")
    }
    return sentence + (language == .zh ? "。" : ".")
  }
}

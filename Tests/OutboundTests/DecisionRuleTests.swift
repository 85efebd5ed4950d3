import Channels
import ContactModel
import Outbound
import Testing

/// One rule a row, by the words of the specification: what the worked cases leave unsaid.
@Suite struct DecisionRuleTests {
  /// The case, the verdict as `send sms`, `defer phone 2026-…Z` or `refuse`, the reason, the refused channels.
  struct Row: Sendable, CustomStringConvertible {
    var title: String
    var input: String
    var verdict: String
    var reason: Reason
    var refused: String
    var description: String { title }

    init(_ title: String, _ input: String, _ verdict: String, _ reason: Reason, _ refused: String = "") {
      self.title = title
      self.input = input
      self.verdict = verdict
      self.reason = reason
      self.refused = refused
    }
  }

  private static func allow(
    _ channel: String, _ at: String = "2026-01-05", _ source: String = "customer", purpose: String = "marketing"
  ) -> String {
    #"{"ch":"\#(channel)","purpose":"\#(purpose)","v":"allow","at":"\#(at)T09:00:00+08:00","src":"\#(source)"}"#
  }
  private static func deny(
    _ channel: String, _ at: String = "2026-01-05", _ source: String = "customer", purpose: String = "marketing"
  ) -> String {
    #"{"ch":"\#(channel)","purpose":"\#(purpose)","v":"deny","at":"\#(at)T09:00:00+08:00","src":"\#(source)"}"#
  }
  private static func calls(_ count: Int, answered: Bool, hour: Int) -> String {
    (0..<count).map {
      #"{"purpose":"collections","ch":"phone","at":"2026-03-10T0\#(hour):1\#($0):00+08:00","answered":\#(answered)}"#
    }.joined(separator: ",")
  }

  static let requestRules: [Row] = [
    Row("unknown purpose", #""purpose":"spam","candidates":["sms"]"#, "refuse", .badRequest),
    Row("no purpose", #""candidates":["sms"]"#, "refuse", .badRequest),
    Row(
      "a bad request is said before an unknown customer",
      #""purpose":"service","candidates":[],"flags":{"unknown_customer":true}"#, "refuse", .badRequest),
    Row(
      "an unknown customer is said before expiry",
      #""purpose":"service","candidates":["sms"],"flags":{"unknown_customer":true},"not_after":"2026-01-01T00:00:00Z""#,
      "refuse", .unknownCustomer),
    Row(
      "legal stop on everything", #""purpose":"security","candidates":["sms"],"flags":{"legal_stop":true}"#, "refuse",
      .legalStop),
    Row(
      "kill switch lets regulatory pass", #""purpose":"regulatory","candidates":["sms"],"flags":{"kill_switch":true}"#,
      "send sms", .sendDefault),
    Row(
      "already sent", #""purpose":"security","candidates":["sms"],"flags":{"duplicate":"sent"}"#, "refuse",
      .duplicateSent),
    Row(
      "being sent", #""purpose":"security","candidates":["sms"],"flags":{"duplicate":"in_flight"}"#, "refuse",
      .duplicateInFlight),
    Row(
      "a minor is reached through his guardian",
      #""purpose":"security","candidates":["sms"],"flags":{"minor":true}"#, "refuse", .minorUseGuardian),
    Row(
      "one of the household had it",
      #""purpose":"marketing","candidates":["sms"],"flags":{"household_dup":true},"prefs":[\#(allow("sms"))]"#,
      "refuse", .householdDuplicate),
    Row(
      "care is not limited to one a household",
      #""purpose":"care","candidates":["sms"],"flags":{"household_dup":true}"#, "send sms", .sendDefault),
    Row(
      "pause does not hold back security", #""purpose":"security","candidates":["sms"],"flags":{"paused":true}"#,
      "send sms", .sendDefault),
    Row(
      "paused until it expires",
      #""purpose":"care","candidates":["sms"],"flags":{"paused":true},"not_after":"2026-03-10T10:01:00+08:00""#,
      "refuse", .noTimeBeforeExpiry),
  ]

  static let channelRules: [Row] = [
    Row("fax is not for care", #""purpose":"care","candidates":["fax"]"#, "refuse", .noChannel, "fax CH_POLICY"),
    Row(
      "general STOP blocks a transaction notice",
      #""purpose":"transaction","candidates":["sms"],"addr":{"sms":{"stop":"all"}}"#, "refuse", .noChannel,
      "sms ADDR_STOP"),
    Row(
      "even a regulatory notice",
      #""purpose":"regulatory","candidates":["sms"],"addr":{"sms":{"stop":"all"}}"#, "refuse", .noChannel,
      "sms ADDR_STOP"),
    Row(
      "reassigned number, security", #""purpose":"security","candidates":["sms"],"addr":{"sms":{"bad":"reassigned"}}"#,
      "refuse", .noChannel, "sms ADDR_REASSIGNED"),
    Row(
      "address state is said before its stop",
      #""purpose":"marketing","candidates":["sms"],"addr":{"sms":{"bad":"invalid","stop":"all"}}"#, "refuse",
      .noChannel,
      "sms ADDR_INVALID"),
    Row(
      "an address nobody spoke of is not verified",
      #""purpose":"service","candidates":["sms"],"addr":{"sms":{}},"confidential":true"#, "refuse", .noChannel,
      "sms ADDR_UNVERIFIED"),
    Row(
      "only the manager may", #""purpose":"service","candidates":["sms","email"],"flags":{"rm_only":true}"#, "refuse",
      .noChannel, "email RM_ONLY,sms RM_ONLY"),
    Row(
      "a transaction notice passes by the manager",
      #""purpose":"transaction","candidates":["sms"],"flags":{"rm_only":true}"#, "send sms", .sendDefault),
    Row("no consent", #""purpose":"marketing","candidates":["sms"]"#, "refuse", .noChannel, "sms NO_CONSENT"),
    Row(
      "consent for one channel is none for another",
      #""purpose":"marketing","candidates":["sms","phone"],"prefs":[\#(allow("phone"))]"#, "send phone", .sendDefault,
      "sms NO_CONSENT"),
    Row(
      "consent on every channel names the purpose",
      #""purpose":"marketing","candidates":["email"],"prefs":[\#(allow("*"))]"#, "send email", .sendDefault),
    Row(
      "on the register without consent",
      #""purpose":"marketing","candidates":["phone"],"addr":{"phone":{"registry_dnc":true}}"#, "refuse", .noChannel,
      "phone NO_CONSENT"),
    Row(
      "the register does not concern service",
      #""purpose":"service","candidates":["phone"],"addr":{"phone":{"registry_dnc":true}}"#, "send phone",
      .sendDefault),
    Row(
      "opt-out then opt-in by the customer",
      #""purpose":"marketing","candidates":["sms"],"prefs":[\#(deny("sms")),\#(allow("sms", "2026-02-01"))]"#,
      "send sms", .sendDefault),
    Row(
      "a general deny is undone by a later particular allow",
      #""purpose":"marketing","candidates":["sms"],"prefs":[\#(deny("*", purpose: "*")),"#
        + #"\#(allow("sms", "2026-02-01"))]"#,
      "send sms", .sendDefault),
    Row(
      "an agent's deny is taken",
      #""purpose":"service","candidates":["sms"],"prefs":[\#(deny("sms", "2026-01-05", "agent", purpose: "*"))]"#,
      "refuse", .noChannel, "sms PREF_DENY"),
    Row(
      "an agent's deny is undone by an agent",
      #""purpose":"marketing","candidates":["sms"],"prefs":[\#(deny("sms", "2026-01-05", "agent")),"#
        + #"\#(allow("sms", "2026-02-01", "agent"))]"#, "send sms", .sendDefault),
    Row(
      "a deny that has run out denies no more",
      #""purpose":"service","candidates":["sms"],"prefs":[{"ch":"sms","purpose":"*","v":"deny","#
        + #""at":"2026-01-05T09:00:00+08:00","until":"2026-03-10T10:00:00+08:00","src":"customer"}]"#,
      "send sms", .sendDefault),
    Row(
      "a later weak deny does not soften an earlier strong one",
      #""purpose":"service","candidates":["sms"],"prefs":[\#(deny("sms", "2026-01-01", purpose: "service")),"#
        + #"\#(deny("*", "2026-01-02", "import", purpose: "*")),\#(allow("*", "2026-01-03", purpose: "*"))]"#,
      "refuse", .noChannel, "sms PREF_DENY"),
    Row(
      "a critical notice prefers what is not refused",
      #""purpose":"regulatory","candidates":["email","sms"],"prefs":[\#(deny("email", purpose: "*"))]"#, "send sms",
      .sendDefault),
  ]

  static let timeRules: [Row] = [
    Row(
      "no override waives the law's hours",
      #""purpose":"care","candidates":["phone"],"now":"2026-03-10T22:00:00+08:00","override":["BANK_WINDOW"]"#,
      "defer phone 2026-03-11T00:00:00.000Z", .deferStatutoryWindow),
    Row(
      "an override of what nobody may waive waives nothing",
      #""purpose":"care","candidates":["phone"],"now":"2026-03-10T22:00:00+08:00","#
        + #""override":["STATUTORY_WINDOW","DND"]"#,
      "defer phone 2026-03-11T01:00:00.000Z", .deferBankWindow),
    Row(
      "an override that was not needed is not the reason",
      #""purpose":"service","candidates":["phone"],"override":["BANK_WINDOW","CHANNEL"],"force_channel":"phone""#,
      "send phone", .sendDefault),
    Row(
      "no override waives a cap of the law",
      #""purpose":"collections","candidates":["phone"],"override":["BANK_CAP"],"#
        + #""history":[\#(calls(3, answered: true, hour: 9))]"#,
      "defer phone 2026-03-11T01:00:00.000Z", .deferBankWindow),
    Row(
      "six unanswered calls use up no cap of answered ones",
      #""purpose":"collections","candidates":["phone"],"history":[\#(calls(6, answered: false, hour: 9))]"#,
      "send phone",
      .sendDefault),
    Row(
      "the calendar day is the customer's",
      #""purpose":"collections","candidates":["phone"],"now":"2026-03-10T15:30:00Z","tz":["Europe/London"],"#
        + #""history":[\#(calls(3, answered: true, hour: 9))]"#,
      "defer phone 2026-03-11T09:00:00.000Z", .deferBankWindow),
    Row(
      "an attempt proved unsent counts for nothing",
      #""purpose":"marketing","candidates":["phone"],"prefs":[\#(allow("phone"))],"history":[{"purpose":"marketing","#
        + #""ch":"phone","at":"2026-03-09T10:00:00+08:00","state":"released"}]"#, "send phone", .sendDefault),
    Row(
      "19 in the last hour are no flood",
      #""purpose":"security","candidates":["sms"],"history":["#
        + (0..<19).map { _ in #"{"purpose":"security","ch":"sms","at":"2026-03-10T09:30:00+08:00"}"# }
        .joined(separator: ",") + "]", "send sms", .sendDefault),
    Row(
      "DND of one channel leaves the other",
      #""purpose":"transaction","candidates":["sms","email"],"dnd":[{"ch":"sms","from":"09:00","to":"12:00"}]"#,
      "send email", .sendFallback),
    Row(
      "DND over midnight belongs to the day it began",
      #""purpose":"transaction","candidates":["sms"],"now":"2026-03-14T06:00:00+08:00","#
        + #""dnd":[{"from":"22:00","to":"07:30","days":[5]}]"#,
      "defer sms 2026-03-13T23:30:00.000Z", .deferDoNotDisturb),
    Row(
      "and not to the day it ends",
      #""purpose":"transaction","candidates":["sms"],"now":"2026-03-14T06:00:00+08:00","#
        + #""dnd":[{"from":"22:00","to":"07:30","days":[6]}]"#, "send sms", .sendDefault),
    Row(
      "DND without end leaves no time",
      #""purpose":"transaction","candidates":["sms"],"dnd":[{"from":"00:00","to":"24:00"}]"#, "refuse",
      .noTimeBeforeExpiry, "sms NO_TIME"),
    Row(
      "a start beyond the horizon is no time",
      #""purpose":"transaction","candidates":["sms"],"not_before":"2026-04-14T10:00:01+08:00""#, "refuse",
      .noTimeBeforeExpiry, "sms NO_TIME"),
    Row(
      "a zone nobody knows is the bank's",
      #""purpose":"care","candidates":["phone"],"now":"2026-03-10T23:00:00+08:00","tz":["Mars/Olympus"]"#,
      "defer phone 2026-03-11T01:00:00.000Z", .deferBankWindow),
    Row(
      "zones that never open together leave no time",
      #""purpose":"survey","candidates":["phone"],"tz":["Asia/Shanghai","America/New_York"]"#, "refuse",
      .noTimeBeforeExpiry, "phone NO_TIME"),
    Row(
      "DST begins: 02:30 does not exist",
      #""purpose":"transaction","candidates":["sms"],"now":"2026-03-08T06:00:00Z","tz":["America/New_York"],"#
        + #""dnd":[{"from":"22:00","to":"02:30"}]"#, "defer sms 2026-03-08T07:00:00.000Z", .deferDoNotDisturb),
    Row(
      "consent that runs out before the window opens is no consent then",
      #""purpose":"marketing","candidates":["sms"],"now":"2026-03-10T22:00:00+08:00","prefs":[{"ch":"sms","#
        + #""purpose":"marketing","v":"allow","at":"2026-01-05T09:00:00+08:00","src":"customer","#
        + #""until":"2026-03-11T08:30:00+08:00"}]"#, "refuse", .noChannel, "sms CONSENT_EXPIRED"),
  ]

  static let choiceRules: [Row] = [
    Row(
      "a learned score orders what he said nothing about",
      #""purpose":"care","candidates":["phone","sms"],"learned":{"phone":0.9}"#, "send phone", .sendLearned),
    Row(
      "no profiling, no score",
      #""purpose":"care","candidates":["phone","sms"],"learned":{"phone":0.9},"flags":{"no_profiling":true}"#,
      "send sms",
      .sendDefault),
    Row(
      "preferred opens within the wait budget",
      #""purpose":"service","candidates":["phone","email"],"now":"2026-03-10T08:30:00+08:00","prefs":[{"ch":"phone","#
        + #""v":"prefer","rank":1,"at":"2026-01-05T09:00:00+08:00","src":"customer"}]"#,
      "defer phone 2026-03-10T01:00:00.000Z", .deferBankWindow),
    Row(
      "nothing within the budget: the earliest",
      #""purpose":"service","candidates":["phone","sms"],"now":"2026-03-10T02:00:00+08:00","prefs":[{"ch":"phone","#
        + #""v":"prefer","rank":1,"at":"2026-01-05T09:00:00+08:00","src":"customer"}]"#,
      "defer sms 2026-03-10T00:00:00.000Z", .deferBankWindow),
    Row(
      "the customer's own request waives deny, window, DND and cap",
      #""purpose":"marketing","candidates":["phone"],"now":"2026-03-10T22:30:00+08:00","prefs":[\#(deny("phone"))],"#
        + #""dnd":[{"from":"20:00","to":"08:00"}],"requested":{"ch":"phone","at":"2026-03-10T22:00:00+08:00"},"#
        + #""history":[{"purpose":"marketing","ch":"phone","at":"2026-03-09T10:00:00+08:00"}]"#,
      "send phone", .sendRequested),
    Row(
      "but not longer than the slack",
      #""purpose":"service","candidates":["phone"],"now":"2026-03-10T20:31:00+08:00","#
        + #""requested":{"ch":"phone","at":"2026-03-10T20:00:00+08:00"}"#,
      "defer phone 2026-03-11T01:00:00.000Z", .deferBankWindow),
    Row(
      "and never a STOP",
      #""purpose":"marketing","candidates":["phone"],"addr":{"phone":{"stop":"promo"}},"#
        + #""requested":{"ch":"phone","at":"2026-03-10T10:00:00+08:00"}"#,
      "refuse", .noChannel, "phone ADDR_STOP"),
    Row(
      "a requested call still to come waits though another channel is free",
      #""purpose":"service","candidates":["phone","sms"],"requested":{"ch":"phone","at":"2026-03-10T16:00:00+08:00"}"#,
      "defer phone 2026-03-10T08:00:00.000Z", .deferRequested),
    Row(
      "an agent's pick does not reach a channel the customer refused",
      #""purpose":"regulatory","candidates":["email","sms"],"prefs":[\#(deny("email", purpose: "*"))],"#
        + #""override":["CHANNEL"],"force_channel":"email""#, "send sms", .sendDefault),
    Row(
      "a pick without its override counts for nothing",
      #""purpose":"service","candidates":["phone","email"],"force_channel":"phone""#, "send email", .sendDefault),
    Row(
      "exactly at the end of the budget is within it",
      #""purpose":"service","candidates":["phone","email"],"now":"2026-03-10T07:00:00+08:00","prefs":[{"ch":"phone","#
        + #""v":"prefer","rank":1,"at":"2026-01-05T09:00:00+08:00","src":"customer"}]"#,
      "defer phone 2026-03-10T01:00:00.000Z", .deferBankWindow),
    Row(
      "a channel named twice is one",
      #""purpose":"service","candidates":["pigeon","sms","pigeon","sms"]"#, "send sms", .sendDefault,
      "pigeon CH_UNKNOWN"),
  ]

  @Test(arguments: requestRules + channelRules + timeRules + choiceRules)
  func `a rule decides`(row: Row) throws {
    var fields = [row.input]
    if !row.input.contains(#""now":"#) { fields.append(#""now":"2026-03-10T10:00:00+08:00""#) }
    if !row.input.contains(#""tz":"#) { fields.append(#""tz":["Asia/Shanghai"]"#) }
    if !row.input.contains(#""addr":"#) {
      fields.append(
        #""addr":{"phone":{"verified":true},"sms":{"verified":true},"email":{"verified":true},"fax":{"verified":true}}"#
      )
    }
    let decision = try Shipped.decision("{" + fields.joined(separator: ",") + "}")
    let verdict =
      switch decision.verdict {
      case .send(let channel): "send \(channel)"
      case .defer(let channel, let until): "defer \(channel?.rawValue ?? "") \(until)"
      case .refuse: "refuse"
      }
    #expect(verdict == row.verdict)
    #expect(decision.reason == row.reason)
    #expect(decision.refused.map { "\($0.channel) \($0.reason.rawValue)" }.joined(separator: ",") == row.refused)
  }
}

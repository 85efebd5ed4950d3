import Channels
import ContactModel

/// One case of `liaison decide`: request, facts and clock as one JSON object with the keys of the worked cases.
///
/// Unknown keys and words are errors, except the name of an override: what no supervisor may waive waives nothing.
public struct DecisionCase: Decodable, Sendable {
  public let request: DecisionRequest
  public let now: Timestamp
  /// All facts but the zones, which need a catalog.
  private let facts: Facts
  private let zoneNames: [String]

  public func facts(zones catalog: ZoneCatalog) -> Facts {
    var facts = facts
    for name in zoneNames {
      if let zone = catalog.zone(named: name) { facts.zones.append(zone) } else { facts.hasUnknownZone = true }
    }
    return facts
  }

  public init(from decoder: any Decoder) throws {
    let fields = try StrictFields(
      decoder,
      [
        "id", "title", "customer_no", "purpose", "candidates", "now", "tz", "addr", "prefs", "dnd", "history",
        "learned",
        "flags", "confidential", "due", "not_before", "not_after", "requested", "override", "force_channel",
      ])
    now = try fields.required(Timestamp.self, "now")
    // A missing purpose or candidate is a bad request, which the decision itself answers.
    var request = DecisionRequest(
      purpose: try fields.optional(Purpose.self, "purpose") ?? Purpose(rawValue: ""),
      candidates: try fields.optional([OutboundChannel].self, "candidates") ?? [])
    request.isConfidential = try fields.flag("confidential")
    request.due = try fields.optional(Timestamp.self, "due")
    request.notBefore = try fields.optional(Timestamp.self, "not_before")
    request.notAfter = try fields.optional(Timestamp.self, "not_after")
    request.requested = try fields.optional(RequestedText.self, "requested")?.contact
    for name in try fields.optional([String].self, "override") ?? [] {
      switch name {
      case "BANK_WINDOW": request.overrides.insert(.bankWindow)
      case "BANK_CAP": request.overrides.insert(.bankCap)
      case "CHANNEL": request.overrides.insert(.channel)
      default: break
      }
    }
    request.forcedChannel = try fields.optional(OutboundChannel.self, "force_channel")
    self.request = request

    var facts = Facts()
    for (channel, text) in try fields.optional([String: AddressText?].self, "addr") ?? [:] {
      if let text { facts.addresses.append(text.fact(for: OutboundChannel(rawValue: channel))) }
    }
    facts.preferences = try fields.optional([PreferenceText].self, "prefs")?.map(\.record) ?? []
    facts.doNotDisturb = try fields.optional([QuietText].self, "dnd")?.map(\.quiet) ?? []
    facts.history = AttemptHistory(try fields.optional([AttemptText].self, "history")?.compactMap(\.entry) ?? [])
    for (channel, score) in try fields.optional([String: Double].self, "learned") ?? [:] {
      facts.learned.append(.init(channel: OutboundChannel(rawValue: channel), score: score))
    }
    try fields.optional(FlagsText.self, "flags")?.apply(to: &facts)
    self.facts = facts
    zoneNames = try fields.optional(ZonesText.self, "tz")?.names ?? []
  }
}

private struct RequestedText: Decodable {
  let contact: DecisionRequest.RequestedContact
  init(from decoder: any Decoder) throws {
    let fields = try StrictFields(decoder, ["ch", "at"])
    contact = .init(
      channel: try fields.required(OutboundChannel.self, "ch"), at: try fields.required(Timestamp.self, "at"))
  }
}

/// One name or a list of them.
private struct ZonesText: Decodable {
  let names: [String]
  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    // Not a single text: then it must be a list, whose error is the one to report.
    if let name = try? container.decode(String.self) {
      names = [name]
    } else {
      names = try container.decode([String].self)
    }
  }
}

private struct AddressText: Decodable {
  enum Bad: String, Decodable { case bounced, invalid, reassigned, complaint }
  private let bad: Bad?
  private let stop: StopScope?
  private let verified: Bool
  private let register: Bool
  private let downUntil: Timestamp?

  init(from decoder: any Decoder) throws {
    let fields = try StrictFields(decoder, ["verified", "bad", "stop", "registry_dnc", "down_until"])
    bad = try fields.optional(Bad.self, "bad")
    stop = try fields.optional(StopScope.self, "stop")
    verified = try fields.flag("verified")
    register = try fields.flag("registry_dnc")
    downUntil = try fields.optional(Timestamp.self, "down_until")
  }

  func fact(for channel: OutboundChannel) -> Facts.AddressFact {
    let state: ContactPoint.State =
      switch bad {
      case nil: .ok
      case .bounced: .bounced
      case .invalid: .invalid
      case .reassigned: .reassigned
      case .complaint: .complaint
      }
    return .init(
      channel: channel, state: state, stop: stop, isVerified: verified, isOnRegister: register, downUntil: downUntil)
  }
}

private struct PreferenceText: Decodable {
  enum Source: String, Decodable { case customer, agent, `import` }
  let record: ChannelPreference

  init(from decoder: any Decoder) throws {
    let fields = try StrictFields(
      decoder, ["ch", "purpose", "v", "rank", "at", "until", "src", "evidence", "policy_version"])
    let source: ChannelPreference.Source =
      switch try fields.required(Source.self, "src") {
      case .customer: .customer
      case .agent: .agent
      case .import: .import
      }
    let channel = try fields.optional(String.self, "ch") ?? "*"
    let purpose = try fields.optional(String.self, "purpose") ?? "*"
    record = ChannelPreference(
      channel: channel == "*" ? nil : OutboundChannel(rawValue: channel),
      purpose: purpose == "*" ? nil : Purpose(rawValue: purpose),
      verdict: try fields.required(ChannelPreference.Verdict.self, "v"),
      rank: try fields.optional(Int.self, "rank") ?? 1, effectiveAt: try fields.required(Timestamp.self, "at"),
      validUntil: try fields.optional(Timestamp.self, "until"), source: source)
  }
}

private struct QuietText: Decodable {
  let quiet: DoNotDisturb

  init(from decoder: any Decoder) throws {
    let fields = try StrictFields(decoder, ["ch", "from", "to", "days", "from_date", "to_date"])
    let name = try fields.optional(String.self, "ch") ?? "*"
    let channel = name == "*" ? nil : OutboundChannel(rawValue: name)
    let start = try fields.optional(Timestamp.self, "from_date")
    let end = try fields.optional(Timestamp.self, "to_date")
    if start != nil || end != nil {
      // An open end of a range is as far as time goes.
      quiet = DoNotDisturb(
        channel: channel,
        time: .range(from: start ?? Timestamp(microseconds: .min), to: end ?? Timestamp(microseconds: .max)))
      return
    }
    let days = try fields.optional([Int].self, "days")
    let from = try fields.optional(String.self, "from") == nil && days != nil ? 0 : try fields.minutes("from")
    let to = try fields.optional(String.self, "to") == nil && days != nil ? 1_440 : try fields.minutes("to")
    guard let window = DailyWindow(from: from % 1_440, to: to, days: days ?? [1, 2, 3, 4, 5, 6, 7]) else {
      throw fields.error("days", "days are 1 to 7, at least one")
    }
    quiet = DoNotDisturb(channel: channel, time: .daily(window))
  }
}

private struct AttemptText: Decodable {
  enum State: String, Decodable {
    case reserved, counted, handing, accepted, delivered, undelivered, expired, sent
    case inDoubt = "in_doubt"
    case unknownFinal = "unknown_final"
    // Proved unsent: they count for nothing.
    case planned, released, rejected, failed
    case notSent = "not_sent"
  }
  /// Nil for an attempt proved unsent.
  let entry: AttemptHistory.Entry?

  init(from decoder: any Decoder) throws {
    let fields = try StrictFields(decoder, ["purpose", "ch", "at", "answered", "state"])
    let entry = AttemptHistory.Entry(
      purpose: try fields.required(Purpose.self, "purpose"), channel: try fields.required(OutboundChannel.self, "ch"),
      at: try fields.required(Timestamp.self, "at"), wasAnswered: try fields.flag("answered"))
    switch try fields.optional(State.self, "state") {
    case .planned, .released, .rejected, .failed, .notSent: self.entry = nil
    case nil, .reserved, .counted, .handing, .accepted, .delivered, .undelivered, .expired, .sent, .inDoubt,
      .unknownFinal:
      self.entry = entry
    }
  }
}

private struct FlagsText: Decodable {
  private let unknownCustomer: Bool
  private let deceased: Bool
  private let legalStop: Facts.LegalStop
  private let killSwitch: Bool
  private let duplicate: Facts.Duplicate?
  private let notMember: Bool
  private let minor: Bool
  private let holdout: Bool
  private let householdDuplicate: Bool
  private let paused: Bool
  private let managerOnly: Bool
  private let noProfiling: Bool

  init(from decoder: any Decoder) throws {
    let fields = try StrictFields(
      decoder,
      [
        "unknown_customer", "unknown", "deceased", "legal_stop", "kill_switch", "duplicate", "not_member", "minor",
        "guardian", "holdout", "household_dup", "household_duplicate", "paused", "rm_only", "no_profiling",
      ])
    unknownCustomer = try fields.flag("unknown_customer", "unknown")
    deceased = try fields.flag("deceased")
    legalStop = try fields.optional(LegalStopText.self, "legal_stop")?.stop ?? .none
    killSwitch = try fields.flag("kill_switch")
    duplicate = try fields.optional(Facts.Duplicate.self, "duplicate")
    notMember = try fields.flag("not_member")
    minor = try fields.flag("minor")
    holdout = try fields.flag("holdout")
    householdDuplicate = try fields.flag("household_dup", "household_duplicate")
    paused = try fields.flag("paused")
    managerOnly = try fields.flag("rm_only")
    noProfiling = try fields.flag("no_profiling")
  }

  func apply(to facts: inout Facts) {
    facts.isKnown = !unknownCustomer
    facts.isDeceased = deceased
    facts.legalStop = legalStop
    facts.killSwitch = killSwitch
    facts.duplicate = duplicate
    facts.hasLeftGroup = notMember
    facts.isMinor = minor
    facts.isHeldOut = holdout
    facts.householdAlreadyReached = householdDuplicate
    facts.isPaused = paused
    facts.isRelationshipManagerOnly = managerOnly
    facts.forbidsProfiling = noProfiling
  }
}

/// A list of purposes, in which `*` means all of them, or a boolean.
private struct LegalStopText: Decodable {
  let stop: Facts.LegalStop
  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    // Not a boolean: then it must be a list, whose error is the one to report.
    if let all = try? container.decode(Bool.self) {
      stop = all ? .everything : .none
      return
    }
    let purposes = try container.decode([Purpose].self)
    stop = purposes.contains(Purpose(rawValue: "*")) ? .everything : .purposes(purposes)
  }
}

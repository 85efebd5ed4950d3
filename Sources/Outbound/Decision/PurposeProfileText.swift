import Channels
import ContactModel

/// A purpose profile as people write it, in JSON or YAML; checked whole before anything uses it.
///
/// Keys are those of line 1 of the worked cases. An unknown key is an error, because a rule misspelled is a rule lost.
public struct PurposeProfileText: Decodable, Sendable {
  struct Window: Decodable {
    let window: DailyWindow
    init(from decoder: any Decoder) throws {
      let fields = try StrictFields(decoder, ["from", "to", "days"])
      let from = try fields.minutes("from")
      let to = try fields.minutes("to")
      let days = try fields.optional([Int].self, "days") ?? [1, 2, 3, 4, 5, 6, 7]
      guard from != to, let window = DailyWindow(from: from, to: to, days: days) else {
        throw fields.error("from", "not a window: from and to must differ, days are 1 to 7")
      }
      self.window = window
    }
  }

  struct WindowPair: Decodable {
    let statutory: DailyWindow?
    let bank: DailyWindow?
    init(from decoder: any Decoder) throws {
      let fields = try StrictFields(decoder, ["statutory", "bank"])
      statutory = try fields.optional(Window.self, "statutory")?.window
      bank = try fields.optional(Window.self, "bank")?.window
    }
  }

  struct PurposeText: Decodable {
    let order: [OutboundChannel]
    let optIn: Bool
    let waitMinutes: Int
    let windows: [String: WindowPair]
    init(from decoder: any Decoder) throws {
      let fields = try StrictFields(decoder, ["order", "opt_in", "wait_min", "windows"])
      order = try fields.required([OutboundChannel].self, "order")
      optIn = try fields.optional(Bool.self, "opt_in") ?? false
      waitMinutes = try fields.whole("wait_min", in: 0...50_400)
      windows = try fields.optional([String: WindowPair].self, "windows") ?? [:]
    }
  }

  struct CapText: Decodable {
    let cap: PurposeProfile.Cap
    init(from decoder: any Decoder) throws {
      let fields = try StrictFields(
        decoder, ["id", "kind", "applies", "counts", "ch", "answered", "n", "hours", "calendar_day"])
      let isDaily = try fields.optional(Bool.self, "calendar_day") ?? false
      let hours = try fields.optional(Int.self, "hours")
      guard isDaily == (hours == nil) else { throw fields.error("hours", "give either hours or calendar_day: true") }
      if let hours, !(1...8_784).contains(hours) { throw fields.error("hours", "not within 1 to 8784") }
      cap = PurposeProfile.Cap(
        id: try fields.required(String.self, "id"), kind: try fields.required(PurposeProfile.Cap.Kind.self, "kind"),
        applies: try fields.required([Purpose].self, "applies"), counts: try fields.required([Purpose].self, "counts"),
        channel: try fields.optional(OutboundChannel.self, "ch"),
        onlyAnswered: try fields.optional(Bool.self, "answered") ?? false, limit: try fields.whole("n", in: 1...10_000),
        span: hours.map { .rolling(.seconds($0 * 3_600)) } ?? .calendarDay)
    }
  }

  struct StopText: Decodable {
    let promo: [Purpose]
    let all: [Purpose]
    init(from decoder: any Decoder) throws {
      let fields = try StrictFields(decoder, ["promo", "all"])
      promo = try fields.required([Purpose].self, "promo")
      all = try fields.required([Purpose].self, "all")
    }
  }

  private let channels: [OutboundChannel]
  private let critical: [Purpose]
  private let exempt: [Purpose]
  private let unknownZones: [String]
  private let pauseSeconds: Int
  private let slackSeconds: Int
  private let floodPerHour: Int
  private let horizonDays: Int
  private let noMinor: [Purpose]
  private let holdout: [Purpose]
  private let household: [Purpose]
  private let managerExempt: [Purpose]
  private let register: [Purpose]
  private let afterUnknown: [String: AfterUnknown]
  private let noExploration: [Purpose]
  private let stops: StopText
  private let purposes: [String: PurposeText]
  private let caps: [PurposeProfile.Cap]

  public init(from decoder: any Decoder) throws {
    let fields = try StrictFields(
      decoder,
      [
        "channels", "critical", "dnd_exempt", "unknown_tz", "pause_recheck_s", "requested_slack_s", "flood_per_hour",
        "horizon_days", "no_minor", "holdout_purposes", "household_purposes", "rm_exempt", "registry_purposes",
        "after_unknown", "no_exploration",
        "stop_blocks", "purposes", "caps",
        // Says in a file of business parameters what it is; nothing to read.
        "kind",
      ])
    channels = try fields.required([OutboundChannel].self, "channels")
    critical = try fields.required([Purpose].self, "critical")
    exempt = try fields.required([Purpose].self, "dnd_exempt")
    unknownZones = try fields.required([String].self, "unknown_tz")
    pauseSeconds = try fields.whole("pause_recheck_s", in: 1...86_400)
    slackSeconds = try fields.whole("requested_slack_s", in: 0...86_400)
    floodPerHour = try fields.whole("flood_per_hour", in: 1...10_000)
    horizonDays = try fields.whole("horizon_days", in: 1...366)
    noMinor = try fields.required([Purpose].self, "no_minor")
    holdout = try fields.required([Purpose].self, "holdout_purposes")
    household = try fields.required([Purpose].self, "household_purposes")
    managerExempt = try fields.required([Purpose].self, "rm_exempt")
    register = try fields.optional([Purpose].self, "registry_purposes") ?? [.marketing]
    afterUnknown =
      try fields.optional([String: AfterUnknown].self, "after_unknown")
      ?? [
        "security": .renew, "transaction": .otherChannelOnce, "service": .otherChannelOnce,
        "regulatory": .otherChannelOnce,
      ]
    noExploration =
      try fields.optional([Purpose].self, "no_exploration") ?? [.security, .transaction, .collections]
    stops = try fields.required(StopText.self, "stop_blocks")
    purposes = try fields.required([String: PurposeText].self, "purposes")
    caps = try fields.required([CapText].self, "caps").map(\.cap)

    guard !unknownZones.isEmpty else { throw fields.error("unknown_tz", "names no zone") }
    let named = Set(purposes.keys)
    let lists = [
      ("critical", critical), ("dnd_exempt", exempt), ("no_minor", noMinor), ("holdout_purposes", holdout),
      ("household_purposes", household), ("rm_exempt", managerExempt), ("stop_blocks", stops.promo + stops.all),
      ("caps", caps.flatMap { $0.applies + $0.counts }),
    ]
    for (key, list) in lists {
      if let stray = list.first(where: { !named.contains($0.rawValue) }) {
        throw fields.error(key, "no such purpose: \(stray)")
      }
    }
    var used = caps.compactMap(\.channel)
    for purpose in purposes.values {
      used += purpose.order + purpose.windows.keys.map(OutboundChannel.init(rawValue:))
    }
    if let stray = used.first(where: { !channels.contains($0) }) {
      throw fields.error("channels", "does not list a channel that is used: \(stray)")
    }
  }

  /// Makes it ready for use; throws if a zone is not known here.
  public func profile(version: String, zones: ZoneCatalog) throws -> PurposeProfile {
    let homes = try unknownZones.map { name in
      guard let zone = zones.zone(named: name) else { throw ProfileError(code: .unknownZone, text: name) }
      return zone
    }
    var rules: [Purpose: PurposeProfile.Rules] = [:]
    for (name, text) in purposes {
      let purpose = Purpose(rawValue: name)
      var windows: [OutboundChannel: PurposeProfile.Windows] = [:]
      for (channel, pair) in text.windows {
        windows[OutboundChannel(rawValue: channel)] = .init(statutory: pair.statutory, bank: pair.bank)
      }
      rules[purpose] = PurposeProfile.Rules(
        order: text.order, needsConsent: text.optIn, waitBudget: .seconds(text.waitMinutes * 60), windows: windows,
        caps: caps.filter { $0.applies.contains(purpose) }, isCritical: critical.contains(purpose),
        isExemptFromHours: exempt.contains(purpose), isForbiddenForMinors: noMinor.contains(purpose),
        respectsHoldout: holdout.contains(purpose), oncePerHousehold: household.contains(purpose),
        passesRelationshipManager: managerExempt.contains(purpose), stoppedByPromo: stops.promo.contains(purpose),
        stoppedByAll: stops.all.contains(purpose), respectsRegister: register.contains(purpose),
        afterUnknown: afterUnknown[name] ?? .never,
        mayExplore: !noExploration.contains(purpose))
    }
    return PurposeProfile(
      version: version, channels: channels, purposes: rules, unknownZones: homes,
      pauseRecheck: .seconds(pauseSeconds), requestedSlack: .seconds(slackSeconds), floodPerHour: floodPerHour,
      horizon: .seconds(horizonDays * 86_400))
  }
}

/// Why a profile cannot be used though it reads well.
public struct ProfileError: Error, Hashable, Sendable, CustomStringConvertible {
  public enum Code: String, Hashable, Sendable { case unknownZone = "unknown_zone" }
  public var code: Code
  public var text: String
  public var description: String { "\(code.rawValue): \(text)" }
}

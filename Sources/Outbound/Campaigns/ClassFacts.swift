import Channels
import ContactModel
import Store

extension Facts {
  /// The facts every customer of a class shares, as far as they bear on `candidates`; without history and without what
  /// belongs to a job. The same as `reading(of:)` makes of one customer's rows: a test holds them equal.
  init(of profile: ContactClass, candidates: [OutboundChannel], zones catalog: ZoneCatalog) {
    self.init()
    isKnown = !profile.deleted
    isDeceased = profile.deceased
    isMinor = profile.minor
    isRelationshipManagerOnly = profile.managerOnly
    forbidsProfiling = profile.noProfiling
    legalStop =
      profile.legal.contains("*")
      ? .everything : profile.legal.isEmpty ? .none : .purposes(profile.legal.map(Purpose.init(rawValue:)))
    preferences = profile.preferences
    doNotDisturb = profile.doNotDisturb
    var names: Set<String> = []
    for channel in candidates {
      guard let point = profile.points[channel.addressKind.rawValue] else { continue }
      if point.zones.isEmpty { hasUnknownZone = true }
      names.formUnion(point.zones)
      addresses.append(
        .init(
          channel: channel, state: point.state, stop: profile.stop(on: channel), isVerified: point.isVerified,
          isOnRegister: point.isOnRegister))
    }
    for name in names.sorted() {
      if let zone = catalog.zone(named: name) { zones.append(zone) } else { hasUnknownZone = true }
    }
    learned = profile.learned.sorted { $0.key < $1.key }.map {
      .init(channel: OutboundChannel(rawValue: $0.key), score: Double($0.value) / 100)
    }
  }
}

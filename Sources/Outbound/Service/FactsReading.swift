import Channels
import ContactModel
import Store

/// What one decision is made from, as read in its transaction: facts, request, and where each channel would go to.
struct JobReading {
  var request: DecisionRequest
  var facts: Facts
  var addresses: [OutboundChannel: Address]
}

/// What the daemon knows that is not in the store.
struct Surroundings: Sendable {
  var profile: PurposeProfile
  var zones: ZoneCatalog
  /// The channels there is a link for, the lanes these serve, and until when each channel is down.
  var links: Set<OutboundChannel>
  var lanes: Set<String>
  var down: [OutboundChannel: Timestamp]
}

extension Connection {
  /// Reads everything that bears on a job. `own` is the attempt under way for it, which does not count against itself.
  ///
  /// Of several addresses of one kind the customer's own come first, then the verified, then the oldest; one that is in a
  /// bad state gives way to the next, but a STOP is not evaded by writing to his second number.
  func reading(of job: ProactiveJob, own: AttemptID?, _ around: Surroundings, at time: Timestamp) throws -> JobReading {
    var facts = Facts()
    var flags = CustomerFlags()
    if let number = job.customerNo {
      let customer = try customer(number)
      facts.isKnown = customer.map { !$0.deleted } ?? false
      flags = try self.flags(of: number)
      facts.isDeceased = flags.deceased
      facts.isMinor = flags.minor
      facts.isRelationshipManagerOnly = flags.managerOnly
      facts.forbidsProfiling = flags.noProfiling
      let stops = try legalStops(of: number, at: time)
      facts.legalStop =
        stops.contains(nil) ? .everything : stops.isEmpty ? .none : .purposes(stops.compactMap(\.self))
      facts.preferences = try preferences(of: number)
      facts.doNotDisturb = try quiets(of: number).map(\.quiet)
    }
    facts.killSwitch = try killSwitch()
    facts.history = try history(of: job.party, own: own, since: time - .seconds(366 * 86_400))
    facts.duplicate = try duplicate(of: job, own: own)

    let candidates = job.contents.keys.map(OutboundChannel.init(rawValue:)).filter {
      around.links.contains($0) && !job.spent.contains($0) && (job.to == nil || job.to?.kind == $0.addressKind)
    }
    var addresses: [OutboundChannel: Address] = [:]
    let points = try reachable(job)
    var names: [String] = []
    for channel in candidates {
      guard
        let point = points.first(where: { $0.address.kind == channel.addressKind && $0.state == .ok })
          ?? points.first(where: { $0.address.kind == channel.addressKind })
      else { continue }
      addresses[channel] = point.address
      if point.zones.isEmpty { facts.hasUnknownZone = true }
      names += point.zones
      facts.addresses.append(
        .init(
          channel: channel, state: point.state, stop: try stop(on: point.address, for: channel),
          isVerified: point.isVerified, isOnRegister: try isOnRegister(point.address),
          downUntil: around.down[channel]))
    }
    for name in Set(names).sorted() {
      if let zone = around.zones.zone(named: name) { facts.zones.append(zone) } else { facts.hasUnknownZone = true }
    }
    if !flags.noProfiling, let number = job.customerNo { facts.learned = try learnedScores(of: number) }
    if let campaign = job.campaign, let number = job.customerNo {
      try read(campaign, of: number, flags, into: &facts, at: time)
    }

    var request = DecisionRequest(purpose: job.purpose, candidates: candidates)
    request.isConfidential = job.confidential
    request.due = job.due
    request.notBefore = job.notBefore
    request.notAfter = job.notAfter
    request.requested = job.requested.map { .init(channel: $0.channel, at: $0.at) }
    request.overrides = DecisionRequest.Overrides(named: job.overrides)
    request.forcedChannel = job.forcedChannel
    return JobReading(request: request, facts: facts, addresses: addresses)
  }

  private func read(
    _ campaign: CampaignID, of customer: CustomerNumber, _ flags: CustomerFlags, into facts: inout Facts,
    at time: Timestamp
  ) throws {
    guard let row = try first("SELECT state, group_code FROM campaign WHERE campaign_id = $1", [.id(campaign)]) else {
      return
    }
    facts.isPaused = try row.text("state") == "paused"
    facts.campaignHasEnded = try row.text("state") == "cancelled"
    if let group: Code = try row.parsedOrNil("group_code") {
      // Also a concept group at this moment: who meets its criterion no longer is not reached.
      facts.hasLeftGroup = try !isMember(customer, of: group, at: time)
    }
    guard let household = flags.household else { return }
    facts.householdAlreadyReached =
      try first(
        """
        SELECT 1 AS found FROM proactive_job j JOIN customer_flag f ON f.customer_no = j.customer_no
        WHERE j.campaign_id = $1 AND f.household = $2 AND j.customer_no <> $3 AND j.state IN ('active', 'done', 'unknown')
        LIMIT 1
        """, [.id(campaign), .text(household), .id(customer)]) != nil
  }

  private typealias Point = (address: Address, state: ContactPoint.State, isVerified: Bool, zones: [String])

  /// Where the job may go: to the address it names, else to those of its customer.
  private func reachable(_ job: ProactiveJob) throws -> [Point] {
    let own = try job.customerNo.map { try contactPointsWithZones(of: $0) } ?? []
    guard let to = job.to else { return own }
    if let known = own.first(where: { $0.address.kind == to.kind && $0.address.canonical == to.canonical }) {
      return [known]
    }
    let state = try first(
      "SELECT state FROM contact_point WHERE kind = $1 AND canonical = $2", [SQLValue(to.kind), .text(to.canonical)])
    return [(to, try state?.word("state") ?? .ok, false, [])]
  }

  /// Where a customer is reached, in the order of choice.
  func contactPointsWithZones(
    of customer: CustomerNumber
  ) throws -> [(address: Address, state: ContactPoint.State, isVerified: Bool, zones: [String])] {
    try query(
      """
      SELECT h.kind, h.canonical, h.raw, h.verified_at, h.zones, p.state
      FROM customer_contact_point h JOIN contact_point p ON p.kind = h.kind AND p.canonical = h.canonical
      WHERE h.customer_no = $1
      ORDER BY CASE h.role WHEN 'own' THEN 0 WHEN 'guardian' THEN 1 ELSE 2 END,
        CASE WHEN h.verified_at IS NULL THEN 1 ELSE 0 END, h.from_at, h.kind, h.canonical
      """, [.id(customer)]
    ).map { row in
      (
        Address(kind: try row.word("kind"), canonical: try row.text("canonical"), raw: try row.text("raw")),
        try row.word("state"), try row.timeOrNil("verified_at") != nil,
        try row.text("zones").split(separator: " ").map(String.init)
      )
    }
  }

  private func isOnRegister(_ address: Address) throws -> Bool {
    try first(
      "SELECT 1 AS found FROM register_entry WHERE kind = $1 AND canonical = $2",
      [SQLValue(address.kind), .text(address.canonical)]) != nil
  }

  /// Attempts that count against caps: reserved ones too, so that two jobs of one customer cannot pass at once.
  private func history(of party: String, own: AttemptID?, since: Timestamp) throws -> AttemptHistory {
    AttemptHistory(
      try query(
        """
        SELECT purpose, channel, at, answered FROM cap_ledger
        WHERE customer_no = $1 AND at > $2 AND state <> 'released' AND attempt_id <> $3
        ORDER BY at DESC LIMIT 2000
        """, [.text(party), SQLValue(since), .text(own?.description ?? "")]
      ).map { row in
        AttemptHistory.Entry(
          purpose: Purpose(rawValue: try row.text("purpose")),
          channel: OutboundChannel(rawValue: try row.text("channel")), at: try row.time("at"),
          wasAnswered: try row.bool("answered"))
      })
  }

  /// Another attempt of the same job that is not proved unsent. A fate unknown for good stands in the way only of the
  /// channels already spent.
  private func duplicate(of job: ProactiveJob, own: AttemptID?) throws -> Facts.Duplicate? {
    let states: [Attempt.State] = try query(
      "SELECT state FROM attempt WHERE job_id = $1 AND attempt_id <> $2",
      [.id(job.id), .text(own?.description ?? "")]
    ).map { try $0.word("state") }
    if states.contains(where: { [.accepted, .delivered, .undelivered, .expired].contains($0) }) { return .sent }
    if states.contains(.inDoubt) { return .inDoubt }
    if states.contains(where: { $0 == .reserved || $0 == .handing }) { return .inFlight }
    return nil
  }
}

extension DecisionRequest.Overrides {
  /// Names nobody may waive are left out.
  init(named names: [String]) {
    self = []
    for name in names {
      switch name {
      case "BANK_WINDOW": insert(.bankWindow)
      case "BANK_CAP": insert(.bankCap)
      case "CHANNEL": insert(.channel)
      default: break
      }
    }
  }
}

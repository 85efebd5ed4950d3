import Channels
import ContactModel
import Store

/// The facts about several jobs, read together in one transaction: a few statements however many jobs there are.
///
/// Of several addresses of one kind the customer's own come first, then the verified, then the oldest; one that is in a
/// bad state gives way to the next, but a STOP is not evaded by writing to his second number. What one job of a sheet
/// writes another does not see: jobs that bear on each other (of one party, of one household) belong on sheets of their
/// own. Source: specs/outbound.md §1, §2.
struct FactsSheet {
  private struct Person {
    var isKnown = false
    var flags = CustomerFlags()
    var legalStop = Facts.LegalStop.none
    var preferences: [ChannelPreference] = []
    var quiets: [DoNotDisturb] = []
    var points: [ReachablePoint] = []
    var learned: [Facts.LearnedScore] = []
  }
  private struct Place: Hashable {
    var kind: Address.Kind
    var canonical: String
    init(_ address: Address) { (kind, canonical) = (address.kind, address.canonical) }
  }
  private struct CampaignStanding {
    var isPaused: Bool
    var hasEnded: Bool
    /// Nil: it is for no group.
    var members: Set<CustomerNumber>?
  }
  private typealias Chosen = [(channel: OutboundChannel, point: ReachablePoint)]

  private let around: Surroundings
  private let killSwitch: Bool
  private var people: [CustomerNumber: Person] = [:]
  private var histories: [String: [(attempt: String, entry: AttemptHistory.Entry)]] = [:]
  private var attempts: [ProactiveJobID: [(id: String, state: Attempt.State)]] = [:]
  private var chosen: [ProactiveJobID: Chosen] = [:]
  private var stops: [Place: [(channel: String, scope: StopScope)]] = [:]
  private var registered: Set<Place> = []
  private var campaigns: [CampaignID: CampaignStanding] = [:]
  private var householdsReached: Set<ProactiveJobID> = []
  private let own: [ProactiveJobID: AttemptID]

  /// `own` are attempts under way for these jobs, which do not count against themselves.
  init(
    of jobs: [ProactiveJob], own: [ProactiveJobID: AttemptID] = [:], from connection: any Connection,
    _ around: Surroundings, at time: Timestamp
  ) throws {
    self.around = around
    self.own = own
    killSwitch = try connection.killSwitch()
    try readPeople(jobs, connection, at: time)
    try readAttempts(jobs, connection, since: time - .seconds(366 * 86_400))
    try choosePoints(jobs, connection)
    try readCampaigns(jobs, connection, at: time)
  }

  /// Whether any attempt was ever made for it.
  func hasBeenTried(_ job: ProactiveJobID) -> Bool { attempts[job] != nil }

  /// Those of one household bear on each other within a campaign; nil where nobody does.
  func household(of job: ProactiveJob) -> String? {
    guard let campaign = job.campaign, let number = job.customerNo else { return nil }
    return people[number]?.flags.household.map { "\(campaign) \($0)" }
  }

  func reading(of job: ProactiveJob) -> JobReading {
    var facts = Facts()
    if let number = job.customerNo {
      let person = people[number] ?? Person()
      facts.isKnown = person.isKnown
      facts.isDeceased = person.flags.deceased
      facts.isMinor = person.flags.minor
      facts.isRelationshipManagerOnly = person.flags.managerOnly
      facts.forbidsProfiling = person.flags.noProfiling
      facts.legalStop = person.legalStop
      facts.preferences = person.preferences
      facts.doNotDisturb = person.quiets
      if !person.flags.noProfiling { facts.learned = person.learned }
    }
    facts.killSwitch = killSwitch
    let mine = own[job.id]?.description
    // Reserved ones too, so that two jobs of one customer cannot pass at once.
    facts.history = AttemptHistory((histories[job.party] ?? []).filter { $0.attempt != mine }.map(\.entry))
    facts.duplicate = duplicate(of: job.id, own: mine)
    var addresses: [OutboundChannel: Address] = [:]
    var names: Set<String> = []
    for (channel, point) in chosen[job.id] ?? [] {
      addresses[channel] = point.address
      if point.zones.isEmpty { facts.hasUnknownZone = true }
      names.formUnion(point.zones)
      let scopes = (stops[Place(point.address)] ?? []).filter { $0.channel == "*" || $0.channel == channel.rawValue }
      facts.addresses.append(
        .init(
          channel: channel, state: point.state,
          stop: scopes.contains { $0.scope == .all } ? .all : scopes.first?.scope, isVerified: point.isVerified,
          isOnRegister: registered.contains(Place(point.address)), downUntil: around.down[channel]))
    }
    for name in names.sorted() {
      if let zone = around.zones.zone(named: name) { facts.zones.append(zone) } else { facts.hasUnknownZone = true }
    }
    if let campaign = job.campaign.flatMap({ campaigns[$0] }), let number = job.customerNo {
      facts.isPaused = campaign.isPaused
      facts.campaignHasEnded = campaign.hasEnded
      // Also a concept group at this moment: who meets its criterion no longer is not reached.
      facts.hasLeftGroup = campaign.members.map { !$0.contains(number) } ?? false
      facts.householdAlreadyReached = householdsReached.contains(job.id)
    }
    return JobReading(request: request(of: job), facts: facts, addresses: addresses)
  }

  private func request(of job: ProactiveJob) -> DecisionRequest {
    var request = DecisionRequest(purpose: job.purpose, candidates: candidates(of: job))
    request.isConfidential = job.confidential
    request.due = job.due
    request.notBefore = job.notBefore
    request.notAfter = job.notAfter
    request.requested = job.requested.map { .init(channel: $0.channel, at: $0.at) }
    request.overrides = DecisionRequest.Overrides(named: job.overrides)
    request.forcedChannel = job.forcedChannel
    return request
  }

  private func candidates(of job: ProactiveJob) -> [OutboundChannel] {
    job.contents.keys.map(OutboundChannel.init(rawValue:)).filter {
      around.links.contains($0) && !job.spent.contains($0) && (job.to == nil || job.to?.kind == $0.addressKind)
    }
  }

  /// Another attempt of the same job that is not proved unsent. A fate unknown for good stands in the way only of the
  /// channels already spent.
  private func duplicate(of job: ProactiveJobID, own: String?) -> Facts.Duplicate? {
    let states = (attempts[job] ?? []).filter { $0.id != own }.map(\.state)
    if states.contains(where: { [.accepted, .delivered, .undelivered, .expired].contains($0) }) { return .sent }
    if states.contains(.inDoubt) { return .inDoubt }
    if states.contains(where: { $0 == .reserved || $0 == .handing }) { return .inFlight }
    return nil
  }

  // MARK: Reading

  private mutating func readPeople(
    _ jobs: [ProactiveJob], _ connection: any Connection, at time: Timestamp
  ) throws {
    let numbers = Array(Set(jobs.compactMap(\.customerNo)))
    guard !numbers.isEmpty else { return }
    let (these, list) = among(numbers)
    let known = try connection.query(
      """
      SELECT c.customer_no, c.deleted, f.customer_no AS flagged, f.deceased, f.minor, f.guardian, f.manager_only,
        f.no_profiling, f.household
      FROM customer c LEFT JOIN customer_flag f ON f.customer_no = c.customer_no
      WHERE c.customer_no \(these)
      """, [list])
    for row in known {
      var person = Person()
      person.isKnown = try !row.bool("deleted")
      if try row.textOrNil("flagged") != nil { person.flags = try CustomerFlags(row: row) }
      people[try row.parsed("customer_no")] = person
    }
    for (number, purposes) in try connection.legalStops(of: numbers, at: time) {
      people[number]?.legalStop = purposes.contains(nil) ? .everything : .purposes(purposes.compactMap(\.self))
    }
    for (number, preferences) in try connection.preferences(of: numbers) { people[number]?.preferences = preferences }
    for (number, quiets) in try connection.quiets(of: numbers) { people[number]?.quiets = quiets.map(\.quiet) }
    for (number, points) in try connection.contactPointsWithZones(of: numbers) { people[number]?.points = points }
    let learned = try connection.query(
      "SELECT customer_no, channel, score FROM learned_channel WHERE customer_no \(these) ORDER BY channel", [list])
    for row in learned {
      let number: CustomerNumber = try row.parsed("customer_no")
      people[number]?.learned.append(
        .init(channel: OutboundChannel(rawValue: try row.text("channel")), score: Double(try row.int("score")) / 100))
    }
  }

  /// The newest of one party that are read.
  private static let longestHistory = 2_000

  private mutating func readAttempts(
    _ jobs: [ProactiveJob], _ connection: any Connection, since: Timestamp
  ) throws {
    let parties = Set(jobs.map(\.party))
    let limit = Self.longestHistory * min(parties.count, 10)
    var rows = try connection.query(
      """
      SELECT attempt_id, customer_no, purpose, channel, at, answered FROM cap_ledger
      WHERE customer_no IN {{list_text:$1}} AND at > $2 AND state <> 'released' LIMIT $3
      """, [.list(parties), SQLValue(since), SQLValue(limit)])
    if rows.count >= limit {
      // Somebody is reached without end: each for himself, the newest.
      rows = try parties.flatMap { party in
        try connection.query(
          """
          SELECT attempt_id, customer_no, purpose, channel, at, answered FROM cap_ledger
          WHERE customer_no = $1 AND at > $2 AND state <> 'released' ORDER BY at DESC LIMIT $3
          """, [.text(party), SQLValue(since), SQLValue(Self.longestHistory)])
      }
    }
    for row in rows {
      histories[try row.text("customer_no"), default: []].append(
        (
          try row.text("attempt_id"),
          AttemptHistory.Entry(
            purpose: Purpose(rawValue: try row.text("purpose")),
            channel: OutboundChannel(rawValue: try row.text("channel")), at: try row.time("at"),
            wasAnswered: try row.bool("answered"))
        ))
    }
    let earlier = try connection.query(
      "SELECT attempt_id, job_id, state FROM attempt WHERE job_id IN {{list_text:$1}}",
      [.list(jobs.map(\.id.description))])
    for row in earlier {
      attempts[try row.parsed("job_id"), default: []].append((try row.text("attempt_id"), try row.word("state")))
    }
  }

  /// Where each job would go by each of its channels, and what is said of these addresses.
  private mutating func choosePoints(_ jobs: [ProactiveJob], _ connection: any Connection) throws {
    var foreign: [Place: ContactPoint.State] = [:]
    let unknown = Set(jobs.filter { ownPoint($0) == nil }.compactMap { $0.to.map(Place.init) })
    for (kind, places) in Dictionary(grouping: unknown, by: \.kind) {
      let rows = try connection.query(
        "SELECT canonical, state FROM contact_point WHERE kind = $1 AND canonical IN {{list_text:$2}}",
        [SQLValue(kind), .list(places.map(\.canonical))])
      for row in rows {
        foreign[Place(Address(kind: kind, canonical: try row.text("canonical"), raw: ""))] = try row.word("state")
      }
    }
    var places: Set<Place> = []
    for job in jobs {
      var points = job.customerNo.flatMap { people[$0]?.points } ?? []
      if let to = job.to {
        points = [
          ownPoint(job) ?? ReachablePoint(address: to, state: foreign[Place(to)] ?? .ok, isVerified: false, zones: [])
        ]
      }
      for channel in candidates(of: job) {
        let fitting = points.filter { $0.address.kind == channel.addressKind }
        guard let point = fitting.first(where: { $0.state == .ok }) ?? fitting.first else { continue }
        chosen[job.id, default: []].append((channel, point))
        places.insert(Place(point.address))
      }
    }
    for (kind, places) in Dictionary(grouping: places, by: \.kind) {
      let list = SQLValue.list(places.map(\.canonical))
      let told = try connection.query(
        """
        SELECT canonical, channel, scope FROM address_stop
        WHERE kind = $1 AND canonical IN {{list_text:$2}} AND lifted_at IS NULL
        """, [SQLValue(kind), list])
      for row in told {
        let place = Place(Address(kind: kind, canonical: try row.text("canonical"), raw: ""))
        stops[place, default: []].append((try row.text("channel"), try row.word("scope")))
      }
      let entries = try connection.query(
        "SELECT canonical FROM register_entry WHERE kind = $1 AND canonical IN {{list_text:$2}}",
        [SQLValue(kind), list])
      for row in entries {
        registered.insert(Place(Address(kind: kind, canonical: try row.text("canonical"), raw: "")))
      }
    }
  }

  /// The address a job names, as its customer's, if it is his.
  private func ownPoint(_ job: ProactiveJob) -> ReachablePoint? {
    guard let to = job.to, let number = job.customerNo else { return nil }
    return people[number]?.points.first { Place($0.address) == Place(to) }
  }

  private mutating func readCampaigns(
    _ jobs: [ProactiveJob], _ connection: any Connection, at time: Timestamp
  ) throws {
    let members = jobs.filter { $0.campaign != nil && $0.customerNo != nil }
    for (campaign, jobs) in Dictionary(grouping: members, by: \.campaign) {
      guard let campaign,
        let row = try connection.first(
          "SELECT state, group_code FROM campaign WHERE campaign_id = $1", [.id(campaign)])
      else { continue }
      let state = try row.text("state")
      let group: Code? = try row.parsedOrNil("group_code")
      campaigns[campaign] = CampaignStanding(
        isPaused: state == "paused", hasEnded: state == "cancelled",
        members: try group.map { try connection.members(of: $0, among: jobs.compactMap(\.customerNo), at: time) })
      for job in jobs {
        guard let number = job.customerNo, let household = people[number]?.flags.household else { continue }
        let reached = try connection.first(
          """
          SELECT 1 AS found FROM proactive_job j JOIN customer_flag f ON f.customer_no = j.customer_no
          WHERE j.campaign_id = $1 AND f.household = $2 AND j.customer_no <> $3
            AND j.state IN ('active', 'done', 'unknown')
          LIMIT 1
          """, [.id(campaign), .text(household), .id(number)])
        if reached != nil { householdsReached.insert(job.id) }
      }
    }
  }
}

import Channels
import ContactModel
import Store

extension CampaignRunner {
  /// What the full facts of some customers come to under a plan, one by one, as the hand-over would read them: by this
  /// the survey by class is proved. Slow: for samples.
  public func reasonsInFull(
    of plan: CampaignPlan, for customers: [CustomerNumber], at time: Timestamp
  ) async throws -> [Reason: Int] {
    let (profile, zones) = (profileInForce, zoneCatalog)
    return try await database.read(.bulk) { connection in
      var counts: [Reason: Int] = [:]
      let channels = Set(plan.channels)
      let around = Surroundings(profile: profile, zones: zones, links: channels, lanes: [], down: [:])
      for customer in customers {
        var job = ProactiveJob(
          id: ProactiveJobID(at: time), customerNo: customer, key: "", purpose: plan.purpose,
          contents: Dictionary(uniqueKeysWithValues: channels.map { ($0.rawValue, Dispatch.Content(text: "")) }),
          confidential: plan.confidential, due: time, createdBy: "", createdAt: time)
        job.notBefore = plan.startAt
        job.notAfter = plan.endAt
        let reading = try connection.reading(of: job, own: nil, around, at: time)
        counts[decide(reading.request, about: reading.facts, under: profile, at: time).reason, default: 0] += 1
      }
      return counts
    }
  }
}

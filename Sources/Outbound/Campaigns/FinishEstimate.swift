import Channels
import ContactModel

/// When the last of a survey will have been sent for: the jobs at the plan's rate, counted only while the channel most of
/// them go by is open in the bank's own zone, and not before the last that has to wait.
///
/// An estimate for people; what the links can carry is not known here.
func finishEstimate(
  of plan: CampaignPlan, _ survey: CampaignSurvey, under profile: PurposeProfile
) -> Timestamp {
  let start = survey.decidedAt
  let latest = survey.counts.keys.compactMap(\.until).max() ?? start
  guard survey.sendable > 0 else { return start }
  let rate = Double(plan.ratePerMinute ?? 60_000)
  var left = Int64(Double(survey.sendable) / rate * 60_000_000)
  let busiest = plan.channels.max { survey.sendable(on: $0) < survey.sendable(on: $1) }
  let windows = busiest.flatMap { profile.purposes[plan.purpose]?.windows[$0] }
  guard let zone = profile.unknownZones.first, let window = windows?.bank ?? windows?.statutory else {
    return max(latest, Timestamp(microseconds: start.microseconds + left))
  }
  var at = start.microseconds
  // A year of days is more than any campaign needs.
  for _ in 0..<400 {
    let limit = at + profile.horizon.wholeMicroseconds
    guard let opening = zone.first(from: at, through: limit, where: window.opening(from:)) else { break }
    let wall = zone.wall(at: opening)
    let closing = window.ending(covering: wall).map { opening + $0 - wall } ?? opening
    if closing - opening >= left { return max(latest, Timestamp(microseconds: opening + left)) }
    left -= max(0, closing - opening)
    at = max(closing, opening + 60_000_000)
  }
  return max(latest, Timestamp(microseconds: at))
}

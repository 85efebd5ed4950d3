import Channels
import ContactModel

extension Deliberation {
  /// When `channel` may first be used, and the rule that last moved it; no time if that is beyond the horizon.
  ///
  /// The rules are applied in turn, each may only move the time on, until a whole round moves nothing: so the time
  /// found satisfies all of them at once, and the reason is the rule that set it.
  /// Source: specs/outbound.md §2, "Time, to a fix-point".
  func earliestTime(
    on channel: OutboundChannel, _ address: Facts.AddressFact, from now: Timestamp
  ) -> (time: Timestamp?, wait: Reason?) {
    let start = now.microseconds
    let horizon = start + profile.horizon.wholeMicroseconds
    var time = start
    var wait: Reason?

    /// Moves on to `instant`; nil is beyond the horizon.
    func move(to instant: Int64?, _ reason: Reason) {
      let instant = instant ?? .max
      if instant > time {
        time = instant
        wait = reason
      }
    }

    let windows = rules.isExemptFromHours ? nil : rules.windows[channel]
    let capFree = rules.isExemptFromHours ? .min : rollingCapFree(on: channel)
    let floodFree = floodFree()
    let requestedAt = request.requested.flatMap { $0.channel == channel ? $0.at.microseconds : nil }
    var before: Int64
    repeat {
      before = time
      if let notBefore = request.notBefore { move(to: notBefore.microseconds, .deferNotBefore) }
      if let requestedAt { move(to: requestedAt, .deferRequested) }
      guard time <= horizon else { return (nil, .noTime) }
      if !isPrivileged(at: time, requestedAt) {
        if let window = windows?.statutory {
          move(to: opening(of: window, from: time, through: horizon), .deferStatutoryWindow)
        }
        if time <= horizon, let window = windows?.bank, !request.overrides.contains(.bankWindow) {
          move(to: opening(of: window, from: time, through: horizon), .deferBankWindow)
        }
        if time <= horizon, !rules.isExemptFromHours {
          if !facts.doNotDisturb.isEmpty {
            move(to: endOfQuiet(on: channel, from: time, through: horizon), .deferDoNotDisturb)
          }
          move(to: capFree, .deferCap)
          if time <= horizon { move(to: dailyCapFree(on: channel, from: time, through: horizon), .deferCap) }
        }
      }
      move(to: floodFree, .deferFlood)
      if let downUntil = address.downUntil { move(to: downUntil.microseconds, .deferChannelDown) }
      guard time <= horizon else { return (nil, .noTime) }
    } while time != before
    return (Timestamp(microseconds: time), wait)
  }

  /// Within the slack around the instant the customer asked for, his wish goes before windows, quiet and caps.
  private func isPrivileged(at time: Int64, _ requestedAt: Int64?) -> Bool {
    guard let requestedAt else { return false }
    let slack = profile.requestedSlack.wholeMicroseconds
    return time >= requestedAt.saturatingSum(-slack) && time <= requestedAt.saturatingSum(slack)
  }

  /// The first instant at which `window` is open on the wall clocks of all zones; nil if none up to `limit`.
  private func opening(of window: DailyWindow, from start: Int64, through limit: Int64) -> Int64? {
    settle(from: start) { zone, time in zone.first(from: time, through: limit, where: window.opening(from:)) }
  }

  /// The first instant at which no do-not-disturb of the customer holds in any zone; nil if none up to `limit`.
  private func endOfQuiet(on channel: OutboundChannel, from start: Int64, through limit: Int64) -> Int64? {
    settle(from: start) { zone, time in
      var time = time
      for quiet in facts.doNotDisturb where quiet.channel == nil || quiet.channel == channel {
        if case .range(let from, let to) = quiet.time, from.microseconds <= time, time < to.microseconds {
          time = to.microseconds
        }
      }
      guard time <= limit else { return nil }
      let last = limit - time + WallClock.day * 2
      return zone.first(from: time, through: limit) { wall in silence(on: channel, from: wall, through: wall + last) }
    }
  }

  /// The first reading not before `wall` that no daily quiet covers; nil if that is beyond `limit`.
  private func silence(on channel: OutboundChannel, from wall: Int64, through limit: Int64) -> Int64? {
    var wall = wall
    var before: Int64
    repeat {
      before = wall
      for quiet in facts.doNotDisturb where quiet.channel == nil || quiet.channel == channel {
        if case .daily(let window) = quiet.time, let end = window.ending(covering: wall) { wall = end }
      }
      if wall > limit { return nil }
    } while wall != before
    return wall
  }

  /// Applies `next` zone after zone until none moves the time on; nil if one finds none.
  private func settle(from start: Int64, _ next: (Zone, Int64) -> Int64?) -> Int64? {
    var time = start
    var before: Int64
    repeat {
      before = time
      for zone in zones {
        guard let later = next(zone, time) else { return nil }
        time = later
      }
    } while time != before
    return time
  }

  // MARK: Caps

  /// When the last rolling cap lets go: the n-th most recent attempt that counts, plus its span.
  private func rollingCapFree(on channel: OutboundChannel) -> Int64 {
    guard !facts.history.entries.isEmpty else { return .min }
    var free = Int64.min
    for cap in rules.caps where isBinding(cap, on: channel) {
      guard case .rolling(let span) = cap.span else { continue }
      var count = 0
      for entry in facts.history.entries where cap.covers(entry) {
        count += 1
        if count == cap.limit {
          free = max(free, entry.at.microseconds.saturatingSum(span.wholeMicroseconds))
          break
        }
      }
    }
    return free
  }

  /// The first instant at which no cap per calendar day is used up in any zone; nil if none up to `limit`.
  private func dailyCapFree(on channel: OutboundChannel, from start: Int64, through limit: Int64) -> Int64? {
    guard !facts.history.entries.isEmpty else { return start }
    var time = start
    for cap in rules.caps where cap.span == .calendarDay && isBinding(cap, on: channel) {
      let free = settle(from: time) { zone, time in
        zone.first(from: time, through: limit) { wall in
          // Days with attempts are finitely many, so a free one is found.
          var day = WallClock.day(of: wall)
          while isUsedUp(cap, on: day, in: zone) { day += 1 }
          return max(wall, day * WallClock.day)
        }
      }
      guard let free else { return nil }
      time = free
    }
    return time
  }

  private func isUsedUp(_ cap: PurposeProfile.Cap, on day: Int64, in zone: Zone) -> Bool {
    var count = 0
    for entry in facts.history.entries where cap.covers(entry) {
      if WallClock.day(of: zone.wall(at: entry.at.microseconds)) == day { count += 1 }
      if count == cap.limit { return true }
    }
    return false
  }

  private func isBinding(_ cap: PurposeProfile.Cap, on channel: OutboundChannel) -> Bool {
    (cap.channel == nil || cap.channel == channel) && !(cap.kind == .bank && request.overrides.contains(.bankCap))
  }

  /// So many attempts within an hour, of whatever purpose, are a loop and not a customer.
  private func floodFree() -> Int64 {
    let entries = facts.history.entries
    guard entries.count >= profile.floodPerHour else { return .min }
    return entries[profile.floodPerHour - 1].at.microseconds.saturatingSum(3_600_000_000)
  }
}

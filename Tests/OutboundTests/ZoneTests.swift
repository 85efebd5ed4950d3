import Channels
import ContactModel
import Foundation
import Testing

@testable import Outbound

@Suite struct ZoneTests {
  @Test(arguments: [
    "Asia/Shanghai", "Europe/London", "America/New_York", "Africa/Casablanca", "Australia/Lord_Howe", "Asia/Almaty",
    "Pacific/Apia", "America/Sao_Paulo", "UTC",
  ])
  func `the wall clock reads as the system's does`(name: String) throws {
    let zone = try #require(Shipped.zones.zone(named: name))
    let system = try #require(TimeZone(identifier: name))
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<3_000 {
      let second = Int64.random(in: 946_684_800..<4_102_444_800, using: &generator)
      let offset = Int64(system.secondsFromGMT(for: Date(timeIntervalSince1970: TimeInterval(second))))
      #expect(zone.wall(at: second * 1_000_000) == (second + offset) * 1_000_000, "\(second)")
    }
  }

  @Test(arguments: [
    "", "Mars/Olympus", "CST", "GMT+8", "../../etc/passwd", "asia/shanghai", String(repeating: "a/", count: 100),
  ])
  func `what is no IANA name is no zone`(name: String) { #expect(Shipped.zones.zone(named: name) == nil) }

  private func first(_ window: DailyWindow, in name: String, from start: String) throws -> String? {
    let zone = try #require(Shipped.zones.zone(named: name))
    let start = try #require(Timestamp(start)).microseconds
    return zone.first(from: start, through: start + 35 * WallClock.day, where: window.opening(from:))
      .map { Timestamp(microseconds: $0).description }
  }

  @Test func `a window that begins in the hour the clock skips opens after the gap`() throws {
    let window = try #require(DailyWindow(from: 150, to: 240))
    #expect(try first(window, in: "America/New_York", from: "2026-03-08T06:00:00Z") == "2026-03-08T07:00:00.000Z")
  }

  @Test func `a window wholly in the hour the clock skips opens the next day`() throws {
    let window = try #require(DailyWindow(from: 135, to: 165))
    #expect(try first(window, in: "America/New_York", from: "2026-03-08T06:00:00Z") == "2026-03-09T06:15:00.000Z")
  }

  @Test func `an hour the clock shows twice is met at its first, and again at its second`() throws {
    let window = try #require(DailyWindow(from: 75, to: 105))  // 01:15 to 01:45
    #expect(try first(window, in: "Europe/London", from: "2026-10-24T23:00:00Z") == "2026-10-25T00:15:00.000Z")
    #expect(try first(window, in: "Europe/London", from: "2026-10-25T00:50:00Z") == "2026-10-25T01:15:00.000Z")
  }

  @Test func `a window over midnight belongs to the day it begins`() throws {
    let friday = try #require(DailyWindow(from: 1_320, to: 450, days: [5]))
    let midnight = try #require(Timestamp("2026-03-14T00:00:00Z")).microseconds  // a Saturday
    #expect(friday.ending(covering: midnight + 449 * WallClock.minute) == midnight + 450 * WallClock.minute)
    #expect(friday.ending(covering: midnight + 450 * WallClock.minute) == nil)
    #expect(friday.ending(covering: midnight + 1_330 * WallClock.minute) == nil)
  }

  @Test(arguments: [("00:00", 0), ("09:05", 545), ("24:00", 1_440)])
  func `a time of day is read`(text: String, minutes: Int) { #expect(DailyWindow.minutes(text) == minutes) }

  @Test(arguments: ["", "9:00", "24:01", "12:60", "12-00", "ab:cd", "12:000", "１2:00"])
  func `what is no time of day is not read`(text: String) { #expect(DailyWindow.minutes(text) == nil) }
}

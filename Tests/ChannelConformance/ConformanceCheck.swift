import Channels

/// What every adapter is held to: adapters/README.md, one check a promise.
///
/// A check throws `ConformanceViolation`, or what the harness threw. In an adapter's tests:
/// ```swift
/// @Test(arguments: ConformanceCheck.allCases)
/// func `the adapter keeps the promises of a channel`(_ check: ConformanceCheck) async throws {
///   try await check.verify { try await MyHarness() }
/// }
/// ```
public enum ConformanceCheck: String, Sendable, CaseIterable {
  case storesBeforeAcknowledging = "nothing is acknowledged before accept has returned"
  case answersDuplicatesLikeStored = "a duplicate is answered like the first one"
  case busyMeansLater = "busy tells the peer to come back, and what comes back is taken"
  case refusedIsFinal = "a refusal is final"
  case keysAreStable = "a repeat bears the same wire key, another arrival another one"
  case arrivalsAreComplete = "an arrival names its channel and keeps its bytes within the stated bound"
  case survivesTheUnreadable = "what cannot be read is offered as unreadable or refused, and blocks nothing"
  case refusesTheOversize = "what is too large is refused and blocks nothing"
  case drains = "a drain answers what is in hand and lets run return"
  case drainsBeforeRunning = "a drain asked for before run lets it return"
  case healthFollows = "health is up only between run and its end"
  case cancels = "a cancelled run returns"
  case restarts = "a cancelled adapter can be run again"
  case outboundIsHonest = "who does not submit says unsupported; a wire identity is a pure function of its attempt"

  /// Runs the check on a harness of its own.
  ///
  /// `patience` is how long something that must happen may take; a conforming adapter never waits it out.
  public func verify<H: ChannelHarness>(
    patience: Duration = .seconds(60), _ makeHarness: () async throws -> H
  ) async throws {
    let harness = try await makeHarness()
    do {
      try await perform(on: Stage(harness: harness, check: self, patience: patience))
    } catch {
      await harness.close()
      throw error
    }
    await harness.close()
  }

  private func perform<H: ChannelHarness>(on stage: Stage<H>) async throws {
    switch self {
    case .storesBeforeAcknowledging: try await stage.storesBeforeAcknowledging()
    case .answersDuplicatesLikeStored: try await stage.answersDuplicatesLikeStored()
    case .busyMeansLater: try await stage.busyMeansLater()
    case .refusedIsFinal: try await stage.refusedIsFinal()
    case .keysAreStable: try await stage.keysAreStable()
    case .arrivalsAreComplete: try await stage.arrivalsAreComplete()
    case .survivesTheUnreadable: try await stage.survivesTheUnreadable()
    case .refusesTheOversize: try await stage.refusesTheOversize()
    case .drains: try await stage.drains()
    case .drainsBeforeRunning: try await stage.drainsBeforeRunning()
    case .healthFollows: try await stage.healthFollows()
    case .cancels: try await stage.cancels()
    case .restarts: try await stage.restarts()
    case .outboundIsHonest: try await stage.outboundIsHonest()
    }
  }
}

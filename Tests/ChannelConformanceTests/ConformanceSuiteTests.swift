import ChannelConformance
import Channels
import Testing

@Suite struct ConformanceSuiteTests {
  @Test(arguments: ConformanceCheck.allCases)
  func `an adapter that keeps every promise passes every check`(_ check: ConformanceCheck) async throws {
    try await check.verify { LoopHarness(adapter: FlawedAdapter(.none)) }
  }

  /// Those whose violation shows at once; a check that can only find its flaw by waiting has a shorter patience here.
  @Test(arguments: [
    (FlawedAdapter.Flaw.answersEarly, ConformanceCheck.storesBeforeAcknowledging),
    (.refusesDuplicates, .answersDuplicatesLikeStored), (.takesBusy, .busyMeansLater),
    (.retriesRefusals, .refusedIsFinal), (.inventsKeys, .keysAreStable), (.losesBytes, .arrivalsAreComplete),
    (.diesOfGarbage, .survivesTheUnreadable), (.takesTheOversize, .refusesTheOversize),
    (.dropsWhatIsInHand, .drains), (.forgetsToDrain, .drains), (.ignoresAnEarlyDrain, .drainsBeforeRunning),
    (.saysUpTooSoon, .healthFollows), (.ignoresCancellation, .cancels), (.runsOnce, .restarts),
    (.saysAccepted, .outboundIsHonest),
  ])
  func `an adapter that breaks a promise is found`(_ flaw: FlawedAdapter.Flaw, _ check: ConformanceCheck) async {
    await #expect(throws: ConformanceViolation.self) {
      try await check.verify(patience: .milliseconds(400)) { LoopHarness(adapter: FlawedAdapter(flaw)) }
    }
  }
}

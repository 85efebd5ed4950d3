import Channels

/// One check on one harness: the adapter, its peer, and somebody who keeps what arrives.
struct Stage<H: ChannelHarness> {
  let harness: H
  let check: ConformanceCheck
  var adapter: H.Adapter { harness.adapter }
  let patience: Duration
  /// How long a wrong answer may take to show itself where the right behaviour is silence.
  let silence = Duration.milliseconds(150)

  func violated(_ text: String) -> ConformanceViolation { ConformanceViolation(check: check, text: text) }
  func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
    if !condition { throw violated(text()) }
  }

  /// Runs the adapter until `body` is done, then drains it.
  func whileRunning(_ keeper: Keeper, _ body: (Running) async throws -> Void) async throws {
    let running = Running(adapter, keeper)
    do {
      try await isUp(running)
      try await body(running)
    } catch {
      keeper.gate.set()
      running.cancel()
      throw error
    }
    adapter.beginDrain()
    try require(await running.ends(within: patience), "run did not return after beginDrain")
    if let error = running.error { throw violated("run threw \(error)") }
  }

  /// Health is observed state: polled, with a yield between, up to a deadline.
  func health(becomes wanted: Set<Health.State>) async -> Bool {
    let deadline = ContinuousClock.now + patience
    while ContinuousClock.now < deadline {
      if wanted.contains(await adapter.health.state) { return true }
      await Task.yield()
    }
    // On a machine that gave this task no turn before the deadline, what is so now counts.
    return wanted.contains(await adapter.health.state)
  }

  func isUp(_ running: Running) async throws {
    let up = await health(becomes: [.up, .degraded])
    if let error = running.error { throw violated("run threw \(error)") }
    let health = await adapter.health
    try require(up, "health did not become up: \(health.state.rawValue) \(health.text ?? "")")
  }

  /// An answer a peer may have had when everything went well.
  func wasTaken(_ answer: PeerAnswer) -> Bool { answer == .taken || answer == .none }

  // MARK: The checks

  func storesBeforeAcknowledging() async throws {
    let keeper = Keeper(gated: true)
    try await whileRunning(keeper) { _ in
      let answered = Signal()
      let delivery = deliver(1, then: answered)
      try require(await keeper.offered.wait(for: patience), "nothing was offered to accept")
      // A wire without answers never sets it.
      let early = await answered.wait(for: silence)
      try require(!early, "the peer was answered while accept was still at it")
      keeper.gate.set()
      let final = try await delivery.value
      try require(wasTaken(final), "the peer was told \(final)")
    }
  }

  /// Ends when the peer has its answer, at the latest when the harness is closed; a failed check does not wait for it.
  private func deliver(_ number: Int, then answered: Signal = Signal()) -> Task<PeerAnswer, any Error> {
    let harness = harness
    return Task {
      let answer = try await harness.deliver(number)
      if answer != .none { answered.set() }
      return answer
    }
  }

  func answersDuplicatesLikeStored() async throws {
    let keeper = Keeper([.stored(Keeper.someID), .duplicate(of: Keeper.someID)])
    try await whileRunning(keeper) { _ in
      let first = try await harness.deliver(1)
      let second = try await harness.deliver(1)
      try require(wasTaken(first), "the first was answered \(first)")
      try require(first == second, "the duplicate was answered \(second), the first \(first)")
    }
  }

  func busyMeansLater() async throws {
    let keeper = Keeper([.busy(retryAfter: .milliseconds(1)), .stored(Keeper.someID)])
    try await whileRunning(keeper) { _ in
      let first = try await harness.deliver(1)
      try require(first == .later || first == .none, "busy was answered \(first)")
      let again = try await harness.deliver(1)
      try require(wasTaken(again), "what came back was answered \(again)")
      try require(keeper.arrivals.count >= 2, "what came back was not offered")
    }
  }

  func refusedIsFinal() async throws {
    let keeper = Keeper([.refused(Refusal(code: .notPermitted, text: "not wanted")), .stored(Keeper.someID)])
    try await whileRunning(keeper) { _ in
      let first = try await harness.deliver(1)
      try require(first == .refused || first == .none, "a refusal was answered \(first)")
      let next = try await harness.deliver(2)
      try require(wasTaken(next), "the one after the refused was answered \(next)")
    }
  }

  func keysAreStable() async throws {
    let keeper = Keeper()
    try await whileRunning(keeper) { _ in
      for number in [1, 1, 2] { _ = try await harness.deliver(number) }
      let keys = keeper.arrivals.map(\.wireKey)
      try require(keys.count == 3, "\(keys.count) of 3 were offered")
      if harness.wireNamesArrivals {
        try require(keys.allSatisfy { $0?.isEmpty == false }, "a wire key is missing")
        try require(keys[0] == keys[1], "the repeat bears another key: \(keys)")
        try require(keys[0] != keys[2], "two arrivals bear one key: \(keys)")
      } else {
        try require(keys.allSatisfy { $0 == nil }, "a wire key was invented: \(keys)")
      }
    }
  }

  func arrivalsAreComplete() async throws {
    let keeper = Keeper()
    try await whileRunning(keeper) { _ in
      _ = try await harness.deliver(1)
      let arrival = keeper.arrivals.first
      try require(arrival?.channel == adapter.channel, "the arrival names another channel")
      try require(arrival?.raw.isEmpty == false, "the raw bytes are missing")
      try require(arrival?.raw.count ?? 0 <= adapter.capabilities.maximumArrivalBytes, "more bytes than stated")
      if case .unreadable(let reason)? = arrival?.payload { throw violated("a good item was unreadable: \(reason)") }
      try require(adapter.capabilities.abilities.contains(.receives), "capabilities do not say that it receives")
    }
  }

  func survivesTheUnreadable() async throws {
    let keeper = Keeper()
    try await whileRunning(keeper) { running in
      guard let answer = try await harness.deliverUnreadable() else { return }
      let offered = keeper.arrivals
      for arrival in offered {
        guard case .unreadable(let reason) = arrival.payload else { throw violated("it was offered as readable") }
        try require(!arrival.raw.isEmpty, "its bytes were not kept")
        try require(!reason.code.isEmpty && !reason.text.isEmpty, "no reason is given")
      }
      if offered.isEmpty {
        try require(answer == .refused || answer == .none, "neither offered nor refused: \(answer)")
      } else {
        try require(wasTaken(answer), "kept, and answered \(answer)")
      }
      try require(!running.hasEnded, "run ended")
      let next = try await harness.deliver(1)
      try require(wasTaken(next), "the next one was answered \(next)")
      try require(keeper.arrivals.count == offered.count + 1, "the next one was not offered")
    }
  }

  func refusesTheOversize() async throws {
    let keeper = Keeper()
    try await whileRunning(keeper) { _ in
      guard let answer = try await harness.deliverOversize() else { return }
      try require(answer == .refused || answer == .none, "answered \(answer)")
      let most = adapter.capabilities.maximumArrivalBytes
      try require(keeper.arrivals.allSatisfy { $0.raw.count <= most }, "offered beyond the stated bound")
      let before = keeper.arrivals.count
      let next = try await harness.deliver(1)
      try require(wasTaken(next), "the next one was answered \(next)")
      try require(keeper.arrivals.count == before + 1, "the next one was not offered")
    }
  }

  func drains() async throws {
    let keeper = Keeper(gated: true)
    try await whileRunning(keeper) { running in
      let delivery = deliver(1)
      try require(await keeper.offered.wait(for: patience), "nothing was offered to accept")
      adapter.beginDrain()
      adapter.beginDrain()
      try require(await health(becomes: [.draining, .stopped]), "health does not say draining")
      try require(!(await running.ends(within: silence)), "run returned with an arrival in hand")
      keeper.gate.set()
      let final = try await delivery.value
      try require(wasTaken(final), "what was in hand was answered \(final)")
    }
  }

  func drainsBeforeRunning() async throws {
    adapter.beginDrain()
    let running = Running(adapter, Keeper())
    let ended = await running.ends(within: patience)
    running.cancel()
    try require(ended, "run did not return")
  }

  func healthFollows() async throws {
    let before = await adapter.health
    try require(before.state != .up && before.state != .degraded, "up before run: \(before.state.rawValue)")
    try await whileRunning(Keeper()) { _ in
      let during = await adapter.health
      try require(during.since >= before.since, "since runs backwards")
      _ = try await harness.deliver(1)
      try require(await adapter.health.lastArrivalAt != nil, "the last arrival is not told")
    }
    let after = await adapter.health
    try require([.stopped, .down, .draining].contains(after.state), "after the end: \(after.state.rawValue)")
  }

  func cancels() async throws {
    let running = Running(adapter, Keeper())
    try await isUp(running)
    running.cancel()
    try require(await running.ends(within: patience), "run did not return")
    if let error = running.error { throw violated("run threw \(error)") }
    let after = await adapter.health.state
    try require(after != .up && after != .degraded, "health says \(after.rawValue)")
  }

  func restarts() async throws {
    try await cancels()
    let keeper = Keeper()
    try await whileRunning(keeper) { _ in
      let answer = try await harness.deliver(1)
      try require(wasTaken(answer), "answered \(answer)")
      try require(!keeper.arrivals.isEmpty, "nothing was offered")
    }
  }

  func outboundIsHonest() async throws {
    let attempt = AttemptID(at: Timestamp(seconds: 1_700_000_000))
    let other = AttemptID(at: Timestamp(seconds: 1_700_000_001))
    let identity = adapter.wireIdentity(of: attempt)
    try require(!identity.isEmpty && identity.utf8.count <= 255, "a wire identity of \(identity.utf8.count) bytes")
    try require(identity == adapter.wireIdentity(of: attempt), "two wire identities of one attempt")
    try require(identity != adapter.wireIdentity(of: other), "one wire identity for two attempts")
    guard !adapter.capabilities.abilities.contains(.submits) else { return }
    let dispatch = Dispatch(
      key: "k", attempt: attempt, wireIdentity: identity, to: Address(kind: .other, canonical: "x", raw: "x"),
      from: nil, content: Dispatch.Content(text: "x"), expires: nil)
    for outcome in [await adapter.submit(dispatch), await adapter.inquire(about: dispatch)] {
      guard case .rejected(let fault) = outcome, fault.code == .unsupported else {
        throw violated("answered \(outcome)")
      }
    }
  }
}

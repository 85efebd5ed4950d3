import Channels
import ContactModel
import Logging
import Store

/// An arrival becomes a contact: kept, answered, then identified, threaded, classified and routed.
///
/// `accept` is what every adapter is given: it returns only after raw bytes, arrival and ledger are committed, so the
/// wire is never told more than is durable. What is kept is routed by `run` in a second transaction that also marks
/// the arrival as done; after a crash whatever is kept and not routed is found again by its state, so nothing is lost
/// and nothing is routed twice. What cannot be routed is quarantined with its reason and delays no other.
public final class Intake: Sendable {
  public struct Options: Sendable {
    /// Raw bytes up to this many stand in the row, more in a body file.
    public var inlineRawBytes = 65_536
    /// What lay longer than this at the peer is marked late.
    public var lateAfter: Duration = .seconds(300)
    /// How many arrivals are routed at once; those of one sender stay in order.
    public var lanes = 64
    /// Kept arrivals waiting in memory for a lane; more wait in the store.
    public var laneDepth = 64
    /// Machines' messages taken in an hour from one sender and to one request; more are set aside.
    public var automaticPerHour = 20
    public init() {}
  }

  let database: Database
  let bodies: BodyStore
  let parameters: @Sendable () -> IntakeParameters
  let reference: @Sendable (ArrivalID, ContactChannel) -> String?
  let now: @Sendable () -> Timestamp
  /// Shows what changed of a call, in the transaction of the change.
  let show: @Sendable (CallChange, WriteTransaction) throws -> Void
  let options: Options
  let logger: Logger
  private let lanes: RoutingLanes
  let writes: RoutingWrites
  let calls = CallMemory()

  /// - Parameter parameters: the categories in force; asked for each arrival.
  /// - Parameter reference: what the sender of an arrival is told to quote; nil where nothing is told.
  /// - Parameter show: tells agents what changed of a call, in the transaction of the change, so that it is on their
  ///   screens after one commit.
  public init(
    database: Database, bodies: BodyStore, parameters: @escaping @Sendable () -> IntakeParameters,
    reference: @escaping @Sendable (ArrivalID, ContactChannel) -> String?,
    show: @escaping @Sendable (CallChange, WriteTransaction) throws -> Void = { _, _ in },
    now: @escaping @Sendable () -> Timestamp, options: Options = Options(), logger: Logger
  ) {
    self.database = database
    self.bodies = bodies
    self.parameters = parameters
    self.reference = reference
    self.show = show
    self.now = now
    self.options = options
    self.logger = logger
    lanes = RoutingLanes(count: options.lanes, depth: options.laneDepth)
    writes = RoutingWrites(database)
  }

  /// Keeps one arrival; returns after the commit. Never throws: what the store cannot do now is `.busy`.
  public func accept(_ arrival: Arrival) async -> Acceptance {
    let storedAt = now()
    let id = ArrivalID(at: storedAt)
    do {
      let kept = try await keepBodies(of: arrival, as: id, storedAt: storedAt)
      if kept.payload.isCall { return try await keepAndFollow(kept) }
      let payload = try kept.payload.json()
      let acceptance = try await database.write { try $0.keep(kept, payload: payload) }
      if case .stored = acceptance { lanes.offer(kept) }
      return acceptance
    } catch let error as DatabaseError {
      switch error.kind {
      case .busy, .serialization, .timeout:
        return .busy(retryAfter: .seconds(1))
      default:
        logger.error(
          "An arrival could not be kept; the peer was asked to offer it again.",
          metadata: [
            "channel": "\(arrival.channel.name)", "fault.code": "\(error.kind.rawValue)",
            "fault.text": "\(error.message)",
          ])
        return .busy(retryAfter: .seconds(30))
      }
    } catch {
      logger.error(
        "An arrival could not be kept; the peer was asked to offer it again.",
        metadata: ["channel": "\(arrival.channel.name)", "fault.text": "\(error)"])
      return .busy(retryAfter: .seconds(5))
    }
  }

  /// A call's event is kept and applied in one transaction, since somebody's screen waits for it. One that cannot be
  /// applied is kept all the same and goes the way of the others, into quarantine if need be.
  private func keepAndFollow(_ kept: KeptArrival) async throws -> Acceptance {
    let following = try following(kept)
    let payload = try following.payload()
    let logger = logger
    let (acceptance, isFollowed) = try await database.write { transaction in
      let acceptance = try transaction.keep(kept, payload: payload, settled: following.time)
      guard case .stored = acceptance else { return (acceptance, true) }
      do {
        try transaction.savepoint { try following.apply(to: transaction) }
        return (acceptance, true)
      } catch let error as DatabaseError where error.isPassing {
        throw error
      } catch {
        logger.warning(
          "A call's event could not be applied at once.",
          metadata: ["arrival.id": "\(kept.id)", "fault.text": "\(error)"])
        try transaction.unsettle(kept.id)
        return (acceptance, false)
      }
    }
    if !isFollowed { lanes.offer(kept) }
    return acceptance
  }

  /// Counts what an adapter refused on the wire before it became an arrival.
  public func countRefusal(_ refusal: Refusal, on channel: ContactChannel) async {
    let time = now()
    do {
      try await database.write { try $0.countRefusal(refusal, on: channel, at: time) }
    } catch {
      logger.warning(
        "A refusal could not be counted.", metadata: ["channel": "\(channel.name)", "fault.text": "\(error)"])
    }
  }

  /// How a channel reads bytes anew: the payload they make, nil where the channel cannot.
  public typealias Rereading =
    @Sendable (_ channel: ContactChannel, _ raw: [UInt8], _ to: Address?) async -> Arrival
    .Payload?

  /// Puts a quarantined arrival back to work. What could not be read is read anew by its channel, from the mended bytes
  /// where there are some; where the channel cannot, mended bytes, read as UTF-8, take the place of its text. The
  /// original is kept beside them. False if it is not in quarantine.
  public func reprocess(
    _ id: ArrivalID, mended: [UInt8]?, by actor: Actor, rereading: Rereading? = nil
  ) async throws -> Bool {
    guard let (kept, _) = try await database.read(.live, { try $0.arrival(id) }) else { return false }
    var replaced: KeptArrival?
    if let payload = try await read(anew: kept, mended: mended, by: rereading) {
      var arrival = Arrival(
        channel: kept.channel, wireKey: kept.wireKey, from: kept.from, to: kept.to, receivedAt: kept.receivedAt,
        payload: payload, raw: [])
      if case .message(let message) = payload, arrival.from == nil {
        arrival.from = message.claims.first { $0.fact == .email }
          .map { Address(kind: .email, canonical: $0.value, raw: $0.value) }
      }
      replaced = try await keepBodies(of: arrival, as: id, storedAt: kept.storedAt)
    } else if let mended {
      var message: InboundMessage
      if case .message(let read) = kept.payload { message = read } else { message = InboundMessage(text: "") }
      message.text = String(decoding: mended, as: UTF8.self)
      var arrival = kept
      arrival.payload = .message(message)
      arrival.attachments = []
      replaced = arrival
    }
    let (reading, time) = (replaced, now())
    let isReleased = try await database.write { transaction in
      try transaction.release(
        id, mended: mended, payload: reading?.payload, from: reading?.from, attachments: reading?.attachments ?? [],
        by: actor.label, at: time)
    }
    guard isReleased, let (released, _) = try await database.read(.live, { try $0.arrival(id) }) else {
      return isReleased
    }
    lanes.offer(released)
    return true
  }

  /// Nil where there is nothing to read anew, or nothing better comes of it.
  private func read(
    anew kept: KeptArrival, mended: [UInt8]?, by rereading: Rereading?
  ) async throws -> Arrival.Payload? {
    guard let rereading else { return nil }
    var raw = mended
    if raw == nil, case .unreadable = kept.payload {
      switch kept.raw {
      case .inline(let bytes): raw = bytes
      case .file(let sha256, _): if let digest = BodyDigest(sha256) { raw = try await bodies.read(digest) }
      }
    }
    guard let raw, let payload = await rereading(kept.channel, raw, kept.to) else { return nil }
    if case .unreadable = payload { return nil }
    return payload
  }

  /// Routes what is kept until cancelled; begins with what an earlier run left behind.
  public func run() async {
    await withTaskGroup(of: Void.self) { group in
      for lane in 0..<lanes.count {
        group.addTask {
          while let kept = await self.lanes.next(of: lane) {
            if await self.route(kept) {
              self.lanes.settled(kept)
            } else {
              // No use in asking the store again at once. Cancelled, the next run finds it.
              try? await Task.sleep(for: .seconds(1))
              self.lanes.putBack(kept)
            }
          }
        }
      }
      group.addTask { await self.sweep() }
      await group.waitForAll()
    }
  }

  /// Ends the lanes once they are empty; `run` then returns.
  public func beginDrain() { lanes.finish() }

  /// Fetches from the store what an earlier run left behind, and whatever the lanes had no room for. What is in a lane
  /// already is fetched too; routing it twice is prevented by its state.
  private func sweep() async {
    repeat {
      var isThrough = false
      while !isThrough, !Task.isCancelled {
        lanes.beginSweep()
        do {
          var last: ArrivalID?
          var isFull = false
          while !isFull, !Task.isCancelled {
            let after = last
            let batch = try await database.read(.bulk) { try $0.arrivalsInWork(after: after, limit: 500) }
            guard let end = batch.last?.id else { break }
            isFull = batch.contains { !lanes.fetched($0) }
            last = end
          }
          if isFull { break }
          isThrough = lanes.endSweep()
        } catch {
          logger.error("The store could not be searched for work.", metadata: ["fault.text": "\(error)"])
          do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
      }
    } while await lanes.waitForOverflow()
  }

  private func keepBodies(of arrival: Arrival, as id: ArrivalID, storedAt: Timestamp) async throws -> KeptArrival {
    let raw: KeptArrival.Raw
    if arrival.raw.count <= options.inlineRawBytes {
      raw = .inline(arrival.raw)
    } else {
      raw = .file(sha256: try await bodies.keep(arrival.raw).description, size: arrival.raw.count)
    }
    var attachments: [StoredAttachment] = []
    let payload: KeptArrival.Payload
    switch arrival.payload {
    case .message(var message):
      for (position, part) in message.attachments.enumerated() {
        let sha256 = try await bodies.keep(part.bytes).description
        attachments.append(
          StoredAttachment(
            position: position, name: part.name, mediaType: part.mediaType, contentId: part.contentID, sha256: sha256,
            size: part.bytes.count))
        message.attachments[position].bytes = []
      }
      payload = .message(message)
    case .call(let event): payload = .call(event)
    case .presence(let presence): payload = .presence(presence)
    case .report(let report): payload = .report(report)
    case .unreadable(let unreadable): payload = .unreadable(unreadable)
    }
    let late = arrival.waitingSince.map { storedAt - $0 > options.lateAfter } ?? false
    return KeptArrival(
      id: id, channel: arrival.channel, wireKey: arrival.wireKey, reference: reference(id, arrival.channel),
      from: arrival.from, to: arrival.to, receivedAt: arrival.receivedAt, storedAt: storedAt, late: late,
      payload: payload, raw: raw, attachments: attachments)
  }
}

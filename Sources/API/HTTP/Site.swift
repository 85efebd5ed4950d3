import Channels

/// What lies behind one listener: operations, mounted functions, and who may come in.
///
/// Listeners share nothing but what is put into both sites, so nothing of the API can be reached on the public one.
public struct Site: Sendable {
  let table: RouteTable
  let mounts: [Mount]
  let authentication: Authentication
  let masks: MaskPolicy
  let limiter: RateLimiter?
  let metrics: RequestMetrics?
  /// The peer's address in the log: true for staff, false where the peer is a customer.
  let logsRemoteAddress: Bool
  let clock: @Sendable () -> Timestamp

  public init(
    routes: [Route] = [], mounts: [Mount] = [], authentication: Authentication = .none,
    masks: MaskPolicy = .shipped, limiter: RateLimiter? = nil, metrics: RequestMetrics? = nil,
    logsRemoteAddress: Bool = true, clock: @escaping @Sendable () -> Timestamp = systemTime
  ) {
    table = RouteTable(routes)
    self.mounts = mounts.sorted { $0.prefix.utf8.count > $1.prefix.utf8.count }
    self.authentication = authentication
    self.masks = masks
    self.limiter = limiter
    self.metrics = metrics
    self.logsRemoteAddress = logsRemoteAddress
    self.clock = clock
  }

  public var routes: [Route] { table.routes }
}

import Channels
import CoreMetrics
import Synchronization

/// Counts and times requests by listener, operation and status. Holds its handles.
public final class RequestMetrics: Sendable {
  private struct Key: Hashable {
    var listener: String
    var operation: String
    var status: Int
  }
  private struct Handles {
    var requests: Counter
    var seconds: CoreMetrics.Timer
  }
  private let factory: any MetricsFactory
  private let handles = Mutex<[Key: Handles]>([:])

  public init(_ registry: OpenMetricsRegistry) {
    factory = registry
    registry.describe("liaison_http_requests", "Answered requests by listener, operation and status")
    registry.describe("liaison_http_request", "Time from a request's head to its answer's head")
  }

  func observe(listener: String, operation: String, status: Int, took: Duration) {
    let key = Key(listener: listener, operation: operation, status: status)
    // Operations are a closed list and statuses are ours: the table is bounded.
    let found = handles.withLock { handles in
      if let known = handles[key] { return known }
      let fresh = Handles(
        requests: Counter(
          label: "liaison_http_requests",
          dimensions: [("listener", listener), ("operation", operation), ("status", String(status))],
          factory: factory),
        seconds: CoreMetrics.Timer(
          label: "liaison_http_request", dimensions: [("listener", listener), ("operation", operation)],
          factory: factory))
      handles[key] = fresh
      return fresh
    }
    found.requests.increment()
    found.seconds.recordNanoseconds(took.wholeMicroseconds * 1_000)
  }
}

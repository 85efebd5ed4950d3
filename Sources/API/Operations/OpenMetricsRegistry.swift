import CoreMetrics
import Synchronization

/// The metrics of the process and their exposition: a backend of swift-metrics of our own, with no dependency.
///
/// Counters get `_total`, timers are histograms in seconds and get `_seconds`; label names and values are escaped.
/// A family holds at most `maximumSeries` series: further ones share one nobody sees, and are counted, so that a label
/// that turns out to be unbounded costs a wrong figure and never the memory.
/// Handles are to be kept: making one costs a hundred times what using it does (specs/stack.md §5.4).
/// Source: OpenMetrics 1.0.
public final class OpenMetricsRegistry: MetricsFactory {
  public static let maximumSeries = 1_000
  public static let mediaType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

  enum Kind: String { case counter, gauge, histogram }
  private struct Family {
    var kind: Kind
    var series: [String: any Series] = [:]
  }
  private let families = Mutex<[String: Family]>([:])
  private let help = Mutex<[String: String]>([:])
  private let dropped = NumberSeries()

  public init() {}

  /// The text shown with a family; `name` as given to swift-metrics.
  public func describe(_ name: String, _ text: String) { help.withLock { $0[Self.name(name)] = text } }

  /// The whole exposition, families and series in the order of their names.
  public func exposition() -> String {
    let help = help.withLock { $0 }
    var out = ""
    for (name, family) in families.withLock({ $0 }).sorted(by: { $0.key < $1.key }) {
      let shown = family.kind == .histogram ? name + "_seconds" : name
      out += "# TYPE \(shown) \(family.kind.rawValue)\n"
      if family.kind == .histogram { out += "# UNIT \(shown) seconds\n" }
      if let text = help[name] { out += "# HELP \(shown) \(Self.escaped(text))\n" }
      for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
        series.write(shown, labels, family.kind, into: &out)
      }
    }
    if dropped.value > 0 {
      out += "# TYPE liaison_metric_series_dropped counter\n"
      dropped.write("liaison_metric_series_dropped", "", .counter, into: &out)
    }
    return out + "# EOF\n"
  }

  private func series<S: Series>(_ label: String, _ dimensions: [(String, String)], _ kind: Kind, _ make: () -> S) -> S
  {
    let name = Self.name(label)
    let labels = dimensions.map { "\(Self.name($0.0))=\"\(Self.escaped($0.1))\"" }.sorted().joined(separator: ",")
    let found: S? = families.withLock { families in
      var family = families[name] ?? Family(kind: kind)
      guard family.kind == kind else { return nil }
      if let known = family.series[labels] as? S { return known }
      guard family.series.count < Self.maximumSeries else { return nil }
      let fresh = make()
      family.series[labels] = fresh
      families[name] = family
      return fresh
    }
    if let found { return found }
    dropped.add(1)
    return make()
  }

  /// `liaison.http.requests` is `liaison_http_requests`; `_total` and `_seconds` are ours to add.
  private static func name(_ label: String) -> String {
    var name = String(
      label.map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "_" })
    for suffix in ["_total", "_seconds"] where name.hasSuffix(suffix) { name.removeLast(suffix.count) }
    return name.first?.isNumber == true ? "_" + name : name
  }
  private static func escaped(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }

  // MARK: MetricsFactory

  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    series(label, dimensions, .counter, NumberSeries.init)
  }
  public func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    series(label, dimensions, .counter, NumberSeries.init)
  }
  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    series(label, dimensions, .gauge, NumberSeries.init)
  }
  public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
    // An aggregated recorder has no unit we could know: its last value is shown, as of a gauge.
    series(label, dimensions, .gauge, NumberSeries.init)
  }
  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    series(label, dimensions, .histogram, HistogramSeries.init)
  }
  // Series live as long as the process: a counter that vanished would look like a restart.
  public func destroyCounter(_ handler: any CounterHandler) {}
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  public func destroyMeter(_ handler: any MeterHandler) {}
  public func destroyRecorder(_ handler: any RecorderHandler) {}
  public func destroyTimer(_ handler: any TimerHandler) {}
}

protocol Series: AnyObject, Sendable {
  func write(_ name: String, _ labels: String, _ kind: OpenMetricsRegistry.Kind, into out: inout String)
}

/// A counter or a gauge. The bits of a double, changed atomically.
final class NumberSeries: Series, CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler {
  private let bits = Atomic<UInt64>(0)

  var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
  func store(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
  func add(_ amount: Double) {
    var old = bits.load(ordering: .relaxed)
    while true {
      let new = (Double(bitPattern: old) + amount).bitPattern
      let (exchanged, original) = bits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
      if exchanged { return }
      old = original
    }
  }

  func increment(by amount: Int64) { add(Double(amount)) }
  func increment(by amount: Double) { add(amount) }
  func decrement(by amount: Double) { add(-amount) }
  func reset() { store(0) }
  func set(_ value: Int64) { store(Double(value)) }
  func set(_ value: Double) { store(value) }
  func record(_ value: Int64) { store(Double(value)) }
  func record(_ value: Double) { store(value) }

  func write(_ name: String, _ labels: String, _ kind: OpenMetricsRegistry.Kind, into out: inout String) {
    let braces = labels.isEmpty ? "" : "{\(labels)}"
    out += "\(name)\(kind == .counter ? "_total" : "")\(braces) \(shown(value))\n"
  }
}

/// Durations in cumulative buckets from half a millisecond to ten seconds.
final class HistogramSeries: Series, TimerHandler {
  private static let bounds: [Double] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  ]
  private struct State {
    var counts = [UInt64](repeating: 0, count: bounds.count + 1)
    var sum = 0.0
  }
  private let state = Mutex(State())

  func recordNanoseconds(_ duration: Int64) {
    let seconds = Double(duration) / 1e9
    let index = Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count
    state.withLock {
      $0.counts[index] += 1
      $0.sum += seconds
    }
  }

  func write(_ name: String, _ labels: String, _ kind: OpenMetricsRegistry.Kind, into out: inout String) {
    let state = state.withLock { $0 }
    let braces = labels.isEmpty ? "" : "{\(labels)}"
    var total: UInt64 = 0
    for (index, count) in state.counts.enumerated() {
      total += count
      let bound = index < Self.bounds.count ? shown(Self.bounds[index]) : "+Inf"
      out += "\(name)_bucket{\(labels)\(labels.isEmpty ? "" : ",")le=\"\(bound)\"} \(total)\n"
    }
    out += "\(name)_sum\(braces) \(shown(state.sum))\n\(name)_count\(braces) \(total)\n"
  }
}

private func shown(_ value: Double) -> String {
  value == value.rounded() && abs(value) < 1e15 ? String(Int64(value)) : String(value)
}

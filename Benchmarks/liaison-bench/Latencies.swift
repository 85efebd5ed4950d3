import Glibc

/// Durations of many operations, in nanoseconds.
struct Latencies: Sendable {
  private(set) var values: [Int64] = []

  mutating func add(_ duration: Duration) {
    values.append(duration.components.seconds * 1_000_000_000 + duration.components.attoseconds / 1_000_000_000)
  }
  mutating func add(_ other: Latencies) { values += other.values }

  /// `p50 0.12 · p99 1.30 · max 4.02 ms`
  var summary: String {
    let sorted = values.sorted()
    func at(_ share: Double) -> String {
      guard !sorted.isEmpty else { return "–" }
      return milliseconds(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
    }
    return "p50 \(at(0.5)) · p99 \(at(0.99)) · max \(at(1)) ms"
  }
}

private func milliseconds(_ nanoseconds: Int64) -> String {
  let hundredths = (nanoseconds + 5_000) / 10_000
  return hundredths >= 10
    ? "\(hundredths / 100).\(hundredths / 10 % 10)\(hundredths % 10)" : "0.\(padded(nanoseconds / 1_000))"
}
private func padded(_ microseconds: Int64) -> String {
  let text = String(microseconds)
  return String(repeating: "0", count: max(0, 3 - text.count)) + text
}

func perSecond(_ count: Int, in duration: Duration) -> String {
  let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
  let rate = Int(Double(count) / seconds)
  return rate >= 1_000 ? "\(rate / 1_000),\(padded(Int64(rate % 1_000)))" : "\(rate)"
}

func column(_ text: String, _ width: Int) -> String {
  text + String(repeating: " ", count: max(1, width - text.count))
}

/// CPU time of this process so far, all threads.
func processorTime() -> Duration {
  .microseconds(Int64(clock()) * 1_000_000 / Int64(CLOCKS_PER_SEC))
}

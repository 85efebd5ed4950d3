import Synchronization

/// Random bits for the names of requests and traces: unique, and no secret.
///
/// The system's generator costs a call into the kernel for every eight bytes, several for each request. This is
/// SplitMix64 from a seed of the system; each generator has the next eight places of one sequence to itself.
/// Source: G. L. Steele et al., "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014, §4.
struct NamingGenerator: RandomNumberGenerator {
  private static let place = Atomic<UInt64>(.random(in: .min ... .max))
  private static let step: UInt64 = 0x9e37_79b9_7f4a_7c15
  private var state = place.wrappingAdd(step &* 8, ordering: .relaxed).oldValue

  mutating func next() -> UInt64 {
    state &+= Self.step
    var value = (state ^ state >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}

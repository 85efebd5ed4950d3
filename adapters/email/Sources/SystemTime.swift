import CEsmtp  // its module is the first to declare timespec
import Channels
import Glibc

/// The machine's clock, UTC.
public func systemTime() -> Timestamp {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
}

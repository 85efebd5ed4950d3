import ServiceLifecycle

/// A part that runs until told to stop, as a service of the group.
struct Running: Service, CustomStringConvertible {
  let description: String
  private let body: @Sendable () async throws -> Void
  private let onShutdown: @Sendable () -> Void
  private let atEnd: @Sendable () async -> Void

  init(
    _ name: String, _ body: @escaping @Sendable () async throws -> Void,
    onShutdown: @escaping @Sendable () -> Void = {}, atEnd: @escaping @Sendable () async -> Void = {}
  ) {
    description = name
    self.body = body
    self.onShutdown = onShutdown
    self.atEnd = atEnd
  }

  func run() async throws {
    do {
      try await withGracefulShutdownHandler {
        try await body()
      } onGracefulShutdown: {
        onShutdown()
      }
    } catch is CancellationError {
      // The group ends us: not a failure.
    }
    await atEnd()
  }
}

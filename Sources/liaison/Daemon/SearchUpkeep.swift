import Logging
import Store

/// Brings what was written before there was a search into it, in the bulk lane. Over when nothing is left, at once on a
/// database that was born with it; what a shutdown interrupts goes on at the next start.
func indexSearchBacklog(of database: Database, logger: Logger) async {
  do {
    while !Task.isCancelled, try await database.write(.bulk, { try $0.indexBacklog(limit: 50) }) {}
  } catch is CancellationError {
    return
  } catch {
    logger.warning("Older contacts could not all be made searchable.", metadata: ["fault.text": "\(error)"])
  }
}

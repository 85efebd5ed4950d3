import API
import Channels
import Store

/// Checks documents of business parameters and, unless it is a rehearsal, brings them in force: all or none.
///
/// Throws a `Problem` with file, line and reason of what is wrong.
func apply(
  _ documents: [ParameterDocument], to database: Database, rehearsal: Bool, by actor: Actor, at time: Timestamp
) async throws -> [ParameterChange] {
  var drafts: [ParameterDraft] = []
  for document in documents {
    do {
      drafts += try ParameterFile.read(document.text, file: document.name)
    } catch {
      throw refusal("\(error)")
    }
  }
  let all = drafts
  do {
    return try await database.write { transaction in
      let verdicts = try transaction.apply(all, actor: actor, at: time)
      let refused = verdicts.compactMap { verdict -> String? in
        if case .refused(let reason) = verdict { reason } else { nil }
      }
      guard refused.isEmpty else { throw refusal(refused.joined(separator: "; ")) }
      let changes = try zip(all, verdicts).map { draft, verdict in
        let newest = try transaction.parameterHistory(kind: draft.kind, code: draft.code).last?.version ?? 0
        switch verdict {
        case .applied(let version, let before):
          return ParameterChange(
            kind: draft.kind, code: draft.code, version: version, change: before == nil ? .added : .changed,
            difference: before.map { lineDifference(from: $0, to: draft.body) } ?? "")
        case .unchanged, .refused:
          return ParameterChange(kind: draft.kind, code: draft.code, version: newest, change: .unchanged)
        }
      }
      // Thrown so that nothing of a rehearsal is committed.
      if rehearsal { throw Rehearsed(changes: changes) }
      return changes
    }
  } catch let rehearsed as Rehearsed {
    return rehearsed.changes
  }
}

private struct Rehearsed: Error { var changes: [ParameterChange] }

private func refusal(_ text: String) -> Problem { Problem(.invalidInput, LocalizedText(zh: text, en: text)) }

/// Lines taken away with `-`, lines added with `+`, in order.
private func lineDifference(from before: String, to after: String) -> String {
  let old = before.split(separator: "\n", omittingEmptySubsequences: false)
  let new = after.split(separator: "\n", omittingEmptySubsequences: false)
  return new.difference(from: old).map { change in
    switch change {
    case .remove(_, let line, _): "- \(line)"
    case .insert(_, let line, _): "+ \(line)"
    }
  }.joined(separator: "\n")
}

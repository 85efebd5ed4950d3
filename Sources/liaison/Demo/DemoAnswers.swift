import Foundation
import Logging
import NIOHTTP1
import Store

/// What the demo's back office does with mail: about every `interval` seconds the oldest open question that came by mail
/// and has no answer gets one, over the API like any agent's, so that mail also flows out and customers answer it.
func answerMail(_ database: Database, socket: String, every interval: Int, _ logger: Logger) async {
  let client = AdminClient(socket: socket)
  while !Task.isCancelled {
    do { try await Task.sleep(for: .seconds(interval)) } catch { return }
    do {
      let found = try await database.read { connection in
        try connection.first(
          """
          SELECT r.request_id FROM service_request r WHERE r.channel_kind = 'email' AND r.status = 'open'
            AND NOT EXISTS (SELECT 1 FROM contact_service_request l JOIN contact c ON c.contact_id = l.contact_id
              WHERE l.request_id = r.request_id AND c.direction = 'outbound')
          ORDER BY r.request_id LIMIT 1
          """, []
        ).map { try $0.text("request_id") }
      }
      guard let found else { continue }
      let text = "尊敬的客户，您的来信已收到，我们已核实并处理。如有疑问请直接回复本邮件。\n\nDear customer, we have looked into it."
      _ = try await client.call(
        .POST, "/v1/service-requests/\(found)/replies", body: try JSONObjectText(["text": text]))
    } catch is CancellationError {
      return
    } catch {
      logger.warning("A demo question could not be answered.", metadata: ["fault.text": "\(error)"])
    }
  }
}

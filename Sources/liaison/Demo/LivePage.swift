import API

/// A minimal page that shows an agent's stream as it comes: for the demo and for trying out a token.
///
/// The token stands behind `#`, which a browser sends to nobody; the page reads the stream with it in the header.
func livePageMount() -> Mount {
  Mount(prefix: "/live", maximumBodyBytes: 0) { request in
    guard request.method == "GET" || request.method == "HEAD" else {
      return MountedResponse(status: 405, headers: [HeaderField("Allow", "GET, HEAD")])
    }
    return MountedResponse(
      status: 200,
      headers: [
        HeaderField("Content-Type", "text/html; charset=utf-8"), HeaderField("Cache-Control", "no-store"),
        HeaderField("Referrer-Policy", "no-referrer"), HeaderField("X-Content-Type-Options", "nosniff"),
        HeaderField(
          "Content-Security-Policy",
          "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"
        ),
      ], body: Array(livePage.utf8))
  }
}

private let livePage = """
  <!doctype html>
  <html lang="en">
  <meta charset="utf-8"><meta name="viewport" content="width=device-width">
  <title>Liaison · live</title>
  <style>
    :root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
    body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
    h1 { font-size: 1.2rem } #state { opacity: .7 }
    article { border: 1px solid #8884; border-radius: 8px; padding: .7rem 1rem; margin: .7rem 0 }
    article header { display: flex; gap: .8rem; align-items: baseline; flex-wrap: wrap }
    .type { font-family: ui-monospace, monospace; font-size: .85rem; opacity: .8 }
    .zone { border-radius: 4px; padding: 0 .4rem; background: #8883 }
    .zone.satisfied { background: #2a83 } .zone.fuzzy { background: #c803 }
    p { margin: .3rem 0; white-space: pre-wrap } .reason { font-size: .85rem; opacity: .75 }
  </style>
  <h1>Screen pops as they come</h1>
  <p id="state" role="status">connecting…</p>
  <main id="pops" aria-live="polite"></main>
  <script>
    const given = new URLSearchParams(location.hash.slice(1));
    const agent = given.get("agent"), token = given.get("token");
    const state = document.getElementById("state"), pops = document.getElementById("pops");
    let last = null;
    function element(name, text, className) {
      const made = document.createElement(name);
      made.textContent = text; if (className) made.className = className;
      return made;
    }
    function show(type, id, data) {
      const pop = data.body || data, card = document.createElement("article"), head = document.createElement("header");
      const customer = pop.customer;
      head.append(element("strong", customer ? customer.name + " · " + customer.customer_no : (pop.contact ? "unknown" : "")));
      if (pop.tie_zone) head.append(element("span", pop.tie_zone, "zone " + pop.tie_zone));
      head.append(element("span", "#" + id + " " + type, "type"));
      card.append(head);
      if (pop.contact) {
        card.append(element("p", pop.contact.summary), element("p", pop.contact.content));
        if (pop.call) card.append(element("p", [pop.call.part, pop.call.queue, pop.call.device]
          .concat(pop.call.steps.map((step) => (step.agent || step.device) + " " + (step.outcome || step.state)))
          .filter(Boolean).join(" · ")));
        card.append(element("p", pop.reason || "", "reason"));
      } else if (pop.call_id) {
        card.append(element("p", [pop.part, pop.outcome, pop.ended_by, pop.to, pop.device, pop.call_id]
          .filter(Boolean).join(" · "), "reason"));
      } else { card.append(element("p", JSON.stringify(pop), "reason")); }
      pops.prepend(card);
      while (pops.children.length > 50) pops.lastChild.remove();
    }
    async function follow() {
      const headers = { Authorization: "Bearer " + token, Accept: "text/event-stream" };
      if (last !== null) headers["Last-Event-ID"] = last;
      const answer = await fetch("/v1/agents/" + encodeURIComponent(agent) + "/events", { headers });
      if (!answer.ok) throw new Error("the stream answered " + answer.status);
      state.textContent = "connected as agent " + agent;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let buffer = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        buffer += value;
        let end;
        while ((end = buffer.indexOf("\\n\\n")) >= 0) {
          const fields = { data: "" };
          for (const line of buffer.slice(0, end).split("\\n")) {
            const colon = line.indexOf(":");
            if (colon > 0) {
              const key = line.slice(0, colon), text = line.slice(colon + 1).replace(/^ /, "");
              if (key === "data") fields.data += text; else fields[key] = text;
            }
          }
          buffer = buffer.slice(end + 2);
          if (fields.id) last = fields.id;
          if (fields.data && fields.event && fields.event.startsWith("pop.")) show(fields.event, fields.id, JSON.parse(fields.data));
        }
      }
    }
    (async () => {
      for (;;) {
        try { await follow(); } catch (error) { state.textContent = "not connected: " + error.message; }
        await new Promise((wake) => setTimeout(wake, 2000));
      }
    })();
  </script>
  </html>
  """

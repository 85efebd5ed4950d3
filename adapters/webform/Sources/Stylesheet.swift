/// The look of the pages: the reader's own fonts, one column, light and dark, nothing fetched from elsewhere.
enum Stylesheet {
  static let text = """
    :root{color-scheme:light dark;--ink:#1c2430;--soft:#5a6675;--line:#c9d0d9;--ground:#f5f6f8;--paper:#fff;--accent:#0b4f8a;\
    --accent-ink:#fff;--bad:#b3261e;--bad-ground:#fdf1f0;--good:#1b6e3c}
    @media (prefers-color-scheme:dark){:root{--ink:#e8ebef;--soft:#a4afbc;--line:#3d4753;--ground:#14181d;--paper:#1c2229;\
    --accent:#7db8ee;--accent-ink:#0c1a28;--bad:#ff9d94;--bad-ground:#33201f;--good:#7fd6a0}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--ground);color:var(--ink);\
    font:1rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"PingFang SC","Noto Sans CJK SC","Microsoft YaHei",sans-serif}
    a{color:var(--accent)}
    .skip{position:absolute;left:-999rem}.skip:focus{position:static}
    header,main,footer{max-width:42rem;margin:0 auto;padding:0 1.25rem}
    header{display:flex;justify-content:space-between;align-items:baseline;gap:1rem;padding-top:1.25rem;color:var(--soft)}
    main{background:var(--paper);border:1px solid var(--line);border-radius:.6rem;margin-top:1rem;padding:1.5rem 1.25rem}
    footer{padding:1rem 1.25rem 2.5rem;font-size:.9rem;display:flex;gap:1.25rem;flex-wrap:wrap}
    .embed{background:transparent}.embed main{margin-top:0}
    h1{font-size:1.5rem;line-height:1.3;margin:0 0 .75rem}h2{font-size:1.1rem;margin:0 0 .5rem}
    .field,fieldset{margin:1.25rem 0 0;padding:0;border:0;min-width:0}
    label,legend{font-weight:600;padding:0}
    .mark{font-weight:400;color:var(--soft);font-size:.9rem;margin-inline-start:.35rem}
    .help{margin:.1rem 0 .35rem;color:var(--soft);font-size:.9rem;white-space:pre-line}
    .error{margin:.1rem 0 .35rem;color:var(--bad);font-weight:600;font-size:.95rem}
    input:not([type=checkbox]):not([type=radio]),select,textarea{width:100%;font:inherit;color:inherit;background:var(--paper);\
    border:1px solid var(--soft);border-radius:.35rem;padding:.55rem .65rem;min-height:2.75rem}
    textarea{min-height:9rem;resize:vertical}
    input[type=file]{border-style:dashed}
    [aria-invalid=true]{border-color:var(--bad)!important;border-width:2px!important}
    .choice{display:flex;gap:.6rem;align-items:flex-start;padding:.4rem 0}.choice label{font-weight:400}
    .choice input{width:1.25rem;height:1.25rem;margin:.2rem 0 0;flex:none;accent-color:var(--accent)}
    button{margin-top:1.5rem;font:inherit;font-weight:600;color:var(--accent-ink);background:var(--accent);border:0;\
    border-radius:.35rem;padding:.7rem 2rem;min-height:2.75rem;cursor:pointer}
    :focus-visible{outline:3px solid var(--accent);outline-offset:2px}
    .summary{border:2px solid var(--bad);background:var(--bad-ground);border-radius:.35rem;padding:.9rem 1rem;margin:0 0 1rem}
    .summary ul{margin:.25rem 0 0;padding-inline-start:1.25rem}.summary a{color:var(--bad)}
    .intro{white-space:pre-line}
    .trap{position:absolute;left:-999rem;height:1px;overflow:hidden}
    .reference{font:600 1.75rem/1.4 ui-monospace,SFMono-Regular,Consolas,monospace;letter-spacing:.05em;color:var(--good);\
    margin:.25rem 0;overflow-wrap:anywhere}
    .forms{list-style:none;margin:0;padding:0}.forms li{border-top:1px solid var(--line);padding:.9rem 0}
    .forms li:first-child{border:0}.forms p{margin:.2rem 0 0;color:var(--soft)}
    @media print{header,footer,button{display:none}main{border:0}}

    """

  /// Within an embedding page only: tells it the height, so that no inner scroll bar appears.
  static let frameScript = """
    "use strict";
    (function () {
      function tell() {
        parent.postMessage({ liaisonForm: document.documentElement.scrollHeight }, "*");
      }
      addEventListener("load", tell);
      if (window.ResizeObserver) new ResizeObserver(tell).observe(document.body);
    })();

    """

  /// For the bank's own page: `<script async src="https://forms.bank.example/forms/complaint/embed.js"></script>` puts
  /// the form where the tag stands. `data-lang` chooses the language, else the page's own.
  static func embedScript(base: String, id: String, title: LocalizedText) -> String {
    """
    "use strict";
    (function () {
      var tag = document.currentScript;
      if (!tag) return;
      var lang = (tag.dataset.lang || document.documentElement.lang || "zh").slice(0, 2).toLowerCase() === "en" ? "en" : "zh";
      var origin = new URL(tag.src).origin;
      var frame = document.createElement("iframe");
      frame.src = origin + \(javaScript(base)) + "/" + lang + "/" + \(javaScript(id)) + "?embed=1";
      frame.title = lang === "en" ? \(javaScript(title.en)) : \(javaScript(title.zh));
      frame.style.cssText = "width:100%;border:0;min-height:30rem";
      addEventListener("message", function (event) {
        if (event.origin !== origin || event.source !== frame.contentWindow || !event.data) return;
        var height = Number(event.data.liaisonForm);
        if (height > 0 && height < 20000) frame.style.height = height + "px";
      });
      tag.parentNode.insertBefore(frame, tag.nextSibling);
    })();

    """
  }

  /// A string literal that is safe in a script, too.
  private static func javaScript(_ text: String) -> String {
    var out = "\""
    for unit in text.utf16 {
      switch unit {
      case 0x20...0x7e where unit != 0x22 && unit != 0x5c && unit != 0x3c && unit != 0x3e && unit != 0x26:
        out.unicodeScalars.append(Unicode.Scalar(UInt8(unit)))
      default:
        let hex = String(unit, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      }
    }
    return out + "\""
  }
}

// gp_aiogram: gives this page's links to the bot the session of the ad click. See docs/howto/landing.md.
((w, d, bot, kind, plain, names) => {
  const { src } = d.currentScript || d, key = "gp:" + bot;
  let session, kept, ids, tell;
  if (!src || w[key]) return;
  const on = (...heard) => d.addEventListener(...heard, true),
    cookie = name => (d.cookie.match(`(^|\\s)${name}=([^;]*)`) || [])[2];
  // Telegram's own forms (core.telegram.org/api/links), also at the domain that the server links to.
  const form = RegExp(
    `^(https?://((www\\.)?(t\\.me|telegram\\.(me|dog)|${plain.split("/")[2]})/${bot}` +
    `|${bot}\\.t\\.me)(/\\w+|)/?|tg:(//)?resolve\\?(.*&|)domain=${bot})([?&#]|$)`, "i");
  // For pages that open the bot themselves: any link to it with the session, or the server's link.
  // Links to other names, and links with a start parameter of their own, stay as they are.
  const link = w[key] = w.gpLink = href => {
    if (!href) return session ? session.link : plain;
    const found = form.exec(href), own = /[?&](start\w*)/.exec(href);
    if (!session || !found || /[?&](start\w*=[^&#]|startch|\w*attach|game|text)/.test(href))
      return href;
    const url = new URL(href), app = found[6] || /[?&]appname=/.test(href);
    url.searchParams.set(own ? own[1] : app ? "startapp" : kind, session.session_id);
    return url.href;
  };
  const mend = a => {
    if (!session || !a) return;
    const href = link(a.hasAttribute("data-gp") ? "" : a.href);
    if (href != a.href) a.href = href;
  };
  const all = () => d.querySelectorAll("a[href]").forEach(mend);
  // The server's link once the session is known; after three seconds, what there is.
  link.ready = new Promise(done => tell = () => { all(); done(link()); });
  const post = async () => {
    try {
      const answer = await (await fetch(new URL("click", src), {
        method: "POST", keepalive: true, body: JSON.stringify({
          url: location.href, referrer: d.referrer,
          fbp: cookie("_fbp"), fbc: cookie("_fbc"), ttp: cookie("_ttp"),
          ClientID: cookie("_ym_uid")
        })
      })).json();
      if (answer.session_id) {
        session = answer;
        sessionStorage[key] = JSON.stringify({ ...answer, ids });
      }
    } catch {}
    tell();
  };
  // A pixel of Meta or TikTok on this page gets half a second to set its cookie.
  const wait = n => n && (w.fbq && !cookie("_fbp") || w.ttq && !cookie("_ttp"))
    ? setTimeout(wait, 50, n - 1) : post();
  const start = () => {
    setTimeout(tell, 3000);
    ids = [...new URLSearchParams(location.search)]
      .filter(([name]) => /^utm_/.test(name) || names.split(" ").includes(name)).join();
    // A reload, or another page of this visit, keeps the session that the click has already.
    try { kept = JSON.parse(sessionStorage[key]); } catch {}
    kept && (!ids || kept.ids == ids) ? tell(session = kept) : wait(10);
  };
  on("DOMContentLoaded", all);
  // Links that were added later are mended when they are about to be used.
  for (const name of ["mousedown", "click"])
    on(name, ({ target }) => mend(target.closest && target.closest("a[href]")));
  d.prerendering ? on("prerenderingchange", start) : start();
})(window, document, "%BOT%", "%KIND%", "%LINK%", "%IDS%");

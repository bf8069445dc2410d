// gp_aiogram: gives this page's links to the bot the session of the ad click. See docs/landing.md.
((w, d, bot, kind, plain) => {
  const { src } = d.currentScript || d, key = "gp:" + bot;
  let ids = "", session, tell;
  if (!src || w[key]) return;
  const cookie = (name) => (d.cookie.match("(?:^|;\\s)" + name + "=([^;]*)") || [])[1];
  // For pages that open the bot themselves: a link to the bot with the session, or the server's.
  // Links to other names, and links with a start parameter of their own, stay as they are.
  const link = w[key] = w.gpLink = (href) => {
    if (!href) return session ? session.link : plain;
    if (session) try {
      const url = new URL(href), query = url.searchParams,
        host = url.host.match(/^(www\.|(\w+)\.|)(t\.me|telegram\.(me|dog))$/),
        path = url.protocol == "tg:" ? `/${query.get("domain")}/${query.get("appname") || ""}`
          : host && host[2] ? `/${host[2]}${url.pathname}`
          : (host || plain.includes(`//${url.host}/`)) && url.pathname,
        found = RegExp(`^/${bot}(/\\w+)?/?$`, "i").exec(path),
        own = url.search.match(/[?&](start\w*)/);
      if (!found || /[?&](start\w*=[^&]|startch|\w*attach|game|text)/.test(url.search)) return href;
      query.set(own ? own[1] : found[1] ? "startapp" : kind, session.session_id);
      return url.href;
    } catch (e) {}
    return href;
  };
  // What link() will return once the session is known; after three seconds, what there is.
  link.ready = new Promise((done) => { tell = () => done(link()); });
  const mend = (a) => {
    const href = link(a.hasAttribute("data-gp") ? "" : a.href);
    if (session && href != a.href) a.href = href;
  };
  const all = () => d.querySelectorAll("a[href]").forEach(mend);
  const use = (answer) => { session = answer; all(); };
  const post = async () => {
    try {
      const answer = await (await fetch(new URL("click", src), {
        method: "POST", keepalive: true, credentials: "omit", body: JSON.stringify({
          url: location.href, referrer: d.referrer,
          fbp: cookie("_fbp"), fbc: cookie("_fbc"), ttp: cookie("_ttp")
        })
      })).json();
      if (answer.session_id) {
        use(answer);
        sessionStorage[key] = JSON.stringify({ ...answer, ids });
      }
    } catch (e) {}
    tell();
  };
  // A pixel of Meta or TikTok on this page gets half a second to set its cookie.
  const wait = (n) => n && (w.fbq && !cookie("_fbp") || w.ttq && !cookie("_ttp"))
    ? setTimeout(wait, 50, n - 1) : post();
  const start = () => {
    let kept;
    setTimeout(tell, 3000);
    new URLSearchParams(location.search).forEach((value, name) => {
      if (/^((fb|tt|g)clid|utm_.*)$/.test(name)) ids += name + "=" + value + "&";
    });
    // A reload, or another page of this visit, keeps the session that the click has already.
    try { kept = JSON.parse(sessionStorage[key]); } catch (e) {}
    kept && (!ids || kept.ids == ids) ? tell(use(kept)) : wait(10);
  };
  d.addEventListener("DOMContentLoaded", all);
  // Links that were added later are mended when they are about to be used.
  for (const name of ["mousedown", "click"])
    d.addEventListener(name, (e) => mend(e.target.closest && e.target.closest("a[href]")), true);
  d.prerendering ? d.addEventListener("prerenderingchange", start) : start();
})(window, document, "%BOT%", "%KIND%", "%LINK%");

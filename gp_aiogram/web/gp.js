// gp_aiogram: gives this page's links to the bot the session of the ad click. See docs/landing.md.
((w, d, bot, kind) => {
  const script = d.currentScript, key = "gp:" + bot;
  let ids = "", session;
  if (!script || !script.src || w[key]) return;
  w[key] = 1;
  const cookie = (name) => (d.cookie.match("(?:^|; )" + name + "=([^;]*)") || [])[1];
  // Links to other names, and links with a start parameter of their own, stay as they are.
  const mend = (a) => {
    if (session) try {
      if (a.hasAttribute("data-gp")) a.href = session.link;
      const url = new URL(a.href), [, name, app] = url.pathname.split("/");
      if (!/^(t|telegram)\.me$/.test(url.host) || name.toLowerCase() != bot.toLowerCase() ||
        /[?&](start\w*=[^&]|startch|\w*attach|game|text)/.test(url.search)) return;
      const own = url.search.match(/[?&](start\w*)/);
      url.searchParams.set(own ? own[1] : app ? "startapp" : kind, session.session_id);
      a.href = url;
    } catch (e) {}
  };
  const all = () => d.querySelectorAll("a[href]").forEach(mend);
  const use = (answer) => { session = answer; all(); };
  const post = async () => {
    try {
      const answer = await (await fetch(new URL("click", script.src), {
        method: "POST", keepalive: true, credentials: "omit", body: JSON.stringify({
          url: location.href, referrer: d.referrer,
          fbp: cookie("_fbp"), fbc: cookie("_fbc"), ttp: cookie("_ttp")
        })
      })).json();
      if (!answer.session_id) return;
      use(answer);
      sessionStorage[key] = JSON.stringify({ ...answer, ids });
    } catch (e) {}
  };
  // A pixel of Meta or TikTok on this page gets half a second to set its cookie.
  const wait = (n) => n && (w.fbq && !cookie("_fbp") || w.ttq && !cookie("_ttp"))
    ? setTimeout(wait, 50, n - 1) : post();
  const start = () => {
    let kept;
    new URLSearchParams(location.search).forEach((value, name) => {
      if (/^((fb|tt|g)clid|utm_.*)$/.test(name)) ids += name + "=" + value + "&";
    });
    // A reload, or another page of this visit, keeps the session that the click has already.
    try { kept = JSON.parse(sessionStorage[key]); } catch (e) {}
    kept && (!ids || kept.ids == ids) ? use(kept) : wait(10);
  };
  d.addEventListener("DOMContentLoaded", all);
  // Links that were added later are mended when they are about to be used.
  for (const name of ["mousedown", "click"])
    d.addEventListener(name, (e) => mend(e.target.closest && e.target.closest("a[href]")), true);
  d.prerendering ? d.addEventListener("prerenderingchange", start) : start();
})(window, document, "%BOT%", "%KIND%");

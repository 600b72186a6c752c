// Live updates and small conveniences. Everything on these pages works without this file.
"use strict";

(() => {
  const body = document.body;

  // A form is sent once, however often its button is pressed.
  for (const form of document.forms) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) {
        event.preventDefault();
        return;
      }
      if (form.method === "post") form.dataset.sent = "yes";
      if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
    });
  }
  // Coming back with the browser's button, the page must work again.
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
    for (const busy of document.querySelectorAll("[aria-busy]")) busy.removeAttribute("aria-busy");
  });

  // One listener for the page: its parts may be drawn anew.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    say("Copied.");
    button.textContent = "Copied";
  });

  // While somebody writes a text, the relay counts it. Without this file a button does.
  document.documentElement.classList.add("script");
  for (const area of document.querySelectorAll("[data-counted]")) {
    let waits = 0;
    let asked = 0;
    const count = async () => {
      const number = ++asked;
      const fields = new URLSearchParams(new FormData(area.form));
      fields.set("action", "count");
      try {
        const answer = await fetch(area.form.getAttribute("action"), { method: "POST", body: fields, credentials: "same-origin" });
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("size");
        // A later count may have been answered first.
        if (fresh && number === asked) document.getElementById("size").textContent = fresh.textContent;
      } catch {
        // The relay can't be reached. Sending will say so.
      }
    };
    const countSoon = () => {
      clearTimeout(waits);
      waits = setTimeout(count, 250);
    };
    area.form.addEventListener("input", countSoon);
    if (area.value) countSoon();
  }

  // The relay writes times in UTC. Here they change to the reader's time zone, and say how long ago they are.
  const dateOf = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", year: "numeric" });
  const clockOf = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
  const units = [["second", 60], ["minute", 60], ["hour", 24], ["day", 1e9]];

  function ago(at) {
    let size = (at - Date.now()) / 1000;
    if (Math.abs(size) < 10) return "just now";
    for (const [unit, most] of units) {
      if (Math.abs(size) < most) return relative.format(Math.trunc(size), unit);
      size /= most;
    }
  }

  function localize(root) {
    for (const button of root.querySelectorAll("[data-copy]")) button.hidden = !navigator.clipboard;
    for (const time of root.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      time.querySelector(".date").textContent = dateOf.format(at);
      time.querySelector(".clock").firstChild.data = clockOf.format(at);
      let past = time.querySelector(".ago");
      if (!past) {
        past = document.createElement("span");
        past.className = "ago";
        time.append(" ", past);
      }
      if (past.textContent !== ago(at)) past.textContent = ago(at);
    }
    for (const label of root.querySelectorAll("text[data-at]")) {
      const at = new Date(label.dataset.at);
      label.textContent = label.textContent.includes(":") ? clockOf.format(at) : dateOf.format(at).slice(0, 6);
    }
    for (const title of root.querySelectorAll("title[data-at]")) {
      const at = new Date(title.dataset.at);
      title.textContent = `${dateOf.format(at)} ${clockOf.format(at)} – ${title.textContent.split(" – ")[1]}`;
    }
  }

  localize(document);
  // Another script has drawn parts of the page anew.
  document.addEventListener("redrawn", () => localize(document));
  setInterval(() => { if (!document.hidden) localize(document); }, 20000);
  const zone = document.getElementById("zone");
  if (zone) zone.textContent = `Times are in your time zone (${Intl.DateTimeFormat().resolvedOptions().timeZone}).`;

  // Fields for a time have UTC in the address, and the reader's zone on the page.
  for (const shown of document.querySelectorAll("[data-utc]")) {
    const sent = document.createElement("input");
    sent.type = "hidden";
    sent.name = shown.name;
    shown.removeAttribute("name");
    const pad = (number) => String(number).padStart(2, "0");
    const written = (at) => `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}T${pad(at.getHours())}:${pad(at.getMinutes())}`;
    const label = document.querySelector(`label[for="${shown.id}"]`);
    label.textContent = label.textContent.replace(" (UTC)", "");
    if (shown.value) shown.value = written(new Date(`${shown.value}Z`));
    const take = () => { sent.value = shown.value && new Date(shown.value).toISOString().slice(0, 16); };
    take();
    shown.addEventListener("input", take);
    shown.after(sent);
  }

  function say(text) {
    const said = document.getElementById("said");
    if (said) said.textContent = text;
  }

  if (!body.dataset.events) return;

  // Parts of the page that the server draws anew: fetched as a whole page, and put in place where they differ.
  const every = 2000;
  let refreshing = false;
  let due = 0;
  let last = 0;

  async function refresh() {
    due = 0;
    if (refreshing || document.hidden) return;
    refreshing = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Live": "1" }, credentials: "same-origin" });
      if (!answer.ok || answer.redirected) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      localize(fresh);
      for (const part of document.querySelectorAll("[data-live]")) {
        const news = fresh.getElementById(part.id);
        if (news) replace(part, news);
      }
    } catch {
      // The stream says whether the relay can be reached.
    } finally {
      refreshing = false;
    }
  }

  // Leaves alone what is the same, what someone reads (an open table), and what has the focus.
  function replace(part, news) {
    const touched = part.contains(document.activeElement) && document.activeElement !== body;
    if (touched || part.querySelector("input:checked")) {
      refreshSoon(every);
      return;
    }
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    [...news.querySelectorAll("details")].forEach((details, index) => { details.open = open[index] || false; });
    // The token is this session's and stays; other forms of the page are not touched.
    if (part.innerHTML !== news.innerHTML) part.replaceChildren(...news.childNodes);
  }

  function refreshSoon(atLeast = 0) {
    if (!due) due = setTimeout(refresh, Math.max(atLeast, last + every - Date.now(), 0));
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshSoon(); });

  const live = document.getElementById("live");
  const words = document.getElementById("live-text");
  let counts = "";
  let message = "";
  let retry = 2000;

  function show(connected) {
    live.hidden = false;
    live.classList.toggle("lost", !connected);
    words.textContent = connected ? "Live" : "Not live";
  }

  function listen() {
    const events = new EventSource(body.dataset.events);
    events.addEventListener("open", () => { retry = 2000; show(true); });
    events.addEventListener("counts", (event) => {
      for (const [kind, count] of Object.entries(JSON.parse(event.data))) {
        const place = document.querySelector(`[data-count="${kind}"]`);
        if (place) place.textContent = count.toLocaleString("en-US");
      }
      if (counts && counts !== event.data) refreshSoon();
      counts = event.data;
    });
    events.addEventListener("message", (event) => {
      if (!event.data || event.data === message) return;
      const before = message;
      message = event.data;
      const now = JSON.parse(message);
      // Also at first: the page may be older than the stream.
      refreshSoon();
      if (before && JSON.parse(before).send_status !== now.send_status) {
        say(`The message to ${now.to} is now: ${now.send_status}.`);
      }
    });
    events.addEventListener("ended", () => { events.close(); location.reload(); });
    events.addEventListener("error", () => {
      show(false);
      // Refused (too many pages are open, or the login has ended): the browser gives up, this doesn't.
      if (events.readyState === EventSource.CLOSED) {
        setTimeout(listen, retry);
        retry = Math.min(retry * 2, 60000);
      }
    });
  }

  show(false);
  listen();
})();

// Draws the parts of a page that change again while somebody looks. Everything on these pages works without this file.
"use strict";

(() => {
  const EVERY_MS = 3000;
  const parts = [...document.querySelectorAll("[data-live]")].map((part) => part.id);
  if (!parts.length) return;
  const live = document.getElementById("live");
  const words = document.getElementById("live-text");

  function show(connected) {
    live.hidden = false;
    live.classList.toggle("lost", !connected);
    words.textContent = connected ? "Live" : "Not live: no answer";
  }

  // What the relay last sent of each part. The page itself has the times in another form.
  const sent = new Map();

  // Leaves alone what is the same, and a link that someone is about to follow: it has the focus or is pointed at.
  function replace(part, news) {
    const focused = part.contains(document.activeElement) && part !== document.activeElement;
    if (focused || part.querySelector("a:hover") || sent.get(part.id) === news.innerHTML) return;
    sent.set(part.id, news.innerHTML);
    const open = [...part.querySelectorAll("details")].map((details) => details.open);
    [...news.querySelectorAll("details")].forEach((details, index) => { details.open = open[index] || false; });
    part.replaceChildren(...news.childNodes);
  }

  async function refresh() {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { credentials: "same-origin" });
        if (!answer.ok) throw new Error(answer.statusText);
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const id of parts) {
          const news = fresh.getElementById(id);
          const part = document.getElementById(id);
          if (news && part) replace(part, news);
        }
        document.dispatchEvent(new Event("redrawn"));
        show(true);
      } catch {
        show(false);
      }
    }
    setTimeout(refresh, EVERY_MS);
  }

  show(true);
  setTimeout(refresh, EVERY_MS);
})();

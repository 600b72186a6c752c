"use strict";
// Shows the answers of the admin listener. Every text from outside is set as text, never as markup.

const LIVE_MS = 2000;
const SLOW_MS = 15000;
const CHARTS = [
  ["accepted", "Accepted"], ["taken", "Taken by carriers"], ["receipts", "Receipts"],
  ["delivered", "Notifications delivered"], ["failed", "Attempts that failed"], ["refused", "Refused"],
];
const byId = (id) => document.getElementById(id);
let told = 0;

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function number(value) {
  return value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
}

function seconds(value) {
  if (value < 0) return "over 60 s";
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${number(value)} s`;
}

function age(value) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  for (const [size, name] of units) if (value >= size) return `${Math.floor(value / size)} ${name}`;
  return `${Math.floor(value)} s`;
}

// In UTC, as in the log.
function when(at) {
  const made = element("time", `${new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`);
  made.dateTime = new Date(at * 1000).toISOString();
  made.title = new Date(at * 1000).toLocaleString();
  return made;
}

// The time that is left, rounded up.
function atMost(value) {
  return value > 3600 ? `${Math.ceil(value / 3600)} h` : `${Math.ceil(value / 60)} min`;
}

async function ask(path, options) {
  const answer = await fetch(path, options);
  const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
  const body = isJson ? await answer.json() : await answer.text();
  if (!answer.ok) throw new Error(isJson ? body.error : body.trim());
  return body;
}

function tell(text) {
  byId("told").textContent = text;
  byId("told").hidden = false;
  clearTimeout(told);
  told = setTimeout(() => { byId("told").hidden = true; }, 6000);
}

// Actions

function confirmed(yes, title, text) {
  const dialog = byId("confirm");
  byId("confirm-yes").textContent = yes;
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-reason").value = "";
  dialog.returnValue = "no";
  dialog.showModal();
  byId("confirm-reason").focus();
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      done(dialog.returnValue === "yes" ? byId("confirm-reason").value : null);
    }, { once: true });
  });
}

// `yes` is the button of the dialog.
function action(label, yes, title, text, path, more) {
  const made = element("button", label);
  made.type = "button";
  made.addEventListener("click", async () => {
    const reason = await confirmed(yes, title, text);
    if (reason === null) return;
    try {
      const answer = await ask(path, {
        method: "POST",
        headers: { "X-Relay-Action": "page", "Content-Type": "application/json" },
        body: JSON.stringify({ reason, ...(more || {}) }),
      });
      tell(answer.done);
    } catch (problem) {
      tell(`Refused: ${problem.message}`);
    }
    await Promise.all([live(), slow()]);
  });
  return made;
}

// What is drawn

function chart(title, steps, stepSeconds) {
  const figure = element("figure");
  const caption = element("figcaption");
  const last = steps.length ? steps[steps.length - 1] / stepSeconds : 0;
  caption.append(element("span", title), element("span", `${number(last)} a second`));
  const top = Math.max(...steps, 1);
  const points = steps.map((value, index) => [360 - steps.length + index, 60 - (value / top) * 56]);
  const line = points.map(([x, y], index) => `${index ? "L" : "M"}${x} ${y.toFixed(1)}`).join("");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 360 60");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${title}: ${number(last)} a second now, at most ${number(top / stepSeconds)}`);
  if (points.length > 1) {
    for (const [className, d] of [["area", `${line}L359 60L${points[0][0]} 60Z`], ["line", line]]) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", className);
      path.setAttribute("d", d);
      svg.append(path);
    }
  }
  figure.append(caption, svg);
  return figure;
}

function carrierState(carrier) {
  if (carrier.draining) return ["draining", carrier.bound ? "some" : "bad"];
  if (carrier.held) return ["held", "some"];
  if (!carrier.up) return ["down", "bad"];
  if (carrier.paused_seconds > 0) return [`pausing ${number(carrier.paused_seconds)} s`, "some"];
  return carrier.bound < carrier.wanted ? ["partly up", "some"] : ["up", "good"];
}

function row(cells) {
  const made = element("tr");
  for (const cell of cells) {
    if (cell instanceof HTMLTableCellElement) made.append(cell);
    else made.append(element("td", String(cell)));
  }
  return made;
}

function buttons(...made) {
  const cell = element("td");
  made.forEach((button, index) => cell.append(...(index ? [" ", button] : [button])));
  return cell;
}

function carrierRow(carrier) {
  const [state, className] = carrierState(carrier);
  const path = `/carriers/${encodeURIComponent(carrier.name)}`;
  const hold = carrier.held
    ? action("Resume", "Resume carrier", `Resume ${carrier.name}?`, "The messages that wait for it are sent.", `${path}/resume`)
    : action("Hold", "Hold carrier", `Hold ${carrier.name}?`,
             "No more messages are sent to it. They go to the next carrier of their route, or wait. Receipts still come.", `${path}/hold`);
  const out = carrier.receipts_out < 0 ? "receipts" : `${number(carrier.receipts_out)} receipts`;
  const end = action("Unbind now", "Unbind carrier", `Unbind ${carrier.name} now?`,
                     `${out} are outstanding. They will be lost, and their messages end UNKNOWN.`,
                     `${path}/unbind`);
  const remarks = element("td", carrier.last_error, "wide");
  if (carrier.draining) {
    remarks.append(element(
      "div", `Removed from the file. ${out} are outstanding; it is unbound after ${atMost(carrier.drain_seconds)} at the latest.`));
  }
  const refused = carrier.error_share > 0.2 ? "bad" : "";
  const limit = carrier.rate_limit ? ` of ${number(carrier.rate_limit)}` : "";
  return row([
    carrier.name, element("td", state, className), `${carrier.bound} of ${carrier.wanted}`,
    `${number(carrier.rate)}${limit} /s`, `${carrier.in_flight} of ${carrier.window}`,
    element("td", number(carrier.queued), carrier.queued > 0.8 * carrier.queue_limit ? "bad" : ""),
    number(carrier.taken),
    element("td", `${number(carrier.refused)} (${(100 * carrier.error_share).toFixed(1)} %)`, refused),
    number(carrier.throttled), number(carrier.in_doubt), seconds(carrier.response_seconds),
    remarks, buttons(carrier.draining ? end : hold),
  ]);
}

function accountRow(account) {
  const path = `/accounts/${encodeURIComponent(account.name)}`;
  const url = element("td", account.url || "none", "wide");
  const made = [];
  if (account.url_off) {
    url.append(element("div", `off: ${account.url_off}`, "bad"));
    made.push(action("Switch on", "Switch URL on", `Post to ${account.name}'s URL again?`, account.url, `${path}/url-on`));
  } else if (account.url) {
    const times = account.url_failures === 1 ? "once" : `${account.url_failures} times in a row`;
    if (account.url_failures) url.append(element("div", `failed ${times}`, "bad"));
    made.push(action("Switch off", "Switch URL off", `Stop posting to ${account.name}'s URL?`,
                     `${account.url}: its notifications wait until their retry window ends.`, `${path}/url-off`));
  }
  if (account.binds) {
    made.push(action("Unbind", "Unbind account", `Unbind ${account.name}?`,
                     `Its ${account.binds} SMPP sessions end. It can bind again at once.`, `${path}/unbind`));
  }
  made.push(action("Resend", "Resend notifications", `Resend the notifications of ${account.name} that were given up?`,
                   "The relay sends all of them that it still keeps.", `${path}/replay`));
  const refused = Object.entries(account.refused).map(([status, count]) => `${number(count)} ${status}`).join(", ");
  return row([
    account.name, account.binds, `${number(account.rate)} /s`, number(account.accepted),
    element("td", refused || "0", refused ? "wide" : ""), number(account.delivered), number(account.retries),
    element("td", number(account.given_up), account.given_up ? "bad" : ""), url, buttons(...made),
  ]);
}

function nodeRow(node) {
  const state = node.owner ? ["works", "good"] : node.seen_seconds > 10 ? ["away", "bad"] : ["stands by", "good"];
  const file = node.older_file ? ["older file", "bad"] : ["latest file", ""];
  return row([node.name, element("td", ...state), `${age(node.seen_seconds)} ago`, number(node.behind),
              element("td", ...file), node.relay_version]);
}

function drawCluster(cluster) {
  byId("cluster").hidden = !cluster;
  if (!cluster) return;
  const look = cluster.look;
  const place = cluster.epoch
    ? `This is ${cluster.node}, and it ${cluster.works ? "works" : `owns the messages but sends nothing: ${cluster.reason}`}, under epoch ${cluster.epoch}.`
    : `This is ${cluster.node}; it ${cluster.reason}.`;
  if (!look) {
    byId("cluster-summary").textContent = place;
    return;
  }
  const [shard] = look.shards;
  const since = shard.owner ? `${shard.owner} has worked for ${age(shard.owned_seconds)}.` : "Nobody works.";
  const standbys = look.server.standbys.map(([name, state, kind]) => `${name} (${kind || state || "hidden"})`).join(", ");
  byId("cluster-summary").textContent =
    `${place} ${since} Database: PostgreSQL ${look.server.version}, standbys: ${standbys || "none"}; ${number(look.rows)} rows.`;
  fill("nodes", look.nodes, nodeRow);
}

// Tables are drawn again only when their content has changed, so that a button keeps its focus.
const drawn = new Map();
// Values that a narrow window leaves out.
const NOUGHT = /^(0|0 \/s|0 \(0\.0 %\)|0 ms|none|)$/;
function fill(id, values, draw) {
  const now = JSON.stringify(values);
  if (drawn.get(id) === now) return;
  drawn.set(id, now);
  const body = byId(id).tBodies[0];
  const heads = [...byId(id).tHead.rows[0].cells].map((cell) => cell.textContent);
  const rows = values.map(draw);
  // In a narrow window each cell shows the name of its column.
  rows.forEach((made) => [...made.cells].forEach((cell, index) => {
    cell.dataset.head = heads[index];
    cell.classList.toggle("nought", NOUGHT.test(cell.textContent));
  }));
  const focused = document.activeElement && body.contains(document.activeElement)
    ? [...body.querySelectorAll("button")].indexOf(document.activeElement) : -1;
  body.replaceChildren(...rows);
  if (focused >= 0) body.querySelectorAll("button")[focused]?.focus();
}

async function live() {
  let look;
  try {
    look = await ask("/status");
  } catch (problem) {
    byId("state").textContent = `no answer: ${problem.message}`;
    byId("state").className = "bad";
    return;
  }
  const standsBy = look.cluster && !look.cluster.epoch;
  byId("state").textContent = look.readiness.ready ? "ready" : standsBy ? "stands by" : "NOT READY";
  byId("state").className = look.readiness.ready ? "good" : standsBy ? "some" : "bad";
  drawCluster(look.cluster);
  const store = look.store;
  byId("facts").textContent =
    `version ${look.version}, up ${age(look.uptime_seconds)}; ${number(store.unsubmitted)} messages to send, ` +
    `${number(store.awaiting_receipt)} wait for their receipt, ${number(store.owed)} notifications to send; journal ` +
    `${number(store.journal_bytes / 1e6)} MB`;
  document.title = look.troubles.length ? `(${look.troubles.length}) SMS relay` : "SMS relay";
  const list = byId("troubles");
  list.classList.toggle("none", !look.troubles.length);
  list.replaceChildren(...(look.troubles.length
    ? look.troubles.map((text) => element("li", text, "bad"))
    : [element("li", "Nothing.", "good")]));
  byId("charts").replaceChildren(
    ...CHARTS.map(([name, title]) => chart(title, look.charts[name] || [], look.step_seconds)));
  fill("carriers", look.carriers, carrierRow);
  fill("accounts", look.accounts, accountRow);
}

// The carriers whose receipts are kept as evidence of a wrong dialect, each with a button.
function drawEvidence(carriers) {
  if (drawn.get("evidence") === carriers.join()) return;
  drawn.set("evidence", carriers.join());
  byId("evidence").replaceChildren(...carriers.map((carrier) => {
    const made = element("p", `Receipts of ${carrier} match too few messages. Some are kept until its dialect is corrected. `);
    made.append(action("Dismiss", "Dismiss receipts", `Dismiss the receipts of ${carrier}?`,
                       "They are kept no more, and can't find their messages any more.",
                       `/carriers/${encodeURIComponent(carrier)}/dismiss`));
    return made;
  }));
}

async function slow() {
  try {
    const [review, audit] = await Promise.all([ask("/receipts"), ask("/audit")]);
    const kinds = [["orphan: no message has this id", review.orphans],
                   ["evidence: no message had this id in time", review.evidence], ["unreadable", review.unreadable]];
    const receipts = kinds.flatMap(([why, list]) => list.map((receipt) => ({ why, ...receipt })));
    receipts.push(...review.ambiguous.map((receipt) => ({
      ...receipt, why: "ambiguous: several messages have this id", ids: [receipt.carrier_message_id], stat: "", error: "",
      raw: `matched to ${receipt.message_id || "none, because its number differs"}; may also be ${receipt.others.join(", ")}` })));
    byId("receipts").hidden = !receipts.length;
    byId("receipts-summary").textContent = receipts.length
      ? `${review.orphans.length} orphans, ${review.evidence.length} kept as evidence, ${review.unreadable.length} ` +
        `unreadable and ${review.ambiguous.length} ambiguous receipts, the latest first.` : "None.";
    drawEvidence([...new Set(review.evidence.map((receipt) => receipt.carrier))]);
    byId("advice").replaceChildren(...review.advice.flatMap((advice) => [
      element("p", `With this under carriers.${advice.carrier}, ${advice.matched} of ${advice.tried} orphans would ` +
                   `match a message${advice.presets.length ? ` (as preset ${advice.presets.join(", ")})` : ""}:`),
      element("pre", advice.yaml)]));
    fill("receipts", receipts, (receipt) => {
      const at = element("td");
      at.append(when(receipt.received_at));
      return row([receipt.carrier, at, receipt.why, receipt.ids.join(", "),
                  element("td", `${receipt.stat} ${receipt.error}`, "wide"), element("td", receipt.raw, "wide raw")]);
    });
    fill("audit", audit.slice(0, 20), (record) => {
      const at = element("td");
      at.append(when(record.at));
      return row([at, record.what, element("td", record.reason, "wide"), record.peer]);
    });
  } catch (problem) {
    byId("receipts-summary").textContent = `no answer: ${problem.message}`;
  }
}

function life(message) {
  const card = element("article");
  card.append(element("h3", `${message.id}: ${message.status}`));
  const owed = message.owed.length ? `; notification still to be sent by ${message.owed.join(" and ")}` : "";
  card.append(element("p", `${message.account}: ${message.sender} to ${message.to}${owed}`));
  const list = element("ol", undefined, "life");
  for (const event of message.events) {
    const item = element("li", undefined, event.good === false ? "bad" : "");
    item.append(when(event.at), element("span", event.what));
    list.append(item);
  }
  card.append(list);
  if (message.final) {
    card.append(action("Resend notification", "Send it again", `Send the notification for ${message.id} again?`, message.account,
                       `/accounts/${encodeURIComponent(message.account)}/replay`, { ids: [message.id] }));
  }
  return card;
}

byId("find").addEventListener("submit", async (event) => {
  event.preventDefault();
  const id = byId("find-id").value.trim();
  try {
    const found = await ask(`/messages?id=${encodeURIComponent(id)}`);
    byId("found").replaceChildren(...(found.length ? found.map(life) : [element("p", `No message has the id ${id}.`, "bad")]));
  } catch (problem) {
    byId("found").replaceChildren(element("p", problem.message, "bad"));
  }
});

byId("route").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const found = await ask(`/route?${new URLSearchParams(new FormData(event.target))}`);
    const list = element("ul");
    list.append(...found.steps.map((step) => element("li", `${step.route} (${step.asks_for}): ${step.verdict}`)));
    byId("route-found").replaceChildren(element("p", found.decision, found.carriers.length ? "" : "bad"), list);
  } catch (problem) {
    byId("route-found").replaceChildren(element("p", problem.message, "bad"));
  }
});

live();
slow();
setInterval(live, LIVE_MS);
setInterval(slow, SLOW_MS);

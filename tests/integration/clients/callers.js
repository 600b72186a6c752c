// Sends to Kannel's and Jasmin's interfaces as node programs do, and prints the answers as JSON.
// Usage: node callers.js BASE_URL
const base = process.argv[2];
const login = { username: "acme", password: "key", to: "447700900123" };
const kannel = { ...login, from: "RELAY", text: "Hello ☺" };

async function main() {
  const query = new URLSearchParams({ ...kannel, "dlr-mask": "", validity: "", coding: "" });
  const form = new FormData();
  for (const [name, value] of Object.entries({ ...login, content: "Hello", from: "" })) form.append(name, value);
  const headers = {
    "Content-Type": "text/plain; charset=UTF-8",
    "X-Kannel-Username": "acme",
    "X-Kannel-Password": "key",
    "X-Kannel-From": "RELAY",
    "X-Kannel-To": login.to,
  };
  const utf16 = Buffer.from("Привет", "utf16le").swap16();
  const answers = [
    await fetch(`${base}/cgi-bin/sendsms?${query}`),
    await fetch(`${base}/cgi-bin/sendsms`, { method: "POST", headers, body: "Hello" }),
    await fetch(`${base}/send?${new URLSearchParams({ ...login, content: "Hello" })}`),
    await fetch(`${base}/send`, { method: "POST", body: new URLSearchParams({ ...login, content: "Hello" }) }),
    await fetch(`${base}/send`, { method: "POST", body: form }),
    await fetch(`${base}/send`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ ...login, coding: 8, "hex-content": utf16.toString("hex") }),
    }),
    await fetch(`${base}/secure/send`, {
      method: "POST",
      headers: { Authorization: `Basic ${Buffer.from("acme:key").toString("base64")}` },
      body: JSON.stringify({ to: login.to, content: "Hello" }),
    }),
  ];
  const results = [];
  for (const answer of answers) results.push([answer.status, await answer.text()]);
  console.log(JSON.stringify(results));
}

main();

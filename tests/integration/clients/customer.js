// A customer on node-smpp: submits messages, waits for their receipts, prints both as JSON.
// Usage: node customer.js URL SYSTEM_ID PASSWORD COUNT [CA_FILE]
const fs = require("fs");
const smpp = require("smpp");

const [url, system_id, password, count, caFile] = process.argv.slice(2);
const options = { url };
if (caFile) options.ca = fs.readFileSync(caFile);
const ids = [];
const receipts = [];

const session = smpp.connect(options, () => {
  session.bind_transceiver({ system_id, password }, (bound) => {
    if (bound.command_status !== 0) throw new Error(`bind: ${bound.command_status}`);
    for (let n = 0; n < Number(count); n++) {
      session.submit_sm(
        {
          source_addr: "RELAY",
          destination_addr: `4477009${String(n).padStart(5, "0")}`,
          short_message: n === 0 ? "Привет" : `number ${n}`,
          registered_delivery: 1,
        },
        (answer) => {
          if (answer.command_status !== 0) throw new Error(`submit_sm: ${answer.command_status}`);
          ids.push(answer.message_id);
          endIfDone();
        },
      );
    }
  });
});
session.on("deliver_sm", (pdu) => {
  session.send(pdu.response());
  const text = pdu.short_message.message;
  receipts.push([/id:(\S+)/.exec(text)[1], /stat:(\S+)/.exec(text)[1]]);
  endIfDone();
});
session.on("error", (error) => {
  throw error;
});

function endIfDone() {
  if (ids.length < Number(count) || receipts.length < Number(count)) return;
  session.unbind(() => {
    console.log(JSON.stringify({ ids, receipts }));
    session.close();
  });
}

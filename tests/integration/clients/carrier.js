// A carrier on node-smpp: takes every message and sends a receipt for it.
// Usage: node carrier.js PORT [KEY_FILE CERTIFICATE_FILE]
const fs = require("fs");
const smpp = require("smpp");

const [port, keyFile, certificateFile] = process.argv.slice(2);
const options = keyFile ? { key: fs.readFileSync(keyFile), cert: fs.readFileSync(certificateFile) } : {};
let last = 0;

const server = smpp.createServer(options, (session) => {
  session.on("bind_transceiver", (pdu) => session.send(pdu.response()));
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => session.send(pdu.response()));
  session.on("submit_sm", (pdu) => {
    const message_id = `node-${++last}`;
    session.send(pdu.response({ message_id }));
    if (pdu.registered_delivery & 1) {
      session.deliver_sm({
        source_addr: pdu.destination_addr,
        destination_addr: pdu.source_addr,
        esm_class: 4,
        short_message:
          `id:${message_id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:`,
      });
    }
  });
  session.on("error", () => session.close());
});
server.listen(Number(port), "127.0.0.1");

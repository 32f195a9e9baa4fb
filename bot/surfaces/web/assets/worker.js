// One connection for all tabs; each tab has a port. See stream.js.

import { Stream, seat } from "/assets/stream.js";

const stream = new Stream();

addEventListener("connect", ({ ports: [port] }) => {
  const hear = seat(stream, (batch) => port.postMessage(batch));
  port.addEventListener("message", ({ data: [verb, argument] }) => hear(verb, argument));
  port.start();
});

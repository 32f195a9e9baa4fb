// One connection for all tabs; each tab has a port. See stream.js.

import { Stream } from "/assets/stream.js";

const stream = new Stream();

addEventListener("connect", ({ ports: [port] }) => {
  let feed = null;
  const heard = {
    join: () => (feed ??= stream.add((batch) => port.postMessage(batch))),
    next: () => feed?.next(),
    wake: () => stream.open(),
    gone: (id) => stream.forget(id),
    leave: () => {
      if (feed) stream.remove(feed);
      feed = null;
    },
  };
  port.addEventListener("message", ({ data: [verb, argument] }) => heard[verb]?.(argument));
  port.start();
});

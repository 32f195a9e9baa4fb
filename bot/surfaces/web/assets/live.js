// This tab's end of the event stream: through the shared worker, or by itself where there is none.

import { Stream } from "/assets/stream.js";

/** Hand batches to `receive`: the connection's `state`, `hello` (the newest jobs, or null), changed
 * `jobs`, and the ids of those that are `gone`. Returns `forget(id)`, which tells the other tabs. */
export function live(receive) {
  const say = "SharedWorker" in globalThis ? shared(receive) : alone(receive);
  say("join");
  addEventListener("online", () => say("wake"));
  addEventListener("pagehide", () => say("leave"));
  addEventListener("pageshow", (event) => event.persisted && say("join"));
  return (id) => say("gone", id);
}

function shared(receive) {
  const { port } = new SharedWorker("/assets/worker.js", { type: "module", name: "atelier" });
  port.addEventListener("message", ({ data }) => {
    receive(data);
    port.postMessage(["next"]);
  });
  port.start();
  return (verb, argument) => port.postMessage([verb, argument]);
}

function alone(receive) {
  const stream = new Stream();
  let feed = null;
  const heard = {
    join: () => (feed ??= stream.add((batch) => {
      receive(batch);
      queueMicrotask(() => feed?.next());
    })),
    wake: () => stream.open(),
    gone: (id) => stream.forget(id),
    leave: () => {
      if (feed) stream.remove(feed);
      feed = null;
    },
  };
  return (verb, argument) => heard[verb]?.(argument);
}

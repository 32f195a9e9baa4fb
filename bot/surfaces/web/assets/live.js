// This tab's end of the event stream: through the shared worker, or by itself where there is none.

import { Stream, seat } from "/assets/stream.js";

/** Hand batches to `receive`: the connection's `state` and `reason`, `hello` (the newest jobs, or
 * null), changed `jobs`, and the ids of those that are `gone`. Returns `forget(id)`, which tells the other tabs. */
export function live(receive) {
  let say = "SharedWorker" in globalThis ? shared(receive, standIn) : alone(receive);
  function standIn() {
    say = alone(receive);
    say("join");
  }
  say("join");
  addEventListener("online", () => say("wake"));
  addEventListener("pagehide", () => say("leave"));
  addEventListener("pageshow", (event) => event.persisted && say("join"));
  return (id) => say("gone", id);
}

function shared(receive, broken) {
  const worker = new SharedWorker("/assets/worker.js", { type: "module", name: "atelier" });
  worker.addEventListener("error", broken, { once: true });
  const { port } = worker;
  port.addEventListener("message", ({ data }) => {
    receive(data);
    port.postMessage(["next"]);
  });
  port.start();
  return (verb, argument) => port.postMessage([verb, argument]);
}

function alone(receive) {
  const say = seat(new Stream(), (batch) => {
    receive(batch);
    queueMicrotask(() => say("next"));
  });
  return say;
}

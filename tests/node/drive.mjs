// Drives fal's own JavaScript clients, unmodified, against our endpoint:
//
//   node drive.mjs CLIENT SCENARIO
//
// CLIENT is `client` (@fal-ai/client) or `serverless-client`, its older form. The environment says
// where: ATELIER_URL, ATELIER_KEY. Prints what the scenario saw as one line of JSON; asserting is
// left to tests/scenarios/test_fal_clients.py.
import { readFileSync } from "node:fs";

const [, , name, scenario] = process.argv;
const base = process.env.ATELIER_URL;
const vendor = await import(`@fal-ai/${name}`);
const fal = vendor.fal ?? vendor;

const HOSTS = {
  "fal.run": "/run",
  "queue.fal.run": "/queue",
  "rest.fal.ai": "",
  "rest.alpha.fal.ai": "",
};

const withConfig = {
  credentials: process.env.ATELIER_KEY,
  requestMiddleware: async (request) => {
    const url = new URL(request.url);
    const prefix = HOSTS[url.host];
    return prefix === undefined ? request : { ...request, url: `${base}${prefix}${url.pathname}${url.search}` };
  },
};
(vendor.fal ? fal.config.bind(fal) : vendor.config)(withConfig);

const FLUX_1 = "fal-ai/flux-lora";
const FLUX_2 = "fal-ai/flux-2/lora";
const QUICK = { prompt: "a large red circle on a blue background", image_size: "square", num_inference_steps: 4, seed: 5 };
const SLOW = { ...QUICK, num_inference_steps: 50, num_images: 4 };

// The newer client wraps what the model answers in `data`.
const data = (result) => ("data" in result && "requestId" in result ? result.data : result);
const id = (result) => result.request_id ?? result.requestId;

async function until(endpoint, requestId, status) {
  for (let tries = 0; tries < 600; tries++) {
    const now = await fal.queue.status(endpoint, { requestId, logs: true });
    if (now.status === status) return now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never ${status}`);
}

function failure(error) {
  return { name: error.name, status: error.status, body: error.body };
}

async function subscribe(endpoint, options) {
  const updates = [];
  const result = await fal.subscribe(endpoint, {
    input: { ...QUICK, num_inference_steps: 40, num_images: 2 },
    logs: true,
    onQueueUpdate: (update) => updates.push(structuredClone(update)),
    ...options,
  });
  return { updates, requestId: result.requestId, ...data(result) };
}

const SCENARIOS = {
  subscribe: () => subscribe(FLUX_1, {}),
  "subscribe-flux-2": () => subscribe(FLUX_2, {}),
  "subscribe-streaming": () => subscribe(FLUX_1, { mode: "streaming" }),

  async queue() {
    const submitted = await fal.queue.submit(FLUX_2, { input: QUICK });
    const requestId = id(submitted);
    const status = await until(FLUX_2, requestId, "COMPLETED");
    return { submitted, status, ...data(await fal.queue.result(FLUX_2, { requestId })) };
  },

  async "stream-status"() {
    const { request_id: requestId } = await fal.queue.submit(FLUX_1, { input: SLOW });
    const seen = [];
    const stream = await fal.queue.streamStatus(FLUX_1, { requestId, logs: true });
    stream.on("data", (event) => seen.push(event));
    const last = await stream.done();
    return { seen, last };
  },

  async run() {
    return data(await fal.run(FLUX_1, { input: QUICK }));
  },

  async stream() {
    const stream = await fal.stream(FLUX_1, { input: { ...QUICK, num_images: 3 } });
    const events = [];
    for await (const event of stream) events.push(event);
    return { events, last: await stream.done() };
  },

  async "cancel-queued"() {
    const first = await fal.queue.submit(FLUX_1, { input: SLOW });
    const second = await fal.queue.submit(FLUX_1, { input: SLOW });
    await fal.queue.cancel(FLUX_1, { requestId: id(second) });
    const status = await until(FLUX_1, id(second), "COMPLETED");
    const began = Date.now();
    const error = await fal.queue.result(FLUX_1, { requestId: id(second) }).catch(failure);
    await fal.queue.cancel(FLUX_1, { requestId: id(first) });
    return { status, error, seconds: (Date.now() - began) / 1000 };
  },

  async "cancel-running"() {
    const { request_id: requestId } = await fal.queue.submit(FLUX_1, { input: SLOW });
    await until(FLUX_1, requestId, "IN_PROGRESS");
    await fal.queue.cancel(FLUX_1, { requestId });
    const status = await until(FLUX_1, requestId, "COMPLETED");
    return { status, error: await fal.queue.result(FLUX_1, { requestId }).catch(failure) };
  },

  async errors() {
    const steps = await fal.subscribe(FLUX_1, { input: { ...QUICK, num_inference_steps: 99 } }).catch(failure);
    const prompt = await fal.run(FLUX_1, { input: {} }).catch(failure);
    const app = await fal.run("fal-ai/nothing", { input: QUICK }).catch(failure);
    const request = await fal.queue
      .status(FLUX_1, { requestId: "00000000-0000-4000-8000-000000000000" })
      .catch(failure);
    return { steps, prompt, app, request };
  },

  async upload() {
    const weights = readFileSync(process.env.ATELIER_LORA);
    const file = new File([weights], "stripes.safetensors", { type: "application/octet-stream" });
    const url = await fal.storage.upload(file);
    const back = Buffer.from(await (await fetch(url)).arrayBuffer());
    const input = { ...QUICK, loras: [{ path: url, scale: 1 }] };
    return { url, same: back.equals(weights), ...data(await fal.subscribe(FLUX_1, { input })) };
  },

  async "upload-of-itself"() {
    const weights = readFileSync(process.env.ATELIER_LORA);
    const path = new Blob([weights], { type: "application/octet-stream" });
    return data(await fal.subscribe(FLUX_1, { input: { ...QUICK, loras: [{ path, scale: 1 }] } }));
  },

  async "upload-in-parts"() {
    const bytes = Buffer.alloc(95 * 2 ** 20, "atelier ");
    const url = await fal.storage.upload(new File([bytes], "big.bin", { type: "application/octet-stream" }));
    const back = Buffer.from(await (await fetch(url)).arrayBuffer());
    return { url, same: back.equals(bytes) };
  },

  async webhook() {
    const submitted = await fal.queue.submit(FLUX_1, { input: QUICK, webhookUrl: process.env.ATELIER_WEBHOOK });
    return { requestId: id(submitted) };
  },
};

const answer = await SCENARIOS[scenario]().catch((error) => ({ broke: String(error), ...failure(error) }));
// A pipe takes a long line in pieces, and leaving at once would cut it off.
process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(0));

// Numbers, times and settings as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const fine = new Intl.NumberFormat("en", { maximumFractionDigits: 2, useGrouping: false });

export const number = (value) => fine.format(value);

/** A length of time: `1.2 s`, `45 s`, `3 min`. */
export function seconds(value) {
  if (value < 9.95) return `${tenth.format(Math.max(value, 0))} s`;
  if (value < 90) return `${whole.format(value)} s`;
  return value < 5400 ? `${whole.format(value / 60)} min` : `${tenth.format(value / 3600)} h`;
}

/** A guess at a length of time, in whole seconds at least 1. */
export const about = (value) => `about ${seconds(Math.max(1, Math.round(value)))}`;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

/** The hour of today, else the day too. */
export function moment(epoch) {
  const date = new Date(epoch * 1000);
  return (date.toDateString() === new Date().toDateString() ? clock : day).format(date);
}

const dollars = (value) => `$${value.toFixed(3)}`;

/** What a job's settings are, one phrase each, and at the end what it took and costs. */
export function settings({ settings: given, model, seconds: took, state, price, cost, pictures: [picture] }) {
  const phrases = [
    picture ? `${picture.width} × ${picture.height}` : given.size.replace("x", " × "),
    `${given.steps} ${given.steps === 1 ? "step" : "steps"}`,
    `guidance ${number(given.guidance)}`,
    ...(given.seed === null ? [] : [`seed ${given.seed}`]),
    ...given.loras.map((lora) => `${lora.name} ${number(lora.scale)}`),
    model,
  ];
  if (took !== null && took !== undefined) phrases.push(seconds(took));
  if (cost) phrases.push(dollars(cost));
  else if (price && (state === "queued" || state === "running")) phrases.push(`about ${dollars(price)}`);
  return phrases;
}

/** Where an unfinished job stands, one phrase each. */
export function standing({ state, progress }) {
  if (state === "rendered") return ["Finishing"];
  if (progress === null) return [state === "queued" ? "In the queue" : "Starting"];
  switch (progress.kind) {
    case "waiting": {
      const place = progress.ahead > 0 ? `Waiting, ${progress.ahead} ahead` : "Next in line";
      return progress.eta === null ? [place] : [place, `done in ${about(progress.eta)}`];
    }
    case "preparing": {
      const what = progress.what.charAt(0).toUpperCase() + progress.what.slice(1);
      return progress.fraction === null ? [what] : [what, `${Math.floor(progress.fraction * 100)} %`];
    }
    default: {
      const phrases = [`Step ${progress.step} of ${progress.steps}`];
      if (progress.rate) phrases.push(pace(progress.rate));
      if (progress.eta !== null) phrases.push(`${seconds(progress.eta)} left`);
      return phrases;
    }
  }
}

const pace = (rate) => (rate >= 1 ? `${tenth.format(rate)} steps/s` : `${tenth.format(1 / rate)} s a step`);

/** Why a picture is hidden. */
export const hidden = (verdict) =>
  verdict === "flagged" ? "flagged by the safety checker" : "not checked for safety";

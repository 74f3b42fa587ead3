// How numbers, times and names are written.

/** 45 ms, 1.2 s, 3 min 20 s. */
export function duration(milliseconds) {
  const rounded = Math.max(0, Math.round(milliseconds));
  if (rounded < 1000) return `${rounded} ms`;
  if (rounded < 60_000) return `${(rounded / 1000).toFixed(1)} s`;
  return `${Math.floor(rounded / 60_000)} min ${Math.round((rounded % 60_000) / 1000)} s`;
}

/** 1 passage, 2 passages. */
export function counted(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}

/** `response_builder` as a reader would write it. */
export function readable(name) {
  return name.replaceAll("_", " ");
}

/** The event without its version: `PlanCreated.v1` is `PlanCreated`. */
export function eventName(type) {
  return type.replace(/\.v\d+$/, "");
}

/** Millionths of a US dollar as dollars, with as many digits as say something. */
export function money(micros) {
  const dollars = micros / 1_000_000;
  return `$${dollars.toFixed(dollars >= 1 ? 2 : 6).replace(/(\.\d\d\d*?)0+$/, "$1")}`;
}

/** `0.94` as 94%. */
export function percent(share) {
  return `${Math.round(share * 100)}%`;
}

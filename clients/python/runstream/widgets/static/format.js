// Numbers, times and statuses as people read them.

const TERMINAL = new Set(["Completed", "Failed", "Canceled"]);
const TONES = {
  Completed: "good",
  Failed: "bad",
  Canceled: "still",
  CancelRequested: "warn",
  NotResponding: "warn",
  Running: "busy",
  Finalizing: "busy",
};

export function isOver(status) {
  return TERMINAL.has(status);
}

// The tone of a status: `good`, `bad`, `busy`, `warn`, `still` or `wait`.
export function toneOf(status) {
  return TONES[status] ?? "wait";
}

// A number in up to six significant digits; what JSON has no number for comes as text, such as `NaN`.
export function formatNumber(value) {
  const number = Number(value);
  if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number > 0 ? "∞" : "−∞";
  const size = Math.abs(number);
  const text = size !== 0 && (size < 1e-4 || size >= 1e7) ? number.toExponential(3) : String(Number(number.toPrecision(6)));
  return text.replace(/\.?0+e/, "e").replace(/-/g, "−").replace("e+", "e");
}

export function formatCount(count) {
  return String(count).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

// A duration of milliseconds in at most two units: `1.2s`, `12s`, `3m 05s`, `1h 04m`, `2d 07h`.
export function formatDuration(milliseconds) {
  const seconds = Math.max(milliseconds, 0) / 1000;
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d ${two(Math.floor((whole % 86400) / 3600))}h`;
}

// A time in the time zone of the browser, with its date unless it is today.
export function formatTime(milliseconds, now = Date.now()) {
  const two = (number) => String(number).padStart(2, "0");
  const time = new Date(milliseconds);
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(":");
  if (time.toDateString() === new Date(now).toDateString()) return clock;
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${clock}`;
}

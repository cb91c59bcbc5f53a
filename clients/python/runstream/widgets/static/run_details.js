import { formatDuration, formatNumber, formatTime, isOver, toneOf } from "./format.js";
import { Chart } from "./chart.js";

// The widget: each section of the model has a part of the page, which is drawn again when the section changes. All of it
// comes from users and is set as text, never as HTML.

const STALE_MILLISECONDS = 30000;
const SHOWN_METRICS = 8;

function element(tag, { class: name, text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child != null));
  return made;
}

function status(name) {
  return element("span", { class: `rs-status rs-${toneOf(name)}`, text: name });
}

function linked(url, text) {
  if (!/^https?:\/\//.test(url ?? "")) return element("span", { class: "rs-id", text });
  return element("a", { class: "rs-id", text, href: url, target: "_blank", rel: "noopener noreferrer" });
}

function pairs(title, values) {
  const entries = Object.entries(values ?? {});
  if (!entries.length) return null;
  const rows = entries.map(([key, value]) =>
    element("tr", {}, element("th", { text: key, scope: "row" }), element("td", { text: value ?? "" })),
  );
  const heading = element("summary", { text: `${title} (${entries.length})` });
  return element("details", { "data-name": title }, heading, element("table", { class: "rs-pairs" }, ...rows));
}

// How long each status of a run lasted, the last one until now: [status, milliseconds, reason].
export function spans(history, now) {
  return history.map(([name, begin, reason], index) => {
    const end = index + 1 < history.length ? history[index + 1][1] : isOver(name) ? begin : now;
    return [name, Math.max(end - begin, 0), reason];
  });
}

// The metrics that most of the children have, at most eight.
export function sharedMetrics(runs) {
  const counts = new Map();
  for (const run of runs) for (const name of Object.keys(run.metrics)) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1)).slice(0, SHOWN_METRICS).map(([name]) => name);
}

class Page {
  constructor(model, root) {
    this.model = model;
    this.charts = new Map();
    this.heard = model.get("link").seen ?? Date.now();
    this.head = element("header", { class: "rs-head" });
    this.line = element("div", { class: "rs-history" });
    this.trouble = element("div", { class: "rs-trouble" });
    this.grid = element("div", { class: "rs-charts" });
    this.more = element("p", { class: "rs-note" });
    this.children = element("div", { class: "rs-children" });
    this.log = this.makeLog();
    this.labels = element("div", { class: "rs-labels" });
    const body = [this.head, this.line, this.trouble, this.grid, this.more, this.children, this.log, this.labels];
    root.append(element("article", { class: "runstream-run", "aria-label": "Runstream run" }, ...body));
  }

  makeLog() {
    this.file = element("select", { "aria-label": "Log file" });
    this.file.addEventListener("change", () => this.model.send({ kind: "log", path: this.file.value }));
    this.note = element("span", { class: "rs-note" });
    this.text = element("pre", { class: "rs-text", tabindex: "0" });
    return element("section", { class: "rs-log", hidden: "" }, element("div", { class: "rs-bar" }, this.file, this.note), this.text);
  }

  drawRecord() {
    const record = this.model.get("record");
    if (!record.id) return;
    this.times = element("span", { class: "rs-times" });
    this.state = element("span", { class: "rs-link" });
    const number = record.number ? `${record.experiment} #${record.number}` : record.experiment;
    const title = element("span", { class: "rs-title", text: record.name || record.id });
    const facts = [number, record.script, record.target].filter(Boolean).join(" · ");
    this.head.replaceChildren(
      status(record.status), title, linked(record.url, record.id), element("span", { class: "rs-facts", text: facts }), this.times, this.state,
    );
    this.drawTrouble(record);
    this.drawLabels(record);
    this.tick();
  }

  drawTrouble({ error, warnings, description }) {
    const parts = [];
    if (description) parts.push(element("p", { class: "rs-about", text: description }));
    if (error) {
      const name = [error.code, error.type].filter(Boolean).join(" · ");
      parts.push(element("p", { class: "rs-error" }, element("strong", { text: name }), element("span", { text: error.message })));
      if (error.trace) {
        const wasOpen = this.trouble.querySelector("details")?.open ?? true;
        const trace = element("details", {}, element("summary", { text: "Traceback" }), element("pre", { text: error.trace }));
        trace.open = wasOpen;
        parts.push(trace);
      }
    }
    for (const warning of warnings ?? []) parts.push(element("p", { class: "rs-warning", text: warning }));
    this.trouble.replaceChildren(...parts);
  }

  drawLabels({ tags, properties }) {
    const open = new Set([...this.labels.querySelectorAll("details[open]")].map((each) => each.dataset.name));
    const parts = [pairs("Tags", tags), pairs("Properties", properties)].filter(Boolean);
    for (const part of parts) part.open = open.has(part.dataset.name);
    this.labels.replaceChildren(...parts);
  }

  // What changes with time alone: durations, and whether there was news.
  tick() {
    const record = this.model.get("record");
    if (!record.id) return;
    const link = this.model.get("link");
    const isStale = !isOver(record.status) && Date.now() - this.heard > STALE_MILLISECONDS;
    const now = isStale ? this.heard : Date.now();
    const { started, ended, created } = record;
    const begun = started || created;
    const took = started ? formatDuration((ended || now) - started) : "";
    this.times.textContent = [begun ? formatTime(begun) : "", took].filter(Boolean).join(" · ");
    this.times.title = [["created", created], ["started", started], ["ended", ended]]
      .filter(([, time]) => time).map(([word, time]) => `${word} ${new Date(time).toLocaleString()}`).join("\n");
    const [mark, text] = stateOf(link, isStale, this.heard);
    this.state.className = `rs-link rs-${mark}`;
    this.state.textContent = text;
    this.state.title = link.message ?? "";
    this.drawHistory(record, now);
  }

  drawHistory({ history }, now) {
    const drawn = spans(history ?? [], now);
    const total = drawn.reduce((sum, [, span]) => sum + span, 0) || 1;
    const parts = drawn.map(([name, span, reason]) => {
      const words = `${name} ${isOver(name) ? "" : formatDuration(span)}`.trim();
      const part = element("i", { class: `rs-${toneOf(name)}`, title: [words, reason].filter(Boolean).join("\n") });
      part.style.flexGrow = String(Math.max(span / total, 0.004));
      return part;
    });
    this.line.replaceChildren(...parts);
  }

  drawCharts() {
    const { curves = [], more = false } = this.model.get("charts");
    const names = new Set(curves.map(({ name }) => name));
    for (const [name, chart] of this.charts) {
      if (names.has(name)) continue;
      chart.element.remove();
      this.charts.delete(name);
    }
    for (const curve of curves) {
      if (!this.charts.has(curve.name)) {
        const chart = new Chart(curve.name);
        this.charts.set(curve.name, chart);
        this.grid.append(chart.element);
      }
      this.charts.get(curve.name).update(curve);
    }
    this.more.textContent = more ? `${curves.length} metrics are shown here; the run has more.` : "";
  }

  drawChildren() {
    const { runs = [], more = false } = this.model.get("child_runs");
    if (!runs.length) return this.children.replaceChildren();
    const metrics = sharedMetrics(runs);
    const heads = ["Child run", "Status", "Took", ...metrics].map((text, index) =>
      element("th", { text, scope: "col", class: index > 1 ? "rs-number" : "" }),
    );
    const rows = runs.map((run) => {
      const took = run.started && run.ended ? formatDuration(run.ended - run.started) : "";
      const values = metrics.map((name) => (name in run.metrics ? formatNumber(run.metrics[name]) : ""));
      const numbers = [took, ...values].map((text) => element("td", { class: "rs-number", text }));
      const name = element("td", { title: run.id }, element("span", { class: "rs-name", text: run.name || run.id }));
      return element("tr", {}, name, element("td", {}, status(run.status)), ...numbers);
    });
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
    const rest = more ? element("p", { class: "rs-note", text: `The newest ${runs.length} children; there are more.` }) : null;
    this.children.replaceChildren(...[table, rest].filter(Boolean));
  }

  drawLog() {
    const { path = "", paths = [], lines = [], note = "" } = this.model.get("log_tail");
    this.log.hidden = !paths.length;
    if (this.file.dataset.paths !== JSON.stringify(paths)) {
      this.file.dataset.paths = JSON.stringify(paths);
      this.file.replaceChildren(...paths.map((each) => element("option", { text: each, value: each })));
    }
    if (document.activeElement !== this.file) this.file.value = path;
    this.note.textContent = note || (lines.length >= 500 ? "the last 500 lines" : "");
    const isAtEnd = this.text.scrollHeight - this.text.scrollTop - this.text.clientHeight < 30;
    this.text.textContent = lines.join("\n");
    if (isAtEnd) this.text.scrollTop = this.text.scrollHeight;
  }

  hear() {
    this.heard = Date.now();
    this.tick();
  }
}

// The mark and the words for how what is shown is connected to the run.
export function stateOf(link, isStale, heard) {
  if (link.state === "failed") return ["bad", link.message];
  if (link.state === "ended") return ["still", link.message ?? ""];
  if (isStale) return ["still", `as of ${formatTime(heard)}`];
  if (link.state === "away") return ["warn", "Runstream does not answer; trying again"];
  if (link.state !== "live") return ["wait", "loading"];
  return link.message ? ["warn", link.message] : ["live", "live"];
}

function render({ model, el }) {
  const page = new Page(model, el);
  const view = Math.random().toString(36).slice(2);
  const draws = {
    record: () => page.drawRecord(),
    charts: () => page.drawCharts(),
    log_tail: () => page.drawLog(),
    child_runs: () => page.drawChildren(),
    link: () => page.tick(),
  };
  const listeners = Object.entries(draws).map(([name, draw]) => {
    draw();
    const listener = () => {
      draw();
      page.hear();
    };
    model.on(`change:${name}`, listener);
    return [name, listener];
  });
  const timer = setInterval(() => page.tick(), 1000);
  model.send({ kind: "shown", view });
  return () => {
    clearInterval(timer);
    for (const [name, listener] of listeners) model.off(`change:${name}`, listener);
    model.send({ kind: "hidden", view });
  };
}

export default { render };

import { formatCount, formatNumber } from "./format.js";

// One metric over its steps, as SVG: colours come from the style sheet, so that a change of theme needs no drawing.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 116;
const PLOT = { left: 46, right: 292, top: 8, bottom: 96 };

// Round numbers between two numbers, about `count` of them.
export function ticks(least, greatest, count) {
  if (!(greatest > least)) return [least];
  const rough = greatest / count - least / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.75);
  const first = Math.ceil(least / step);
  const found = [];
  for (let place = first; place * step <= greatest * (1 + 1e-12) + step * 1e-9 && found.length < 20; place++) {
    found.push(Number((place * step).toPrecision(12)));
  }
  return found;
}

// Powers of ten between two positive numbers, at most five; round numbers where there are fewer than two.
export function logTicks(least, greatest) {
  const first = Math.ceil(Math.log10(least) - 1e-9);
  const last = Math.floor(Math.log10(greatest) + 1e-9);
  if (last - first < 1) return ticks(least, greatest, 3).filter((value) => value > 0);
  const every = Math.ceil((last - first + 1) / 5);
  const found = [];
  for (let power = first; power <= last; power += every) found.push(10 ** power);
  return found;
}

// The texts of ticks; where numbers are too close for different ones, how far each is from the first.
export function labelsOf(marks) {
  const texts = marks.map(formatNumber);
  if (new Set(texts).size === texts.length) return texts;
  return texts.map((text, place) => (place ? `+${formatNumber(marks[place] - marks[0])}` : text));
}

// A scale that places values between `from` and `to`, with its ticks. What has no place on it is NaN.
export function scaleOf(values, from, to, { isLog = false, isTight = false, count = 4 } = {}) {
  const logarithmic = isLog && values.some((value) => value > 0 && Number.isFinite(value));
  let least = Infinity;
  let greatest = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value) || (logarithmic && value <= 0)) continue;
    least = Math.min(least, value);
    greatest = Math.max(greatest, value);
  }
  if (least > greatest) [least, greatest] = [0, 1];
  const marks = logarithmic ? logTicks(least, greatest) : ticks(least, greatest, count);
  const warp = logarithmic ? Math.log10 : (value) => value;
  let [low, high] = [warp(least), warp(greatest)];
  if (low === high) [low, high] = isTight ? [low, low + 1] : [low - (Math.abs(low) || 1) / 2, high + (Math.abs(high) || 1) / 2];
  else if (!isTight) [low, high] = [low - (high - low) * 0.04, high + (high - low) * 0.04];
  const place = (value) => {
    const warped = logarithmic && value <= 0 ? NaN : warp(value);
    return Number.isFinite(warped) ? from + ((warped - low) / (high - low)) * (to - from) : NaN;
  };
  return { place, marks, logarithmic };
}

// The path through points, interrupted where a value has no place; a lone point becomes a dot.
export function pathOf(steps, values, x, y) {
  let path = "";
  let isOpen = false;
  let isLone = false;
  for (let index = 0; index < steps.length; index++) {
    const [across, down] = [x(steps[index]), y(values[index])];
    if (Number.isFinite(across) && Number.isFinite(down)) {
      path += `${isOpen ? "L" : "M"}${across.toFixed(1)} ${down.toFixed(1)}`;
      isLone = !isOpen;
      isOpen = true;
    } else {
      if (isLone) path += "h0.01";
      isOpen = isLone = false;
    }
  }
  return isLone ? `${path}h0.01` : path;
}

// The index of the step that is nearest; the steps ascend. -1: there are none.
export function nearest(steps, wanted) {
  let [low, high] = [0, steps.length - 1];
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - steps[low - 1] <= steps[low] - wanted ? low - 1 : low;
}

// Numbers from what came of a column of float64.
export function columnOf(data) {
  if (!data) return new Float64Array();
  const view = ArrayBuffer.isView(data) ? data : new DataView(data);
  return new Float64Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

function svg(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The chart of one metric; `update` takes its curve.
export class Chart {
  constructor(name) {
    this.isLog = false;
    this.element = document.createElement("figure");
    this.element.className = "rs-chart";
    this.caption = document.createElement("figcaption");
    this.title = document.createElement("span");
    this.title.className = "rs-name";
    this.title.textContent = this.title.title = name;
    this.reading = document.createElement("output");
    this.toggle = document.createElement("button");
    this.toggle.type = "button";
    this.toggle.textContent = "log";
    this.toggle.title = "Logarithmic scale";
    this.toggle.setAttribute("aria-pressed", "false");
    this.toggle.addEventListener("click", () => this.switchScale());
    this.caption.append(this.title, this.reading, this.toggle);
    this.plot = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name });
    this.axes = svg("g", { class: "rs-axes" });
    this.line = svg("path", { class: "rs-line" });
    this.cross = svg("g", { class: "rs-cross", visibility: "hidden" });
    this.rule = svg("line", { y1: PLOT.top, y2: PLOT.bottom });
    this.dot = svg("circle", { r: 3 });
    this.cross.append(this.rule, this.dot);
    this.plot.append(this.axes, this.line, this.cross);
    this.plot.addEventListener("pointermove", (event) => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.point(null));
    this.element.append(this.caption, this.plot);
  }

  update(curve) {
    this.curve = curve;
    this.steps = columnOf(curve.steps);
    this.values = columnOf(curve.values);
    this.draw();
  }

  switchScale() {
    this.isLog = !this.isLog;
    this.toggle.setAttribute("aria-pressed", String(this.isLog));
    this.draw();
  }

  draw() {
    this.x = scaleOf(this.steps, PLOT.left, PLOT.right, { isTight: true });
    this.y = scaleOf(this.values, PLOT.bottom, PLOT.top, { isLog: this.isLog });
    this.line.setAttribute("d", pathOf(this.steps, this.values, this.x.place, this.y.place));
    this.axes.replaceChildren(...this.drawAxes());
    this.element.title = `${formatCount(this.curve.count)} values, ${formatNumber(this.curve.least)} to ${formatNumber(this.curve.greatest)}`;
    this.read();
  }

  drawAxes() {
    const drawn = [];
    const labels = labelsOf(this.y.marks);
    for (const [place, mark] of this.y.marks.entries()) {
      const y = this.y.place(mark).toFixed(1);
      drawn.push(svg("line", { x1: PLOT.left, x2: PLOT.right, y1: y, y2: y }));
      drawn.push(svg("text", { x: PLOT.left - 6, y, class: "rs-y" }, labels[place]));
    }
    const whole = this.x.marks.filter(Number.isInteger);
    for (const mark of whole.length ? whole : this.steps.slice(0, 1)) {
      drawn.push(svg("text", { x: this.x.place(mark).toFixed(1), y: PLOT.bottom + 14, class: "rs-x" }, formatCount(mark)));
    }
    return drawn;
  }

  // Follows the pointer: the nearest point is marked, and its step and value are shown in the place of the last ones.
  point(event) {
    this.pointed = event && event.clientX;
    this.read();
  }

  read() {
    let index = -1;
    if (this.pointed != null && this.steps.length) {
      const box = this.plot.getBoundingClientRect();
      const across = ((this.pointed - box.left) / box.width) * WIDTH;
      const places = this.steps.map((step) => this.x.place(step));
      index = nearest(places, across);
    }
    const down = index < 0 ? NaN : this.y.place(this.values[index]);
    this.cross.setAttribute("visibility", Number.isFinite(down) ? "visible" : "hidden");
    if (index < 0) {
      this.reading.textContent = formatNumber(this.curve.last);
      return;
    }
    const across = this.x.place(this.steps[index]).toFixed(1);
    for (const [name, value] of [["x1", across], ["x2", across]]) this.rule.setAttribute(name, value);
    if (Number.isFinite(down)) {
      this.dot.setAttribute("cx", across);
      this.dot.setAttribute("cy", down.toFixed(1));
    }
    this.reading.textContent = `${formatCount(this.steps[index])}: ${formatNumber(this.values[index])}`;
  }
}

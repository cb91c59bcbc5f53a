// The pure functions of the page of the widget.

import assert from "node:assert/strict";
import { test } from "node:test";

const page = await import(process.env.RUNSTREAM_WIDGET_SCRIPT);

const float64 = (...numbers) => new DataView(new Float64Array(numbers).buffer);

test("numbers are short and keep what JSON lacks", () => {
  const shown = [0, 0.1, 1 / 3, 12345678, 1.5e-7, -2.5, "NaN", "Infinity", "-Infinity"].map(page.formatNumber);
  assert.deepEqual(shown, ["0", "0.1", "0.333333", "1.235e7", "1.5e−7", "−2.5", "NaN", "∞", "−∞"]);
});

test("counts are grouped and durations have two units", () => {
  assert.equal(page.formatCount(1234567), "1\u202f234\u202f567");
  const spans = [-5, 1234, 12345, 185000, 3840000, 200000000].map(page.formatDuration);
  assert.deepEqual(spans, ["0.0s", "1.2s", "12s", "3m 05s", "1h 04m", "2d 07h"]);
});

test("a status that is not known waits", () => {
  assert.deepEqual(["Running", "Failed", "Queued", "Newer"].map(page.toneOf), ["busy", "bad", "wait", "wait"]);
});

test("ticks are round and inside", () => {
  assert.deepEqual(page.ticks(0, 1, 3), [0, 0.5, 1]);
  assert.deepEqual(page.ticks(-0.3, 0.31, 3), [-0.2, 0, 0.2]);
  assert.deepEqual(page.ticks(5, 5, 3), [5]);
  for (const [least, greatest] of [[0, 1e-300], [-1e308, 1e308], [1e15, 1e15 + 2]]) {
    for (const tick of page.ticks(least, greatest, 4)) assert.ok(Number.isFinite(tick));
  }
});

test("ticks that are close to each other are told apart", () => {
  assert.deepEqual(page.labelsOf([0.5, 1, 1.5]), ["0.5", "1", "1.5"]);
  assert.deepEqual(page.labelsOf([2e9, 2e9 + 2, 2e9 + 4]), ["2e9", "+2", "+4"]);
});

test("a logarithmic scale has powers of ten and no place for what is not positive", () => {
  const scale = page.scaleOf([0, -1, 0.001, 100], 0, 100, { isLog: true });
  assert.deepEqual(scale.marks, [0.001, 0.1, 10]);
  assert.ok(Number.isNaN(scale.place(0)));
  assert.ok(scale.place(0.001) < scale.place(100));
});

test("a logarithmic scale without positive numbers is linear", () => {
  assert.equal(page.scaleOf([-1, 0], 0, 100, { isLog: true }).logarithmic, false);
});

test("a scale of one value, or of none, is a scale", () => {
  for (const values of [[], [7], [0], [NaN, Infinity]]) {
    const { place } = page.scaleOf(values, 0, 100);
    assert.ok(Number.isFinite(place(7)));
  }
});

test("a path is interrupted where there is no place, and a lone point is a dot", () => {
  const same = (value) => value;
  assert.equal(page.pathOf([0, 1, 2, 3], [1, 2, NaN, 4], same, same), "M0.0 1.0L1.0 2.0M3.0 4.0h0.01");
  assert.equal(page.pathOf([], [], same, same), "");
});

test("the nearest step is found", () => {
  const steps = [0, 10, 20];
  assert.deepEqual([-5, 4, 6, 15, 16, 99].map((step) => page.nearest(steps, step)), [0, 0, 1, 1, 2, 2]);
  assert.equal(page.nearest([], 1), -1);
});

test("columns are read from what the kernel sends", () => {
  assert.deepEqual([...page.columnOf(float64(1, -0.5))], [1, -0.5]);
  assert.deepEqual([...page.columnOf(undefined)], []);
});

test("each status lasts until the next, the last one until now", () => {
  const history = [["Queued", 100, ""], ["Running", 300, ""], ["Completed", 900, ""]];
  assert.deepEqual(page.spans(history, 5000), [["Queued", 200, ""], ["Running", 600, ""], ["Completed", 0, ""]]);
  assert.deepEqual(page.spans(history.slice(0, 2), 1000)[1], ["Running", 700, ""]);
});

test("the metrics most children have come first", () => {
  const runs = [{ metrics: { loss: 1 } }, { metrics: { loss: 1, accuracy: 2 } }, { metrics: { accuracy: 1, zeal: 1 } }];
  assert.deepEqual(page.sharedMetrics(runs), ["accuracy", "loss", "zeal"]);
});

test("the page says how it is connected", () => {
  assert.equal(page.stateOf({ state: "live" }, false, 0)[0], "live");
  assert.equal(page.stateOf({ state: "away" }, false, 0)[0], "warn");
  assert.match(page.stateOf({ state: "live" }, true, 0)[1], /^as of /);
  assert.deepEqual(page.stateOf({ state: "failed", message: "gone" }, true, 0), ["bad", "gone"]);
});

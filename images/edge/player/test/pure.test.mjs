/** The parts of the page that need no browser. Run: `node --test`. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { decide, RELOAD_AFTER_MS, sessionOf } from "../src/decide.js";
import { fetchInfo, meaningOf, pollDelay, readInfo } from "../src/info.js";
import { actionOf } from "../src/keys.js";
import { behindText, jump, windowOf } from "../src/live.js";
import { parseOptions } from "../src/options.js";
import { Stats } from "../src/stats.js";
import { SCREENS } from "../src/texts.js";
import { ahead, coverage, pointOf, turn, zoom } from "../src/vr/look.js";

const A = "00000000000000aa";
const B = "00000000000000bb";
const on = (session, more = {}) => ({
  kind: "info",
  info: { title: "t", projection: "Regular", live: true, session, hls: true, poster: null, ...more },
});
const off = on(null, { live: false });
const nothing = { session: null, loaded: false, broken: false, ended: false, stalledMs: 0, ahead: null };
const playing = { ...nothing, session: A, loaded: true };

function want(facts, action, screen) {
  const decision = decide(facts);
  assert.deepEqual([decision.action, decision.screen], [action, screen]);
}

describe("the decision", () => {
  it("loads a stream that is on air", () => want({ ...nothing, answer: on(A) }, "load", "waiting"));
  it("waits for a stream that is off air", () => want({ ...nothing, answer: off }, "stop", "offair"));
  it("leaves a picture that moves alone, whatever the answer is", () => {
    for (const kind of ["expired", "denied", "missing", "unreachable"]) {
      want({ ...playing, answer: { kind } }, "keep", "picture");
    }
    for (const answer of [on(A), on(B), off]) want({ ...playing, answer }, "keep", "picture");
  });
  it("loads a new session when the old one is over", () => {
    want({ ...playing, ended: true, answer: on(B) }, "load", "waiting");
    want({ ...playing, broken: true, answer: on(B) }, "load", "waiting");
    want({ ...playing, stalledMs: 5_000, answer: on(B) }, "load", "waiting");
  });
  it("loads the same session again after a fatal error", () =>
    want({ ...playing, broken: true, answer: on(A) }, "load", "waiting"));
  it("does not repeat a session that was played to its end", () =>
    want({ ...playing, ended: true, answer: on(A) }, "keep", "offair"));
  it("shows the end of a session without an end mark", () =>
    want({ ...playing, stalledMs: 5_000, answer: off }, "stop", "offair"));
  it("waits for a player that stands still, and loads it again at last", () => {
    const stalled = { ...playing, stalledMs: RELOAD_AFTER_MS, answer: on(A) };
    want({ ...stalled, stalledMs: 5_000, ahead: true }, "keep", "waiting");
    want({ ...stalled, ahead: true }, "load", "waiting");
    want({ ...stalled, ahead: null }, "load", "waiting");
  });
  it("waits without end for a silent source, because a reload repeats the last seconds", () =>
    want({ ...playing, stalledMs: 600_000, ahead: false, answer: on(A) }, "keep", "waiting"));
  it("never gives up a player because the server does not answer", () => {
    const answer = { kind: "unreachable" };
    want({ ...playing, stalledMs: 60_000, answer }, "keep", "waiting");
    want({ ...nothing, answer }, "keep", "unreachable");
  });
  it("shows a refused link only when nothing is left to play", () => {
    want({ ...playing, broken: true, answer: { kind: "expired" } }, "stop", "expired");
    want({ ...nothing, answer: { kind: "denied" } }, "stop", "denied");
  });
  it("says so when there is no HLS", () =>
    want({ ...nothing, answer: on(A, { hls: false }) }, "stop", "nohls"));
  it("has words for every screen of words", () => {
    for (const name of ["offair", "expired", "denied", "missing", "unreachable", "nohls", "audio"]) {
      assert.match(SCREENS[name].text, /\.$/);
    }
  });
});

describe("info.json", () => {
  it("has a safe value for every missing field", () => {
    const info = readInfo({});
    assert.deepEqual(info, {
      title: "", projection: "Regular", live: false, session: null, hls: true, poster: null,
    });
    assert.equal(readInfo({ projection: "Cube" }).projection, "Regular");
    for (const value of [null, [], "text", 7]) assert.equal(readInfo(value), null);
  });
  it("has a meaning for every status", () => {
    const cases = { 200: "info", 403: "denied", 404: "missing", 410: "expired", 502: "unreachable" };
    for (const [status, kind] of Object.entries(cases)) assert.equal(meaningOf(+status), kind);
  });
  it("is unreachable when the request fails or is not JSON", async () => {
    const broken = () => Promise.reject(new TypeError("no network"));
    assert.deepEqual(await fetchInfo(broken), { kind: "unreachable" });
    const page = () => Promise.resolve(new Response("<html>"));
    assert.deepEqual(await fetchInfo(page), { kind: "unreachable" });
    const good = () => Promise.resolve(new Response('{"live":true}'));
    assert.equal((await fetchInfo(good)).info.live, true);
  });
  it("is requested less often after a while, and never for a link that cannot recover", () => {
    assert.equal(pollDelay("offair", 0, false, 0.5), 2_000);
    assert.equal(pollDelay("offair", 1_000, false, 0.5), 10_000);
    assert.equal(pollDelay("offair", 0, true, 0.5), 30_000);
    assert.equal(pollDelay("expired", 0, false, 0.5), null);
    assert.equal(pollDelay("denied", 0, false, 0.5), null);
    assert.ok(pollDelay("offair", 0, false, 0) < pollDelay("offair", 0, false, 1));
  });
});

describe("a playlist's address", () => {
  it("names the session", () => {
    const base = "https://live.example/~1~f/ns/cam";
    assert.equal(sessionOf(`${base}/${A}/video.m3u8?_HLS_msn=7`), A);
    assert.equal(sessionOf(`/ns/${A}/${B}/audio2.m3u8`), B, "a stream may look like a session");
    assert.equal(sessionOf(`${base}/index.m3u8`), null);
  });
});

describe("times", () => {
  const ranges = (...pairs) => ({
    length: pairs.length, start: (n) => pairs[n][0], end: (n) => pairs[n][1],
  });
  it("of the window", () => {
    assert.equal(windowOf(undefined), null);
    assert.equal(windowOf(ranges()), null);
    assert.equal(windowOf(ranges([0, Number.POSITIVE_INFINITY])), null);
    assert.deepEqual(windowOf(ranges([10, 70])), { start: 10, end: 70, seconds: 60 });
  });
  it("stay in the window after a jump", () => {
    const range = { start: 10, end: 70 };
    assert.equal(jump(60, -10, range, 67), 50);
    assert.equal(jump(15, -10, range, 67), 11);
    assert.equal(jump(60, 10, range, 67), 67, "live playback, not the newest part");
    assert.equal(jump(68, 10, range, 67), 68, "never back on a jump forward");
    assert.equal(jump(60, Number.NEGATIVE_INFINITY, range, 67), 11);
    assert.equal(jump(5, -10, null, null), 5);
  });
  it("behind live are readable", () => {
    const cases = [[0, ""], [0.9, ""], [65, "−1:05"], [9, "−0:09"], [7_265, "−2:01:05"], [NaN, ""]];
    for (const [seconds, text] of cases) assert.equal(behindText(seconds), text);
  });
});

describe("the options of an embedding page", () => {
  it("are all on by default", () =>
    assert.deepEqual(parseOptions(""), { autoplay: true, muted: true, controls: true, hint: true }));
  it("are read from the query", () => {
    const options = parseOptions("?autoplay=0&muted=1&controls=0");
    assert.deepEqual(options, { autoplay: false, muted: true, controls: false, hint: false });
    assert.equal(parseOptions("?muted=false").muted, false);
    assert.equal(parseOptions("?muted").muted, true);
  });
});

describe("keys", () => {
  it("have their usual meaning", () => {
    const cases = { " ": "toggle", K: "toggle", ArrowLeft: "back", m: "mute", End: "live" };
    for (const [key, action] of Object.entries(cases)) {
      assert.equal(actionOf({ key }, "none"), action);
    }
    assert.equal(actionOf({ key: "toString" }, "none"), null);
  });
  it("are left to the browser and to the control with the focus", () => {
    assert.equal(actionOf({ key: "f", ctrlKey: true }, "none"), null);
    assert.equal(actionOf({ key: " " }, "button"), null);
    assert.equal(actionOf({ key: "ArrowLeft" }, "range"), null);
    assert.equal(actionOf({ key: "ArrowLeft" }, "button"), "back");
  });
});

describe("the counters", () => {
  it("count a stall after the first picture, and its length", () => {
    const stats = new Stats();
    stats.loading(0);
    stats.waiting(100, false);
    stats.picture(900);
    assert.deepEqual(stats.values(1_000), {
      firstPictureSeconds: 0.9, stalls: 0, stallSeconds: 0, loads: 1, errors: {},
    });
    stats.waiting(2_000, false);
    stats.waiting(2_100, false);
    assert.equal(stats.values(2_500).stallSeconds, 0.5);
    stats.resumed(3_000);
    assert.deepEqual([stats.values(9_000).stalls, stats.values(9_000).stallSeconds], [1, 1]);
  });
  it("count neither a jump nor a new session as a stall", () => {
    const stats = new Stats();
    stats.loading(0);
    stats.picture(500);
    stats.waiting(1_000, true);
    stats.loading(2_000);
    stats.waiting(2_100, false);
    stats.picture(3_000);
    const { stalls, loads, firstPictureSeconds } = stats.values(4_000);
    assert.deepEqual([stalls, loads, firstPictureSeconds], [0, 2, 0.5]);
  });
  it("count errors by name", () => {
    const stats = new Stats();
    for (const name of ["fragLoadError", "fragLoadError", "levelLoadError!"]) stats.error(name);
    assert.deepEqual(stats.values(0).errors, { fragLoadError: 2, "levelLoadError!": 1 });
  });
});

describe("the view of a 360° picture", () => {
  it("begins in its middle and goes all around", () => {
    const { x, y, z } = pointOf(ahead());
    assert.deepEqual([x, y, z], [0, 0, -1]);
    assert.ok(pointOf(turn(ahead(), 90, 0, false)).x > 0.99, "right is right");
    assert.ok(pointOf(turn(ahead(), 0, 60, false)).y > 0.8, "up is up");
    assert.equal(turn(ahead(), 190, 0, false).longitude, -170);
    assert.equal(turn(ahead(), -190, 0, false).longitude, 170);
  });
  it("has limits: the poles, and the edge of half a sphere", () => {
    assert.equal(turn(ahead(), 0, 200, false).latitude, 85);
    assert.equal(turn(ahead(), 200, 0, true).longitude, 85);
    assert.equal(zoom(ahead(), 100).field, 95);
    assert.equal(zoom(ahead(), 0.01).field, 35);
  });
  it("covers what the projection says", () => {
    assert.deepEqual(coverage("VR360"), { half: false, top: false });
    assert.deepEqual(coverage("VR180"), { half: true, top: false });
    assert.deepEqual(coverage("VR360TB"), { half: false, top: true });
  });
});

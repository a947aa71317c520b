/**
 * The page: it connects the stream's `info.json`, the player and the screen.
 *
 * While the picture moves, nothing but the stream is requested. `info.json` is requested while
 * nothing plays: off air, after an error, at the end, and while the player stands still.
 */

import { decide, SHOW_WAITING_AFTER_MS } from "./decide.js";
import { fetchInfo, pollDelay } from "./info.js";
import { listenToKeys } from "./keyboard.js";
import { behindText, SHORTEST_DVR_SECONDS } from "./live.js";
import { parseOptions } from "./options.js";
import { Player } from "./player.js";
import { Screen } from "./screen.js";
import { Stats } from "./stats.js";

const TICK_MS = 500;
/** A smaller distance from live playback is jitter. */
const BEHIND_SECONDS = 3;
/** Space at both ends of media-chrome's ranges, in CSS pixels. */
const RANGE_PADDING = 10;

const element = (id) => document.getElementById(id);
const options = parseOptions(location.search);
const video = element("video");
const screen = new Screen(options);
const player = new Player(video, new Stats(), options.autoplay, {
  onPicture() {
    loads = 0;
    rest();
    screen.setPicture(true, video.videoWidth === 0);
    screen.show("picture");
    hint();
  },
  onTrouble() {
    // The first reload is immediate. A stream that breaks again and again is not loaded in a loop.
    lookAfter(loads < 2 ? 200 : pollDelay("live", loads, document.hidden, Math.random()));
  },
  onUnsupported() {
    unsupported = info?.session ?? "any";
    player.stop();
    screen.show("unsupported");
    lookAfter(pollDelay("missing", 0, document.hidden, Math.random()));
  },
  onRefused() {
    screen.show("start");
  },
  onSilenced: hint,
});

/** @type {import("./info.js").Info|null} */
let info = null;
let sphere = null;
let loads = 0;
let unsupported = null;
let looking = false;
let tries = 0;
let lastPoll = "";
let timer = 0;
let due = Number.POSITIVE_INFINITY;

/** Look at the stream after this time, or earlier if that is planned already. */
function lookAfter(delayMs) {
  if (delayMs === null) return;
  const at = performance.now() + delayMs;
  if (at >= due) return;
  due = at;
  clearTimeout(timer);
  timer = setTimeout(look, delayMs);
}

/** Plan no look: everything is well. */
function rest() {
  clearTimeout(timer);
  due = Number.POSITIVE_INFINITY;
}

async function look() {
  rest();
  if (looking) return;
  looking = true;
  const answer = await fetchInfo();
  looking = false;
  if (answer.kind === "info") {
    info = answer.info;
    screen.describe(info);
    showProjection(info.projection);
  }
  if (isUndecodable(answer)) {
    lookAfter(pollDelay("missing", 0, document.hidden, Math.random()));
    return;
  }
  const decision = decide({ answer, ...player.facts });
  act(decision);
  tries = decision.poll === lastPoll ? tries + 1 : 0;
  lastPoll = decision.poll;
  // A picture that moves needs no more answers, and a load is watched by `tick`.
  if (["picture", "start", "loading"].includes(screen.name)) return;
  lookAfter(pollDelay(decision.poll, tries, document.hidden, Math.random()));
}

function isUndecodable(answer) {
  if (unsupported === null || answer.kind !== "info" || !answer.info.live) return false;
  return unsupported === "any" || answer.info.session === unsupported;
}

/** @param {import("./decide.js").Decision} decision */
function act({ action, screen: name }) {
  if (action === "keep") {
    screen.show(name);
    return;
  }
  screen.setPicture(false);
  unsupported = null;
  if (action === "load" && player.wanted) {
    loads += 1;
    screen.show("loading");
    screen.refreshPoster();
    player.load(info?.session ?? null);
  } else {
    player.stop();
    screen.unmuteHint = false;
    screen.show(action === "load" ? "start" : name);
  }
}

function tick() {
  const { stalledMs, loaded, broken, ended } = player.facts;
  const stands = loaded && !broken && !ended && stalledMs >= SHOW_WAITING_AFTER_MS;
  // An end or an error is looked into until the screen shows it: the look that it asked for may have
  // come while another one was under way.
  const over = loaded && (broken || ended) && ["picture", "waiting"].includes(screen.name);
  if ((stands || over) && !looking && due === Number.POSITIVE_INFINITY) lookAfter(0);
  if (!stands && !over && screen.name === "waiting" && player.hasPicture) {
    rest();
    screen.show("picture");
  }
  if (!stands) player.follow();
  screen.dvr = (player.window?.seconds ?? 0) >= SHORTEST_DVR_SECONDS;
  const behind = player.behindSeconds;
  screen.behind = behind >= BEHIND_SECONDS ? behindText(behind) : "";
}

/** @param {string} projection */
async function showProjection(projection) {
  if (sphere || projection === "Regular") return;
  sphere = { drawn: 0 };
  const { Sphere } = await import("./vr/sphere.js");
  try {
    sphere = new Sphere(video, screen.addCanvas(), projection);
  } catch {
    // Without WebGL the flat picture is better than none.
    element("stage").dataset.vr = "no";
    document.querySelector(".sphere")?.remove();
  }
}

function hint() {
  screen.unmuteHint = options.hint && video.muted && player.hasPicture;
}

function unmute() {
  video.muted = false;
  if (video.volume === 0) video.volume = 1;
}

function listen() {
  element("start").addEventListener("click", () => {
    player.wanted = true;
    if (player.facts.loaded) player.play();
    else lookAfter(0);
    if (screen.name === "start") screen.show("loading");
  });
  element("unmute").addEventListener("click", unmute);
  video.addEventListener("volumechange", hint);
  addEventListener("online", () => lookAfter(0));
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && due !== Number.POSITIVE_INFINITY) lookAfter(0);
  });
  // media-chrome jumps to the newest part, where every player runs dry. So its requests end here.
  const controller = element("controller");
  const instead = (name, action) =>
    controller.addEventListener(
      name,
      (event) => {
        event.stopImmediatePropagation();
        action(event.detail);
      },
      { capture: true },
    );
  instead("mediaseektoliverequest", () => player.seekToLive());
  instead("mediaseekrequest", (position) => player.seek(position));
  element("timeline").addEventListener("pointermove", preview);
}

/** Show the distance from live under the pointer. media-chrome ignores the start of the window. */
function preview(event) {
  const range = player.window;
  if (!range) return;
  const { left, width } = element("timeline").getBoundingClientRect();
  const share = (event.clientX - left - RANGE_PADDING) / (width - 2 * RANGE_PADDING);
  const behind = range.seconds * (1 - Math.min(1, Math.max(0, share)));
  element("preview").textContent = behind < BEHIND_SECONDS ? "Live" : behindText(behind);
}

window.sluice = {
  /** Figures of this page: stalls, latency, frames, session. Times are in seconds. */
  stats: () => ({
    ...player.figures,
    screen: screen.name,
    drawn: sphere?.drawn ?? null,
    look: sphere?.look ?? null,
  }),
};

video.muted = options.muted;
listen();
listenToKeys({ player, video, stage: element("stage") });
look();
setInterval(tick, TICK_MS);
if (options.controls) import("./controls.js");

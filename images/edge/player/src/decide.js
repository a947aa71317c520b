/**
 * The decision of the page: what to show and what to do after an answer about the stream. It is pure;
 * `main.js` does what it returns.
 */

/**
 * @typedef {object} Facts
 * @property {import("./info.js").Answer} answer
 * @property {string|null} session  Session that the player has loaded; null: none, or not known yet.
 * @property {boolean} loaded       The player has loaded something and was not given up.
 * @property {boolean} broken       The player cannot continue (a lost playlist, a fatal error).
 * @property {boolean} ended        The player has played the session to its end.
 * @property {number} stalledMs     Time without progress, although the viewer wants to watch.
 * @property {boolean|null} ahead    The playlist has media that the player does not reach; null:
 *                                   there is no playlist.
 */

/**
 * @typedef {object} Decision
 * @property {"keep"|"load"|"stop"} action  load: begin with `index.m3u8`, also if something is loaded.
 * @property {"picture"|"waiting"|"offair"|"expired"|"denied"|"missing"|"unreachable"|"nohls"} screen
 * @property {"offair"|"live"|"expired"|"denied"|"missing"|"unreachable"} poll  For `pollDelay`.
 */

/** A player that stands still for longer, although there is media, is loaded again. A player that waits
 * for its source is not: it would repeat the last seconds again and again. */
export const RELOAD_AFTER_MS = 20_000;
/** A shorter silence is not shown: nearly all of them are over before. */
export const SHOW_WAITING_AFTER_MS = 3_000;

/**
 * Decide about an answer.
 *
 * @param {Facts} facts
 * @returns {Decision}
 */
export function decide(facts) {
  const { answer } = facts;
  const usable = facts.loaded && !facts.broken && !facts.ended;
  const runs = usable && facts.stalledMs < SHOW_WAITING_AFTER_MS;
  if (answer.kind === "expired" || answer.kind === "denied") {
    // The edge refuses every later request too. What is in the buffer is still shown.
    return runs
      ? { action: "keep", screen: "picture", poll: "live" }
      : { action: "stop", screen: answer.kind, poll: answer.kind };
  }
  if (answer.kind === "unreachable") {
    // The player repeats its own requests, so a short failure is over without a reload.
    const screen = runs ? "picture" : usable ? "waiting" : "unreachable";
    return { action: "keep", screen, poll: "unreachable" };
  }
  if (answer.kind === "missing") {
    return runs
      ? { action: "keep", screen: "picture", poll: "live" }
      : { action: "stop", screen: "missing", poll: "missing" };
  }
  const { info } = answer;
  if (!info.live) {
    return runs
      ? { action: "keep", screen: "picture", poll: "live" }
      : { action: "stop", screen: "offair", poll: "offair" };
  }
  if (!info.hls) return { action: "stop", screen: "nohls", poll: "missing" };
  const other =
    facts.session !== null && info.session !== null && facts.session !== info.session && !runs;
  // The origin may report the session as live for a moment after its playlist has ended.
  const over = facts.ended && facts.session === info.session && info.session !== null;
  if (over) return { action: "keep", screen: "offair", poll: "offair" };
  if (!facts.loaded || facts.broken || facts.ended || other) {
    return { action: "load", screen: "waiting", poll: "live" };
  }
  if (facts.stalledMs >= RELOAD_AFTER_MS && facts.ahead !== false) {
    return { action: "load", screen: "waiting", poll: "live" };
  }
  return { action: "keep", screen: runs ? "picture" : "waiting", poll: "live" };
}

/**
 * Return the session of a playlist's address: `…/<session>/video.m3u8`.
 *
 * @param {string} url
 * @returns {string|null}
 */
export function sessionOf(url) {
  return /\/([0-9a-f]{16})\/[a-z0-9]+\.m3u8(?:[?#]|$)/.exec(url)?.[1] ?? null;
}

/**
 * The player: one media element, and an engine that is made anew for each load. It reports its facts
 * (`facts`) and the moments at which somebody must look at the stream again (`onTrouble`).
 */

import { HlsEngine } from "./hls-engine.js";
import { jump, windowOf } from "./live.js";
import { NativeEngine } from "./native-engine.js";

/** A smaller delay is made up by a higher speed: 3 s in half a minute. */
const LATE_SECONDS = 3;

/**
 * @typedef {object} PlayerEvents
 * @property {() => void} onPicture      The first picture of a load is visible.
 * @property {() => void} onTrouble      The engine is broken, or the session has ended.
 * @property {() => void} onUnsupported  The browser cannot decode the stream.
 * @property {() => void} onRefused      The browser refuses to play without a click.
 * @property {() => void} onSilenced     The browser refuses sound without a click, so it is off.
 */

export class Player {
  #video;
  #stats;
  #events;
  #engine = null;
  #session = null;
  #broken = false;
  #ended = false;
  #hasPicture = false;
  #lastTime = 0;
  #lastProgress = performance.now();

  /** The viewer wants to watch: by autoplay or by a click, until a pause. */
  wanted;
  /** The viewer watches live: there was no pause and no jump back. */
  #follows = true;

  /**
   * @param {HTMLVideoElement} video
   * @param {import("./stats.js").Stats} stats
   * @param {boolean} wanted
   * @param {PlayerEvents} events
   */
  constructor(video, stats, wanted, events) {
    this.#video = video;
    this.#stats = stats;
    this.#events = events;
    this.wanted = wanted;
    const now = () => performance.now();
    video.addEventListener("waiting", () => stats.waiting(now(), video.seeking));
    video.addEventListener("playing", () => this.#played());
    video.addEventListener("timeupdate", () => !video.seeking && stats.resumed(now()));
    video.addEventListener("play", () => (this.wanted = true));
    video.addEventListener("pause", () => {
      if (!this.#engine || video.ended) return;
      this.wanted = this.#follows = false;
    });
    video.addEventListener("ended", () => {
      this.#ended = true;
      events.onTrouble();
    });
  }

  get session() {
    return this.#session;
  }

  get hasPicture() {
    return this.#hasPicture;
  }

  /** @returns {Omit<import("./decide.js").Facts, "answer">} */
  get facts() {
    return {
      session: this.#session,
      loaded: this.#engine !== null,
      broken: this.#broken,
      ended: this.#ended,
      stalledMs: this.#stalledMs(),
      ahead: this.#engine?.ahead ?? null,
    };
  }

  #stalledMs() {
    const { paused, currentTime } = this.#video;
    const moves = !this.#engine || this.#ended || !this.wanted || (paused && this.#hasPicture);
    const now = performance.now();
    if (moves || currentTime !== this.#lastTime) {
      this.#lastTime = currentTime;
      this.#lastProgress = now;
    }
    return now - this.#lastProgress;
  }

  /** @param {string|null} session  Session in `info.json`. */
  load(session) {
    this.stop();
    this.#follows = true;
    this.#stats.loading(performance.now());
    this.#lastProgress = performance.now();
    const events = {
      session: (found) => (this.#session = found),
      error: (name) => this.#stats.error(name),
      unsupported: () => this.#events.onUnsupported(),
      broken: () => {
        this.#broken = true;
        this.#events.onTrouble();
      },
    };
    if (NativeEngine.supportedBy(this.#video)) {
      this.#engine = new NativeEngine(this.#video, events, session);
    } else if (HlsEngine.supported) {
      this.#engine = new HlsEngine(this.#video, events);
    } else {
      this.#events.onUnsupported();
      return;
    }
    if (this.wanted) this.play();
  }

  stop() {
    const engine = this.#engine;
    this.#engine = null;
    this.#session = null;
    this.#broken = this.#ended = this.#hasPicture = false;
    engine?.destroy();
  }

  async play() {
    this.wanted = true;
    try {
      await this.#video.play();
    } catch (error) {
      if (error.name !== "NotAllowedError") return;
      if (this.#video.muted) {
        this.wanted = false;
        this.#events.onRefused();
      } else {
        this.#video.muted = true;
        this.#events.onSilenced();
        await this.play();
      }
    }
  }

  #played() {
    if (this.#hasPicture || !this.#engine) {
      this.#stats.resumed(performance.now());
      return;
    }
    const engine = this.#engine;
    const shown = () => {
      if (this.#engine !== engine || this.#hasPicture) return;
      this.#hasPicture = true;
      this.#stats.picture(performance.now());
      this.#events.onPicture();
    };
    // A stream without video, and a page in the background, draw no frame.
    if (!this.#video.videoWidth || document.hidden || !this.#video.requestVideoFrameCallback) shown();
    else this.#video.requestVideoFrameCallback(shown);
  }

  /** @returns {{start: number, end: number, seconds: number}|null} */
  get window() {
    return this.#engine ? windowOf(this.#video.seekable) : null;
  }

  /** Distance in seconds from live playback; 0 at the live edge. */
  get behindSeconds() {
    const edge = this.#engine?.livePosition ?? null;
    return edge === null ? 0 : Math.max(0, edge - this.#video.currentTime);
  }

  /** @param {number} seconds */
  jump(seconds) {
    const edge = this.#engine?.livePosition ?? null;
    const position = jump(this.#video.currentTime, seconds, this.window, edge);
    this.#follows = edge !== null && position >= edge;
    this.#video.currentTime = position;
  }

  /**
   * Return a viewer of live playback who is late after an interruption.
   */
  follow() {
    const { seeking, paused } = this.#video;
    if (!this.#follows || !this.#hasPicture || seeking || paused || this.#ended) return;
    if (this.behindSeconds > LATE_SECONDS) this.seekToLive();
  }

  /**
   * Go to a position that a control has chosen. The newest media is not in every player's reach, so
   * a position after live playback means live playback.
   *
   * @param {number} position
   */
  seek(position) {
    this.jump(position - this.#video.currentTime);
  }

  seekToStart() {
    this.jump(Number.NEGATIVE_INFINITY);
  }

  seekToLive() {
    const edge = this.#engine?.livePosition ?? null;
    this.#follows = true;
    if (edge !== null && this.behindSeconds > 0.5) this.#video.currentTime = edge;
    this.play();
  }

  /** @returns {object} Values for `window.sluice.stats()`. */
  get figures() {
    const quality = this.#video.getVideoPlaybackQuality?.();
    const rounded = (value) => (value === null ? null : Math.round(value * 1000) / 1000);
    return {
      ...this.#stats.values(performance.now()),
      engine: this.#engine?.name ?? null,
      session: this.#session,
      latencySeconds: rounded(this.#engine?.latencySeconds ?? null),
      ageSeconds: rounded(this.#engine?.ageSeconds ?? null),
      dvrSeconds: rounded(this.window?.seconds ?? 0),
      behindSeconds: rounded(this.behindSeconds),
      frames: quality?.totalVideoFrames ?? 0,
      droppedFrames: quality?.droppedVideoFrames ?? 0,
      currentTime: rounded(this.#video.currentTime),
      paused: this.#video.paused,
      muted: this.#video.muted,
    };
  }
}

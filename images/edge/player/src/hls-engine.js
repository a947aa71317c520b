/** Playback by hls.js: for all browsers with Media Source Extensions, except Apple's. */

import Hls from "hls.js";

import { sessionOf } from "./decide.js";

/**
 * @typedef {object} EngineEvents
 * @property {(session: string) => void} session  The first playlist of a session was loaded.
 * @property {() => void} broken                  The engine cannot continue by itself.
 * @property {() => void} unsupported             The browser cannot decode the stream.
 * @property {(name: string) => void} error       Any error, for the counters.
 */

/** 4xx is an answer about the stream: `info.json` tells what it means, so it is not repeated here. */
const shouldRetry = (policy, count, isTimeout, response, retry) => {
  const status = response?.code ?? 0;
  if (status >= 400 && status < 500 && status !== 408 && status !== 429) return false;
  return retry || (policy !== null && policy !== undefined && count < policy.maxNumRetry);
};
const retries = (maxNumRetry, maxRetryDelayMs) => ({
  maxNumRetry,
  retryDelayMs: 300,
  maxRetryDelayMs,
  backoff: "linear",
  shouldRetry,
});
const policy = (maxTimeToFirstByteMs, maxLoadTimeMs, times, delayMs) => ({
  default: {
    maxTimeToFirstByteMs,
    maxLoadTimeMs,
    timeoutRetry: retries(times, delayMs),
    errorRetry: retries(times, delayMs),
  },
});
/** hls.js gives up after some failures by default. A viewer waits, so playlists are never given up. */
const ENDLESS = Number.MAX_SAFE_INTEGER;

const CONFIG = {
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: 1.1,
  // Without this, the media element has no range in front of the buffer, and so no DVR window.
  liveDurationInfinity: true,
  backBufferLength: 60,
  maxBufferLength: 20,
  // A fragment of CMAF is passed on as it is. A worker would cost more than it saves.
  enableWorker: false,
  // There is one rendition, so nothing is chosen by bandwidth.
  startLevel: 0,
  testBandwidth: false,
  manifestLoadPolicy: policy(6_000, 10_000, ENDLESS, 4_000),
  playlistLoadPolicy: policy(6_000, 10_000, ENDLESS, 2_000),
  fragLoadPolicy: policy(6_000, 20_000, 20, 2_000),
};

/** hls.js stays one second further back after each stall. Without another stall in this time, it returns
 * to its former latency. */
const FORGIVE_STALL_MS = 45_000;
/** An older playlist means that the source is silent: then the stall was no fault of the network. */
const SILENT_SECONDS = 1.2;
/** With more media in front of it, a player that stands still has a fault. */
const AHEAD_SECONDS = 4;

const INCOMPATIBLE = new Set([
  Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR,
  Hls.ErrorDetails.BUFFER_ADD_CODEC_ERROR,
  Hls.ErrorDetails.BUFFER_INCOMPATIBLE_CODECS_ERROR,
]);
/** Recoveries of the decoder in a short time. More of them: the player begins again. */
const RECOVERIES = 3;
const RECOVERY_MEMORY_MS = 30_000;

export class HlsEngine {
  name = "hls.js";
  #hls;
  #video;
  #events;
  #session = null;
  #recoveries = [];
  #latency = null;
  #forgiving = 0;

  /**
   * @param {HTMLVideoElement} video
   * @param {EngineEvents} events
   */
  constructor(video, events) {
    this.#video = video;
    this.#events = events;
    this.#hls = new Hls(CONFIG);
    this.#hls.on(Hls.Events.ERROR, (_, data) => this.#failed(data));
    this.#hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
      const session = sessionOf(details.url);
      if (session === null || session === this.#session) return;
      this.#session = session;
      events.session(session);
    });
    this.#hls.on(Hls.Events.LEVEL_UPDATED, () => (this.#latency ??= this.#hls.targetLatency));
    this.#hls.loadSource("index.m3u8");
    this.#hls.attachMedia(video);
  }

  static get supported() {
    return Hls.isSupported();
  }

  #failed(data) {
    this.#events.error(data.details + (data.fatal ? "!" : ""));
    if (data.details === Hls.ErrorDetails.BUFFER_STALLED_ERROR) this.#stalled();
    if (!data.fatal) return;
    if (INCOMPATIBLE.has(data.details)) {
      this.#events.unsupported();
      return;
    }
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      const now = performance.now();
      this.#recoveries = this.#recoveries.filter((time) => now - time < RECOVERY_MEMORY_MS);
      if (this.#recoveries.length < RECOVERIES) {
        this.#recoveries.push(now);
        const played = !this.#video.paused;
        this.#hls.recoverMediaError();
        if (played) this.#video.play().catch(() => {});
        return;
      }
    }
    this.#events.broken();
  }

  #stalled() {
    clearTimeout(this.#forgiving);
    const forgive = () => {
      if (this.#latency !== null) this.#hls.targetLatency = this.#latency;
    };
    if ((this.#hls.latestLevelDetails?.age ?? 0) > SILENT_SECONDS) forgive();
    else this.#forgiving = setTimeout(forgive, FORGIVE_STALL_MS);
  }

  /** The playlist has media that the player does not reach; null: there is no playlist. */
  get ahead() {
    const details = this.#hls.latestLevelDetails;
    return details ? details.edge - this.#video.currentTime > AHEAD_SECONDS : null;
  }

  /** Position of live playback; null before it is known. */
  get livePosition() {
    return this.#hls.liveSyncPosition ?? null;
  }

  /** Distance in seconds from the end of the newest part; null before it is known. */
  get latencySeconds() {
    return this.#hls.latency || null;
  }

  /** Age in seconds of the shown picture by the clock of this device; null before it is known. */
  get ageSeconds() {
    const date = this.#hls.playingDate;
    return date ? (Date.now() - date.getTime()) / 1000 : null;
  }

  destroy() {
    clearTimeout(this.#forgiving);
    this.#hls.destroy();
  }
}

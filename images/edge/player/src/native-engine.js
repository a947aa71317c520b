/** Playback by the browser itself: Safari on macOS, iOS and tvOS reads LL-HLS. */

const HLS_TYPE = "application/vnd.apple.mpegurl";
/** With more media in front of it, a player that stands still has a fault. */
const AHEAD_SECONDS = 8;
/** Distance of live playback from the end of the seekable range. */
const LIVE_SECONDS = 2;

export class NativeEngine {
  name = "native";
  #video;
  #abort = new AbortController();

  /**
   * @param {HTMLVideoElement} video
   * @param {import("./hls-engine.js").EngineEvents} events
   * @param {string|null} session  Session in `info.json`: the browser does not tell its playlists.
   */
  constructor(video, events, session) {
    this.#video = video;
    const listen = { signal: this.#abort.signal };
    video.addEventListener("loadedmetadata", () => session && events.session(session), listen);
    video.addEventListener(
      "error",
      () => {
        events.error(`media${video.error?.code ?? 0}!`);
        if (video.error?.code === MediaError.MEDIA_ERR_DECODE) events.unsupported();
        else events.broken();
      },
      listen,
    );
    video.src = "index.m3u8";
    video.load();
  }

  /**
   * Other browsers with HLS of their own (Chromium) have no low latency in it, so this is a question
   * about the browser's maker.
   *
   * @param {HTMLVideoElement} video
   */
  static supportedBy(video) {
    const apple = (navigator.vendor ?? "").startsWith("Apple");
    return apple && video.canPlayType(HLS_TYPE) !== "";
  }

  get livePosition() {
    const { seekable } = this.#video;
    return seekable.length ? seekable.end(seekable.length - 1) - LIVE_SECONDS : null;
  }

  get ahead() {
    const { seekable, currentTime } = this.#video;
    return seekable.length ? seekable.end(seekable.length - 1) - currentTime > AHEAD_SECONDS : null;
  }

  get latencySeconds() {
    return null;
  }

  get ageSeconds() {
    const start = this.#video.getStartDate?.()?.getTime() ?? Number.NaN;
    return Number.isNaN(start) ? null : (Date.now() - start) / 1000 - this.#video.currentTime;
  }

  destroy() {
    this.#abort.abort();
    this.#video.removeAttribute("src");
    this.#video.load();
  }
}

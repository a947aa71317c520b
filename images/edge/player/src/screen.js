/** Everything that is visible around the picture: words, poster, spinner, title, unmute hint. */

import { SCREENS } from "./texts.js";

const HINT_MS = 15_000;

const element = (id) => document.getElementById(id);

export class Screen {
  #stage = element("stage");
  #poster = null;

  /** @param {import("./options.js").Options} options */
  constructor(options) {
    this.#stage.dataset.controls = options.controls ? "yes" : "no";
  }

  get name() {
    return this.#stage.dataset.screen;
  }

  /** The stream has no video. */
  #audio = false;

  /**
   * @param {string} name  picture, waiting, loading, start, or a key of SCREENS.
   */
  show(name) {
    const words = name === "picture" && this.#audio ? SCREENS.audio : SCREENS[name];
    const { dataset } = this.#stage;
    if (dataset.screen === name) return;
    dataset.screen = name;
    dataset.words = words ? "yes" : "no";
    dataset.spinner = words?.retries || name === "waiting" || name === "loading" ? "yes" : "no";
    element("screen-head").textContent = words?.head ?? "";
    element("screen-text").textContent = words?.text ?? "";
  }

  /**
   * @param {boolean} on      The media element plays the stream.
   * @param {boolean} [audio] The stream has no video.
   */
  setPicture(on, audio = false) {
    this.#audio = audio;
    this.#stage.dataset.picture = on ? "yes" : "no";
  }

  /** @param {boolean} on  The window is long enough for a time range. */
  set dvr(on) {
    this.#stage.dataset.dvr = on ? "yes" : "no";
  }

  /** @param {string} text  Distance from the live edge. */
  set behind(text) {
    const span = element("behind");
    if (span.textContent !== text) span.textContent = text;
  }

  /** @param {import("./info.js").Info} info */
  describe({ title, poster }) {
    document.title = title || "Stream";
    element("title").textContent = title;
    element("screen-title").textContent = title;
    if (title) element("video").setAttribute("aria-label", title);
    if (poster === this.#poster) return;
    this.#poster = poster;
    this.refreshPoster();
  }

  /** Request the poster again, because it changes. */
  refreshPoster() {
    const frame = element("poster");
    if (!this.#poster) {
      frame.replaceChildren();
      return;
    }
    const image = new Image();
    image.alt = "";
    // The earlier picture stays until the new one is there.
    image.onload = () => frame.replaceChildren(image);
    image.onerror = () => frame.replaceChildren();
    image.src = this.#poster;
  }

  /** @param {boolean} on  After some time, the hint comes and goes with the controls. */
  set unmuteHint(on) {
    const button = element("unmute");
    if (on && button.hidden) setTimeout(() => button.classList.add("seen"), HINT_MS);
    button.hidden = !on;
  }

  /** @returns {HTMLCanvasElement} A canvas in the place of the video. */
  addCanvas() {
    const canvas = document.createElement("canvas");
    canvas.className = "sphere";
    canvas.tabIndex = 0;
    canvas.setAttribute("aria-label", "360 degree picture. Drag it, or turn it with the arrow keys.");
    // In this slot the canvas is below the controls and gets the pointer.
    canvas.slot = "gestures-chrome";
    canvas.setAttribute("noautohide", "");
    element("video").after(canvas);
    this.#stage.dataset.vr = "yes";
    return canvas;
  }
}

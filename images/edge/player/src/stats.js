/**
 * Counters of what a viewer sees. `window.sluice.stats()` returns them for tests and for a page that
 * looks for the reason of bad playback.
 */

export class Stats {
  #firstPictureMs = null;
  #stalls = 0;
  #stalledMs = 0;
  #stalledSince = null;
  #playing = false;
  #loads = 0;
  #errors = new Map();

  /**
   * A player begins to load. Waiting for its first picture is not a stall.
   *
   * @param {number} nowMs
   */
  loading(nowMs) {
    this.#loads += 1;
    this.resumed(nowMs);
    this.#playing = false;
  }

  /** @param {number} nowMs  Time since the page was opened. */
  picture(nowMs) {
    this.#firstPictureMs ??= nowMs;
    this.#playing = true;
    this.resumed(nowMs);
  }

  /**
   * The player waits for media.
   *
   * @param {number} nowMs
   * @param {boolean} seeking  After a jump of the viewer, waiting is not a stall.
   */
  waiting(nowMs, seeking) {
    if (!this.#playing || seeking || this.#stalledSince !== null) return;
    this.#stalls += 1;
    this.#stalledSince = nowMs;
  }

  /** @param {number} nowMs */
  resumed(nowMs) {
    if (this.#stalledSince === null) return;
    this.#stalledMs += Math.max(0, nowMs - this.#stalledSince);
    this.#stalledSince = null;
  }

  /** @param {string} name  Name of an error, with `!` at its end if it was fatal. */
  error(name) {
    this.#errors.set(name, (this.#errors.get(name) ?? 0) + 1);
  }

  /** @param {number} nowMs */
  values(nowMs) {
    const open = this.#stalledSince === null ? 0 : Math.max(0, nowMs - this.#stalledSince);
    return {
      firstPictureSeconds: this.#firstPictureMs === null ? null : this.#firstPictureMs / 1000,
      stalls: this.#stalls,
      stallSeconds: (this.#stalledMs + open) / 1000,
      loads: this.#loads,
      errors: Object.fromEntries(this.#errors),
    };
  }
}

/**
 * Options of the page, from its query: `?autoplay=0&muted=1&controls=0`. They are meant for pages that
 * embed the player.
 */

/**
 * @typedef {object} Options
 * @property {boolean} autoplay  Begin to play without a click. Default: true.
 * @property {boolean} muted     Begin without sound, because browsers refuse sound before a click.
 *                               Default: true.
 * @property {boolean} controls  Show the controls and the title. Default: true.
 * @property {boolean} hint      Offer to turn on the sound. False if the query sets `muted`, or if
 *                               there are no controls.
 */

const NO = new Set(["0", "false", "no", "off"]);

/**
 * Return the options of a query. An option without a value is on.
 *
 * @param {string} search  `location.search`
 * @returns {Options}
 */
export function parseOptions(search) {
  const query = new URLSearchParams(search);
  const flag = (name) => {
    const value = query.get(name);
    return value === null ? true : !NO.has(value.toLowerCase());
  };
  const controls = flag("controls");
  return {
    autoplay: flag("autoplay"),
    muted: flag("muted"),
    controls,
    hint: controls && !query.has("muted"),
  };
}

/** Times of a live stream: the DVR window, the distance from the live edge, and their texts. */

/** A shorter window has no time range: it is only the buffer of a stream without DVR. */
export const SHORTEST_DVR_SECONDS = 25;

/**
 * Return the seekable range of a media element; null before it has one.
 *
 * @param {TimeRanges|undefined} seekable
 * @returns {{start: number, end: number, seconds: number}|null}
 */
export function windowOf(seekable) {
  if (!seekable?.length) return null;
  const start = seekable.start(0);
  const end = seekable.end(seekable.length - 1);
  return Number.isFinite(end) && end > start ? { start, end, seconds: end - start } : null;
}

/**
 * Return the position after a jump, inside the window.
 *
 * @param {number} position
 * @param {number} seconds    Jump; negative: backward.
 * @param {{start: number, end: number}|null} range
 * @param {number|null} edge  Position of live playback. A jump forward ends there.
 * @returns {number}
 */
export function jump(position, seconds, range, edge) {
  if (!range) return position;
  const last = Math.min(range.end, edge ?? range.end);
  // The oldest second is dropped next, so a position exactly at the start is lost at once.
  const first = Math.min(range.start + 1, last);
  const wanted = position + seconds;
  // A jump forward near the edge must not move the viewer back.
  if (seconds > 0 && wanted > last) return Math.max(position, last);
  return Math.min(Math.max(wanted, first), Math.max(last, position));
}

/**
 * Return a distance from the live edge as text: `−1:05`, `−2:00:00`; empty below one second.
 *
 * @param {number} seconds
 * @returns {string}
 */
export function behindText(seconds) {
  if (!(seconds >= 1)) return "";
  const total = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  const front = hours ? `${hours}:${two(minutes)}` : String(minutes);
  return `\u2212${front}:${two(total % 60)}`;
}

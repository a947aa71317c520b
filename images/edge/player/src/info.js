/** The stream's `info.json`: reading it, and how often it is requested. */

/**
 * @typedef {object} Info
 * @property {string} title
 * @property {"Regular"|"VR360"|"VR180"|"VR360TB"} projection
 * @property {boolean} live
 * @property {string|null} session
 * @property {boolean} hls
 * @property {string|null} poster  Address of a picture, relative to the page.
 */

/**
 * @typedef {{kind: "info", info: Info} | {kind: "expired"|"denied"|"missing"|"unreachable"}} Answer
 */

const PROJECTIONS = new Set(["Regular", "VR360", "VR180", "VR360TB"]);
const TIMEOUT_MS = 8_000;

/**
 * Return the fields of a parsed `info.json`, with a safe value for each field that is missing.
 *
 * @param {unknown} value
 * @returns {Info|null} null if the value is not an object.
 */
export function readInfo(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const text = (name) => (typeof value[name] === "string" && value[name] ? value[name] : null);
  return {
    title: text("title") ?? "",
    projection: PROJECTIONS.has(value.projection) ? value.projection : "Regular",
    live: value.live === true,
    session: text("session"),
    hls: value.hls !== false,
    poster: text("poster"),
  };
}

/**
 * Return what an HTTP status means for the page.
 *
 * @param {number} status
 * @returns {"info"|"expired"|"denied"|"missing"|"unreachable"}
 */
export function meaningOf(status) {
  if (status === 200) return "info";
  if (status === 410) return "expired";
  if (status === 401 || status === 403) return "denied";
  if (status === 404) return "missing";
  return "unreachable";
}

/**
 * Request the stream's `info.json`. Never throws: a failed request is an answer too.
 *
 * @param {typeof fetch} request
 * @returns {Promise<Answer>}
 */
export async function fetchInfo(request = fetch) {
  try {
    const response = await request("info.json", { signal: AbortSignal.timeout(TIMEOUT_MS) });
    const kind = meaningOf(response.status);
    if (kind !== "info") return { kind };
    const info = readInfo(await response.json());
    return info ? { kind, info } : { kind: "unreachable" };
  } catch {
    return { kind: "unreachable" };
  }
}

/**
 * Return the time in milliseconds until the next request; null: there is no next one, because only
 * a new link can help.
 *
 * Off air, the time grows from 2 s to 10 s, so a page that is open all day costs little. Random
 * shares keep pages apart that lost the stream at the same moment.
 *
 * @param {"offair"|"live"|Answer["kind"]} kind
 * @param {number} tries    Equal answers before this one.
 * @param {boolean} hidden  The page is in a background tab.
 * @param {number} random   0..1
 * @returns {number|null}
 */
export function pollDelay(kind, tries, hidden, random) {
  if (kind === "expired" || kind === "denied") return null;
  const [first, last] = {
    offair: [2_000, 10_000],
    live: [3_000, 6_000],
    missing: [5_000, 30_000],
    unreachable: [1_000, 15_000],
  }[kind] ?? [3_000, 10_000];
  const grown = Math.min(last, first * 1.15 ** Math.min(tries, 60));
  return Math.round((hidden ? Math.max(grown, 30_000) : grown) * (0.8 + 0.4 * random));
}

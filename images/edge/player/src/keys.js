/** The keyboard: key → action. */

const ACTIONS = {
  " ": "toggle",
  k: "toggle",
  m: "mute",
  f: "fullscreen",
  i: "pip",
  j: "back",
  ArrowLeft: "back",
  l: "forward",
  ArrowRight: "forward",
  ArrowUp: "louder",
  ArrowDown: "quieter",
  Home: "start",
  End: "live",
};

/**
 * Return the action of a key; null: the key is not ours.
 *
 * @param {{key: string, ctrlKey?: boolean, metaKey?: boolean, altKey?: boolean}} event
 * @param {"none"|"button"|"range"} focus  Kind of the element with the focus. A button handles Space
 *   and Enter itself, a range handles the arrows.
 * @returns {string|null}
 */
export function actionOf(event, focus) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (focus === "button" && key === " ") return null;
  if (focus === "range" && (key.startsWith("Arrow") || key === "Home" || key === "End")) return null;
  return Object.hasOwn(ACTIONS, key) ? ACTIONS[key] : null;
}

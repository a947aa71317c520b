/** Every sentence that a viewer can see. */

/** Screen → its words. `retries`: the page tries again by itself, so a spinner is shown. */
export const SCREENS = {
  offair: { head: "Not on air", text: "The picture appears here by itself when the stream begins." },
  expired: { head: "This link has expired", text: "Ask for a new link to watch this stream." },
  denied: { head: "This link is not valid", text: "Check that you have copied the whole link." },
  missing: { head: "There is no such stream", text: "Check the address of this page." },
  unreachable: {
    head: "The server does not answer",
    text: "This page tries again by itself. Check your network connection.",
    retries: true,
  },
  nohls: {
    head: "This page cannot play this stream",
    text: "The stream is not offered as HLS. Use its DASH address in another player.",
  },
  audio: { head: "Sound only", text: "This stream has no video." },
  unsupported: {
    head: "This browser cannot play this stream",
    text: "It cannot decode the stream's video or sound. Try another browser.",
  },
};

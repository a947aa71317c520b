/** Carries out the keys of `keys.js`. */

import { actionOf } from "./keys.js";

const JUMP_SECONDS = 10;
const VOLUME_STEP = 0.1;

/**
 * @param {{player: import("./player.js").Player, video: HTMLVideoElement, stage: HTMLElement}} page
 */
export function listenToKeys({ player, video, stage }) {
  const volume = (change) => {
    video.volume = Math.min(1, Math.max(0, video.volume + change));
    video.muted = video.volume === 0;
  };
  const actions = {
    toggle: () => (video.paused ? player.play() : video.pause()),
    mute: () => (video.muted = !video.muted),
    fullscreen: () =>
      document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen?.(),
    pip: () =>
      document.pictureInPictureElement
        ? document.exitPictureInPicture()
        : video.requestPictureInPicture?.(),
    back: () => player.jump(-JUMP_SECONDS),
    forward: () => player.jump(JUMP_SECONDS),
    louder: () => volume(VOLUME_STEP),
    quieter: () => volume(-VOLUME_STEP),
    start: () => player.seekToStart(),
    live: () => player.seekToLive(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !player.hasPicture) return;
    const action = actionOf(event, kindOf(event.composedPath()[0]));
    if (!action) return;
    event.preventDefault();
    // A browser may refuse full screen or picture in picture. Then nothing happens.
    Promise.resolve(actions[action]()).catch(() => {});
  });
}

/** @param {EventTarget} target */
function kindOf(target) {
  if (!(target instanceof Element)) return "none";
  const range = target.matches("input") || target.localName.endsWith("-range");
  if (range) return "range";
  return target.matches("button, a") || target.localName.endsWith("-button") ? "button" : "none";
}

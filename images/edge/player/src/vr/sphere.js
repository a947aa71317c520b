/**
 * A 360° picture: the video is drawn on the inside of a sphere, and the viewer drags it. This module
 * is loaded only for streams with such a projection, because three.js is large.
 */

import {
  Mesh,
  MeshBasicMaterial,
  PerspectiveCamera,
  Scene,
  SphereGeometry,
  SRGBColorSpace,
  VideoTexture,
  WebGLRenderer,
} from "three";

import { ahead, coverage, pointOf, turn, zoom } from "./look.js";

const RADIUS = 50;
const SHARPEST_PIXEL_RATIO = 2;
const STEP_DEGREES = 6;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export class Sphere {
  #video;
  #canvas;
  #cover;
  #look = ahead();
  #renderer;
  #scene = new Scene();
  #camera = new PerspectiveCamera(75, 16 / 9, 0.1, 2 * RADIUS);
  #mesh;
  #pointers = new Map();
  #frame = 0;
  #drawn = 0;

  /**
   * @param {HTMLVideoElement} video
   * @param {HTMLCanvasElement} canvas
   * @param {string} projection
   */
  constructor(video, canvas, projection) {
    this.#video = video;
    this.#canvas = canvas;
    this.#cover = coverage(projection);
    this.#renderer = new WebGLRenderer({ canvas, antialias: false, powerPreference: "low-power" });
    this.#mesh = this.#makeMesh();
    this.#scene.add(this.#mesh);
    this.#listen();
    this.#draw();
  }

  /** Pictures drawn so far. */
  get drawn() {
    return this.#drawn;
  }

  get look() {
    return this.#look;
  }

  #makeMesh() {
    const { half, top } = this.#cover;
    // The texture begins at longitude -180° (or -90°); phi turns it so that its middle is at -z.
    const [start, length] = half ? [Math.PI, Math.PI] : [Math.PI / 2, 2 * Math.PI];
    const geometry = new SphereGeometry(RADIUS, 64, 40, start, length);
    geometry.scale(-1, 1, 1);
    const texture = new VideoTexture(this.#video);
    texture.colorSpace = SRGBColorSpace;
    texture.generateMipmaps = false;
    if (top) {
      texture.repeat.set(1, 0.5);
      texture.offset.set(0, 0.5);
    }
    return new Mesh(geometry, new MeshBasicMaterial({ map: texture }));
  }

  #listen() {
    const canvas = this.#canvas;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    });
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.#look = zoom(this.#look, event.deltaY > 0 ? 1.06 : 1 / 1.06);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      const step = KEYS[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      this.#turn(step[0] * STEP_DEGREES, step[1] * STEP_DEGREES);
    });
  }

  #moved(event) {
    const before = this.#pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    if (this.#pointers.size === 1) {
      // The point under the finger stays under it.
      const degrees = this.#look.field / this.#canvas.clientHeight;
      this.#turn((before.x - now.x) * degrees, (now.y - before.y) * degrees);
    } else {
      const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1] ?? now;
      const gap = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
      this.#look = zoom(this.#look, gap(before) / gap(now));
    }
    this.#pointers.set(event.pointerId, now);
  }

  #turn(right, up) {
    this.#look = turn(this.#look, right, up, this.#cover.half);
  }

  #draw = () => {
    this.#frame = requestAnimationFrame(this.#draw);
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !height || document.hidden) return;
    const ratio = Math.min(devicePixelRatio, SHARPEST_PIXEL_RATIO);
    if (this.#canvas.width !== Math.floor(width * ratio)
      || this.#canvas.height !== Math.floor(height * ratio)) {
      this.#renderer.setPixelRatio(ratio);
      this.#renderer.setSize(width, height, false);
      this.#camera.aspect = width / height;
    }
    this.#camera.fov = this.#look.field;
    this.#camera.updateProjectionMatrix();
    const { x, y, z } = pointOf(this.#look);
    this.#camera.lookAt(x, y, z);
    this.#renderer.render(this.#scene, this.#camera);
    this.#drawn += 1;
  };

  destroy() {
    cancelAnimationFrame(this.#frame);
    this.#mesh.geometry.dispose();
    this.#mesh.material.map.dispose();
    this.#mesh.material.dispose();
    this.#renderer.dispose();
  }
}

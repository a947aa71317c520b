/** The direction of view in a 360° picture, and which part of the sphere the picture covers. Pure. */

const LIMIT = 85;
const FIELD = { narrow: 35, wide: 95 };

/**
 * @typedef {object} Look
 * @property {number} longitude  Degrees; 0 is the middle of the picture, right is positive.
 * @property {number} latitude   Degrees, -85..85.
 * @property {number} field      Vertical field of view in degrees.
 */

/** @returns {Look} */
export const ahead = () => ({ longitude: 0, latitude: 0, field: 75 });

/**
 * Return the look after a turn. A picture of 180° has nothing behind the viewer.
 *
 * @param {Look} look
 * @param {number} right  Degrees.
 * @param {number} up     Degrees.
 * @param {boolean} half  The picture covers 180°.
 * @returns {Look}
 */
export function turn(look, right, up, half) {
  const clamp = (value, limit) => Math.min(limit, Math.max(-limit, value));
  const wanted = look.longitude + right;
  const longitude = half ? clamp(wanted, LIMIT) : ((((wanted + 180) % 360) + 360) % 360) - 180;
  return { ...look, longitude, latitude: clamp(look.latitude + up, LIMIT) };
}

/**
 * @param {Look} look
 * @param {number} factor  Above 1: wider.
 * @returns {Look}
 */
export function zoom(look, factor) {
  return { ...look, field: Math.min(FIELD.wide, Math.max(FIELD.narrow, look.field * factor)) };
}

/**
 * Return how a picture covers the sphere.
 *
 * @param {string} projection
 * @returns {{half: boolean, top: boolean}} half: 180° instead of 360°. top: the upper half of the
 *   picture is the left eye's; a flat screen shows this one alone.
 */
export function coverage(projection) {
  return { half: projection === "VR180", top: projection === "VR360TB" };
}

/**
 * Return the point that is looked at, on a sphere of radius 1 around the viewer. The middle of the
 * picture is at -z.
 *
 * @param {Look} look
 * @returns {{x: number, y: number, z: number}}
 */
export function pointOf({ longitude, latitude }) {
  const [lon, lat] = [longitude, latitude].map((degrees) => (degrees * Math.PI) / 180);
  return { x: Math.sin(lon) * Math.cos(lat), y: Math.sin(lat), z: -Math.cos(lon) * Math.cos(lat) };
}

// Frames and masks as the browser holds them: fetched once, a bounded number of them kept.

import { getBytes, getIds, getJson } from "./api.js";
import { store } from "./store.js";

const MAX_FRAMES = 90;
const MAX_MASKS = 120;

const frames = new Map();
const masks = new Map();

function keep(cache, key, value, most) {
  cache.delete(key);
  cache.set(key, value);
  while (cache.size > most) {
    const [oldest, old] = cache.entries().next().value;
    cache.delete(oldest);
    Promise.resolve(old).then((each) => each.close?.(), () => {});
  }
}

/** The picture of a frame, as a promise of an ImageBitmap. */
export function picture(number) {
  const key = `${store.video.key}/${number}`;
  let found = frames.get(key);
  if (!found) {
    found = getBytes(`frames/${number}.jpg`).then((answer) => answer.blob()).then(createImageBitmap);
    found.catch(() => frames.delete(key));
  }
  keep(frames, key, found, MAX_FRAMES);
  return found;
}

/** The ids, points and clicks of a frame, as a promise. */
export function labels(number) {
  const key = `${store.video.key}/${number}`;
  let found = masks.get(key);
  if (!found) {
    found = Promise.all([getIds(number), getJson(`labels/${number}`)]).then(([ids, more]) => ({ ids, ...more }));
    found.catch(() => masks.delete(key));
  }
  keep(masks, key, found, MAX_MASKS);
  return found;
}

/** Forget the labels of a frame, or of all. */
export function forget(number) {
  if (number === undefined) masks.clear();
  else masks.delete(`${store.video.key}/${number}`);
}

/** An overlay: every object tinted and outlined in its color. */
export function paintOverlay(ids, width, height, colors, hidden, opacity) {
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const inside = new Uint32Array(256);
  const edge = new Uint32Array(256);
  const alpha = Math.round(opacity * 255);
  for (const [id, color] of colors) {
    if (hidden.has(id)) continue;
    const rgb = Number.parseInt(color.slice(5, 7) + color.slice(3, 5) + color.slice(1, 3), 16);
    inside[id] = ((alpha << 24) | rgb) >>> 0;
    edge[id] = ((255 << 24) | rgb) >>> 0;
  }
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const id = ids[i];
      if (!id) continue;
      const border =
        (x > 0 && ids[i - 1] !== id) || (x < width - 1 && ids[i + 1] !== id) ||
        (y > 0 && ids[i - width] !== id) || (y < height - 1 && ids[i + width] !== id);
      pixels[i] = border ? edge[id] : inside[id];
    }
  }
  return image;
}

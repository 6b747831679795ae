// The canvas: a frame with its masks, zoomed and moved, and whatever a tool draws on top.

import { labels, paintOverlay, picture } from "./pictures.js";
import { on, store, tell } from "./store.js";

const canvas = document.getElementById("stage");
const context = canvas.getContext("2d");
const overlay = document.createElement("canvas");
const view = { scale: 1, x: 0, y: 0, fitted: true };
const shown = { frame: -1, picture: null, labels: null };

/** Drawn on top of everything by the current tool: (context, scale) in pixels of the frame. */
export const top = { draw: null };

export const current = () => shown;

/** Place and size of a pixel of the frame, from a place on the canvas. */
export function toFrame(event) {
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left - view.x) / view.scale;
  const y = (event.clientY - box.top - view.y) / view.scale;
  return { x: x - 0.5, y: y - 0.5 };
}

export function isInside({ x, y }) {
  return store.video && x >= -0.5 && y >= -0.5 && x < store.video.width - 0.5 && y < store.video.height - 0.5;
}

export const scale = () => view.scale;

export function fit() {
  if (!store.video) return;
  const box = canvas.getBoundingClientRect();
  const margin = 20;
  view.scale = Math.min((box.width - 2 * margin) / store.video.width, (box.height - 2 * margin) / store.video.height);
  view.x = (box.width - store.video.width * view.scale) / 2;
  view.y = (box.height - store.video.height * view.scale) / 2;
  view.fitted = true;
  redraw();
}

export function zoom(factor, at) {
  const box = canvas.getBoundingClientRect();
  const x = at ? at.clientX - box.left : box.width / 2;
  const y = at ? at.clientY - box.top : box.height / 2;
  const next = Math.max(0.1, Math.min(24, view.scale * factor));
  view.x = x - ((x - view.x) * next) / view.scale;
  view.y = y - ((y - view.y) * next) / view.scale;
  view.scale = next;
  view.fitted = false;
  redraw();
}

export function pan(dx, dy) {
  view.x += dx;
  view.y += dy;
  view.fitted = false;
  redraw();
}

/** Fetch what is to be seen, and draw it when it has come. */
let wanted = 0;
export async function show() {
  if (!store.video) return;
  const number = store.frame;
  const ticket = ++wanted;
  try {
    const [image, found] = await Promise.all([picture(number), labels(number)]);
    if (ticket !== wanted) return;
    Object.assign(shown, { frame: number, picture: image, labels: found });
    renderOverlay();
    redraw();
    tell("shown", number);
  } catch (error) {
    if (ticket === wanted) tell("error", error);
  }
}

/** Draw the masks that are shown anew: of other colors, or changed in place by a tool. */
export function renderOverlay() {
  if (!shown.labels || !store.video) return;
  const { width, height } = store.video;
  overlay.width = width;
  overlay.height = height;
  const colors = store.objects.map((each) => [each.id, each.color]);
  const image = paintOverlay(shown.labels.ids, width, height, colors, store.hidden, store.opacity);
  overlay.getContext("2d").putImageData(image, 0, 0);
}

let pending = false;
export function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    draw();
  });
}

function draw() {
  const ratio = window.devicePixelRatio || 1;
  const box = canvas.getBoundingClientRect();
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, width, height);
  if (!store.video || !shown.picture) return;
  const s = view.scale;
  context.setTransform(ratio * s, 0, 0, ratio * s, ratio * view.x, ratio * view.y);
  context.imageSmoothingEnabled = s < 3;
  context.shadowColor = "#0006";
  context.shadowBlur = 24;
  context.drawImage(shown.picture, 0, 0, store.video.width, store.video.height);
  context.shadowBlur = 0;
  context.shadowColor = "transparent";
  context.drawImage(overlay, 0, 0);
  context.translate(0.5, 0.5);
  drawPoints(s);
  drawClicks(s);
  top.draw?.(context, s);
}

function drawPoints(s) {
  for (const object of store.objects) {
    const place = shown.labels.points[object.id];
    if (!place || store.hidden.has(object.id)) continue;
    const [x, y, confidence] = place;
    context.globalAlpha = 0.35 + 0.65 * confidence;
    dot(x, y, 6 / s, object.color, s);
    context.globalAlpha = 1;
    context.font = `600 ${12 / s}px system-ui, sans-serif`;
    context.lineWidth = 3 / s;
    context.strokeStyle = "#000a";
    context.strokeText(object.name, x + 9 / s, y + 4 / s);
    context.fillStyle = "#fff";
    context.fillText(object.name, x + 9 / s, y + 4 / s);
  }
}

function drawClicks(s) {
  if (store.tool !== "click") return;
  for (const [x, y, positive] of shown.labels.clicks[store.object] ?? []) {
    dot(x, y, 6 / s, positive ? "#22c55e" : "#ef4444", s);
    context.strokeStyle = "#fff";
    context.lineWidth = 1.8 / s;
    context.beginPath();
    context.moveTo(x - 2.6 / s, y);
    context.lineTo(x + 2.6 / s, y);
    if (positive) {
      context.moveTo(x, y - 2.6 / s);
      context.lineTo(x, y + 2.6 / s);
    }
    context.stroke();
  }
}

function dot(x, y, radius, color, s) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = color;
  context.fill();
  context.lineWidth = 2 / s;
  context.strokeStyle = "#fff";
  context.stroke();
}

new ResizeObserver(() => (view.fitted ? fit() : redraw())).observe(canvas);
on("frame", show);
on("video", () => {
  shown.picture = null;
  shown.labels = null;
  fit();
  show();
});

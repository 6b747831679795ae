// What a pointer does on the canvas: clicks, strokes, polygons, boxes, points; and moving the view.

import { post } from "./api.js";
import { forget } from "./pictures.js";
import { current, isInside, pan, redraw, renderOverlay, scale, show, toFrame, top, zoom } from "./stage.js";
import { on, selected, store, take, tell } from "./store.js";

const canvas = document.getElementById("stage");
const options = document.getElementById("options");

export const TOOLS = [
  { name: "click", key: "v", title: "Click: add to the object; right-click or Alt: take away", icon: '<path d="M5 3l6 16 2.3-6.7L20 10z"/>' },
  { name: "brush", key: "b", title: "Brush", icon: '<path d="M20 4c-5 1-9 5-11 9l2 2c4-2 8-6 9-11zM9 13c-3 0-4 2-4 4s-1 3-2 3c4 1 8 0 8-5"/>' },
  { name: "eraser", key: "e", title: "Eraser", icon: '<path d="M4 15l9-9a2 2 0 0 1 3 0l3 3a2 2 0 0 1 0 3l-7 7H8zM9 10l6 6M12 19h8"/>' },
  { name: "polygon", key: "p", title: "Polygon: click corners, double-click to close", icon: '<path d="M5 9l7-5 7 6-3 9H7z"/>' },
  { name: "box", key: "r", title: "Box: drag", icon: '<rect x="4" y="6" width="16" height="12" rx="1"/>' },
  { name: "point", key: "k", title: "Point", icon: '<circle cx="12" cy="12" r="3"/><path d="M12 3v4M12 17v4M3 12h4M17 12h4"/>' },
  { name: "pan", key: "h", title: "Move the picture (or hold Space, or the middle button)", icon: '<path d="M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3M3 12l3-3M3 12l3 3M21 12l-3-3M21 12l-3 3"/>' },
];

let gesture = null; // what the pointer that is down does
let polygon = []; // corners so far
let hover = null; // where the pointer is, in pixels of the frame
const pointers = new Map();
export const keys = { space: false };

/** Send an edit of the current frame, and show what came of it. */
async function edit(path, body, pending = "") {
  const frame = store.frame;
  try {
    if (pending) tell("message", pending);
    const state = await post(path.replace("{}", `${frame}/${store.object}`), body);
    forget(frame);
    take(state);
    if (pending) tell("message", "");
    if (frame === store.frame) await show();
  } catch (error) {
    tell("error", error);
    forget(frame);
    show();
  }
}

/** An object of the kind that the tool works on; a new one where there is none. */
async function ready(kind) {
  if (selected()?.kind === kind) return true;
  const fitting = store.objects.filter((each) => each.kind === kind);
  if (fitting.length && kind === "mask") {
    store.object = fitting.at(-1).id;
    tell("object");
    return true;
  }
  try {
    take(await post("objects", { kind }));
    store.object = store.objects.at(-1).id;
    tell("object");
    return true;
  } catch (error) {
    tell("error", error);
    return false;
  }
}

const starts = {
  async click(place, event) {
    if (!(await ready("mask"))) return;
    const positive = !(event.button === 2 || event.altKey || event.shiftKey);
    await edit("clicks/{}", { ...clamp(place), positive }, "Growing a mask from the click…");
  },
  async point(place) {
    if (!(await ready("point"))) return;
    const { x, y } = clamp(place);
    await edit("shapes/{}", { tool: "point", points: [[x, y]] });
  },
  brush: (place, event) => startStroke(place, event.button === 2 || event.altKey),
  eraser: (place) => startStroke(place, true),
  box(place, event) {
    gesture = { kind: "box", from: place, to: place, erase: event.altKey || event.button === 2 };
  },
  polygon(place) {
    const first = polygon[0];
    const closes = polygon.length > 2 && Math.hypot(place.x - first.x, place.y - first.y) < 9 / scale();
    if (closes) return closePolygon();
    polygon.push(place);
    redraw();
  },
};

function startStroke(place, erase) {
  const object = selected();
  if (!object || object.kind !== "mask") {
    ready("mask").then((ok) => ok && tell("message", "Draw now: there is an object to draw."));
    if (!object) return;
  }
  gesture = { kind: "stroke", erase, points: [place] };
  redraw();
}

const moves = {
  stroke(place) {
    const last = gesture.points.at(-1);
    if (Math.hypot(place.x - last.x, place.y - last.y) >= 0.7 / scale()) gesture.points.push(place);
  },
  box(place) {
    gesture.to = place;
  },
};

const ends = {
  async stroke({ points, erase }) {
    const body = { tool: "stroke", points: points.map(({ x, y }) => [x, y]), radius: store.radius, erase };
    preview(points, erase);
    if (await ready("mask")) await edit("shapes/{}", body);
  },
  async box({ from, to, erase }) {
    if (Math.abs(from.x - to.x) < 1 || Math.abs(from.y - to.y) < 1) return;
    if (await ready("mask")) await edit("shapes/{}", { tool: "box", points: [[from.x, from.y], [to.x, to.y]], erase });
  },
};

export async function closePolygon() {
  const points = polygon.map(({ x, y }) => [x, y]);
  polygon = [];
  redraw();
  if (points.length > 2 && (await ready("mask"))) await edit("shapes/{}", { tool: "polygon", points });
}

/** Give up what is being drawn. */
export function cancel() {
  gesture = null;
  polygon = [];
  redraw();
}

/** Draw a stroke into the masks that are shown, until the server's answer comes. */
function preview(points, erase) {
  const shown = current();
  if (!shown.labels) return;
  const { width, height } = store.video;
  const layer = new OffscreenCanvas(width, height);
  const pen = layer.getContext("2d");
  strokePath(pen, points, store.radius);
  const drawn = pen.getImageData(0, 0, width, height).data;
  const ids = shown.labels.ids;
  for (let i = 0; i < ids.length; i += 1) {
    if (drawn[4 * i + 3] < 128) continue;
    if (!erase) ids[i] = store.object;
    else if (ids[i] === store.object) ids[i] = 0;
  }
  renderOverlay();
  redraw();
}

function strokePath(pen, points, radius) {
  pen.lineCap = "round";
  pen.lineJoin = "round";
  pen.lineWidth = 2 * radius;
  pen.beginPath();
  points.forEach(({ x, y }, i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (points.length === 1) pen.lineTo(points[0].x + 0.01, points[0].y);
  pen.stroke();
}

const clamp = ({ x, y }) => ({
  x: Math.max(0, Math.min(store.video.width - 1, x)),
  y: Math.max(0, Math.min(store.video.height - 1, y)),
});

top.draw = (pen, s) => {
  const color = selected()?.color ?? "#4f46e5";
  if (gesture?.kind === "stroke") {
    pen.globalAlpha = 0.6;
    pen.strokeStyle = gesture.erase ? "#ffffff" : color;
    strokePath(pen, gesture.points, store.radius);
    pen.globalAlpha = 1;
  }
  if (gesture?.kind === "box") {
    const { from, to } = gesture;
    dashed(pen, s, color, () => pen.rect(from.x, from.y, to.x - from.x, to.y - from.y));
  }
  if (polygon.length) {
    dashed(pen, s, color, () => {
      polygon.forEach(({ x, y }, i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      if (hover) pen.lineTo(hover.x, hover.y);
    });
    for (const { x, y } of polygon) {
      pen.fillStyle = color;
      pen.fillRect(x - 3 / s, y - 3 / s, 6 / s, 6 / s);
    }
  }
  if (hover && !gesture && (store.tool === "brush" || store.tool === "eraser")) {
    pen.lineWidth = 1.6 / s;
    pen.strokeStyle = store.tool === "brush" ? color : "#fff";
    pen.beginPath();
    pen.arc(hover.x, hover.y, store.radius, 0, 2 * Math.PI);
    pen.stroke();
  }
};

function dashed(pen, s, color, path) {
  pen.beginPath();
  path();
  pen.lineWidth = 3 / s;
  pen.strokeStyle = "#0008";
  pen.stroke();
  pen.lineWidth = 1.6 / s;
  pen.setLineDash([6 / s, 4 / s]);
  pen.strokeStyle = color;
  pen.stroke();
  pen.setLineDash([]);
}

export function setTool(name) {
  cancel();
  store.tool = name;
  tell("tool");
}

export function setRadius(radius) {
  store.radius = Math.max(1, Math.min(150, Math.round(radius)));
  tell("tool");
  redraw();
}

function down(event) {
  canvas.focus({ preventScroll: true });
  pointers.set(event.pointerId, event);
  canvas.setPointerCapture(event.pointerId);
  if (!store.video || store.playing) return;
  if (pointers.size === 2) {
    gesture = { kind: "pinch" };
    return;
  }
  if (event.button === 1 || keys.space || store.tool === "pan") {
    gesture = { kind: "pan" };
    event.preventDefault();
    return;
  }
  const place = toFrame(event);
  if (!isInside(place)) return;
  if (store.locked.includes(store.frame)) {
    tell("error", new Error("This frame is locked; unlock it to change its labels."));
    return;
  }
  starts[store.tool]?.(place, event);
}

function move(event) {
  hover = store.video ? toFrame(event) : null;
  const before = pointers.get(event.pointerId);
  if (before) pointers.set(event.pointerId, event);
  if (gesture?.kind === "pan" && before) pan(event.clientX - before.clientX, event.clientY - before.clientY);
  else if (gesture?.kind === "pinch" && before) pinch(event, before);
  else if (gesture) for (const each of event.getCoalescedEvents?.() ?? [event]) moves[gesture.kind]?.(toFrame(each));
  redraw();
}

function pinch(event, before) {
  const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
  if (!other) return;
  const gap = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
  zoom(gap(event) / Math.max(1, gap(before)), event);
}

function up(event) {
  pointers.delete(event.pointerId);
  const ended = gesture;
  if (ended?.kind === "pinch" && pointers.size) return;
  gesture = null;
  if (ended) ends[ended.kind]?.(ended);
  redraw();
}

canvas.addEventListener("pointerdown", down);
canvas.addEventListener("pointermove", move);
canvas.addEventListener("pointerup", up);
canvas.addEventListener("pointercancel", () => {
  pointers.clear();
  cancel();
});
canvas.addEventListener("pointerleave", () => {
  hover = null;
  redraw();
});
canvas.addEventListener("dblclick", () => store.tool === "polygon" && closePolygon());
canvas.addEventListener("contextmenu", (event) => event.preventDefault());
canvas.addEventListener(
  "wheel",
  (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0015), event);
  },
  { passive: false },
);

function buildToolbar() {
  const bar = document.getElementById("tools");
  for (const tool of TOOLS) {
    const button = document.createElement("button");
    button.id = `tool-${tool.name}`;
    button.title = `${tool.title} (${tool.key.toUpperCase()})`;
    button.setAttribute("aria-label", tool.title);
    button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true">${tool.icon}</svg>`;
    button.addEventListener("click", () => setTool(tool.name));
    bar.append(button);
  }
}

function buildOptions() {
  options.innerHTML =
    '<label id="radius-option">Size <input id="radius" type="range" min="1" max="80"><output id="radius-value"></output></label>' +
    '<span id="hint" class="muted"></span>' +
    '<label>Masks <input id="opacity" type="range" min="0" max="100" aria-label="How opaque masks are"></label>';
  options.querySelector("#radius").addEventListener("input", (event) => setRadius(Number(event.target.value)));
  options.querySelector("#opacity").addEventListener("input", (event) => {
    store.opacity = Number(event.target.value) / 100;
    renderOverlay();
    redraw();
  });
}

const HINTS = {
  click: "Click on the object; right-click on what is not",
  brush: "Alt erases", eraser: "", polygon: "Enter or a double click closes it, Esc gives up",
  box: "Drag; with Alt it takes away", point: "Click where the point is", pan: "Drag; the wheel zooms",
};

function refresh() {
  for (const tool of TOOLS) {
    document.getElementById(`tool-${tool.name}`).setAttribute("aria-pressed", String(tool.name === store.tool));
  }
  options.hidden = !store.video;
  document.getElementById("radius-option").hidden = !["brush", "eraser"].includes(store.tool);
  document.getElementById("radius").value = store.radius;
  document.getElementById("radius-value").textContent = `${store.radius} px`;
  document.getElementById("opacity").value = Math.round(100 * store.opacity);
  document.getElementById("hint").textContent = HINTS[store.tool];
  canvas.style.cursor = store.tool === "pan" ? "grab" : ["brush", "eraser"].includes(store.tool) ? "none" : "crosshair";
}

buildToolbar();
buildOptions();
on("tool video state", refresh);
on("frame", cancel);
refresh();

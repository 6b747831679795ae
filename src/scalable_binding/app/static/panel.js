// The panel at the side: objects, propagation, the current frame, the history.

import { patch, post, remove } from "./api.js";
import { forget } from "./pictures.js";
import { redraw, renderOverlay, show } from "./stage.js";
import { labeledFrames, labelsOf, on, selected, store, take, tell } from "./store.js";

const $ = (id) => document.getElementById(id);

/** Ask the server for something whose answer is the new state. */
export async function ask(request, { labelsChange = false } = {}) {
  try {
    const state = await request;
    if (labelsChange) forget();
    take(state);
    if (labelsChange) await show();
    return state;
  } catch (error) {
    tell("error", error);
    return null;
  }
}

function row(object, place) {
  const item = document.createElement("li");
  item.className = object.kind;
  if (object.id === store.object) item.setAttribute("aria-current", "true");
  const swatch = Object.assign(document.createElement("input"), {
    type: "color", value: object.color, className: "swatch", title: "Color",
  });
  swatch.setAttribute("aria-label", `Color of ${object.name}`);
  swatch.addEventListener("change", () => ask(patch(`objects/${object.id}`, { color: swatch.value })).then(repaint));
  const name = Object.assign(document.createElement("input"), { type: "text", value: object.name, className: "name" });
  name.setAttribute("aria-label", "Name of the object");
  name.addEventListener("change", async () => {
    if (!(await ask(patch(`objects/${object.id}`, { name: name.value })))) name.value = object.name;
  });
  name.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Enter" || event.key === "Escape") name.blur();
  });
  const key = Object.assign(document.createElement("span"), { className: "key", textContent: place < 9 ? place + 1 : "" });
  const eye = Object.assign(document.createElement("button"), { textContent: store.hidden.has(object.id) ? "◌" : "◉", title: "Show or hide" });
  eye.setAttribute("aria-label", `Hide ${object.name}`);
  eye.setAttribute("aria-pressed", String(store.hidden.has(object.id)));
  eye.addEventListener("click", (event) => {
    event.stopPropagation();
    if (!store.hidden.delete(object.id)) store.hidden.add(object.id);
    drawObjects();
    repaint();
  });
  const away = Object.assign(document.createElement("button"), { textContent: "✕", title: "Remove from all frames" });
  away.setAttribute("aria-label", `Remove ${object.name}`);
  away.addEventListener("click", (event) => {
    event.stopPropagation();
    ask(remove(`objects/${object.id}`), { labelsChange: true });
  });
  item.append(swatch, name, eye, away, key);
  item.addEventListener("click", () => select(object.id));
  return item;
}

export function select(id) {
  if (!store.objects.some((each) => each.id === id)) return;
  store.object = id;
  tell("object");
}

function repaint() {
  renderOverlay();
  redraw();
}

function drawObjects() {
  const list = $("objects");
  list.replaceChildren(...store.objects.map(row));
  if (store.objects.length) return;
  const none = Object.assign(document.createElement("li"), { className: "none" });
  none.textContent = store.video ? "Click on something in the frame to begin." : "Open a video first.";
  list.append(none);
}

function drawFrame() {
  const locked = store.locked.includes(store.frame);
  $("lock").textContent = locked ? "Locked" : "Lock";
  $("lock").setAttribute("aria-pressed", String(locked));
  $("facts").replaceChildren(
    ...labelsOf(store.frame).flatMap((label) => {
      const object = store.objects.find((each) => each.id === label.object);
      if (!object) return [];
      const how = { g: "marked by you", s: "to be updated", m: `${Math.round(100 * label.confidence)} % sure` }[label.kind];
      return [
        Object.assign(document.createElement("dt"), { textContent: object.name }),
        Object.assign(document.createElement("dd"), { textContent: how }),
      ];
    }),
  );
  for (const id of ["lock", "clear"]) $(id).disabled = !store.video;
}

function drawHistory() {
  $("undo").disabled = !store.undo;
  $("redo").disabled = !store.redo;
  $("undo").title = store.undo ? `Undo: ${store.undo} (Ctrl Z)` : "Undo (Ctrl Z)";
  $("redo").title = store.redo ? `Redo: ${store.redo} (Ctrl Shift Z)` : "Redo (Ctrl Shift Z)";
  const stale = [...labeledFrames().values()].flat().filter((each) => each.kind === "s").length;
  $("refresh").hidden = !stale;
  for (const id of ["forward", "backward", "both", "add-mask", "add-point"]) $(id).disabled = !store.video;
  $("export").disabled = !store.video;
}

const NAMES = { queued: "waiting", running: "", paused: "paused", done: "done", stopped: "stopped", failed: "failed" };

export function drawJob() {
  const job = store.jobs[0];
  $("job").hidden = !job;
  if (!job) return;
  const waiting = store.jobs.length > 1 ? ` (+${store.jobs.length - 1} waiting)` : "";
  $("job-name").textContent = `${job.name} ${NAMES[job.state]}${waiting}`;
  const left = job.seconds_left;
  $("job-left").textContent = left === null || !job.total ? "" : `${job.done}/${job.total} · ${left < 90 ? `${Math.ceil(left)} s` : `${Math.ceil(left / 60)} min`} left`;
  $("job-progress").value = job.total ? job.done / job.total : 0;
  $("job-pause").textContent = job.state === "paused" ? "Go on" : "Pause";
}

export const undo = () => ask(post("undo"), { labelsChange: true });
export const redo = () => ask(post("redo"), { labelsChange: true });
export const propagate = (direction) => ask(post("propagate", { direction }));
export const addObject = (kind) =>
  ask(post("objects", { kind })).then((state) => {
    if (state) select(store.objects.at(-1).id);
  });
export const toggleLock = () =>
  ask(post(`lock/${store.frame}`, { locked: !store.locked.includes(store.frame) }));
export const clearFrame = () =>
  selected() && ask(post(`clear/${store.frame}/${store.object}`), { labelsChange: true });

async function control(action) {
  const job = store.jobs[0];
  if (job) await ask(post("jobs", { id: job.id, action }));
}

$("add-mask").addEventListener("click", () => addObject("mask"));
$("add-point").addEventListener("click", () => addObject("point"));
for (const direction of ["forward", "backward", "both"]) $(direction).addEventListener("click", () => propagate(direction));
$("refresh").addEventListener("click", () => ask(post("refresh")));
$("job-pause").addEventListener("click", () => control(store.jobs[0]?.state === "paused" ? "resume" : "pause"));
$("job-stop").addEventListener("click", () => control("stop"));
$("lock").addEventListener("click", toggleLock);
$("clear").addEventListener("click", clearFrame);
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);

on("state object", drawObjects);
on("state object frame labels", drawFrame);
on("state labels", drawHistory);
on("state job", drawJob);
on("object state", repaint);
drawObjects();
drawHistory();

// Wires the page: events from the server, keys, menus.

import { getJson, listen, post, Refusal, upload } from "./api.js";
import { openDialog, showOpener } from "./opener.js";
import { addObject, ask, clearFrame, drawJob, propagate, redo, select, toggleLock, undo } from "./panel.js";
import { forget, labels, picture } from "./pictures.js";
import { fit, redraw, renderOverlay, show, zoom } from "./stage.js";
import { goTo, labelsOf, on, store, take, takeFrame, tell } from "./store.js";
import { drawStrips, nextDoubt, pause, play } from "./timeline.js";
import { shown as shownTrial } from "./carml.js";
import { shown as shownProcess } from "./rin.js";
import { named, open as openTab } from "./tabs.js";
import { cancel, closePolygon, keys, setRadius, setTool, TOOLS } from "./tools.js";

const $ = (id) => document.getElementById(id);

// Messages, one line at the bottom of the frame

let fading = 0;
function say(text, isError = false) {
  const line = $("message");
  clearTimeout(fading);
  line.hidden = !text;
  line.textContent = text;
  line.classList.toggle("error", isError);
  if (text) fading = setTimeout(() => (line.hidden = true), isError ? 9000 : 5000);
}
on("message", (text) => say(text));
on("error", (error) => {
  say(error.message, true);
  if (!(error instanceof Refusal)) console.warn(error);
});

// Events from the server

function takeJob(job) {
  const ended = ["done", "stopped", "failed"].includes(job.state);
  const others = store.jobs.filter((each) => each.id !== job.id);
  store.jobs = ended ? others : [...others, job].sort((a, b) => a.id - b.id);
  if (job.state === "failed") say(job.error, true);
  if (job.state === "done" && job.result) download(job.result);
  else if (job.state === "done") say(`${job.name}: done`);
  tell("job");
  if (ended) reload();
}

function download(name) {
  const link = Object.assign(document.createElement("a"), { href: `api/exports/${encodeURIComponent(name)}`, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  say(`Exported: ${name}`);
}

async function reload() {
  try {
    take(await getJson("state"));
  } catch (error) {
    tell("error", error);
  }
}

let connected = true;
listen(
  (event) => {
    if (event.job) takeJob(event.job);
    if (event.type === "sampled") tell("sampled", event);
    if (event.type === "frame") {
      takeFrame(event);
      forget(event.frame);
      tell("labels");
      if (event.frame === store.frame) show();
      else if (follow && !store.playing) goTo(event.frame);
    } else if (event.type === "reload") {
      forget();
      reload().then(show);
    }
  },
  (isThere) => {
    if (isThere && !connected) {
      say("Connected again.");
      forget();
      reload().then(show);
    } else if (!isThere && connected) say("The server has gone; what you saw is kept. Waiting for it…", true);
    connected = isThere;
  },
);

// Following a propagation: the page shows each frame as it comes, until one goes elsewhere

let follow = false;
function start(direction) {
  follow = true;
  propagate(direction);
}
for (const id of ["forward", "backward", "both", "refresh"]) $(id).addEventListener("click", () => (follow = true));
for (const id of ["track", "stage"]) $(id).addEventListener("pointerdown", () => (follow = false));

function step(by) {
  follow = false;
  pause();
  goTo(store.frame + by);
}

// Features are computed ahead of a click

let preparing = 0;
on("shown", (frame) => {
  clearTimeout(preparing);
  if (store.tool !== "click" || store.playing || store.jobs.length) return;
  preparing = setTimeout(() => post(`prepare/${frame}`).catch(() => {}), 250);
});

// Keys

const ACTIONS = [
  ["← →", "One frame", null], ["Shift ← →", "Ten frames", null], ["Home End", "First, last frame", null],
  ["Space", "Play or pause; hold and drag to move", null],
  ...TOOLS.map((tool) => [tool.key.toUpperCase(), tool.title.split(":")[0], null]),
  ["[ ]", "Smaller, larger brush", null], ["1 … 9", "Choose an object", null], ["N", "New object", null],
  ["G", "Propagate forward", null], ["Shift G", "Propagate both ways", null], ["U", "Update what changed", null],
  ["L", "Lock or unlock the frame", null], ["M", "Go to where to look next", null], ["X", "Hide or show masks", null],
  ["Delete", "Forget the object in this frame", null], ["Ctrl Z", "Undo", null], ["Ctrl Shift Z", "Redo", null],
  ["F", "Fit to the window", null], ["+ −", "Zoom", null], ["O", "Open", null], ["D", "Light or dark", null],
  ["?", "These keys", null],
];

function showHelp() {
  const dialog = $("help-dialog");
  dialog.innerHTML = `<h2>Keyboard shortcuts</h2><div class="keys">${ACTIONS.map(
    ([key, what]) => `<div><span>${what}</span><span>${key.split(" ").map((each) => (each === "…" ? "…" : `<kbd>${each}</kbd>`)).join(" ")}</span></div>`,
  ).join("")}</div>`;
  const close = Object.assign(document.createElement("button"), { textContent: "Close", className: "wide" });
  close.addEventListener("click", () => dialog.close());
  dialog.append(close);
  dialog.showModal();
}

let spaceUsed = false;
function pressed(event) {
  const typing = event.target.matches?.("input[type=text], input[type=search], input[type=number], select, textarea");
  if (typing || document.querySelector("dialog[open]") || $("view-label").hidden) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") event.shiftKey ? redo() : undo();
    else if (key === "y") redo();
    else return;
    event.preventDefault();
    return;
  }
  const handled = act(key, event);
  if (handled !== false) event.preventDefault();
}

function act(key, event) {
  const tool = TOOLS.find((each) => each.key === key);
  if (tool && !event.shiftKey) return setTool(tool.name);
  if (/^[1-9]$/.test(key)) return select(store.objects[Number(key) - 1]?.id);
  switch (key) {
    case "ArrowLeft": return step(event.shiftKey ? -10 : -1);
    case "ArrowRight": return step(event.shiftKey ? 10 : 1);
    case "Home": return step(-Infinity);
    case "End": return step(Infinity);
    case " ":
      if (event.target.tagName === "BUTTON") return false;
      if (!event.repeat) { keys.space = true; spaceUsed = false; }
      return undefined;
    case "[": return setRadius(store.radius / 1.25 - 0.5);
    case "]": return setRadius(store.radius * 1.25 + 0.5);
    case "n": return addObject("mask");
    case "g": return start(event.shiftKey ? "both" : "forward");
    case "u": follow = true; return ask(post("refresh"));
    case "l": return toggleLock();
    case "m": return nextDoubt();
    case "x": return toggleMasks();
    case "f": return fit();
    case "+": case "=": return zoom(1.25);
    case "-": return zoom(0.8);
    case "o": return openDialog();
    case "d": return toggleTheme();
    case "?": return showHelp();
    case "Delete": case "Backspace": return clearFrame();
    case "Enter": return store.tool === "polygon" && event.target.tagName !== "BUTTON" ? closePolygon() : false;
    case "Escape": return cancel();
    default: return false;
  }
}

document.addEventListener("keydown", pressed);
document.addEventListener("keyup", (event) => {
  if (event.key !== " " || !keys.space) return;
  keys.space = false;
  if (!spaceUsed) togglePlay();
});
$("stage").addEventListener("pointerdown", () => (spaceUsed ||= keys.space));

function toggleMasks() {
  const all = store.objects.map((each) => each.id);
  if (store.hidden.size) store.hidden.clear();
  else all.forEach((id) => store.hidden.add(id));
  renderOverlay();
  redraw();
  tell("object");
}

const togglePlay = () => (store.playing ? pause() : play());
on("playing", () => {
  $("play").textContent = store.playing ? "❚❚" : "▶";
  $("play").setAttribute("aria-label", store.playing ? "Pause" : "Play");
});

// Theme

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").textContent = theme === "dark" ? "☀" : "☾";
  tell("theme");
}
function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
}
setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));

// Export menu

function toggleMenu(open = $("export-menu").hidden) {
  $("export-menu").hidden = !open;
  $("export").setAttribute("aria-expanded", String(open));
  if (!open) return;
  const file = Object.assign(document.createElement("button"), { textContent: "Import labels…", id: "import" });
  file.setAttribute("role", "menuitem");
  file.addEventListener("click", () => $("import-file").click());
  $("export-menu").replaceChildren(
    file,
    document.createElement("hr"),
    ...store.formats.map(({ name, title }) => {
      const button = Object.assign(document.createElement("button"), { textContent: title });
      button.setAttribute("role", "menuitem");
      button.dataset.format = name;
      button.addEventListener("click", () => {
        toggleMenu(false);
        ask(post("export", { format: name }));
      });
      return button;
    }),
  );
}
$("export").addEventListener("click", (event) => {
  event.stopPropagation();
  toggleMenu();
});
document.addEventListener("click", () => toggleMenu(false));
$("import-file").addEventListener("change", async () => {
  const [file] = $("import-file").files;
  $("import-file").value = "";
  if (!file) return;
  const only = store.object === null ? "" : `&object_id=${store.object}`;
  await ask(upload(`upload/labels?name=${encodeURIComponent(file.name)}&frame=${store.frame}${only}`, file));
});

// Buttons

const CLICKS = {
  first: () => step(-Infinity), previous: () => step(-1), play: togglePlay, next: () => step(1), last: () => step(Infinity),
  doubt: nextDoubt, "zoom-in": () => zoom(1.25), "zoom-out": () => zoom(0.8), "zoom-fit": fit, theme: toggleTheme, help: showHelp,
};
for (const [id, action] of Object.entries(CLICKS)) $(id).addEventListener("click", action);

on("tab", pause);
on("state", () => {
  $("video-name").textContent = store.video?.name ?? "";
  document.title = store.video ? `${store.video.name} – Scalable Binding` : "Scalable Binding";
  showOpener();
  drawJob();
});

// Frames around the current one are fetched ahead

on("shown", (frame) => {
  if (store.playing) return;
  for (const near of [frame + 1, frame - 1]) {
    if (near >= 0 && near < store.video.num_frames) {
      picture(near).catch(() => {});
      if (labelsOf(near).length) labels(near).catch(() => {});
    }
  }
});

/** For tests and for the curious: what the page holds. */
window.sbind = { store, drawStrips, labelsOf, shownProcess, shownTrial };

await reload();
showOpener();
if (named()) openTab(named());

// Opening: drop a file, or choose a video or a folder of frames below the root.

import { getJson, post, upload } from "./api.js";
import { store, take, tell } from "./store.js";

const dialog = document.getElementById("opener-dialog");
const empty = document.getElementById("empty");

function make(tag, values = {}, ...children) {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

async function openPath(path) {
  tell("message", "Opening…");
  try {
    const state = await post("open", { path });
    dialog.close();
    take(state);
    tell("message", "");
  } catch (error) {
    tell("error", error);
  }
}

async function send(file) {
  try {
    const { path } = await upload(`upload?name=${encodeURIComponent(file.name)}`, file, (share) =>
      tell("message", `Uploading ${file.name}: ${Math.round(100 * share)} %`),
    );
    await openPath(path);
  } catch (error) {
    tell("error", error);
  }
}

function entry(icon, name, kind, onClick) {
  const button = make("button", {}, make("span", { textContent: icon }), make("span", { textContent: name }), make("span", { className: "kind", textContent: kind }));
  button.querySelector("span").setAttribute("aria-hidden", "true");
  button.addEventListener("click", onClick);
  return make("li", {}, button);
}

async function fill(place, path = "") {
  let found;
  try {
    found = await getJson(`browse?path=${encodeURIComponent(path)}`);
  } catch (error) {
    tell("error", error);
    return;
  }
  const inside = (name) => (found.path ? `${found.path}/${name}` : name);
  const input = make("input", { type: "file", accept: "video/*,.mkv,.avi", hidden: true });
  input.addEventListener("change", () => input.files[0] && send(input.files[0]));
  const drop = make("label", { className: "drop", tabIndex: 0 }, "Drop a video here, or click to choose one", input);
  drop.addEventListener("keydown", (event) => event.key === "Enter" && input.click());
  const list = make("ul", { className: "files" });
  if (found.path) list.append(entry("↰", "..", "up", () => fill(place, found.path.split("/").slice(0, -1).join("/"))));
  if (found.frames) list.append(entry("▦", "This folder of frames", `${found.frames} images`, () => openPath(found.path || ".")));
  for (const name of found.folders) list.append(entry("▸", name, "folder", () => fill(place, inside(name))));
  for (const name of found.videos) list.append(entry("▶", name, "video", () => openPath(inside(name))));
  if (!found.path) for (const name of found.uploads) list.append(entry("▶", name, "uploaded", () => openPath(`uploads:${name}`)));
  if (!list.children.length) list.append(make("li", { className: "none", textContent: "Nothing to open here." }));
  const card = make(
    "div", { className: "card" },
    make("h2", { textContent: "Open a video" }),
    make("div", { className: "muted", textContent: "Mark an object in any frame, watch its mask spread, correct it, take it home." }),
    drop,
    make("div", { className: "crumbs", textContent: `${found.root}/${found.path}` }),
    list,
  );
  place.replaceChildren(card);
}

export function openDialog() {
  fill(dialog);
  if (!dialog.open) dialog.showModal();
}

/** Show the opener where the frame will be, as long as no video is open. */
export function showOpener() {
  empty.hidden = Boolean(store.video);
  if (!store.video) fill(empty);
}

dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
document.getElementById("open").addEventListener("click", openDialog);
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  for (const drop of document.querySelectorAll(".drop")) drop.classList.add("over");
});
document.addEventListener("dragleave", () => {
  for (const drop of document.querySelectorAll(".drop")) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  for (const drop of document.querySelectorAll(".drop")) drop.classList.remove("over");
  const file = event.dataTransfer?.files[0];
  if (file) send(file);
});

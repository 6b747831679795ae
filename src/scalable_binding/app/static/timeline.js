// The timeline: thumbnails, what is known of each frame and how surely, and where one is.

import { goTo, labeledFrames, labelsOf, on, store, tell } from "./store.js";
import { labels, picture } from "./pictures.js";

const track = document.getElementById("track");
const film = document.getElementById("film");
const strips = document.getElementById("strips");
const head = document.getElementById("head");
const position = document.getElementById("position");
const ROW = 9;

const count = () => store.video?.num_frames ?? 0;

function buildFilm() {
  film.replaceChildren();
  if (!store.video) return;
  const width = (54 * store.video.width) / store.video.height;
  const room = film.getBoundingClientRect().width || 1200;
  const many = Math.max(1, Math.min(count(), Math.ceil(room / width)));
  for (let i = 0; i < many; i += 1) {
    const number = Math.min(count() - 1, Math.floor(((i + 0.5) * count()) / many));
    const image = new Image(room / many, 54);
    image.loading = "lazy";
    image.alt = "";
    image.src = `api/thumbnails/${number}.jpg?of=${store.video.key}`;
    film.append(image);
  }
}

const styles = () => getComputedStyle(document.documentElement);

export function confidenceColor(confidence, css = styles()) {
  if (confidence >= 0.9) return css.getPropertyValue("--good");
  return css.getPropertyValue(confidence >= 0.75 ? "--fair" : "--bad");
}

let pending = false;
export function drawStrips() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    draw();
  });
}

function draw() {
  const rows = Math.max(1, store.objects.length);
  const height = Math.min(84, 12 + rows * ROW);
  strips.style.height = `${height}px`;
  const ratio = window.devicePixelRatio || 1;
  const width = strips.getBoundingClientRect().width;
  strips.width = Math.round(width * ratio);
  strips.height = Math.round(height * ratio);
  if (!store.video) return;
  const pen = strips.getContext("2d");
  pen.scale(ratio, ratio);
  const css = styles();
  const each = width / count();
  const step = (height - 10) / rows;
  const order = new Map(store.objects.map((object, i) => [object.id, { row: i, color: object.color }]));
  for (const [frame, known] of labeledFrames()) {
    const left = frame * each;
    const wide = Math.max(each - (each > 4 ? 1 : 0), 0.6);
    let lowest = 1;
    for (const label of known) {
      const place = order.get(label.object);
      if (!place) continue;
      pen.globalAlpha = label.kind === "g" ? 1 : label.kind === "s" ? 0.22 : 0.6;
      pen.fillStyle = place.color;
      pen.fillRect(left, 10 + place.row * step, wide, Math.max(step - 2, 1.5));
      lowest = Math.min(lowest, label.confidence);
    }
    pen.globalAlpha = 1;
    pen.fillStyle = confidenceColor(lowest, css);
    pen.fillRect(left, 2, wide, 5);
  }
  for (const [frame, known] of labeledFrames()) {
    for (const label of known) if (label.kind === "g" && order.has(label.object)) diamond(pen, (frame + 0.5) * each, 10 + order.get(label.object).row * step + step / 2 - 1);
  }
  pen.fillStyle = css.getPropertyValue("--text");
  for (const frame of store.locked) pen.fillRect(frame * each, 0, Math.max(each, 1.5), 2);
}

function diamond(pen, x, y) {
  pen.fillStyle = "#fff";
  pen.strokeStyle = "#000b";
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(x, y - 4);
  pen.lineTo(x + 4, y);
  pen.lineTo(x, y + 4);
  pen.lineTo(x - 4, y);
  pen.closePath();
  pen.fill();
  pen.stroke();
}

function placeHead() {
  const last = Math.max(1, count());
  head.style.left = `${(100 * (store.frame + 0.5)) / last}%`;
  track.setAttribute("aria-valuemax", Math.max(0, count() - 1));
  track.setAttribute("aria-valuenow", store.frame);
  track.setAttribute("aria-valuetext", `frame ${store.frame} of ${count()}`);
  const fps = store.video?.fps || 25;
  const seconds = (number) => {
    const whole = number / fps;
    return `${Math.floor(whole / 60)}:${(whole % 60).toFixed(2).padStart(5, "0")}`;
  };
  position.innerHTML = store.video
    ? `frame <b>${store.frame}</b> / ${count() - 1} &nbsp;·&nbsp; ${seconds(store.frame)} / ${seconds(count())}`
    : "–";
}

// Scrubbing

let dragging = false;
const at = (event) => {
  const box = track.getBoundingClientRect();
  return Math.floor(((event.clientX - box.left) / box.width) * count());
};
track.addEventListener("pointerdown", (event) => {
  dragging = true;
  track.setPointerCapture(event.pointerId);
  pause();
  goTo(at(event));
});
track.addEventListener("pointermove", (event) => dragging && goTo(at(event)));
track.addEventListener("pointerup", () => (dragging = false));

// Playing at the video's rate

let timer = 0;
export function play() {
  if (!store.video) return;
  if (store.frame >= count() - 1) goTo(0);
  store.playing = true;
  const start = performance.now() - (1000 * store.frame) / store.video.fps;
  const tick = async (now) => {
    if (!store.playing) return;
    const due = Math.floor(((now - start) / 1000) * store.video.fps);
    if (due >= count()) {
      goTo(count() - 1);
      pause();
      return;
    }
    goTo(due);
    for (let ahead = 1; ahead <= 6 && due + ahead < count(); ahead += 1) {
      picture(due + ahead).catch(() => {});
      labels(due + ahead).catch(() => {});
    }
    timer = requestAnimationFrame(tick);
  };
  timer = requestAnimationFrame(tick);
  tell("playing");
}

export function pause() {
  cancelAnimationFrame(timer);
  if (!store.playing) return;
  store.playing = false;
  tell("playing");
}

/** The next frame that is least sure among those that one has not looked at. */
export function nextDoubt() {
  const doubtful = [...labeledFrames()]
    .filter(([frame, known]) => frame !== store.frame && !store.locked.includes(frame) && known.some((each) => each.kind !== "g"))
    .map(([frame, known]) => [frame, Math.min(...known.map((each) => (each.kind === "s" ? 0 : each.confidence)))])
    .sort((a, b) => a[1] - b[1]);
  if (!doubtful.length) return tell("message", "Nothing has been propagated yet.");
  goTo(doubtful[0][0]);
  const lowest = Math.round(100 * doubtful[0][1]);
  return tell("message", `Least sure: frame ${doubtful[0][0]}, confidence ${lowest} %. Correct it, or lock it (L).`);
}

new ResizeObserver(() => {
  buildFilm();
  drawStrips();
}).observe(track);
on("video", () => {
  buildFilm();
  placeHead();
});
on("frame", placeHead);
on("state labels theme", drawStrips);

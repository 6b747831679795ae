// The tab RIN: sample, watch the reverse process, and see what is read under the pointer.

import { getBytes, getJson, post } from "./api.js";
import { on, store, tell } from "./store.js";
import { fill } from "./tabs.js";

const $ = (id) => document.getElementById(`rin-${id}`);
const canvas = $("canvas");
const GAP = 6;

let process = null; // what the server says of the process on show
let step = 0;
let following = true;
let sheets = new Map(); // step -> picture of all samples
let readings = new Map(); // "step/sample" -> shares of reading, latents x tokens
let pointed = null; // {sample, frame, token}
let network = null;
let playing = 0;

async function begin() {
  if (network) return;
  try {
    fill($("network"), await getJson("rin/networks"));
    await choose();
  } catch (error) {
    tell("error", error);
  }
}

async function choose() {
  const name = $("network").value;
  if (!name) return tell("error", new Error("This installation holds no network."));
  network = await getJson(`rin/network?name=${encodeURIComponent(name)}`);
  $("class-row").hidden = !network.classes.length;
  $("given-row").hidden = !network.context;
  fill($("class"), [["", "all in turn"], ...network.classes.map((each, i) => [i, each])]);
  $("num").value = network.context ? 3 : network.classes.length || 8;
  $("about").textContent = network.context
    ? `Predicts ${network.size[0] - network.context} frames from ${network.context}, ${network.size[1]} x ${network.size[2]} pixels.`
    : `Generates ${network.size.join(" x ")} pixels${network.classes.length ? `, ${network.classes.length} classes` : ""}.`;
  return null;
}

async function sample() {
  following = true;
  const label = $("class").value;
  const wanted = {
    network: $("network").value, num: Number($("num").value), steps: Number($("steps").value), seed: Number($("seed").value),
    sampler: $("sampler").value, label: network?.classes.length && label !== "" ? Number(label) : null,
    given: $("given").value, frame: store.frame,
  };
  try {
    await post("rin/sample", wanted);
  } catch (error) {
    tell("error", error);
  }
}

// What the process has come to

let loading = false;
async function take(event) {
  if (process?.id !== event.process) {
    sheets = new Map();
    readings = new Map();
    pointed = null;
    process = { id: event.process, times: [] };
  }
  process.last = event.step;
  if (!following || loading) return;
  loading = true;
  try {
    await show(event.step);
  } finally {
    loading = false;
  }
  if (following && process.last > step) take({ process: process.id, step: process.last });
}

async function show(wanted) {
  if (!process) return;
  try {
    if (!process.times || process.times.length <= wanted) {
      const mine = process;
      Object.assign(mine, await getJson(`rin/${mine.id}`));
      if (mine !== process) return null;
    }
    if (!sheets.has(wanted)) {
      const answer = await getBytes(`rin/${process.id}/steps/${wanted}.png`);
      sheets.set(wanted, await createImageBitmap(await answer.blob()));
    }
  } catch (error) {
    return tell("error", error);
  }
  step = wanted;
  $("step").max = process.times.length - 1;
  $("step").value = step;
  $("time").textContent = `step ${step + 1} of ${process.times.length}, time ${process.times[step].toFixed(2)}`;
  $("none").hidden = true;
  await read();
  return draw();
}

async function read() {
  if (!pointed) return;
  const key = `${step}/${pointed.sample}`;
  if (readings.has(key)) return;
  try {
    const answer = await getBytes(`rin/${process.id}/reading/${key}`);
    readings.set(key, new Float32Array(await answer.arrayBuffer()));
  } catch (error) {
    tell("error", error);
  }
}

// Where things are on the canvas

function layout() {
  const { samples, frames, width, height } = process;
  const room = canvas.parentElement.clientWidth - 8;
  const columns = frames > 1 ? frames : Math.min(samples, 5);
  const side = Math.max(24, Math.min(frames > 1 ? 110 : 150, Math.floor(room / columns) - GAP));
  return { columns, rows: frames > 1 ? samples : Math.ceil(samples / columns), w: side, h: Math.round((side * height) / width) };
}

function tileAt(sample, frame) {
  const { columns, w, h } = layout();
  const [row, column] = process.frames > 1 ? [sample, frame] : [Math.floor(sample / columns), sample % columns];
  return [column * (w + GAP), row * (h + GAP), w, h];
}

/** Tokens along time, height and width. */
const grid = () => (process.grid.length === 3 ? process.grid : [1, ...process.grid]);

function tokenAt(x, y) {
  const { columns, rows, w, h } = layout();
  const [column, row] = [Math.floor(x / (w + GAP)), Math.floor(y / (h + GAP))];
  const [dx, dy] = [(x - column * (w + GAP)) / w, (y - row * (h + GAP)) / h];
  if (column < 0 || row < 0 || column >= columns || row >= rows || dx >= 1 || dy >= 1) return null;
  const [sample, frame] = process.frames > 1 ? [row, column] : [row * columns + column, 0];
  if (sample >= process.samples) return null;
  const [t, gh, gw] = grid();
  const token = (Math.floor((frame * t) / process.frames) * gh + Math.floor(dy * gh)) * gw + Math.floor(dx * gw);
  return { sample, frame, token };
}

function draw() {
  const sheet = sheets.get(step);
  if (!sheet || !process.samples) return;
  const { columns, rows, w, h } = layout();
  canvas.width = columns * (w + GAP) - GAP;
  canvas.height = rows * (h + GAP) - GAP;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  for (let sample = 0; sample < process.samples; sample += 1) {
    for (let frame = 0; frame < process.frames; frame += 1) {
      const place = tileAt(sample, frame);
      context.drawImage(sheet, frame * process.width, sample * process.height, process.width, process.height, ...place);
      if (frame < process.context) {
        context.strokeStyle = "#ffb020";
        context.lineWidth = 2;
        context.strokeRect(place[0] + 1, place[1] + 1, place[2] - 2, place[3] - 2);
      }
    }
  }
  drawReading(context);
}

function drawReading(context) {
  const shares = pointed && readings.get(`${step}/${pointed.sample}`);
  if (!shares) return;
  const [t, gh, gw] = grid();
  const count = t * gh * gw;
  let [latent, total] = [0, 0];
  for (let m = 0; m < process.latents; m += 1) {
    total += shares[m * count + pointed.token];
    if (shares[m * count + pointed.token] > shares[latent * count + pointed.token]) latent = m;
  }
  const row = shares.subarray(latent * count, (latent + 1) * count);
  const most = row.reduce((a, b) => Math.max(a, b), 0);
  for (let frame = 0; frame < process.frames; frame += 1) {
    const [left, top, w, h] = tileAt(pointed.sample, frame);
    const first = Math.floor((frame * t) / process.frames) * gh * gw;
    for (let cell = 0; cell < gh * gw; cell += 1) {
      const [i, j] = [Math.floor(cell / gw), cell % gw];
      context.fillStyle = `rgba(255, 90, 40, ${(0.75 * row[first + cell]) / most})`;
      context.fillRect(left + (j * w) / gw, top + (i * h) / gh, w / gw, h / gh);
      if (first + cell === pointed.token && frame === pointed.frame) {
        context.strokeStyle = "#fff";
        context.lineWidth = 2;
        context.strokeRect(left + (j * w) / gw + 1, top + (i * h) / gh + 1, w / gw - 2, h / gh - 2);
      }
    }
  }
  const even = ((total / process.latents) * count).toFixed(2);
  $("reading").textContent = `Latent ${latent + 1} of ${process.latents} reads this patch most: ${(100 * row[pointed.token]).toFixed(1)} % of its reading. All latents together read it ${even} times as much as an even share.`;
}

canvas.addEventListener("pointermove", async (event) => {
  if (!process?.samples) return;
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  pointed = tokenAt((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
  await read();
  draw();
});
canvas.addEventListener("pointerleave", () => {
  pointed = null;
  $("reading").textContent = "Point at a patch to see what is read.";
  draw();
});

// The frames of a video, one after the other, in place of the last column

function playFilm() {
  clearInterval(playing);
  playing = 0;
  $("film").hidden = !(process?.frames > 1);
  if ($("film").hidden) return;
  let frame = 0;
  playing = setInterval(() => {
    const sheet = sheets.get(step);
    if (!sheet || $("film").offsetParent === null) return;
    const side = 120;
    $("film").width = process.samples * (side + GAP) - GAP;
    $("film").height = side;
    const context = $("film").getContext("2d");
    context.imageSmoothingEnabled = false;
    for (let sample = 0; sample < process.samples; sample += 1) {
      context.drawImage(sheet, frame * process.width, sample * process.height, process.width, process.height, sample * (side + GAP), 0, side, side);
    }
    frame = (frame + 1) % process.frames;
  }, 1000 / 6);
}

// Controls

function moveTo(wanted) {
  following = false;
  return show(Math.max(0, Math.min(process?.times.length - 1, wanted)));
}
$("step").addEventListener("input", () => moveTo(Number($("step").value)));
$("sample").addEventListener("click", sample);
$("network").addEventListener("change", () => choose().catch((error) => tell("error", error)));
$("stop").addEventListener("click", async () => {
  try {
    for (const job of store.jobs) if (job.name.startsWith("sample ")) await post("jobs", { id: job.id, action: "stop" });
  } catch (error) {
    tell("error", error);
  }
});
on("job", () => {
  const job = store.jobs.find((each) => each.name.startsWith("sample "));
  $("job").hidden = !job;
  if (job) {
    $("progress").value = job.total ? job.done / job.total : 0;
    $("job-text").textContent = job.state === "queued" ? "waiting for another job" : `${job.done} of ${job.total} steps`;
  } else if (process) playFilm();
});
on("sampled", take);
on("tab", (name) => name === "rin" && begin().then(draw));
addEventListener("resize", () => process && draw());

/** For tests: what the tab shows. */
export const shown = () => ({ process, step, pointed, sheets: sheets.size, readings: readings.size });

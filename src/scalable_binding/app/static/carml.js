// The tab CARML: click a goal in the agent's world, and watch the episodes of one trial.

import { getJson, post } from "./api.js";
import { on, tell } from "./store.js";
import { fill } from "./tabs.js";

const $ = (id) => document.getElementById(`carml-${id}`);
const map = $("map");
const SIZE = 440;
const SMALL = 220;

let world = null;
let trial = null;
let views = null;
let moment = 0;
let clock = 0;

async function begin() {
  if (world) return;
  try {
    fill($("agent"), await getJson("carml/agents"));
    await choose();
  } catch (error) {
    tell("error", error);
  }
}

async function choose() {
  world = await getJson(`carml/world?name=${encodeURIComponent($("agent").value)}`);
  trial = null;
  clearInterval(clock);
  $("episodes").replaceChildren();
  $("told").textContent = world.places.length ? "Click an object, or any other place." : "Click where the agent shall go.";
  drawMap();
}

/** Where a place of the world lies on a map of a size; y goes up. */
function at([x, y], size) {
  const [left, bottom] = world.low;
  const [right, top] = world.high;
  return [((x - left) / (right - left)) * size, (1 - (y - bottom) / (top - bottom)) * size];
}

function ground(canvas, size) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  context.fillStyle = color("--stage");
  context.fillRect(0, 0, size, size);
  context.strokeStyle = color("--text");
  context.lineWidth = 2;
  context.strokeRect(1, 1, size - 2, size - 2);
  context.lineWidth = size / 70;
  for (const [x0, y0, x1, y1] of world.walls) {
    context.beginPath();
    context.moveTo(...at([x0, y0], size));
    context.lineTo(...at([x1, y1], size));
    context.stroke();
  }
  context.fillStyle = color("--muted");
  for (const place of world.places) disc(context, at(place, size), size / 40);
  return context;
}

function disc(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function ring(context, size, isReached) {
  const scale = size / (world.high[0] - world.low[0]);
  context.strokeStyle = isReached ? "#17a366" : "#e0a100";
  context.lineWidth = 3;
  context.beginPath();
  context.arc(...at(trial.goal, size), trial.radius * scale, 0, 2 * Math.PI);
  context.stroke();
}

function drawMap() {
  if (!world) return;
  const context = ground(map, SIZE);
  if (trial) ring(context, SIZE, trial.reached.some((each) => each !== null));
}

// Episodes, side by side

function build() {
  $("episodes").replaceChildren(
    ...trial.positions.map((_, number) => {
      const figure = document.createElement("figure");
      const canvas = Object.assign(document.createElement("canvas"), { width: SMALL, height: SMALL });
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Path of episode ${number + 1}`);
      const view = Object.assign(document.createElement("canvas"), { className: "view", hidden: !trial.views, width: SMALL, height: SMALL });
      const reached = trial.reached[number];
      const end = reached === null ? "not reached" : `reached at step ${reached + 1}`;
      const caption = Object.assign(document.createElement("figcaption"), {
        textContent: `Episode ${number + 1}: ${end}, return ${trial.returns[number]}`,
      });
      figure.append(canvas, view, caption);
      return figure;
    }),
  );
}

function draw() {
  [...$("episodes").children].forEach((figure, number) => {
    const [canvas, view] = figure.querySelectorAll("canvas");
    const context = ground(canvas, SMALL);
    const way = trial.positions[number].slice(0, moment + 1).map((each) => at(each, SMALL));
    const reached = trial.reached[number];
    ring(context, SMALL, reached !== null && reached <= moment);
    context.strokeStyle = "#4f8cff";
    context.lineWidth = 2.5;
    context.beginPath();
    way.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
    const [x, y] = way.at(-1);
    context.fillStyle = "#4f8cff";
    disc(context, [x, y], 6);
    const heading = trial.headings?.[number][moment];
    if (heading !== undefined) {
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(x + 16 * Math.cos(heading), y - 16 * Math.sin(heading));
      context.stroke();
    }
    if (views) {
      const side = trial.view_size;
      const seen = view.getContext("2d");
      seen.imageSmoothingEnabled = false;
      seen.drawImage(views, moment * side, number * side, side, side, 0, 0, SMALL, SMALL);
    }
  });
}

function play() {
  if (!trial) return;
  clearInterval(clock);
  moment = 0;
  draw();
  clock = setInterval(() => {
    if (moment >= trial.positions[0].length - 1) return clearInterval(clock);
    moment += 1;
    return draw();
  }, 180);
}

async function ask(x, y) {
  tell("message", "The agent tries…");
  try {
    trial = await post("carml/trial", { agent: $("agent").value, x, y, seed: Number($("seed").value) });
    views = null;
    if (trial.views) {
      views = new Image();
      views.src = trial.views;
      await views.decode();
    }
  } catch (error) {
    tell("error", error);
    return;
  }
  tell("message", "");
  const goal = trial.target === null ? `the place ${trial.goal.map(Math.round).join(", ")}` : `object ${trial.target + 1}`;
  $("told").textContent = `Goal: ${goal}. The agent is not told the goal: it gets a reward for being near, and remembers through all episodes.`;
  drawMap();
  build();
  play();
}

function clicked(event) {
  if (!world) return;
  const box = map.getBoundingClientRect();
  const shares = [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  const [x, y] = shares.map((share, i) => world.low[i] + share * (world.high[i] - world.low[i]));
  ask(x, y);
}

map.addEventListener("click", clicked);
$("agent").addEventListener("change", () => choose().catch((error) => tell("error", error)));
$("again").addEventListener("click", play);
on("tab", (name) => name === "carml" && begin());
on("theme", () => {
  drawMap();
  if (trial) draw();
});

/** For tests: what the tab shows. */
export const shown = () => ({ world, trial, moment });

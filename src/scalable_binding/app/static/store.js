// What the page knows, and who is told when it changes.

export const store = {
  video: null, objects: [], labels: {}, locked: [], undo: null, redo: null, formats: [], jobs: [],
  frame: 0, object: null, tool: "click", radius: 12, opacity: 0.5, hidden: new Set(), playing: false,
};

const listeners = new Map();

/** Call `listener` when something named `topic` has changed: state, frame, picture, tool, job. */
export function on(topic, listener) {
  for (const each of topic.split(" ")) {
    if (!listeners.has(each)) listeners.set(each, []);
    listeners.get(each).push(listener);
  }
}

export function tell(topic, detail) {
  for (const listener of listeners.get(topic) ?? []) listener(detail);
}

/** Take what the server says of the whole session. */
export function take(state) {
  const before = store.video?.key;
  Object.assign(store, { objects: [], labels: {}, locked: [], undo: null, redo: null }, state);
  index();
  if (store.video?.key !== before) {
    store.frame = 0;
    store.hidden.clear();
    store.object = null;
    tell("video");
  }
  if (!store.objects.some((each) => each.id === store.object)) {
    store.object = store.objects.at(-1)?.id ?? null;
  }
  tell("state");
}

// labels by frame: frame -> [{object, kind, confidence}]
let byFrame = new Map();

function index() {
  byFrame = new Map();
  for (const [object, row] of Object.entries(store.labels)) {
    row.frames.forEach((frame, i) => {
      put(frame, { object: Number(object), kind: row.kinds[i], confidence: row.confidence[i] / 100 });
    });
  }
}

function put(frame, label) {
  const there = byFrame.get(frame) ?? [];
  byFrame.set(frame, [...there.filter((each) => each.object !== label.object), label]);
}

export const labelsOf = (frame) => byFrame.get(frame) ?? [];
export const labeledFrames = () => byFrame;

/** Take a frame that a propagation has made. */
export function takeFrame(event) {
  event.objects.forEach((object, i) => {
    const known = labelsOf(event.frame).find((each) => each.object === object);
    if (known?.kind !== "g") put(event.frame, { object, kind: "m", confidence: event.confidence[i] });
  });
}

export const selected = () => store.objects.find((each) => each.id === store.object) ?? null;

/** Go to a frame. */
export function goTo(frame) {
  if (!store.video) return;
  const there = Math.max(0, Math.min(store.video.num_frames - 1, Math.round(frame)));
  if (there === store.frame) return;
  store.frame = there;
  tell("frame");
}

// Requests to the server. All addresses are relative: the token is a part of the page's own path.

export class Refusal extends Error {}

async function send(method, path, body, type) {
  const options = { method, headers: {} };
  if (type) {
    options.body = body;
    options.headers["content-type"] = type;
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(`api/${path}`, options);
  } catch {
    throw new Refusal("The server does not answer. Start sbind app again, then reload this page.");
  }
  if (!answer.ok) {
    const line = (await answer.text()).split("\n")[0].slice(0, 300);
    throw new Refusal(answer.status >= 500 ? "The server failed; its terminal says why." : line);
  }
  return answer;
}

export const getJson = async (path) => (await send("GET", path)).json();
export const post = async (path, body = {}) => (await send("POST", path, body)).json();
export const patch = async (path, body) => (await send("PATCH", path, body)).json();
export const remove = async (path) => (await send("DELETE", path)).json();

export async function getBytes(path, signal) {
  const answer = await fetch(`api/${path}`, { signal });
  if (!answer.ok) throw new Refusal((await answer.text()).slice(0, 300));
  return answer;
}

/** The ids of all pixels of a frame. */
export async function getIds(frame) {
  const answer = await getBytes(`masks/${frame}`);
  const plain = answer.body.pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

/** Upload a file; `onProgress` is told the share that has gone. */
export function upload(path, file, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `api/${path}`);
    request.upload.onprogress = (event) => onProgress(event.loaded / Math.max(1, event.total));
    request.onerror = () => reject(new Refusal("The upload was cut off."));
    request.onload = () => {
      if (request.status === 200) resolve(JSON.parse(request.responseText));
      else reject(new Refusal(request.responseText.slice(0, 300)));
    };
    request.send(file);
  });
}

/** Call `onEvent` with what the server tells, and `onChange` when the connection comes or goes. */
export function listen(onEvent, onChange) {
  const source = new EventSource("api/events");
  source.onopen = () => onChange(true);
  source.onerror = () => onChange(false);
  source.onmessage = (message) => onEvent(JSON.parse(message.data));
}

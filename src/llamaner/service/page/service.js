// Talks to the service that the page came from.

let key = "";

/** Use this API key from now on. */
export function useKey(value) { key = value.trim(); }

/** An error that the service told; `status` is its HTTP status. */
export class ServiceError extends Error {
  constructor(problem) {
    const fields = (problem.errors ?? []).map((e) => `\n${e.pointer}: ${e.detail}`).join("");
    super((problem.detail ?? "The service gave no answer.") + fields);
    this.status = problem.status;
  }
}

/** The tagger and its limits. */
export async function describeModel() {
  return (await ask("/v1/model", {})).json();
}

/** Tag items of {text, document}; `arrived(index, result)` is called for each in turn. */
export async function tagAll(items, limits, signal, arrived) {
  for (const [first, part] of portions(items, limits)) {
    const body = { text: part.map((i) => i.text), documents: part.map((i) => i.document), words: true };
    const response = await ask("/v1/tag/stream", {
      method: "POST", signal, body: JSON.stringify(body),
      headers: { "Content-Type": "application/json" },
    });
    let left = part.length;
    for await (const line of lines(response.body)) {
      const result = JSON.parse(line);
      if (result.error) throw new ServiceError(result.error);
      arrived(first + result.index, result);
      left -= 1;
    }
    if (left) throw new ServiceError({ detail: "The answer broke off." });
  }
}

async function ask(path, options) {
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError({ detail: "The service cannot be reached." });
  }
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  throw new ServiceError({ status: response.status, ...problem });
}

/** Items in portions that the service takes at a time; a document stays whole. */
function* portions(items, limits) {
  let first = 0;
  let size = 0;
  let last = 0; // where the current document begins
  const sizeOf = (item) => 4 * JSON.stringify(item.text).length + 40;
  for (let i = 0; i < items.length; i += 1) {
    if (i && items[i].document !== items[i - 1].document) last = i;
    size += sizeOf(items[i]);
    if (last > first && (size > limits.body_bytes || i - first >= limits.texts)) {
      yield [first, items.slice(first, last)];
      first = last;
      size = items.slice(first, i + 1).reduce((sum, item) => sum + sizeOf(item), 0);
    }
  }
  if (first < items.length) yield [first, items.slice(first)];
}

async function* lines(stream) {
  let rest = "";
  // The fatal decoder would break on half a character; a stream decoder keeps it.
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop();
    yield* parts.filter((part) => part);
    if (done) return;
  }
}

// Requests to the server, what goes wrong with them in words, and the same request for other languages.

const KEY = "litebert-key";

export const key = {
  get: () => { try { return sessionStorage.getItem(KEY) || ""; } catch { return ""; } },
  set: (value) => { try { value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY); } catch { /* private mode */ } },
};

/** What went wrong, for the reader: `title`, `text`, and `wait` in seconds where it is worth trying again. */
export class Problem extends Error {
  constructor(status, title, text, wait = null) {
    super(text);
    Object.assign(this, { status, title, text, wait });
  }
}

/** Send a body (or nothing: GET) and return `{data, facts}`; throws a Problem. */
export async function send(path, body, signal) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  if (key.get()) headers.authorization = `Bearer ${key.get()}`;
  const started = performance.now();
  let answer, text;
  try {
    const method = body === undefined ? "GET" : "POST";
    answer = await fetch(path, { method, headers, body: JSON.stringify(body), signal, credentials: "same-origin", cache: "no-store" });
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer", "It may have been stopped, or the connection was lost.", 0);
  }
  const took = performance.now() - started;
  let data = null;
  try { data = JSON.parse(text); } catch { /* told below */ }
  if (!answer.ok) throw problemOf(answer, data);
  if (data === null) throw new Problem(answer.status, "This is no answer of LiteBERT", "Something between here and the server answered instead.");
  const number = (name) => { const said = answer.headers.get(name); return said === null ? null : Number(said); };
  return { data, facts: { took, tokens: number("x-compute-tokens"), computing: number("x-inference-time"), waiting: number("x-queue-time") } };
}

function problemOf(answer, data) {
  const told = (data && (data.message || (data.error && data.error.message) || data.detail)) || "";
  const said = told && told[0].toUpperCase() + told.slice(1) + (/[.?!:]$/.test(told) ? "" : ".");
  const wait = Number(answer.headers.get("retry-after") || 1);
  switch (answer.status) {
    case 401: return new Problem(401, "The server asks for a key", "The one that was sent, if any, is not among those it knows.");
    case 404: return new Problem(404, "That is not served here", said);
    case 413: return new Problem(413, "That is too much at once", said);
    case 400: case 422: return new Problem(answer.status, "That cannot be asked", said);
    case 429: return new Problem(429, "The server is busy", "Others were first. Nothing is lost: it will take the request in a moment.", wait);
    case 503: return new Problem(503, "The server is not ready", said || "It is starting or stopping.", wait);
    case 504: return new Problem(504, "It took too long", "The server gave up. A shorter text, or another moment, may do.", 0);
    default: return new Problem(answer.status, "The server could not answer", said || `It said ${answer.status}.`, 0);
  }
}

// --- The same from elsewhere -------------------------------------------------------------------------------------------------

export const LANGUAGES = { curl, Python: python, JavaScript: javascript };

const address = (path) => new URL(path, document.baseURI).href;
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function curl(path, body) {
  const auth = key.get() ? ` \\\n  -H "Authorization: Bearer $LITEBERT_API_KEY"` : "";
  return `curl ${quoted(address(path))}${auth} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(JSON.stringify(body, null, 2))}`;
}

function python(path, body) {
  const auth = key.get() ? `, "Authorization": "Bearer " + os.environ["LITEBERT_API_KEY"]` : "";
  return [
    `import json${key.get() ? ", os" : ""}, urllib.request`, "",
    `body = ${literal(body, "")}`, "",
    `request = urllib.request.Request(`,
    `    ${JSON.stringify(address(path))}, json.dumps(body).encode(), {"Content-Type": "application/json"${auth}}`, `)`,
    `with urllib.request.urlopen(request) as answer:`, `    print(json.load(answer))`,
  ].join("\n");
}

function literal(value, indent) {
  const deeper = indent + "    ";
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  const lines = Array.isArray(value)
    ? value.map((one) => literal(one, deeper))
    : typeof value === "object" ? Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${literal(one, deeper)}`) : null;
  if (lines === null) return JSON.stringify(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return lines.length ? `${open}\n${lines.map((line) => `${deeper}${line},\n`).join("")}${indent}${close}` : open + close;
}

function javascript(path, body) {
  const auth = key.get() ? `, Authorization: \`Bearer \${process.env.LITEBERT_API_KEY}\`` : "";
  return [
    `const answer = await fetch(${JSON.stringify(address(path))}, {`, `  method: "POST",`,
    `  headers: { "Content-Type": "application/json"${auth} },`,
    `  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll("\n", "\n  ")}),`, `});`, `console.log(await answer.json());`,
  ].join("\n");
}

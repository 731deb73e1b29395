// The page: which model and task, its form, and what comes back. It calls the server's public routes only.

import { CHAT, SEARCH, TASKS } from "./tasks.js";
import { conversation, empty, h } from "./results.js";
import { key, LANGUAGES, Problem, send } from "./calls.js";

const $ = (id) => document.getElementById(id);
const kept = new Map(); // what was typed, by place
const talks = new Map(); // the turns of each conversation
let served = null, here = null, running = null, language = "curl", last = null;

// --- Places: a model's task, an index, a conversation -----------------------------------------------------------------------

function places() {
  const found = served.models.flatMap((model) => model.tasks.filter(({ task }) => TASKS[task]).map((info) => ({
    id: `${encodeURIComponent(model.name)}/${info.task}`, model: model.name, task: info.task, explained: info.explained, kind: TASKS[info.task], facts: model })));
  const reranks = served.models.some((model) => model.tasks.some(({ task }) => task === "rerank"));
  for (const index of served.indexes) {
    if (index.kind === "faq") found.push({ id: `ask/${encodeURIComponent(index.name)}`, index: index.name, kind: CHAT, facts: index });
    else found.push({ id: `search/${encodeURIComponent(index.name)}`, index: index.name, reranks, kind: SEARCH, facts: index });
  }
  return found;
}

function go() {
  if (!served) return;
  const all = places();
  const said = location.hash.slice(2);
  const wanted = all.find((place) => place.id === said) || all.find((place) => place.model && place.id.startsWith(`${said}/`))
    || all.find((place) => place.index === served.faq && place.kind === CHAT) || all[0];
  if (!wanted) return nothing();
  remember();
  here = { ...wanted, values: kept.get(wanted.id) || start(wanted) };
  if (here.kind.talk) here.turns = talks.get(here.id) || talks.set(here.id, []).get(here.id);
  last = null;
  rail(all);
  desk();
}

function start({ kind }) {
  const values = Object.fromEntries(kind.fields.map((field) => [field.name, field.value ?? (field.of ? field.of[0][0] : field.kind === "check" ? false : "")]));
  return { ...values, ...(kind.examples[0]?.values || {}) };
}

function remember() {
  if (here) kept.set(here.id, here.values);
}

function rail(all) {
  const models = [...new Set(all.filter((place) => place.model).map((place) => place.model))];
  $("model-choice").hidden = models.length < 2;
  const current = here.model || $("model").value || models[0];
  $("model").replaceChildren(...models.map((name) => h("option", { value: name, selected: name === current }, name)));
  const button = (place, name, code) => h("li", null, h("button", {
    type: "button", "aria-current": place.id === here.id ? "page" : null, onclick: () => { location.hash = `/${place.id}`; } }, name, code ? h("code", null, code) : null));
  const known = all.filter((place) => place.index);
  $("tasks").replaceChildren(
    ...all.filter((place) => place.model === current && place.model).map((place) => button(place, place.kind.title, place.task)),
    ...(known.length ? [h("li.group", null, "What is known here")] : []),
    ...known.map((place) => button(place, place.kind.title, place.index)));
  $("tasks").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  const one = here.facts;
  $("model-facts").replaceChildren(...(here.model
    ? [`${one.max_length} tokens a window`, h("br"), `computes in ${one.precision}`]
    : [`${one.documents.toLocaleString("en")} ${one.kind === "faq" ? "question" : "document"}${one.documents === 1 ? "" : "s"}`, h("br"), `read by ${one.model}`]));
}

function nothing() {
  $("title").textContent = "Nothing to ask";
  $("lead").textContent = "None of the models that are served answers a task that this page knows.";
}

// --- The desk ---------------------------------------------------------------------------------------------------------------

function desk() {
  const { kind } = here;
  document.title = `${kind.title} · LiteBERT`;
  $("title").textContent = kind.title;
  $("lead").textContent = kind.lead;
  $("sheet").hidden = $("call").hidden = false;
  $("sheet").classList.toggle("talk", Boolean(kind.talk));
  $("run").textContent = kind.talk ? "Ask" : kind === SEARCH ? "Search" : "Run";
  $("keys").hidden = Boolean(kind.talk);
  const offered = kind.examples.length > 1 ? kind.examples : [];
  $("examples").hidden = !offered.length;
  $("examples").replaceChildren(...offered.map((one) => h("button.chip", { type: "button", onclick: () => {
    Object.assign(here.values, one.values);
    form();
    ready();
    run();
  } }, one.name)));
  form();
  ready();
}

function form() {
  const shown = here.kind.fields.filter((field) => !field.when || field.when(here.values, here));
  $("fields").replaceChildren(...shown.map(made));
  code();
}

function made(field) {
  const id = `field-${field.name}`;
  const note = field.insert
    ? h("button.link", { type: "button", onclick: () => insert($(id), field.insert) }, `Insert ${field.insert}`)
    : field.hint || (field.optional ? "optional" : null);
  const change = (event) => { here.values[field.name] = field.kind === "check" ? event.target.checked : event.target.value; code(); };
  const value = here.values[field.name] ?? "";
  if (field.kind === "segment") {
    return h("fieldset.field", null, h("legend", null, field.label), h("div.segment", null, field.of.map(([name, shown]) => h("label", null,
      h("input", { type: "radio", name: field.name, value: name, checked: value === name, onchange: (event) => {
        change(event);
        form();
        ready();
        $("fields").querySelector(`input[value="${name}"]`)?.focus();
      } }), shown))));
  }
  if (field.kind === "check") return h("div.field", null, h("span.check", null, h("input", { type: "checkbox", id, checked: value, onchange: (event) => {
    change(event);
    form();
    $(id).focus();
  } }), h("label", { for: id }, field.label)));
  const label = h("label", { for: id }, field.label, note ? (note.tagName ? note : h("span", null, note)) : null);
  const area = field.kind === "area";
  const box = area
    ? h("textarea", { id, rows: field.rows || 2, oninput: change, required: !field.optional, spellcheck: "false" })
    : h(field.kind === "number" || field.plain ? "input" : "input.text", { id, type: field.kind === "number" ? "number" : "text", min: field.min, max: field.max,
      oninput: change, required: !field.optional });
  box.value = value;
  return h(field.kind === "number" ? "div.field.narrow" : "div.field", null, label, box);
}

function insert(box, text) {
  box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
  box.dispatchEvent(new Event("input"));
  box.focus();
}

/** Show what there is before anything is asked. */
function ready() {
  running?.abort();
  busy(false);
  $("measure").textContent = "";
  $("why").hidden = true;
  $("over").hidden = !here.turns?.length;
  $("result").replaceChildren(...(here.kind.talk ? conversation(here.turns)
    : [empty("Nothing asked yet", here.kind === SEARCH ? "What is found will stand here, the best first." : "What the model says will stand here.")]));
}

function code() {
  const { path, body } = here.kind.call(here.values, here);
  $("code").textContent = LANGUAGES[language](path, body);
}

// --- Asking -----------------------------------------------------------------------------------------------------------------

let slow = 0;
function busy(on) {
  clearTimeout(slow);
  const pane = document.querySelector(".read");
  pane.setAttribute("aria-busy", String(on));
  if (on) slow = setTimeout(() => pane.classList.add("waiting"), 150);
  else pane.classList.remove("waiting");
}

async function asked(call, take) {
  running?.abort();
  const mine = (running = new AbortController());
  busy(true);
  try {
    const { data, facts } = await send(call.path, call.body, mine.signal);
    take(data);
    $("measure").textContent = measured(facts);
  } catch (error) {
    if (error.name === "AbortError") return;
    $("measure").textContent = "";
    if (!(error instanceof Problem)) throw error;
    tell(error, () => asked(call, take));
  } finally {
    if (running === mine) busy(false);
  }
}

function measured({ took, tokens, computing, waiting }) {
  const parts = [tokens === null ? null : `${tokens} ${tokens === 1 ? "token" : "tokens"}`, `${Math.max(took, 1).toFixed(0)} ms`];
  if (computing !== null) parts.push(`${Math.max(computing, 0)} ms of it computing${waiting ? `, ${waiting} ms waiting` : ""}`);
  return parts.filter(Boolean).join(" · ");
}

function run() {
  if (here.kind.talk) return say();
  const place = here, values = { ...here.values };
  const call = place.kind.call(values, place);
  return asked(call, (data) => {
    last = { values };
    $("why").hidden = !(place.kind.why && place.kind.why(values, place));
    $("result").replaceChildren(...place.kind.show(data, values).filter(Boolean));
    look($("result"));
  });
}

function why() {
  if (!last) return;
  const { kind } = here, { values } = last, call = kind.why(values, here);
  $("code").textContent = LANGUAGES[language](call.path, call.body);
  asked(call, (data) => {
    $("result").querySelector(".why")?.remove();
    const node = h("div.why", null, ...kind.shaded(data, values));
    $("result").append(node);
    look(node);
  });
}

function say() {
  const text = here.values.text.trim(), place = here;
  if (!text) return;
  const call = place.kind.call({ text }, place);
  place.turns.push({ role: "user", text });
  place.values.text = "";
  form();
  $("code").textContent = LANGUAGES[language](call.path, call.body);
  const redraw = () => { $("result").replaceChildren(...conversation(place.turns)); $("over").hidden = false; look($("result").lastElementChild); };
  redraw();
  $("field-text").focus();
  asked(call, (data) => {
    place.turns.push({ role: "assistant", text: data.answer ?? "I don't know.", reply: data });
    if (place === here) redraw();
  });
}

function tell(problem, again) {
  if (problem.status === 401) { ask(problem, again); }
  const node = h("div.problem", { role: "alert" }, h("b", null, problem.title), problem.text);
  if (problem.status === 401) node.append(h("div", null, h("button.quiet", { type: "button", onclick: () => ask(problem, again) }, "Enter a key")));
  if (problem.wait !== null) {
    const button = h("button.quiet", { type: "button", onclick: again }, "Try again");
    if (problem.wait > 0) count(button, Math.min(Math.ceil(problem.wait), 120));
    node.append(h("div", null, button));
  }
  if (here?.kind.talk) {
    $("result").querySelector(".problem")?.remove();
    $("result").append(node);
  } else $("result").replaceChildren(node);
  look(node);
}

/** Bring into view what came, where the window is too small for all: on a telephone it stands below the form. */
function look(node) {
  const place = node.getBoundingClientRect();
  if (place.top > innerHeight - 120 || place.top < 0) {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    node.scrollIntoView({ block: place.height < innerHeight ? "nearest" : "start", behavior: calm ? "auto" : "smooth" });
  }
}

function count(button, seconds) {
  button.disabled = seconds > 0;
  button.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
  if (seconds > 0) setTimeout(() => count(button, seconds - 1), 1000);
}

// --- The key ----------------------------------------------------------------------------------------------------------------

let after = null;
function ask(problem, again) {
  after = again;
  $("key-text").textContent = key.get() && problem ? "The one that was given is not accepted. Another?" : "It stays in this tab, and is forgotten when the tab is closed.";
  $("key").value = "";
  if (!$("key-dialog").open) $("key-dialog").showModal();
  $("key").focus();
}

$("key-form").addEventListener("submit", () => {
  key.set($("key").value.trim());
  $("key-button").hidden = !key.get();
  if (here) code();
  after?.();
});
$("key-cancel").addEventListener("click", () => $("key-dialog").close());
$("key-button").addEventListener("click", () => ask(null, null));

// --- The rest ---------------------------------------------------------------------------------------------------------------

const THEMES = { "": "as the system", light: "light", dark: "dark" };
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  $("theme").setAttribute("aria-label", `Colours: ${THEMES[name]}`);
  $("theme").title = `Colours: ${THEMES[name]}`;
}
const storedTheme = () => { try { return localStorage.getItem("litebert-theme") || ""; } catch { return ""; } };
$("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const system = matchMedia("(prefers-color-scheme: dark)").matches;
  const next = dark ? "light" : "dark"; // the system's own needs no name, and follows it again
  const name = (next === "dark") === system ? "" : next;
  try { name ? localStorage.setItem("litebert-theme", name) : localStorage.removeItem("litebert-theme"); } catch { /* private mode */ }
  theme(name);
});
theme(storedTheme());

function tongues() {
  $("languages").replaceChildren(...Object.keys(LANGUAGES).map((name) => h("label", null,
    h("input", { type: "radio", name: "language", value: name, checked: name === language, onchange: () => { language = name; code(); } }), name)));
}

$("copy").addEventListener("click", async () => {
  let done = true;
  try { await navigator.clipboard.writeText($("code").textContent); } catch {
    getSelection().selectAllChildren($("code")); // no clipboard without https: leave it marked
    done = document.execCommand("copy");
  }
  $("copy").textContent = done ? "Copied" : "Press Ctrl C";
  setTimeout(() => { $("copy").textContent = "Copy"; }, 1600);
});
$("form").addEventListener("submit", (event) => { event.preventDefault(); run(); });
$("form").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("form").requestSubmit(); }
});
$("why").addEventListener("click", why);
$("over").addEventListener("click", () => { here.turns.length = 0; form(); ready(); $("field-text").focus(); });
$("model").addEventListener("change", () => { // the same task, where the other model has it
  const name = $("model").value, model = served.models.find((one) => one.name === name);
  location.hash = `/${encodeURIComponent(name)}${here.task && model.tasks.some(({ task }) => task === here.task) ? `/${here.task}` : ""}`;
});
addEventListener("hashchange", go);

async function begin() {
  try {
    ({ data: served } = await send("litebert/v1/models"));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    $("title").textContent = error.title;
    $("lead").textContent = error.text;
    $("lead").append(" ", h("button.link", { type: "button", onclick: () => (error.status === 401 ? ask(error, begin) : begin()) }, error.status === 401 ? "Enter a key" : "Try again"));
    if (error.status === 401) ask(error, begin);
    return;
  } finally {
    $("desk").setAttribute("aria-busy", "false");
  }
  const count = served.models.length;
  $("about").textContent = `${count} ${count === 1 ? "model" : "models"}, version ${served.version}`;
  $("key-button").hidden = !key.get();
  tongues();
  go();
}

if (navigator.platform.startsWith("Mac")) $("keys").firstElementChild.textContent = "⌘";
begin();

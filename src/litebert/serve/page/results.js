// What the model says, as elements of the page. Offsets count characters as Python does, not the halves of them that JavaScript counts.

/** Return an element: `h("p.small", {title: "..."}, "text", child)`. */
export function h(kind, attributes, ...children) {
  const [tag, ...classes] = kind.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const percent = (share) => `${(100 * share).toFixed(share >= 0.0995 || share < 0.0005 ? (share > 0.9995 || share < 0.0005 ? 0 : 1) : 2)}%`;
export const decimal = (value) => Number(value).toFixed(3).replace("-", "−");

/** A number with its sign, in as many digits as it takes to tell it from nothing. */
export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value) >= 0.001 || value === 0 ? Math.abs(value).toFixed(3) : Math.abs(value).toExponential(1)}`;

/** Rows of a name, a number and a bar. */
export function bars(rows, { number = percent, share = (value) => value, every = false } = {}) {
  return h(`ul.bars${every ? ".still" : ""}`, null, rows.map((row) => h(`li${row.on ? ".on" : ""}`, null,
    h("span.name", null, row.name), h("span.number", null, number(row.value)),
    h("span.track", { "aria-hidden": "true" }, h("i", { "--share": Math.min(Math.max(share(row.value), 0), 1) })))));
}

/** A text with some of its parts made into elements; `spans` are `{start, end, make(text)}`, and may not overlap. */
export function annotated(text, spans) {
  const letters = Array.from(text);
  const found = [];
  let at = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start)) {
    if (span.start < at) continue;
    found.push(letters.slice(at, span.start).join(""), span.make(letters.slice(span.start, span.end).join("")));
    at = span.end;
  }
  return h("p.prose", null, ...found, letters.slice(at).join(""));
}

export const verdict = (text, note) => h(`p.verdict${text.length > 80 ? ".long" : ""}`, null, note ? h("span.small", null, note) : null, text);
export const heading = (text) => h("h2", null, text);
export const empty = (title, text) => h("div.empty", null, h("b", null, title), text);

// --- Answers -----------------------------------------------------------------------------------------------------------------

export function labels(answer) {
  if (!answer.scores) return [verdict(decimal(answer.score), answer.label)];
  const several = answer.labels;
  const said = several ? (several.length ? several.join(", ") : "None of them") : answer.label;
  const rows = answer.scores.map((one) => ({ name: one.label, value: one.score, on: several ? several.includes(one.label) : false }));
  const review = answer.review ? h("p.small", null, "Close to the border: worth a person's look.") : null;
  return [verdict(said), bars(rows.slice(0, 12)), rows.length > 12 ? h("p.small", null, `and ${rows.length - 12} less likely ones`) : null, review];
}

export function fillings(answer, text, mask) {
  const groups = answer.masks || [answer];
  const pieces = text.split(mask);
  const line = pieces.flatMap((piece, i) => (i < groups.length && i < pieces.length - 1
    ? [piece, h("mark.filled", null, groups[i].token_str)] : [piece]));
  return [h("p.verdict", null, ...line), ...groups.flatMap((group, i) => [
    groups.length > 1 ? heading(`Blank ${i + 1}`) : null, bars(group.scores.map((one) => ({ name: one.token_str, value: one.score })))])];
}

const hues = (names) => new Map([...new Set(names)].sort().map((name, i) => [name, `hue${i % 6}`]));

export function entities(answer, text) {
  if (!answer.entities.length) return [empty("Nothing found", "No word of this text was taken for a name of the kinds the model knows.")];
  const hue = hues(answer.entities.map((one) => one.entity_group));
  const made = annotated(text, answer.entities.map((one) => ({ start: one.start, end: one.end,
    make: (word) => h(`mark.entity.${hue.get(one.entity_group)}`, { title: `${one.entity_group}, ${percent(one.score)}` }, word,
      h("sub", null, one.entity_group)) })));
  return [made, heading("How sure"), bars(answer.entities.map((one) => ({ name: one.word, value: one.score })), { every: true })];
}

export function passage(answer, text) {
  const said = answer.answer
    ? [verdict(answer.answer, `${percent(answer.score)} likely`), annotated(text, [{ start: answer.start, end: answer.end, make: (part) => h("mark", null, part) }])]
    : [verdict("The passage does not say.", `${percent(answer.score)} likely`), h("p.prose", null, text)];
  const others = (answer.scores || []).filter((one) => one.start !== answer.start || one.end !== answer.end).slice(0, 5).map((one) => ({ name: one.answer || "no answer", value: one.score }));
  return others.length ? [...said, heading("Also considered"), bars(others)] : said;
}

export function chosen(answer, options) {
  return [verdict(answer.answer), bars(answer.scores.map((one, i) => ({ name: options[i] ?? one.label, value: one.score,
    on: one.label === answer.label })).sort((a, b) => b.value - a.value))];
}

export function neighbours(scores, texts) {
  const rows = texts.map((text, i) => ({ name: text, value: scores[i] })).sort((a, b) => b.value - a.value);
  return [bars(rows, { number: decimal }), h("p.small", null, "Cosine of the vectors: 1 means the same.")];
}

export function ranking(rows) {
  return [bars(rows.map((one) => ({ name: one.text, value: one.score })))];
}

export function summary(answer, text) {
  const marks = answer.sentences.map((one) => ({ start: one.start, end: one.end, make: (part) => h("mark", null, part) }));
  return [verdict(answer.summary_text), heading("Where it is from"), annotated(text, marks)];
}

export function ordered(answer) {
  const moved = answer.order.some((number, i) => number !== i);
  return [verdict(moved ? "In a better order" : "The order stands"),
    h("ol.list", null, answer.sentences.map((one, i) => h("li", null, h("span.rank", null, `${i + 1}`), h("div", null,
      h("p.prose", null, one.sentence), one.number !== i ? h("p.small.moved", null, `was ${one.number + 1}`) : null)))),
    h("p.small", null, `Mean log-odds of its pairs ${decimal(answer.score)}; as given ${decimal(answer.given_score)}.`)];
}

export function drifted(answer, text) {
  const letters = Array.from(text);
  const found = [];
  let at = 0;
  for (const one of answer.breaks) {
    found.push(letters.slice(at, one.position).join("").trim(), h("span.break", null, "the thread is lost"));
    at = one.position;
  }
  const count = answer.breaks.length;
  return [verdict(count ? (count === 1 ? "It turns once" : `It turns ${count} times`) : "It keeps its thread"),
    h("div.prose", null, ...found, letters.slice(at).join("").trim())];
}

export function hits(found) {
  if (!found.length) return [empty("Nothing found", "No passage has anything to do with this. Other words may help, or a wider filter.")];
  return [h("ol.list", null, found.map((hit, i) => h("li", null, h("span.rank", null, `${i + 1}`), h("div", null,
    h("p.prose", null, hit.text), hit.metadata.answer !== undefined ? h("p.prose", null, h("mark", null, hit.metadata.answer)) : null,
    h("p.small", null, `${hit.source || hit.id} · characters ${hit.start}–${hit.end} · ${Object.entries(hit.scores).map(([name, value]) =>
      `${{ dense: "meaning", bm25: "words", rerank: "second look" }[name] || name} ${decimal(value)}`).join(" · ")}`)))))];
}

/** The turns of a conversation; those of the assistant with what they are from. */
export function conversation(turns) {
  if (!turns.length) return [empty("Ask away", "Answers come from the questions that are known here; where none is near enough, it says so.")];
  return turns.map((turn) => (turn.role === "user"
    ? h("div.turn.user", null, h("p.prose", null, turn.text))
    : h("div.turn", null, h("p.prose", null, turn.text), turn.reply ? from(turn.reply) : null)));
}

const sure = (confidence) => (confidence > 0.99 ? "More than 99%" : `${Math.round(100 * confidence)}%`);

function from(reply) {
  const best = reply.answers[0];
  if (!best) return null;
  const joined = reply.joined ? `Read as “${reply.asked}”. ` : "";
  const others = reply.known ? reply.answers.slice(1) : reply.answers;
  return h("div.small", null,
    h("p", null, h("span.sure", { "aria-hidden": "true" }, h("span.track", null, h("i", { "--share": best.confidence }))),
      reply.known ? `${sure(best.confidence)} sure. ${joined}Known question: “${best.question}”, ${best.source}` : `${joined}The nearest known question is not near enough.`),
    others.length ? h("details", null, h("summary", null, reply.known ? "What else came near" : "What came nearest"),
      h("ol.list", null, others.map((one, i) => h("li", null, h("span.rank", null, `${i + 1}`), h("div", null,
        h("p.prose", null, one.question), h("p.small", null, `${one.answer} · similarity ${decimal(one.score)}`)))))) : null);
}

/** Tokens shaded by what they contribute to the answer. */
export function shaded(answer, texts) {
  const reasons = answer.entities ? answer.entities : [answer];
  if (!reasons.length) return [empty("Nothing to explain", "The model found nothing in this text.")];
  return [...reasons.flatMap((reason) => {
    const most = Math.max(...reason.explanation.map((one) => Math.abs(one.attribution)), 1e-9);
    const made = texts.map((text, number) => annotated(text, reason.explanation.filter((one) => (one.text ?? 0) === number).map((one) => ({
      start: one.start, end: one.end, make: (word) => h(`span.share${one.attribution < 0 ? ".against" : ""}`, {
        "--strength": (Math.abs(one.attribution) / most).toFixed(3), title: signed(one.attribution) }, word) }))));
    const strongest = [...reason.explanation].sort((a, b) => Math.abs(b.attribution) - Math.abs(a.attribution)).slice(0, 3);
    return [heading(`Why “${reason.explained}”`), ...made, h("p.small", null, "Strongest: ", strongest.map((one) =>
      `${one.token} ${signed(one.attribution)}`).join(", "))];
  }), h("p.small.legend", null, h("span", null, "speaks for it"), h("span.against", null, "speaks against it"))];
}

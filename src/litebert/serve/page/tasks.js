// What can be asked: for each task its fields, examples, the request they make, and how the answer is shown.

import * as show from "./results.js";

const BASE = "litebert/v1/";
const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const ask = (model, task, inputs, options) => ({ path: `${BASE}ask`, body: { model, task, inputs, ...(options ? { options } : {}) } });
const explain = (model, task, input) => ({ path: `${BASE}explain`, body: { model, task, input } });

const STORY = "The lake froze early that year. By December the ferries had stopped. People crossed the ice on foot, carrying bread and letters. In March it cracked overnight, and the boats went out again.";
const NEWS = "Maria Keller of the city council of Zurich said on Monday that the new tram line to Oerlikon will open in 2027, two years later than planned. The delay is due to the foundations of the old railway bridge, which engineers from Siemens examined last autumn.";

const second = (v) => v.two && v.pair;
const labelled = {
  title: "Label a text", lead: "The labels this model was trained for, each with its probability.",
  fields: [
    { name: "text", label: "Text", kind: "area" },
    { name: "two", label: "The model compares two texts", kind: "check" },
    { name: "pair", label: "Second text", kind: "area", when: (v) => v.two },
  ],
  examples: [
    { name: "A complaint", values: { text: "My new card has not arrived after three weeks and nobody can tell me where it is." } },
    { name: "Praise", values: { text: "A lovely film, quiet and very funny; we were sorry when it was over." } },
  ],
  call: (v, at) => ask(at.model, at.task, [second(v) ? [v.text, v.pair] : v.text]),
  show: (data) => show.labels(data.answers[0]),
  why: (v, at) => (at.explained ? explain(at.model, at.task, second(v) ? [v.text, v.pair] : v.text) : null),
  shaded: (data, v) => show.shaded(data.answer, second(v) ? [v.text, v.pair] : [v.text]),
};

export const TASKS = {
  "fill-mask": {
    title: "Fill the blank", lead: "What the model expects in the place of each [MASK].",
    fields: [
      { name: "text", label: "Text", kind: "area", insert: "[MASK]" },
      { name: "targets", label: "Only these words", kind: "line", optional: true, hint: "between commas" },
    ],
    examples: [
      { name: "A crown", values: { text: "The [MASK] sat on the throne and wore a crown.", targets: "" } },
      { name: "Two blanks", values: { text: "The [MASK] sat down and ate its [MASK].", targets: "" } },
      { name: "A choice", values: { text: "After the storm the sea was [MASK].", targets: "calm, rough, red" } },
    ],
    call: (v, at) => {
      const targets = (v.targets || "").split(",").map((one) => one.trim()).filter(Boolean);
      return ask(at.model, at.task, [v.text], { top_k: 8, ...(targets.length ? { targets, whole_words: true } : {}) });
    },
    show: (data, v) => show.fillings(data.answers[0], v.text, "[MASK]"),
  },
  classify: labelled,
  "few-shot": labelled,
  "zero-shot-classification": {
    title: "Choose among your labels", lead: "Nothing is trained: the label whose meaning is nearest to the text's.",
    fields: [
      { name: "text", label: "Text", kind: "area" },
      { name: "labels", label: "Labels", kind: "area", hint: "one a line", rows: 3 },
    ],
    examples: [
      { name: "A news line", values: { text: "The striker scored twice in the last ten minutes.", labels: "sport\npolitics\nweather\nbusiness" } },
      { name: "A request", values: { text: "Could you send me the invoice for June again?", labels: "billing\ndelivery\ncomplaint\nsmall talk" } },
    ],
    call: (v, at) => ask(at.model, at.task, [v.text], { labels: lines(v.labels) }),
    show: (data) => show.labels(data.answers[0]),
  },
  ner: {
    title: "Find names", lead: "People, places and whatever else the model was trained to find, where they stand.",
    fields: [{ name: "text", label: "Text", kind: "area" }],
    examples: [{ name: "A report", values: { text: NEWS } }],
    call: (v, at) => ask(at.model, at.task, [v.text]),
    show: (data, v) => show.entities(data.answers[0], v.text),
    why: (v, at) => explain(at.model, at.task, v.text),
    shaded: (data, v) => show.shaded(data.answer, [v.text]),
  },
  qa: {
    title: "Answer from a passage", lead: "The words of the passage that answer the question.",
    fields: [{ name: "question", label: "Question", kind: "line" }, { name: "context", label: "Passage", kind: "area" }],
    examples: [
      { name: "A tram line", values: { question: "When will the tram line open?", context: NEWS } },
      { name: "Not in it", values: { question: "What does a ticket cost?", context: NEWS } },
    ],
    call: (v, at) => ask(at.model, at.task, [{ question: v.question, context: v.context }]),
    show: (data, v) => show.passage(data.answers[0], v.context),
    why: (v, at) => explain(at.model, at.task, { question: v.question, context: v.context }),
    shaded: (data, v) => show.shaded(data.answer, [v.question, v.context]),
  },
  choice: {
    title: "Pick the right option", lead: "Several answers are given; one fits.",
    fields: [
      { name: "question", label: "Question", kind: "line" },
      { name: "options", label: "Options", kind: "area", hint: "one a line", rows: 3 },
      { name: "context", label: "Text it is about", kind: "area", optional: true },
    ],
    examples: [{ name: "The lake", values: { question: "How did people cross the lake?", options: "By ferry\nOn foot\nBy aeroplane", context: STORY } }],
    call: (v, at) => ({ path: `${BASE}choice`, body: { model: at.model, question: v.question, options: lines(v.options), ...(v.context ? { context: v.context } : {}) } }),
    show: (data, v) => show.chosen(data.answer, lines(v.options)),
  },
  rerank: {
    title: "Rank texts", lead: "How well each text answers the query, the best first.",
    fields: [{ name: "query", label: "Query", kind: "line" }, { name: "texts", label: "Texts", kind: "area", hint: "one a line", rows: 4 }],
    examples: [{ name: "Delivery", values: { query: "Who pays for delivery?", texts: "We deliver on weekdays between nine and five.\nFor orders above 50 francs we cover the shipping.\nReturns are free within thirty days." } }],
    call: (v, at) => ({ path: "rerank", body: { model: at.model, query: v.query, texts: lines(v.texts), return_text: true } }),
    show: (data) => show.ranking(data),
  },
  embed: {
    title: "Compare meanings", lead: "How near other texts are to one, by the vectors the model makes of them.",
    fields: [{ name: "source", label: "Text", kind: "area", rows: 1 }, { name: "sentences", label: "Compare with", kind: "area", hint: "one a line", rows: 4 }],
    examples: [
      { name: "A question", values: { source: "How do I get my money back?", sentences: "Can I have a refund?\nWhere is my parcel?\nThe exchange rate has fallen.\nI would like to return what I bought." } },
      { name: "A scene", values: { source: "A dog is running along the beach.", sentences: "An animal runs by the sea.\nA man reads a newspaper.\nThe beach is closed to dogs." } },
    ],
    call: (v, at) => ({ path: "similarity", body: { model: at.model, inputs: { source_sentence: v.source, sentences: lines(v.sentences) } } }),
    show: (data, v) => show.neighbours(data, lines(v.sentences)),
  },
  summarize: {
    title: "Shorten a text", lead: "The sentences that say most, letter by letter.",
    fields: [{ name: "text", label: "Text", kind: "area" }, { name: "sentences", label: "Sentences", kind: "number", value: 2, min: 1, max: 50 }],
    examples: [{ name: "A lake in winter", values: { text: STORY, sentences: 2 } }, { name: "A delay", values: { text: NEWS, sentences: 1 } }],
    call: (v, at) => ask(at.model, at.task, [v.text], { sentences: Number(v.sentences) || 1 }),
    show: (data, v) => show.summary(data.answers[0], v.text),
  },
  coherence: {
    title: "Check the order", lead: "Whether texts follow one another, in which order sentences belong, where a text changes its subject.",
    fields: [
      { name: "mode", label: "Question", kind: "segment", of: [["pair", "Two texts"], ["order", "Order"], ["drift", "Thread"]] },
      { name: "text", label: "Text", kind: "area" },
      { name: "text_pair", label: "What follows it", kind: "area", when: (v) => v.mode === "pair" },
    ],
    examples: [
      { name: "Two texts", values: { mode: "pair", text: "She opened the envelope.", text_pair: "Inside was a single photograph." } },
      { name: "Shuffled", values: { mode: "order", text: "In March it cracked overnight. The lake froze early that year. By December the ferries had stopped." } },
      { name: "Two subjects", values: { mode: "drift", text: "The bakery opens at six. Its bread is sold out by nine. People queue for the bread from five. Interest rates rose again in May. The bank expects rates to rise further. Savers with the bank will gain." } },
    ],
    call: (v, at) => ({ path: `${BASE}coherence`, body: { model: at.model, mode: v.mode, text: v.text, ...(v.mode === "pair" && v.text_pair ? { text_pair: v.text_pair } : {}) } }),
    show: (data, v) => ({ pair: () => show.labels(data.answer), order: () => show.ordered(data.answer), drift: () => show.drifted(data.answer, v.text) })[data.mode](),
  },
};

export const SEARCH = {
  title: "Search", lead: "Passages of an index that answer a query, with where they stand.",
  fields: [
    { name: "query", label: "Query", kind: "line" },
    { name: "mode", label: "By", kind: "segment", of: [["both", "Both"], ["meaning", "Meaning"], ["words", "Words"]] },
    { name: "filter", label: "Filter", kind: "line", optional: true, plain: true, hint: 'year >= 1990 and lang == "en"' },
    { name: "top_k", label: "Hits", kind: "number", value: 5, min: 1, max: 100 },
    { name: "rerank", label: "Second look by the reranker", kind: "check", when: (v, at) => at.reranks },
  ],
  examples: [],
  call: (v, at) => ({ path: `${BASE}search`, body: { index: at.index, query: v.query, mode: v.mode, top_k: Number(v.top_k) || 5,
    ...(v.filter ? { filter: v.filter } : {}), ...(v.rerank ? { rerank: true } : {}) } }),
  show: (data) => show.hits(data.hits),
};

export const CHAT = {
  title: "Ask a question", lead: "Answers that somebody wrote, to the known question nearest to yours. A follow-up is read with the questions before it.",
  fields: [{ name: "text", label: "Question", kind: "line" }],
  examples: [],
  talk: true,
  call: (v, at) => ({ path: `${BASE}chat`, body: { index: at.index, turns: [...at.turns.map(({ role, text }) => ({ role, text })), { role: "user", text: v.text }] } }),
};

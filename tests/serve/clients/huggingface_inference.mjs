// @huggingface/inference (npm) against a server: every task by its method.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [address, folder] = process.argv.slice(2);
const { InferenceClient } = await import(pathToFileURL(createRequire(`${folder}/`).resolve("@huggingface/inference")).href);
const [general, vectors] = ["litebert-small-en", "litebert-small-en-embed"];
const text = "Ann and Bob went to Paris, where Carla lives near the river.";
const asked = (name, task) => new InferenceClient().endpoint(`${address}/models/${name}${task ? `/pipeline/${task}` : ""}`);

const masks = await asked(general).fillMask({ inputs: "Paris is the [MASK] of France.", parameters: { top_k: 3 } });
assert.equal(masks.length, 3);
assert.ok(masks[0].token_str && masks[0].sequence && masks[0].score > 0);
const labels = await asked("mood").textClassification({ inputs: "I like you" });
assert.equal(labels.length, 3);
assert.ok(["neg", "neutral", "pos"].includes(labels[0].label));
const groups = await asked("names").tokenClassification({ inputs: text });
assert.ok(groups.length > 0 && groups.every((one) => text.slice(one.start, one.end) === one.word && one.entity_group));
const answer = await asked("squad").questionAnswering({
  inputs: { question: "Where?", context: text },
  parameters: { handle_impossible_answer: false },
});
assert.equal(answer.answer, text.slice(answer.start, answer.end));
const chosen = await asked(vectors).zeroShotClassification({
  inputs: "The goalkeeper saved a penalty.",
  parameters: { candidate_labels: ["football", "cooking"] },
});
assert.equal((Array.isArray(chosen[0]) ? chosen[0] : chosen)[0].label, "football");
const near = await asked(vectors, "sentence-similarity").sentenceSimilarity({
  inputs: { source_sentence: "a dog", sentences: ["a dog", "the moon"] },
});
assert.ok(near[0] > 0.99 && near[1] < 0.99);
const found = await asked(vectors).featureExtraction({ inputs: "a dog" });
assert.equal((Array.isArray(found[0]) ? found[0] : found).length, 384);
const summary = await asked("shortener").summarization({
  inputs: "One is here. Two is there. Three is away.",
  parameters: { generate_parameters: { sentences: 1 } },
});
assert.ok(["One is here.", "Two is there.", "Three is away."].includes(summary.summary_text));
await assert.rejects(asked(general).fillMask({ inputs: "nothing" }));
console.log("ok");

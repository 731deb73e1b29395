"""InferenceClient of huggingface_hub against a server: every task by its methods, and the health of the server."""

import sys

import huggingface_hub
import numpy as np
from huggingface_hub import InferenceClient

address = sys.argv[1]


def asked(name, task=None):
    return InferenceClient(f"{address}/models/{name}" + (f"/pipeline/{task}" if task else ""))


general, vectors = "litebert-small-en", "litebert-small-en-embed"
text = "Ann and Bob went to Paris, where Carla lives near the river."

(best, *rest) = asked(general).fill_mask("Paris is the [MASK] of France.", top_k=3)
assert best.token_str and best.sequence and best.score > 0 and len(rest) == 2
assert {
    one.token_str for one in asked(general).fill_mask("Paris is the [MASK] of France.", targets=["king", "capital"])
} == {"king", "capital"}
labels = asked("mood").text_classification("I like you", top_k=2)
assert len(labels) == 2 and labels[0].score >= labels[1].score and labels[0].label in ("neg", "neutral", "pos")
groups = asked("names").token_classification(text)
assert groups and all(text[one.start : one.end] == one.word and one.entity_group for one in groups)
tags = asked("names").token_classification(text, aggregation_strategy="none")
assert len(tags) >= len(groups) and tags[0].entity.startswith(("B-", "I-"))
answer = asked("squad").question_answering(question="Where?", context=text, handle_impossible_answer=False)
assert answer.answer == text[answer.start : answer.end]
assert len(asked("squad").question_answering(question="Where?", context=text, top_k=3)) == 3
chosen = asked(vectors).zero_shot_classification(
    "The goalkeeper saved a penalty.", ["football", "cooking"], hypothesis_template="This text is about {}."
)
assert chosen[0].label == "football" and 0.5 < chosen[0].score <= 1
near = asked(vectors, "sentence-similarity").sentence_similarity("a dog", ["a dog", "the moon"])
assert near[0] > 0.99 > near[1]
found = asked(vectors).feature_extraction("a dog", truncate=True, normalize=True)
assert isinstance(found, np.ndarray) and found.shape == (1, 384) and found.dtype == np.float32
summary = asked("shortener").summarization(
    "One is here. Two is there. Three is away.", generate_parameters={"sentences": 1}
)
assert summary.summary_text in ("One is here.", "Two is there.", "Three is away.")

plain = InferenceClient(address)
assert np.array(plain.feature_extraction("a dog")).shape == (1, 384)
assert len(plain.sentence_similarity("a dog", ["a dog", "the moon"])) == 2
endpoint = InferenceClient(address, provider="hf-inference")  # these two are of this provider alone
assert endpoint.health_check() is True
assert endpoint.get_endpoint_info()["max_client_batch_size"] == 2048

try:
    asked(general, "summarization").summarization(text, generate_parameters={"max_new_tokens": 3})
except Exception as error:
    assert "max_new_tokens" in str(error), error
else:
    raise AssertionError("a parameter that cannot be kept to was taken")
print("ok", huggingface_hub.__version__)

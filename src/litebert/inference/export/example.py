"""The script that runs an export without LiteBERT and PyTorch: some thirty lines, put together for the runtime and the head."""

from __future__ import annotations

from litebert.inference.export.subject import Subject
from litebert.tasks.base import Task
from litebert.tasks.classify.task import ClassifyTask
from litebert.tasks.qa.task import QaTask
from litebert.tasks.rerank.task import RerankTask
from litebert.tasks.summarize.task import SummarizeTask

FILES = {"onnx": "model.onnx", "openvino": "openvino_model.xml"}
"""The file that a runtime opens, by format."""

_IMPORTS = {"onnx": "import onnxruntime", "openvino": "import openvino"}
_OPEN = {
    "onnx": """session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])""",
    "openvino": """model = openvino.Core().compile_model(str(folder / "openvino_model.xml"), "CPU", {hints})""",
}

_RUN = {
    "onnx": "outputs = dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs)))",
    "openvino": "outputs = model(inputs)",
}

_SOFTMAX = "softmax = lambda x: np.exp(x - x.max(-1, keepdims=True)) / np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True)"
_LABELS = 'labels = list(json.loads((folder / "config.json").read_text())["id2label"].values())'

_PAIR = '("The weather is fine.", "It is a sunny day.")'
_TEXTS = 'texts = sys.argv[1:] or ["I like it very much.", "This was a waste of time."]'
_EVEN = "len(sys.argv) % 2 or sys.exit(__doc__)"
_PAIRS = f"{_EVEN}\ntexts = list(zip(sys.argv[1::2], sys.argv[2::2])) or [{_PAIR}]"
_MASKS = 'texts = sys.argv[1:] or ["The capital of France is [MASK].", "She [MASK] the door and went out."]'
_QUESTION = f"""{_EVEN}
texts = list(zip(sys.argv[1::2], sys.argv[2::2])) or [("Who wrote it?", "The novel was written by Jane Austen in 1813.")]"""
_CHOICE = """given, *choices = sys.argv[1:] or ["It rained all day.", "The street is wet.", "The street is dry."]
texts = [(given, choice) for choice in choices]"""

_OUTPUT = 'outputs["logits"]'
_SINGLE = f"""{_LABELS}
{_SOFTMAX}
for text, row in zip(texts, softmax(LOGITS)):
    print(f"{{labels[row.argmax()]}}\\t{{row.max():.4f}}\\t{{text}}")"""
_POSITIVE = f"""{_LABELS}
{_SOFTMAX}
positive, threshold = POSITIVE  # from this probability on the answer is the positive label, else the best of the others
for text, row in zip(texts, softmax(LOGITS)):
    found = positive if row[positive] >= threshold else np.where(np.arange(len(row)) == positive, -1, row).argmax()
    print(f"{{labels[found]}}\\t{{row[found]:.4f}}\\t{{text}}")"""
_MULTI = f"""{_LABELS}
thresholds = json.loads((folder / "litebert.json").read_text())["task"]["thresholds"]
for text, row in zip(texts, 1 / (1 + np.exp(-(LOGITS)))):
    found = [f"{{name}} {{p:.4f}}" for name, p, least in zip(labels, row, thresholds) if p >= least]
    print(f"{{', '.join(found) or 'none'}}\\t{{text}}")"""
_VALUE = """for text, row in zip(texts, outputs["logits"]):
    print(f"{row[0]:.4f}\\t{text}")"""
_RELEVANCE = """for text, row in zip(texts, 1 / (1 + np.exp(-outputs["logits"]))):
    print(f"{row[0]:.4f}\\t{text}")"""
_FILL = """for text, one, scores in zip(texts, encoded, outputs["{output}"]):
    for place in np.flatnonzero(np.array(one.ids) == tokenizer.token_to_id("[MASK]")):
        best = np.argsort(-scores[place])[:5]
        print(text, "->", ", ".join(tokenizer.decode([int(i)]) or tokenizer.id_to_token(int(i)) for i in best))"""
_TOKENS = f"""{_LABELS}
for one, scores in zip(encoded, outputs["logits"]):
    print(" ".join(f"{{t}}/{{labels[k]}}" for t, k, s in zip(one.tokens, scores.argmax(-1), one.special_tokens_mask) if not s))"""
_SPAN = """for (question, context), one, start, end in zip(texts, encoded, outputs["start_logits"], outputs["end_logits"]):
    inside = (np.array(one.type_ids) == 1) & (np.array(one.special_tokens_mask) == 0)
    scores = np.where(np.triu(np.outer(inside, inside)), start[:, None] + end, -np.inf)
    first, last = np.unravel_index(scores.argmax(), scores.shape)
    print(question, "->", context[one.offsets[first][0] : one.offsets[last][1]])"""
_CONDITIONAL = """threshold = THRESHOLD  # of the logit that there is no answer
logs = lambda x: x - x.max(-1, keepdims=True) - np.log(np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))
rows = (outputs[name] for name in ("start_logits", "starts", "end_logits", "no_answer_logits"))
for (question, context), one, start, places, ends, none in zip(texts, encoded, *rows):
    first = places.astype(int)[:, None]
    possible = (first > 0) & (np.arange(len(start)) >= first)
    best, last = np.unravel_index(np.where(possible, logs(start)[first] + logs(ends), -np.inf).argmax(), ends.shape)
    found = context[one.offsets[places[best]][0] : one.offsets[last][1]]
    print(question, "->", found if none <= threshold else "(no answer)")"""
_SENTENCES = """vectors = outputs["sentence_embedding"]  # of length 1
print("vectors", vectors.shape, "cosine similarities", *(vectors @ vectors.T).round(4).tolist())"""
_CHOOSE = f"""{_SOFTMAX}
for (_, choice), score in zip(texts, softmax(outputs["logits"])[0]):
    print(f"{{score:.4f}}\\t{{choice}}")"""
_VECTORS = """mask = inputs["attention_mask"][..., None]
vectors = (outputs["last_hidden_state"] * mask).sum(1) / mask.sum(1)  # the mean over each text's tokens
vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
print("vectors", vectors.shape, "cosine similarities", *(vectors @ vectors.T).round(4).tolist())"""

_DOCUMENT = (
    """texts = sys.argv[1:] or ["The river rose all night.", "Nobody slept.", "In the morning the bridge was gone."]"""
)
_IMPORTANCE = """starts = inputs["input_ids"][0] == tokenizer.token_to_id("[CLS]")  # what the scorer says, without the graph
for text, score in zip(texts, 1 / (1 + np.exp(-outputs["logits"][0, starts, 0]))):
    print(f"{score:.4f}\\t{text}")"""

_EACH = """encoded = tokenizer.encode_batch(texts)
fields = {{"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}}
inputs = {{name: np.array([getattr(one, field) for one in encoded], dtype=np.int64){choices} for name, field in fields.items()}}"""
_TOGETHER = """encoded = [tokenizer.encode(text) for text in texts]  # sentences of one text, each with its own [CLS] and [SEP]
inputs = {{"input_ids": [one.ids for one in encoded], "token_type_ids": [[k % 2] * len(one.ids) for k, one in enumerate(encoded)]}}
inputs = {{name: np.concatenate(parts)[None, :{max_length}] for name, parts in inputs.items()}}
inputs["attention_mask"] = np.ones_like(inputs["input_ids"])"""

_SCRIPT = '''"""Run this model with {runtime}, tokenizers and numpy: python example.py {usage}"""
import json
import sys
from pathlib import Path

import numpy as np
{imports}
from tokenizers import Tokenizer

folder = Path(__file__).parent
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.enable_truncation({max_length})
tokenizer.enable_padding(pad_id={pad_id}, pad_token="{pad}")
{open}
{texts}
{encoded}
{run}
{rest}
'''


def example(subject: Subject, kind: str, *, int8: bool) -> str:
    """Return the script.

    Args:
        subject: What was exported.
        kind: ``onnx`` or ``openvino``.
        int8: Whether in int8.
    """
    texts, rest, usage = _parts(subject)
    template = _SCRIPT if "json." in rest else _SCRIPT.replace("import json\n", "")
    # By itself OpenVINO computes float32 models in bfloat16 where the processor has it, which changes the third digit.
    hints = "{}" if int8 else '{"INFERENCE_PRECISION_HINT": "f32"}'
    opened = _OPEN[kind] if kind == "onnx" else _OPEN[kind].format(hints=hints)
    encoded = (_TOGETHER if isinstance(subject.task, SummarizeTask) else _EACH).format(
        choices="[None]" if subject.head == "choice" else "", max_length=subject.max_length
    )
    return template.format(
        runtime=_IMPORTS[kind].removeprefix("import "), usage=usage, imports=_IMPORTS[kind], max_length=subject.max_length,
        pad_id=subject.tokenizer.pad_id, pad=subject.tokenizer.specials["pad"], open=opened, run=_RUN[kind], texts=texts,
        encoded=encoded, rest=rest,
    )  # fmt: skip


def _parts(subject: Subject) -> tuple[str, str, str]:
    """Return how the script gets its texts, what it does with the outputs, and how it is called."""
    one, two = '"some text" ...', '"first text" "second text" ...'
    if subject.head in ("sequence", "vector-classifier"):
        pairs, rest = _sequence(subject.task)
        return (_PAIRS, rest, two) if pairs else (_TEXTS, rest, one)
    if isinstance(subject.task, SummarizeTask):
        return _DOCUMENT, _IMPORTANCE, '"first sentence" "second sentence" ...'
    return {
        "encoder": (_TEXTS, _VECTORS, one),
        "pretraining": (_MASKS, _FILL.format(output="prediction_logits"), '"a [MASK] text" ...'),
        "masked-lm": (_MASKS, _FILL.format(output="logits"), '"a [MASK] text" ...'),
        "token": (_TEXTS, _TOKENS, one),
        "span": (_QUESTION, _SPAN, '"question" "text that answers it" ...'),
        "conditional-span": (_QUESTION, _conditional(subject.task), '"question" "text that answers it" ...'),
        "embedding": (_TEXTS, _SENTENCES, one),
        "choice": (_CHOICE, _CHOOSE, '"text" "choice" "choice" ...'),
    }[subject.head]


def _sequence(task: Task | None) -> tuple[bool, str]:
    """Return whether a classifier takes pairs, and what it does with the outputs: calibrated, decided as LiteBERT decides."""
    if isinstance(task, RerankTask):
        return True, _RELEVANCE
    if not isinstance(task, ClassifyTask):
        return bool(task is not None and task.to_dict().get("pairs")), _SINGLE.replace("LOGITS", _OUTPUT)
    decision = task.decision
    rest = {"multi": _MULTI, "regression": _VALUE}.get(task.kind, _POSITIVE if decision.thresholds else _SINGLE)
    scaled = _OUTPUT if decision.temperature in (None, 1.0) else f"{_OUTPUT} / {decision.temperature!r}"
    positive = f"{decision.positive}, {decision.thresholds[0]!r}" if rest is _POSITIVE else ""
    return bool(task.pairs), rest.replace("LOGITS", scaled).replace("POSITIVE", positive)


def _conditional(task: Task | None) -> str:
    return _CONDITIONAL.replace("THRESHOLD", repr(task.threshold if isinstance(task, QaTask) else 0.0))

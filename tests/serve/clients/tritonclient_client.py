"""Triton's HTTP client against a server: health, metadata, inference with JSON and with binary inputs, errors."""

import sys
from importlib.metadata import version

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1].removeprefix("http://"))
model = "litebert-small-en-embed"
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert client.is_model_ready(model, "1") and not client.is_model_ready("nobody")
assert client.get_server_metadata()["name"] == "litebert"
assert client.get_model_metadata(model)["outputs"][0]["name"] == "embedding"


def tensor(name, texts, binary):
    one = triton.InferInput(name, [len(texts)], "BYTES")
    one.set_data_from_numpy(np.array(texts, dtype=object), binary_data=binary)
    return one


found = []
for binary in (False, True):
    outputs = [triton.InferRequestedOutput("embedding", binary_data=binary)]
    answer = client.infer(model, [tensor("text", ["a dog", "Łódź"], binary)], request_id="42", outputs=outputs)
    assert answer.get_response()["id"] == "42"
    found.append(answer.as_numpy("embedding"))
assert found[0].shape == (2, 384) and found[0].dtype == np.float32 and np.allclose(*found, atol=1e-2)

labels = client.infer("mood", [tensor("text", ["good"], False)])
assert labels.as_numpy("label").shape == (1,) and labels.as_numpy("scores").shape == (1, 3)
ranked = client.infer("ranker", [tensor("query", ["pets"], False), tensor("text", ["a dog", "rain"], False)])
assert ranked.as_numpy("score").shape == (2,)
answer = client.infer("squad", [tensor("question", ["Who?"], False), tensor("context", ["Ann went home."], False)])
assert answer.as_numpy("answer").shape == (1,) and answer.as_numpy("start").dtype == np.int64

try:
    client.infer(model, [tensor("text", [], False)])
except InferenceServerException as error:
    assert "empty" in str(error), error
else:
    raise AssertionError("nothing was embedded")
print("ok", version("tritonclient"))

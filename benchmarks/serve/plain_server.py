"""What people write: FastAPI around transformers, one request after the other. A peer for ``peers.py``.

python benchmarks/serve/plain_server.py MODEL_FOLDER PORT WINDOW
"""

from __future__ import annotations

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import AutoModel, AutoTokenizer

app = FastAPI()
state: dict[str, object] = {}


class Body(BaseModel):
    input: str | list[str]


@app.post("/embeddings")
def embeddings(body: Body) -> dict:
    texts = [body.input] if isinstance(body.input, str) else body.input
    tokenizer, model = state["tokenizer"], state["model"]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=state["window"], return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    return {"data": [{"index": i, "embedding": vector} for i, vector in enumerate(vectors.tolist())]}


if __name__ == "__main__":
    folder, port, window = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    state["tokenizer"], state["model"] = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    state["window"] = window
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")

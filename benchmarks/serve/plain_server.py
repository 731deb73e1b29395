"""What people write: FastAPI around transformers, one request after the other. A peer for the load test.

python benchmarks/serve/plain_server.py MODEL_FOLDER PORT
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
    inputs: str | list[str]


@app.post("/embed")
def embed(body: Body) -> list[list[float]]:
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    tokenizer, model = state["tokenizer"], state["model"]
    batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"][..., None]
    vectors = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
    return vectors.tolist()


if __name__ == "__main__":
    folder, port = sys.argv[1], int(sys.argv[2])
    state["tokenizer"], state["model"] = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")

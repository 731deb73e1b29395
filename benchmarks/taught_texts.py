"""Write the texts that ``litebert-small-en-embed`` was taught with: sentences of the corpus, and of pairs that are free to use.

    LITEBERT_DATA=DIR python benchmarks/taught_texts.py --corpus FOLDER --out texts.jsonl [--count 600000]
                                                        [--terms 350000] [--passages 20000] [--seed 1]

FOLDER holds the corpus' English text files, a paragraph a line; DIR the public data sets. One in eight texts is a run of two or three
sentences; passages fill what the model reads at once, since they are searched, too. Terms are words, the frequent ones all, and runs of
two to six: what a word means is learnt from them at a sixth of a sentence's cost. Nothing of what the model is judged on is read: no
test split of STS-B, no SICK, no Cranfield.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from litebert.files import write_lines
from litebert.text.sentences import split_sentences

SHARES = {
    "wiki-en": 0.62,
    "textbooks-en": 0.12,
    "books-en": 0.14,
    "speeches-en": 0.02,
    "docs-python": 0.04,
    "biomed": 0.06,
}
"""Of the sentences of the corpus, by the beginning of the file's name."""
LEAST, MOST = 12, 420
"""Characters of a text."""
PASSAGE = (360, 560)
"""Characters of a passage."""
OFTEN = 12
"""How often a word comes in the corpus to be a text by itself."""
_WORD = re.compile(r"[^\W\d_][\w'-]*")
_CLAUSE = re.compile(r"[^.,;:!?()\[\]\"]+")
_EDGES = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "i",
        "in",
        "is",
        "it",
        "its",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "she",
        "so",
        "that",
        "the",
        "their",
        "them",
        "they",
        "this",
        "to",
        "was",
        "we",
        "were",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)
"""Words that a run neither begins nor ends with."""


def paragraphs(folder: Path, start: str, draw: random.Random) -> list[str]:
    paths = sorted(path for path in folder.glob(f"{start}*.txt") if "heldout" not in path.name)
    lines = [
        line
        for path in paths
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if len(line) > LEAST
    ]
    draw.shuffle(lines)
    return lines


def of_terms(folder: Path, count: int, draw: random.Random) -> Iterator[str]:
    words: Counter[str] = Counter()
    for start in SHARES:
        for line in paragraphs(folder, start, draw):
            words.update(word.lower() for word in _WORD.findall(line))
    alone = [word for word, often in words.most_common() if often >= OFTEN and len(word) > 2][:count]
    yield from alone
    for start, share in SHARES.items():
        wanted = round((count - len(alone)) * share)
        for line in paragraphs(folder, start, draw):
            clauses = [clause.split() for clause in _CLAUSE.findall(line)]
            for words_of in draw.sample(clauses, min(3, len(clauses))):
                length = draw.randint(2, 6)
                place = draw.randint(0, max(0, len(words_of) - length))
                run = words_of[place : place + length]
                if len(run) > 1 and not {run[0].lower(), run[-1].lower()} & _EDGES:
                    wanted -= 1
                    yield " ".join(run)
            if wanted <= 0:
                break


def of_passages(folder: Path, count: int, draw: random.Random) -> Iterator[str]:
    for start, share in SHARES.items():
        wanted = round(count * share)
        for line in paragraphs(folder, start, draw):
            sentences, text = split_sentences(line), ""
            for sentence in sentences[draw.randrange(max(1, len(sentences) // 2)) :]:
                text = f"{text} {sentence}".strip()
                if len(text) >= PASSAGE[0]:
                    break
            if PASSAGE[0] <= len(text) <= PASSAGE[1]:
                wanted -= 1
                yield text
            if wanted <= 0:
                break


def of_corpus(folder: Path, count: int, draw: random.Random) -> Iterator[str]:
    for start, share in SHARES.items():
        lines = paragraphs(folder, start, draw)
        wanted = round(count * share)
        for line in lines:
            sentences = split_sentences(line)
            place = 0
            while place < len(sentences) and wanted > 0:
                run = draw.choice((2, 3)) if draw.random() < 1 / 8 else 1
                text = " ".join(sentences[place : place + run]).strip()
                place += run
                if LEAST <= len(text) <= MOST and draw.random() < 0.5:
                    wanted -= 1
                    yield text
            if wanted <= 0:
                break


def rows(path: Path, header: bool = False) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[int(header) :]


def of_pairs(data: Path) -> Iterator[str]:
    tables = [
        (rows(data / "snli" / "validation.tsv", True), slice(-3, -1)),
        (rows(data / "snli" / "test.tsv", True), slice(-3, -1)),
        (rows(data / "glue-stsb" / "original" / "sts-train.tsv"), slice(5, 7)),
        (rows(data / "scitail" / "dev.txt"), slice(0, 2)),
        (rows(data / "scitail" / "test.txt"), slice(0, 2)),
        (rows(data / "pawsx" / "dev-en.tsv"), slice(0, 2)),
        (rows(data / "glue-qnli" / "dev.tsv", True), slice(1, 3)),
        (rows(data / "glue-qnli" / "test.tsv", True), slice(1, 3)),
    ]
    for table, texts in tables:
        for row in table:
            yield from row[texts]
    for line in (data / "mnli-dev" / "dev.jsonl").read_text(encoding="utf-8").splitlines():
        pair = json.loads(line)
        yield from (pair["premise"], pair["hypothesis"])
    yield from of_squad(data / "squad-v1.1")


def of_squad(folder: Path) -> Iterator[str]:
    for path in folder.glob("train*.json"):
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        for paragraph in (paragraph for article in articles for paragraph in article["paragraphs"]):
            yield from (question["question"] for question in paragraph["qas"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--count", type=int, default=600_000, help="sentences and texts of pairs")
    parser.add_argument("--terms", type=int, default=0)
    parser.add_argument("--passages", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    pairs = list(
        dict.fromkeys(t.strip() for t in of_pairs(Path(os.environ["LITEBERT_DATA"])) if LEAST <= len(t.strip()) <= MOST)
    )
    corpus = of_corpus(arguments.corpus, arguments.count - len(pairs), draw)
    passages = of_passages(arguments.corpus, arguments.passages, draw) if arguments.passages else ()
    terms = of_terms(arguments.corpus, arguments.terms, draw) if arguments.terms else ()
    texts = list(dict.fromkeys([*pairs, *corpus, *passages, *terms]))
    draw.shuffle(texts)
    write_lines(arguments.out, (json.dumps({"text": text}, ensure_ascii=False) for text in texts))
    print(f"{len(texts)} texts, {len(pairs)} of them of pairs")


if __name__ == "__main__":
    main()

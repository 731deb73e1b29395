"""Write docs/benchmarks.md from benchmarks/results; a test compares the two.

python benchmarks/tables.py
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from engine_tables import elastic, exports, loader
from result_files import FOLDER, header, machine, read
from task_rows import WHY

ONE_RUN = 0.01
"""What a figure of one run may be off, where it is compared with that of another."""
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def forward() -> list[str]:
    data = read("forward")
    names = list(data["rows"][0]["ms"])
    lines = [
        f"\n## One forward pass against transformers {data['transformers']}\n",
        f"`{data['command']}`, preset {data['preset']}, {data['dtype']}, milliseconds, {data['statistic']}. {machine(data['environment'])}.\n",
        *header(f"| batch x length | {' | '.join(names)} | times faster | largest difference of a logit |"),
    ]
    for row in data["rows"]:
        shape = f"{row['batch']} x {row['length']}" + (", ragged" if row["ragged"] else "")
        best = max(row["times_faster"].values())
        times = " | ".join(f"{row['ms'][n]:.1f}" for n in names)
        lines.append(f"| {shape} | {times} | {best:.2f} | {row['largest_difference']:.0e} |")
    return lines


def tokenizer() -> list[str]:
    data = read("tokenizer")
    lines = [
        f"\n## Tokenizer against transformers {data['versions']['transformers']}\n",
        f'`{data["command"]}`, million tokens a second, {data["statistic"]}. "raw" is the Rust object inside the peer, without its Python.\n',
        *header("| input | threads | offsets | litebert | AutoTokenizer | raw | ratio | ratio to raw |"),
    ]
    for row in data["rows"]:
        speed = row["million_tokens_per_second"]
        lines.append(
            f"| {row['input']} | {row['threads']} | {'yes' if row['offsets'] else 'no'} | {speed['ours']:.2f} | "
            f"{speed['theirs']:.2f} | {speed['theirs raw']:.2f} | {row['ratio_to_theirs']:.2f} | {row['ratio_to_theirs_raw']:.2f} |"
        )
    return lines


def glue() -> list[str]:
    data = read("glue_random")
    lines = [
        "\n## GLUE from random weights\n",
        f"`python benchmarks/glue_random.py`, {data['model']}, dev, median of the seeds. {machine(data['environment'])}. "
        "QQP is a part of the official data, divided by us; QNLI and MNLI have no training file here.\n",
        *header("| task | seeds | scores | most frequent label | restarts | wall seconds | peak MB | conditions |"),
    ]
    for task, row in data["tasks"].items():
        scores = ", ".join(
            f"{k} {v:.3f}"
            for k, v in row["median"].items()
            if k in ("accuracy", "f1", "matthews", "pearson", "spearman")
        )
        base = ", ".join(f"{k} {v:.3f}" for k, v in row["baseline"].items() if k != "rmse") or "-"
        restarts = sum(seed["restarts"] for seed in row["seeds"])
        lines.append(
            f"| {task} | {len(row['seeds'])} | {scores} | {base} | {restarts} | {row['wall_seconds']:.0f} | {row['peak_memory_mb']:.0f} | {row['note']} |"
        )
    return lines


def demo() -> list[str]:
    data = read("demo")
    return [
        "\n## The demo\n",
        f"`{data['command']}`: {data['wall_seconds']:.0f} seconds, {data['peak_memory_mb']:.0f} MB at most, accuracy "
        f"{data['metrics']['accuracy']:.3f} on 77 intents, fine-tuning the bundled checkpoint. {machine(data['environment'])}.",
    ]


def pretraining() -> list[str]:
    data = read("pretraining")
    lines = [
        f"\n## A pretraining step against transformers {data['transformers']}\n",
        f"`{data['command']}`, vocabulary of {data['vocabulary']:,}, {data['dtype']}, tokens a second, {data['statistic']}. "
        f"Recomputing is `training.gradient_checkpointing`. {machine(data['environment'])}."
        + (f" Note: {data['note']}." if data.get("note") else "")
        + "\n",
        *header(
            "| shape | batch | litebert | transformers | the same compiled | times faster | than compiled | peak MB | of its memory "
            "| recomputing: times faster | of its memory | utilisation | loader's share |"
        ),
    ]
    for row in data["rows"]:
        speed, memory = row["tokens_per_second"], row["peak_mb"]
        again = [row.get(name) for name in ("times_faster_recomputing", "memory_ratio_recomputing")]
        recomputing = " | ".join("-" if value is None else f"{value:.2f}" for value in again)
        lines.append(
            f"| {row['shape']} | {row['batch']} | {speed['litebert']:,} | {speed['transformers']:,} | {speed['transformers compiled']:,} | "
            f"{row['times_faster']:.2f} | {row['times_faster_than_compiled']:.2f} | {memory['litebert']} to {memory['transformers']} | "
            f"{row['memory_ratio']:.2f} | {recomputing} | {row['mfu']:.1%} | {row['loader']['share_of_the_step']:.1%} |"
        )
    return lines


def inference() -> list[str]:
    data = read("inference")
    versions = ", ".join(f"{name} {version}" for name, version in data["peers"].items())
    ceilings = ", ".join(f"{name} {value:,}" for name, value in data["ceilings_gflops"].items())
    lines = [
        "\n## The engine against what people use instead\n",
        f"`{data['command']}`, {data['preset']} with random weights, milliseconds, {data['statistic']}, all on the same inputs. {versions}; "
        f"{machine(data['environment'])}. Matrix-product ceilings of the machine in GFLOP/s: {ceilings}.\n",
        "The mix is real text, pairs and passages of 5 to 512 tokens: peers in batches of "
        f"{data['peer_batches']['as they come']} in the order of arrival, padded to the longest, then in batches of "
        f"{data['peer_batches']['sorted']} sorted by length; LiteBERT gets the same list and cuts it itself.\n",
        "int8 has its ranges from the same prose in ours and NNCF.\n" if "int8_calibration" in data else
        "NNCF was calibrated on random ids in this run, ours on prose: its largest difference says nothing about real texts (on prose it is ours).\n",
    ]  # fmt: skip
    rows = {**data["shapes"], **{f"mix, {title}": row for title, row in data["mix"].items()}}
    names = list(next(iter(rows.values()))["ms"])
    lines += header(f"| program | {' | '.join(rows)} | largest difference |")
    for name in names:
        times = " | ".join(f"{row['ms'][name]:,.1f}" for row in rows.values())
        lines.append(
            f"| {name} | {times} | {max(row['largest_difference'].get(name, 0) for row in rows.values()):.0e} |"
        )
    lines += ["\nOurs against the best peer of the same precision, and the share of the ceiling it reaches:\n"]
    lines += header(f"| precision | {' | '.join(rows)} |")
    for precision in ("fp32", "bf16", "int8"):
        cells = []
        for row in rows.values():
            found = row["against_the_best_peer"].get(precision)
            share = row["of_the_ceiling"].get(found["ours"]) if found else None
            cells.append(f"{found['times_faster']:.2f} ({found['ours']}, {share:.0%})" if found and share else "-")
        lines.append(f"| {precision} | {' | '.join(cells)} |")
    first = data["first_answer"]
    lines.append(
        f"\nA fresh process answers its first text after {first['seconds']:.1f} seconds (import, load, one sentence; fp32) "
        f"and takes {first['peak_mb']} MB at most.\n"
    )
    return lines


def corpus() -> list[str]:
    data = read("corpus")
    peer = data["peer"]
    lines = [
        "\n## Building a corpus\n",
        f"`{data['command']}`, {data['statistic']}, {data['workers']} workers. {machine(data['environment'])}. For comparison, Google's "
        f"`{peer['program']}` was measured at {peer['megabytes']} MB in {peer['seconds']} s on a machine of two cores, {peer['start_up_seconds']} s of "
        "which are its start.\n",
        *header("| work | MB | seconds | MB a second | times Google's | without its start |"),
    ]
    for row in data["rows"]:
        lines.append(
            f"| {row['program']} | {row['megabytes']} | {row['seconds']:.2f} | {row['megabytes_per_second']} | {row['times_peer']} | "
            f"{row['times_peer_without_its_start_up']} |"
        )
    return lines


def checkpoint() -> list[str]:
    data = read("checkpoint")
    lines = [
        f"\n## Fine-tuning {data['model']}\n",
        "`python benchmarks/checkpoint.py`: the same recipe from the checkpoint and from random weights, dev, median (standard deviation) of "
        f"the seeds; TF-IDF of words and word pairs with a linear model; published test figures of BERT-Tiny and BERT-Mini. "
        f"{machine(data['environment'])}.\n",
        *header("| task | metric | the checkpoint | random weights | bag of words | BERT-Tiny | BERT-Mini |"),
    ]
    for task, row in data["tasks"].items():
        arms = [row.get(arm) for arm in ("pretrained", "random")]
        cells = [f"{a['median']:.3f} ({a['deviation']:.3f}, {len(a['scores'])} seeds)" if a else "-" for a in arms]
        others = [data["published"][name].get(task) for name in ("BERT-Tiny", "BERT-Mini")]
        cells += [f"{row['bag of words']['median']:.3f}", *(f"{o / 100:.3f}" if o is not None else "-" for o in others)]
        lines.append(f"| {task} | {row['bag of words']['metric']} | {' | '.join(cells)} |")
    return lines


def tasks() -> list[str]:
    data = read("tasks")
    return ["\n## Every task\n", *tasks_table(data)]


def tasks_table(data: dict) -> list[str]:
    """Return the table of ``tasks.py``: what the model reaches, and what it has to beat; a figure that does not is marked."""
    lines = [
        f"`{data['command']}`: {data['model']} fine-tuned on each benchmark, median (standard deviation) of the seeds, on the split named. "
        f"The baselines are trained on the same records. {machine(data['environment'])}.\n",
        *header(
            "| benchmark | task | metric | split | the model | without learning | words without order | trained on | scored on | recipe | minutes a seed | note |"
        ),
    ]
    for name, row in data["rows"].items():
        spread = f"{row['deviation']:.3f}, {len(row['scores'])} seeds" if row["deviation"] is not None else "1 run"
        beside = [f"{one['value']:.3f} ({one['name']})" if (one := row[kind]) else "-" for kind in ("trivial", "words")]
        least = row["median"] - (ONE_RUN if row["deviation"] is None else row["deviation"])
        others = [one for kind in ("trivial", "words") if (one := row[kind])]
        beaten_by = [one["name"] for one in others if row["median"] <= one["value"]]
        beside_it = [one["name"] for one in others if least <= one["value"] < row["median"]]
        notes = [f"**not above: {' and '.join(beaten_by)}**"] if beaten_by else []
        notes += [f"**hardly above: {' and '.join(beside_it)}**"] if beside_it else []
        notes += [WHY[name]] if name in WHY and notes else []
        notes += (
            [", ".join(f"{metric} {value:.3f}" for metric, value in row["others"].items())] if row["others"] else []
        )
        notes += [row["note"]] if row.get("note") else []
        counts = [
            f"{row['records'][part]:,}" if row["records"][part] is not None else "-" for part in ("train", "test")
        ]
        minutes = "-" if row["minutes_a_seed"] is None else f"{row['minutes_a_seed']:.1f}"
        lines.append(
            f"| {name} | {row['task']} | {row['metric']} | {row['split']} | {row['median']:.3f} ({spread}) | {' | '.join(beside)} | "
            f"{' | '.join(counts)} | {row['recipe']} | {minutes} | {'; '.join(notes)} |"
        )
    left_out = [f"- {name}: {why}." for name, why in data["skipped"].items() if name not in data["rows"]]
    return [*lines, *(["\nLeft out:\n", *left_out] if left_out else [])]


def embeddings() -> list[str]:
    data = read("embeddings")
    sets = list(next(iter(data["rows"].values()))["whole"])
    lines = [
        "\n## Sentence vectors\n",
        f"`{data['command']}`, Spearman's correlation with human similarities. {machine(data['environment'])}.\n",
        *header(f"| vectors by | form | {' | '.join(sets)} |"),
    ]
    for name, forms in data["rows"].items():
        lines += [f"| {name} | {form} | {' | '.join(f'{row[s]:.3f}' for s in sets)} |" for form, row in forms.items()]
    lines += [
        "\nTexts a second, in turn, the sentences of STS-B's dev split:\n",
        *header("| program | texts a second |"),
    ]
    return [*lines, *(f"| {label} | {value:,.0f} |" for label, value in data["texts_a_second"].items())]


def search() -> list[str]:
    data = read("search")
    lines = ["\n## Search\n"]
    if found := data.get("cranfield"):
        lines += [
            f"`{found['command']}`, Cranfield, nDCG@10, a document by its best chunk. {machine(found['environment'])}.\n",
            *header("| vectors by | numbers | BM25 | dense | hybrid | hybrid, a quarter dense |"),
        ]
        for name, row in found["rows"].items():
            modes = ("bm25", "dense", "hybrid", "hybrid, dense_weight=0.25")
            scores = " | ".join(f"{row[mode]['nDCG@10']:.3f}" if mode in row else "-" for mode in modes)
            lines.append(f"| {name} | {row['numbers']} | {scores} |")
    if found := data.get("faq"):
        lines += [
            f"\n`{found['command']}`, Banking77, {machine(found['environment'])}.\n",
            *header(
                "| vectors by | questions without an answer that get one | with an answer that get one | of these right | right if always answered |"
            ),
        ]
        columns = ("answered_all_the_same", "answered", "of_these_right", "right_if_always_answered")
        lines += [f"| {name} | {' | '.join(f'{row[c]:.3f}' for c in columns)} |" for name, row in found["rows"].items()]
    if found := data.get("vectors"):
        build, ask = found["build"], found["ask"]
        lines += [
            f"\n`{found['command']}`, {found['vectors']:,} vectors of {found['numbers']} numbers with {found['words_each']} words each. "
            f"{machine(found['environment'])}.\n",
            *header("| build s | build MB | disk MB | dense ms | recall@10 | exact ms | BM25 ms | asking MB |"),
            f"| {build['seconds']} | {build['largest_memory_mb']} | {build['folder_mb']} | {ask['dense']['median_ms']} | "
            f"{ask['dense']['recall_at_10']:.3f} | {ask['exact']['median_ms']} | {ask['bm25']['median_ms']} | {ask['largest_memory_mb']} |",
        ]
    return lines


def blimp() -> list[str]:
    rows = read("litebert-small-en-blimp")["data"]
    original = rows["blimp/original"]
    lines = [
        "\n## BLiMP\n",
        f"`litebert evaluate litebert-small-en --data BLIMP --benchmark blimp --precision bf16 --json`: {original['records']:,} pairs, which of two sentences "
        "has the higher pseudo-log-likelihood, mean over paradigms, ties as one half; the control adds up the vocabulary's own scores of the pieces.\n",
        *header("| phenomenon | " + " | ".join(name.removeprefix("blimp/").replace("_", " ") for name in rows) + " |"),
    ]
    for phenomenon in original["phenomena"]:
        figures = " | ".join(f"{100 * row['phenomena'][phenomenon]:.1f}" for row in rows.values())
        lines.append(f"| {phenomenon.replace('_', ' ')} | {figures} |")
    means = " | ".join(f"{100 * row['metrics']['accuracy']:.1f}" for row in rows.values())
    control = "".join(f"; control {100 * value:.1f}" for value in original["baseline"].values())
    return [*lines, f"| all 67 paradigms{control} | {means} |"]


def serve_load(name: str = "serve_load") -> list[str]:
    data = read(name)
    tokens = data["tokens"]
    processes = "" if data.get("workers", 1) == 1 else f", {data['workers']} processes"
    rounds = f"{data['rounds']} times {data['seconds']:g} s each in turn"
    lines = [
        f"\n## The server under load{processes}\n",
        f"`{data['command']}`, {data['model']} ({data['precision']}), sentences, pairs and passages of {tokens['mean']:.0f} tokens on average, "
        f"{tokens['most']} at most, to `/embed`, {rounds}, client and server on one machine. Requests come at random moments "
        f"whatever becomes of those before, and their time counts from the moment they were due. {machine(data['environment'])}.\n",
        *header(
            "| load | offered a second | answered a second | tokens a second | refused | errors | p50 ms | p95 ms | p99 ms | 429 p99 ms | client late, p99 ms |"
        ),
    ]
    for name, row in {
        "closed loop": data["capacity"],
        **{f"{rate} x": row for rate, row in data["rates"].items()},
    }.items():
        times = " | ".join(figure(row[key]) for key in ("p50_ms", "p95_ms", "p99_ms", "refused_p99_ms"))
        late = figure(row["client"]["lag_p99_ms"]) if name != "closed loop" else "-"
        lines.append(
            f"| {name} | {row['offered_per_second']:,.0f} | {row['goodput_per_second']:,.0f} | {row['goodput_tokens_per_second']:,} | "
            f"{row['refused']:,} | {sum(row['errors'].values())} | {times} | {late} |"
        )
    said = [
        f"{name} {bar['found']} ({bound(bar)}{'' if bar['kept'] else ', **missed**'})"
        for name, bar in data["bars"].items()
    ]
    return [*lines, f"\nAt the highest load: {'; '.join(said)}."]


def serve_peers() -> list[str]:
    data = read("serve_peers")
    versions = "; ".join(
        f"{peer}: {', '.join(f'{n} {v}' for n, v in those.items())}" for peer, those in data["versions"].items()
    )
    lines = [
        "\n## The server beside others\n",
        f"`{data['command']}`, {data['model']} with a window of {data['window']} tokens, {data['mean_tokens']:.0f} tokens a request on average: "
        f"requests a second of which 99 in 100 are answered within {data['limit_ms']:g} ms, servers asked in turn. {versions}. "
        f"{machine(data['environment'])}.\n",
        *header("| server | requests a second | p50 ms | p99 ms | closed loop, a second | least cosine |"),
    ]
    for name, row in data["servers"].items():
        title = f"{name} ({data['precision'][name]})" if name in data["precision"] else name
        figures = " | ".join(figure(row.get(key)) for key in ("held_per_second", "p50_ms", "p99_ms"))
        closed = row["closed_loop"]["goodput_per_second"]
        lines.append(f"| {title} | {figures} | {figure(closed)} | {data['least_cosine'][name]:.5f} |")
    said = [
        f"{ours}: {', '.join(f'{figure(t)} times {peer}' for peer, t in those.items())}"
        for ours, those in data["times_the_peers"].items()
    ]
    return [*lines, f"\n{'; '.join(said)}."]


def serve_soak() -> list[str]:
    data = read("serve_soak")
    flat = data["flatness"]
    statuses = ", ".join(f"{number:,} times {status}" for status, number in data["statuses"].items())
    lines = [
        f"\n## The server for {data['minutes']:g} minutes\n",
        f"`{data['command']}`: {data['requests']:,} requests to {data['routes']} routes at {data['load']:.0%} of what it can do "
        f"({statuses}; {sum(data['left'].values()):,} clients left). {machine(data['environment'])}.\n",
        *header(
            "| of the process | mean | slope a minute | largest less smallest | idle after the warm-up | idle at the end | flat |"
        ),
    ]
    for key, title in (("rss_mb", "memory, MB"), ("files", "file handles"), ("threads", "threads")):
        row = flat[key]
        lines.append(
            f"| {title} | {row['mean']:,} | {row['slope_per_minute']:+.3f} | {row['range']:,} | {row['idle_before']} | {row['idle_after']} | "
            f"{'yes' if row['flat'] else '**no**'} |"
        )
    wrong, differ = sum(data["unexpected"].values()), len(data["counters_that_differ"])
    quarters = ", ".join(figure(one["p99"]) for one in data["ms_by_quarter"])
    return [
        *lines,
        f"\np99 by quarter of the time: {quarters} ms. Answers with another status than was due: {wrong}; counters that differ from the clients': {differ}.",
    ]


def serve_first_answer() -> list[str]:
    data = read("serve_first_answer")
    return [
        "\n## The server's first answer\n",
        f"`{data['command']}`: {data['seconds']:.2f} seconds from starting `litebert serve {data['model']}` to its first answer, median of "
        f"{len(data['runs'])}; {max(run['peak_mb'] for run in data['runs'])} MB at most. {machine(data['environment'])}.",
    ]


def figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


def bound(bar: dict) -> str:
    return f"at least {bar['at_least']}" if "at_least" in bar else f"at most {bar['at_most']}"


SECTIONS = {
    "inference": inference, "elastic": elastic, "exports": exports, "forward": forward, "tokenizer": tokenizer, "pretraining": pretraining, "loader": loader, "corpus": corpus,
    "checkpoint": checkpoint, "litebert-small-en-blimp": blimp, "tasks": tasks, "embeddings": embeddings, "search": search, "serve_load": serve_load, "serve_load_processes": partial(serve_load, "serve_load_processes"), "serve_peers": serve_peers,
    "serve_soak": serve_soak, "serve_first_answer": serve_first_answer, "glue_random": glue, "demo": demo,
}  # fmt: skip
"""By the name of the file of results; what was not measured is left out."""


def page() -> str:
    head = ["<!-- Generated by `make docs`; a test compares it with the results. -->\n", "# Measurements\n"]
    parts = [section() for name, section in SECTIONS.items() if (FOLDER / f"{name}.json").is_file()]
    return "\n".join([*head, *(line for part in parts for line in part)]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())

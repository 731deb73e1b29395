"""Tables about exports, depth and precision on real tasks, and the loader."""

from __future__ import annotations

from result_files import header, machine, read


def exports() -> list[str]:
    """Return the sizes of exported graphs."""
    data = read("exports")
    lines = [
        "\n## Exported graphs\n",
        f"`{data['command']}`, head {data['head']}, random weights; folded: what ONNX Runtime writes after folding constants; difference: the largest to "
        f"PyTorch, for int8 the relative error. {machine(data['environment'])}.\n",
        *header("| preset | format | precision | MB | folded MB | difference | seconds to export |"),
    ]
    for row in data["rows"]:
        after = f"{row['folded_megabytes']:.1f}" if "folded_megabytes" in row else "-"
        lines.append(
            f"| {row['preset']} | {row['format']} | {row['precision']} | {row['megabytes']:.1f} | {after} | {row['difference']:.1e} | {row['seconds']:.0f} |"
        )
    return lines


def elastic() -> list[str]:
    """Return what fewer applications, early exit and lower precision cost and save on real tasks."""
    data = read("elastic")
    lines = [
        "\n## Depth, early exit and precision on real tasks\n",
        f"`{data['command']}`: {data['model']} fine-tuned as usual and with `elastic=true`; accuracy, and how many times as fast as all applications in fp32, "
        f"tokenising included, {data['statistic']}. {machine(data['environment'])}.\n",
    ]
    tasks = list(data["tasks"])
    lines += [
        *header("| way of answering | " + " | ".join(f"{task}, usual | {task}, elastic" for task in tasks) + " |"),
    ]
    for way in next(iter(data["tasks"].values()))["usual"]:
        cells = []
        for task in tasks:
            for kind in ("usual", "elastic"):
                row = data["tasks"][task][kind][way]
                cells.append(f"{row['accuracy']:.3f}, {row['times_faster']:.2f}x")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def loader() -> list[str]:
    """Return how long the loader makes a step wait."""
    data = read("loader")
    lines = [
        "\n## The loader while a window ends\n",
        f"`{data['command']}`: a corpus of {data['tokens']:,} tokens, batches of {data['batch']}, steps of {data['step_ms']:g} ms beside it. "
        f"{machine(data['environment'])}.\n",
        *header("| loader processes | stretch | steps | median wait ms | longest ms | share of the time |"),
    ]
    lines += [
        f"| {row['workers']} | {row['stretch']} | {row['steps']} | {row['median_ms']:.1f} | {row['longest_ms']:.0f} | {row['share_of_the_time']:.2%} |"
        for row in data["rows"]
    ]
    starts = ", ".join(f"{name} {seconds:.1f}" for name, seconds in data["seconds_to_the_first_batch"].items())
    return [*lines, f"\nSeconds to the first batch: {starts}."]

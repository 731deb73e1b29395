"""The SentencePiece trainer in a process of its own, so that Ctrl-C stops it at once.

The library trains in C++ and looks at no signal before it is done. Here it is a child: the parent reads its log, turns its
assertions into errors that name the number that would do, and kills it when it is itself interrupted.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from litebert.errors import DataError, LitebertError, MachineError, RunError

_FAILED = 3
_TOO_LARGE = re.compile(r"Vocabulary size too high \((\d+)\)\. Please set it to a value <= (\d+)")
_TOO_SMALL = re.compile(r"Vocabulary size is smaller than required_chars\. (\d+) vs (\d+)")
_ROUND = re.compile(r"EM sub_iter=0 size=(\d+)")


def train(
    flags: Mapping[str, Any], folder: Path, seed: int, on_pieces: Callable[[int], None], *, verbose: bool = False
) -> None:  # fmt: skip
    """Run the trainer.

    Args:
        flags: Arguments of ``SentencePieceTrainer.train``.
        folder: Where the paths in the flags begin. The model remembers those, so they should not say where it was made.
        seed: For the trainer's own sampling.
        on_pieces: Called with the number of candidate pieces that are left, whenever it shrinks.
        verbose: Pass the library's log on to stderr.

    Raises:
        DataError: The vocabulary size is impossible for these data; names the nearest that works.
        MachineError: The process was killed from outside, most likely for want of memory.
        RunError: The trainer failed otherwise.
    """
    paths = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    command = [sys.executable, "-P", "-m", __name__]
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": paths}, text=True, encoding="utf-8", errors="replace",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        assert child.stdin is not None and child.stdout is not None and child.stderr is not None
        try:
            with suppress(BrokenPipeError):  # a child that died at once says why in its log
                child.stdin.write(json.dumps({"seed": seed, "flags": dict(flags)}))
                child.stdin.close()
            last = ""
            for line in child.stderr:
                last = line.strip() or last
                if verbose:
                    sys.stderr.write(line)
                found = _ROUND.search(line)
                if found:
                    on_pieces(int(found[1]))
            answer = child.stdout.read()
            code = child.wait()
        except BaseException:
            child.kill()
            raise
    if code:
        raise _explained(code, answer if code == _FAILED else last)


def _explained(code: int, message: str) -> LitebertError:
    large, small = _TOO_LARGE.search(message), _TOO_SMALL.search(message)
    if large:
        return DataError(
            f"a vocabulary of {large[1]} pieces is more than this text supports: it has {large[2]}",
            hint=f"Use --size {large[2]} or less, or more text.",
        )
    if small:
        return DataError(
            f"a vocabulary of {small[1]} pieces has no room for the characters of this text: they need {small[2]}",
            hint=f"Use --size {small[2]} or more, or a lower --coverage.",
        )
    if code == -signal.SIGKILL or "bad_alloc" in message:
        return MachineError(
            "the SentencePiece trainer was killed, most likely for want of memory",
            hint="Use a smaller sample (--sample-mb).",
        )
    return RunError(f"SentencePiece could not train the vocabulary (exit code {code}): {message.strip()}")


def _main() -> int:
    # The default action ends the process at once, in the middle of C++ too; Python's own would wait for the end of the call.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _end_with_parent()
    order = json.load(sys.stdin)
    import sentencepiece

    sentencepiece.set_random_generator_seed(order["seed"])
    try:
        sentencepiece.SentencePieceTrainer.train(**order["flags"])
    except (RuntimeError, ValueError, OSError) as error:
        sys.stdout.write(str(error))
        return _FAILED
    return 0


def _end_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        set_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2): a parent that is killed takes the trainer with it
        ctypes.CDLL(None).prctl(set_death_signal, int(signal.SIGKILL))


if __name__ == "__main__":
    sys.exit(_main())

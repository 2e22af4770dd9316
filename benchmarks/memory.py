"""Compare the memory that `llamaner plan` foretells with what extraction takes at its peak.

    python benchmarks/memory.py [--model default]
    python benchmarks/memory.py --adapt [--model default]

Each row is a process of its own. "program" is what the process takes before the weights are read:
Python, PyTorch, Transformers and the tokenizer. "peak" is the largest resident set; the ratios are
measured / planned, of all of it and of what comes on top of the program.

With --adapt: what two steps of `adapt = "lora"` take on top of weights and program, with and
without gradient checkpointing, and the processor's seconds for a step.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROWS = (
    {"precision": "float32"},
    {"precision": "bfloat16"},
    {"precision": "bfloat16", "half": True},
    {"precision": "bfloat16", "token_budget": 8192},
    {"precision": "int8"},
    {"precision": "bfloat16", "quantization": "4bit"},
)
ADAPTED = tuple(
    {"precision": "bfloat16", "quantization": bits, "gradient_checkpointing": recomputed}
    for bits in ("none", "4bit")
    for recomputed in (False, True)
)
STEPS = 2
TEXT = (
    "The delegates of the northern towns met on Tuesday in the old harbour hall to hear what the "
    "engineers of the Nordwind Institute had found out about the bridge over the river"
)


def memory(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (found,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(found.split()[1]) * 1024


def measure(values: dict) -> dict:
    """Sizes in bytes of one extraction in this process."""
    from transformers import AutoModel  # noqa: F401  (what loading the blocks imports)

    from llamaner.backbone import Backbone
    from llamaner.backbone.plan import plan_memory
    from llamaner.configuration import BackboneSettings
    from llamaner.corpus import Document, Sentence

    half = values.pop("half", False)
    settings = BackboneSettings(**values)
    plan = plan_memory(settings)
    if half:
        settings = settings.model_copy(update={"layers": plan.alternatives[-1].layers})
        plan = plan_memory(settings)
    backbone = Backbone(settings)
    words = TEXT.split()
    # Two batches and a bit: the first is the largest.
    sentences = plan.chosen.token_budget // 30
    # Each with its number: equal passages would be read once.
    given = [
        Sentence.from_words([*words[number % 9 :], str(number)]) for number in range(sentences)
    ]
    documents = [Document.from_sentences(given[i : i + 20]) for i in range(0, sentences, 20)]
    passages = backbone.passages(documents)
    backbone.tokenizer([passage.text for passage in passages])
    program = memory("VmRSS")
    backbone.blocks  # noqa: B018  (loads them)
    loaded = memory("VmHWM")
    for _ in backbone.embed(passages):
        pass
    return {
        "planned_program": plan.program,
        "program": program,
        "weights": plan.chosen.weights,
        "loaded": loaded - program,
        "activations": plan.chosen.activations,
        "budget": plan.chosen.token_budget,
        "layers": list(plan.chosen.layers),
        "peak": memory("VmHWM"),
    }


def measure_steps(values: dict) -> dict:
    """Bytes and seconds of steps that adapt the backbone, in this process."""
    import torch

    from llamaner.backbone import Backbone, FeatureStore
    from llamaner.configuration import BackboneSettings, LoraSettings
    from llamaner.corpus import sample_corpus
    from llamaner.tagger import NerTagger
    from llamaner.training.adaptation import AdaptedExamples

    torch.set_num_threads(1)
    lora = LoraSettings(gradient_checkpointing=values.pop("gradient_checkpointing"))
    backbone = Backbone(BackboneSettings(**values))
    documents = sample_corpus("train").documents[:40]
    words = [word for document in documents for s in document.sentences for word in s.words]
    labels = {e.label for d in documents for s in d.sentences for e in s.entities}
    tagger = NerTagger.create(backbone, sorted(labels), words)
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(Path(folder))
        examples = AdaptedExamples(tagger, store, documents, documents[:1], lora)
        learning = [*tagger.network.parameters(), *examples.updates]
        optimizer = torch.optim.AdamW(learning, lr=1e-4)
        batches = examples.batches(32, 0, 1)[:STEPS]
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before, started = memory("VmRSS"), time.process_time()
        for batch in batches:
            tagger.network.loss(*examples.load(batch)).backward()
            optimizer.step()
            optimizer.zero_grad()
        seconds = (time.process_time() - started) / len(batches)
    return {"before": before, "peak": memory("VmHWM"), "seconds": seconds}


def row_of_steps(values: dict, found: dict) -> str:
    cells = [
        values["precision"] + (" 4 bit" if values["quantization"] == "4bit" else ""),
        "yes" if values["gradient_checkpointing"] else "no",
        f"{found['before'] / 2**20:.0f}",
        f"{(found['peak'] - found['before']) / 2**20:.0f}",
        f"{found['seconds']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def row(values: dict, found: dict) -> str:
    mib = {name: value / 2**20 for name, value in found.items() if isinstance(value, int)}
    planned = mib["weights"] + mib["activations"]
    took = mib["peak"] - mib["program"]
    whole = mib["planned_program"] + planned
    cells = [
        values["precision"] + (" 4 bit" if "quantization" in values else ""),
        " ".join(map(str, found["layers"])),
        f"{found['budget']:,}",
        f"{mib['planned_program']:.0f} / {mib['program']:.0f}",
        f"{mib['weights']:.0f} / {mib['loaded']:.0f}",
        f"{mib['activations']:.0f} / {mib['peak'] - mib['program'] - mib['loaded']:.0f}",
        f"{whole:.0f} / {mib['peak']:.0f}",
        f"{mib['peak'] / whole:.2f}",
        f"{took / planned:.2f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--adapt", action="store_true", help="steps that adapt the backbone")
    parser.add_argument("--row", help="JSON settings: measure them in this process")
    arguments = parser.parse_args()
    measured, told = (measure_steps, row_of_steps) if arguments.adapt else (measure, row)
    if arguments.row:
        print(json.dumps(measured(json.loads(arguments.row))))
        return
    if arguments.adapt:
        print("| precision | checkpointing | MiB before | MiB of a step | s a step |")
        print("|---|---|--:|--:|--:|", flush=True)
    else:
        print("MiB, planned / measured\n")
        names = ["precision", "layers", "budget", "program", "weights", "activations", "peak"]
        print("| " + " | ".join([*names, "ratio", "ratio without program"]) + " |")
        print("|---|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    for values in ADAPTED if arguments.adapt else ROWS:
        given = {**values, "model": arguments.model, "device": "cpu"}
        command = [sys.executable, __file__, "--row", json.dumps(given)]
        command += ["--adapt"] if arguments.adapt else []
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(told(values, json.loads(done.stdout.splitlines()[-1])), flush=True)


if __name__ == "__main__":
    main()

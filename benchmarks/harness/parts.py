"""The parts of the benchmark: what is run in each, and which ratios of it have goals."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from harness.bench import PEERS, Bench, Rounds, distinct_documents, first_sentences, remove
from harness.processes import OURS, Contender, ContenderError, say
from harness.statistics import ratio
from llamaner.evaluation import strict_scores

DEFAULT, FAST = "LlamaNER, default", "LlamaNER, fast"
ACCURATE = "LlamaNER, accurate"
DEFAULT_8, FAST_8 = "LlamaNER, default, int8", "LlamaNER, fast, int8"
DEFAULT_32 = "LlamaNER, default, float32"
FLAIR, LLAMA = "Flair, same LLaMA", "pipeline, same LLaMA"
BASE, BASE_16 = "pipeline, BERT-base", "pipeline, BERT-base, bfloat16"
LARGE = "pipeline, BERT-large"
ONNX, ONNX_8 = "ONNX Runtime, BERT-base", "ONNX Runtime, BERT-base, int8"
SPACY, CRFSUITE = "spaCy, CNN", "CRFsuite"
FLOOR, FLOOR_FAST = "floor, default", "floor, fast"
FLOOR_8 = "floor, default, int8"
TUTORIAL = "tutorial loop"
FIRST = "Flair, first epoch"
PRESETS = {DEFAULT: "default", FAST: "fast"}

Results = dict[str, Any]


def tagging(bench: Bench) -> Results:
    """Words a second, peak memory, and the floor of the arithmetic."""
    data = bench.jsonl("sentences", bench.sentences.documents)
    train = bench.jsonl("train", bench.train.documents)
    dev = bench.jsonl("dev", bench.dev.documents)
    labelled = {"data": data, "labels": bench.labels}
    contenders: dict[str, Callable[[], Contender]] = {
        CRFSUITE: lambda: Contender(
            "crfsuite_tagger.py", "crfsuite", {"data": data, "train": train, "dev": dev}
        ),
        DEFAULT: bench.ours("default"),
        DEFAULT_8: bench.ours("default", precision="int8"),
        DEFAULT_32: bench.ours("default", precision="float32"),
        FAST: bench.ours("fast"),
        FAST_8: bench.ours("fast", precision="int8"),
        ACCURATE: bench.ours("accurate"),
        FLAIR: lambda: Contender(
            "flair_tagger.py", "flair", {**labelled, "backbone": bench.backbone}
        ),
        LLAMA: lambda: Contender("pipeline.py", PEERS, {**labelled, "model": bench.backbone}),
        BASE: bench.pipeline("base"),
        BASE_16: bench.pipeline("base", dtype="bfloat16"),
        LARGE: bench.pipeline("large"),
        ONNX: bench.onnx("model.onnx"),
        ONNX_8: bench.onnx("model-int8.onnx"),
        SPACY: lambda: Contender("spacy_ner.py", "spacy", labelled),
    }
    with bench.run(contenders) as rounds:
        for floor, ours in (
            (FLOOR, DEFAULT),
            (FLOOR_8, DEFAULT_8),
            (FLOOR_FAST, FAST),
        ):
            if about := rounds.results.get(ours, {}).get("about"):
                keys = ("rows", "blocks", "precision", "states", "batch")
                given = {key: about[key] for key in keys}
                given["backbone"] = bench.backbone
                rounds.add(floor, lambda given=given: Contender("floor.py", OURS, given))
        rounds.take_turns("round", bench.options.rounds, least=bench.options.seconds)
    found = rounds.results
    _score_crfsuite(bench, found.get(CRFSUITE, {}))
    return {
        "sentences": sum(1 for _ in bench.sentences.sentences),
        "words": sum(len(s) for s in bench.sentences.sentences),
        "contenders": found,
        "ratios": _ratios(
            found,
            [
                ("default preset / Flair, words/s", FLAIR, DEFAULT, 3.0),
                ("default preset in int8 / Flair, words/s", FLAIR, DEFAULT_8, None),
                ("default preset in float32 / Flair, words/s", FLAIR, DEFAULT_32, None),
                ("fast preset / Flair, words/s", FLAIR, FAST, None),
                ("accurate preset / Flair, words/s", FLAIR, ACCURATE, None),
                ("accurate preset / pipeline with BERT-base, words/s", BASE, ACCURATE, None),
                ("default preset / pipeline with the same LLaMA, words/s", LLAMA, DEFAULT, None),
                ("fast preset / pipeline with BERT-base, words/s", BASE, FAST, 1.5),
                ("fast preset / the same in bfloat16, words/s", BASE_16, FAST, None),
                ("fast preset / BERT-base in ONNX Runtime, words/s", ONNX, FAST, None),
                ("fast preset in int8 / pipeline with BERT-base, words/s", BASE, FAST_8, None),
                ("fast preset in int8 / BERT-base in ONNX Runtime in int8", ONNX_8, FAST_8, None),
                ("fast preset / pipeline with BERT-large, words/s", LARGE, FAST, None),
                ("default preset / pipeline with BERT-base, words/s", BASE, DEFAULT, None),
                ("fast preset / spaCy's CNN, words/s", SPACY, FAST, None),
                ("fast preset / CRFsuite, words/s", CRFSUITE, FAST, None),
                ("achieved / floor, default preset", FLOOR, DEFAULT, 0.7),
                ("achieved / floor, default preset in int8", FLOOR_8, DEFAULT_8, None),
                ("achieved / floor, fast preset", FLOOR_FAST, FAST, 0.7),
            ],
        ),
    }


def latency(bench: Bench) -> Results:
    """Seconds of one sentence by itself."""
    contenders = {
        DEFAULT: bench.ours("default"),
        DEFAULT_8: bench.ours("default", precision="int8"),
        FAST: bench.ours("fast"),
        FAST_8: bench.ours("fast", precision="int8"),
        ACCURATE: bench.ours("accurate"),
        BASE: bench.pipeline("base"),
        BASE_16: bench.pipeline("base", dtype="bfloat16"),
        ONNX: bench.onnx("model.onnx"),
        ONNX_8: bench.onnx("model-int8.onnx"),
    }
    with bench.run(contenders) as rounds:
        rounds.take_turns("latencies", bench.options.rounds, calls=bench.options.calls)
    found = rounds.results
    pairs = [
        ("BERT-base in the pipeline / fast preset, median", BASE, FAST, 1.0),
        ("BERT-base in the pipeline / default preset, median", BASE, DEFAULT, 1.0),
        ("BERT-base in the pipeline / accurate preset, median", BASE, ACCURATE, None),
        ("BERT-base in the pipeline, bfloat16 / fast preset, median", BASE_16, FAST, None),
        ("BERT-base in ONNX Runtime / fast preset, median", ONNX, FAST, None),
        ("the same in int8 / fast preset in int8, median", ONNX_8, FAST_8, None),
        ("BERT-base in the pipeline / default preset in int8, median", BASE, DEFAULT_8, None),
    ]
    return {
        "sentence": bench.sentence,
        "contenders": found,
        "ratios": _ratios(found, pairs),
    }


def epoch(bench: Bench) -> Results:
    """Seconds of an epoch of training: from our store, and Flair's with kept embeddings."""
    train = list(first_sentences(bench.train.documents, bench.options.epoch_sentences))
    files = {"train": bench.conll("epoch", train), "dev": bench.conll("judged", train[:1])}
    sentences, width = bench.jsonl("epoch", train), bench.options.lstm_width
    few = bench.jsonl("judged", train[:1])
    flair = {"backbone": bench.backbone, "labels": bench.labels, "data": few, "width": width}
    contenders = {
        DEFAULT: bench.ours("default", data=few, learns=True),
        FAST: bench.ours("fast", data=few, learns=True),
        FLAIR: lambda: Contender("flair_tagger.py", "flair", flair),
    }
    store = str(bench.folder / "epoch-store")
    common = {"backbone": bench.options.backbone, "store": store, **files}
    of = {name: {"preset": preset, **common} for name, preset in PRESETS.items()}
    with bench.run(contenders) as rounds:
        ours = [name for name in PRESETS if "error" not in rounds.results.get(name, {"error": ""})]
        for name in ours:
            rounds.ask(name, "features", **of[name])
            of[name] |= {
                "width": width,
                "folder": str(bench.folder / f"epoch-{of[name]['preset']}"),
            }
        of[FLAIR] = {"train": sentences, "folder": str(bench.folder / "epoch-flair")}
        rounds.take_turns("epochs", bench.options.epoch_rounds, warm_up=0, of=of)
    found = rounds.results
    if "first" in found.get(FLAIR, {}):
        found[FIRST] = {"seconds": found[FLAIR]["first"]}
    return {
        "sentences": sum(len(document.sentences) for document in train),
        "lstm_width": width,
        "contenders": found,
        "ratios": _ratios(
            found,
            [
                ("Flair's later epoch / default preset", FLAIR, DEFAULT, 3.0),
                ("Flair's later epoch / fast preset", FLAIR, FAST, None),
                ("Flair's first epoch / default preset", FIRST, DEFAULT, None),
            ],
        ),
    }


def training(bench: Bench) -> Results:
    """Whole runs of training, the features included, from the start of the process to its end."""
    count = bench.options.documents
    train, dev = bench.train.documents[:count], bench.dev.documents[: max(1, count // 4)]
    epochs, width = bench.options.epochs, bench.options.lstm_width
    files = {"train": bench.conll("part", train), "dev": bench.conll("part-dev", dev)}
    texts = {"train": bench.jsonl("part", train), "dev": bench.jsonl("part-dev", dev)}
    gold = [s.tags() for document in dev for s in document.sentences if len(s)]
    runs = {
        name: (
            Contender("ours.py"),
            {
                **files,
                "preset": preset,
                "backbone": bench.options.backbone,
                "folder": str(bench.folder / f"training-{preset}"),
            },
        )
        for name, preset in PRESETS.items()
    }
    loop = {**texts, "backbone": bench.backbone, "width": width}
    runs[TUTORIAL] = Contender("tutorial.py", PEERS), loop
    found: dict[str, Results] = {}
    for name, (contender, given) in runs.items():
        if not bench.wants(name):
            continue
        say(f"  {name}: {epochs} epochs")
        try:
            found[name] = _whole_run(bench, name, contender, {**given, "epochs": epochs}, gold)
        except ContenderError as error:
            found[name] = {"error": str(error)}
        say(f"  {name}: {found[name].get('error') or found[name]['seconds']}")
    _reach_target(found, bench.options.target_f1)
    pairs = [
        ("tutorial loop / default preset, whole run", TUTORIAL, DEFAULT, 15.0),
        ("tutorial loop / fast preset, whole run", TUTORIAL, FAST, 15.0),
    ]
    return {
        "documents": len(train),
        "sentences": sum(len(document.sentences) for document in train),
        "dev_documents": len(dev),
        "epochs": epochs,
        "contenders": found,
        "ratios": _ratios(found, pairs),
    }


def growth(bench: Bench) -> Results:
    """Words a second and peak memory as the input grows, each size in a process of its own."""
    sizes = [10**power for power in range(3, 10) if 10**power <= bench.options.most_words]
    found: dict[str, Results] = {}
    few = bench.jsonl("few", bench.dev.documents[:1])
    for size in sizes:
        texts = distinct_documents(list(bench.dev.documents), size)
        path = bench.jsonl(f"growth-{size}", texts)
        for name, preset in PRESETS.items():
            if not bench.wants(name):
                continue
            times = 3 if size <= 1_000 else 1
            with Rounds(bench, {name: bench.ours(preset, data=few)}) as rounds:
                rounds.take_turns("round", 0, least=0.0)
                rounds.take_turns("stream", times, warm_up=0, path=path)
            found.setdefault(name, {})[str(size)] = rounds.results[name]
    ratios = []
    for name, of_size in found.items():
        first, last = (of_size[str(size)] for size in (sizes[0], sizes[-1]))
        if "error" not in first and "error" not in last:
            rates = [_median(of["words"]) / _median(of["seconds"]) for of in (first, last)]
            before = of_size[str(sizes[max(0, len(sizes) - 2)])]
            memory = last["peak_bytes"] / before.get("peak_bytes", last["peak_bytes"])
            title = f"{name}: {sizes[-1]:,} / {sizes[0]:,} words, words/s"
            ratios.append({"name": title, "value": rates[1] / rates[0]})
            title = f"{name}: {sizes[-1]:,} / {sizes[max(0, len(sizes) - 2)]:,} words, peak memory"
            ratios.append({"name": title, "value": memory})
    return {"sizes": sizes, "contenders": found, "ratios": ratios}


PARTS = {
    "tagging": tagging,
    "latency": latency,
    "epoch": epoch,
    "training": training,
    "growth": growth,
}


def _score_crfsuite(bench: Bench, found: Results) -> None:
    if tags := found.get("about", {}).pop("dev_tags", None):
        gold = [s.tags() for s in bench.dev.sentences if len(s)]
        found["about"]["dev_f1"] = strict_scores(gold, tags).overall.f1


def _ratios(found: Results, pairs: list[tuple[str, str, str, float | None]]) -> list[Results]:
    """Seconds of one over seconds of another, where both were measured, with the goal if any."""
    rows = []
    for name, above, below, goal in pairs:
        seconds = [found.get(which, {}).get("seconds") for which in (above, below)]
        if all(seconds):
            rows.append({"name": name, **asdict(ratio(*seconds)), "goal": goal})
    return rows


def _whole_run(
    bench: Bench, name: str, contender: Contender, given: dict[str, Any], gold: list[list[str]]
) -> Results:
    """Seconds of a process from its start to its end, and the dev F1 after each epoch."""
    remove(given.get("folder", ""))
    started = time.perf_counter()
    worker = bench.start(name, contender)
    try:
        answer = worker.ask("train", **given)
    finally:
        worker.close()
    seconds = time.perf_counter() - started
    history, before = answer["history"], seconds - answer["seconds"]
    if "dev_tags" in history[0]:
        curve = [
            (before + row["at"], strict_scores(gold, row["dev_tags"]).overall.f1) for row in history
        ]
    else:
        # What is not in an epoch, features above all, counts as before the first.
        spent = [row["train_seconds"] + row["dev_seconds"] for row in history]
        curve = [
            (seconds - sum(spent[number:]), row["dev_f1"]) for number, row in enumerate(history, 1)
        ]
    return {"seconds": [seconds], "curve": curve, "peak_bytes": answer["peak_bytes"]}


def _reach_target(found: dict[str, Results], target: float | None) -> None:
    """When each run first had the dev F1 asked for, or the best that all of them had."""
    curves = {name: of["curve"] for name, of in found.items() if "curve" in of}
    if not curves:
        return
    target = target or min(max(f1 for _, f1 in curve) for curve in curves.values())
    for name, curve in curves.items():
        reached = [at for at, f1 in curve if f1 >= target]
        found[name] |= {"target_f1": target, "seconds_to_target": reached[0] if reached else None}


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]

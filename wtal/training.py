"""Training: the loop from top to bottom.

`train` opens a run folder, checks the inputs, and calls `fit`; `fit` runs the steps. A run folder
holds config.yaml (resolved), environment.json, metrics.jsonl, state/checkpoint.safetensors and
model.safetensors; skipped.json where a video could not be read; context.safetensors where features
are refined; corrections.json where segments were corrected.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from wtal.alike import check_alike
from wtal.checkpoint import (
    MODEL_FILE,
    STATE_FILE,
    State,
    load_facts,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_network,
    save_state,
)
from wtal.clusters import searched_by
from wtal.config import Config, dump_config, load_config, resolved
from wtal.context import CONTEXT_FILE, Context, open_context
from wtal.corrections.file import Corrections, write_corrections
from wtal.corrections.supervision import Supervision, past_the_end, supervise
from wtal.corrections.tags import merge
from wtal.data import Batch, Sampler, TrainingVideos, open_training_videos, select_subset
from wtal.dcc import Contrast, DenoisedContrast
from wtal.environment import describe
from wtal.errors import WtalError
from wtal.inputs import Labels
from wtal.interrupt import Interrupt
from wtal.kmeans import faiss_search
from wtal.localize import Localizer
from wtal.losses import Criterion
from wtal.model import BaSNet
from wtal.notices import before_training
from wtal.part import Part
from wtal.peers import ALONE, Peers
from wtal.schedule import learning_rate, numpy_generator, torch_generator
from wtal.validation import check_supervision, measure, split
from wtal_features import FeatureStore
from wtal_features.files import atomic_write, lock, sweep, write_failed
from wtal_features.manifest import MANIFEST
from wtal_features.writer import JOURNAL

if TYPE_CHECKING:
    from wtal.corrections.gain import Gain

CORRECTIONS_FILE = "corrections.json"
CLUSTER_BUDGET = 0.05  # of the time of an epoch; more is said aloud
CLUSTER_WORTH_A_WORD_S = 1.0


@dataclass(frozen=True)
class TrainResult:
    """What a run ended with."""

    run: Path
    steps: int  # done
    classes: tuple[str, ...]
    figures: dict[str, float]  # last line of metrics.jsonl, without time stamps
    skipped: dict[str, str]  # video -> fault
    interrupted: bool  # stopped by a signal, with a checkpoint
    gain: Gain | None = None  # what corrections gained, where that was measured


def train(
    config: Config,
    store: FeatureStore,
    labels: Labels,
    out: Path,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
    quiet: bool = False,
    notify: Callable[[str], None] = lambda text: None,
    corrections: Corrections | None = None,
) -> TrainResult:
    """Train one network into a run folder.

    Where a group of processes is running (`wtal.processes.group`), all of them call this and share
    every batch; the first one writes and speaks.

    Args:
        config: everything that decides the run.
        store: features.
        labels: tags, subsets and, for `validation.labels: segments`, annotations.
        out: run folder; new, or with `resume` an earlier run of the same config.
        resume: continue after the last checkpoint, to the bit on one CPU.
        device: where to compute.
        quiet: no progress bar.
        notify: told, before the first step, what the labels leave out.
        corrections: what a person said of segments of training videos.

    Raises:
        WtalError, FeatureError: bad input, a folder in use, a non-finite loss.
    """
    names, subset = select_subset(labels.subsets, config.data.train_subset, labels.source)
    labels, corrected = merge(labels, corrections, names)
    config = resolved(config, store.dim, len(names))
    check_supervision(config.validation, labels.annotations)
    peers = Peers.running(device)
    quiet = quiet or not peers.leads
    refuse_store(out, store)
    context = open_context(config.features, device)
    if context is not None:
        context.check(store)
    continued = peers.of_first(lambda: _open_folder(out, config, resume, notify))
    with lock(out) if peers.leads else nullcontext(), ExitStack() as held:
        if peers.leads:
            sweep(out, (out / STATE_FILE).parent)
        videos, faults = open_training_videos(
            store,
            labels.tags,
            names,
            config.data,
            lambda each: list(tqdm(each, "reading", unit="video", disable=quiet or None)),
            context,
            peers,
        )
        past = past_the_end(corrected, store, videos)
        for text in [*before_training(labels, names, videos.names), *past]:
            notify(text)
        split(videos, config.validation, numpy_generator(config.train.seed, "split"))
        if continued:
            _check_inputs(out, identity(videos, store.dim, context, corrected))
        # Not before: until here nothing is lost where a signal stops at once.
        interrupt = held.enter_context(Interrupt())
        inputs: dict[str, Any] = {
            "features": str(store.root),
            "labels": labels.source,
            "subset": subset,
            "videos": len(videos.names),
            "classes": list(videos.classes),
            "feature_dim": store.dim,
        }
        if context is not None:
            file = config.features.context_file
            inputs["context"] = {"file": file, "sha256": context.sha256}
        if corrected is not None:
            inputs["corrections"] = corrected.about()
        if peers.leads:
            _write_json(out / "skipped.json", faults, keep_empty=False)
            _write_given(out, config, context, corrections)
            if not continued:
                _write_json(out / "environment.json", describe(inputs, config.train.seed, device))
        return fit(
            *(config, store, videos, labels, out, faults, device, interrupt, quiet, context),
            corrections=corrected,
            peers=peers,
        )


def _open_folder(out: Path, config: Config, resume: bool, notify: Callable[[str], None]) -> bool:
    """Make the run folder, or look at the one that is there; whether a run goes on in it."""
    _check_folder(out, config, resume)
    continued = resume and (out / STATE_FILE).exists()
    if resume and not continued:
        notify(f"{out} holds no checkpoint to resume from: the run starts anew.")
    out.mkdir(parents=True, exist_ok=True)
    return continued


def _write_given(
    out: Path, config: Config, context: Context | None, corrections: Corrections | None
) -> None:
    """Copies of what the run was given, so that it needs no other file."""
    if context is not None:
        context.save(out)
    if corrections is not None:
        write_corrections(out / CORRECTIONS_FILE, corrections)
    # Also where a run goes on: it may have been given more steps.
    with atomic_write(out / "config.yaml") as handle:
        handle.write(dump_config(_with_own_files(config)).encode())


def fit(  # noqa: PLR0915 (a run from its first step to its last, in one piece)
    config: Config,
    store: FeatureStore,
    videos: TrainingVideos,
    labels: Labels,
    out: Path,
    skipped: dict[str, str],
    device: torch.device | str,
    interrupt: Interrupt,
    quiet: bool,
    context: Context | None = None,
    *,
    corrections: Corrections | None = None,
    peers: Peers = ALONE,
) -> TrainResult:
    """The steps of one run, from its last checkpoint on; `videos` are in context already."""
    seed = config.train.seed
    training, held_out = split(videos, config.validation, numpy_generator(seed, "split"))
    dim, draw = store.dim if context is None else context.dim, torch_generator(seed, "weights")
    network = BaSNet(dim, len(videos.classes), config.model, draw).to(device)
    optimizer = torch.optim.Adam(
        network.parameters(), weight_decay=config.train.weight_decay, fused=True
    )
    criterion = Criterion(config.loss, config.compat, len(videos.classes))
    denoised = config.dcc.contrast != "none" and config.dcc.teach_attention > 0
    weights = config.corrections.weights(denoised=denoised)
    supervision = supervise(corrections, weights, store, training, device, peers)
    sampler = Sampler(
        training,
        config.data,
        config.train.batch_size,
        seed,
        config.compat.restart_epochs,
        config.compat.repeat_jitter,
    )
    steps = config.train.total_steps(len(videos.names))
    peak = config.train.peak_rate(network.hidden_dim)
    contrast = _contrast(config, network, training, sampler, steps, device, peers)
    done, facts = _restore(out, network, optimizer, contrast)
    inputs = identity(videos, store.dim, context, corrections)
    facts = {**facts, "inputs": inputs, "steps": steps}
    given = {**inputs, "config": dump_config(_with_own_files(config))}
    check_alike(peers, network, optimizer, contrast, done, given)
    figures: dict[str, float] = {}
    stop = peers.any(interrupt.requested)
    with _metrics(out, done, peers) as write_line, _progress(steps, done, quiet) as bar:
        while done < steps and not stop:
            started, part = time.perf_counter(), sampler.part(done, peers)
            logged = (done + 1) % config.train.log_every == 0 or done + 1 == steps
            rate = learning_rate(config.train, peak, done, steps)
            terms = train_step(
                network,
                criterion,
                optimizer,
                sampler.batch(done, part).to(torch.device(device)),
                lr=rate,
                generator=torch_generator(seed, "dropout", done, device),
                precision=config.train.precision,
                step=done,
                contrast=contrast,
                measure_contrast=logged,
                supervision=supervision,
                part=part,
            )
            done += 1
            stop = peers.any(interrupt.requested)
            bar.update()
            if _costs_too_much(terms) and not quiet:
                bar.write(_over_budget(terms["cluster_share"]), file=sys.stderr)
            last = done == steps
            measured: dict[str, float] = {}
            if peers.leads and (done % config.validation.every == 0 or last):
                measured = _measured(config, network, store, held_out, labels)
                facts = _keep_best(out, network, videos.classes, config, facts, measured, done)
            if measured or logged or "cluster_seconds" in terms:
                figures = {**terms, **measured, "lr": rate}
                seconds = time.perf_counter() - started
                write_line({"step": done, **figures, "seconds": round(seconds, 4)})
                bar.set_postfix(loss=f"{terms['loss']:.4f}")
            saved = done % config.train.checkpoint_every == 0 or last or stop
            if saved or done % sampler.steps_per_epoch == 0:
                check_alike(peers, network, optimizer, contrast, done)
            if saved:
                _save(out, network, optimizer, contrast, videos.classes, config, facts, done, peers)
    figures = peers.of_first(lambda: figures or _last_figures(out))
    return TrainResult(out, done, videos.classes, figures, skipped, done < steps)


def _contrast(
    config: Config,
    network: BaSNet,
    videos: TrainingVideos,
    sampler: Sampler,
    steps: int,
    device: torch.device | str,
    peers: Peers,
) -> DenoisedContrast | None:
    """What DCC adds to a training, or None for BaS-Net."""
    if config.dcc.contrast == "none":
        return None
    searched = searched_by(config.cluster.backend, torch.device(device))
    if searched != "torch":
        faiss_search.load(gpu=searched == "faiss-gpu")  # missing: known now, not at the first round
    return DenoisedContrast(
        config.dcc,
        config.cluster,
        hidden_dim=network.hidden_dim,
        labels_VC=torch.from_numpy(videos.labels_VC),
        steps=steps,
        steps_per_epoch=sampler.steps_per_epoch,
        seed=config.train.seed,
        weight_decay=config.train.weight_decay,
        device=device,
        peers=peers,
    )


def train_step(
    network: BaSNet,
    criterion: Criterion,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    *,
    lr: float,
    generator: torch.Generator,
    precision: str = "fp32",
    step: int = 0,
    contrast: DenoisedContrast | None = None,
    measure_contrast: bool = True,
    supervision: Supervision | None = None,
    part: Part | None = None,
) -> dict[str, float]:
    """One forward, backward and update.

    Of several processes each computes the part of its own videos in every sum over the batch; the
    parts and their gradients are added up, so that the step is that of the whole batch.

    Args:
        network: in any mode; it is put into training mode.
        criterion: the terms of BaS-Net.
        optimizer: of the network.
        batch: on the network's device.
        lr: learning rate.
        generator: of dropout.
        precision: of the products.
        step: steps done before this one.
        contrast: what DCC adds; None: nothing.
        measure_contrast: whether its figures are wanted.
        supervision: what corrections add; None: nothing.
        part: where these videos stand in the batch of several processes; None: they are it.

    Returns:
        `loss` (the weighted sum of the terms of BaS-Net), each term, those of corrections
        included, and the figures of the contrast.

    Raises:
        WtalError: a term is not finite; nothing was updated.
    """
    network.train()
    bf16 = precision == "bf16"
    kind = batch.features_BTD.device.type
    peers, rows, share = (ALONE, None, 1.0) if part is None else (part.peers, part.rows, part.share)
    with torch.autocast(kind, torch.bfloat16) if bf16 else nullcontext():
        output = network(batch.features_BTD, batch.mask_BT, generator, rows)
    output = type(output)(*(each.float() for each in output[:3]), *output[3:])
    terms = {name: share * value for name, value in criterion(output, batch).items()}
    loss = criterion.total(terms)
    values = _summed(peers, {"loss": loss, **terms})
    _refuse_non_finite(values, step)
    known, corrected = None, {}
    if supervision is not None:
        known = supervision.known(batch)
        corrected = supervision.terms(output, batch, known)
        loss = loss + supervision.weighted(corrected)
    term = Contrast(None, {}, {})
    if contrast is not None:
        term = contrast(output, batch, step, measure=measure_contrast, known=known, part=part)
        loss = loss + contrast.weighted(term.taught)
    added = {**({} if term.loss is None else {"dcc": term.loss}), **term.taught, **corrected}
    values |= _summed(peers, added)
    _refuse_non_finite(values, step)
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    if contrast is None:
        loss.backward()  # type: ignore[no-untyped-call]
    else:
        values |= term.figures | contrast.backward(loss, term, output, step, lr)
    peers.add_gradients(network.parameters())
    optimizer.step()
    return values


def _summed(peers: Peers, terms: Mapping[str, Tensor]) -> dict[str, float]:
    """Terms of the whole batch, from the parts of its processes."""
    return peers.totals({name: value.item() for name, value in terms.items()})


def _refuse_non_finite(values: Mapping[str, float], step: int) -> None:
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        name = bad[-1] if bad[0] == "loss" else bad[0]  # a term, rather than the sum
        raise WtalError(
            f"The loss term '{name}' is {values[name]} at step {step + 1}; training stopped, and "
            "the last checkpoint is untouched. A lower train.lr may help."
        )


def _measured(
    config: Config,
    network: BaSNet,
    store: FeatureStore,
    held_out: TrainingVideos,
    labels: Labels,
) -> dict[str, float]:
    """What the network reaches on the held-out videos; nothing where there are none."""
    if not held_out.names:
        return {}
    localizer = Localizer(
        *(network.eval(), held_out.classes, config.localize, config.data, config.compat),
        config.loss.topk_ratio,
    )
    return measure(localizer, store, held_out, config.validation, labels.annotations)


def _keep_best(
    out: Path,
    network: BaSNet,
    classes: tuple[str, ...],
    config: Config,
    facts: dict[str, Any],
    measured: Mapping[str, float],
    step: int,
) -> dict[str, Any]:
    """Remember the best held-out figure, and its weights under `validation.keep: best`."""
    if not measured:
        return facts
    name, value = next(iter(measured.items()))
    if "best" in facts and value <= facts["best"]:
        return facts
    facts = {**facts, "best": value, "best_step": step, "figure": name}
    if config.validation.keep == "best":
        save_network(out / MODEL_FILE, network, classes, {"step": step, **facts})
    return facts


def _save(
    out: Path,
    network: BaSNet,
    optimizer: torch.optim.Optimizer,
    contrast: DenoisedContrast | None,
    classes: tuple[str, ...],
    config: Config,
    facts: dict[str, Any],
    step: int,
    peers: Peers,
) -> None:
    tensors, about = ({}, {}) if contrast is None else contrast.state()
    if not peers.leads:
        return
    moments = optimizer_tensors(network, optimizer)
    everything = facts if contrast is None else {**facts, "contrast": about}
    # The weights first: after a kill between the two, the steps since the last state come again
    # and write the weights again. The other way round the last weights would be missing for good.
    if config.validation.keep == "last":
        save_network(out / MODEL_FILE, network, classes, {"step": step, **facts})
    save_state(out / STATE_FILE, State(step, network.state_dict(), moments, everything, tensors))


def _restore(
    out: Path,
    network: BaSNet,
    optimizer: torch.optim.Optimizer,
    contrast: DenoisedContrast | None,
) -> tuple[int, dict[str, Any]]:
    """Steps done and remembered facts; weights, moments and the contrast are put back in place."""
    if not (out / STATE_FILE).exists():
        return 0, {}
    state = load_state(out / STATE_FILE)
    try:
        network.load_state_dict(state.model)
        restore_optimizer(network, optimizer, state.optimizer)
        about = state.facts.pop("contrast", None)
        if contrast is not None:
            contrast.load(state.contrast, about)
    except (KeyError, RuntimeError, TypeError) as error:
        raise WtalError(
            f"{out / STATE_FILE} does not fit these features, tags and config: "
            f"{' '.join(str(error).split())[:160]}"
        ) from error
    return state.step, state.facts


# What may change between the parts of a resumed run without changing its steps. Of the context,
# what the file holds counts (`identity`), not where it lies.
MAY_DIFFER = {"train": ("log_every", "checkpoint_every"), "features": ("context_file",)}


def refuse_store(out: Path, store: FeatureStore) -> None:
    """Nothing of a run is written among features.

    Raises:
        WtalError: `out` is the store of the run, or holds another.
    """
    holds_one = any((out / name).is_file() for name in (MANIFEST, JOURNAL))
    if holds_one or out.resolve() == store.root.resolve():
        raise WtalError(f"{out} holds a feature store; name another folder for the run.")


def _check_folder(out: Path, config: Config, resume: bool) -> None:
    """Refuse to mix two runs in one folder."""
    if out.exists() and not out.is_dir():
        raise WtalError(f"{out} is a file; expected a folder for the run.")
    has_run = (out / "config.yaml").exists()
    if not has_run and any(out.glob("seed-*/config.yaml")):
        raise WtalError(
            f"{out} holds the runs of a sweep; give its --seeds to add to it, or choose another "
            "folder."
        )
    if has_run and not resume:
        raise WtalError(
            f"{out} already holds a run; add --resume to continue it, or choose another."
        )
    if not has_run:
        return
    earlier = load_config(out / "config.yaml")
    wanted = _comparable(config, earlier)
    if wanted != earlier:
        pairs = zip(
            dump_config(wanted).splitlines(), dump_config(earlier).splitlines(), strict=False
        )
        changed = [line.split(":")[0].strip() for line, other in pairs if line != other]
        raise WtalError(
            f"{out} was trained with another config ({', '.join(changed)}); resume with the same, "
            "or choose another folder."
        )


def _with_own_files(config: Config) -> Config:
    """The config as a run keeps it: its context is the copy that lies beside config.yaml."""
    if config.features.context == "none":
        return config
    return replace(config, features=replace(config.features, context_file=CONTEXT_FILE))


def identity(
    videos: TrainingVideos,
    feature_dim: int,
    context: Context | None = None,
    corrections: Corrections | None = None,
) -> dict[str, Any]:
    """What a run learns from, short enough for its state: classes, dims, digests of the inputs."""
    digest = hashlib.sha256(json.dumps(videos.names).encode())
    digest.update(videos.labels_VC.astype(bool).tobytes())
    about = {"classes": list(videos.classes), "feature_dim": feature_dim}
    about |= {"videos": digest.hexdigest()}
    if corrections is not None:
        about |= {"corrections": corrections.digest()}
    if context is None:
        return about
    # The file that was given, and the model in it, which the copy of the run must hold.
    return about | {"context": context.sha256, "context_model": context.model.digest()}


def _check_inputs(out: Path, inputs: Mapping[str, Any]) -> None:
    """Refuse to go on with other tags, whose order of classes the weights would not know."""
    earlier = load_facts(out / STATE_FILE).get("inputs", inputs)
    words = {
        "corrections": "other corrections, or without any",  # first: they change tags and classes
        "classes": "other classes",
        "feature_dim": "features of another dim",
        "videos": "other videos or tags",
        "context": "another context model",
    }
    changed = [text for name, text in words.items() if inputs.get(name) != earlier.get(name)]
    if changed:
        raise WtalError(
            f"{out} was trained on {changed[0]}; resume with the same inputs, or choose another "
            "folder."
        )


def _comparable(config: Config, earlier: Config) -> Config:
    """The config with everything that may differ set to its earlier value."""
    allowed = {section: list(names) for section, names in MAY_DIFFER.items()}
    longer = config.train.total_steps(0) > earlier.train.total_steps(0)  # both are resolved
    if config.train.lr_schedule == "constant" and longer:
        allowed["train"].append("steps")  # more of the same
    sections: dict[str, Any] = {}
    for section, names in allowed.items():
        before = getattr(earlier, section)
        values = {name: getattr(before, name) for name in names}
        sections[section] = replace(getattr(config, section), **values)
    return replace(config, **sections)


@contextmanager
def _metrics(out: Path, done: int, peers: Peers) -> Iterator[Any]:
    """A function that appends a line; lines after the last checkpoint are dropped first."""
    if not peers.leads:
        yield lambda values: None
        return
    path = out / "metrics.jsonl"
    kept = [line for line in _lines(path) if _step_of(line) <= done]
    with atomic_write(path) as handle:
        handle.write("".join(line + "\n" for line in kept).encode())
    with path.open("a", encoding="utf-8") as file:

        def write_line(values: Mapping[str, float]) -> None:
            try:
                file.write(json.dumps(values) + "\n")
                file.flush()
            except OSError as error:
                write_failed(path, error)

        yield write_line


def _step_of(line: str) -> float:
    """The step that a line tells of; infinity for a damaged one, which is dropped."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return math.inf


def _lines(path: Path) -> list[str]:
    """Whole lines of a JSON-lines file; a line cut by a kill is no line."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return text[: text.rfind("\n") + 1].splitlines()


def _last_figures(out: Path) -> dict[str, float]:
    lines = _lines(out / "metrics.jsonl")
    figures: dict[str, float] = json.loads(lines[-1]) if lines else {}
    return {name: value for name, value in figures.items() if name not in ("step", "seconds")}


def _costs_too_much(terms: Mapping[str, float]) -> bool:
    """Whether a round took a share worth a word; rounds of milliseconds need none."""
    long = terms.get("cluster_seconds", 0) >= CLUSTER_WORTH_A_WORD_S
    return long and terms.get("cluster_share", 0) > CLUSTER_BUDGET


def _over_budget(share: float) -> str:
    return (
        f"Clustering took {100 * share:.0f} % of the time since its last round; fewer clusters "
        "(cluster.k), rarer rounds (cluster.every_epochs) or cluster.precision=bf16 help."
    )


def _progress(steps: int, done: int, quiet: bool) -> Any:
    return tqdm(total=steps, initial=done, desc="training", unit="step", disable=quiet or None)


def _write_json(path: Path, value: Any, *, keep_empty: bool = True) -> None:
    if value or keep_empty:
        with atomic_write(path) as handle:
            handle.write(json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")
    else:
        path.unlink(missing_ok=True)


def run_seeds(
    config: Config,
    seeds: Sequence[int],
    store: FeatureStore,
    labels: Labels,
    out: Path,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
    quiet: bool = False,
    notify: Callable[[str], None] = lambda text: None,
    corrections: Corrections | None = None,
) -> list[TrainResult]:
    """One run per seed in `out/seed-<n>`, and out/summary.json with mean and sd of each figure.

    Raises:
        WtalError, FeatureError: as `train`.
    """
    refuse_store(out, store)
    results: list[TrainResult] = []
    try:
        for seed in seeds:
            seeded = replace(config, train=replace(config.train, seed=seed))
            folder = out / f"seed-{seed}"
            # A sweep that was cut off has seeds that never began.
            run = train(
                *(seeded, store, labels, folder),
                resume=resume,
                device=device,
                quiet=quiet,
                notify=notify,
                corrections=corrections,
            )
            results.append(run)
            if results[-1].interrupted:
                break
    finally:  # a seed that fails does not take the finished ones with it
        summary = summarise(seeds, results)
        if summary["seeds"] and Peers.running(device).leads:
            _write_json(out / "summary.json", summary)
    return results


def summarise(seeds: Sequence[int], results: Sequence[TrainResult]) -> dict[str, Any]:
    """Mean and sample standard deviation (n - 1) of the last figures over the finished seeds.

    Only figures that each of them has; the learning rate, alike in all, is none.
    """
    done = [(s, r) for s, r in zip(seeds, results, strict=False) if not r.interrupted]
    figures: dict[str, Any] = {}
    for name in done[0][1].figures if done else ():
        if name == "lr" or not all(name in r.figures for _, r in done):
            continue
        values = torch.tensor([r.figures[name] for _, r in done], dtype=torch.float64)
        sd = values.std().item() if len(values) > 1 else None
        figures[name] = {"mean": values.mean().item(), "sd": sd, "each": values.tolist()}
    return {"seeds": [seed for seed, _ in done], "figures": figures}

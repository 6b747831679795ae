"""Training on images or videos, from files or generated on the fly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from einops import rearrange, repeat
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import default_collate

from scalable_binding.data.datasets.digits import NUM_HELD_OUT, Digits, Split
from scalable_binding.data.datasets.labeled_images import LabeledImages
from scalable_binding.data.datasets.moving_digits import MovingDigits, MovingDigitsConfig
from scalable_binding.data.datasets.video_windows import VideoWindows
from scalable_binding.data.synthetic.stills import SyntheticImages, stills
from scalable_binding.engine import randomness
from scalable_binding.engine.checkpoint import CONFIG, read_config
from scalable_binding.engine.config import to_mapping
from scalable_binding.engine.fit import Hook, fit
from scalable_binding.engine.loading import EndlessDataset
from scalable_binding.errors import UserError
from scalable_binding.plots import grids
from scalable_binding.rin import finetuning, inference, kept, model, objective
from scalable_binding.rin.config import RINConfig
from scalable_binding.rin.labels import CheckedLabels
from scalable_binding.rin.model import RIN
from scalable_binding.rin.objective import Encode
from scalable_binding.rin.pretrained import Pretrained
from scalable_binding.rin.sampling_config import SamplingConfig

HELD_OUT_KEY = 1
"""Of the seed of what is kept from training, which no training with a seed of its own draws."""
SAMPLE_ROWS = 8
SAMPLE_VIDEOS = 4
VALIDATION_SIZE = {
    "digits": NUM_HELD_OUT,
    "shapes": 256,
    "moving_digits": 64,
    "images": 256,
    "videos": 64,
}
"""Examples that the figures on held-out data are of."""


def train(
    config: RINConfig, data: Sequence[Path], run: Path, *, initial: Pretrained | None = None
) -> RIN:
    """Train a network; returns its EMA copy.

    Writes the run folder of :func:`scalable_binding.engine.fit.fit`, and grids of samples under
    ``samples/``; a run that was stopped goes on.

    Args:
        config: a preset, changed at will.
        data: folders, archives or shards to read; empty if ``config.data.kind`` needs none.
        run: the folder for everything that the run writes.
        initial: a trained network to fine-tune; see :mod:`~scalable_binding.rin.finetuning`.

    Raises:
        UserError: no data, data that do not fit the network, data held out and never looked at, or
            a folder that cannot be written.
        Interrupted: the run was stopped; it is saved.

    Source: Thesis Alg. 1 and 2.6.3.
    """
    dataset = open_data(config, data, seed=config.fit.seed)
    check_fit(config, dataset)
    return train_on(dataset, config, run, hooks=_hooks(config, dataset), initial=initial)


def train_on(
    dataset: EndlessDataset,
    config: RINConfig,
    run: Path,
    *,
    encode: Encode | None = None,
    hooks: Sequence[Hook] = (),
    initial: Pretrained | None = None,
) -> RIN:
    """Train on a data set of your own, or on signals made from it; returns the EMA copy.

    Args:
        dataset: its items are what ``encode`` reads, by default "image" or "video", uint8, and
            "label" if the network knows classes, -1 for an example that has none; their names, if
            it has "classes", are kept with the run.
        config: its "data" is of no concern here.
        run: the folder for everything that the run writes.
        encode: from a batch to the signals that are generated: codes of an autoencoder
            (:mod:`~scalable_binding.rin.latent_space`), bits (:mod:`~scalable_binding.rin.bits`).
        hooks: what else to do on the way.
        initial: a trained network to fine-tune.

    Raises:
        UserError: a folder that cannot be written, or a label that the network does not know.
        Interrupted: the run was stopped; it is saved.
    """
    config = _as_begun(config, run)
    network = build(config)
    if initial is not None:
        finetuning.load_weights(network, initial, tuple(getattr(dataset, "classes", ())))
    settings = to_mapping(config)
    record = {"system": "rin", **model.arguments(network)}
    record |= {name: settings[name] for name in ("diffusion", "data")}
    if network.num_classes:
        names = getattr(dataset, "classes", ())
        record |= {"classes": [*names]} if names else {}
        dataset = CheckedLabels(dataset, network.num_classes)
    loss = partial(objective.loss, config=config.diffusion, encode=encode)
    trained = fit(network, loss, dataset, config.fit, run, hooks=hooks, record=record)
    assert isinstance(trained, RIN)
    return trained


def build(config: RINConfig) -> RIN:
    """Initialize the network from the run's seed."""
    return model.init_model(config.fit.seed, **to_mapping(config.model))


def _as_begun(config: RINConfig, run: Path) -> RINConfig:
    """The configuration; of a run begun before ``gamma_includes_end`` was one, with that set."""
    if not (run / CONFIG).is_file():
        return config
    begun = read_config(run / CONFIG)
    if not isinstance(begun, dict) or begun.get("gamma_includes_end", True) is False:
        return config
    return replace(config, model=replace(config.model, gamma_includes_end=True))


def open_data(
    config: RINConfig, data: Sequence[Path] = (), *, seed: int = 0, held_out: bool = False
) -> EndlessDataset:
    """What to train on, or, of the kinds that need no files, what is kept from training.

    Raises:
        UserError: no files where some are needed, files where none is read, or a shape that the
            kind does not come in.
    """
    kind, size, settings = config.data.kind, config.model.size, config.data
    if settings.reads_files and not data:
        expected = "folders, ZIP archives or tar shards, since data.kind is " + kind
        raise UserError("training data", expected=expected, got="none")
    if data and not settings.reads_files:
        advice = "take the preset images32 or videos32, or set data.kind=images"
        if "=" in str(data[0]):
            advice = "write --set before each setting"
        expected = f"no file, since data.kind is {kind}"
        raise UserError("training data", expected=expected, got=str(data[0]), fix=advice)
    sides = {"videos": 3, "moving_digits": 3}.get(kind, 2)
    if len(size) != sides or (kind not in ("images",) and size[-1] != size[-2]):
        shape = "frames, height, width" if sides == 3 else "height, width"
        expected = f"{shape}{'' if kind == 'images' else ', square'}, for data.kind {kind}"
        raise UserError("model.size", expected=expected, got=" x ".join(map(str, size)))
    split: Split = "held_out" if held_out else "train"
    if kind == "digits":
        return Digits(split, seed=seed)
    if kind == "shapes":
        drawn = randomness.derive(seed, HELD_OUT_KEY) if held_out else seed
        return SyntheticImages(stills(size=size[0]), seed=drawn)
    if kind == "moving_digits":
        world = MovingDigitsConfig(num_frames=size[0], size=size[1])
        # The digits themselves are others; the seed gives them other motions, too.
        return MovingDigits(world, split, seed=seed + HELD_OUT_KEY if held_out else seed)
    paths = [*data]
    if kind == "images":
        return LabeledImages(paths, size=(size[0], size[1]), flip=settings.flip, seed=seed)
    return VideoWindows(
        paths,
        num_frames=size[0],
        size=size[1],
        fps=settings.fps,
        flip=settings.flip,
        seed=seed,
    )


def check_fit(config: RINConfig, dataset: EndlessDataset) -> None:
    """Compare the first example with what the network expects.

    Raises:
        UserError: another number of channels, another size, or other classes.
    """
    example = dataset[0]
    found = example["video"] if "video" in example else example["image"]
    expected = (config.model.channels, *config.model.size)
    if tuple(found.shape) != expected:
        raise UserError(
            f"examples of data.kind {config.data.kind}",
            expected=f"{expected} for model.channels and model.size",
            got=str(tuple(found.shape)),
        )
    classes = getattr(dataset, "num_classes", 0)
    wanted = config.model.num_classes
    if wanted and wanted != classes:
        raise UserError(
            "model.num_classes",
            expected=f"{classes}, the number of classes in the data",
            got=str(wanted),
            fix=f"set model.num_classes={classes}",
        )


def check_classes(what: str, dataset: EndlessDataset, expected: Sequence[str]) -> None:
    """Compare the names of classes, where both sides have some.

    Raises:
        UserError: they are others, or in another order.
    """
    found = getattr(dataset, "classes", ())
    if expected and found and tuple(found) != tuple(expected):
        names = ", ".join
        raise UserError(f"classes of {what}", expected=names(expected), got=names(found))


def render_samples(
    step: int, network: nn.Module, run: Path, *, config: RINConfig, dataset: EndlessDataset
) -> None:
    """Callback: write a grid of samples to ``samples/<step>.png`` in the run.

    Images stand in a column for each class, up to 16; of a video, its true frames stand above those
    that the network predicts after the given ones.
    """
    assert isinstance(network, RIN)
    pretrained = Pretrained(model=network, diffusion=config.diffusion)
    render = _render_videos if pretrained.is_video else _render_images
    picture = render(pretrained, config, dataset)
    folder = run / "samples"
    folder.mkdir(exist_ok=True)
    Image.fromarray(rearrange(picture, "c h w -> h w c").numpy()).save(folder / f"{step:07}.png")


def validate(
    step: int, network: nn.Module, run: Path, *, config: RINConfig, batch: dict[str, Tensor]
) -> dict[str, float]:
    """Callback: validation loss, for the log; each rank computes its share of the examples."""
    assert isinstance(network, RIN)
    is_shared = dist.is_initialized()
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if is_shared else (0, 1)
    num = len(next(iter(batch.values())))
    share = slice(num * rank // ranks, num * (rank + 1) // ranks)
    mine = {name: value[share].to(network.device) for name, value in batch.items()}
    count = share.stop - share.start
    total = torch.zeros((), dtype=torch.float64, device=network.device)
    if count:
        at_once = min(_at_once(config), -(-config.fit.batch_size // ranks))
        total += count * objective.held_out_loss(
            network, mine, config.diffusion, seed=rank, at_once=at_once
        )
    if is_shared:
        dist.all_reduce(total)
    return {"held_out_loss": float(total) / num}


def held_out_batch(config: RINConfig, classes: Sequence[str] = ()) -> dict[str, Tensor]:
    """What the figures on held-out data are of.

    Args:
        config: of the run.
        classes: names of those to learn from files, if there are some.

    Raises:
        UserError: files to hold out that cannot be read, do not fit the network, or are of other
            classes.
    """
    files = [] if config.data.held_out is None else [Path(config.data.held_out)]
    kept = open_data(config, files, seed=config.fit.seed, held_out=True)
    check_fit(config, kept)
    if config.model.num_classes:
        check_classes("data.held_out", kept, classes)
    return dict(default_collate([kept[i] for i in range(VALIDATION_SIZE[config.data.kind])]))


def _hooks(config: RINConfig, dataset: EndlessDataset) -> list[Hook]:
    hooks = []
    if config.sample_every:
        rendering = partial(render_samples, config=config, dataset=dataset)
        hooks.append(Hook(config.sample_every, rendering))
    if config.keep_every:
        hooks.append(Hook(config.keep_every, kept.keep))
    if config.score_every:
        hooks.append(Hook(config.score_every, _scorer(config, dataset)))
    if config.validate_every and config.data.reads_files and config.data.held_out is None:
        text = "validate_every is ignored: of files, data.held_out names those to validate on"
        warnings.warn(text, stacklevel=2)
    elif config.validate_every:
        batch = held_out_batch(config, getattr(dataset, "classes", ()))
        checking = partial(validate, config=config, batch=batch)
        hooks.append(Hook(config.validate_every, checking, on_every_rank=True))
    elif config.data.held_out is not None and not config.score_every:
        text = f"data.held_out {config.data.held_out} would never be looked at"
        raise UserError(text, fix="set validate_every=1000")
    return hooks


def _scorer(config: RINConfig, dataset: EndlessDataset) -> kept.Scorer:
    """The distance of samples to what is held out.

    Raises:
        UserError: files are trained on, and none held out; or as :class:`kept.Scorer`.
    """
    if config.data.reads_files and config.data.held_out is None:
        fix = "name files that are not trained on"
        raise UserError("score_every needs data.held_out", got="none", fix=fix)
    files = [] if config.data.held_out is None else [Path(config.data.held_out)]
    real = open_data(config, files, seed=config.fit.seed, held_out=True)
    check_fit(config, real)
    size = getattr(real, "__len__", None)
    return kept.Scorer(
        real,
        kept.MAX_REAL if size is None else int(size()),
        config.score_num,
        config.diffusion,
        _sampling(config),
        config.score_features,
        size=config.model.size,
        channels=config.model.channels,
    )


def _render_images(
    pretrained: Pretrained, config: RINConfig, dataset: EndlessDataset
) -> UInt8[Tensor, "3 height width"]:
    known = pretrained.model.num_classes
    columns = known if 1 < known <= 16 else 8
    num = SAMPLE_ROWS * columns
    classes = range(known) if known else None
    drawn = inference.generate(pretrained, num, _sampling(config), classes=classes)
    found = torch.cat([batch.samples for batch in drawn])
    return grids.grid(_colored(found), columns=columns)


def _render_videos(
    pretrained: Pretrained, config: RINConfig, dataset: EndlessDataset
) -> UInt8[Tensor, "3 height width"]:
    truth = torch.stack([dataset[i]["video"] for i in range(SAMPLE_VIDEOS)])
    given = pretrained.model.context
    context = None
    if given:
        context = config.diffusion.scale * objective.pictures({"video": truth[:, :, :given]})
    *_, state = inference.sample(pretrained, SAMPLE_VIDEOS, _sampling(config), context=context)
    found = inference.pictures(pretrained, state.x0)
    if given:
        found = torch.cat([truth[:, :, :given], found], dim=2)
    rows = rearrange([truth, found], "two b c t h w -> (b two t) c h w")
    return grids.grid(_colored(rows), columns=truth.shape[2])


def _sampling(config: RINConfig) -> SamplingConfig:
    """How grids are drawn: with noise that suits few steps, in batches like those of training."""
    return SamplingConfig(
        steps=config.sample_steps,
        seed=config.fit.seed,
        variance="small",
        batch_size=_at_once(config),
    )


def _at_once(config: RINConfig) -> int:
    """How many examples go through the network together, as in training."""
    return config.fit.micro_batch_size or config.fit.batch_size


def _colored(images: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Pictures to look at: of one channel gray ones, of more the first three."""
    if images.shape[1] < 3:
        return repeat(images[:, 0], "n h w -> n 3 h w")
    return images[:, :3]

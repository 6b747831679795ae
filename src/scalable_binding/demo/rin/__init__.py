"""Recurrent interface networks: sampled digits, video prediction, and read attention."""

from scalable_binding import report
from scalable_binding.demo.context import Context, DemoChapter
from scalable_binding.demo.rin import digits, futures
from scalable_binding.report import Section
from scalable_binding.rin import pretrained
from scalable_binding.rin.inference import load

_COMMANDS = """
sbind rin sample digits --classes 0..9 --num 100 --out samples
sbind rin attend digits --classes 0..9 --num 10 --out attention

# a network of your own, from a folder of images
sbind rin train IMAGES --run runs/mine --preset images32
sbind rin sample runs/mine --num 64 --out samples
"""


def sections(context: Context) -> list[Section]:
    """Digits, futures of moving digits, and how to do the same with one's own data.

    Raises:
        UserError: the weights cannot be used, or a file cannot be written.
    """
    settings = context.config.rin
    told = []
    for name, weights, show in (
        ("digits", settings.digits, digits.show),
        ("moving-digits", settings.moving_digits, futures.show),
    ):
        if weights is None and not pretrained.is_shipped(name):
            told.append(_missing(name))
        else:
            told.append(show(context, load(weights or name)))
    return [*told, _how_to()]


def _missing(name: str) -> Section:
    text = f"This installation has no trained network for {name.replace('-', ' ')}."
    title = {"digits": "Digits sampled from noise", "moving-digits": "Video prediction"}[name]
    return Section(name=name, title=title, blocks=[report.note(text)])


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own images and videos",
        blocks=[
            report.paragraph(
                "The same network trains on any images or videos; `sbind config presets rin` lists "
                "presets from these digits to 1024 x 1024 pixels."
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="rin",
    title="Generate images and videos, and see where compute goes",
    lead="A diffusion model generates images and videos from noise. In a recurrent interface "
    "network a few *latents* read from all patches, compute, and write back. Their read attention "
    "shows where compute is spent.",
    run=sections,
)

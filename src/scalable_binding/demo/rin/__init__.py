"""Recurrent interface networks: digits out of noise, futures of a video, and where they read."""

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
    text = f"This installation holds no trained network of {name.replace('-', ' ')}."
    title = {"digits": "Digits out of noise", "moving-digits": "What may come next"}[name]
    return Section(name=name, title=title, blocks=[report.note(text)])


def _how_to() -> Section:
    return Section(
        name="own",
        title="Your own images and videos",
        blocks=[
            report.paragraph(
                "The same network learns any images or videos; `sbind config presets rin` lists "
                "sizes from these digits to a million pixels."
            ),
            report.code(_COMMANDS),
        ],
    )


CHAPTER = DemoChapter(
    name="rin",
    title="Generate, and see where the work is done",
    lead="A diffusion model makes images and videos out of noise. This one has few *latents* that "
    "read from all patches, do the work, and write back: what they read shows where computing is "
    "worth it.",
    run=sections,
)

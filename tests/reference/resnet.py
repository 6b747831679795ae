"""The names and shapes of public networks' tensors, by rule."""

BATCH_NORM = ("weight", "bias", "running_mean", "running_var")


def torchvision_resnet18():
    """Every entry of torchvision's resnet18 state dict and its shape, in its order."""
    shapes = {"conv1.weight": (64, 3, 7, 7)} | _batch_norm("bn1", 64)
    width_in = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            place = f"layer{stage}.{block}"
            for number, channels in ((1, width_in), (2, width)):
                shapes[f"{place}.conv{number}.weight"] = (width, channels, 3, 3)
                shapes |= _batch_norm(f"{place}.bn{number}", width)
            if width != width_in:
                shapes[f"{place}.downsample.0.weight"] = (width, width_in, 1, 1)
                shapes |= _batch_norm(f"{place}.downsample.1", width)
            width_in = width
    return shapes | {"fc.weight": (1000, 512), "fc.bias": (1000,)}


def authors_encoder(width=128):
    """Every entry of the authors' checkpoint and its shape: their network and their head."""
    network = {
        f"encoder.model.{name}": shape
        for name, shape in torchvision_resnet18().items()
        if not name.startswith("fc.")
    }
    return network | {"selfsim_fc.0.weight": (width, 512), "selfsim_fc.0.bias": (width,)}


def _batch_norm(place, width):
    return {f"{place}.{name}": (width,) for name in BATCH_NORM} | {
        f"{place}.num_batches_tracked": ()
    }

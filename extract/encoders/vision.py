"""transformers' image models, and the image towers of its two-tower ones. Importing takes no torch; loading does."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from extract.encoders.family import Foreign, Located
from extract.encoders.image import ImageEncoder
from extract.encoders.vision_formats import ARCHITECTURES, TWO_TOWERS, model_type, pixels_of
from extract.encoders.weights import PROCESSORS, weights_of
from extract.errors import Refused
from extract.images import Squeeze

if TYPE_CHECKING:
    from extract.encoders.vision_model import VisionModel


class TransformersVision(ImageEncoder):
    """An image model of transformers: one vector an image, or its patches' vectors in rows."""

    # the model's own pooled output before any projection, the space shared with texts, the first token,
    # the mean over patches, the patches themselves; each where the architecture has it
    poolings: ClassVar[dict[str, tuple[str, ...]]] = {"image": ("pooled", "projected", "cls", "mean", "grid")}
    forms: ClassVar[tuple[str, ...]] = ("transformers-image", "image-tower")

    @classmethod
    def form(cls, kind: str, path: Path) -> str:
        name = model_type(path)
        return "image-tower" if name in TWO_TOWERS else "transformers-image" if name in ARCHITECTURES else ""

    @classmethod
    def files(cls, kind: str, folder: Path) -> list[Path]:
        if (name := model_type(folder)) not in ARCHITECTURES:
            known = ", ".join(["resnet", *ARCHITECTURES])
            raise Foreign(f"holds a model of type {name!r}, expected one of {known}")
        about = [folder / name for name in ("config.json", *PROCESSORS) if (folder / name).exists()]
        pixels_of(folder)
        return [*about, *weights_of(folder)]

    @classmethod
    def settings(cls, located: Located, *, dtype: str, max_tokens: int = 0) -> dict[str, str | int]:
        name = model_type(located.path)
        if located.pooling not in (has := ARCHITECTURES[name].poolings):
            raise Refused(f"{located.name}:{located.pooling}: a model of type {name} gives {', '.join(has)}, no other")
        return located.settings(dtype) | {"transform": cls.decoder(located).transform}

    @classmethod
    def load(
        cls, located: Located, *, device: str, dtype: str, max_tokens: int = 0, compile: bool = False
    ) -> "TransformersVision":
        """Raises Refused if the checkpoint lacks weights that the asked-for vector needs."""
        from extract.encoders import checkpoint, vision_model

        whole = vision_model.read_vision_model(located)
        frozen = checkpoint.freeze(whole.net, device, dtype, compile)
        squeeze, dim = cls.decoder(located), whole.dim
        return cls(located, frozen, whole.normalise, squeeze, dim=dim, device=device, dtype=dtype, compiled=compile)

    @classmethod
    def unfrozen(cls, located: Located) -> "VisionModel":
        from extract.encoders import vision_model

        return vision_model.read_vision_model(located)

    @classmethod
    def decoder(cls, located: Located) -> Squeeze:
        return pixels_of(located.path)[0]

"""Image encoders that train. (A text encoder trains as it is: `encoders.unfrozen`.)"""

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from extract import encoders
from extract.encoders.family import Located


class TrainedImage(nn.Module):
    """A ResNet whose weights train while its batch norms keep the statistics that they came with.

    torchvision's networks, in training mode, normalise by the statistics of the batch at hand. Here a batch may be of
    four images, from which no variance can be told, and adding up the gradients of sixteen such batches does not mend
    it. With statistics that are kept, a meme's logit does not depend on the memes that share its batch, and training
    starts from the very vectors of stage 1. The norms' scales and shifts do train.
    """

    def __init__(self, located: Located) -> None:
        """Raises Refused if the weights are not those of a ResNet."""
        super().__init__()
        self.encoder = encoders.unfrozen(located)
        self.dim = self.encoder.dim

    def train(self, mode: bool = True) -> "TrainedImage":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, pixels: UInt8[Tensor, "batch 3 224 224"]) -> Float[Tensor, "batch dim"]:
        """float32 vectors, pooled. pixels: RGB."""
        return self.encoder(pixels)

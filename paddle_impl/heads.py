"""The head of a transformer with class tokens, and the two heads of a distilled one."""

from __future__ import annotations

from paddle import Tensor, nn

from paddle_impl.layers import Linear
from paddle_impl.variants import check_classes


class TokenClassifier(nn.Layer):
    """What follows the normed tokens.

    A distilled model has two class tokens, a head each: in evaluation it returns the mean of the two heads, in training
    the pair. Subclasses set the attributes, then call `reset_classifier`.

    Attributes:
        distilled: Whether there are two heads.
        num_features: Channels of the tokens.
        cls_token: A parameter that has the device and dtype of the heads.
        num_classes: Columns of the head; 0 stands for none.
    """

    distilled: bool
    num_features: int
    cls_token: Tensor

    def get_classifier(self) -> nn.Layer | tuple[nn.Layer, nn.Layer]:
        """The head; the pair of heads of a distilled model."""
        return (self.head, self.head_dist) if self.distilled else self.head

    def reset_classifier(self, num_classes: int) -> None:
        """Replaces the head, or both heads, by freshly initialised ones.

        Args:
            num_classes: Columns of the head; 0 leaves the head out.

        Raises:
            ValueError: The class count is negative.
        """
        self.num_classes = check_classes(num_classes)
        self.head = self._new_head(num_classes)
        if self.distilled:
            self.head_dist = self._new_head(num_classes)

    def _new_head(self, num_classes: int) -> nn.Layer:
        if num_classes == 0:
            return nn.Identity()
        head = Linear(self.num_features, num_classes)
        head.training = self.training
        return head.to(device=self.cls_token.place, dtype=self.cls_token.dtype)

    def forward_head(self, tokens: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Turns normed tokens `(batch, tokens, features)`, class tokens first, into logits `(batch, classes)`."""
        if not self.distilled:
            return self.head(tokens[:, 0])
        x, x_dist = self.head(tokens[:, 0]), self.head_dist(tokens[:, 1])
        return (x, x_dist) if self.training else (x + x_dist) / 2

"""Earlier import paths of `recipe.augmentation`, which every framework's training reads images with."""

from porting.exporting import renamed

renamed(
    {
        f"paddle_impl.training.data.{name}": f"recipe.augmentation.{name}"
        for name in ("loader", "mixing", "operations", "policies", "randaugment", "transforms")
    }
)

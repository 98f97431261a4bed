"""What each process of `test_processes` runs: it joins the others, averages a loss and a gradient, and ends."""

from __future__ import annotations

import mindspore
import numpy as np
from mindspore import Tensor

from mindspore_impl.training.parallel import join
from mindspore_impl.training.program import end

mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
mindspore.set_device("CPU")
WORLD = join()
assert WORLD.share is not None
LOSS, _, _ = WORLD.share(Tensor(np.float32(WORLD.rank)), Tensor(np.ones(2, np.float32)))
print(f"rank {WORLD.rank} of {WORLD.size}: {float(LOSS.asnumpy())}", flush=True)
end(0, WORLD)

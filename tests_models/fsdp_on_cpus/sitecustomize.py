"""Read by Python at its start: has accelerate spread a model over CPU processes by FSDP, as it does over GPUs.

By itself it takes a copy of the model in each process there, whatever its configuration says (``AcceleratorState``).
"""

import os
from pathlib import Path
from typing import Any

if os.environ.get("ACCELERATE_USE_FSDP") == "true":
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    by_itself = AcceleratorState.__init__

    def spread(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        by_itself(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin and self.distributed_type is DistributedType.MULTI_CPU:
            if self.mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self.mixed_precision)
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin
            PartialState._shared_state["distributed_type"] = self.distributed_type

    AcceleratorState.__init__ = spread

    from torch.distributed.checkpoint import state_dict

    gather = state_dict.get_model_state_dict

    def counted(*arguments: Any, **options: Any) -> Any:
        """Note how many bytes the first process gathers, in the file that a test names."""
        weights = gather(*arguments, **options)
        if "GATHERED" in os.environ and os.environ["RANK"] == "0":
            with Path(os.environ["GATHERED"]).open("a", encoding="utf-8") as file:
                file.write(f"{sum(each.nbytes for each in weights.values())}\n")
        return weights

    state_dict.get_model_state_dict = counted

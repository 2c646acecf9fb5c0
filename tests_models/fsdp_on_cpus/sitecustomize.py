"""Read by Python at its start: has accelerate spread a model over CPU processes by FSDP, as it does over GPUs.

By itself it takes a copy of the model in each process there, whatever its configuration says (``AcceleratorState``).
"""

import os
from pathlib import Path
from typing import Any

if os.environ.get("ACCELERATE_USE_FSDP") == "true":
    import psutil
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    as_processes, by_itself = PartialState.__init__, AcceleratorState.__init__

    def as_on_gpus(self: Any, *arguments: Any, **options: Any) -> None:
        as_processes(self, *arguments, **options)
        if self.distributed_type is DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP

    def spread(self: Any, *arguments: Any, fsdp_plugin: Any = None, **options: Any) -> None:
        by_itself(self, *arguments, fsdp_plugin=fsdp_plugin, **options)
        if fsdp_plugin:
            if self.mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self.mixed_precision)
            self.fsdp_plugin = fsdp_plugin

    PartialState.__init__, AcceleratorState.__init__ = as_on_gpus, spread

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

    from accelerate import accelerator

    divide = accelerator.fsdp2_prepare_model

    def weighed(*arguments: Any, **options: Any) -> Any:
        """Note how many bytes a process holds before FSDP2 divides the model, in the file that a test names."""
        if "HELD" in os.environ:
            held = psutil.Process().memory_info().rss
            Path(f"{os.environ['HELD']}-{os.environ['RANK']}").write_text(str(held), encoding="utf-8")
        return divide(*arguments, **options)

    accelerator.fsdp2_prepare_model = weighed

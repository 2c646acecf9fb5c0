"""Read by Python at its start: has accelerate spread a model over CPU processes by FSDP, as it does over GPUs.

By itself it takes a copy of the model in each process there, whatever its configuration says (``AcceleratorState``).
"""

import os
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

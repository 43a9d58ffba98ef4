"""The kernels that notebooks run in: this interpreter, warm where there is a nursery, silent in either case."""

import logging
import os
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from mmlab.processes import start_warm

SILENT = logging.getLogger("mmlab.kernel")  # what Jupyter logs is in the RunError, in words for the reader
SILENT.setLevel(logging.CRITICAL + 1)


def make_manager(nursery: str | None) -> AsyncKernelManager:
    """The manager of one kernel that has not started yet; nursery: as for `start_warm`."""
    # Without folders of kernels `python3` is this interpreter; another environment's may be registered before it.
    specs = KernelSpecManager(kernel_dirs=[])
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=specs, transport_encryption="auto", log=SILENT
    )  # without encryption ipykernel warns about TCP
    manager.provisioner = WarmProvisioner(nursery, kernel_spec=manager.kernel_spec, parent=manager)
    return manager


class WarmProvisioner(LocalProvisioner):
    """Takes the process from the nursery; without one it is jupyter_client's own, which starts an interpreter."""

    def __init__(self, nursery: str | None, **options: Any) -> None:
        super().__init__(**options)
        self.nursery = nursery

    async def launch_kernel(self, cmd: list[str], **options: Any) -> dict[str, Any]:
        arguments = cmd[cmd.index("-m") + 1 :]
        self.process = start_warm(self.nursery, arguments, options["env"], Path.cwd())
        if self.process is None:
            return await super().launch_kernel(cmd, **options)
        self.pid = self.pgid = self.process.pid  # it leads a session of its own
        self.cwd = os.getcwd()
        return self.connection_info

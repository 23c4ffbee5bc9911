"""What Hydra takes for sweeps of peft-run; it looks for it in this name space alone. The work is in peft_cli/sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig


class Grid(BasicSweeper):
    """Hydra's own sweeper; it leaves it to our launchers, which are quicker, to compose each run before any starts."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Composes the runs for a launcher that is not ours, and refuses what that would pass over."""
        if isinstance(self.launcher, Local):
            return
        for key in ("jobs", "plan"):
            if self.config[key]:
                raise ValueError(f"{key}={self.config[key]} is for hydra/launcher=local and hydra/launcher=slurm alone")
        super().validate_batch_is_legal(batch)


class Local(Launcher):
    """hydra/launcher=local: on this machine."""

    def setup(self, *, hydra_context: HydraContext, task_function: Any, config: DictConfig) -> None:
        """Takes what Hydra has."""
        self.loader, self.config = hydra_context.config_loader, config
        self.task, self.request, self.complete = task_function.task, task_function.request, task_function.complete

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Composes all runs, does what is left of them, and returns how each failed, None where it did not."""
        from peft_cli.config.compose import Composer
        from peft_cli.sweep import Options, sweep

        composer = Composer(self.loader, self.config)
        composed = [composer(list(overrides)) for overrides in job_overrides]
        runs = [run._replace(config=self.complete(run.config)) for run in composed]
        options = Options(self.config.jobs, self.config.retry, self.config.plan, self.config.jobs_per_gpu)
        failures = sweep(runs, options, self.engine(options), self.request)
        returns = []
        for run, failure in zip(runs, failures, strict=True):
            returns.append(JobReturn(run.overrides, status=JobStatus.COMPLETED))
            returns[-1].return_value = failure
        return returns

    def engine(self, options: Any) -> Any:
        """What does the runs."""
        from peft_cli.sweep import local

        return local.Local(self.task, options.jobs, options.jobs_per_gpu)


class Slurm(Local):
    """hydra/launcher=slurm: through Slurm."""

    def __init__(self, **resources: Any):
        self.resources = resources

    def engine(self, options: Any) -> Any:
        """What does the runs."""
        from omegaconf import OmegaConf

        from peft_cli.config.check import check
        from peft_cli.sweep import slurm

        if options.jobs_per_gpu > 1:
            raise ValueError(
                f"jobs_per_gpu={options.jobs_per_gpu} is for hydra/launcher=local alone; Slurm gives each run its own job"
            )
        resources = OmegaConf.to_container(OmegaConf.create(self.resources), resolve=True)
        check(resources, slurm.Resources, "hydra.launcher")
        return slurm.Slurm(self.task, options.jobs, slurm.Resources(**resources))

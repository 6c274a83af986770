"""What is looked at before a job is handed over, so that it does not wait in a queue to be refused."""

from pathlib import Path

from dfjax import config as config_lib
from dfjax.checkpoint.workdir import Workdir
from dfjax.launching import job as job_lib
from dfjax.launching.errors import JobError
from dfjax.runtime import watch


def check(job: job_lib.JobSpec, config: config_lib.Config) -> None:
    """Raise unless a run of ``config`` can be started by ``job``. Writes nothing; may take some seconds.

    A work directory that is no path, such as gs://bucket/run, is taken as it is.

    Raises:
      ConfigError: the mesh does not fit the devices. CheckpointError: the work directory has a damaged run, or
        something else. JobError: a run is at work there, on whatever machine that shares it.
    """
    job_lib.check_mesh(config, job.topology, job.hosts)
    if "://" not in job.workdir:
        workdir = Workdir(Path(job.workdir))
        workdir.check()
        try:
            watch.refuse_live(workdir.heartbeats)
        except watch.LiveError as error:
            raise JobError(str(error)) from error

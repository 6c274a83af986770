"""Run by the Python that has XPK: judges a manifest strictly, and tells what its containers would be given.

python jobset_program.py MANIFEST     prints {"faults": [...], "jobset": the manifest}
"""

import json
import sys

import kubernetes_validate
import yaml
from kubeflow_trainer_api import models


def lost(before, after, path: str = "") -> list[str]:
    """Paths of what a model did not keep: it drops a field that it does not know, without a word."""
    if isinstance(before, dict):
        return [word for key, value in before.items() for word in lost(value, (after or {}).get(key), f"{path}.{key}")]
    if isinstance(before, list):
        if len(before) != len(after or []):
            return [path]
        pairs = enumerate(zip(before, after or [], strict=True))
        return [word for i, (x, y) in pairs for word in lost(x, y, f"{path}[{i}]")]
    return [] if before == after else [f"{path}: {before!r} became {after!r}"]


def faults(manifest: dict) -> list[str]:
    """What is wrong with a JobSet and with each Job in it."""
    model = models.JobsetV1alpha2JobSet.from_dict(manifest)
    found = [f"JobSet {word}" for word in lost(manifest, json.loads(json.dumps(model.to_dict())))]
    for each in manifest["spec"]["replicatedJobs"]:
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": each["name"]}, **each["template"]}
        try:
            kubernetes_validate.validate(job, "1.31", strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"Job {each['name']}: {error.message}")
    return found


def main() -> None:
    """Print the judgement."""
    with open(sys.argv[1], encoding="utf-8") as file:
        manifest = yaml.safe_load(file)
    print(json.dumps({"faults": faults(manifest), "jobset": manifest}))


if __name__ == "__main__":
    main()

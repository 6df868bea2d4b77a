"""Which versions of the functions were live together, and back to the ones before.

    make rollback STAGE=production            # to the release before the newest
    make rollback STAGE=production TO=3       # to the release that `list` numbers 3
    python -m infra.operations.releases --stage production list

``make deploy`` records each release when it stands. Going back moves every function's alias, and nothing else: the
table and whatever CloudFormation made stay as they are. Safe to run twice: a release that was left is not come back to.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import boto3

from infra.functions import LIVE
from infra.operations.deployed import DeployedStage
from infra.parameters import parameter_name

if TYPE_CHECKING:
    from types_boto3_lambda import LambdaClient

MOST_KEPT: Final = 5
"""Releases that can be gone back to; older versions are removed. A snapshot of each costs money while it stands."""


class NoSuchRelease(Exception):
    """There is nothing to go back to; the message says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """``versions``: of each function, by its name. ``left``: it was gone back from."""

    number: int
    versions: Mapping[str, str]
    left: bool = False


class Releases:
    """A stage's releases, newest last, in one SSM parameter."""

    def __init__(self, functions: "LambdaClient", ssm: Any, *, stage: str, names: Mapping[str, str]) -> None:
        """``functions``: the Lambda client; ``names``: what each function is called in AWS."""
        self._lambda = functions
        self._ssm = ssm
        self._parameter = parameter_name(stage, "releases")
        self._names = names

    def listed(self) -> list[Release]:
        """What was recorded, oldest first."""
        try:
            kept = self._ssm.get_parameter(Name=self._parameter)["Parameter"]["Value"]
        except self._ssm.exceptions.ParameterNotFound:
            return []
        return [Release(**own) for own in json.loads(kept)]

    def live(self) -> dict[str, str]:
        """The version each alias leads to."""
        return {
            name: self._lambda.get_alias(FunctionName=function, Name=LIVE)["FunctionVersion"]
            for name, function in self._names.items()
        }

    def record(self) -> Release:
        """Note what is live as the newest release, unless it is that already, and remove what nobody goes back to."""
        known, live = self.listed(), self.live()
        if known and known[-1].versions == live and not known[-1].left:
            newest = known[-1]
        else:
            newest = Release(known[-1].number + 1 if known else 1, live)
            known = [*known, newest][-MOST_KEPT:]
            self._keep(known)
        self._remove_older(known)
        return newest

    def go_back(self, to: int | None = None) -> Release:
        """Make a release live that was before the newest one. Raises NoSuchRelease."""
        known = self.listed()
        earlier = [own for own in known[:-1] if (own.number == to if to is not None else not own.left)]
        if not earlier:
            known_numbers = ", ".join(str(own.number) for own in known) or "none"
            msg = f"no release to go back to; recorded are {known_numbers}"
            raise NoSuchRelease(msg)
        target = earlier[-1]
        # A bus that was switched off since took its function along.
        there = {name: version for name, version in target.versions.items() if name in self._names}
        for name, version in there.items():
            # All of them, before one is moved: half of a release must not be live.
            self._lambda.get_function_configuration(FunctionName=self._names[name], Qualifier=version)
        # First, so that who comes again after this broke off goes to the same release.
        self._keep([replace(own, left=own.left or own.number > target.number) for own in known])
        for name, version in there.items():
            self._lambda.update_alias(
                FunctionName=self._names[name],
                Name=LIVE,
                FunctionVersion=version,
                RoutingConfig={"AdditionalVersionWeights": {}},
            )
        return target

    def _keep(self, releases: Sequence[Release]) -> None:
        value = json.dumps([asdict(own) for own in releases], separators=(",", ":"))
        self._ssm.put_parameter(Name=self._parameter, Value=value, Type="String", Overwrite=True)

    def _remove_older(self, kept: Sequence[Release]) -> None:
        """Versions below the oldest kept; one that a deployment is just making is newer than all."""
        for name, function in self._names.items():
            oldest = min((int(own.versions[name]) for own in kept if name in own.versions), default=0)
            for version in list(self._versions(function)):
                if int(version) < oldest:
                    self._lambda.delete_function(FunctionName=function, Qualifier=version)

    def _versions(self, function: str) -> Iterator[str]:
        for page in self._lambda.get_paginator("list_versions_by_function").paginate(FunctionName=function):
            yield from (own["Version"] for own in page["Versions"] if own["Version"] != "$LATEST")


def main(arguments: Sequence[str] | None = None) -> int:
    """Record, list or go back, with the credentials of this shell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True)
    parser.add_argument("command", choices=["record", "list", "rollback"])
    parser.add_argument("--to", type=int, help="the number of a release")
    given = parser.parse_args(arguments)
    stage = DeployedStage(given.stage)
    releases = Releases(
        boto3.client("lambda"),
        boto3.client("ssm"),
        stage=given.stage,
        names=stage.functions,
    )
    try:
        if given.command == "record":
            sys.stdout.write(f"release {releases.record().number} is recorded\n")
        elif given.command == "rollback":
            sys.stdout.write(f"release {releases.go_back(given.to).number} is live\n")
        else:
            live = releases.live()
            for own in releases.listed():
                note = " (live)" if own.versions == live else " (left)" if own.left else ""
                told = ", ".join(f"{name} {version}" for name, version in own.versions.items())
                sys.stdout.write(f"{own.number}{note}: {told}\n")
    except NoSuchRelease as none:
        sys.stderr.write(f"{none}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

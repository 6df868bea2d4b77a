"""The CDK app: the stacks of one stage, ``-c stage=dev``. Synthesises offline and without credentials."""

import sys

from aws_cdk import App, Environment, Tags

from infra.concurrency import usable_stage
from infra.constructs.bundling import Bundler, BundlingError
from infra.constructs.python_function import CodeFor, bundled
from infra.parameters import FRONT_REGION
from infra.stacks.front import FrontStack
from infra.stacks.service import ServiceStack
from infra.stacks.state import StateStack
from infra.stages import UnusableStageError


def build(app: App, *, code_for: CodeFor | None = None) -> tuple[StateStack, ServiceStack]:
    """Adds the stacks of the stage that the context names. ``code_for`` replaces the real bundles in tests.

    Raises UnusableStageError for a stage or setting that does not exist, or is missing.
    """
    stage = usable_stage(app.node.try_get_context("stage") or "dev", app.node.try_get_context("stages"))
    code_for = code_for or bundled(Bundler(stage.architecture))
    kept = not stage.removable
    state = StateStack(
        app, "State", stage=stage, stack_name=f"checkback-{stage.name}-state", termination_protection=kept
    )
    service = ServiceStack(
        app,
        "Service",
        stage=stage,
        code_for=code_for,
        engine_url=app.node.try_get_context("engine_url"),
        stack_name=f"checkback-{stage.name}-service",
        termination_protection=kept,
    )
    # It reads what the state stack published; nothing in the templates says so.
    service.add_stack_dependency(state)
    if stage.front_certificate_arn is not None:
        front = FrontStack(
            app,
            "Front",
            stage=stage,
            env=Environment(region=FRONT_REGION),
            stack_name=f"checkback-{stage.name}-front",
            termination_protection=kept,
        )
        # Functions that take the front's requests alone must not come before it shows who it is.
        service.add_stack_dependency(front)
    Tags.of(app).add("application", "checkback")
    Tags.of(app).add("stage", stage.name)
    return state, service


def main() -> None:
    """Synthesises into the folder that the CDK CLI names."""
    app = App()
    try:
        build(app)
    except (UnusableStageError, BundlingError) as error:
        sys.exit(f"checkback: {error}")
    app.synth()


if __name__ == "__main__":
    main()

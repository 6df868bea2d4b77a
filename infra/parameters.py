"""Names of the SSM parameters in which a stage says where its state is."""


def parameter_name(stage: str, said: str) -> str:
    """The parameter by which the stage's state stack says one thing of itself."""
    return f"/checkback/{stage}/{said}"


def restored_stream_parameter(stage: str, table: str) -> str:
    """Where ``infra.operations.adopt_table`` says what stream a restored table has.

    Without it no deployment takes the table: it was not adopted.
    """
    return parameter_name(stage, f"restored/{table}/stream-arn")

"""Why a sample cannot be made or proved as it is wanted: without the command line, for whoever else sends samples."""


class Unfit(Exception):
    """What is wanted of a sample does not fit it; the text says why."""


class NoKey(Unfit):
    """What its provider would sign it with is not known here."""

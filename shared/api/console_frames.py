"""In whose frames the console may be shown."""

from typing import Final

FRAME_ANCESTORS: Final = "CONSOLE_FRAME_ANCESTORS"
"""The variable with the origins, spaces between, whose pages may show the console in a frame; without it none may."""

"""Whether pictures fit the graph's input: what is enlarged, shrunk far or pressed into another form no longer looks as it was learned."""

from __future__ import annotations

from collections.abc import Iterable

from edge.manifest import InputSpec

ENLARGED = 1.0  # below it the picture has less pixels than the graph takes
FAR_SHRUNK = 12.0  # a fault of so many px is one px for the graph
STRETCHED = 2.0  # sides changed so unequally, a round thing is no longer round


def scale_notes(sizes: Iterable[tuple[int, int]], spec: InputSpec) -> list[str]:
    """What is extreme about pictures of these sizes (width, height in px), one note for each kind of trouble, with an example."""
    notes: dict[str, str] = {}
    into = f"into the graph's {spec.width}x{spec.height} px"
    for width, height in sizes:
        across, down = width / spec.width, height / spec.height
        if spec.resize == "centre_crop":
            across = down = min(across, down)
            lost = 1.0 - spec.width * spec.height * across * down / (width * height)
            if lost > 0.5:
                notes.setdefault("cropped", f"{width}x{height} px {into}: {lost:.0%} of the picture is cut away")
        if min(across, down) < ENLARGED:
            notes.setdefault(
                "enlarged", f"{width}x{height} px {into}: enlarged, so fine detail is missing; send larger pictures"
            )
        if max(across, down) > FAR_SHRUNK:
            notes.setdefault(
                "shrunk",
                f"{width}x{height} px {into}: shrunk {max(across, down):.0f} times, so small faults vanish; crop at the camera",
            )
        stretch = max(across / down, down / across)
        if stretch > STRETCHED:
            notes.setdefault(
                "stretched", f"{width}x{height} px {into}: pressed {stretch:.1f} times out of form; crop at the camera"
            )
    return list(notes.values())

"""Places of the clips of `drone-ir`: clips whose frames show nearly the same lie in one place, and have one role.

Found by small pictures of all frames (`training.data.near_duplicates`): clips of which two frames correlate by 0.95 or more, and clips that
these join. Clips of the set's `val` split measure, all others of their places are left out altogether: neither learnt nor chosen from.
"""

from __future__ import annotations

NEAR_PLACES = 0.95
_SHARED: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("AIRPLANE", ("010", "011", "015")),
    ("AIRPLANE", ("028", "029", "031", "032", "033")),
    ("BIRD", ("056", "057", "058")),
    ("DRONE", ("013", "014", "029", "031", "035", "036", "054", "055")),
    ("DRONE", ("059", "077", "081", "085", "088", "112", "115", "116", "120", "122", "131", "132")),
    ("HELICOPTER", ("010", "011")),
    ("HELICOPTER", ("013", "014", "015", "016", "019")),
    ("HELICOPTER", ("031", "032")),
    ("HELICOPTER", ("036", "037", "038")),
    ("AIRPLANE", ("052", "053")),
    ("DRONE", ("007", "009", "018", "042", "044")),
)
_OF_SEVERAL_CLASSES = (
    (*(f"AIRPLANE_{number}" for number in ("035", "036", "038", "051", "056", "058", "061", "073")), "BIRD_043", "BIRD_073"),
    ("BIRD_077", "HELICOPTER_050", "HELICOPTER_051"),
)
_GROUPS = (*(tuple(f"{kind}_{number}" for number in numbers) for kind, numbers in _SHARED), *_OF_SEVERAL_CLASSES)
_PLACES = {f"IR_{clip}.mp4": f"IR_{group[0]}.mp4" for group in _GROUPS for clip in group}


def place_of(clip: str) -> str:
    """The first clip of the place that a clip shows; a clip that shares its place with no other is its own."""
    return _PLACES.get(clip, clip)
